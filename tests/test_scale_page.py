"""The page on large trainings: counts against formulas, the plan against a slow twin, small trainings in processes."""

import itertools
import platform
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from companion import plotting
from companion.pages import scale, scale_runs, words_scale
from eecore import models
from eecore.errors import SettingError
from eecore.training import Run, grid

SMALL = scale.Images(400, 16, 10)


def tasks(hours, seeds=2):
    """The plan of disjoint, joint and mixed: b, b + h, a, b + a, with these hours."""
    b, h, a, after = hours
    rows = [
        ("b", "", b, "disjoint, mixed"),
        ("b + h", "b", h, "disjoint"),
        ("a", "", a, "joint"),
        ("b + a", "b", after, "mixed"),
    ]
    columns = ["model", "seed", "task", "before", "hours", "regimes"]
    return pd.DataFrame(
        [("m", s, name, before, t, r) for s in range(seeds) for name, before, t, r in rows], columns=columns
    )


def in_order(plan, workers, order):
    """Hours of a plan whose tasks are taken in this order: a twin that goes through time in small steps."""
    rows = {(r.seed, r.task): r for r in plan.itertuples()}
    begun, done, now = {}, set(), 0
    while len(done) < len(rows):
        for key in order:
            row = rows[key]
            free = len(begun) - len(done) < workers
            if free and key not in begun and (not row.before or (key[0], row.before) in done):
                begun[key] = now
        now += 1
        done |= {key for key, start in begun.items() if start + rows[key].hours <= now}
    return now


# -- the plan -------------------------------------------------------------------------------------------


def test_a_shared_phase_is_there_once_and_hours_are_macs_over_speed():
    plan = scale.plan(["resnet_nano"], ["disjoint", "joint", "mixed"], [0, 1], SMALL, "every", 3, 20, 2.0)
    assert len(plan) == 2 * 4
    first = plan[plan["seed"] == 0].set_index("task")
    assert first.loc["backbone:3", "regimes"] == "disjoint, mixed"
    assert first.loc["backbone:3 + all:3", "before"] == "backbone:3"
    about = models.describe("resnet_nano", kind="image", shape=SMALL.shape, classes=10)
    macs = 3 * about["macs"][-1] * 3 * 400  # all heads are passed on the way to the last
    assert first.loc["all:3", "hours"] == pytest.approx(macs / 2e12 / 3600)
    assert first.loc["backbone:3", "hours"] == pytest.approx(3 * about["backbone_macs"] * 3 * 400 / 2e12 / 3600)


@pytest.mark.parametrize("hours", [(3, 1, 4, 4), (1, 1, 1, 1), (5, 2, 9, 1)])
def test_one_worker_does_all_and_many_do_the_longest_chain(hours):
    plan = tasks(hours)
    b, h, a, after = hours
    assert scale.days(plan, 1) == pytest.approx(2 * sum(hours) / 24)
    assert scale.chain_days(plan) == pytest.approx(max(b + max(h, after), a) / 24)
    assert scale.days(plan, 8) == pytest.approx(scale.chain_days(plan))
    enough = scale.enough_workers(plan)
    assert scale.days(plan, enough) == pytest.approx(scale.chain_days(plan))
    assert enough == 1 or scale.days(plan, enough - 1) > scale.chain_days(plan)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("hours", [(3, 1, 4, 4), (5, 2, 9, 1), (2, 2, 3, 3)])
def test_the_plan_is_as_good_as_the_best_of_all_orders(hours, workers):
    plan = tasks(hours, seeds=1)
    keys = [(row.seed, row.task) for row in plan.itertuples()]
    best = min(in_order(plan, workers, order) for order in itertools.permutations(keys))
    assert scale.days(plan, workers) * 24 == pytest.approx(best)


