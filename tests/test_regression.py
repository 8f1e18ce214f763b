"""Regression from the data set to the exit rules: closed forms, hand-worked cases and plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from companion import tables
from eecore import data, inference
from eecore.data import Info, Split, Target, assemble, best_error, make_synthetic_regression
from eecore.errors import DataError, SettingError
from eecore.metrics import mean_squared_error, pearson
from eecore.training import Recipe, Run, Store, train
from eecore.training.losses import gaussian_losses, judge, losses_of, squared_losses

DATASET = data.load("synthetic_regression")
MACS = [10, 25, 45]


def outputs(exits=3, samples=50, number=1, seed=0):
    return torch.randn(exits, samples, number, generator=torch.Generator().manual_seed(seed))


def numbers(samples=50):
    return torch.randn(samples, generator=torch.Generator().manual_seed(99))


# -- data ---------------------------------------------------------------------------------------------------------


def test_the_best_prediction_has_the_error_that_theory_says():
    drawn = make_synthetic_regression(test=200_000, distance=3.0)
    best, y = torch.tensor(drawn.test.factors["best"])[None], drawn.test.y
    assert float(mean_squared_error(best, y)) == pytest.approx(best_error(3.0), rel=0.02)
    assert float(pearson(best, y)) == pytest.approx(math.sqrt(1 - best_error(3.0)), rel=0.005)
    assert (float(y.mean()), float(y.std())) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))


def test_no_linear_prediction_is_better_than_the_best():
    drawn = make_synthetic_regression(train=20_000, test=20_000, distance=2.0)
    design = drawn.train.x.flatten(1).double()
    weights = torch.linalg.lstsq(design, drawn.train.y.double()[:, None]).solution
    error = float(mean_squared_error((drawn.test.x.flatten(1).double() @ weights).T, drawn.test.y))
    assert error == pytest.approx(best_error(2.0), rel=0.03)


def test_the_data_set_says_what_it_is():
    assert (DATASET.task, DATASET.classes, DATASET.train.y.dtype) == ("regression", 1, torch.float32)
    assert data.info("synthetic").task == "classification"
    assert len(DATASET.train.take(np.array([3, 1]))) == 2


def info(**changes):
    plain = {"name": "toy", "title": "Toy", "kind": "sequence", "shape": (1, 4), "classes": 1, "source": ""}
    return Info(**{**plain, "licence": "", "citation": "", "task": "regression", **changes})


def test_wrong_regressions_stop_with_one_line():
    def split(y):
        return Split(torch.rand(len(y), 1, 4), y)

    good = torch.tensor([0.5, 1.5, 2.5])
    assemble(info(), train=split(good), validation=split(good), test=split(good))
    for y, said in [
        (torch.tensor([0, 1, 2]), "toy, train: y must be torch.float32 for regression, got torch.int64"),
        (torch.tensor([0.0, math.nan, 1.0]), "toy, train: y holds values that are not finite"),
    ]:
        with pytest.raises(DataError, match=said):
            assemble(info(), train=split(y), validation=split(good), test=split(good))
    with pytest.raises(DataError, match=r"y must be torch.int64 for classification, got torch.float32"):
        assemble(info(task="classification", classes=2), train=split(good), validation=split(good), test=split(good))
    with pytest.raises(DataError, match="split: y must be int64"):
        split(good.double())
    with pytest.raises(DataError, match="a regression has classes=1, one number to predict, got 3"):
        info(classes=3)
    with pytest.raises(SettingError, match="task: 'regresion' is not known; did you mean 'regression'"):
        info(task="regresion")


# -- losses and measures ------------------------------------------------------------------------------------------


def test_squared_losses_by_hand():
    z = torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]]])
    assert squared_losses(z, torch.tensor([1.0, 1.0])).mean(dim=1).tolist() == [2.0, 1.0]


def test_gaussian_losses_are_torchs():
    z, y = outputs(number=2), numbers()
    slow = [torch.nn.functional.gaussian_nll_loss(z[k, :, 0], y, z[k, :, 1].exp()) for k in range(3)]
    torch.testing.assert_close(gaussian_losses(z, y).mean(dim=1), torch.stack(slow))


def test_the_criterion_is_the_mean_over_the_exits_of_the_loss_that_is_trained():
    z, y = outputs(number=2), numbers()
    recipe = Recipe(loss="gaussian")
    row = judge(z, y, "regression", recipe)
    assert row["validation_loss"] == pytest.approx(
        float(losses_of("regression", recipe)(z, Target(y)).mean()), rel=1e-6
    )
    assert row["validation_mse"] == mean_squared_error(z[:, :, 0], y).tolist()
    assert row["validation_pearson"] == pearson(z[:, :, 0], y).tolist()


@given(st.integers(0, 1000), st.integers(3, 40), st.floats(0.1, 100), st.floats(-100, 100))
def test_pearson_is_scipys_and_does_not_see_scale_and_shift(seed, samples, scale, shift):
    z, y = outputs(2, samples, 1, seed)[:, :, 0].double(), numbers(samples)
    expected = [pearsonr(row.numpy(), y.numpy()).statistic for row in z]
    assert pearson(z, y).tolist() == pytest.approx(expected, abs=1e-6)
    assert pearson(scale * z + shift, y).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_constant_prediction_has_no_correlation():
    assert math.isnan(float(pearson(torch.full((1, 50), 0.1), numbers())))


# -- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Squared error in three regimes, and a predicted variance."""
    store = Store(tmp_path_factory.mktemp("runs"))
    common = {"dataset": "synthetic_regression", "model": "mlp_nano", "epochs": 15}
    runs = [Run(**common, regime=regime) for regime in ("disjoint", "joint", "mixed")]
    runs.append(Run(**common, regime="joint", recipe=Recipe(batch_size=16, lr=4e-3, loss="gaussian")))
    return [train(run, store, progress=False) for run in runs]


