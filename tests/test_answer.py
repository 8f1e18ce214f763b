"""The first page's answer: counts that are worked out by hand."""

import pandas as pd

from eecore.pages.answer import answer

SEEDS = 4
# accuracy at the first and at the last exit, for each data set and regime; seeds differ by a hair
ACCURACY = {
    "one": {"disjoint": (0.5, 0.8), "joint": (0.7, 0.8), "mixed": (0.7, 0.9), "joint_long": (0.8, 0.9)},
    "two": {"disjoint": (0.5, 0.8), "joint": (0.7, 0.7), "mixed": (0.6, 0.9), "joint_long": (0.8, 0.9)},
}


def frame(*regimes):
    rows = []
    for dataset, known in ACCURACY.items():
        for i, regime in enumerate(regimes):
            for seed in range(SEEDS):
                for exit_, value in zip((1, 3), known[regime], strict=True):
                    hair = 1e-4 * ((seed + i) % SEEDS)
                    rows.append([dataset, "m", regime, seed, exit_, value + hair])
    return pd.DataFrame(rows, columns=["dataset", "model", "regime", "seed", "exit", "accuracy"])


def test_who_is_ahead_is_counted_over_the_combinations():
    head, _, *lines = answer(frame("disjoint", "joint", "mixed", "joint_long")).splitlines()
    assert head.startswith("Of 2 combinations of data and model")
    assert lines == [
        "- **With equal epochs in every phase:** *joint* beats *mixed* at the first exit in 1 of 2, and loses in 0; "
        "*mixed* beats *joint* at the last exit in 2 of 2, and loses in 0.",
        "- **With equal training cost (joint has as many epochs as both phases of mixed):** "
        "*joint, mixed's budget* beats *mixed* at the first exit in 2 of 2, and loses in 0; "
        "neither *mixed* nor *joint, mixed's budget* leads at the last exit (0 and 0 of 2).",
        "- **With heads on a finished backbone instead:** "
        "*joint* beats *disjoint* at the first exit in 2 of 2, and loses in 0; "
        "*disjoint* beats *joint* at the last exit in 1 of 2, and loses in 0; "
        "*mixed* beats *disjoint* at the first exit in 2 of 2, and loses in 0; "
        "*mixed* beats *disjoint* at the last exit in 2 of 2, and loses in 0.",
    ]


def test_what_was_not_trained_is_not_compared():
    assert answer(frame("joint", "mixed")).count("\n- ") == 1
    assert answer(frame("mixed")) == ""
