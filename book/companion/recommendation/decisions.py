"""All recommendations of a frame of runs: as a table, as a tree of questions, with the runs behind them."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from companion.recommendation.advice import FINAL, IN_WORDS, TRAININGS, Recommendation, recommend
from companion.recommendation.words import gap_in_words, label, points
from eecore.errors import SettingError, choose

__all__ = ["answers", "decision_table", "decision_tree", "leads", "map_of", "runs_behind"]


def _name(budget: float) -> str:
    return FINAL if np.isinf(budget) else f"{100 * budget:g} %"


def answers(
    evidence: pd.DataFrame, budgets: Sequence[float | int], by: str | None = None, level: float | int = 0.95
) -> pd.DataFrame:
    """Every recommendation, one row each.

    Args:
        evidence: as for `recommend`.
        budgets: those of the evidence that are asked about; the final exit is added.
        by: "family" or "model": one answer for each of its values; "cell": one for each model on each data set; None:
            one for all runs.
        level: as for `recommend`.
    Returns:
        Columns group (such as "mlp", "mlp_nano on digits" or "all"), training, budget (inf: final exit), answer (a
        Recommendation).
        Trainings whose regimes the evidence lacks are left out, and so is what a broader group would have to answer.
    Raises:
        SettingError: `by` is something else, or nothing is left.
    """
    here = [training for training, regimes in TRAININGS.items() if set(regimes) <= set(evidence["regime"])]
    rows: list[dict[str, object]] = []
    for group, (model, dataset, family) in _asked(evidence, by).items():
        for training, budget in itertools.product(here, [*budgets, np.inf]):
            found = recommend(evidence, model, dataset, family, budget, training, level)
            if not found.broadened:
                rows.append({"group": group, "training": training, "budget": float(budget), "answer": found})
    if not rows:
        raise SettingError(f"evidence: lacks the regimes of every training: {'; '.join(map(str, TRAININGS.values()))}")
    return pd.DataFrame(rows)


def _asked(evidence: pd.DataFrame, by: str | None) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Name of each group -> the model, data set and family to ask about."""
    if by is None:
        return {"all": (None, None, None)}
    if choose("by", by, ["family", "model", "cell"]) == "cell":
        cells = evidence[["model", "dataset"]].drop_duplicates().itertuples(index=False, name=None)
        return {f"{model} on {dataset}": (model, dataset, None) for model, dataset in cells}
    return {name: (None, None, name) if by == "family" else (name, None, None) for name in evidence[by].unique()}


def decision_table(found: pd.DataFrame) -> pd.DataFrame:
    """Recommendations as a table of text: a row for each group and training, a column for each budget.

    Args:
        found: from `answers`.
    Returns:
        Cells such as "mixed, 2.1 [1.2, 3.0] above joint (n = 3; spent 98 and 97)", with what both spend of the
        backbone's cost on test in percent where that is known, or "mixed ≈ joint, 0.3 [-0.2, 0.8] (n = 3)" where the
        nearest cannot be told apart; "–" where no run answers.
    """
    cells = found.assign(text=[_cell(answer) for answer in found["answer"]], column=found["budget"].map(_name))
    table = cells.pivot(index=["group", "training"], columns="column", values="text")
    order = [_name(budget) for budget in sorted(found["budget"].unique())]
    rows = list(dict.fromkeys(zip(found["group"], found["training"], strict=True)))
    table = table.loc[rows, order].reset_index().fillna("–")
    table.columns.name = None
    return table


def _cell(answer: Recommendation) -> str:
    second = answer.table.iloc[1]
    best, other, gap = label(answer.regime), label(second["regime"]), gap_in_words(second)
    if second["n"] < 2:
        return f"{best}, {gap} above {other} (one seed)"
    text = f"{best}, {gap} above {other}" if second["apart"] else f"{best} ≈ {other}, {gap}"
    spent = answer.table["spent"].iloc[:2]
    behind = "" if spent.isna().any() else "; spent " + " and ".join(f"{100 * share:.0f}" for share in spent)
    return f"{text} (n\u00a0=\u00a0{second['n']}{behind})"  # a narrow column does not break the number


