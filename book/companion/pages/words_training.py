"""Sentences about training cost and training settings, computed from differences with intervals."""

import pandas as pd

from companion.plotting import regime_style
from companion.words import verdicts

_ORDER = ("higher", "lower", "not told apart")


def at_each_length(found: pd.DataFrame) -> pd.DataFrame:
    """Whether a regime is ahead at equal cost, as text: a row for each model, outcome and pair, a column a length.

    Args:
        found: from tables.estimates of training_budget.at_equal_cost, with columns model, outcome, pair and
            epochs.
    Returns:
        Cells such as "+2.1 higher" or "-0.3 not told apart", in percentage points; "–" where nothing was compared.
    """
    said = [f"{100 * mean:+.1f} {verdict}" for mean, verdict in zip(found["mean"], verdicts(found), strict=True)]
    cells = found.assign(said=said, length=[f"{epochs} epochs" for epochs in found["epochs"]])
    keys = ["model", "outcome", "pair"]
    table = cells.pivot(index=keys, columns="length", values="said")
    rows = list(dict.fromkeys(cells[keys].itertuples(index=False, name=None)))
    columns = [f"{epochs} epochs" for epochs in sorted(found["epochs"].unique())]
    table = table.loc[rows, columns].reset_index().fillna("–")
    table.columns.name = None
    return table


def in_all(found: pd.DataFrame) -> str:
    """How often each verdict falls over all models and lengths, a sentence for each pair and outcome.

    Args:
        found: as in `at_each_length`.
    """
    lines = []
    judged = found.assign(verdict=verdicts(found))
    for (pair, outcome), part in judged.groupby(["pair", "outcome"], sort=False):
        counted = [f"{int((part['verdict'] == verdict).sum())} {verdict}" for verdict in _ORDER]
        lines.append(
            f"- {pair}, {outcome}: of {len(part)} comparisons at equal training cost, {', '.join(counted)}; smallest "
            f"and largest mean {100 * part['mean'].min():+.1f} and {100 * part['mean'].max():+.1f} points."
        )
    return "\n".join(lines)


def left_out(differences: pd.DataFrame) -> str:
    """How many runs could not be compared, because the reference has none that is as cheap, or as dear.

    Args:
        differences: from companion.pages.training_budget.at_equal_cost.
    """
    runs = differences.drop_duplicates(["dataset", "model", "regime", "epochs", "seed"])
    missing = runs[runs["difference"].isna()]
    if missing.empty:
        return f"All {len(runs)} runs lie within the costs of the reference."
    which = sorted({(row.model, row.regime, row.epochs) for row in missing.itertuples()})
    named = "; ".join(f"{model}, {regime_style(name).label}, {epochs} epochs a phase" for model, name, epochs in which)
    return (
        f"{len(missing)} of {len(runs)} runs cost less or more than any run of the reference and are left out: {named}."
    )


def survival(found: pd.DataFrame) -> pd.DataFrame:
    """Which conclusions survive the other settings, as text: a row for each model and conclusion.

    Args:
        found: from companion.pages.sensitivity.compared. The base may stand in it several times.
    Returns:
        Columns model, conclusion, base (such as "+2.1 higher", percentage points), and under how many other settings
        the verdict is the same, the opposite one, lost (not told apart) or gained (told apart there alone); behind a
        number that is not zero the settings with their means, but for the same verdict.
    """
    lines = []
    judged = found.assign(verdict=verdicts(found))
    for (model, conclusion), part in judged.groupby(["model", "conclusion"], sort=False):
        base, rest = part[part["base"]].iloc[0], part[~part["base"]]
        clear, same = base["verdict"] != "not told apart", rest["verdict"] == base["verdict"]
        lost = clear & (rest["verdict"] == "not told apart")
        kinds = {"opposite": clear & ~same & ~lost, "lost": lost, "gained": ~same & (not clear)}
        about = {"model": model, "conclusion": conclusion, "base": f"{base['points']:+.1f} {base['verdict']}"}
        lines.append({**about, "same": str(int(same.sum())), **{kind: _which(rest[of]) for kind, of in kinds.items()}})
    return pd.DataFrame(lines)


def _which(rows: pd.DataFrame) -> str:
    """How many settings, and which, with their means."""
    named = "; ".join(f"{row.axis} {row.setting}: {row.points:+.1f}" for row in rows.itertuples())
    return f"{len(rows)} ({named})" if named else "0"


def unequal_budgets(ratios: pd.DataFrame, slack: float = 0.05) -> str:
    """Under which settings the control that may spend mixed's budget does not spend it.

    Args:
        ratios: from companion.pages.sensitivity.cost_ratio. The base may stand in it several times.
        slack: a mean ratio within this fraction of 1 counts as equal.
    """
    usual = ratios.loc[ratios["base"], "ratio"].mean()
    means = ratios[~ratios["base"]].groupby(["model", "axis", "setting"], sort=False)["ratio"].mean()
    off = means[(means - 1).abs() > slack]
    said = (
        f"Joint with mixed's budget costs {usual:.0%} of mixed's multiply-adds in the base, and within {slack:.0%} of "
        f"them under {len(means) - len(off)} of {len(means)} other settings"
    )
    named = [f"{model} {axis} {setting}: {ratio:.0%}" for (model, axis, setting), ratio in off.items()]
    return f"{said}; elsewhere: {'; '.join(named)}." if named else f"{said}."


def chosen_splits(best: pd.DataFrame) -> str:
    """Which split was chosen, a Markdown line for each model and outcome.

    Args:
        best: from companion.pages.training_budget.best_inner_split.
    """
    lines = []
    for (model, outcome), part in best.drop_duplicates(["model", "outcome", "seed"]).groupby(
        ["model", "outcome"], sort=False
    ):
        counted = part["share"].value_counts(sort=False).sort_index()
        named = [f"share {share:g} for {count} of {len(part)} seeds" for share, count in counted.items()]
        lines.append(f"- {model}, {outcome}: {', '.join(named)}")
    return "\n".join(lines)


def front_in_words(points: pd.DataFrame) -> str:
    """Whose points the front consists of, a Markdown line for each model and outcome.

    Args:
        points: from companion.pages.pareto.fronts.
    """
    lines = []
    for (model, outcome), part in points.groupby(["model", "outcome"], sort=False):
        shares = part.groupby("regime", sort=False)["front"].agg(["sum", "size"])
        named = [
            f"{regime_style(str(regime)).label} {kept} of {size}"
            for regime, (kept, size) in zip(shares.index, shares.to_numpy().tolist(), strict=True)
        ]
        lines.append(f"- {model}, {outcome}, points on the front: {', '.join(named)}")
    return "\n".join(lines)


def chosen_settings(best: pd.DataFrame) -> str:
    """Under which setting each regime is best on validation, a Markdown line for each.

    Args:
        best: from companion.pages.sensitivity.own_best.
    """
    lines = []
    for (model, regime), part in best.groupby(["model", "regime"], sort=False):
        row = part.iloc[0]
        edge = ", the last value that was tried on that side" if row["edge"] else ""
        lines.append(
            f"- {model}, *{regime_style(str(regime)).label}*: {row['axis']} {row['setting']} "
            f"({part['validation'].mean():.1%} on validation, {part['last exit'].mean():.1%} on test){edge}"
        )
    return "\n".join(lines)
