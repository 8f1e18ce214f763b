"""Measuring many networks: which ones, once each, with labels; snapshots of training."""

import importlib
import linecache
import sys

import pandas as pd
import pytest
import torch

import eecore
from eecore.analysis import measures, over_runs
from eecore.errors import SettingError, StoreError
from eecore.training.result import is_snapshot_epoch

CALLS = []


def weight_sum(model, dataset, factor=1.0):
    CALLS.append(factor)
    return pd.DataFrame({"total": [factor * sum(float(p.detach().sum()) for p in model.parameters())]})


def distance(model_a, model_b, dataset):
    CALLS.append("pair")
    pairs = zip(model_a.parameters(), model_b.parameters(), strict=True)
    return pd.DataFrame({"distance": [sum(float((a - b).detach().norm()) for a, b in pairs)]})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    store = eecore.Store(tmp_path_factory.mktemp("runs"))
    runs = eecore.grid(["synthetic"], ["mlp_nano"], ["disjoint", "joint", "mixed"], [0, 1, 2], epochs=3)
    return [eecore.train(run, store, progress=False) for run in runs]


def test_moments_are_powers_of_two_and_phase_ends(results):
    assert [tuple(m) for m in results[0].moments()] == [
        (0, 0, 0), (1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 4), (2, 2, 5), (2, 3, 6),
    ]  # fmt: skip
    assert [m.trained for m in results[0].moments(training=False)] == [0, 3, 6]
    assert not is_snapshot_epoch(0)


def test_snapshots_are_the_weights_on_the_way(results):
    """A run of two epochs less is not the same (its schedule is shorter), but phases share their snapshots."""
    disjoint, mixed = (r for r in results if r.run.seed == 0 and r.run.regime != "joint")
    for moment in disjoint.moments()[:4]:
        a, b = (r.model(moment.phase, moment.epoch).state_dict() for r in (disjoint, mixed))
        assert all(torch.equal(a[name], b[name]) for name in a)
    first, last = disjoint.model(1, 1).state_dict(), disjoint.model(1).state_dict()
    assert any(not torch.equal(first[name], last[name]) for name in first)
    full = disjoint.model(1, 3).state_dict()
    assert all(torch.equal(full[name], last[name]) for name in full)


def test_a_missing_snapshot_is_one_line(results, tmp_path):
    run = results[0].run.replace(seed=7)
    bare = eecore.train(run.model_copy(update={"snapshots": False}), eecore.Store(tmp_path), progress=False)
    assert bare.model(1, 3) is not None
    with pytest.raises(StoreError, match=r"weights of phase 1 after epoch 2 .* snapshots=True") as caught:
        bare.model(1, 2)
    assert "\n" not in str(caught.value)


def test_each_network_is_measured_once(results):
    CALLS.clear()
    frame = over_runs.over_runs(results, weight_sum, "training", progress=False)
    assert len(frame) == 3 * (7 + 4 + 7)
    # untrained all three are the same network, after phase 1 disjoint and mixed are
    assert len(CALLS) == 3 * (7 + 3 + 3)
    again = over_runs.over_runs(results, weight_sum, "training", progress=False)
    assert len(CALLS) == 3 * (7 + 3 + 3)
    pd.testing.assert_frame_equal(frame, again)
    over_runs.over_runs(results, weight_sum, "training", progress=False, factor=2.0)
    assert len(CALLS) == 2 * 3 * (7 + 3 + 3)
    thinned = over_runs.over_runs(results, weight_sum, "thinned", progress=False)
    assert thinned.query("regime == 'joint' and seed == 0")["epoch"].tolist() == [0, 1, 3]
    assert len(CALLS) == 2 * 3 * (7 + 3 + 3)
    expected = sum(float(p.detach().sum()) for p in results[4].model().parameters())
    mine = (frame["regime"] == results[4].run.regime) & (frame["seed"] == results[4].run.seed)
    found = frame[mine]["total"].iloc[-1]
    assert found == pytest.approx(expected)


