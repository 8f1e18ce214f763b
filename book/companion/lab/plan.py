"""The plan: which runs are published, in which order. A TOML file, validated before anything is trained."""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from eecore import data, models
from eecore.errors import SettingError, choose, in_checkout
from eecore.training import Recipe, Run, phases_of, recipes, regimes
from eecore.training.settings import Settings

PLAN = "plan.toml"


class Machine(Settings):
    """How a run uses its device; part of its recipe."""

    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = False
    compile: bool = False


class Entry(Settings):
    """A named family of published runs: one network on one data set, in several regimes and with several seeds.

    Args:
        name: lower-case letters, digits and hyphens; the folder of its records.
        title: for tables and figures.
        family: which page shows it: "images", "text", "regression".
        size: "paper": a GPU's work, which a CPU does only where it is asked for by name; "small": two cores can.
        dataset, model, exits, head, threads: as for Run. They may name what this version does not have yet.
        regimes, seeds: every combination is a run.
        epochs: of each phase.
        recipe: fields of Recipe, "off" standing for None; "preset", a name of eecore.training.recipes, gives the rest.
        device: precision, channels_last, compile.
        note: what a reader must know.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: str
    family: Literal["images", "text", "regression"] = "images"
    size: Literal["paper", "small"] = "paper"
    dataset: str
    model: str
    exits: str | list[int] = "every"
    head: str = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    regimes: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    recipe: dict[str, Any] = Field(default_factory=dict)
    device: Machine = Machine()
    note: str = ""

    def lacks(self) -> str:
        """What this version does not have yet and the entry needs; empty where it can run."""
        parts = []
        if self.dataset not in data.names():
            parts.append(f"data set {self.dataset}")
        if self.model not in models.names():
            parts.append(f"model {self.model}")
        return ", ".join(parts)

    def full_recipe(self) -> Recipe:
        """The recipe with all its fields, those of the device included."""
        given = {name: None if value == "off" else value for name, value in self.recipe.items() if name != "preset"}
        clash = set(given) & set(Machine.model_fields)
        if clash:
            raise SettingError(f"recipe: {min(clash)} belongs to the table device")
        base = recipes.preset(self.recipe["preset"]).recipe.model_dump() if "preset" in self.recipe else {}
        return Recipe(**{**base, **given, **self.device.model_dump()})


@dataclass(frozen=True)
class Planned:
    """One run of an entry."""

    entry: Entry
    regime: str
    seed: int

    @property
    def title(self) -> str:
        """Entry, regime and seed, for messages."""
        return f"{self.entry.name} {self.regime} seed {self.seed}"

    def settings(self) -> dict[str, Any]:
        """All that is asked for, as plain values: what a record must equal to be current."""
        entry = self.entry
        phases = [phase.described() for phase in phases_of(self.regime, entry.epochs)]
        return {
            "dataset": entry.dataset,
            "model": entry.model,
            "exits": entry.exits,
            "head": entry.head,
            "threads": entry.threads,
            "regime": self.regime,
            "seed": self.seed,
            "phases": phases,
            "recipe": entry.full_recipe().model_dump(),
        }

    def run(self, device: str) -> Run:
        """The run on a device.

        Raises:
            SettingError: something it names is not known, or does not fit.
        """
        entry = self.entry
        return Run(
            dataset=entry.dataset,
            model=entry.model,
            exits=entry.exits if isinstance(entry.exits, str) else tuple(entry.exits),
            head=entry.head,
            threads=entry.threads,
            regime=self.regime,
            seed=self.seed,
            epochs=entry.epochs,
            recipe=entry.full_recipe(),
            device=device,
            snapshots=False,
        )


@dataclass(frozen=True)
class Plan:
    """Entries in the order of work."""

    entries: tuple[Entry, ...]

    def planned(self, only: str | None = None) -> Iterator[Planned]:
        """The runs in the order of work: an entry after the other, in it a seed in all regimes, then the next seed.

        Raises:
            SettingError: there is no entry called `only`.
        """
        if only is not None:
            choose("only", only, [entry.name for entry in self.entries])
        for entry in self.entries:
            if only in (None, entry.name):
                for seed in entry.seeds:
                    for regime in entry.regimes:
                        yield Planned(entry, regime, seed)


def records_folder() -> Path:
    """Where the published records and their plan are: EECORE_RECORDS, else book/results of this checkout."""
    own = os.environ.get("EECORE_RECORDS")
    return Path(own).expanduser() if own else Path(__file__).resolve().parents[2] / "results"


def read_plan(path: str | os.PathLike[str] | None = None) -> Plan:
    """Read and check a plan.

    Args:
        path: of a TOML file: a table [all] of what holds for every entry that does not say otherwise, and an array
            [[entry]]; None: plan.toml in records_folder().
    Raises:
        SettingError: it cannot be read, or a key, name or value is not allowed; one line that says where.
    """
    file = Path(path) if path is not None else records_folder() / PLAN
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        if path is None and not in_checkout() and not os.environ.get("EECORE_RECORDS"):
            raise SettingError(
                "plan: there is none: it and the published records are in the project's repository, in book/results, "
                "and not in the package; name that folder in the variable EECORE_RECORDS"
            ) from None
        raise SettingError(f"plan: {file} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"plan: {file.name} is not TOML: {error}") from None
    for key in content:
        choose(f"{file.name}", key, ["all", "entry"])
    shared, rows = content.get("all", {}), content.get("entry", [])
    if not isinstance(shared, dict) or not isinstance(rows, list) or not rows:
        raise SettingError(f"plan: {file.name} needs a table [all], which may be missing, and at least one [[entry]]")
    entries = tuple(_entry(file.name, i, {**shared, **row}) for i, row in enumerate(rows))
    for what, column in (
        ("called", [entry.name for entry in entries]),
        ("of", [f"{entry.size} {entry.model} on {entry.dataset}" for entry in entries]),  # tables show these alone
    ):
        twice = next((value for value in column if column.count(value) > 1), None)
        if twice:
            raise SettingError(f"plan: {file.name} has two entries {what} {twice!r}")
    return Plan(entries)


def _entry(file: str, index: int, values: dict[str, Any]) -> Entry:
    """One checked entry; what is wrong is said with the file's and the entry's name."""
    name = values.get("name", f"entry {index + 1}")
    try:
        if isinstance(values.get("device"), dict):
            values = {**values, "device": Machine(**values["device"])}
        entry = Entry(**values)
        for regime in entry.regimes:
            choose("regimes", regime, regimes())
        for column in (entry.regimes, entry.seeds):
            if len(set(column)) < len(column):
                raise SettingError(f"an item is there twice in {column}")
        if "preset" not in entry.recipe or not entry.lacks():
            entry.full_recipe()
    except SettingError as error:
        raise SettingError(f"{file}, {name}: {' '.join(str(error).split())}") from None
    return entry
