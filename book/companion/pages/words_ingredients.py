"""Sentences about ingredients of training, computed from their differences."""

from collections.abc import Sequence

import pandas as pd

from companion.pages.ingredients import orders
from companion.plotting import regime_style
from companion.words import verdicts

__all__ = ["costs_in_words", "gains_in_words", "orders_in_words", "shifts_in_words"]


def orders_in_words(frame: pd.DataFrame, outcomes: Sequence[str]) -> str:
    """Whether the order of the regimes' means stays as in the base, a Markdown line for each model and outcome.

    Args:
        frame: from sensitivity.varied_outcomes. The base may stand in it several times.
        outcomes: columns of it.
    """
    lines = []
    for outcome in outcomes:
        for model, part in orders(frame, outcome).groupby("model", sort=False):
            base, rest = part[part["base"]]["order"].iloc[0], part[~part["base"]]
            other = rest[[order != base for order in rest["order"]]]
            named = "; ".join(f"{row.setting}: {_ranked(row.order)}" for row in other.itertuples())
            said = f" Another order: {named}." if named else ""
            lines.append(
                f"- {model}, {outcome}: {_ranked(base)} in the base, and in {len(rest) - len(other)} of {len(rest)} "
                f"other settings.{said}"
            )
    return "\n".join(lines)


def _ranked(order: Sequence[str]) -> str:
    return " > ".join(regime_style(name).label for name in order)


def gains_in_words(found: pd.DataFrame) -> str:
    """What choices give the regimes, a Markdown line for each model and outcome.

    Args:
        found: from ingredients.gains.
    """
    lines = []
    judged = found.assign(verdict=verdicts(found))
    for (model, outcome), part in judged.groupby(["model", "outcome"], sort=False):
        said = []
        for verdict in ("higher", "lower"):
            rows = part[part["verdict"] == verdict]
            named = ", ".join(
                f"{r.setting} in *{regime_style(r.regime).label}* ({r.points:+.1f})" for r in rows.itertuples()
            )
            said.append(f"{len(rows)} **{verdict}**{f': {named}' if named else ''}")
        open_ones = int((part["verdict"] == "not told apart").sum())
        lines.append(f"- {model}, {outcome}: of {len(part)} comparisons, {'; '.join(said)}; {open_ones} not told apart")
    return "\n".join(lines)


def shifts_in_words(found: pd.DataFrame) -> str:
    """Which choices move a difference between regimes, a Markdown line for each model and conclusion.

    Args:
        found: from ingredients.shifts.
    """
    lines = []
    for (model, conclusion), part in found.groupby(["model", "conclusion"], sort=False):
        moved = part[part["apart"]]
        named = "; ".join(
            f"{r.setting} {r.points:+.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in moved.itertuples()
        )
        largest = part.loc[part["points"].abs().idxmax()]
        lines.append(
            f"- {model}, {conclusion}: moved by {len(moved)} of {len(part)} settings{f' ({named})' if named else ''}. "
            f"The largest mean change is {largest['points']:+.1f} points ({largest['setting']}, n = {largest['n']})."
        )
    return "\n".join(lines)


def costs_in_words(frame: pd.DataFrame, regime: str = "joint_long") -> str:
    """What training costs under each choice, relative to the base of its axis, in multiply-adds: one sentence a model.

    Args:
        frame: from sensitivity.varied_outcomes.
        regime: whose cost.
    """
    sentences = []
    for model, part in frame[frame["regime"] == regime].groupby("model", sort=False):
        said = []
        for _, rows in part.groupby("axis", sort=False):
            base = rows.loc[rows["base"], "training_macs"].mean()
            each = rows[~rows["base"]].groupby("setting", sort=False)["training_macs"].mean()
            said += [f"{name} {macs / base:.2f}" for name, macs in each.items()]
        label = regime_style(regime).label
        sentences.append(f"Multiply-adds of training *{model}* ({label}), relative to the base: {', '.join(said)}.")
    return "\n\n".join(sentences)