def test_with_workers_has_both_limits_and_the_sentence_says_what_is_spared():
    plan = tasks((3, 1, 4, 4))
    found = scale.with_workers(plan, [1, 2])
    assert list(found["workers"]) == [1, 2]
    assert (found["days"] >= found["chain_days"]).all()
    assert (found["days"] >= found["work_days"] / found["workers"] - 1e-12).all()
    said = words_scale.plan_words(plan)
    assert "1 days of one accelerator" in said
    assert "would be 1.25" in said  # 3 hours more for each of two seeds


# -- counts ---------------------------------------------------------------------------------------------


class Two(torch.nn.Module):
    """Two layers, whose kept numbers can be counted by hand."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Parameter(torch.empty(7, 12, device="meta"))
        self.second = torch.nn.Parameter(torch.empty(5, 7, device="meta"))

    def forward(self, x):
        hidden = torch.nn.functional.linear(x.flatten(1), self.first).exp()
        return torch.nn.functional.linear(hidden, self.second).relu()


def test_what_is_kept_is_counted_as_by_hand(monkeypatch):
    monkeypatch.setattr(scale, "network", lambda name, images, exits: Two())
    # its 3 x 2 x 2 inputs for the first layer; 7 results of exp, which the second layer keeps too; 5 results of relu
    assert scale._kept_bytes("any", scale.Images(1, 2, 5), "every") == 4 * (12 + 7 + 5)


def test_what_is_kept_grows_with_the_image_and_not_with_the_weights():
    kept = [scale._kept_bytes("resnet20", scale.Images(400, side, 10), "every") for side in (16, 32)]
    assert 3.5 < kept[1] / kept[0] <= 4


def test_needs_are_counted_and_measured():
    found = scale.needs(["resnet_nano"], SMALL, "every", 20).iloc[0]
    about = models.describe("resnet_nano", kind="image", shape=SMALL.shape, classes=10)
    assert found["state_bytes"] == 16 * about["parameters"]
    assert found["batch_bytes"] == found["state_bytes"] + 20 * found["kept_bytes"] // 2
    assert found["last_macs"] == about["macs"][-1]
    assert found["seconds"] > 0
    assert found["macs_per_second"] == pytest.approx(3 * about["macs"][-1] / found["seconds"])


def test_speeds_are_those_of_the_records():
    found = scale.speeds()
    assert {"name", "model", "device", "runs", "speed"} <= set(found)
    assert (found["speed"] > 0).all()


def test_the_figure_says_its_units_and_refuses_what_lacks():
    frame = scale.with_workers(tasks((3, 1, 4, 4)), [1, 2, 4])
    ax = plotting.days_by_workers(frame, Figure().subplots())
    assert ax.get_xlabel() == "workers (accelerators)"
    assert ax.get_ylabel() == "days"
    assert list(ax.lines[0].get_ydata()) == list(frame["days"])
    with pytest.raises(SettingError, match="frame: lacks days"):
        plotting.days_by_workers(frame.drop(columns="days"), Figure().subplots())


# -- small trainings ------------------------------------------------------------------------------------


def test_the_tasks_of_one_seed_are_listed_with_what_they_wait_for():
    runs = grid(["synthetic"], ["mlp_nano"], ["disjoint", "mixed"], [0, 1], epochs=1)
    table = scale_runs.graph_table(runs)
    assert list(table["does"]) == ["trains backbone", "trains heads", "evaluates", "trains all", "evaluates"]
    assert list(table["waits for"]) == ["nothing", "1", "2", "1", "4"]


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_one_and_two_processes_agree_at_each_exit():
    found = scale_runs.divided(Run(dataset="synthetic", model="mlp_nano", regime="joint", epochs=1))
    assert list(found.columns) == ["exit", "one process", "2 processes", "difference"]
    assert (found["one process"] == found["2 processes"]).all()
    assert (found["difference"] < 0.01).all()


@pytest.mark.xdist_group("dask")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_job_has_no_name_of_this_machine():
    text = scale_runs.job_script("gpu", hours=2.0, gpus=1)
    assert "#SBATCH -t 02:00:00" in text
    assert "python -m distributed.cli.dask_worker tcp://HOST:PORT " in text
    assert str(Path(sys.prefix).parent) not in text
    assert platform.node() not in text
