"""From results to frames, from frames to tables and sentences."""

import numpy as np
import pandas as pd
import pytest

from companion import tables, words
from companion.pages import contrasts
from eecore.errors import SettingError
from eecore.training import Store, grid, sweep


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = grid(["synthetic"], ["mlp_nano"], ["disjoint", "joint", "mixed"], [0, 1], epochs=2)
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


def test_per_exit_is_what_a_plain_loop_counts(results):
    frame = tables.per_exit(results)
    assert len(frame) == len(results) * len(results[0].macs)
    for result in results:
        own = frame[(frame["regime"] == result.run.regime) & (frame["seed"] == result.run.seed)]
        for k, accuracy in enumerate(own["accuracy"]):
            hits = sum(int(z.argmax() == y) for z, y in zip(result.test_logits[k], result.test_labels, strict=True))
            assert accuracy == pytest.approx(hits / len(result.test_labels))


def test_last_exit_is_the_last_row_of_each_run(results):
    last = tables.last_exit(results)
    assert len(last) == len(results)
    assert set(last["exit"]) == {len(results[0].macs)}


def test_curves_budgets_and_areas_cover_all_runs_and_rules(results):
    curves = tables.curves(results, ["confidence", "entropy"])
    assert len(curves) == len(results) * 2 * 100
    assert curves["macs_fraction"].max() == pytest.approx(results[0].macs[-1] / results[0].backbone_macs)
    areas = tables.areas(results)
    assert areas["area"].between(0, 1).all()
    budgets = tables.budgets(results, "confidence", [0.5, 1.0])
    assert set(budgets["choice"]) == {"validation", "test sweep", "oracle", "final exit"}
    np.testing.assert_allclose(budgets["spent"] * results[0].backbone_macs, budgets["macs"])
    assert (budgets.loc[budgets["choice"] == "final exit", "spent"] == 1.0).all()


def test_what_was_spent_stands_behind_its_accuracy():
    about = {"regime": "joint", "budget": "100%"}
    frame = pd.DataFrame([{**about, "accuracy": a, "spent": s} for a, s in ((0.80, 0.90), (0.82, 1.00))])
    frame = pd.concat(
        [
            frame,
            frame.assign(budget="final exit", spent=np.nan),
            frame.assign(budget="5%", accuracy=np.nan, spent=np.nan),
        ]
    )
    found = tables.mean_and_interval(frame, "accuracy", ["regime"], "budget", beside="spent").iloc[0]
    assert found["100%"] == "81.0 ± 12.7 (95)"
    assert found["final exit"] == "81.0 ± 12.7"
    assert found["5%"] == "–"
    with pytest.raises(SettingError, match="lacks the columns cost"):
        tables.mean_and_interval(frame, "accuracy", ["regime"], "budget", beside="cost")


def test_training_costs_by_hand(results):
    costs = tables.training_costs(results).set_index(["regime", "seed"])
    samples = 2 * 64  # epochs x training samples
    joint = next(r for r in results if r.run.regime == "joint")
    assert costs.loc[("joint", 0), "training_macs"] == 3 * joint.macs[-1] * samples
    mixed = 3 * (joint.backbone_macs + joint.macs[-1]) * samples
    assert costs.loc[("mixed", 0), "training_macs"] == mixed
    heads = 5 * 128 * 4  # five linear heads, 128 features, 4 classes; the last one is the backbone's own
    early = heads * 4 // 5
    trunk = joint.macs[-2] - early
    assert (
        costs.loc[("disjoint", 0), "training_macs"]
        == 3 * joint.backbone_macs * samples + 3 * early * samples + 64 * trunk
    )
    relative = tables.relative(costs.reset_index(), "training_macs", "joint").set_index(["regime", "seed"])["relative"]
    assert relative[("joint", 1)] == 1
    assert relative[("mixed", 1)] == pytest.approx(mixed / (3 * joint.macs[-1] * samples))
    with pytest.raises(SettingError, match="'nobody' is not in the frame"):
        tables.relative(costs.reset_index(), "training_macs", "nobody")


FRAME = pd.DataFrame(
    {
        "dataset": "d",
        "model": "m",
        "regime": ["joint"] * 3 + ["mixed"] * 3,
        "seed": [0, 1, 2] * 2,
        "exit": 1,
        "accuracy": [0.5, 0.6, 0.7, 0.61, 0.7, 0.81],
    }
)


def test_mean_and_interval_by_hand():
    table = tables.mean_and_interval(FRAME, "accuracy", ["dataset", "regime"], "exit")
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert table.iloc[0].tolist() == ["d", "joint", f"60.0 ± {100 * half:.1f}"]
    one = tables.mean_and_interval(FRAME[FRAME["seed"] == 0], "accuracy", ["regime"], "exit")
    assert one[1].tolist() == ["50.0", "61.0"]
    with pytest.raises(SettingError, match="lacks the columns nothing"):
        tables.mean_and_interval(FRAME, "nothing", ["regime"], "exit")


