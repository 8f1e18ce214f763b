"""One cost, several lengths: pooled differences against plain loops over the record files; what is said of them."""

import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from companion import lab
from companion.pages import ladder

FOLDER = lab.records_folder() / "ladder"


def by_hand(folder, a, b, place):
    """Mean and ends of the interval over combinations, from the files."""
    right = defaultdict(dict)
    for path in folder.glob("*/*.json"):
        record = json.loads(path.read_text())
        about, accuracy = record["settings"], record["exits"]["test"]["accuracy"]
        right[about["dataset"], about["model"]][about["regime"], about["seed"]] = accuracy[place]
    seeds = range(5)
    means = [np.mean([cell[a, s] - cell[b, s] for s in seeds]) for cell in right.values()]
    half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
    return np.mean(means), np.mean(means) - half, np.mean(means) + half


@pytest.fixture(scope="module")
def found():
    return dict(ladder.complete(FOLDER))


@pytest.mark.parametrize("pair", ladder.PAIRS)
def test_pooled_differences_are_those_of_plain_loops(found, pair):
    frame = ladder.pooled({32: lab.records(found[32])}).set_index(["a", "b", "outcome"])
    for outcome, place in (("first exit", 0), ("last exit", -1)):
        row = frame.loc[(*pair, outcome)]
        assert [row["mean"], row["low"], row["high"]] == pytest.approx(by_hand(found[32], *pair, place), rel=1e-9)
        assert row["n"] == 6


def test_every_pair_costs_about_the_same(found):
    for length, folder in found.items():
        frame = ladder.pooled({length: lab.records(folder)})
        assert frame["cost"].between(0.9, 1.1).all()


def test_a_length_counts_when_all_its_runs_are_on_record(tmp_path):
    (tmp_path / "epochs32").mkdir()
    plan = tmp_path / "epochs32" / "plan.toml"
    plan.write_text((FOLDER / "epochs32" / "plan.toml").read_text())
    assert list(ladder.complete(tmp_path)) == []
    assert list(ladder.complete(tmp_path / "nowhere")) == []


def rows(first, last):
    """Two pairs at two lengths; each side is (mean, half width)."""
    return pd.DataFrame(
        [
            {"epochs": e, "outcome": outcome, "a": "mixed", "b": b, "mean": m, "low": m - h, "high": m + h, "n": 6}
            for outcome, (m, h) in (("first exit", first), ("last exit", last))
            for b in ("joint_long", "disjoint_long")
            for e in (8, 16)
        ]
    )


def test_the_answer_follows_the_intervals():
    said = ladder.in_words(rows((0.05, 0.01), (0.0, 0.01)))
    assert "**differ at the first exit, and at the last one they cannot be told apart**" in said
    assert "  - *mixed − joint*: +5.0 [+4.0, +6.0] at 8 epochs a phase, +5.0 [+4.0, +6.0] at 16 epochs a phase" in said
    other = ladder.in_words(rows((0.005, 0.01), (0.05, 0.01)))
    assert "told apart in 0% of the comparisons at the first exit, 100% at the last" in other
    assert ladder.in_words(ladder.pooled({})) == ""
