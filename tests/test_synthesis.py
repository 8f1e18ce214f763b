"""One row per run: every column is the measure it is named after, of the right network and the right block."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import eecore
from companion.pages import relations
from eecore import data, models
from eecore.analysis import (
    activations,
    connectivity,
    connectivity_measures,
    gradients,
    hessian,
    landscape_measures,
    similarity,
    synthesis,
)
from eecore.errors import SettingError

RUN = synthesis.RUN


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    store = eecore.Store(tmp_path_factory.mktemp("runs"))
    runs = eecore.grid(["synthetic"], ["mlp_nano"], ["disjoint", "mixed", "joint"], [0, 1], epochs=2)
    return [eecore.train(run, store, progress=False) for run in runs]


@pytest.fixture(scope="module")
def table(results):
    return synthesis.characteristics(results, progress=False)


def row(table, result):
    return table.set_index(RUN).loc[tuple(result.labels_of_run.values())]


def test_one_row_a_run_and_a_column_for_every_title(results, table):
    assert list(table) == [*RUN, *synthesis.TITLES]
    asked = [tuple(result.labels_of_run.values()) for result in results]
    assert sorted(table[RUN].itertuples(index=False, name=None)) == sorted(asked)
    assert table.drop(columns="barrier").notna().all(axis=None)
    numbers = table[list(synthesis.TITLES)].drop(columns="barrier")
    assert (numbers.drop(columns="rank_first").nunique() == len(results)).sum() >= 5  # no row is another one's


@pytest.mark.parametrize("place", [0, 3])
def test_pull_and_conflicts_are_those_of_the_gradients(results, table, place):
    dataset, found = data.load("synthetic"), row(table, results[place])
    model = results[place].model()
    share = gradients.dominance(model, dataset.train.x, dataset.train.y)
    last, pulls, equal = model.n_exits - 1, [], []
    for _, part in share.groupby("block"):
        if len(part) > 1:
            middle = [last <= 3 * (k - 1) <= 2 * last for k in part["exit"]]
            pulls.append(part["share"][middle].sum())
            equal.append(np.mean(middle))
    assert found["middle_pull"] == pytest.approx(np.mean(pulls) - np.mean(equal), abs=1e-6)
    angles = gradients.conflicts(model, dataset.train.x, dataset.train.y)
    by_block = [(part["cosine"] < 0).mean() for _, part in angles.groupby("block") if len(part)]
    assert found["conflicts"] == pytest.approx(np.mean(by_block))


@pytest.mark.parametrize("place", [1, 4])
def test_rank_probe_and_similarity_are_those_of_first_and_last_block(results, table, place):
    dataset, found = data.load("synthetic"), row(table, results[place])
    model = results[place].model()
    test, train = (activations.activations(model, split.x).blocks for split in (dataset.test, dataset.train))
    names = list(test)
    for name, which in ((names[0], "first"), (names[-1], "last")):
        centred = test[name].double() - test[name].double().mean(0)
        eigenvalues = torch.linalg.svdvals(centred) ** 2
        used = int((eigenvalues > 1e-3 * eigenvalues[0]).sum()) / min(len(centred) - 1, centred.shape[1])
        assert found[f"rank_{which}"] == pytest.approx(used)
        probe = similarity.linear_probe(train[name], dataset.train.y, test[name], dataset.test.y)
        assert found[f"readable_{which}"] == pytest.approx(probe.information, abs=1e-6)
    assert found["alike"] == pytest.approx(similarity.linear_cka(test[names[0]], test[names[-1]]), abs=1e-6)


def test_sharpness_is_the_logarithm_of_the_training_losss(results, table):
    dataset = data.load("synthetic")
    for result in results[:2]:
        exact = hessian.largest_eigenvalue(
            result.model(), dataset.train.x, dataset.train.y, iterations=60, tolerance=1e-3
        )
        assert row(table, result)["sharpness"] == pytest.approx(np.log10(exact.value), abs=0.02)


def test_barrier_is_the_one_to_disjoint_of_the_same_seed(results, table):
    dataset = data.load("synthetic")
    by = {(result.run.regime, result.run.seed): result for result in results}
    assert table[table["regime"] == "disjoint"]["barrier"].isna().all()
    for regime in ("mixed", "joint"):
        for seed in (0, 1):
            ends = [by[name, seed].model() for name in ("disjoint", regime)]
            a, b = (copy.deepcopy(model.state_dict()) for model in ends)
            test, train = dataset.test, dataset.train
            line = connectivity.path(ends[0], a, b, test.x, test.y, train.x, 9)
            error = 1 - line[line["exit"] == ends[0].n_exits].sort_values("t")["accuracy"].to_numpy()
            t = np.linspace(0, 1, 9)
            expected = max(0.0, (error - (1 - t) * error[0] - t * error[-1])[1:-1].max())
            found = row(table, by[regime, seed])["barrier"]
            assert found == pytest.approx(expected, abs=1e-12)
            both = synthesis.last_exit_barrier(*ends, dataset)
            assert both["error"].tolist() == [found]
            assert both["loss"].item() >= 0


@pytest.mark.parametrize("kept", [["mixed", "joint"], ["disjoint"]])
def test_without_a_partner_there_is_no_barrier(results, table, kept):
    some = [result for result in results if result.run.regime in kept]
    found = synthesis.characteristics(some[::-1], progress=False)
    assert found["barrier"].isna().all()
    same = table[table["regime"].isin(kept)].sort_values(RUN, ignore_index=True)
    ours = found.sort_values(RUN, ignore_index=True)
    pd.testing.assert_frame_equal(ours.drop(columns="barrier"), same.drop(columns="barrier"))


def test_outcomes_are_first_exit_last_exit_and_area(results):
    found = relations.outcomes(results)
    for result, outcome in zip(results, found.itertuples(), strict=True):
        assert [outcome.dataset, outcome.model, outcome.regime, outcome.seed] == list(result.labels_of_run.values())
        right = (result.test_logits.argmax(2) == result.test_labels).double().mean(1)
        values = found.loc[outcome.Index, ["first exit", "last exit"]].tolist()
        assert values == pytest.approx([float(right[0]), float(right[-1])])
        points = eecore.inference.curve(result.test_logits, result.test_labels, result.macs, "confidence")
        area = eecore.inference.area_under_curve(points, result.backbone_macs)
        assert found.loc[outcome.Index, "area under the curve"] == pytest.approx(area)


def test_measuring_leaves_the_networks_as_they_are(results):
    a, b = results[0].model(), results[2].model()
    dataset, models = data.load("synthetic"), (a, b)
    before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]
    synthesis.last_exit_barrier(a, b, dataset, statistics=20)
    synthesis.training_sharpness(a, dataset, samples=20)
    for model, state in zip(models, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model, dataset: synthesis.characteristics([], progress=False), "results: at least one run"),
        (lambda model, dataset: synthesis.training_sharpness(model, dataset, samples=0), "samples: at least 1"),
        (lambda model, dataset: synthesis.last_exit_barrier(model, model, dataset, statistics=1), "at least 2 samples"),
    ],
)
def test_impossible_input_is_one_line(results, call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call(results[0].model(), data.load("synthetic"))
    assert "\n" not in str(caught.value)


def test_one_exit_is_one_line(tmp_path):
    (run,) = eecore.grid(["synthetic"], ["mlp_nano"], ["joint"], [0], epochs=1)
    alone = eecore.train(run.replace(exits=(4,)), eecore.Store(tmp_path), progress=False)
    with pytest.raises(SettingError, match="this network has 1; expected 2 or more"):
        synthesis.characteristics([alone], progress=False)


def test_barriers_are_on_all_test_samples_and_sharpness_on_a_thousand():
    """Ten samples decide a maximum otherwise than all; the measures themselves must not be those of few."""
    dataset = data.load("digits")
    a, b = (
        models.build("mlp_nano", kind="image", shape=dataset.shape, classes=10, seed=seed).eval() for seed in (0, 1)
    )
    test, train = dataset.test, dataset.train
    assert len(test) > 300
    line = connectivity.path(a, a.state_dict(), b.state_dict(), test.x, test.y, train.x[:300], 9)
    expected = connectivity.barrier(line).query(f"exit == {a.n_exits}")[["loss", "error"]].to_numpy()
    np.testing.assert_allclose(synthesis.last_exit_barrier(a, b, dataset).to_numpy(), expected)
    whole = connectivity_measures.paths(a, b, dataset, points=3)
    pd.testing.assert_frame_equal(whole, connectivity_measures.paths(a, b, dataset, samples=len(test), points=3))
    assert not np.allclose(whole["loss"], connectivity_measures.paths(a, b, dataset, samples=300, points=3)["loss"])
    exact = hessian.largest_eigenvalue(a, train.x[:1000], train.y[:1000], None, iterations=30, tolerance=5e-2)
    assert synthesis.training_sharpness(a, dataset)["eigenvalue"].item() == pytest.approx(exact.value)
    by_exit = landscape_measures.sharpness_by_exit(a, dataset).set_index("exit")["eigenvalue"]
    assert by_exit["mean"] == pytest.approx(exact.value)
