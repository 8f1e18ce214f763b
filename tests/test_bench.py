"""The bench: rows, table and file; and that the plain loop it compares with is a fair one."""

import copy
import dataclasses
import json

import pytest
import torch

from bench import analysis, growth, inference, measure, memory, plain, reading, run, scale, stacked, training
from eecore import data, models
from eecore.analysis.rank import singular_values
from eecore.analysis.rank_tables import rank_table
from eecore.errors import SettingError
from eecore.training import Phase
from eecore.training.loop import train_phase
from eecore.training.optim import torch_settings

FIELDS = ["name", "value", "low", "high", "runs", "unit", "peer", "goal", "holds"]
SYNTHETIC = data.load("synthetic")


def suites(*rows):
    return {"speed-of-sums": lambda: list(rows), "speed-of-products": lambda: [], "size": lambda: []}


# --- rows


def test_a_row_is_the_median_and_says_honestly_whether_the_goal_is_met():
    found = measure.row("sum", [3.0, 1.0, 2.0], "s", "a limit", "<= 1.5")
    assert (found.value, found.low, found.high, found.runs, found.holds) == (2.0, 1.0, 3.0, 3, False)
    assert measure.row("sum", [2.0], "x", goal=">= 2.0").holds is True
    assert measure.row("sum", [2.0], "x").holds is None


@pytest.mark.parametrize("goal", ["< 2", "2", ">= two", "<= nan"])
def test_a_goal_that_is_none_is_refused(goal):
    with pytest.raises(SettingError, match="goal: expected"):
        measure.row("sum", [1.0], "s", goal=goal)


def test_no_run_is_no_row():
    with pytest.raises(SettingError, match="at least one"):
        measure.row("sum", [], "s")
    with pytest.raises(SettingError, match="repeats"):
        measure.in_turn({}, 0)


def test_turns_alternate_after_one_call_that_does_not_count():
    calls = []

    def work(name, seconds):
        return lambda: calls.append(name) or seconds

    took = measure.in_turn({"a": work("a", 6.0), "b": work("b", 2.0)}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert measure.ratios(took["a"], took["b"]) == [3.0, 3.0]


# --- table, file, command line


def test_table_and_file_hold_every_row(tmp_path, capsys):
    rows = [measure.row("sum", [0.5], "s", "a limit", "<= 1"), measure.row("ratio", [0.5], "x", "plain", ">= 1")]
    target = tmp_path / "deep" / "bench.json"
    assert run.main([], suites(*rows), target) == 0
    told = capsys.readouterr().out
    assert "sum" in told
    assert "NO" in told.split("ratio")[1]
    assert "1 of 2 goals are met" in told
    written = json.loads(target.read_text())
    assert [list(row) for row in written["rows"]] == [FIELDS, FIELDS]
    assert written["rows"] == [dataclasses.asdict(row) for row in rows]
    assert {"cores", "threads", "load", "torch", "seconds"} <= set(written["about"])
    assert [path.name for path in target.parent.iterdir()] == ["bench.json"]


def test_only_takes_what_begins_so():
    assert run.selected("speed", suites()) == ["speed-of-sums", "speed-of-products"]
    assert run.selected("", suites()) == list(suites())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--only", "sise"], "--only: 'sise' is not known; did you mean 'size'?"),
        (["--onyl", "size"], "unrecognized arguments: --onyl size"),
        (["--only"], "argument --only: expected one argument"),
        (["size"], "unrecognized arguments: size"),
    ],
)
def test_a_wrong_option_is_one_line(words, expected, tmp_path, capsys):
    assert run.main(words, suites(), tmp_path / "bench.json") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(expected)
    assert told.err.count("\n") == 1
    assert not (tmp_path / "bench.json").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run.main(["--only", "size"], suites(), tmp_path / "file" / "bench.json") == 1
    assert "Traceback" not in capsys.readouterr().err


# --- every suite, small


SMALL = {
    "rank": lambda: analysis.rank(1, 20, (30, 10)),
    "plane": lambda: analysis.landscape(1, 4, 3, "mlp_nano"),
    "cka": lambda: analysis.cka(1, 10, (8, 4)),
    "kde": lambda: analysis.kde(1, 20, 5),
    "curve": lambda: analysis.threshold_curve(1, 40, 3, 4),
    "budgets": lambda: analysis.budgets(1, 40, 3, 4),
    "budgeted-batch": lambda: analysis.budgeted(1, 40, 3, 4),
    "exit-rules": lambda: analysis.exit_rule_curves(1, 40, 3, 4),
    "infer-one": lambda: inference.one(1, "resnet_nano"),
    "infer-batch": lambda: inference.batch(1, 20, "resnet_nano"),
    "train-backbone": lambda: training.phase("backbone", ">= 2.2", 1, 100, "resnet_nano"),
    "train-all": lambda: training.phase("all", ">= 2.2", 1, 100, "resnet_nano"),
    "train-heads": lambda: training.phase("heads", ">= 25", 1, 100, "resnet_nano"),
    "train-steps": lambda: training.steps(1, 100, "resnet_nano"),
    "train-gradients": lambda: training.gradient_rules(1, 100, "resnet_nano"),
    "train-accuracy": lambda: training.accuracy(2, 1, SYNTHETIC, "resnet_nano"),
    "sweep-workers": lambda: scale.sweep_workers(2, 1, 1, ("synthetic", "mlp_nano")),
    "seeds": lambda: scale.seeds(2, 1, 1, ("synthetic", "mlp_nano")),
    "memory-training": lambda: memory.training(1, 100, "resnet_nano"),
    "memory-logits": lambda: memory.of_logits(1, 200, 3, 4, ["curve", "gate"]),
    "growth-curves": lambda: growth.of_curves(1, (20, 40), (2, 4), (5, 10)),
    "growth-training": lambda: growth.of_training(1, (20, 40), (1, 2)),
    "growth-seeds": lambda: growth.of_seeds(1, (1, 2), (5, 10, 20), (3, 5)),
    "stream": lambda: reading.from_disk(1, 40, 16, "resnet_nano"),
    "seeds-vmap": lambda: stacked.seeds_vmap(1, 2, 1, "mlp_nano", SYNTHETIC),
}


