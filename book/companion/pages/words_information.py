"""Sentences and tables about mutual information that are computed: which estimator holds, how far, and where not."""

import pandas as pd

from eecore.errors import SettingError

_HIGHEST = 1e-9
_LITTLE = 0.25  # of the range tested: what is right up to there only is right where there is nothing to see


def usable_table(ranges: pd.DataFrame) -> pd.DataFrame:
    """`information_checks.usable_ranges` as text, one row for each quantity, estimator, N and D."""
    rows = []
    for row in ranges.itertuples():
        holds = "–" if pd.isna(row.holds) else f"{row.holds:.0%} of cases"
        rows.append(
            {
                "quantity": row.quantity,
                "estimator": row.estimator,
                "N": str(row.n),
                "D": str(row.d),
                "bias (nats)": f"{row.bias_low:+.2f} to {row.bias_high:+.2f}",
                "largest sd": "–" if pd.isna(row.spread) else f"{row.spread:.2f}",
                "within tolerance up to": _reach(row.up_to, row.tested),
                "kept as a bound": holds,
            }
        )
    return pd.DataFrame(rows)


def usable_in_words(ranges: pd.DataFrame, tolerance: float) -> str:
    """Which estimators may be used, and up to where: a Markdown line for each quantity and estimator.

    Args:
        ranges: from information_checks.usable_ranges, of one N.
        tolerance: that it was made with.
    """
    sizes = " and ".join(str(n) for n in dict.fromkeys(ranges["n"]))
    lines = [f"With N = {sizes}, an error of {tolerance:g} nats plus {tolerance:.0%} of the truth being accepted:", ""]
    for (quantity, estimator), part in ranges.groupby(["quantity", "estimator"], sort=False):
        each = [f"D = {row.d} {_reach(row.up_to, row.tested)}" for row in part.itertuples()]
        full = (part["up_to"] >= part["tested"] - _HIGHEST).all()
        none = (part["up_to"] < _LITTLE * part["tested"]).all()
        verdict = "usable in the whole range" if full else "not usable as a value" if none else "usable in a part"
        kind = part["kind"].iloc[0]
        kept = "" if kind == "estimate" else f"; as {_article(kind)} it held in {part['holds'].mean():.0%} of cases"
        lines.append(f"- {quantity}, {estimator}: **{verdict}** ({', '.join(each)}{kept})")
    return "\n".join(lines)


def violation_table(violations: pd.DataFrame) -> pd.DataFrame:
    """`information_measures.violations` as text: how often and by how much, one row for each quantity and estimator."""
    rows = []
    for (dataset, quantity, estimator), part in violations.groupby(["dataset", "quantity", "estimator"], sort=False):
        rows.append(
            {
                "data": dataset,
                "quantity": quantity,
                "estimator": estimator,
                "sees": "all of Z" if part["whole"].all() else "a part of Z",
                "networks with a violation": f"{(part['bad'] > 0).mean():.0%} of {len(part)}",
                "blocks": f"{part['bad'].sum() / part['blocks'].sum():.0%}",
                "largest excess, mean (nats)": f"{part['excess'].mean():.2f}",
                "largest excess of all": f"{part['excess'].max():.2f}",
            }
        )
    return pd.DataFrame(rows)


def violations_in_words(violations: pd.DataFrame) -> str:
    """What the violations mean for trusting an estimator: a Markdown line for each quantity and estimator.

    Raises:
        SettingError: there are no rows.
    """
    if violations.empty:
        raise SettingError("violations: there are no rows")
    lines = []
    for (quantity, estimator), part in violations.groupby(["quantity", "estimator"], sort=False):
        often, excess = (part["bad"] > 0).mean(), part["excess"].mean()
        if often == 0:
            said = f"no violation in {len(part)} networks; that does not make its values right"
        else:
            said = (
                f"violated in {often:.0%} of {len(part)} networks, there by {excess / often:.2f} nats in the mean: "
                f"a difference of that size between two blocks of one network says nothing about information"
            )
        lines.append(f"- {quantity}, {estimator}: {said}")
    return "\n".join(lines)


def _reach(up_to: float, tested: float) -> str:
    if up_to <= 0:
        return "nowhere"
    return f"up to {up_to:.2g} nats{' (all tested)' if up_to >= tested - _HIGHEST else f' of {tested:.2g}'}"


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
