"""What a page of the book needs: checked parameters, numbered figures and tables, computed sentences, provenance."""

import base64
import contextlib
import datetime
import html
import io
import json
import platform
import re
import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from eecore import __version__, cli, data, plotting
from eecore.errors import EecoreError
from eecore.parameters import check_parameters
from eecore.provenance import commit
from eecore.training.result import Result


class Page:
    """One notebook of the book.

    Args:
        name: the notebook's file name without its ending, such as "02_regimes".
        namespace: the notebook's globals().
        parameters: the notebook's own parameters, by name.
    Raises:
        SettingError: a parameter is unknown or not allowed; one line.
    """

    def __init__(self, name: str, namespace: dict[str, Any], **parameters: object) -> None:
        self.name = name
        self.parameters = check_parameters(namespace, parameters)
        self._began = time.perf_counter()
        self._number = name.split("_")[0].lstrip("0") or "0" if name[0].isdigit() else ""
        self._figures = self._tables = 0
        plotting.use_style()

    def _label(self, kind: str, count: int) -> tuple[str, str]:
        number = f"{self._number}.{count}" if self._number else str(count)
        return f"{kind} {number}", f"{kind}-{number}".lower().replace(".", "-")

    def figure(self, figure: Figure, caption: str, alt: str) -> None:
        """Show `figure` as SVG with a number, a caption and a text for those who cannot see it."""
        self._figures += 1
        label, anchor = self._label("Figure", self._figures)
        picture = io.StringIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
        plt.close(figure)
        source = base64.b64encode(_lighter(picture.getvalue()).encode()).decode()
        display(
            HTML(
                f'<figure class="eecore-figure" id="{anchor}"><img alt="{html.escape(alt, quote=True)}" '
                f'src="data:image/svg+xml;base64,{source}"/>'
                f"<figcaption><strong>{label}.</strong> {html.escape(caption)}</figcaption></figure>"
            )
        )

    def table(self, frame: pd.DataFrame, caption: str, wrap: bool = False) -> None:
        """Show `frame` with a number and a caption; its cells are text already.

        Args:
            frame: the table.
            caption: below its number.
            wrap: whether long cells break lines, so that a wide table fits the page; otherwise it is scrolled.
        """
        self._tables += 1
        label, anchor = self._label("Table", self._tables)
        body = frame.to_html(index=False, border=0, classes="table", na_rep="")
        body = body.replace(
            "<thead>", f"<caption><strong>{label}.</strong> {html.escape(caption)}</caption>\n<thead>", 1
        )
        classes = "eecore-table eecore-wrap" if wrap else "eecore-table"
        display(HTML(f'<div class="{classes}" id="{anchor}" tabindex="0">{body}</div>'))

    def say(self, text: str) -> None:
        """A paragraph whose numbers and verdicts were computed."""
        display(Markdown(text))

    def file(self, name: str, content: object, what: str) -> None:
        """Offer plain data as a JSON file; the book has it beside its first page too.

        Args:
            name: of the file, such as "ledger.json".
            content: lists, dictionaries, texts and finite numbers.
            what: the file in words, for the link.
        Raises:
            EecoreError: the content is not plain data.
        """
        try:
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise EecoreError(f"{self.name}: {name} cannot be written as JSON: {error}") from None
        source = f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"
        link = f'<a download="{html.escape(name)}" href="{source}">{html.escape(name)}</a>'
        shown = f'<p class="eecore-file">{html.escape(what)}: {link} ({len(text.encode()) / 1000:.0f} kB)</p>'
        display(HTML(shown))

    def command(self, *words: str) -> None:
        """Run `python -m eecore WORDS` in this process, and show it as a terminal would: the line, and what it prints.

        Raises:
            EecoreError: as the command; the command line would end with the same message.
        """
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            cli.app(list(words), standalone_mode=False)
        line = f"$ python -m eecore {shlex.join(words)}".replace(f"{Path.cwd()}/", "").replace(str(Path.home()), "~")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())  # a kernel asks for colours, which HTML has not
        display(HTML(f'<pre class="eecore-command">{html.escape(f"{line}{chr(10)}{plain}")}</pre>'))

    def check(self, statement: str, holds: bool) -> None:
        """Something that must hold, whatever the data say; the page is not published if it does not.

        Raises:
            EecoreError: it does not hold.
        """
        if not holds:
            raise EecoreError(f"{self.name}: this must hold and does not: {statement}")
        display(HTML(f'<p class="eecore-check">&#10003; {html.escape(statement)}</p>'))

    def provenance(self, results: Iterable[Result] = ()) -> None:
        """How this page was made, and the command that makes it again."""
        runs = list(results)
        arguments = " ".join(f"-p {name} {_as_argument(value)}" for name, value in self.parameters.items())
        rows = {
            "Notebook": f"notebooks/{self.name}.ipynb",
            "Parameters": ", ".join(f"{name} = {value}" for name, value in self.parameters.items()) or "none",
            "Runs": f"{len(runs)}, seeds {sorted({r.run.seed for r in runs})}" if runs else "none",
            "Data": "; ".join(_data_line(name) for name in sorted({r.run.dataset for r in runs})) or "none",
            "Device": _devices(runs),
            "Training": f"{sum(_training_by_key(runs).values()):.0f} s on one core, shared phases counted once",
            "Versions": f"eecore {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
            "Commit": commit(),
            "Made": f"{datetime.date.today()}, this page in {time.perf_counter() - self._began:.0f} s",
        }
        cells = "".join(f"<dt>{k}</dt><dd>{html.escape(str(v))}</dd>" for k, v in rows.items())
        command = html.escape(f"make notebook NB={self.name}" + (f" ARGS='{arguments}'" if arguments else ""))
        display(
            HTML(
                '<details class="eecore-provenance" open><summary>How this page was made</summary>'
                f"<dl>{cells}</dl><p>Make it again:</p><pre>{command}</pre></details>"
            )
        )


def _lighter(svg: str) -> str:
    """The same picture in fewer bytes: positions to a hundredth of a point, no comments, layout or unused names."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to a group
    short = re.compile(r"(\.\d\d)\d+")
    svg = re.sub(r' (?:d|x|y)="[^"]*"|translate\([^)]*\)', lambda found: short.sub(r"\1", found.group()), svg)
    svg = re.sub(r' style="[^"]*"', lambda found: re.sub(r"([:;]) ", r"\1", found.group()), svg)
    return re.sub(r"\s*(<|/?>)\s*", r"\1", re.sub(r"\s+", " ", svg)).replace("DejaVuSans", "D")


def _as_argument(value: object) -> str:
    text = str(value).replace("'", "").replace(" ", "")
    return f'"{text}"' if isinstance(value, list) else text


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
