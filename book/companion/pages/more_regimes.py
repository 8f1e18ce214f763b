"""Regimes beyond the paper's: what each is made of, what it is worth, and what the controls say."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import pandas as pd

from companion import tables
from companion.pages.contrasts import each_difference
from companion.plotting import regime_order, regime_style
from companion.words import verdicts
from eecore.evidence import corrected, interval
from eecore.training import Phase, Result, regime

__all__ = ["CONTROLS", "against", "catalogue", "early_parts", "early_words", "order_words", "per_exit", "with_controls"]

CONTROLS = ("disjoint", "joint", "mixed", "joint_long", "full", "refit", "detached", "random_backbone")
NUMBERS = {"backbone": "1", "all": "2", "heads": "3"}
EARLY = (
    ("detached", "random_backbone"),
    ("joint", "detached"),
)  # what a trained backbone adds; what its heads add to it
CELL = ["dataset", "model"]


def with_controls(regimes: Sequence[str]) -> list[str]:
    """The regimes, and those that this page cannot do without.

    Example:
        >>> with_controls(["gated", "joint"])[:4]
        ['disjoint', 'joint', 'mixed', 'joint_long']
    """
    return regime_order([*regimes, *CONTROLS])


def chain_in_words(phases: Sequence[Phase]) -> str:
    """A chain of phases by the paper's numbers, with the rule of each phase.

    Example:
        >>> chain_in_words((Phase("backbone", 1), Phase("all", 1, rule="alternating")))
        '1 + 2 (alternating)'
        >>> chain_in_words((Phase("branch", 1, exit=0), Phase("branch", 1, exit=1)))
        'branch to exit 1, ... 2'
    """
    parts = []
    for is_branch, group in groupby(phases, key=lambda phase: phase.exit is not None):
        members = list(group)
        if is_branch:
            places = [phase.exit + 1 for phase in members if phase.exit is not None]
            parts.append(f"branch to exit {places[0]}" + (f", ... {places[-1]}" if len(places) > 1 else ""))
        else:
            rules = [f" ({phase.rule.replace('_', ' ')})" if phase.rule else "" for phase in members]
            parts += [f"{NUMBERS[phase.trains]}{rule}" for phase, rule in zip(members, rules, strict=True)]
    return " + ".join(parts)


def catalogue(results: Iterable[Result]) -> pd.DataFrame:
    """A table of text: each regime's phases, source, and the cost of its training relative to joint's.

    Args:
        results: of all models and regimes, joint among them.
    """
    runs = list(results)
    costs = tables.relative(tables.training_costs(runs), "training_macs", "joint")
    mean = costs.groupby(["regime", "model"], sort=False)["relative"].mean()
    first = {run.run.regime: run.run for run in reversed(runs)}
    rows = []
    for name in regime_order(first):
        phases = first[name].phases or ()
        about = {"regime": regime_style(name).label, "phases": chain_in_words(phases)}
        cost = {f"cost, {model}": f"{mean[name, model]:.2f}" for model in costs["model"].unique()}
        rows.append({**about, **cost, "from": regime(name).source or "–"})
    return pd.DataFrame(rows)


def per_exit(results: Iterable[Result]) -> pd.DataFrame:
    """`tables.per_exit` with the columns label (of the regime, in the order of every legend) and percent."""
    frame = tables.per_exit(results)
    order = {name: i for i, name in enumerate(regime_order(frame["regime"]))}
    labels = [regime_style(name).label for name in frame["regime"]]
    frame = frame.assign(label=labels, percent=100 * frame["accuracy"], place=frame["regime"].map(order))
    return frame.sort_values(["dataset", "model", "place", "seed", "exit"], kind="stable").drop(columns="place")


def against(outcomes: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Every regime against one of them, paired over seeds.

    Args:
        outcomes: from `training_budget.long_outcomes`, of one number of epochs.
        reference: a regime.
    Returns:
        The frame of `tables.differences` with the columns outcome, p_holm (corrected over all of its rows) and a label
        of model and regime.
    Raises:
        SettingError: the reference is not in the frame.
    """
    pairs = [(name, reference) for name in regime_order(outcomes["regime"]) if name != reference]
    found = tables.differences(outcomes, "value", pairs, [*CELL, "outcome"])
    labels = [f"{row.model} · {regime_style(row.a).label}" for row in found.itertuples()]
    return found.assign(label=labels, p_holm=corrected(found["p"]))


def order_words(found: pd.DataFrame, level: float = 0.05) -> str:
    """Which regimes are ahead of the reference, level with it and behind it, a Markdown line for each outcome.

    Args:
        found: from `against`.
        level: of Holm's p.
    """
    lines, judged = [], found.assign(verdict=verdicts(found))
    for (model, outcome), part in judged.groupby(["model", "outcome"], sort=False):
        said = []
        for word, verdict in (("ahead", "higher"), ("behind", "lower"), ("not told apart", "not told apart")):
            rows = part[part["verdict"] == verdict].sort_values("mean", ascending=False)
            means = [round(100 * mean, 1) + 0.0 for mean in rows["mean"]]  # + 0.0: no "-0.0"
            named = [f"{regime_style(a).label} ({mean:+.1f})" for a, mean in zip(rows["a"], means, strict=True)]
            said.append(f"**{word}**: {', '.join(named) or 'none'}")
        lines.append(f"- {model}, {outcome}: {'; '.join(said)}")
    kept, apart = int((found["p_holm"] < level).sum()), int((judged["verdict"] != "not told apart").sum())
    lines.append(
        f"\nOf {len(found)} comparisons, {apart} have an interval without zero; {kept} stand after Holm's correction "
        f"over all of them at {level:g}."
    )
    return "\n".join(lines)


def early_parts(exits: pd.DataFrame) -> pd.DataFrame:
    """What a trained backbone and heads that reach it add to the accuracy of each exit, seed by seed.

    Args:
        exits: from `per_exit`, with the regimes random_backbone, detached and joint.
    Returns:
        Columns dataset, model, exit, seed, part (in words) and gain (percentage points).
    """
    each = each_difference(exits, "accuracy", EARLY, [*CELL, "exit"])
    names = [f"{regime_style(a).label} − {regime_style(b).label}" for a, b in EARLY]
    words = ("the backbone learns, for its last exit", "the early heads reach the backbone")
    return each.assign(part=each["pair"].map(dict(zip(names, words, strict=True))), gain=100 * each["difference"])


def early_words(exits: pd.DataFrame, parts: pd.DataFrame, place: int = 1) -> str:
    """Where joint's accuracy at an early exit comes from, a Markdown line for each model.

    Args:
        exits: from `per_exit`.
        parts: from `early_parts` of it.
        place: the exit, from 1.
    """
    lines, at = [], exits[exits["exit"] == place]
    for model, part in parts[parts["exit"] == place].groupby("model", sort=False):
        base = at[(at["model"] == model) & (at["regime"] == "random_backbone")]["percent"].mean()
        whole = at[(at["model"] == model) & (at["regime"] == "joint")]["percent"].mean()
        said = [f"{name} {interval(rows['gain']):.1f}" for name, rows in part.groupby("part", sort=False)]
        lines.append(
            f"- {model}, exit {place}: a head on an untrained backbone has {base:.1f} %, joint {whole:.1f} %. Of the "
            f"difference, in points: {'; '.join(said)}."
        )
    return "\n".join(lines)