def map_of(found: pd.DataFrame) -> pd.DataFrame:
    """Recommendations for plotting.answer_map, a row for each, in the order of the budgets.

    Args:
        found: from `answers`.
    Returns:
        Columns group, training, column (budget, text), regime, apart, text ("+2.1 joint": lead in points, runner-up).
    """
    rows = []
    for row in found.sort_values("budget", kind="stable").itertuples():
        second = row.answer.table.iloc[1]
        text = f"{points(second['difference']):+.1f} {second['regime'].replace('_', ' ')}"
        about = {"group": row.group, "training": row.training, "column": _name(row.budget)}
        rows.append({**about, "regime": row.answer.regime, "apart": bool(second["apart"]), "text": text})
    order = list(dict.fromkeys(found["group"]))
    frame = pd.DataFrame(rows)
    return frame.sort_values("group", key=lambda names: names.map(order.index), kind="stable").reset_index(drop=True)


def decision_tree(found: pd.DataFrame) -> str:
    """Questions and answers as a nested Markdown list: first training, then inference, only where the answer differs.

    Args:
        found: from `answers`, of one group.
    """
    trees = {training: _branches(part) for training, part in found.groupby("training", sort=False)}
    if len({tuple(tree) for tree in trees.values()}) == 1:
        return "\n".join(_questions(next(iter(trees.values())), "")) + "\n"
    lines = ["- How is training made comparable?"]
    for training, tree in trees.items():
        lines += [f"    - {IN_WORDS[training].capitalize()}:", *_questions(tree, "        ")]
    return "\n".join(lines) + "\n"


def _branches(part: pd.DataFrame) -> list[tuple[str, str]]:
    """(budgets, answer) of one training; neighbouring budgets with the same answer are one branch."""
    branches: list[tuple[list[float], str]] = []
    for row in part.sort_values("budget").itertuples():
        said = _leaf(row.answer)
        if branches and branches[-1][1] == said:
            branches[-1][0].append(row.budget)
        else:
            branches.append(([row.budget], said))
    return [(", ".join(map(_name, budgets)), said) for budgets, said in branches]


def _leaf(answer: Recommendation) -> str:
    alike = " or ".join(label(name) for name in answer.alike)
    return f"**{label(answer.regime)}**" + (f" (not told apart from it: {alike})" if alike else "")


def _questions(tree: Iterable[tuple[str, str]], indent: str) -> list[str]:
    branches = list(tree)
    if len(branches) == 1:
        return [f"{indent}- At every budget of inference: {branches[0][1]}."]
    inner = [f"{indent}    - {budgets}: {said}." for budgets, said in branches]
    return [f"{indent}- How much of the backbone may inference cost?", *inner]


def leads(found: pd.DataFrame) -> pd.DataFrame:
    """How far each recommended regime is above each of the others, a row for each, for plotting.differences.

    Args:
        found: from `answers`.
    Returns:
        Columns training, label (group, budget and the two regimes), mean, low, high (fractions; low and high NaN where
        one seed gives no interval), n.
    """
    rows = []
    for row in found.itertuples():
        who = [] if row.group == "all" else [row.group]
        for _, other in row.answer.table.iloc[1:].iterrows():
            name = " · ".join([*who, _name(row.budget), f"{label(row.answer.regime)} − {label(other['regime'])}"])
            lead = {"mean": other["difference"], "low": other["low"], "high": other["high"], "n": other["n"]}
            rows.append({"training": row.training, "label": name, **lead})
    return pd.DataFrame(rows)


def runs_behind(found: pd.DataFrame) -> pd.DataFrame:
    """The runs behind any of the recommendations, as text: source, dataset, model, seeds, regimes; one row per cell.

    Args:
        found: from `answers`.
    """
    frame = pd.concat([answer.runs for answer in found["answer"]], ignore_index=True)
    keys, rows = ["source", "dataset", "model"], []
    for cell, part in frame.groupby(keys, sort=False):
        about = dict(zip(keys, cell, strict=True))
        for name in ("seeds", "regimes"):
            words = dict.fromkeys(word for text in part[name] for word in text.split(", "))
            about[name] = "; ".join(map(label, words)) if name == "regimes" else ", ".join(words)
        rows.append(about)
    return pd.DataFrame(rows)
