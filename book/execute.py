"""Execute notebooks with papermill: two at a time, only what has changed, one line for what is wrong."""

import argparse
import concurrent.futures
import difflib
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RECORDS = Path(os.environ.get("EECORE_RECORDS") or ROOT / "book" / "results")
PROFILES = ("smoke", "quick", "paper")
MARK = "<!-- as the page -->"  # in a figure's account, see companion.made
ACCOUNT = re.compile(r"<!-- account -->(.*?)<!-- /account -->", re.DOTALL)
PARAMETER = ("-p", "--parameters")
READ = (".py", ".toml", ".js", ".css")  # what the library is made of


class BuildError(Exception):
    """Something the caller can act on; its message is one line."""


@dataclass(frozen=True)
class Job:
    """One notebook with the parameters that differ from those it holds."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return NOTEBOOKS / f"{self.name}.ipynb"

    def key(self) -> str:
        """Hash of all that decides the executed page: notebook, parameters, library, torch's version, records.

        Of the companion's modules for single pages only those count that this one imports.
        """
        digest = hashlib.sha256(self.source.read_bytes())
        digest.update(json.dumps(self.parameters, sort_keys=True).encode())
        for module in [*_read(ROOT / "eecore"), *_companion(self.source)]:
            digest.update(module.read_bytes())
        digest.update((ROOT / "constraints.txt").read_bytes())
        digest.update(os.environ.get("EECORE_REPOSITORY", "").encode())
        digest.update(_own().read_bytes() if _own().is_file() else b"")
        if "lab.records(" in self.source.read_text(encoding="utf-8"):
            for file in sorted(path for path in RECORDS.rglob("*") if path.is_file()):
                digest.update(file.read_bytes())
        return digest.hexdigest()


def _read(folder: Path) -> list[Path]:
    """What is read of a package, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix in READ)


def _companion(notebook: Path) -> list[Path]:
    """The companion's modules that decide a page: the common ones, and of those for single pages what it imports."""
    modules = _read(ROOT / "book" / "companion")
    single = {path.stem: path for path in modules if path.parent.name == "pages"}
    chosen = [path for path in modules if path not in single.values()]
    asked = [notebook, *chosen]
    while asked:
        text = asked.pop().read_text(encoding="utf-8")
        names = re.findall(r"companion\.pages\.(\w+)", text)
        for listed in re.findall(r"from companion\.pages import (\([^)]*\)|[^\n\"]*)", text):
            names += re.findall(r"\w+", listed)
        found = [single.pop(name) for name in names if name in single]
        chosen, asked = [*chosen, *found], [*asked, *found]
    return sorted(chosen)


def notebook_names() -> list[str]:
    """Names of all notebooks; home reads what the others train and comes last."""
    names = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    return sorted(names, key=lambda name: (name == "home", name))


def profile_parameters(profile: str) -> dict[str, dict[str, Any]]:
    """Parameters that a profile overrides, per notebook. The notebooks' own literals are `quick`."""
    if profile not in PROFILES:
        raise BuildError(f"PROFILE: {_shown(profile)} is not known. Known: {', '.join(PROFILES)}")
    path = NOTEBOOKS / "profiles" / f"{profile}.yaml"
    if not path.is_file():
        return {}
    loaded = _said(f"profile {path.name}", "load_yaml", path.read_text(encoding="utf-8")) or {}
    return {name: loaded.get(name, {}) for name in notebook_names()}


def _shown(text: str) -> str:
    """A text for an error, cut where it is long."""
    return repr(text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}")


def parse_parameters(words: list[str]) -> dict[str, Any]:
    """`-p NAME VALUE ...`; a VALUE is a number, a word, or a list such as [0,1], see `eecore.values`."""
    values: dict[str, Any] = {}
    rest = list(words)
    while rest:
        if rest[0] not in PARAMETER or len(rest) < 3:
            raise BuildError(f"ARGS: expected -p NAME VALUE, got {_shown(' '.join(rest))}")
        end = 3
        while rest[2][:1] in ("[", "{") and rest[end - 1][-1:] not in ("]", "}") and rest[end:]:
            end += 1  # a list with spaces is several words
        values[rest[1]] = _said(rest[1], "read", " ".join(rest[2:end]))
        try:
            json.dumps(values[rest[1]], sort_keys=True)  # what cannot be written so has no place in a page's key
        except TypeError:
            raise BuildError(f"{rest[1]}: {_shown(rest[2])} has names of several types") from None
        rest = rest[end:]
    return values


def _said(name: str, how: str, text: str) -> Any:
    """What `eecore.values` makes of a text; what it refuses is an error of the build.

    The library is imported here: that takes seconds, and reads the file of EECORE_OWN, which may be wrong too.
    """
    try:
        return getattr(importlib.import_module("eecore.values"), how)(text)
    except ValueError as error:  # eecore's SettingError is one
        raise BuildError(f"{name}: {error}") from None