def test_every_regime_learns_a_regression(results):
    for result in results:
        frame = result.frame().query("split == 'test'")
        assert "accuracy" not in frame
        assert frame["pearson"].min() > 0.8
        assert best_error(4.0) < frame["mse"].min() < frame["mse"].max() < 0.5
        assert result.measures == ("pearson", "mse")
        assert result.validation_logits.dtype == torch.float32
        assert {"validation_mse", "validation_pearson"} <= set(result.history().columns)


def test_the_frame_says_what_the_logits_say(results):
    result = results[0]
    row = result.frame().query("split == 'test' and exit == 2").iloc[0]
    error = sum(
        (float(z) - float(y)) ** 2 for z, y in zip(result.test_logits[1, :, 0], result.test_labels, strict=True)
    )
    assert row["mse"] == pytest.approx(error / 64)
    assert row["pearson"] == pytest.approx(pearsonr(result.test_logits[1, :, 0], result.test_labels).statistic)


def test_a_predicted_variance_is_a_second_output(results):
    assert [result.test_logits.shape[2] for result in results] == [1, 1, 1, 2]
    assert results[3].run.outputs == 2
    frame = tables.regression_curves([results[3]], ["difference", "variance"])
    assert set(frame["rule"]) == {"difference", "variance"}
    assert frame["macs"].min() >= results[3].macs[0]
    with pytest.raises(SettingError, match="'variance' needs a predicted variance"):
        tables.regression_curves([results[0]], ["variance"])


def test_frames_of_both_tasks_stand_below_each_other(results):
    other = train(Run(dataset="synthetic", model="mlp_nano", regime="joint", epochs=1), progress=False)
    frame = tables.per_exit([results[0], other])
    assert frame["accuracy"].isna().tolist() == [True] * 5 + [False] * 5
    assert frame["pearson"].isna().tolist() == [False] * 5 + [True] * 5


# -- leaving early ------------------------------------------------------------------------------------------------


def slow_exit(z, k_of_rule, tolerance):
    """Slow twin: walk through the exits of one sample."""
    for k in range(len(z) - 1):
        if k_of_rule == "variance" and math.exp(z[k][1]) < tolerance:
            return k
        if k_of_rule == "difference" and k > 0 and abs(z[k][0] - z[k - 1][0]) < tolerance:
            return k
    return len(z) - 1


