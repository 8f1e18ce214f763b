"""Methods in other regimes: what fits, what is run, and how it is judged."""

import numpy as np
import pandas as pd
import pytest

import eecore
from companion.pages import method_grid
from eecore import inference
from eecore.errors import SettingError
from eecore.methods import METHODS

REGIMES = ["joint", "mixed"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    planned = method_grid.plan(["plain", "pbee", "gpf", "l2w"], "synthetic", "mlp_nano", REGIMES, [0, 1], 1)
    store = eecore.Store(tmp_path_factory.mktemp("store"))
    results = eecore.sweep([one.run for one in planned], store, workers=1, progress=False)
    return planned, results, method_grid.measured(planned, results)


def test_what_a_network_cannot_have_is_replaced_and_said(grid):
    found = method_grid.fits(["plain", "msdnet", "ge", "ztw", "dsn"], "synthetic", "mlp_nano").set_index("method")
    assert list(found["instead"]) == ["", "head msdnet", "head msdnet", "exits sdn", ""]
    assert list(found["why"]) == ["", "is then the same as plain", "", "", "is then the same as plain"]
    assert tuple(found.loc["ge", ["head", "exits", "gradients"]]) == ("auto", "every", "equilibrium")
    assert tuple(found.loc["ztw", ["head", "exits"]]) == ("cascade", "every")
    with_maps = method_grid.fits(["plain", "msdnet", "ge", "sdn"], "mnist1d", "resnet_nano").set_index("method")
    assert list(with_maps["why"]) == [""] * 4
    assert list(with_maps["instead"]) == ["", "", "", "exits sdn"]
    planned, _, frame = grid
    assert {one.method for one in planned} == set(frame["method"]) == {"plain", "pbee", "gpf", "l2w"}


def test_a_method_keeps_its_parts_and_exchanges_its_regime(grid):
    planned, _, _ = grid
    for one in planned:
        if one.method == "plain":
            assert one.run == eecore.Run(
                dataset="synthetic", model="mlp_nano", regime=one.run.regime, seed=one.run.seed, epochs=1
            )
            continue
        method = METHODS[one.method]
        assert (one.run.head, one.run.exits) == ("auto" if one.method == "l2w" else method.head, method.exits)
        assert (one.run.recipe.weights, one.run.recipe.gradients) == (method.weights, method.gradients)
    assert {one.run.regime for one in planned} == set(REGIMES)


def test_each_run_is_judged_by_its_methods_rule(grid):
    planned, results, frame = grid
    i = next(i for i, one in enumerate(planned) if one.method == "pbee")
    result = results[i]
    rule = inference.make_rule("patience", result.validation_logits, result.validation_labels)
    limits = inference.spread_thresholds(result.validation_logits, rule, 200)
    points = inference.curve(result.test_logits, result.test_labels, result.macs, rule, limits)
    assert frame["area"][i] == inference.area_under_curve(points, result.backbone_macs)
    assert frame["last exit"][i] == pytest.approx(result.frame().query("split == 'test'")["accuracy"].iloc[-1])


def test_differences_are_paired_within_a_method():
    rows = [
        {
            "method": method,
            "regime": regime,
            "seed": seed,
            "area": base + (gain if regime == "mixed" else 0) + seed / 50,
        }
        for method, base, gain in (("plain", 0.5, 0.1), ("sdn", 0.7, -0.2))
        for regime in REGIMES
        for seed in (0, 1, 2)
    ]
    found = method_grid.marked(pd.DataFrame(rows), "area", [("mixed", "joint")]).set_index("method")
    np.testing.assert_allclose(found["points"], [10.0, -20.0])
    assert found["apart"].all()
    said = method_grid.orders_in_words({"area": found.reset_index()})
    assert said == "- area, mixed − joint, in 2 methods: 1 **higher** (plain); 1 **lower** (sdn); 0 **not told apart**"


def test_wrong_names_and_networks_stop_in_one_line():
    with pytest.raises(SettingError, match=r"^method: 'snd' is not known; did you mean 'sdn'"):
        method_grid.plan(["snd"], "synthetic", "mlp_nano", REGIMES, [0], 1)
    with pytest.raises(SettingError, match=r"^methods: none of pbee, gpf fits text_nano on synthetic_regression"):
        method_grid.plan(["pbee", "gpf"], "synthetic_regression", "text_nano", REGIMES, [0], 1)
