"""The first page's answer: counts and costs that are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from companion.pages.answer import answer
from eecore.evidence import detectable

SEEDS = 4
# accuracy at the first and at the last exit, for each data set and regime; seeds differ by a hair
ACCURACY = {
    "one": {"disjoint": (0.5, 0.8), "joint": (0.7, 0.8), "mixed": (0.7, 0.9), "joint_long": (0.8, 0.9)},
    "two": {"disjoint": (0.5, 0.8), "joint": (0.7, 0.7), "mixed": (0.6, 0.9), "joint_long": (0.8, 0.9)},
}
COST = {"disjoint": 50, "joint": 60, "mixed": 100, "joint_long": 102}


def frame(*regimes):
    rows = []
    for dataset, known in ACCURACY.items():
        for i, regime in enumerate(regimes):
            for seed in range(SEEDS):
                for exit_, value in zip((1, 3), known[regime], strict=True):
                    hair = 1e-4 * ((seed + i) % SEEDS)
                    rows.append([dataset, "m", regime, seed, exit_, value + hair])
    return pd.DataFrame(rows, columns=["dataset", "model", "regime", "seed", "exit", "accuracy"])


def spent(*regimes):
    rows = [[d, "m", r, s, float(COST[r])] for d in ACCURACY for r in regimes for s in range(SEEDS)]
    return pd.DataFrame(rows, columns=["dataset", "model", "regime", "seed", "training_macs"])


def said(*regimes):
    return answer(frame(*regimes), spent(*regimes))


def test_equal_cost_comes_first_and_unequal_cost_is_said_beside_each_comparison():
    head, _, *lines = said("disjoint", "joint", "mixed", "joint_long").splitlines()
    assert head.startswith("Of 2 combinations of data and model")
    assert lines[:2] == [
        "- **At equal training cost (joint has as many epochs as both phases of mixed):** "
        "*joint, mixed's budget* beats *mixed* at the first exit in 2 of 2, and loses in 0; "
        "neither *mixed* nor *joint, mixed's budget* leads at the last exit (0 and 0 of 2).",
        "- **At unequal cost, as many epochs in every phase:** "
        "*joint* beats *mixed* at the first exit in 1 of 2, and loses in 0; "
        "*mixed* beats *joint* at the last exit in 2 of 2, and loses in 0 "
        "(*mixed* took 1.7 times the training of *joint*); "
        "*joint* beats *disjoint* at the first exit in 2 of 2, and loses in 0; "
        "*disjoint* beats *joint* at the last exit in 1 of 2, and loses in 0 "
        "(*joint* took 1.2 times the training of *disjoint*); "
        "*mixed* beats *disjoint* at the first exit in 2 of 2, and loses in 0; "
        "*mixed* beats *disjoint* at the last exit in 2 of 2, and loses in 0 "
        "(*mixed* took 2.0 times the training of *disjoint*).",
    ]


def test_what_the_seeds_could_have_seen_is_said_beside_neither():
    i, j = (frame("mixed", "joint_long")["regime"].unique().tolist().index(name) for name in ("mixed", "joint_long"))
    hairs = [1e-4 * ((seed + i) % SEEDS - (seed + j) % SEEDS) for seed in range(SEEDS)]
    least = detectable(float(np.std(hairs, ddof=1)), SEEDS)
    assert f"a true difference of {100 * least:.1f} points in four of five experiments" in said("mixed", "joint_long")


def test_what_was_not_trained_is_not_compared():
    assert said("joint", "mixed").count("\n- ") == 1
    assert "four of five" not in said("joint", "mixed")
    assert said("mixed") == ""


def test_one_seed_shows_nothing():
    exits, costs = frame("mixed", "joint_long"), spent("mixed", "joint_long")
    assert "One seed shows no difference" in answer(exits[exits["seed"] == 0], costs[costs["seed"] == 0])


@pytest.mark.parametrize("regimes", [("disjoint", "mixed"), ("mixed", "disjoint")])
def test_the_dearer_regime_is_named_whatever_the_order(regimes):
    assert "(*mixed* took 2.0 times the training of *disjoint*)" in said(*regimes)
