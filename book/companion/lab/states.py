"""What is there of a plan: for each planned run whether its record is done, stale or missing."""

from pathlib import Path
from typing import Any

import pandas as pd

from companion.lab.layout import plain, read_record
from companion.lab.plan import Plan, Planned, read_plan, records_folder
from eecore.errors import SettingError
from eecore.training import Recipe


def record_path(planned: Planned, folder: Path) -> Path:
    """Where a run's record is."""
    return folder / planned.entry.name / f"{planned.regime}-seed{planned.seed}.json"


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with a whole recipe: a field that Recipe did not have when the record was made has its default."""
    try:
        recipe = Recipe(**settings["recipe"]).model_dump()
    except (SettingError, KeyError, TypeError):
        return settings
    return plain({**settings, "recipe": recipe})


def stale_because(planned: Planned, record: dict[str, Any]) -> str:
    """The first setting in which a record differs from the plan, or "" where there is none.

    Returns:
        Such as "epochs: 10 in the record, 20 in the plan".
    """
    there, asked = _flat(_completed(record["settings"])), _flat(_completed(planned.settings()))
    for name in sorted({*there, *asked}):
        if there.get(name) != asked.get(name):
            return f"{name}: {there.get(name)} in the record, {asked.get(name)} in the plan"
    return ""


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of the recipe beside the others."""
    inner = {f"recipe.{name}": value for name, value in settings.get("recipe", {}).items()}
    return {**{name: value for name, value in settings.items() if name != "recipe"}, **inner}


def state_of(planned: Planned, folder: Path) -> tuple[str, str]:
    """State of a planned run, "done", "stale" or "missing", and why.

    Raises:
        DataError: its record cannot be read.
    """
    path = record_path(planned, folder)
    lacks = planned.entry.lacks()
    if not path.is_file():
        return "missing", f"needs {lacks}" if lacks else ""
    if "preset" in planned.entry.recipe and lacks:
        return "done", f"not compared with the plan: needs {lacks}"
    because = stale_because(planned, read_record(path))
    return ("stale", because) if because else ("done", "")


def runs_status(plan: Plan | None = None, folder: Path | None = None) -> pd.DataFrame:
    """One row per planned run: name, size, regime, seed, state (done, stale, missing), why."""
    plan, folder = plan or read_plan(), folder or records_folder()
    rows = []
    for planned in plan.planned():
        state, why = state_of(planned, folder)
        about = {"name": planned.entry.name, "size": planned.entry.size}
        rows.append({**about, "regime": planned.regime, "seed": planned.seed, "state": state, "why": why})
    return pd.DataFrame(rows)


def status(plan: Plan | None = None, folder: Path | None = None) -> pd.DataFrame:
    """One row per entry of the plan.

    Args:
        plan: None: plan.toml in `folder`'s default.
        folder: of the records; None: records_folder().
    Returns:
        Columns name, title, family, size, planned, done, stale, missing (numbers of runs), why (the first reason
        why a run is stale or cannot be made yet), note (of the plan).
    Raises:
        SettingError, DataError: the plan, or a record, cannot be read.
    """
    plan = plan or read_plan()
    runs = runs_status(plan, folder)
    rows = []
    for entry in plan.entries:
        own = runs[runs["name"] == entry.name]
        counts = {state: int((own["state"] == state).sum()) for state in ("done", "stale", "missing")}
        reasons = [why for why in own["why"] if why]
        about = {"name": entry.name, "title": entry.title, "family": entry.family, "size": entry.size}
        why = reasons[0] if reasons else ""
        rows.append({**about, "planned": len(own), **counts, "why": why, "note": entry.note})
    return pd.DataFrame(rows)