def make_job(name: str, profile: str, extra: dict[str, Any]) -> Job:
    """A job whose notebook and parameter names exist."""
    names = notebook_names()
    if name not in names:
        near = [one for one in names if name and one.startswith(name)] or difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise BuildError(f"NB: {_shown(name)} is not known{hint} Known: {', '.join(names)}")
    known = list(papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb")))
    for parameter in extra:
        if parameter not in known:
            raise BuildError(f"parameter: {_shown(parameter)} is not known in {name}. Known: {', '.join(known)}")
    if "seeds" in extra and "more_seeds" in known:
        extra = {"more_seeds": [], **extra}  # who names the seeds means all of them
    return Job(name, {**profile_parameters(profile).get(name, {}), **extra})


def is_current(job: Job, target: Path) -> bool:
    """Whether `target` was executed from exactly this job."""
    try:
        done = nbformat.read(target, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return False
    return done.metadata.get("eecore", {}).get("key") == job.key()


def execute(job: Job, target: Path) -> float:
    """Execute one notebook into `target`, whole or not at all.

    Returns:
        Seconds it took.
    Raises:
        BuildError: a cell failed; one line, and the page that was there stays away from the book.
    """
    began = time.perf_counter()
    key = job.key()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.stem}.{os.getpid()}.ipynb")
    parameters = unfinished.with_suffix(".yaml")
    parameters.write_text(yaml.safe_dump(job.parameters), encoding="utf-8")
    command = [sys.executable, "-m", "papermill", str(job.source), str(unfinished), "-f", str(parameters)]
    command += ["--cwd", str(ROOT), "--no-progress-bar", "--log-level", "ERROR", "--kernel", "python3"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "EECORE_STORE": _store(),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # two pages at once on as many cores: threads that wait for each other's core take many times as long
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or "1",
    }
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            why = _why(unfinished, done.stderr)
            raise BuildError(why if why.startswith(f"{job.name}: ") else f"{job.name}: {why}")
        page = nbformat.read(unfinished, as_version=4)
        page.metadata = {k: v for k, v in page.metadata.items() if k in ("kernelspec", "language_info")}
        _tidy(page)
        page.metadata["eecore"] = {"key": key, "parameters": job.parameters}
        nbformat.write(page, unfinished)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
        parameters.unlink(missing_ok=True)
    return time.perf_counter() - began


def _tidy(page: nbformat.NotebookNode) -> None:
    """What a reader sees: no progress bars, injected parameters hidden like the notebook's own, accounts of figures."""
    hidden: list[str] = []
    for cell in page.cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            hidden = [tag for tag in tags if tag.startswith("remove-")]
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, *hidden]
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    shown = [o.data for cell in page.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    accounts = [account for data in shown for account in ACCOUNT.findall(data["text/html"])]
    for data in shown:
        data["text/html"] = data["text/html"].replace(MARK, accounts[-1] if accounts else "")


def _own() -> Path:
    """The file of EECORE_OWN; a folder where there is none."""
    return Path(os.environ.get("EECORE_OWN") or ".").expanduser()


def _store() -> str:
    return os.environ.get("EECORE_STORE") or str(ROOT / "runs")


def _why(executed: Path, stderr: str) -> str:
    """The failed cell's error as one line; the end of the traceback where it is not one of ours."""
    try:
        cells = nbformat.read(executed, as_version=4).cells
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return stderr.strip().splitlines()[-1] if stderr.strip() else "papermill failed"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and output.ename != "PapermillExecutionError":
                message = " ".join(output.evalue.split())
                ours = output.ename in (
                    "SettingError",
                    "DataError",
                    "StoreError",
                    "TrainingError",
                    "EecoreError",
                )
                return message if ours else f"{output.ename}: {message}\n{_plain(output.traceback)}"
    return stderr.strip().splitlines()[-1] if stderr.strip() else "papermill failed"


def _plain(traceback: list[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback))


def hand_over(about: str | None, what: str, make: Callable[[str], Path]) -> int:
    """The command line of a script that makes one file of a profile's book; 0, or 1 with a line that says why not.

    Args:
        about: for --help.
        what: it is, for the last line.
        make: profile -> the file.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--profile", default="quick", help=f"one of {', '.join(PROFILES)}")
    try:
        target = make(parser.parse_args().profile)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The {what} is {target}, {target.stat().st_size / 2**20:.1f} MB")
    return 0


def execute_all(jobs: list[Job], folder: Path, at_once: int = 2) -> dict[str, float]:
    """Execute what has changed, `at_once` notebooks at a time.

    Returns:
        Seconds per executed notebook; those that were current are not in it.
    Raises:
        BuildError: one or more failed; the others are finished and kept.
    """
    stale = [job for job in jobs if not is_current(job, folder / f"{job.name}.ipynb")]
    for job in stale:
        (folder / f"{job.name}.ipynb").unlink(missing_ok=True)
    print(f"Notebooks: {len(jobs)}, of which {len(jobs) - len(stale)} are up to date", flush=True)
    seconds: dict[str, float] = {}
    errors = []
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        waiting = {pool.submit(execute, job, folder / f"{job.name}.ipynb"): job.name for job in stale}
        for future in concurrent.futures.as_completed(waiting):
            name = waiting[future]
            try:
                seconds[name] = future.result()
                print(f"  [{len(seconds) + len(errors)}/{len(stale)}] {name}: {seconds[name]:.0f} s", flush=True)
            except BuildError as error:
                errors.append(str(error))
                print(f"  [{len(seconds) + len(errors)}/{len(stale)}] {name}: failed", flush=True)
    if errors:
        raise BuildError("\n".join(errors))
    return seconds
