"""How a page and each of its figures were made, as HTML that people read, and the files that go with it.

A figure is shown before its page knows all of its runs. So the figure holds a mark, and when the page is finished the
build (`book/execute.py`) puts the page's own account there.
"""

import datetime
import html
import os
import platform
import re
import shlex
from collections.abc import Mapping

import pandas as pd
import torch

from companion.provenance import commit
from eecore import __version__, data, own, values
from eecore.errors import SettingError, shown
from eecore.training.result import Result

__all__ = ["MARK", "MOST_BYTES", "as_csv", "command", "elsewhere", "figure_details", "page_details", "page_rows"]

MARK = "<!-- as the page -->"
MOST_BYTES = 400_000  # of the numbers behind one figure
_LEGEND = '<p class="eecore-legend" hidden><a href="../provenance.html">What these lines mean</a></p>'


def command(notebook: str, parameters: Mapping[str, object]) -> str:
    """The command that makes a page again, for a shell.

    Example:
        >>> command("00_quickstart", {"seeds": [0, 1], "model": "vit_nano"})
        'make notebook NB=00_quickstart ARGS=\\'-p seeds "[0,1]" -p model vit_nano\\''
    """
    arguments = " ".join(f"-p {name} {_quoted(values.write(value))}" for name, value in parameters.items())
    mine = f" OWN={_for_make(os.environ[own.VARIABLE])}" if os.environ.get(own.VARIABLE) else ""
    return f"make notebook NB={notebook}{mine}" + (f" ARGS={_for_make(arguments)}" if arguments else "")


def _quoted(text: str) -> str:
    """A word as a shell takes it, in double quotes where they will do: what is around it has single ones."""
    quoted = shlex.quote(text)
    return quoted if quoted == text or re.search(r"[\"$`\\!]", text) else f'"{text}"'


def _for_make(text: str) -> str:
    """A variable of make on a shell's command line: its dollars are doubled, for make halves them."""
    return shlex.quote(text.replace("$", "$$"))


def page_rows(notebook: str, parameters: Mapping[str, object], runs: list[Result], seconds: float) -> dict[str, str]:
    """What there is to say of a page: each line's name and text."""
    return {
        "Notebook": f"notebooks/{notebook}.ipynb",
        "Parameters": ", ".join(f"{name} = {value}" for name, value in parameters.items()) or "none",
        "Runs": f"{len(runs)}, seeds {sorted({r.run.seed for r in runs})}" if runs else "none",
        "Data": "; ".join(_data_line(name) for name in sorted({r.run.dataset for r in runs})) or "none",
        "Device": _devices(runs),
        "Training": f"{sum(_training_by_key(runs).values()):.0f} s on one core, shared phases counted once",
        "Versions": f"eecore {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "Commit": commit(),
        "Made": f"{datetime.date.today()}, this page in {seconds:.0f} s",
    }


def page_details(rows: Mapping[str, str], again: str, notebook: str) -> str:
    """The account of a whole page, at its end."""
    return (
        '<details class="eecore-provenance" open><summary>How this page was made</summary>'
        f"<!-- account --><dl>{_cells(rows)}</dl><p>Make it again:</p>"
        f'<pre class="eecore-again">{html.escape(again)}</pre>{elsewhere(notebook)}<!-- /account -->'
        f"{_files([_link(f'{notebook}.ipynb', 'the executed notebook')])}{_LEGEND}</details>"
    )


