"""Equal training cost: runs of several lengths and splits, and what is read from them, by hand and by slow twins."""

import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest

from companion import tables
from companion.pages import training_budget, training_seconds, words_training
from companion.parameters import check_parameters
from eecore.errors import SettingError
from eecore.training import Phase, Run, Store, grid, sweep
from eecore.training.identity import prefix_keys

CELL = {"dataset": "d", "model": "m", "outcome": "last exit"}


@pytest.fixture(scope="module")
def runs():
    return training_budget.ladder(["synthetic"], ["mlp_nano"], ["disjoint", "joint", "mixed"], range(2), [1, 2])


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs):
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


def test_a_ladder_has_each_run_once_and_the_reference_at_twice_each_length(runs):
    keys = [prefix_keys(run)[-1] for run in runs]
    assert len(set(keys)) == len(keys)
    lengths = {name: sorted({run.epochs for run in runs if run.regime == name}) for name in ("joint", "mixed")}
    assert lengths == {"joint": [1, 2, 4], "mixed": [1, 2]}  # twice 1 is there already
    assert {run.seed for run in runs} == {0, 1}


def test_a_ladder_is_made_of_the_main_grids_runs(runs):
    main = grid(["synthetic"], ["mlp_nano"], ["mixed", "joint_long"], [0], epochs=2)
    assert {prefix_keys(run)[-1] for run in main} <= {prefix_keys(run)[-1] for run in runs}


def test_splits_by_hand():
    runs = training_budget.splits(["digits"], ["mlp_nano"], [3], 8, [0, 0.25, 0.5, 1])
    assert [run.phases for run in runs] == [
        (Phase("all", 8),),
        (Phase("backbone", 2), Phase("all", 6)),
        (Phase("backbone", 4), Phase("all", 4)),
        (Phase("backbone", 8), Phase("heads", 8)),
    ]
    assert [training_budget.share_before(run) for run in runs] == [0, 0.25, 0.5, 1]
    assert [run.regime for run in runs] == ["joint", "mixed", "mixed", "disjoint"]
    mixed, long = grid(["digits"], ["mlp_nano"], ["mixed", "joint_long"], [3], epochs=4)
    assert prefix_keys(runs[2]) == prefix_keys(mixed)
    assert prefix_keys(runs[0]) == prefix_keys(long)


def test_a_share_of_a_tenth_is_a_whole_number_in_spite_of_rounding():
    (run,) = training_budget.splits(["digits"], ["mlp_nano"], [0], 30, [0.1])  # 0.1 * 30 is not 3 in floating point
    assert run.phases == (Phase("backbone", 3), Phase("all", 27))


def test_a_run_without_phases_1_and_2_has_no_share():
    run = Run(dataset="digits", model="mlp_nano", regime="heads_only", epochs=2)
    assert math.isnan(training_budget.share_before(run))


def test_long_outcomes_are_those_of_the_tables(results):
    frame = training_budget.long_outcomes(results)
    assert len(frame) == 3 * len(results)
    assert set(frame["outcome"]) == {"first exit", "last exit", "area under the curve"}
    for result in results:
        about = result.labels_of_run | {"epochs": result.run.epochs}
        own = frame[(frame[list(about)] == pd.Series(about)).all(axis=1)].set_index("outcome")
        assert own.loc["last exit", "value"] == tables.last_exit([result])["accuracy"].item()
        assert own.loc["first exit", "value"] == tables.per_exit([result])["accuracy"].iloc[0]
        assert own.loc["area under the curve", "value"] == tables.areas([result])["area"].item()
        assert (own["training_macs"] == result.training_macs).all()
        assert (own["share"] == training_budget.share_before(result.run)).all()


def long(rows):
    """Rows of (regime, epochs, seed, cost, value)."""
    frame = pd.DataFrame(rows, columns=["regime", "epochs", "seed", "training_macs", "value"])
    return frame.assign(**CELL, share=0.5, training_seconds=frame["training_macs"])