def test_differences_and_their_words():
    found = tables.differences(FRAME, "accuracy", [("mixed", "joint"), ("joint", "mixed")], ["dataset", "model"])
    assert found["mean"].tolist() == pytest.approx([0.32 / 3, -0.32 / 3])
    assert found["n"].tolist() == [3, 3]
    said = words.in_words(found, "first exit").splitlines()
    assert "*mixed* against *joint*: **higher** (+10.7 points, 95 % interval +9.2 to +12.1, n = 3)" in said[0]
    assert "**lower**" in said[1]
    assert "of 1 combination of data and model, 1 higher, 0 lower, 0 not told apart" in words.tally(found)


@pytest.mark.parametrize(
    ("regimes", "pairs"),
    [
        (["joint"], []),
        (["untold"], []),
        ([], []),
        (["mixed", "joint"], [("mixed", "joint")]),
        (["joint_long", "mixed"], [("mixed", "joint_long")]),
        (["disjoint", "joint_long"], []),
        (["full", "mixed"], [("full", "mixed")]),
        (["a", "b"], []),
    ],
)
def test_comparisons_need_both_regimes(regimes, pairs):
    assert tables.comparisons(regimes) == pairs


def test_comparisons_put_the_books_own_first_and_new_regimes_as_they_come():
    own = [("joint", "disjoint"), ("mixed", "disjoint"), ("mixed", "joint")]
    for known in (["disjoint", "joint", "mixed"], ["mixed", "joint", "disjoint"]):
        assert tables.comparisons(known) == own
        new = [("b", "mixed"), ("b", "joint"), ("a", "mixed"), ("a", "joint")]
        assert tables.comparisons(["b", *known, "a"]) == own + new


def test_no_comparison_is_an_empty_table():
    found = tables.differences(FRAME, "accuracy", tables.comparisons(["joint"]), ["dataset"])
    assert list(found) == ["dataset", "a", "b", "label", "mean", "low", "high", "n", "p"]
    assert found.empty
    assert words.in_words(found, "first exit") == words.tally(found) == ""


def test_estimates_by_hand():
    frame = FRAME.assign(accuracy=[0.5, 0.6, 0.7, 0.9, np.nan, np.nan])
    found = tables.estimates(frame, "accuracy", ["dataset", "regime"])
    assert found["label"].tolist() == ["d · joint", "d · mixed"]
    assert found["mean"].tolist() == pytest.approx([0.6, 0.9])
    assert found["n"].tolist() == [3, 1]
    assert found["high"][0] == pytest.approx(0.6 + 4.302653 * 0.1 / np.sqrt(3))
    assert np.isnan(found["low"][1])
    none = tables.estimates(frame.assign(accuracy=np.nan), "accuracy", ["dataset", "regime"])
    assert none.empty
    assert list(none) == list(found)


def test_one_seed_is_never_told_apart():
    found = tables.differences(FRAME[FRAME["seed"] == 0], "accuracy", [("mixed", "joint")], ["dataset"])
    assert "**not told apart** (+11.0 points, no interval, n = 1)" in words.in_words(found, "first exit")


def test_agreement_counts_opposite_verdicts():
    rows = [("a", 0.1, 0.05, 0.15), ("b", 0.1, 0.05, 0.15)]
    rows += [("a", 0.1, 0.05, 0.15), ("b", -0.1, -0.15, -0.05)]
    frame = pd.DataFrame(rows, columns=["rule", "mean", "low", "high"]).assign(
        n=3, dataset=["d", "d", "e", "e"], model="m", a="mixed", b="joint"
    )
    said = words.agreement(frame, "rule")
    assert "Under a and b, 1 of 2 comparisons of regimes have the same verdict, and 1 have opposite" in said


def test_gaps_by_hand():
    run = {"dataset": "d", "model": "m", "regime": "joint", "seed": 0}
    rows = [(0.5, "validation", 0.7), (0.5, "oracle", 0.8), (0.25, "validation", np.nan), (0.25, "oracle", np.nan)]
    frame = pd.DataFrame([{**run, "budget": b, "choice": c, "accuracy": a} for b, c, a in rows])
    found = tables.gaps(frame, "accuracy", "choice", "validation")
    assert found[["budget", "choice"]].to_numpy().tolist() == [[0.5, "oracle"]]
    assert found["gap"].tolist() == pytest.approx([0.1])
    with pytest.raises(SettingError, match="'nobody' is not in the frame"):
        tables.gaps(frame, "accuracy", "choice", "nobody")


