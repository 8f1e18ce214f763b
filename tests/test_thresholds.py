"""The page on thresholds: frames against plain loops, sentences from frames whose answer is known, pooling by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from companion import tables
from companion.pages import thresholds, words_thresholds
from companion.pages.pooling import over_cells
from companion.pages.thresholds import ALL, ORACLE, SWEEP
from eecore.errors import SettingError
from eecore.inference import budget_table, resampled_budgets
from eecore.inference.resample import ONE, PER_EXIT
from eecore.training import Store, grid, sweep

BUDGETS = [0.5, 1.0]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = grid(["synthetic"], ["mlp_nano"], ["joint", "mixed"], [0, 1], epochs=1)
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


@pytest.fixture(scope="module")
def readings(results):
    return thresholds.readings(results, [5, 20, 10_000], 4, budgets=BUDGETS)


def test_readings_are_means_over_draws_counted_one_by_one(results, readings):
    for result in results:
        total = result.validation_logits.shape[1]
        drawn = resampled_budgets(
            result.validation_logits,
            result.test_logits,
            result.test_labels,
            result.macs,
            result.backbone_macs,
            [5, 20, total],
            4,
            budgets=BUDGETS,
            seed=result.run.seed,
        )
        own = readings[(readings["regime"] == result.run.regime) & (readings["seed"] == result.run.seed)]
        assert sorted(own["size"].unique()) == ["20", "5", ALL, "test"]
        for row in own[own["size"] != "test"].itertuples():
            draws = drawn[(drawn["samples"] == row.samples) & (drawn["method"] == row.method)]
            draws = draws[draws["budget"] == row.budget]
            used = [macs / (row.budget * result.backbone_macs) for macs in draws["macs"]]
            assert row.accuracy == pytest.approx(sum(draws["accuracy"]) / len(draws))
            assert row.used == pytest.approx(sum(used) / len(used))
            assert row.exceeds == sum(u > 1 + 1e-9 for u in used) / len(used)
            assert row.dear == pytest.approx(np.quantile(used, 0.95))
            assert math.isnan(row.spread) == (row.size == ALL)


def test_choices_on_test_are_those_of_the_budget_table(results, readings):
    one = results[0]
    table = budget_table(
        one.validation_logits, one.validation_labels, one.test_logits, one.test_labels, one.macs, one.backbone_macs
    ).set_index(["choice", "budget"])
    own = readings[(readings["regime"] == one.run.regime) & (readings["seed"] == one.run.seed)]
    for method, choice in ((SWEEP, "test sweep"), (ORACLE, "oracle")):
        for row in own[own["method"] == method].itertuples():
            assert row.accuracy == table.loc[(choice, row.budget), "accuracy"]
            assert row.used == pytest.approx(table.loc[(choice, row.budget), "macs"] / (row.budget * one.backbone_macs))


def test_what_test_adds_is_a_difference_within_a_run(readings):
    added = thresholds.what_test_adds(readings)
    assert len(added) == 4 * 2 * 3 * 2  # runs, budgets, sizes, choices
    row = added[(added["size"] == "5") & (added["against"] == ORACLE)].iloc[0]
    same = readings[(readings[tables.RUN_COLUMNS] == row[tables.RUN_COLUMNS]).all(axis=1)]
    same = same[same["budget"] == row["budget"]].set_index(["method", "size"])
    assert row["gap"] == same.loc[(ORACLE, "test"), "accuracy"] - same.loc[(ONE, "5"), "accuracy"]
    assert row["spends"] == same.loc[(ORACLE, "test"), "used"] - same.loc[(ONE, "5"), "used"]
    sizes = list(added["size"].unique())
    assert sizes == ["5", "20", ALL]


def test_the_page_s_sentences_come_out_for_real_runs(readings):
    pairs = [("mixed", "joint")]
    table = thresholds.kept_verdicts(readings, pairs)
    assert list(table.columns) == ["chosen on", "how", "50%", "100%"]
    assert len(table) == 3 * 2 - 1 + 2
    change = thresholds.change_of_differences(readings, pairs, SWEEP)
    assert change["label"].tolist() == ["mixed − joint"]
    assert change["n"].tolist() == [2]  # one combination of data and model: over seeds
    with pytest.raises(SettingError, match="other: 'sweep' is not known"):
        thresholds.change_of_differences(readings, pairs, "sweep")


# -- frames whose answer is known --------------------------------------------------------------------------


def made(accuracy, **more):
    """Readings of two regimes, three seeds and two data sets; accuracy is a function of regime, seed and method."""
    rows = [
        {"dataset": d, "model": "m", "regime": r, "seed": s, "budget": 0.5, "method": method, "size": size,
         "samples": {"25": 25.0, ALL: 99.0, "test": math.nan}[size], "accuracy": accuracy(d, r, s, method, size),
         "used": 0.9, "exceeds": 0.25, "dear": 1.1, "spread": math.nan if size == ALL else 0.01, **more}
        for d in ("a", "b") for r in ("joint", "mixed") for s in range(3)
        for method, size in ((ONE, "25"), (ONE, ALL), (PER_EXIT, "25"), (PER_EXIT, ALL), (SWEEP, "test"),
                             (ORACLE, "test"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def known(dataset, regime, seed, method, size):
    """The oracle adds 2 points on a and 4 on b, to joint alone; few samples lose 1; one per exit gains 3."""
    base = 0.8 + 0.01 * seed + (0.01 + 0.001 * seed if regime == "mixed" else 0.0)
    oracle = {"a": 0.02, "b": 0.04}[dataset] if method == ORACLE and regime == "joint" else 0.0
    return base + oracle + (0.03 if method == PER_EXIT else 0.0) - (0.01 if size == "25" else 0.0)


def test_added_in_words_by_hand():
    text = words_thresholds.added_in_words(thresholds.what_test_adds(made(known)))
    half = 100 * stats.t.ppf(0.975, 1) * np.std([0.01, 0.02], ddof=1) / np.sqrt(2)  # means over the two regimes
    assert f"n = all: +1.50 points [{1.5 - half:.2f}, {1.5 + half:.2f}]" in text
    assert "n = 25: +1.00 points [1.00, 1.00]; n = all: +0.00 points [" in text
    assert text.count("**not told apart** from ours") == 2
    assert "95 % intervals over 2 combinations of data and model" in text


def test_other_sentences_by_hand():
    frame = made(known)
    lines = words_thresholds.spent_in_words(frame).splitlines()
    assert len(lines) == 4
    assert lines[0] == (
        "- *one threshold*, n = 25: the mean cost on test is 90.0% of the budget; 25% of the draws cost more than the "
        "budget; 95 % of a run's draws cost at most 110.0% of it; from draw to draw accuracy has a standard deviation "
        "of 1.00 points."
    )
    assert lines[1].endswith("25% of the runs cost more than the budget.")
    methods = words_thresholds.methods_in_words(frame).splitlines()
    assert methods[0].startswith("- n = 25: one threshold per exit is **more accurate** (+3.00 points [3.00, 3.00])")


def test_kept_verdicts_and_changes_by_hand():
    frame, pairs = made(known), [("mixed", "joint")]
    table = thresholds.kept_verdicts(frame, pairs).set_index("how")["50%"]
    # mixed is 1.0, 1.1, 1.2 points above joint: higher; under the oracle 1 to 3 points below it: lower
    assert table[ORACLE] == "0 of 2, 2 opposite"
    assert table[SWEEP] == "2 of 2"
    change = thresholds.change_of_differences(frame, pairs, ORACLE).iloc[0]
    assert change["mean"] == pytest.approx(-0.03)
    assert change["n"] == 2
    assert change["high"] - change["mean"] == pytest.approx(stats.t.ppf(0.975, 1) * 0.01)


def test_over_cells_takes_the_cell_as_unit_and_the_seeds_of_one_cell():
    frame = pd.DataFrame({"cell": list("aabbb"), "seed": [0, 1, 0, 1, 2], "x": [1.0, 3.0, 4.0, 5.0, 6.0]})
    pooled = over_cells(frame, "x", ["cell"])
    assert (pooled.mean, pooled.n) == (3.5, 2)  # of 2 and 5, not of five runs
    alone = over_cells(frame[frame["cell"] == "b"], "x", ["cell"])
    assert (alone.mean, alone.n) == (5.0, 3)
    assert alone.high - alone.mean == pytest.approx(stats.t.ppf(0.975, 2) / np.sqrt(3))
    with pytest.raises(SettingError, match="at least one number"):
        over_cells(frame.assign(x=np.nan), "x", ["cell"])