def test_at_equal_cost_by_hand():
    """Joint gains 0.2 with each factor of 10; at 1000, half way from 100 to 10000, it has 0.4."""
    rows = [("joint", 1, 0, 100.0, 0.2), ("joint", 2, 0, 10_000.0, 0.6), ("joint", 1, 1, 100.0, 0.0)]
    rows += [("joint", 2, 1, 10_000.0, 1.0), ("mixed", 1, 0, 1000.0, 0.5), ("mixed", 1, 1, 1000.0, 0.25)]
    rows += [("mixed", 2, 0, 10_000.0, 0.5), ("mixed", 3, 0, 10_001.0, 0.9), ("disjoint", 1, 0, 99.0, 0.9)]
    found = training_budget.at_equal_cost(long(rows))
    by = found.set_index(["regime", "epochs", "seed"])["difference"]
    assert by[("mixed", 1, 0)] == pytest.approx(0.1)
    assert by[("mixed", 1, 1)] == pytest.approx(-0.25)
    assert by[("mixed", 2, 0)] == pytest.approx(-0.1)  # at joint's own cost nothing is read between
    assert math.isnan(by[("mixed", 3, 0)])  # dearer than all of joint
    assert math.isnan(by[("disjoint", 1, 0)])  # cheaper than all of joint
    assert set(found["pair"]) == {"mixed − joint", "disjoint − joint"}
    said = words_training.left_out(found)
    assert said.startswith("2 of 5 runs cost less or more")
    assert "m, disjoint, 1 epochs a phase; m, mixed, 3 epochs a phase" in said
    assert words_training.left_out(found.dropna()) == "All 3 runs lie within the costs of the reference."


def test_at_equal_cost_is_what_a_plain_loop_reads():
    generator = np.random.default_rng(0)
    rows = [
        (regime, epochs, seed, epochs * factor * 1e9, generator.random())
        for regime, factor in (("joint", 1.0), ("mixed", 1.9))
        for epochs in (2, 4, 8, 16)
        for seed in range(3)
    ]
    frame = long(rows)
    found = training_budget.at_equal_cost(frame, cost="training_seconds")
    for row in found.itertuples():
        joint = sorted(
            (r.training_seconds, r.value) for r in frame.itertuples() if (r.regime, r.seed) == ("joint", row.seed)
        )
        expected = math.nan
        for (c0, v0), (c1, v1) in itertools.pairwise(joint):
            if c0 <= row.training_seconds <= c1:
                weight = math.log(row.training_seconds / c0) / math.log(c1 / c0)
                expected = row.value - (v0 + weight * (v1 - v0))
        assert row.difference == pytest.approx(expected, nan_ok=True)
    assert found["difference"].isna().sum() == 3  # mixed with 16 epochs


def test_one_regime_alone_is_compared_with_nobody():
    found = training_budget.at_equal_cost(long([("joint", 1, 0, 100.0, 0.2)]))
    assert found.empty
    assert {"pair", "difference"} <= set(found)


def splits_frame():
    """Two seeds for which 0.25 is best, one lucky at 0.5; the ends have 0.5 and 0.4."""
    inner = {0: {0.25: 0.60, 0.5: 0.50}, 1: {0.25: 0.62, 0.5: 0.55}, 2: {0.25: 0.50, 0.5: 0.90}}
    rows = [
        {**CELL, "seed": seed, "share": share, "value": value}
        for seed, own in inner.items()
        for share, value in {0.0: 0.5, **own, 1.0: 0.4}.items()
    ]
    return pd.DataFrame(rows)


def test_the_best_inner_split_is_chosen_by_the_other_seeds():
    found = training_budget.best_inner_split(splits_frame())
    chosen = found.drop_duplicates("seed").set_index("seed")["share"].to_dict()
    # others of 0: means 0.56 and 0.725; of 1: 0.55 and 0.70; of 2: 0.61 and 0.525
    assert chosen == {0: 0.5, 1: 0.5, 2: 0.25}
    joint = found[found["against"] == "against joint"].set_index("seed")["difference"]
    assert joint.to_dict() == pytest.approx({0: 0.0, 1: 0.05, 2: 0.0})  # seed 2's own luck at 0.5 does not count
    disjoint = found[found["against"] == "against disjoint"].set_index("seed")["difference"]
    np.testing.assert_allclose(disjoint - joint, 0.1)
    said = words_training.chosen_splits(found)
    assert said == "- m, last exit: share 0.25 for 1 of 3 seeds, share 0.5 for 2 of 3 seeds"


def test_one_seed_chooses_for_itself():
    one = splits_frame()
    found = training_budget.best_inner_split(one[one["seed"] == 2])
    assert set(found["share"]) == {0.5}


def test_gains_against_a_share_are_paired():
    found = training_budget.against_share(splits_frame()).set_index(["seed", "share"])["gain"]
    assert found[(0, 0.25)] == pytest.approx(10.0)
    assert found[(2, 1.0)] == pytest.approx(-10.0)
    assert (found.xs(0.0, level="share") == 0).all()


