"""The page on seconds: its frame by hand, its sentences, its figure; what it says of a GPU comes from records."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

import eecore
from companion import plotting
from companion.pages import real_time
from eecore import data, models
from eecore.errors import SettingError
from eecore.inference import exit_taken, score


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    store = eecore.Store(tmp_path_factory.mktemp("store"))
    run = eecore.Run(dataset="synthetic", model="mlp_nano", regime="joint", epochs=3, seed=0)
    networks = real_time.networks([eecore.train(run, store)], "resnet_nano", [0.05, 0.9], samples=30)
    return networks, real_time.measured(networks, [1, 8], repeats=2)


def row(model="a", batch=1, wanted="50%", macs=0.5, time=0.6, same=True):
    numbers = {"macs": macs, "time": time, "low": time - 0.1, "high": time + 0.1, "backbone_ms": 2.0, "n": 64}
    return {"model": model, "batch": batch, "wanted": wanted, **numbers, "same": same}


def test_rows_costs_and_exits(found):
    networks, frame = found
    assert [network.name for network in networks] == ["mlp_nano", "resnet_nano, untrained"]
    small, large = networks
    assert 0.05 not in small.limits, "the first exit costs more than the budget"
    for network in networks:
        assert len(network.macs) == network.model.n_exits == len(network.limits[0.9])
        assert not [m for m in network.model.modules() if isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    assert large.model.n_exits == 3
    assert (large.macs, large.backbone_macs) == (
        models.exit_macs(large.model, data.info("synthetic").shape, "image"),
        models.backbone_macs(large.model, data.info("synthetic").shape, "image"),
    )
    assert len(frame) == sum(2 * (len(network.limits) + 1) for network in networks)
    assert frame["same"].all()
    assert (frame["low"] <= frame["time"]).all()
    assert (frame["time"] <= frame["high"]).all()
    assert (frame["backbone_ms"] > 0).all()
    for network in networks:
        part = frame[(frame["model"] == network.name) & (frame["batch"] == 8)].set_index("wanted")
        taken = exit_taken(score(network.model(network.x)), network.limits[0.9])
        expected = sum(network.macs[k] for k in taken.tolist()) / len(network.x) / network.backbone_macs
        assert part.loc["90%", "macs"] == pytest.approx(expected)
        assert part.loc[real_time.NOBODY, "macs"] == pytest.approx(network.macs[-1] / network.backbone_macs)


def test_another_exit_is_noticed_and_a_tie_is_none():
    scores, limit = torch.tensor([[0.9, 0.5, 0.5], [0.9, 0.9, 0.9]]), torch.tensor([0.6, 0.0])
    assert real_time._same(scores, limit, torch.tensor([0, 1, 1]))
    assert not real_time._same(scores, limit, torch.tensor([0, 0, 1]))
    assert real_time._same(scores, limit - torch.tensor([0.10001, 0.0]), torch.tensor([0, 1, 0]))


def test_sentences_say_what_the_numbers_say():
    frame = pd.DataFrame(
        [
            row(),
            row(wanted="80%", macs=0.8, time=1.1),
            row(wanted=real_time.NOBODY, macs=1.0, time=1.3),
            row("b", time=0.4),
            row("b", wanted=real_time.NOBODY, macs=1.0, time=1.2),
        ]
    )
    told = real_time.in_words(frame)
    assert told.startswith(
        "- 1 at once: 2 of 3 cells take less time than the backbone (a up to 50% of the multiply-adds; "
    )
    assert "Time is above multiply-adds in 2 of them, by 10 points in the median, -10 to 30." in told
    assert told.endswith("take 20 % to 30 % more than the backbone alone.")
    assert "a never" in real_time.in_words(frame.assign(time=1.5))


def test_table_has_a_row_for_each_network_and_batch_and_budgets_in_their_order():
    frame = pd.DataFrame([row(), row(batch=8, wanted=real_time.NOBODY), row(batch=8, wanted="5%"), row(batch=8)])
    table = real_time.table(frame)
    budgets = ["budget 5%", "budget 50%", real_time.NOBODY]
    assert list(table) == ["model", "at once", "backbone, ms per sample", *budgets]
    assert table.loc[0, budgets].tolist() == ["–", "50% → 60% (50% to 70%)", "–"]


def test_the_figure_gives_a_network_its_colour_in_every_panel():
    frame = pd.DataFrame([row("b"), row("b", macs=0.9), row("a", batch=8)])
    colours = []
    for batch in (1, 8):
        ax = plotting.time_against_macs(frame[frame["batch"] == batch], plt.figure().add_subplot(), ["a", "b"])
        lines = {c.get_label(): c[0].get_color() for c in ax.containers}
        colours.append(lines)
        assert ax.get_xlim()[0] == ax.get_ylim()[0] == 0
    assert colours[0] == colours[1]
    plt.close("all")
    with pytest.raises(SettingError, match="models: expected all networks of the frame, b is missing"):
        plotting.time_against_macs(frame, plt.figure().add_subplot(), ["a"])
    with pytest.raises(SettingError, match="frame: lacks time"):
        plotting.time_against_macs(frame.drop(columns="time"), plt.figure().add_subplot(), ["a", "b"])
    plt.close("all")


def test_what_is_said_of_a_gpu_is_read_from_records(tmp_path):
    records = {"a": {"device": "cpu"}, "b": {"device": "some GPU"}}
    for name, machine in records.items():
        (tmp_path / "entry").mkdir(exist_ok=True)
        (tmp_path / "entry" / f"{name}.json").write_text(json.dumps({"machine": machine}))
    told = real_time.gpu_in_words(tmp_path)
    assert told.startswith("Of 2 published records 1 are of a GPU, and none of them holds seconds of inference.")
    assert "says nothing about a GPU" in told
    (tmp_path / "entry" / "b.json").write_text(json.dumps({"machine": records["b"], "inference_seconds": {}}))
    assert real_time.gpu_in_words(tmp_path).endswith("1 of them hold seconds of inference. ")
    assert real_time.gpu_in_words().startswith("Of ")


def test_the_machine_is_named_and_the_clock_explained():
    told = real_time.machine()
    assert torch.__version__ in told
    assert "one thread of a CPU" in told
    assert "in which that thread ran" in told
