"""The parameters that notebooks share: their names, what is allowed, and the one line that says what is wrong.

papermill only warns of an unknown parameter and checks no types; every notebook passes its parameters through here.
"""

import sys
from collections.abc import Callable
from typing import Any

from eecore import inference, models
from eecore.errors import EecoreError, SettingError, choose, shown
from eecore.evidence import CORRECTIONS
from eecore.grid_file import ENTRIES, dataset, integer, integers, listed, name_in, names_in
from eecore.methods import METHODS
from eecore.training.objectives import DISTILLATIONS, GRADIENTS, WEIGHTS


def _is_positive(item: float | int) -> bool:
    """Whether a number is above 0, inf for no limit, and not an integer beyond all that a float can hold."""
    return item > 0 and (isinstance(item, float) or item <= sys.float_info.max)


def _budgets(name: str, value: object) -> list[float]:
    for item in listed(name, value, "[0.25, 0.5, 0.75, 1.0]"):
        if isinstance(item, bool) or not isinstance(item, int | float) or not _is_positive(item):
            raise SettingError(f"{name}: expected fractions of the backbone's MACs above 0, got {shown(item)}")
    return [float(item) for item in value]  # type: ignore[attr-defined]


def _number(name: str, value: object, least: float | int, most: float | int, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise SettingError(f"{name}: expected {wanted}, got {shown(value)}")
    return float(value)


def _shares(name: str, value: object) -> list[float]:
    return [_number(name, item, 0, 1, "fractions from 0 to 1") for item in listed(name, value, "[0, 0.5, 1]")]


def _factors(name: str, value: object) -> list[float]:
    return [_number(name, item, 1e-3, 1e3, "factors from 0.001 to 1000") for item in listed(name, value, "[0.5, 2]")]


def _by_model(known: Callable[[str], object], example: str) -> Callable[[str, object], dict[str, list[str]]]:
    """A check for lists by model, such as heads, each entry passed to `known`."""

    def check(name: str, value: object) -> dict[str, list[str]]:
        if not isinstance(value, dict):
            raise SettingError(f"{name}: expected lists by model, such as {example}, got {shown(value)}")
        for model, items in value.items():
            choose(name, model, models.names())
            for item in listed(name, items, example):
                known(item)
        return {model: list(items) for model, items in value.items()}

    return check


def _budget(name: str, value: object) -> float:
    return _budgets(name, [value])[0]


def _fraction(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise SettingError(f"{name}: expected a number between 0 and 1, got {shown(value)}")
    return float(value)


def _odd(name: str, value: object) -> int:
    found = integer(3, 201)(name, value)
    if found % 2 == 0:
        raise SettingError(f"{name}: expected an odd integer, so that the grid has a centre, got {found}")
    return found


def _head(value: object) -> None:
    inner = value.removeprefix("cascade:") if isinstance(value, str) else value
    choose("heads", inner, models.heads.names())


def _place(value: object) -> None:
    if not isinstance(value, str):
        raise SettingError(f"places: expected descriptions such as 'every:2', got {shown(value)}")


def _exits(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{name}: expected a description such as 'every:2' or 'macs:4', got {shown(value)}")
    return value


CHECKS: dict[str, Callable[[str, object], Any]] = {
    **{name: ENTRIES[name] for name in ("datasets", "models", "regimes", "seeds", "more_seeds", "epochs")},
    "dataset": dataset,
    "source": dataset,
    "model": name_in(models.names),
    "seed": integer(0, 2**31 - 1),
    "rule": name_in(inference.rules),
    "rules": names_in(inference.rules, '["confidence", "entropy"]'),
    "criteria": names_in(lambda: list(inference.exit_rules()), '["confidence", "patience"]'),
    "epsilon": _fraction,
    "delta": _fraction,
    "budgets": _budgets,
    "budget": _budget,
    "samples": integer(20, 1_000_000),
    "sizes": integers(1, 1_000_000, "[25, 50, 100]"),
    "resamples": integer(1, 100_000),
    "rtol": _fraction,
    "noise": _fraction,
    "limit": _fraction,
    "level": _fraction,
    "agreement": _fraction,
    "correction": name_in(lambda: list(CORRECTIONS)),
    "analysed": names_in(models.names, '["vit_nano"]'),
    "steps": _odd,
    "points": integer(3, 1001),
    "lengths": integers(1, 100_000, "[2, 5, 10]"),
    "shares": _shares,
    "slack": lambda name, value: _number(name, value, 0, 1, "a fraction from 0 to 1"),
    "methods": names_in(lambda: ["plain", *METHODS], '["plain", "sdn"]'),
    "rates": _factors,
    "batches": integers(1, 1_000_000, "[50, 200]"),
    "repeats": integer(1, 1000),
    "patiences": integers(1, 100_000, "[2, 4]"),
    "heads": _by_model(_head, '{"mlp_nano": ["mlp:2"]}'),
    "places": _by_model(_place, '{"mlp_nano": ["every:2"]}'),
    "weights": names_in(lambda: list(WEIGHTS), '["linear", "adaloss"]'),
    "gradient_rules": names_in(lambda: list(GRADIENTS), '["equilibrium", "pcgrad"]'),
    "teachers": names_in(lambda: list(DISTILLATIONS), '["last", "later"]'),
    "temperature": lambda name, value: _number(name, value, 0.1, 100, "a temperature from 0.1 to 100"),
    "share": lambda name, value: _number(name, value, 0, 1, "a fraction from 0 to 1"),
    "sgd_rates": _factors,
    "exits": _exits,
    "images": integer(1, 10**9),
    "side": integer(8, 4096),
    "classes": integer(2, 10**6),
    "full_epochs": integer(1, 100_000),
    "batch": integer(1, 1_000_000),
    "speed": lambda name, value: _number(
        name, value, 1e-3, 1e5, "10^12 multiply-adds per second, from 0.001 to 100000"
    ),
    "workers": integers(1, 100_000, "[1, 2, 4]"),
    "min_delta": lambda name, value: _number(name, value, 0, 1000, "a number from 0 to 1000"),
}


def check_parameters(namespace: dict[str, Any], known: dict[str, object]) -> dict[str, Any]:
    """Check a notebook's parameters.

    Args:
        namespace: the notebook's globals() before anything but its parameters and imports is there.
        known: the parameters that the notebook has, with the values that arrived.
    Returns:
        The checked values.
    Raises:
        SettingError: a value is not allowed, or the namespace holds a parameter that the notebook does not have.
    """
    literals = (bool, int, float, str, list, tuple, dict, type(None))
    for name, value in namespace.items():
        injected = isinstance(value, literals) and not name.startswith("_") and name not in ("In", "Out")
        if injected and name not in known:
            choose("parameter", name, known)
    return {name: _checked(name, value) for name, value in known.items()}


def _checked(name: str, value: object) -> Any:
    """The value where it is allowed; an error begins with the parameter's name, whoever raises it."""
    try:
        return CHECKS[name](name, value)
    except EecoreError as error:
        if str(error).startswith(f"{name}:"):
            raise
        raise type(error)(f"{name}: {error}") from None