@pytest.mark.parametrize("rule", ["difference", "variance"])
def test_the_curve_is_what_a_loop_over_samples_gives(rule):
    z, y = outputs(number=2), numbers()
    assert len(inference.regression_curve(z, y, MACS, rule)) == 100
    frame = inference.regression_curve(z, y, MACS, rule, np.linspace(0, 1, 41))
    assert frame["macs"].nunique() > 10
    for row in frame.itertuples():
        if row.threshold == 0.0:
            assert row.tolerance == math.inf
        taken = [slow_exit(z[:, n].double().tolist(), rule, row.tolerance) for n in range(50)]
        prediction = np.array([float(z[k, n, 0]) for n, k in enumerate(taken)])
        assert row.macs == pytest.approx(sum(MACS[k] for k in taken) / 50)
        assert row.mse == pytest.approx(float(np.mean((prediction - y.numpy()) ** 2)))
        assert row.pearson == pytest.approx(pearsonr(prediction, y.numpy()).statistic)
        assert [row.share_1, row.share_2, row.share_3] == [taken.count(k) / 50 for k in range(3)]


def test_a_case_by_hand():
    z = torch.tensor([[[1.0], [1.0]], [[1.5], [1.1]], [[1.6], [3.0]]])
    assert inference.uncertainty(z)[1:].flatten().tolist() == pytest.approx([0.5, 0.1, 0.1, 1.9])
    score = inference.regression_score(z)
    assert score[0].tolist() == [0.0, 0.0]
    tolerance = 0.3
    assert inference.exit_taken(score, 1 / (1 + tolerance)).tolist() == [2, 1]
    got = inference.regression_outcome(z, torch.tensor([2.0, 1.0]), MACS, 1 / (1 + tolerance))
    assert got["mse"] == pytest.approx((0.4**2 + 0.1**2) / 2)
    assert got["macs"] == 35.0


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["difference", "variance"]))
def test_properties_of_the_curve(seed, rule):
    z, y = outputs(4, 30, 2, seed), numbers(30)
    frame = inference.regression_curve(z, y, [1, 2, 3, 4], rule)
    assert (frame["macs"].diff().dropna() >= 0).all()
    assert frame["macs"].iloc[-1] == 4.0
    assert frame["macs"].iloc[0] == (2.0 if rule == "difference" else 1.0)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    again = inference.regression_curve(z[:, order], y[order], [1, 2, 3, 4], rule)
    np.testing.assert_allclose(again.to_numpy(), frame.to_numpy(), rtol=1e-9)


def test_budgets_and_solved_thresholds_serve_regression_too():
    z, y = outputs(number=2, samples=400), numbers(400)
    frame = inference.regression_curve(z, y, MACS, "variance")
    chosen = inference.choose_threshold(frame, 30.0)
    assert frame.loc[frame["threshold"] == chosen, "macs"].item() <= 30.0
    solved = inference.solve(inference.regression_score(z, "variance"), MACS, 30.0)
    assert inference.regression_outcome(z, y, MACS, solved, "variance")["macs"] == pytest.approx(30.0, abs=0.5)


def test_one_exit_has_nothing_to_leave_early():
    frame = inference.regression_curve(outputs(1), numbers(), [5])
    assert set(frame["macs"]) == {5.0}


def test_wrong_rules_and_shapes_are_said_in_one_line():
    z, y = outputs(), numbers()
    for call, said in [
        (
            lambda: inference.uncertainty(z, "entropy"),
            "'entropy' is for classification; regression has",
        ),
        (lambda: inference.uncertainty(z, "diference"), "did you mean 'difference'"),
        (lambda: inference.score(torch.randn(2, 3, 4), "difference"), "'difference' is for regression; classification"),
        (lambda: inference.score(z), "one output, as a regression has"),
        (lambda: inference.uncertainty(z, "variance"), "needs a predicted variance"),
        (lambda: inference.uncertainty(torch.randn(2, 3, 4)), "outputs: expected"),
        (lambda: inference.uncertainty(z / 0), "finite"),
        (lambda: inference.regression_curve(z, y / 0, MACS), "y: expected 50 finite"),
        (lambda: inference.regression_curve(z, y, [1, 2]), "macs: expected 3"),
        (lambda: inference.regression_curve(z, y, MACS, thresholds=[2.0]), "thresholds"),
        (lambda: inference.regression_thresholds(z, number=1), "number: expected at least 2"),
        (lambda: inference.rules("ranking"), "task: 'ranking' is not known"),
    ]:
        with pytest.raises(SettingError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