def test_typical_seconds_are_epochs_times_medians(results):
    epochs = training_seconds.epoch_seconds(results)
    usual = epochs.set_index("trains")
    history, seen = {"backbone": [], "all": [], "heads": []}, set()
    for result in results:
        for key, phase in zip(result.record["prefix_keys"], result.record["phases"], strict=True):
            history[phase["trains"]] += [] if key in seen else [row["seconds"] for row in phase["history"]]
            seen.add(key)
    for trains, seconds in history.items():
        assert usual.loc[trains, "seconds"] == pytest.approx(statistics.median(seconds))
        assert usual.loc[trains, "n"] == len(seconds)
    frame = training_seconds.typical_seconds(training_budget.long_outcomes(results), results)
    assert len(frame) == 3 * len(results)
    mixed = frame[(frame["regime"] == "mixed") & (frame["epochs"] == 2)]["training_seconds"]
    expected = 2 * statistics.median(history["backbone"]) + 2 * statistics.median(history["all"])
    np.testing.assert_allclose(mixed, expected)
    table = training_seconds.seconds_table(epochs)
    assert set(table["phase"]) == {"1: backbone", "2: backbone and heads", "3: heads"}


def test_verdicts_at_each_length_in_words():
    rows = [(2, 0.1, 0.05, 0.15), (5, -0.1, -0.15, -0.05), (10, 0.1, -0.1, 0.3), (20, 0.2, 0.1, 0.3)]
    found = pd.DataFrame(rows, columns=["epochs", "mean", "low", "high"])
    found = found.assign(model="m", outcome="last exit", pair="mixed − joint", n=5)
    each = words_training.at_each_length(pd.concat([found.iloc[1:].assign(model="other"), found]))
    assert list(each) == ["model", "outcome", "pair", "2 epochs", "5 epochs", "10 epochs", "20 epochs"]
    assert each.to_numpy().tolist() == [
        ["other", "last exit", "mixed − joint", "–", "-10.0 lower", "+10.0 not told apart", "+20.0 higher"],
        ["m", "last exit", "mixed − joint", "+10.0 higher", "-10.0 lower", "+10.0 not told apart", "+20.0 higher"],
    ]
    assert words_training.at_each_length(found.iloc[:0]).empty
    said = words_training.in_all(found)
    assert "of 4 comparisons at equal training cost, 2 higher, 1 lower, 1 not told apart" in said
    assert "smallest and largest mean -10.0 and +20.0 points" in said


JOINT = [("joint", 1, 0, 100.0, 0.2)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: training_budget.ladder(["digits"], ["mlp_nano"], ["mixed"], [0], [1]),
            "regimes: expected joint and o",
        ),
        (
            lambda: training_budget.ladder(["digits"], ["mlp_nano"], ["joint"], [0], [1]),
            "regimes: expected joint and o",
        ),
        (lambda: training_budget.splits(["digits"], ["mlp_nano"], [0], 10, [0.25]), "whole epochs of 10, got 0.25"),
        (lambda: training_budget.splits(["digits"], ["mlp_nano"], [0], 10, [1.1]), "numbers in .0, 1.* got 1.1"),
        (lambda: training_budget.at_equal_cost(long(JOINT), to="mixd"), "regime: 'mixd' is not known"),
        (lambda: training_budget.at_equal_cost(long(JOINT), cost="euros"), "cost: 'euros' is not known"),
        (
            lambda: training_budget.at_equal_cost(long([*JOINT, ("joint", 2, 0, 100.0, 0.3)])),
            "several runs of joint with one training_macs and seed",
        ),
        (lambda: training_budget.against_share(splits_frame(), 0.3), "share: 0.3 is not in the frame, which has 0.0"),
        (
            lambda: training_budget.best_inner_split(splits_frame().query("share > 0")),
            "shares: expected 0, 1 and at least one between them, got 0.25, 0.5, 1.0",
        ),
        (lambda: training_budget.best_inner_split(splits_frame().query("share in (0, 1)")), "at least one between"),
        (lambda: check_parameters({}, {"shares": [0, 1.5]}), r"shares: expected fractions from 0 to 1, got 1.5"),
        (lambda: check_parameters({}, {"shares": [True]}), r"shares: expected fractions from 0 to 1, got True"),
        (lambda: check_parameters({}, {"lengths": [2, 0]}), r"lengths: expected an integer from 1 .* got 0"),
        (lambda: check_parameters({}, {"lengths": 3}), r"lengths: expected a list"),
        (lambda: check_parameters({}, {"slack": -0.1}), r"slack: expected a fraction from 0 to 1, got -0.1"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