def test_stacked_says_where_a_row_comes_from():
    both = tables.stacked({"x": FRAME, "y": FRAME}, "rule")
    assert both.groupby("rule").size().to_dict() == {"x": 6, "y": 6}


def test_a_change_of_a_lead_by_hand():
    """Mixed leads by 0.10 + 0.01 seed from given weights and by 0.30 from scratch."""
    rows = []
    for seed in range(3):
        for start, lead in (("given", 0.10 + 0.01 * seed), ("scratch", 0.30)):
            for regime, accuracy in (("joint", 0.5 + 0.1 * seed), ("mixed", 0.5 + 0.1 * seed + lead)):
                rows.append({"model": "m", "start": start, "regime": regime, "seed": seed, "accuracy": accuracy})
    frame = pd.DataFrame(rows)
    each = contrasts.each_difference(frame, "accuracy", [("mixed", "joint")], ["model", "start"])
    assert list(each.columns) == ["model", "start", "pair", "seed", "difference"]
    given = each[each["start"] == "given"].sort_values("seed")
    np.testing.assert_allclose(given["difference"], [0.10, 0.11, 0.12])
    (found,) = contrasts.changes(
        frame, "accuracy", [("mixed", "joint")], ["model"], "start", ("given", "scratch")
    ).itertuples()
    assert (found.mean, found.n) == (pytest.approx(-0.19), 3)
    assert found.label == "m · mixed − joint · given − scratch"
    assert found.high < 0
    with pytest.raises(SettingError, match="regime: 'disjoint' is not known"):
        contrasts.each_difference(frame, "accuracy", [("disjoint", "joint")], ["model", "start"])


def test_differences_of_another_column_show_regimes_by_their_names():
    long = FRAME.replace({"regime": {"mixed": "joint_long"}})
    both = tables.stacked({"given": long, "scratch": long.assign(accuracy=long["accuracy"] - 0.1)}, "start")
    found = tables.differences(both, "accuracy", [("given", "scratch")], ["model", "regime"], "start")
    np.testing.assert_allclose(found["mean"], 0.1)
    assert found["label"].tolist() == ["m · joint · given − scratch", "m · joint, mixed's budget · given − scratch"]


def test_a_tally_says_what_its_rows_are_combinations_of():
    frame = pd.DataFrame({"a": "x", "b": "y", "mean": [1.0, 0.0], "low": [0.5, -1.0], "high": [1.5, 1.0], "n": 3})
    assert "of 2 combinations of data and model, 1 higher, 0 lower, 1 not told apart" in words.tally(frame)
    assert "of 2 combinations of data, model and regime, 1 higher" in words.tally(frame, "data, model and regime")


def test_counts_of_verdicts_are_a_row_for_each_quantity_and_pair():
    values = {"mean": [1.0, -1.0, 0.0], "low": [0.5, -1.5, -1.0], "high": [1.5, -0.5, 1.0], "n": 3}
    paired = pd.DataFrame({**values, "a": "mixed", "b": ["joint", "joint", "disjoint"]})
    single = pd.DataFrame({**values, "regime": ["joint_long"] * 3})
    found = words.verdict_counts({"cost": paired, "gap": single}, "quantity")
    assert found.to_numpy().tolist() == [
        ["cost", "mixed − joint", "2", "1", "1", "0"],
        ["cost", "mixed − disjoint", "1", "0", "0", "1"],
        ["gap", "joint, mixed's budget", "3", "1", "1", "1"],
    ]
    assert list(found) == ["quantity", "compared", "combinations", "higher", "lower", "not told apart"]
    assert words.verdict_counts({"cost": paired.iloc[:0]}, "quantity").empty


def test_differences_as_a_table_have_a_row_for_each_quantity_and_cell():
    frame = FRAME.assign(dataset="d")
    both = tables.differences(frame, "accuracy", [("mixed", "joint"), ("joint", "mixed")], ["dataset", "model"])
    found = words.difference_table({"first": both, "last": both.iloc[:1]}, "exit")
    assert list(found) == ["exit", "of", "mixed − joint", "joint − mixed"]
    assert found["of"].tolist() == ["d · m", "d · m"]
    assert found["joint − mixed"].tolist()[1] == "–"  # not run
    for text, row, verdict in zip(
        found.iloc[0, 2:].str.replace(words.KEPT, " "), both.itertuples(), words.verdicts(both), strict=True
    ):
        assert text.startswith(f"{100 * row.mean:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})")
        assert text.endswith(" *") == (verdict != "not told apart")
    alone = tables.differences(frame[frame["seed"] == 0], "accuracy", [("mixed", "joint")], ["dataset", "model"])
    assert words.difference_table({"last": alone}, "exit").iloc[0, 2] == f"{100 * alone['mean'].iloc[0]:+.1f}"
    assert words.difference_table({"last": alone.iloc[:0]}, "exit").empty
