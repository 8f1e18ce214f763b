"""The page of all parameters of all notebooks, read from the notebooks themselves."""

from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from execute import NOTEBOOKS, PROFILES, notebook_names, profile_parameters

HEAD = """# All parameters

Every notebook names its parameters in its first code cell. This list is made from those cells. The value in the column
*default* is that of the profile `quick`; where another profile has another value, it stands below the table. A list is
written in square brackets, without spaces: `-p seeds [0,1]`. {doc}`reproduce` says how a notebook is executed.
"""


def parameter_page() -> str:
    """Markdown: a section for each notebook with a table of its parameters and the command that executes it."""
    profiles = {profile: profile_parameters(profile) for profile in PROFILES}
    return HEAD + "".join(
        _section(name, {p: found.get(name, {}) for p, found in profiles.items()}) for name in _names()
    )


def _names() -> list[str]:
    """As in the book: the first page, then the others."""
    names = notebook_names()
    return [names[-1], *names[:-1]]


def _section(name: str, profiles: dict[str, dict[str, Any]]) -> str:
    path = NOTEBOOKS / f"{name}.ipynb"
    found = papermill.inspect_notebook(str(path))
    rows = [
        f"| `{one['name']}` | {_cell(one['inferred_type_name'])} | `{_cell(one['default'])}` | {_cell(one['help'])} |"
        for one in found.values()
    ]
    table = (
        ["| name | type | default | what it is |", "|---|---|---|---|", *rows] if rows else ["It has no parameters."]
    )
    others = [
        f"- `{profile}`: " + ", ".join(f"`{parameter} = {_plain(value)}`" for parameter, value in values.items())
        for profile, values in profiles.items()
        if values
    ]
    parts = [
        f"\n## {name}",
        f"{{doc}}`{title(path)} <pages/{name}>`",
        "\n".join(table),
        "\n".join(others),
        _command(name, found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def title(path: Path) -> str:
    """The first heading of a notebook."""
    lines = str(nbformat.read(path, as_version=4).cells[0].source).splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith("# "))


def _command(name: str, found: dict[str, Any]) -> str:
    """A command with the parameter that readers change first."""
    first = next((n for n in ("seeds", "epochs", "rule", *found) if n in found), "")
    value = "".join(str(found[first]["default"]).split()).replace('"', "") if first else ""
    words = f' ARGS="-p {first} {value}"' if first else ""
    return f"```sh\nmake notebook NB={name}{words}\n```"


def _cell(text: object) -> str:
    """Text that breaks no table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _plain(value: Any) -> str:
    """A value as it is written on the command line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
