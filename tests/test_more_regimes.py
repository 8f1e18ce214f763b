"""The page on regimes beyond three: its tables and sentences, by hand."""

import pandas as pd
import pytest

from companion.pages import more_regimes
from companion.pages.more_regimes import chain_in_words
from eecore.errors import SettingError
from eecore.training import Phase, grid, phases_of, regimes, sweep

SEEDS = [0, 1, 2]


def exits_of(values):
    """A frame as from `per_exit`: values[regime][exit - 1], a little more with each seed."""
    rows = [
        {"dataset": "d", "model": "m", "regime": name, "seed": seed, "exit": k + 1, "accuracy": v + 0.01 * seed}
        for name, own in values.items()
        for seed in SEEDS
        for k, v in enumerate(own)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(percent=100 * frame["accuracy"])


def outcomes_of(values):
    rows = [
        {"dataset": "d", "model": "m", "regime": name, "seed": seed, "outcome": "last exit", "value": value}
        for name, own in values.items()
        for seed, value in zip(SEEDS, own, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("full", "1 + 2 + 3"),
        ("refit", "2 + 3"),
        ("alternating", "2 (alternating)"),
        ("unfreeze_bottom", "2 (unfreeze bottom)"),
        ("random_backbone", "3 (every head)"),
        ("branch_wise", "branch to exit 1, ... 3"),
    ],
)
def test_chains_in_words(name, said):
    assert chain_in_words(phases_of(name, 4, exits=3)) == said


def test_a_chain_may_mix_branches_and_phases():
    chain = (Phase("branch", 1, exit=1), Phase("all", 1), Phase("branch", 1, exit=0))
    assert chain_in_words(chain) == "branch to exit 2 + 2 + branch to exit 1"


def test_controls_are_added_once_and_every_one_is_a_regime():
    names = more_regimes.with_controls(["gated", "mixed"])
    assert sorted(names) == sorted({"gated", *more_regimes.CONTROLS})
    assert set(names) <= set(regimes())


def test_early_parts_add_up_to_what_training_adds():
    exits = exits_of({"random_backbone": [0.3, 0.2], "detached": [0.5, 0.7], "joint": [0.6, 0.65]})
    parts = more_regimes.early_parts(exits)
    gains = parts.groupby(["part", "exit"], sort=False)["gain"].mean().round(6).to_dict()
    learns, reach = "the backbone learns, for its last exit", "the early heads reach the backbone"
    assert gains == {(learns, 1): 20.0, (learns, 2): 50.0, (reach, 1): 10.0, (reach, 2): -5.0}
    said = more_regimes.early_words(exits, parts)
    assert "an untrained backbone has 31.0 %, joint 61.0 %" in said
    assert f"{learns} +20.0 [20.0, 20.0] (n = 3); {reach} +10.0" in said


def test_a_regime_is_ahead_behind_or_not_told_apart():
    found = more_regimes.against(
        outcomes_of(
            {
                "mixed": [0.50, 0.60, 0.70],
                "gated": [0.51, 0.61, 0.71],
                "refit": [0.45, 0.56, 0.64],
                "full": [0.49, 0.62, 0.69],
            }
        ),
        "mixed",
    )
    assert found["a"].tolist() == ["full", "refit", "gated"]
    assert (found["p_holm"] >= found["p"]).all()
    said = more_regimes.order_words(found)
    assert "**ahead**: gated (+1.0); **behind**: refit (-5.0); **not told apart**: full (+0.0)" in said
    assert "Of 3 comparisons, 2 have an interval without zero" in said


def test_an_unknown_reference_is_named():
    with pytest.raises(SettingError, match="mixed"):
        more_regimes.against(outcomes_of({"joint": [0.5, 0.6, 0.7], "full": [0.5, 0.6, 0.7]}), "mixed")


def test_the_catalogue_of_trained_runs():
    names = ["joint", "joint_long", "branch_wise", "random_backbone"]
    results = sweep(grid(["synthetic"], ["mlp_nano"], names, [0, 1], epochs=1), progress=False, workers=1)
    table = more_regimes.catalogue(results)
    assert table["regime"].tolist() == ["joint", "joint, mixed's budget", "branch wise", "random backbone"]
    assert table["cost, mlp_nano"].tolist()[:2] == ["1.00", "2.00"]
    assert 0 < float(table["cost, mlp_nano"][3]) < 0.5
    assert table["from"][2] == "arXiv:2004.12814"
    exits = more_regimes.per_exit(results)
    assert list(dict.fromkeys(exits["label"])) == table["regime"].tolist()
    assert (exits["percent"] == 100 * exits["accuracy"]).all()
