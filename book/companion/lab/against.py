"""The paper's numbers beside those of the records, and in what the two differ."""

import pandas as pd

from companion.lab.reading import Records
from companion.plotting import regime_style
from eecore.evidence import interval, published_frame

NOTHING = "–"


def paper_against_ours(found: Records, rule: str = "confidence") -> pd.DataFrame:
    """One row for each number of the paper, as text, with ours at the same budget where there are records.

    Args:
        found: the records; those whose model and data set the paper has are used.
        rule: exit rule of our numbers.
    Returns:
        Columns "network, data", regime, paper (%), ours (%) (at 100 % of the backbone's cost, threshold chosen on
        validation), ours, threshold from test (%) (the reading of the paper's own code), ours, last exit (%), and
        how ours was made. Ours are means with half widths of 95 % intervals over seeds; behind those within a budget
        stands what was spent of the backbone's cost on test.
    """
    rows = []
    for paper in published_frame().itertuples():
        own = found.only(model=[paper.model], dataset=[paper.dataset], regime=[paper.regime])
        for name in own.provenance["name"].unique() if len(own) else [None]:
            part = own.only(name=[name])
            rows.append(
                {
                    "network, data": paper.title,
                    "regime": regime_style(paper.regime).label,
                    "paper (%)": paper.said,
                    "ours (%)": _within(part, rule, "validation"),
                    "ours, threshold from test (%)": _within(part, rule, "test sweep"),
                    "ours, last exit (%)": _last(part),
                    "how ours was made": differences(part),
                }
            )
    return pd.DataFrame(rows)


def _within(part: Records, rule: str, choice: str) -> str:
    frame = part.budgets
    chosen = frame[(frame["rule"] == rule) & (frame["choice"] == choice) & (frame["budget"] == 1.0)]
    accuracy, spent = _text(chosen["accuracy"]), chosen["spent"].mean()
    return accuracy if accuracy == NOTHING else f"{accuracy}, spends {100 * spent:.0f} %"


def _last(part: Records) -> str:
    frame = part.exits[part.exits["split"] == "test"]
    return _text(frame[frame["exit"] == frame["exit"].max()]["accuracy"])


def _text(values: pd.Series) -> str:
    known = 100 * values.dropna().astype(float)
    if known.empty:
        return NOTHING
    estimate = interval(known)
    half = f" ± {estimate.high - estimate.mean:.2f}" if estimate.n > 1 else ""
    return f"{estimate.mean:.2f}{half} (n = {estimate.n})"


def differences(part: Records) -> str:
    """In what records differ from the paper's runs, in words: stopping, recipe, data, device.

    The paper ends phases by early stopping and has about four seeds; that is all of its recipe that is known here.
    """
    if not len(part):
        return "no record yet"
    made = part.provenance
    said = [
        f"phases of {_each(made['epochs'])} epochs instead of early stopping",
        _each(made["recipe"]),
        f"seeds {', '.join(map(str, sorted(made['seed'].unique())))} instead of about four",
        f"on {_each(made['device'])}",
    ]
    notes = [note for note in made["data_note"].unique() if note]
    stale = int((made["state"] == "stale").sum())
    return "; ".join([*said, *notes, *([f"{stale} of {len(part)} records are stale"] if stale else [])])


def _each(values: pd.Series) -> str:
    return " or ".join(map(str, values.unique()))
