"""Sentences about heads and places of exits, computed from differences with intervals."""

import pandas as pd

from companion.pages.head_sizes import OUTCOMES
from companion.plotting import regime_style


def costs(sizes: pd.DataFrame) -> str:
    """What the early heads cost together, a Markdown line for each model.

    Args:
        sizes: from companion.pages.head_sizes.sizes.
    """
    lines = []
    for model, part in sizes.drop_duplicates(["model", "setting"]).groupby("model", sort=False):
        named = [
            f"{row.setting} {row.macs_fraction:.1%}{' (base)' if row.base else ''}"
            for row in part[part["axis"] == "head"].sort_values("macs_fraction").itertuples()
        ]
        said = f"- {model}: all early heads together cost, in % of the network without them: {', '.join(named)}"
        lines.append(f"{said}." if named else f"- {model}: its heads are not changed.")
    return "\n".join(lines)


def leaders(frame: pd.DataFrame) -> str:
    """Which regime has the largest mean under each setting, a Markdown line for each model and outcome.

    Args:
        frame: from sensitivity.varied_outcomes; the base may stand in it twice.
    """
    lines = []
    for model, part in frame.groupby("model", sort=False):
        part = part[~part["base"] | (part["axis"] == part["axis"].iloc[0])]
        for outcome in OUTCOMES:
            means = part.groupby(["setting", "regime"], sort=False)[outcome].mean().unstack("regime")
            best = means.idxmax(axis=1)
            counts = best.value_counts()
            usual = counts.index[0]
            others = [
                f"*{regime_style(str(name)).label}* with {setting}" for setting, name in best.items() if name != usual
            ]
            said = f"- {model}, {outcome}: *{regime_style(str(usual)).label}* has the largest mean with "
            said += f"{int(counts.iloc[0])} of {len(best)} settings"
            lines.append(f"{said}; {', '.join(others)}." if others else f"{said}.")
    return "\n".join(lines)


def what_changes(changed: pd.DataFrame) -> str:
    """Which differences between regimes depend on a setting, a Markdown line for each model and setting.

    Args:
        changed: from companion.pages.head_sizes.changed.
    """
    lines = []
    for (model, axis, setting), part in changed.groupby(["model", "axis", "setting"], sort=False):
        moved = part[part["apart"]]
        named = [
            f"{row.conclusion} ({row.points:+.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}])"
            for row in moved.itertuples()
        ]
        said = f"- {model}, {axis} {setting}: {len(moved)} of {len(part)} differences can be told apart from the base's"
        lines.append(f"{said}: {'; '.join(named)}." if named else f"{said}.")
    expected = 0.05 * len(changed)
    lines.append(
        f"\nOf all {len(changed)} comparisons with the base, {int(changed['apart'].sum())} exclude zero; about "
        f"{expected:.1f} would do so by chance if nothing depended on heads or places."
    )
    return "\n".join(lines)