def elsewhere(notebook: str) -> str:
    """Links that open a notebook on a machine of Binder or Colab, with the pinned versions; nothing without an address.

    The environment variable EECORE_REPOSITORY is the project's public address, such as https://github.com/OWNER/NAME.
    A link loads nothing until a reader follows it.

    Raises:
        SettingError: the address is another one.
    """
    address = os.environ.get("EECORE_REPOSITORY", "").rstrip("/")
    if not address:
        return ""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", address)
    if found is None:
        raise SettingError(f"EECORE_REPOSITORY: expected https://github.com/OWNER/NAME, got {shown(address)}")
    project, version = found[1], commit().rstrip("+")
    binder = f"https://mybinder.org/v2/gh/{project}/{version}?labpath=notebooks/{notebook}.ipynb"
    colab = f"https://colab.research.google.com/github/{project}/blob/{version}/notebooks/{notebook}.ipynb"
    pins = f"https://raw.githubusercontent.com/{project}/{version}/constraints.txt"
    setup = f'%pip install -q -c {pins} "eecore[book] @ git+{address}@{version}"'
    return (
        f'<p>Or on another machine: <a href="{binder}">Binder</a>, or <a href="{colab}">Colab</a>, where this comes '
        f'first:</p><pre class="eecore-again">{html.escape(setup)}</pre>'
    )


def figure_details(label: str, notebook: str, frame: pd.DataFrame | None, file: str | None) -> str:
    """The account of one figure, closed, with the mark where the page's goes.

    Args:
        label: such as "Figure 2.1".
        notebook: its page.
        frame: the numbers behind the figure, None where the page does not keep them.
        file: what they are called as a download, None where there is none.
    """
    links = [_link(f"{notebook}.ipynb", "the executed notebook")]
    links += [] if file is None else [_link(file, f"the numbers behind {label} (CSV)")]
    own = "" if frame is None else f"<dl>{_cells(_shown(frame))}</dl>"
    return (
        f'<details class="eecore-provenance eecore-made"><summary>How {label} was made</summary>{own}{MARK}'
        f"{_files(links)}{_LEGEND}</details>"
    )


def as_csv(frame: pd.DataFrame | None) -> str | None:
    """A frame as CSV, numbers with six digits; None where there is none, or where it would exceed MOST_BYTES."""
    if frame is None:
        return None
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text if len(text.encode()) <= MOST_BYTES else None


def _shown(frame: pd.DataFrame) -> dict[str, str]:
    """What a figure shows: values of the columns that tell runs apart, and the seeds behind each mean."""
    cells = [column for column in ("dataset", "model", "regime", "rule") if column in frame]
    rows = {column.capitalize(): ", ".join(dict.fromkeys(map(str, frame[column].dropna()))) for column in cells}
    seeds = frame.dropna(subset=["seed"]) if "seed" in frame else pd.DataFrame()
    if len(seeds):
        counts = seeds.groupby(cells)["seed"].nunique() if cells else pd.Series([seeds["seed"].nunique()])
        rows["Seeds"] = f"{sorted(int(seed) for seed in seeds['seed'].unique())}"
        rows["n"] = f"{_range(counts)} seeds behind each mean"
    elif "n" in frame and frame["n"].notna().any():
        rows["n"] = _range(frame["n"].dropna())
    rows["Numbers"] = f"{len(frame)} rows"
    return rows


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _cells(rows: Mapping[str, str]) -> str:
    return "".join(f"<dt>{name}</dt><dd>{html.escape(str(value))}</dd>" for name, value in rows.items())


def _link(file: str, words: str) -> str:
    return f'<a download href="{html.escape(file, quote=True)}">{html.escape(words)}</a>'


def _files(links: list[str]) -> str:
    return f'<p class="eecore-files">Download: {", ".join(links)}</p>'


def _data_line(name: str) -> str:
    dataset = data.load(name)
    sizes = "/".join(str(len(s)) for s in (dataset.train, dataset.validation, dataset.test))
    origin = f"; {dataset.origin}" if dataset.origin else ""
    about = f"{sizes} samples in train/validation/test, sha256 {dataset.fingerprint[:12]}{origin}"
    return f"{dataset.name} ({about})"


def _devices(runs: list[Result]) -> str:
    used = {f"{r.record['device']} ({r.record['processor']}), {r.run.threads} thread" for r in runs}
    return "; ".join(sorted(used)) or platform.machine()


def _training_by_key(runs: list[Result]) -> dict[str, float]:
    return {
        key: phase["seconds"]
        for run in runs
        for key, phase in zip(run.record["prefix_keys"], run.record["phases"], strict=True)
    }
