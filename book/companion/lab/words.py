"""What the page of published runs says and shows of records: sentences and tables of text."""

from collections.abc import Sequence

import pandas as pd

from companion import plotting, tables
from companion.lab.against import NOTHING
from companion.lab.reading import EVEN, Records


def coverage(state: pd.DataFrame) -> str:
    """How much of the plan is there, from `status`."""
    said = []
    for size, what in (("paper", "runs of the paper's size"), ("small", "small runs")):
        part = state[state["size"] == size]
        counts = {name: int(part[name].sum()) for name in ("planned", "done", "stale", "missing")}
        said.append(
            f"- {counts['planned']} {what} are planned: **{counts['done']} are there**, {counts['stale']} are "
            f"stale, {counts['missing']} are missing."
        )
    return "\n".join(said)


def count_in_words(found: Records, what: str) -> str:
    """How many records a section rests on."""
    if not len(found):
        return f"There are no records {what} so far: this section has nothing to show."
    names = found.provenance["title"].unique()
    devices = ", ".join("CPU" if name == "cpu" else name for name in found.provenance["device"].unique())
    return f"{len(found)} records {what}: {'; '.join(names)}. Trained on: {devices}."


def unequal_training(found: Records) -> str:
    """A sentence for each entry where mixed had more training than joint, and joint with mixed's budget no record."""
    lines = []
    for (title, name), part in found.provenance.groupby(["title", "name"], sort=False):
        regimes = set(part["regime"])
        if not {"mixed", "joint"} <= regimes or "joint_long" in regimes:
            continue
        spent = found.costs[found.costs["name"] == name].groupby("regime")["training_macs"].mean()
        lines.append(
            f"{title}: **no record of joint with mixed's budget yet.** Mixed took "
            f"{spent['mixed'] / spent['joint']:.2f} times joint's multiply-adds of training here, so a lead of mixed "
            "over joint may be one of training."
        )
    return "\n\n".join(lines)


def status_table(state: pd.DataFrame) -> pd.DataFrame:
    """`status` as text, for a page."""
    columns = ["title", "size", "planned", "done", "stale", "missing", "why", "note"]
    return state[columns].rename(columns={"title": "entry"}).astype(str)


def with_budget_names(budgets: pd.DataFrame) -> pd.DataFrame:
    """Budgets with a column `column`: "25%", ..., "unlimited"."""
    names = ["unlimited" if budget == float("inf") else f"{budget:.0%}" for budget in budgets["budget"]]
    return budgets.assign(column=names)


def chosen_among(budgets: pd.DataFrame) -> str:
    """From which thresholds those for budgets were chosen, as a sentence; not all records chose from the same.

    Args:
        budgets: of Records.
    Example:
        >>> chosen_among(pd.DataFrame({"name": "a", "regime": "joint", "seed": [0, 1], "among": "100 even ones"}))
        'Thresholds were chosen from 100 even ones, which may leave much of a budget unspent.'
    """
    counts = budgets.drop_duplicates(["name", "regime", "seed"])["among"].value_counts()
    if counts.empty:
        return "No record has an accuracy within a budget."
    said = "; ".join(
        f"{among} ({count} of {counts.sum()} runs)" if len(counts) > 1 else among for among, count in counts.items()
    )
    unspent = ", which may leave much of a budget unspent" if set(counts.index) == {EVEN} else ""
    mixed = ": runs of the two kinds need not spend the same of a budget" if len(counts) > 1 else ""
    return f"Thresholds were chosen from {said}{unspent}{mixed}."


def differences_at_ends(found: Records, regimes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Paired differences between regimes at the first and the last exit, from tables.differences, entry by entry.

    A pair of regimes that has no seed in common in an entry is left out there, and so are regressions, which have no
    accuracy.

    Args:
        found: records.
        regimes: which may be compared.
    """
    exits = found.exits[(found.exits["split"] == "test") & found.exits["accuracy"].notna()]
    last = exits.groupby("name")["exit"].transform("max")
    ends = []
    for rows in (exits[exits["exit"] == 1], exits[exits["exit"] == last]):
        parts = [_differences(part, regimes) for _, part in rows.groupby("name", sort=False)]
        ends.append(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame())
    return ends[0], ends[1]


def _differences(part: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    seeds = {regime: set(rows["seed"]) for regime, rows in part.groupby("regime")}
    pairs = [(a, b) for a, b in tables.comparisons(regimes) if seeds.get(a, set()) & seeds.get(b, set())]
    return tables.differences(part, "accuracy", pairs, ["dataset", "model"])


def linear_in_words(found: Records) -> str:
    """A sentence for each entry of texts: what a linear model reaches on them, and the last exit in its best regime."""
    exits = found.exits[found.exits["split"] == "test"]
    last = exits[exits["exit"] == exits.groupby("name")["exit"].transform("max")]
    lines = []
    for (title, name), part in found.provenance.groupby(["title", "name"], sort=False):
        linear = part["linear"].dropna()
        if len(linear):
            reached = last[last["name"] == name].groupby("regime")["accuracy"].mean()
            best, lead = str(reached.idxmax()), 100 * (reached.max() - linear.iloc[0])
            lines.append(
                f"- {title}: a linear model reaches {100 * linear.iloc[0]:.1f} %, the last exit at best "
                f"{100 * reached.max():.1f} % ({plotting.shown_value('regime', best)}), {abs(lead):.1f} points "
                f"{'more' if lead > 0 else 'less'}."
            )
    return "\n".join(lines)


def rows_in_words(against: pd.DataFrame) -> str:
    """How many of the paper's rows have a counterpart, from `paper_against_ours`."""
    there = int((against["ours, last exit (%)"] != NOTHING).sum())
    return (
        f"Of {len(against)} rows, {there} have a record of ours beside them and {len(against) - there} have none yet."
    )


def provenance_table(found: Records) -> pd.DataFrame:
    """Where each entry's records come from, as text: a row for each entry, device, commit and version of torch."""
    both = found.provenance.merge(found.costs[["name", "regime", "seed", "training_seconds"]])
    rows = []
    for keys, part in both.groupby(["title", "device", "torch", "commit", "state"], sort=False):
        title, device, version, commit, state = map(str, keys)
        busy = part["utilisation"].dropna()
        rows.append(
            {
                "entry": title,
                "records": f"{len(part)} ({state})",
                "device": f"{device}, {_each(part['threads'])} thread",
                "busy (%)": f"{busy.mean():.0f}" if len(busy) else NOTHING,
                "seconds": f"{part['training_seconds'].sum():.0f}",
                "torch": version,
                "commit": commit,
                "finished": f"{part['finished'].min()[:10]} to {part['finished'].max()[:10]}",
                "data": _each(part["fingerprint"].str[:12]),
                "recipe": _each(part["recipe"]),
            }
        )
    return pd.DataFrame(rows)


def _each(values: pd.Series) -> str:
    return " or ".join(map(str, values.unique()))
