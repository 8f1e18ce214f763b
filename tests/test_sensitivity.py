"""Other settings: what is planned, what is compared, and which sentences follow, by hand."""

import numpy as np
import pandas as pd
import pytest

from companion.pages import sensitivity, words_training
from companion.parameters import check_parameters
from eecore.errors import SettingError
from eecore.training import Store, default_recipe, grid, sweep
from eecore.training.identity import prefix_keys


@pytest.fixture(scope="module")
def planned():
    return sensitivity.plan("synthetic", ["mlp_nano"], [0, 1], 1, [3.0, 0.5], [2], [32], [2, 1], 0.01)


@pytest.fixture(scope="module")
def results(tmp_path_factory, planned):
    return sweep([v.run for v in planned], Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


def test_one_setting_is_changed_at_a_time(planned):
    base = default_recipe("mlp_nano", "synthetic")
    seen = {}
    for varied in planned:
        recipe = varied.run.recipe
        changed = {name: value for name, value in recipe.model_dump().items() if value != getattr(base, name)}
        seen.setdefault((varied.axis, varied.setting), (varied.base, changed, varied.run.epochs))
    assert seen == {
        ("learning rate", "×0.5"): (False, {"lr": base.lr * 0.5}, 1),
        ("learning rate", "×1"): (True, {}, 1),
        ("learning rate", "×3"): (False, {"lr": base.lr * 3}, 1),
        ("epochs a phase", "1"): (True, {}, 1),
        ("epochs a phase", "2"): (False, {}, 2),
        ("batch size", "16"): (True, {}, 1),
        ("batch size", "32"): (False, {"batch_size": 32}, 1),
        ("early stopping", "patience 1"): (False, {"patience": 1}, 2),
        ("early stopping", "patience 2"): (False, {"patience": 2}, 2),
        ("early stopping", "patience 2, step 0.01"): (False, {"patience": 2, "min_delta": 0.01}, 2),
    }
    each = pd.Series([(v.axis, v.setting) for v in planned]).value_counts()
    assert (each == len(sensitivity.REGIMES) * 2).all()  # seeds


def test_the_base_is_the_run_of_all_other_pages(planned):
    main = {prefix_keys(run)[-1] for run in grid(["synthetic"], ["mlp_nano"], sensitivity.REGIMES, [0, 1], epochs=1)}
    assert {prefix_keys(v.run)[-1] for v in planned if v.base} == main
    assert not main & {prefix_keys(v.run)[-1] for v in planned if not v.base and v.axis != "epochs a phase"}


def test_without_a_smallest_decrease_it_is_not_tried():
    found = sensitivity.plan("synthetic", ["mlp_nano"], [0], 1, [2.0], [2], [32], [1], 0)
    assert {v.setting for v in found if v.axis == "early stopping"} == {"patience 1"}


def test_outcomes_belong_to_their_settings(planned, results):
    frame = sensitivity.varied_outcomes(planned, results)
    assert len(frame) == len(planned)
    for varied, result in list(zip(planned, results, strict=True))[::7]:
        own = frame[(frame["axis"] == varied.axis) & (frame["setting"] == varied.setting)]
        row = own[(own["regime"] == varied.run.regime) & (own["seed"] == varied.run.seed)]
        hits = (result.test_logits[-1].argmax(dim=1) == result.test_labels).double().mean()
        assert row["last exit"].item() == pytest.approx(float(hits))
        known = (result.validation_logits[-1].argmax(dim=1) == result.validation_labels).double().mean()
        assert row["validation"].item() == pytest.approx(float(known))
        assert row["training_macs"].item() == result.training_macs
        assert row["base"].item() == varied.base
    found = sensitivity.compared(frame)
    assert len(found) == 10 * len(sensitivity.ASKED)
    assert (found["n"] == 2).all()
    ratios = sensitivity.cost_ratio(frame)
    fixed = ratios[ratios["axis"] == "epochs a phase"]["ratio"]
    macs = {v.run.regime: r.training_macs for v, r in zip(planned, results, strict=True) if v.base}
    np.testing.assert_allclose(fixed, macs["joint_long"] / macs["mixed"])


def frame():
    """Mixed leads joint by 0.10 in the base, by nothing clear at ×3, and is behind it with 2 epochs."""
    rows = []
    for axis, setting, base, lead in (
        ("learning rate", "×1", True, [0.09, 0.10, 0.11]),
        ("learning rate", "×3", False, [-0.10, 0.10, 0.03]),
        ("epochs a phase", "2", False, [-0.09, -0.10, -0.11]),
        ("epochs a phase", "10", True, [0.09, 0.10, 0.11]),
    ):
        for seed in range(3):
            values = {"disjoint": 0.5, "joint": 0.5, "mixed": 0.5 + lead[seed], "joint_long": 0.5 + lead[seed] + 0.01}
            for regime, value in values.items():
                known = value + (0.2 if regime == "joint" and setting == "×3" else 0.0)
                about = {"axis": axis, "setting": setting, "base": base, "regime": regime, "seed": seed}
                costs = {"training_macs": {"joint_long": 150.0, "mixed": 200.0}.get(regime, 100.0)}
                rows.append({**about, **costs, "first exit": 0.3, "last exit": value, "validation": known})
    frame = pd.DataFrame(rows).assign(dataset="d", model="m")
    equal = (frame["regime"] == "joint_long") & frame["base"]
    return frame.assign(training_macs=frame["training_macs"].mask(equal, 204.0))


def test_comparisons_by_hand():
    found = sensitivity.compared(frame())
    equal = found[found["conclusion"] == "mixed − joint, equal epochs, last exit"].set_index(["axis", "setting"])
    assert equal.loc[("learning rate", "×1"), "points"] == pytest.approx(10.0)
    assert equal["apart"].tolist() == [True, False, True, True]
    budget = found[found["conclusion"] == "mixed − joint, mixed's budget, last exit"]
    np.testing.assert_allclose(budget["points"], -1.0)


def test_which_conclusions_survive():
    found = sensitivity.compared(frame())
    table = words_training.survival(found)
    assert list(table) == ["model", "conclusion", "base", "same", "opposite", "lost", "gained"]
    rows = table.to_numpy().tolist()
    assert rows[0] == [
        *("m", "mixed − joint, equal epochs, last exit", "+10.0 higher"),
        *("0", "1 (epochs a phase 2: -10.0)", "1 (learning rate ×3: +1.0)", "0"),
    ]
    assert rows[1][2:] == ["-1.0 lower", "2", "0", "0", "0"]
    assert rows[2][2] == "+0.0 not told apart"
    flipped = words_training.survival(found.assign(base=found["setting"] == "×3"))
    assert flipped.loc[0, "gained"] == "3 (learning rate ×1: +10.0; epochs a phase 2: -10.0; epochs a phase 10: +10.0)"
    assert flipped.loc[0, ["same", "opposite", "lost"]].tolist() == ["0", "0", "0"]


def test_each_regimes_own_best_is_chosen_on_validation():
    best = sensitivity.own_best(frame(), ["learning rate"])
    chosen = best.drop_duplicates("regime").set_index("regime")["setting"].to_dict()
    assert chosen == {
        "disjoint": "×1",
        "joint": "×3",
        "mixed": "×1",
        "joint_long": "×1",
    }  # test knows nothing of joint's
    assert best["edge"].all()  # of two values both are ends
    assert len(best) == 4 * 3
    three = pd.concat([frame(), frame().query("setting == '×3'").assign(setting="×9", validation=0.0)])
    inner = sensitivity.own_best(three, ["learning rate"])
    assert set(inner[~inner["edge"]]["regime"]) == {"joint"}
    said = words_training.chosen_settings(best).splitlines()
    assert said[1].startswith("- m, *joint*: learning rate ×3 (70.0% on validation, 50.0% on test), the last value")


def test_budgets_that_are_not_equal_are_named():
    said = words_training.unequal_budgets(sensitivity.cost_ratio(frame()))
    assert said == (
        "Joint with mixed's budget costs 102% of mixed's multiply-adds in the base, and within 5% of them under 0 of 2 "
        "other settings; elsewhere: m learning rate ×3: 75%; m epochs a phase 2: 75%."
    )
    alike = sensitivity.cost_ratio(frame()).assign(ratio=1.02)
    assert words_training.unequal_budgets(alike).endswith("within 5% of them under 2 of 2 other settings.")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: sensitivity.varied_outcomes(
                sensitivity.plan("digits", ["mlp_nano"], [0], 1, [1.0], [1], [50], [1], 0), []
            ),
            "results: expected one for each of 16 runs, got 0",
        ),
        (lambda: sensitivity.own_best(frame(), ["batchsize"]), "axes: 'batchsize' is not known"),
        (lambda: sensitivity.plan("digits", ["mlp_nan"], [0], 1, [2.0], [2], [8], [1], 0), "did you mean 'mlp_nano'"),
        (lambda: check_parameters({}, {"rates": [0]}), "rates: expected factors from 0.001 to 1000, got 0"),
        (lambda: check_parameters({}, {"rates": "3"}), "rates: expected a list"),
        (lambda: check_parameters({}, {"batches": [8.5]}), "batches: expected an integer from 1 .*got 8.5"),
        (lambda: check_parameters({}, {"patiences": [0]}), "patiences: expected an integer from 1 .*got 0"),
        (lambda: check_parameters({}, {"min_delta": -1}), "min_delta: expected a number from 0 to 1000, got -1"),
        (lambda: check_parameters({}, {"min_delta": float("nan")}), "min_delta: expected a number from 0 .*got nan"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
