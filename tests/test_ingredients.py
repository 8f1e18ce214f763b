"""Ingredients of training: what is planned, what is compared, and which sentences follow, by hand."""

import pandas as pd
import pytest

from companion.pages import ingredients, sensitivity, words_ingredients
from companion.pages.ingredients import Choice
from companion.parameters import check_parameters
from eecore.errors import SettingError
from eecore.training import Store, default_recipe, sweep

CHOICES = [
    *ingredients.weights_and_rules(["uniform", "linear"], ["equilibrium"]),
    *ingredients.distillations(["next"], 2.0, 0.3),
]


@pytest.fixture(scope="module")
def planned():
    return ingredients.plan("synthetic", ["mlp_nano"], [0, 1], 1, CHOICES)


@pytest.fixture(scope="module")
def results(tmp_path_factory, planned):
    return sweep([v.run for v in planned], Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


def test_each_choice_changes_its_own_fields(planned):
    base = default_recipe("mlp_nano", "synthetic").model_dump()
    seen = {}
    for varied in planned:
        changed = {name: value for name, value in varied.run.recipe.model_dump().items() if value != base[name]}
        seen.setdefault((varied.axis, varied.setting), (varied.base, changed))
    assert seen == {
        ("loss weights", "uniform"): (True, {}),
        ("loss weights", "linear"): (False, {"weights": "linear"}),
        ("gradient rule", "sum"): (True, {}),
        ("gradient rule", "equilibrium"): (False, {"gradients": "equilibrium"}),
        ("teacher", "none"): (True, {}),
        (
            "teacher",
            "next",
        ): (False, {"distillation": "next", "distillation_temperature": 2.0, "distillation_weight": 0.3}),
    }
    assert len(planned) == len(CHOICES) * len(ingredients.REGIMES) * 2


def test_each_optimiser_has_a_base_of_its_own():
    choices = ingredients.optimizers("equilibrium", [0.1])
    found = ingredients.plan("synthetic", ["mlp_nano"], [0], 1, choices, ["joint"])
    assert [(v.axis, v.setting, v.base) for v in found] == [
        ("adamw", "sum", True),
        ("adamw", "equilibrium", False),
        ("sgd 0.1", "sum", True),
        ("sgd 0.1", "equilibrium", False),
    ]
    assert [(v.run.recipe.optimizer, v.run.recipe.gradients) for v in found][2:] == [
        ("sgd", "sum"),
        ("sgd", "equilibrium"),
    ]


def test_gains_are_paired_differences_of_real_runs(planned, results):
    runs = sensitivity.varied_outcomes(planned, results)
    found = ingredients.gains(runs).set_index(["setting", "regime", "outcome"])
    assert len(found) == 3 * 3 * 3
    row = found.loc[("linear", "mixed", "last exit")]
    each = {
        (v.setting, v.run.seed): float((r.test_logits[-1].argmax(1) == r.test_labels).double().mean())
        for v, r in zip(planned, results, strict=True)
        if v.run.regime == "mixed" and v.axis == "loss weights"
    }
    mean = sum(each["linear", s] - each["uniform", s] for s in (0, 1)) / 2
    assert row["mean"] == pytest.approx(mean)
    assert row["points"] == pytest.approx(100 * mean)
    assert row["n"] == 2
    by_exit = ingredients.exit_gains(planned, results)
    last = by_exit[(by_exit["setting"] == "linear") & (by_exit["regime"] == "mixed") & (by_exit["exit"] == 5)]
    assert last["points"].mean() == pytest.approx(100 * mean)


def test_disjoint_keeps_its_last_exit_under_all_choices(planned, results):
    found = ingredients.exit_gains(planned, results)
    assert (found[(found["regime"] == "disjoint") & (found["exit"] == 5)]["points"] == 0).all()
    assert len(found) == 3 * 3 * 2 * 5


def frame():
    """The lead of mixed over joint at the last exit is 10 points in the base; "a" gives mixed 20, "b" gives both 5."""
    levels = {
        "none": {"disjoint": 0.50, "joint_long": 0.60, "mixed": 0.70},
        "a": {"disjoint": 0.50, "joint_long": 0.60, "mixed": 0.90},
        "b": {"disjoint": 0.80, "joint_long": 0.65, "mixed": 0.75},
    }
    rows = []
    for setting, of_regimes in levels.items():
        for regime, level in of_regimes.items():
            for seed in (0, 1, 2):
                wobble = 0.001 * seed * (1 if regime == "mixed" else -1) * (1 if setting == "none" else 2)
                about = {"dataset": "d", "model": "m", "axis": "kind", "setting": setting, "base": setting == "none"}
                values = dict.fromkeys(ingredients.OUTCOMES, level + wobble)
                rows.append({**about, "regime": regime, "seed": seed, "training_macs": 100, **values})
    return pd.DataFrame(rows)


def test_shifts_ask_whether_a_difference_has_moved():
    found = ingredients.shifts(frame()).set_index(["setting", "conclusion"])
    assert len(found) == 2 * len(ingredients.ASKED)
    moved = found.loc[("a", "mixed − joint, last exit")]
    assert moved["points"] == pytest.approx(20, abs=0.5)
    assert moved["apart"]
    assert found.loc[("b", "mixed − joint, last exit")]["points"] == pytest.approx(0, abs=0.5)
    assert found.loc[("b", "joint − disjoint, last exit")]["points"] == pytest.approx(-25, abs=0.5)


def test_sentences_follow_from_the_numbers():
    said = words_ingredients.orders_in_words(frame(), ["last exit"])
    assert said == (
        "- m, last exit: mixed > joint, mixed's budget > disjoint in the base, and in 1 of 2 other settings. "
        "Another order: b: disjoint > mixed > joint, mixed's budget."
    )
    gained = words_ingredients.gains_in_words(ingredients.gains(frame(), ["last exit"]))
    assert gained.startswith("- m, last exit: of 6 comparisons, 4 **higher**: a in *mixed* (+20.1)")
    assert "2 not told apart" in gained
    moved = ingredients.shifts(frame())
    one = moved[moved["conclusion"] == "mixed − joint, last exit"]
    text = words_ingredients.shifts_in_words(one)
    assert text.startswith("- m, mixed − joint, last exit: moved by 1 of 2 settings (a +20.2 [")
    assert text.endswith("The largest mean change is +20.2 points (a, n = 3).")


def test_costs_are_relative_to_the_base_of_the_axis():
    costs = frame()
    costs.loc[costs["setting"] == "a", "training_macs"] = 250
    said = words_ingredients.costs_in_words(costs)
    assert said == "Multiply-adds of training *m* (joint, mixed's budget), relative to the base: a 2.50, b 1.00."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("weights", ["linaer"], "weights: 'linaer' is not known; did you mean 'linear'"),
        ("gradient_rules", ["pcgad"], "gradient_rules: 'pcgad' is not known; did you mean 'pcgrad'"),
        ("teachers", [], "teachers: expected a list that is not empty"),
        ("temperature", 0, "temperature: expected a temperature from 0.1 to 100, got 0"),
        ("share", 2.0, "share: expected a fraction from 0 to 1, got 2.0"),
        ("sgd_rates", [0], "sgd_rates: expected factors"),
    ],
)
def test_wrong_parameters_are_one_line(name, value, said):
    with pytest.raises(SettingError, match=said):
        check_parameters({}, {name: value})


def test_a_choice_that_does_not_fit_fails_before_anything_is_trained():
    choices = [Choice("teacher", "none", {}), Choice("teacher", "last", {"distillation": "last"})]
    with pytest.raises(SettingError, match="distillation: 'last' does not fit synthetic_regression"):
        ingredients.plan("synthetic_regression", ["mlp_nano"], [0], 1, choices)
