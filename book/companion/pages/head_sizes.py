"""Other heads and other places of the exits: the same regimes are trained with each and compared again.

One thing is changed at a time; the base has the network's own heads behind every block.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from companion import tables
from companion.pages import contrasts
from companion.pages.sensitivity import Varied
from companion.plotting import regime_style
from eecore import models
from eecore.errors import SettingError
from eecore.training import Result, Run, grid

__all__ = ["OUTCOMES", "along_the_network", "asked", "changed", "plan", "sizes"]

OUTCOMES = ("first exit", "last exit", "area under the curve")
HEAD, PLACE = "head", "exits"


def plan(
    dataset: str,
    heads: Mapping[str, Sequence[str]],
    places: Mapping[str, Sequence[str]],
    regimes: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
) -> list[Varied]:
    """Every regime with every head and every placement, each changed alone.

    Args:
        dataset, regimes, seeds, epochs: what is trained; epochs are those of a phase.
        heads: model -> heads of its exits before the last, beside its own.
        places: model -> placements, beside an exit behind every block.
    Returns:
        The base, the run of all other pages, stands in both axes.
    Raises:
        SettingError: a head or a placement does not fit, or is that of the base; or there is no model.
    """
    chosen = list(dict.fromkeys([*heads, *places]))
    if not chosen:
        raise SettingError("heads: expected at least one model in heads or places, got none")
    out = []
    for model in chosen:
        base = grid([dataset], [model], regimes, seeds, epochs=epochs)
        own = str(described(base[0])["head"])
        for axis, usual, others in ((HEAD, own, heads.get(model, ())), (PLACE, "every", places.get(model, ()))):
            if usual in others:
                raise SettingError(f"{axis}: {usual!r} is what {model} has in the base; leave it out")
            out += [Varied(axis, usual, True, run) for run in base] if others else []
            for other in others:
                out += [Varied(axis, other, False, run.replace(**{axis: other})) for run in base]
    return out


def described(run: Run) -> dict[str, object]:
    """Size and cost of a run's network, see `eecore.models.describe`."""
    return models.describe(run.model, **run.network)


def asked(regimes: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """The comparisons of a page in each outcome: a title -> regimes a, b and outcome, for sensitivity.compared.

    Example:
        >>> asked(["joint", "mixed"])["mixed − joint, last exit"]
        ('mixed', 'joint', 'last exit')
    """
    return {
        f"{regime_style(a).label} − {regime_style(b).label}, {outcome}": (a, b, outcome)
        for a, b in tables.comparisons(regimes)
        for outcome in OUTCOMES
    }


def sizes(planned: Sequence[Varied]) -> pd.DataFrame:
    """What the early heads of each setting cost, beside the network without them.

    Args:
        planned: from `plan`.
    Returns:
        One row per model and setting: model, axis, setting, base, exits (K, the last one included), blocks (with an
        exit, counted from 1), parameters and macs (of all early heads), parameters_fraction and macs_fraction (of the
        network with its last exit alone), first_fraction (MACs to the first exit, the same unit).
    """
    rows: list[dict[str, object]] = []
    for varied in planned:
        if any((row["model"], row["axis"], row["setting"]) == (varied.run.model, *varied[:2]) for row in rows):
            continue
        whole, plain = described(varied.run), described(varied.run.replace(exits=(), head="auto", regime="joint"))
        macs, backbone = list(whole["macs"]), int(str(whole["backbone_macs"]))  # type: ignore[call-overload]
        parameters = int(str(whole["parameters"])) - int(str(plain["parameters"]))
        rows.append(
            {
                "model": varied.run.model,
                "axis": varied.axis,
                "setting": varied.setting,
                "base": varied.base,
                "exits": len(macs),
                "blocks": ", ".join(str(block + 1) for block in whole["exits"]),  # type: ignore[attr-defined]
                "parameters": parameters,
                "parameters_fraction": parameters / int(str(plain["parameters"])),
                "macs": macs[-1] - backbone,
                "macs_fraction": (macs[-1] - backbone) / backbone,
                "first_fraction": macs[0] / backbone,
            }
        )
    return pd.DataFrame(rows)


def along_the_network(planned: Sequence[Varied], results: Sequence[Result]) -> pd.DataFrame:
    """Accuracy on test of every exit, where it lies in the network.

    Args:
        planned: from `plan`.
        results: of its runs, in its order.
    Returns:
        One row per run and exit: the columns of tables.per_exit, axis, setting, base, block (from 1).
    Raises:
        SettingError: there are not as many results as runs.
    """
    if len(planned) != len(results):
        raise SettingError(f"results: expected one for each of {len(planned)} runs, got {len(results)}")
    parts = []
    for varied, result in zip(planned, results, strict=True):
        blocks = described(varied.run)["exits"]
        frame = tables.per_exit([result])
        labels = {"axis": varied.axis, "setting": varied.setting, "base": varied.base}
        parts.append(frame.assign(**labels, block=[block + 1 for block in blocks]))  # type: ignore[attr-defined]
    return pd.concat(parts, ignore_index=True)


def changed(frame: pd.DataFrame, conclusions: Mapping[str, tuple[str, str, str]]) -> pd.DataFrame:
    """How much each difference between regimes differs from the same difference in the base, paired over seeds.

    Args:
        frame: from sensitivity.varied_outcomes.
        conclusions: from `asked`.
    Returns:
        Columns dataset, model, axis, setting, conclusion, mean, low, high (fractions), n, p, apart (whether the
        interval excludes zero), points (the mean in percentage points): one row for each setting but the base.
    """
    parts = []
    for (_, axis), part in frame.groupby(["model", "axis"], sort=False):
        base = part.loc[part["base"], "setting"].iloc[0]
        for setting in dict.fromkeys(part.loc[~part["base"], "setting"]):
            for conclusion, (a, b, outcome) in conclusions.items():
                found = contrasts.changes(part, outcome, [(a, b)], ["dataset", "model"], "setting", (setting, base))
                parts.append(found.assign(axis=axis, setting=setting, conclusion=conclusion))
    found = pd.concat(parts, ignore_index=True)
    return found.assign(apart=(found["low"] > 0) | (found["high"] < 0), points=100 * found["mean"])
