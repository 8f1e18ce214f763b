"""The ledger of claims in words and tables: every verdict here is computed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from companion.pages.claimed import GRID, RECORDS
from eecore.evidence.claims import Claim, Reading
from eecore.evidence.ledger import CONTRADICTED, SUPPORTED, UNDECIDED

__all__ = ["SOURCES", "claim_text", "counts_in_words", "ledger_rows", "reading_table", "summary", "summary_table"]

NB = "\u00a0"  # a space at which no line breaks
SOURCES = {GRID: "this book's grid", RECORDS: "published runs"}
_MARK = {said: f"{sign}{NB}{said}" for said, sign in ((SUPPORTED, "✓"), (CONTRADICTED, "✗"), (UNDECIDED, "?"))}


def summary(verdicts: pd.DataFrame, link: str = "") -> str:
    """The verdicts of the first source as a Markdown list, those of others behind them.

    Args:
        verdicts: from `evidence.claim_verdicts`.
        link: page that has a section for each claim; empty: no links.
    """
    lines = []
    for claim, part in verdicts.groupby("claim", sort=False):
        said = "; ".join(
            f"{SOURCES.get(row.source, row.source)}: **{row.verdict}** ({_counts(row)})" if row.measured else ""
            for row in part.itertuples()
        ).strip("; ")
        title = part["title"].iloc[0]
        named = f'<a href="{link}#claim-{str(claim).lower()}">{title}</a>' if link else title
        lines.append(f"- *{claim}*, {named}. {said[:1].upper() + said[1:] or 'Not measured.'}")
    return "\n".join(lines)


def counts_in_words(verdicts: pd.DataFrame, what: str = "claims") -> str:
    """How many claims (or readings) are supported, contradicted and undecided, a sentence for each source."""
    sentences = []
    for source, part in verdicts.groupby("source", sort=False):
        known = part[part["measured"] > 0]
        counted = Counter(known["verdict"])
        told = ", ".join(f"{counted[said]} {said}" for said in (SUPPORTED, CONTRADICTED, UNDECIDED))
        left = f", {len(part) - len(known)} not measured" if len(known) < len(part) else ""
        sentences.append(f"From {SOURCES.get(str(source), source)}, of {len(part)} {what}: {told}{left}.")
    return " ".join(sentences)


def summary_table(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per claim as text: the verdict from each source, and how many of its readings are for or against it."""
    rows = []
    for claim, part in verdicts.groupby("claim", sort=False):
        row = {"claim": f"{claim}: {part['title'].iloc[0]}"}
        for each in part.itertuples():
            measured = f"{_MARK[each.verdict]} ({_counts(each)})" if each.measured else "not measured"
            row[SOURCES.get(each.source, each.source)] = measured
        rows.append(row)
    return pd.DataFrame(rows).fillna("not measured")


def _counts(row: Any) -> str:
    """How many readings of a claim are for it and against it."""
    return f"{row.supported} of {row.readings} readings for, {row.contradicted} against"


def claim_text(claim: Claim) -> str:
    """What the claim is, where it comes from, where it is measured and what its tests leave out, in Markdown."""
    pages = dict.fromkeys(reading.page for reading in claim.readings)
    links = ", ".join(f'<a href="{page}.html">{page[3:].replace("_", " ")}</a>' for page in pages)
    return (
        f'<h3 id="claim-{claim.name.lower()}">{claim.name}. {claim.title[:1].upper() + claim.title[1:]}</h3>\n\n'
        f"> {claim.text}\n\n**In the paper:** {claim.where}. **Measured on:** {links}. **Not covered:** {claim.scope}"
    )


def reading_table(judged: pd.DataFrame, readings: Mapping[str, Reading], claim: str) -> pd.DataFrame:
    """The readings of one claim as text: verdict, effect with interval, cells and numbers, from each source."""
    rows = []
    part = judged[judged["claim"] == claim].sort_values("reading", kind="stable")
    for row in part.itertuples():
        reading = readings[row.reading]
        if row.cells == 0 and row.source != judged["source"].iloc[0]:
            continue
        rows.append(
            {
                "reading": row.reading,
                "what is found if it holds": reading.says,
                "from": SOURCES.get(row.source, row.source),
                "verdict": _MARK[row.verdict] if row.cells else "not measured",
                "effect": _effect(row.effect, row.low, row.high, reading),
                "combinations": f"{row.supporting} for, {row.opposing} against, of {row.cells}",
                "n": str(row.n),
            }
        )
    return pd.DataFrame(rows)


def _effect(mean: float, low: float, high: float, reading: Reading) -> str:
    if np.isnan(mean):
        return "–"
    numbers = [f"{reading.scale * number:+.1f}" for number in (mean, low, high)]
    interval = "" if np.isnan(low) else f" [{numbers[1]},{NB}{numbers[2]}]"
    return f"{numbers[0]}{interval} {reading.unit}"


def ledger_rows(
    judged: pd.DataFrame, claims: Iterable[Claim], readings: Mapping[str, Reading]
) -> list[dict[str, object]]:
    """The ledger as plain data, a row for each reading and source, for a file that others read.

    Returns:
        Rows: claim (its text), title, reading, says, source, verdict, effect, interval (two numbers; None where there
        is none), unit, cells, supporting, opposing, n (runs, or pairs of runs of one seed), page.
    """
    texts = {claim.name: claim for claim in claims}
    rows = []
    for row in judged.itertuples():
        reading, claim = readings[row.reading], texts[row.claim]
        effect, low, high = (_plain(reading.scale * number) for number in (row.effect, row.low, row.high))
        about = {"claim": claim.text, "title": claim.title, "reading": row.reading, "says": reading.says}
        found = {"source": row.source, "verdict": row.verdict, "effect": effect}
        found["interval"] = None if low is None else [low, high]
        sides = {"cells": row.cells, "supporting": row.supporting, "opposing": row.opposing}
        rows.append({**about, **found, "unit": reading.unit, **sides, "n": row.n, "page": f"pages/{row.page}.html"})
    return rows


def _plain(number: float) -> float | None:
    return round(float(number), 4) if np.isfinite(number) else None
