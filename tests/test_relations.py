"""Tables that relate networks and measurements, and their sentences, by hand."""

import numpy as np
import pandas as pd
import pytest

from companion import words
from companion.pages import relations

CELL = {"dataset": "d", "model": "m"}


def test_pairs_have_one_name_whatever_comes_first():
    frame = pd.DataFrame({"regime_a": ["mixed", "joint", "zeta"], "regime_b": ["joint", "mixed", "mixed"], "seed_a": 7})
    found = relations.pair_names(frame)
    assert found["pair"].tolist() == ["joint and mixed", "joint and mixed", "mixed and zeta"]
    assert (found["seed"] == 7).all()


def test_mean_of_regimes_by_hand():
    rows = [("joint", 0, 0, 0.2), ("mixed", 0, 0, 0.4), ("joint", 0, 1, 0.6), ("mixed", 1, 0, 1.0)]
    frame = pd.DataFrame(rows, columns=["regime_a", "seed_a", "block_a", "cka"]).assign(**CELL, pair="two seeds")
    found = relations.mean_of_regimes(frame, "cka", ["block_a"])
    assert list(found) == ["dataset", "model", "pair", "seed", "block_a", "cka"]
    by = found.set_index(["seed", "block_a"])["cka"]
    assert by.to_dict() == pytest.approx({(0, 0): 0.3, (0, 1): 0.6, (1, 0): 1.0})


def test_gains_side_by_side():
    part = pd.DataFrame({"a": ["mixed", "joint_long"], "b": "joint", "mean": [0.012, -0.1], "low": [0.001, np.nan]})
    part = part.assign(**CELL, high=[0.023, np.nan])
    table = relations.side_by_side_gains({"exit": part, "probe": part.iloc[::-1].assign(mean=0.5)})
    assert list(table) == ["dataset", "model", "difference", "exit", "probe"]
    assert table["difference"].tolist() == ["mixed − joint", "joint, mixed's budget − joint"]
    assert table["exit"].tolist() == ["+1.2 [0.1, 2.3]", "-10.0"]
    assert table["probe"].tolist() == ["+50.0 [0.1, 2.3]", "+50.0"]


TITLES = {"rank": "rank", "pull": "pull of the middle", "alike": "CKA"}


def found():
    """As from correlations: three measurements, two outcomes; alike never varied for the last exit."""
    rows = [
        ("rank", "first", 0.5, 0.2, 0.8, 0.001, 0.006),
        ("pull", "first", -0.7, -0.9, -0.4, 0.0001, 0.0006),
        ("alike", "first", 0.1, -0.3, 0.4, 0.6, 0.9),
        ("rank", "last", 0.3, 0.0, 0.6, 0.04, 0.16),
        ("pull", "last", 0.1, -0.3, 0.4, 0.7, 0.9),
        ("alike", "last", np.nan, np.nan, np.nan, np.nan, np.nan),
    ]
    return pd.DataFrame(rows, columns=["feature", "outcome", "r", "low", "high", "p", "p_holm"])


def test_correlations_as_a_table():
    table = relations.correlation_table(found(), TITLES)
    assert list(table) == ["measurement", "first", "last"]
    assert table["measurement"].tolist() == ["rank", "pull of the middle", "CKA"]
    assert table["first"].tolist() == ["+0.50 [+0.20, +0.80]*", "-0.70 [-0.90, -0.40]*", "+0.10 [-0.30, +0.40]"]
    assert table["last"].tolist() == ["+0.30 [+0.00, +0.60]", "+0.10 [-0.30, +0.40]", "–"]
    strict = relations.correlation_table(found(), TITLES, level=0.001)
    assert strict["first"].str.endswith("*").tolist() == [False, True, False]


def test_associations_name_the_strongest_first_and_count_the_rest():
    said = words.associations(found(), TITLES).splitlines()
    assert said == [
        "- *first* goes with: pull of the middle (-0.70), rank (+0.50). Not told apart from no correlation: 1 of the "
        "others.",
        "- *last* goes with: nothing that stands after the correction. Not told apart from no correlation: 2 of the "
        "others.",
    ]
    strict = words.associations(found(), TITLES, level=0.001).splitlines()[0]
    assert strict.startswith("- *first* goes with: pull of the middle (-0.70). Not told apart from no correlation: 2")


def test_unexplained_in_words():
    shares = pd.DataFrame({
        "outcome": ["first"] * 3 + ["last"] * 3, "predictor": ["regime", "measurements", "both"] * 2,
        "r2": [0.5, 0.3, 0.62, 0.4, -0.1, 0.35], "n": 9,
    })  # fmt: skip
    said = words.unexplained(shares.sample(frac=1, random_state=0).sort_values("outcome")).splitlines()
    assert said[0] == (
        "- *first*: the regime's name alone explains 50%, the measurements without it 30%, both 62%. Beyond the name, "
        "the measurements add +12 points; 38% stay unexplained."
    )
    assert "the measurements without it -10%, both 35%. Beyond the name, the measurements add -5 points; 65%" in said[1]
