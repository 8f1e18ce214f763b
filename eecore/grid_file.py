"""A grid of runs as a YAML file: what `python -m eecore sweep FILE` trains, every entry checked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eecore import data
from eecore import models as networks
from eecore.errors import SettingError, choose, shown
from eecore.training import Recipe, Run, grid, recipes
from eecore.training import regimes as known_regimes
from eecore.training.settings import check_device
from eecore.values import load_yaml

DEFAULTS: dict[str, Any] = {
    "datasets": ["mnist1d"],
    "models": ["vit_nano"],
    "regimes": ["disjoint", "joint", "mixed"],
    "seeds": [0],
}


def listed(name: str, value: object, example: str) -> list[Any]:
    """The entries of a list that is not empty and has none twice."""
    if not isinstance(value, list | tuple) or not value:
        alone = f"; one alone is written [{value}]" if isinstance(value, str) and 0 < len(value) <= 40 else ""
        raise SettingError(f"{name}: expected a list that is not empty, such as {example}, got {shown(value)}{alone}")
    if len({_whole(item) for item in value}) < len(value):
        raise SettingError(f"{name}: an entry is there twice in {shown(value)}")
    return list(value)


def _whole(item: object) -> str:
    """All of an entry as text, so that equals are seen."""
    try:
        return repr(item)
    except (ValueError, RecursionError):  # digits by the thousand, lists within lists by the thousand
        return shown(item)


def names_in(known: Callable[[], list[str]], example: str) -> Callable[[str, object], list[str]]:
    """A check for a list of known names."""

    def check(name: str, value: object) -> list[str]:
        return [choose(name, item, known()) for item in listed(name, value, example)]

    return check


def datasets(name: str, value: object) -> list[str]:
    """A check for a list of data sets."""
    for item in (found := listed(name, value, '["mnist1d"]')):
        dataset(name, item)
    return found  # as it was written, so that the command that makes the page again is as it was


def dataset(name: str, value: object) -> str:
    """A check for a data set that is there."""
    if not isinstance(value, str):
        raise SettingError(f"{name}: expected the name of a data set, got {shown(value)}")
    data.info(data.known(name, value))  # own data are looked through here, before anything is trained
    return value


def name_in(known: Callable[[], list[str]]) -> Callable[[str, object], str]:
    """A check for one known name."""
    return lambda name, value: choose(name, value, known())


def integer(least: int, most: int) -> Callable[[str, object], int]:
    """A check for one integer in [least, most]."""

    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise SettingError(f"{name}: expected an integer from {least} to {most}, got {shown(value)}")
        return value

    return check


def integers(least: int, most: int, example: str) -> Callable[[str, object], list[int]]:
    """A check for a list of integers in [least, most]."""
    return lambda name, value: [integer(least, most)(name, item) for item in listed(name, value, example)]


seeds = integers(0, 2**31 - 1, "[0, 1, 2]")


def more_seeds(name: str, value: object) -> list[int]:
    """A check for a list of seeds, which may be empty."""
    return [] if value in ([], ()) else seeds(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{name}: expected a text, got {shown(value)}")
    return value


def _exits(name: str, value: object) -> str | tuple[int, ...]:
    if isinstance(value, list | tuple) and value and all(type(item) is int for item in value):
        return tuple(value)
    if not isinstance(value, str):
        raise SettingError(
            f"{name}: expected 'every', 'every:2', 'macs:4' or a list of block indices, got {shown(value)}"
        )
    return value


def _recipe(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingError(f"{name}: expected settings such as {{lr: 0.001}}, got {shown(value)}")
    try:
        Recipe(**{str(key): item for key, item in value.items()})
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from None
    return value


def _yes_or_no(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"{name}: expected true or false, got {shown(value)}")
    return value


ENTRIES: dict[str, Callable[[str, object], Any]] = {
    "datasets": datasets,
    "models": names_in(networks.names, '["vit_nano"]'),
    "regimes": names_in(known_regimes, '["disjoint", "joint", "mixed"]'),
    "seeds": seeds,
    "more_seeds": more_seeds,
    "epochs": integer(1, 100_000),
    "exits": _exits,
    "head": _text,
    "recipe": _recipe,
    "preset": lambda name, value: choose(name, value, recipes.presets()),
    "threads": integer(1, 1024),
    "processes": integer(1, 256),
    "device": lambda name, value: check_device(_text(name, value)),
    "pretrained": _text,
    "snapshots": _yes_or_no,
}


def read_grid(path: Path) -> dict[str, Any]:
    """The entries of a grid file, as they are written.

    Raises:
        SettingError: the file cannot be read, is not YAML, or is no table of entries.
    """
    try:
        found = load_yaml(path.read_text(encoding="utf-8"))
    except ImportError:
        raise SettingError("grid: a grid file needs the package PyYAML: pip install pyyaml") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingError(f"grid: {path} cannot be read: {reason}") from None
    except SettingError as error:
        raise SettingError(f"grid: {path}: {error}") from None
    if not isinstance(found, dict):
        raise SettingError(f"grid: {path} holds no entries such as 'seeds: [0, 1, 2]', but {type(found).__name__}")
    return {str(name): value for name, value in found.items()}


def grid_runs(entries: Mapping[str, object]) -> list[Run]:
    """The runs of a grid.

    Args:
        entries: by name: datasets, models, regimes, seeds (lists); more_seeds, for the first data set alone; epochs of
            each phase; preset, the name of a recipe, or recipe, settings that differ from the default one of each model
            and data set; and exits, head, threads, processes, device, pretrained, snapshots as in `Run`. All are
            optional: without any, mnist1d, vit_nano, three regimes, seed 0, ten epochs.
    Returns:
        Every combination.
    Raises:
        SettingError: one line with each entry that is wrong, its name, what came and what is allowed.

    Example:
        >>> runs = grid_runs({"datasets": ["digits"], "models": ["mlp_nano"], "seeds": [0, 1], "epochs": 1})
        >>> len(runs), runs[0].recipe.lr
        (6, 0.012)
    """
    checked = _checked(entries)
    datasets, models, regimes, seeds = (checked.pop(name, default) for name, default in DEFAULTS.items())
    return grid(datasets, models, regimes, seeds, checked.pop("more_seeds", []), **checked)


def _checked(entries: Mapping[str, object]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    wrong = []
    for name, value in entries.items():
        try:
            checked[name] = ENTRIES[choose("entry", name, ENTRIES)](name, value)
        except SettingError as error:
            wrong.append(str(error))
    if wrong:
        raise SettingError("; ".join(wrong))
    return checked