def test_untrained_networks_come_once_per_seed(results):
    frame = over_runs.over_runs(results, weight_sum, untrained=True, progress=False)
    assert frame["regime"].value_counts().to_dict() == {"disjoint": 3, "joint": 3, "mixed": 3, "untrained": 3}
    start = float(sum(p.detach().sum() for p in eecore.initial_model(results[0].run).parameters()))
    mine = frame.query("regime == 'untrained' and seed == @results[0].run.seed")
    assert mine["total"].item() == pytest.approx(start)
    assert mine["trained"].item() == 0


def test_pairs(results):
    CALLS.clear()
    pairs = over_runs.regime_pairs(results)
    assert len(pairs) == 9
    frame = over_runs.over_pairs(pairs, distance, progress=False)
    assert (frame["seed_a"] == frame["seed_b"]).all()
    assert (frame["distance"] > 0).all()
    over_runs.over_pairs(pairs, distance, progress=False)
    assert len(CALLS) == 9
    seeds = over_runs.seed_pairs(results)
    assert {(a.run.regime, a.run.seed, b.run.seed) for a, b in seeds if a.run.regime == "joint"} == {
        ("joint", 0, 1), ("joint", 1, 2), ("joint", 2, 0),
    }  # fmt: skip
    assert len(over_runs.seed_pairs([r for r in results if r.run.seed < 2])) == 3
    assert over_runs.seed_pairs(results[:1]) == []


def test_per_network_labels_what_a_function_gives(results):
    frame = over_runs.over_runs(results, measures.gradient_shares, "phases", progress=False, samples=32)
    counted = over_runs.per_network(frame, lambda part: {"rows": len(part)})
    assert list(counted.columns) == [*over_runs.NETWORK, "rows"]
    assert counted["rows"].sum() == len(frame)
    assert len(counted) == 3 * (3 + 2 + 3)


def test_measures_leave_the_model_and_name_blocks_by_index(results):
    model, dataset = results[0].model(), eecore.data.load("synthetic")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks = list(range(len(model.blocks)))
    for measure in (measures.ranks, measures.probes):
        assert list(dict.fromkeys(measure(model, dataset, samples=60)["block"])) == blocks
    table = measures.similarity(model, dataset, samples=60)
    assert table.query("block_a == block_b")["cka"].to_numpy() == pytest.approx(1)
    assert len(table) == len(blocks) ** 2
    assert set(measures.ranks_by_samples(model, dataset, (20, 40, 900))["n"]) == {20, 40}
    assert measures.gradient_cosines(model, dataset, samples=32)["cosine"].between(-1, 1).all()
    by_tolerance = measures.ranks_by_tolerance(model, dataset, 60)
    assert (by_tolerance.groupby(["block", "reading"])["rank"].diff().dropna() <= 0).all()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda r: over_runs.over_runs([], weight_sum), "results: at least one run"),
        (
            lambda r: over_runs.over_runs(r, weight_sum, "trainin"),
            "when: 'trainin' is not known; did you mean 'training'",
        ),
        (lambda r: over_runs.over_pairs([], distance), "pairs: at least one"),
        (lambda r: measures.ranks(r[0].model(), eecore.data.load("synthetic"), samples=0), "samples: at least 1"),
        (
            lambda r: measures.ranks_by_samples(r[0].model(), eecore.data.load("synthetic"), (900,)),
            "sizes: synthetic has",
        ),
    ],
)
def test_impossible_input_is_one_line(results, call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call(results)
    assert "\n" not in str(caught.value)


def test_a_measure_of_ones_own_is_computed_again_when_it_changes(results, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = "import pandas as pd\n\n\ndef mine(model, dataset):\n    return pd.DataFrame({'value': [%d]})\n"
    for value in (1, 2):
        (tmp_path / "measure_of_ones_own.py").write_text(text % value)
        sys.modules.pop("measure_of_ones_own", None)
        linecache.clearcache()
        mine = importlib.import_module("measure_of_ones_own").mine
        assert set(over_runs.over_runs(results[:1], mine, progress=False)["value"]) == {value}


def test_a_measure_without_a_source_is_one_line(results):
    names = {}
    exec("def nowhere(model, dataset): pass", names)
    names["nowhere"].__module__ = "nowhere_at_all"
    with pytest.raises(SettingError, match="measure: the source of nowhere cannot be read") as caught:
        over_runs.over_runs(results[:1], names["nowhere"], progress=False)
    assert "\n" not in str(caught.value)