def test_no_suite_is_forgotten_here():
    assert list(SMALL) == list(run.SUITES)


@pytest.mark.parametrize("name", SMALL)
def test_every_suite_gives_rows_with_all_fields(name):
    rows = SMALL[name]()
    assert rows
    for row in rows:
        assert list(dataclasses.asdict(row)) == FIELDS
        assert row.value >= 0 or row.unit == "exponent"
        assert row.unit
        assert (row.holds is None) == (row.goal == "")
        if row.goal:
            assert row.holds is measure.meets(row.value, row.goal)
    assert len({row.name for row in rows}) == len(rows)
    measure.as_table(rows)


def test_the_reference_case_is_the_one_that_is_written_down():
    model = training.reference()
    assert model.exits == (0, 2, 4, 6, 7)
    assert 0.69e6 < sum(p.numel() for p in (*model.backbone_parameters(), *model.heads[-1].parameters())) < 0.71e6
    assert models.backbone_macs(model, (3, 32, 32), "image") == pytest.approx(35.4e6, rel=0.01)


# --- the plain loop is a fair reference


@pytest.mark.parametrize("trains", ["backbone", "all", "heads"])
def test_plain_loop_and_eecore_take_the_same_first_step(trains):
    start = models.build("resnet_nano", kind="image", shape=SYNTHETIC.shape, classes=SYNTHETIC.classes, seed=3)
    ours, theirs = copy.deepcopy(start), copy.deepcopy(start)
    size = len(SYNTHETIC.train)  # one batch holds all, so that the order does not matter
    recipe = training.PLAIN_RECIPE.model_copy(update={"batch_size": size, "weight_decay": 0.0})
    train_phase(ours, SYNTHETIC, Phase(trains, 1), recipe, seed=0)
    with torch_settings(1):
        plain.train(theirs, SYNTHETIC.train.x, SYNTHETIC.train.y, trains, batch_size=size, weight_decay=0.0)
    before, after = start.state_dict(), theirs.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name not in moved), name
        # Adam's first step is lr x sign: a gradient that is rounding may go either way
        close = (tensor - after[name]).abs() <= 1e-4
        assert close.float().mean() > 0.99, name


def test_plain_loop_and_eecore_reach_the_same_accuracy_within_seed_noise():
    pairs = [training.accuracies(SYNTHETIC, "mlp_nano", 6, seed) for seed in range(3)]
    for trains in training.TITLES:
        ours, theirs = (torch.tensor([pair[trains][i] for pair in pairs]) for i in (0, 1))
        assert theirs.mean() > 0.6, "the plain loop learns; chance is 0.25"
        assert (ours - theirs).abs().mean() <= max(0.05, 2 * float(theirs.std())), trains


# --- ranks of several blocks at once


def test_ranks_do_not_depend_on_how_many_blocks_are_measured_at_once():
    blocks = analysis.blocks((40, 12, 30, 7, 300), 250)
    with torch_settings(1):
        one = rank_table(blocks)
    with torch_settings(4):
        several = rank_table(blocks)
        assert torch.get_num_threads() == 4, "the caller's setting is put back"
        with pytest.raises(SettingError, match="block 1: activations: holds values that are not finite"):
            rank_table(blocks | {"block 1": blocks["block 1"].log()})
    assert one.equals(several)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(30, 700), (700, 30)])
def test_ranks_leave_the_activations_as_they_were(dtype, shape):
    x = torch.randn(*shape, dtype=dtype) + 1
    before = x.clone()
    rank_table({"block": x})
    assert torch.equal(x, before)
    expected = torch.linalg.svdvals(x.double() - x.double().mean(0)).numpy()
    found = singular_values(x)  # more features than one product sums over, more rows than one makes
    assert abs(found[:29] - expected[:29]).max() < 1e-9 * expected[0]


def test_activations_too_large_to_be_squared_are_refused():
    x = torch.randn(20, 5, dtype=torch.float64) * 1e200
    with pytest.raises(SettingError, match="too large to be squared"):
        singular_values(x)
    assert len(singular_values(x, route="direct")) == 5
