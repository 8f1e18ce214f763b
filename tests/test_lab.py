"""The lab: plans that are wrong stop with one line, runs stop in time and go on, records say what they are."""

import itertools
import json
import multiprocessing
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import eecore.training.chain as chain
from companion import lab, tables
from companion.lab import layout, machine
from companion.lab.plan import read_plan
from companion.lab.reading import RUN
from eecore.errors import DataError, SettingError
from eecore.evidence import published_frame
from eecore.training import Pace, Recipe, Store, recipes, train

HEAD = 'dataset = "synthetic"\nmodel = "mlp_nano"\nepochs = 2\nsize = "small"\nrecipe = { batch_size = 16 }\n'
ENTRY = f'[[entry]]\nname = "tiny"\ntitle = "Tiny"\n{HEAD}regimes = ["mixed", "disjoint"]\nseeds = [0]\n'
LATER = ENTRY.replace("tiny", "later").replace('"synthetic"', '"not_yet"').replace('"mlp_nano"', '"nor_this"')
BIG = ENTRY.replace("tiny", "big").replace("small", "paper")


@pytest.fixture
def place(tmp_path):
    """A folder with a plan that is written by calling it."""

    def plan(text=ENTRY):
        (tmp_path / "records").mkdir(exist_ok=True)
        (tmp_path / "records" / "plan.toml").write_text(text)
        return read_plan(tmp_path / "records" / "plan.toml")

    return SimpleNamespace(plan=plan, folder=tmp_path / "records", store=Store(tmp_path / "runs"))


def do(place, plan, pace=None, **options):
    """Work on a plan; the lines that were said, and the records that were written."""
    said = []
    written = lab.work(plan, pace=pace or Pace(), folder=place.folder, store=place.store, say=said.append, **options)
    return said, written


def ticking():
    """A clock that goes on by a second each time it is looked at."""
    return itertools.count().__next__


# -- plans -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size =", "sizes =", r"plan.toml, tiny: setting: 'sizes' is not known; did you mean 'size'"),
        ("[[entry]]", "[[entries]]", r"plan.toml: 'entries' is not known; did you mean 'entry'"),
        ('"mixed"', '"mixd"', r"plan.toml, tiny: regimes: 'mixd' is not known; did you mean 'mixed'"),
        ("epochs = 2", "epochs = 0", r"plan.toml, tiny: epochs: .*got 0"),
        (
            "batch_size = 16",
            "batchsize = 16",
            r"plan.toml, tiny: setting: 'batchsize' is not known; did you mean 'batch_",
        ),
        ("batch_size = 16", "compile = true", r"plan.toml, tiny: recipe: compile belongs to the table device"),
        ("seeds = [0]", "seeds = [0, 0]", r"plan.toml, tiny: an item is there twice in \[0, 0\]"),
        ("seeds = [0]", 'device = { precison = "bf16" }', r"tiny: setting: 'precison' is not known; did you mean"),
        ('name = "tiny"', 'name = "../tiny"', r"plan.toml, ../tiny: name: "),
        ("epochs = 2", "epochs = ", r"plan: plan.toml is not TOML: "),
        ("[[entry]]", ENTRY + "[[entry]]", r"plan: plan.toml has two entries called 'tiny'"),
    ],
)
def test_a_wrong_plan_is_one_line(place, old, new, said):
    with pytest.raises(SettingError, match=said) as caught:
        place.plan(ENTRY.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SettingError, match="cannot be read: No such file") as caught:
        read_plan(tmp_path / "none.toml")
    assert "\n" not in str(caught.value)


def test_the_order_of_work_is_entry_then_seed_then_regime(place):
    plan = place.plan(ENTRY.replace("[0]", "[1, 0]") + LATER)
    assert [p.title for p in plan.planned("tiny")] == [
        "tiny mixed seed 1",
        "tiny disjoint seed 1",
        "tiny mixed seed 0",
        "tiny disjoint seed 0",
    ]
    assert [p.entry.name for p in plan.planned()][-1] == "later"
    with pytest.raises(SettingError, match="only: 'tidy' is not known; did you mean 'tiny'"):
        list(plan.planned("tidy"))


def test_off_stands_for_none_and_the_device_is_part_of_the_recipe(place):
    text = (
        ENTRY.replace("batch_size = 16", 'clip_norm = "off"')
        + 'device = { precision = "bf16", channels_last = true }\n'
    )
    recipe = place.plan(text).entries[0].full_recipe()
    assert recipe == Recipe(clip_norm=None, precision="bf16", channels_last=True)


def test_a_named_recipe_is_the_base_of_an_entrys_own(place):
    text = ENTRY.replace("batch_size = 16", 'preset = "resnet_cifar", lr = 0.5')
    base = recipes.preset("resnet_cifar").recipe
    assert place.plan(text).entries[0].full_recipe() == Recipe(**{**base.model_dump(), "lr": 0.5})
    with pytest.raises(SettingError, match="preset: 'strong' is not known"):
        place.plan(text.replace("resnet_cifar", "strong"))


def test_the_record_of_a_regression_has_its_measures(place):
    plan = place.plan(ENTRY.replace('dataset = "synthetic"', 'dataset = "synthetic_regression"'))
    do(place, plan)
    found = lab.records(place.folder, plan)
    result = train(next(plan.planned()).run("cpu"), place.store, progress=False)
    expected = tables.per_exit([result])
    first = found.exits[(found.exits["regime"] == result.run.regime) & (found.exits["seed"] == result.run.seed)]
    shown = first[first["split"] == "test"]
    assert shown["pearson"].to_numpy() == pytest.approx(expected["pearson"].to_numpy(), abs=1e-5)
    assert shown["mse"].to_numpy() == pytest.approx(expected["mse"].to_numpy(), rel=1e-4)
    assert shown["accuracy"].isna().all()
    assert set(found.curves["rule"]) == {"difference"}
    assert found.curves["mse"].notna().all()
    assert found.budgets.empty
    assert all(part.empty for part in lab.differences_at_ends(found, ["disjoint", "mixed"]))


def test_the_plan_of_this_book_has_the_papers_families_first_in_order():
    plan = read_plan()
    assert [entry.name for entry in plan.entries][:7] == [
        "resnet34-cifar100",
        "vit-tiny-cifar100",
        "msdnet-cifar100",
        "resnet34-cifar10",
        "resnet50-tinyimagenet",
        "bert-newsgroups20",
        "bert-stsb",
    ]
    for entry in plan.entries:
        assert set(entry.regimes) >= {"disjoint", "mixed", "joint", "joint_long"}
        assert len(entry.seeds) >= 3


# -- the runner --------------------------------------------------------------------------------------------


def test_what_cannot_run_is_said_once_and_the_others_go_on(place):
    plan = place.plan(LATER + BIG + ENTRY)
    said, written = do(place, plan)
    assert said[0] == "later: not runnable yet: needs data set not_yet, model nor_this"
    assert said[1].startswith("big: left out: a GPU's work (--device cuda)")
    assert [path.name for path in written] == ["mixed-seed0.json", "disjoint-seed0.json"]
    state = lab.status(plan, place.folder).set_index("name")
    assert state.loc["tiny", ["planned", "done", "stale", "missing"]].tolist() == [2, 2, 0, 0]
    assert state.loc["later", ["done", "missing", "why"]].tolist() == [0, 2, "needs data set not_yet, model nor_this"]
    assert do(place, plan, only="big")[1], "asked for by name, a CPU does it"


def test_a_loss_that_is_not_finite_stops_its_entry_alone(place):
    wild = ENTRY.replace("tiny", "wild").replace("batch_size = 16", 'lr = 1000, optimizer = "sgd", clip_norm = "off"')
    plan = place.plan(wild.replace("mlp_nano", "mlp_small") + ENTRY)
    said, written = do(place, plan)
    assert "not finite" in said[0] or "the loss is" in said[0]
    assert len([line for line in said if line.startswith("wild")]) == 1
    assert len(written) == 2


def test_stopped_by_the_clock_again_and_again_it_ends_with_the_same_bits(place, tmp_path):
    plan = place.plan()
    planned = next(plan.planned())
    straight = train(planned.run("cpu"), Store(tmp_path / "straight"), progress=False)
    stops = []
    for _ in range(20):
        said, written = do(place, plan, Pace(5, now=ticking()))
        stops += [line for line in said if "the time is up" in line]
        if not said and not written:
            break
    assert any("after 1 epochs of a phase" in line for line in stops), "it stops inside a phase"
    resumed = train(planned.run("cpu"), place.store, progress=False)
    assert torch.equal(resumed.test_logits, straight.test_logits)
    assert torch.equal(resumed.validation_logits, straight.validation_logits)
    ended, whole = resumed.model().state_dict(), straight.model().state_dict()
    assert all(torch.equal(ended[name], whole[name]) for name in whole)
    assert not list(place.store.folder.glob("*/partial*"))
    assert set(lab.status(plan, place.folder)["done"]) == {2}


def test_no_time_means_no_training_and_a_finished_run_needs_none(place, monkeypatch):
    plan = place.plan()
    said, written = do(place, plan, Pace(0, now=ticking()))
    assert said == ["tiny mixed seed 0: the time is up before phase 1 of 2"]
    assert not written
    train(next(plan.planned()).run("cpu"), place.store, progress=False)
    monkeypatch.setattr(chain, "train_phase", None)
    _, written = do(place, place.plan(ENTRY.replace(', "disjoint"', "")), Pace(0, now=ticking()))
    assert [path.name for path in written] == ["mixed-seed0.json"]


def test_states_are_stored_at_an_interval_and_where_the_time_is_up(place, monkeypatch):
    stored = []
    real = Store.put
    monkeypatch.setattr(Store, "put", lambda self, *a: stored.append((a[1], a[3].get("epoch"))) or real(self, *a))
    plan = place.plan(ENTRY.replace("epochs = 2", "epochs = 6").replace('"mixed", "disjoint"', '"joint"'))
    do(place, plan, Pace(checkpoint_seconds=1e9))
    assert [name for name, _ in stored] == ["weights", "logits"]
    stored.clear()
    plan = place.plan(ENTRY.replace("epochs = 2", "epochs = 7").replace('"mixed", "disjoint"', '"joint"'))
    do(place, plan, Pace(8, checkpoint_seconds=1e9, now=ticking()))
    assert len([name for name, _ in stored if name == "partial"]) == 1
    assert 1 < stored[0][1] < 7


def test_pace_by_hand():
    times = iter([0.0, 1.0, 4.0, 4.5, 7.5, 8.5])
    pace = Pace(10.0, checkpoint_seconds=4.0, now=times.__next__)
    pace.phase_begins()  # at 1
    pace.epoch_ended()  # at 4: three seconds
    assert not pace.wants_state(), "three seconds since the phase began, and at 4.5 another epoch ends at 7.5"
    pace.epoch_ended()  # at 7.5
    assert pace.wants_state(), "6.5 seconds since the phase began"
    assert pace.is_over(), "at 8.5 another epoch of 3.5 seconds ends too late"
    with pytest.raises(SettingError, match="seconds: expected a number of at least 0, got -1"):
        Pace(-1)


def _work_and_count(folder, plan_file, counts):
    real = chain.train_phase

    def counting(*arguments, **settings):
        with open(counts, "a", encoding="utf-8") as file:
            file.write(f"{arguments[2].trains}\n")
        return real(*arguments, **settings)

    chain.train_phase = counting
    plan = read_plan(plan_file)
    lab.work(plan, pace=Pace(), folder=plan_file.parent, store=Store(folder), say=lambda line: None)


def test_two_runners_on_one_store_do_no_run_twice(place, tmp_path):
    place.plan(ENTRY.replace("seeds = [0]", "seeds = [0, 1]"))
    context = multiprocessing.get_context("spawn")
    arguments = (place.store.folder, place.folder / "plan.toml", tmp_path / "counts")
    both = [context.Process(target=_work_and_count, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    done = sorted((tmp_path / "counts").read_text().split())
    assert done == ["all", "all", "backbone", "backbone", "heads", "heads"]


def test_what_another_process_is_at_is_left_to_it(place):
    from eecore.training.identity import prefix_keys

    plan = place.plan(ENTRY.replace('"disjoint"', '"joint"'))
    key = prefix_keys(next(plan.planned()).run("cpu"))[0]
    with place.store.claim(key) as mine, place.store.claim(key) as again:
        assert (mine, again) == (True, False)
        said, written = do(place, plan)
    assert said[0] == "tiny mixed seed 0: another process is at it"
    assert [path.name for path in written] == ["joint-seed0.json"]


# -- records -----------------------------------------------------------------------------------------------


def test_a_record_whose_settings_differ_from_the_plan_is_stale(place):
    do(place, place.plan())
    changed = place.plan(ENTRY.replace("epochs = 2", "epochs = 1").replace("batch_size = 16", "batch_size = 32"))
    state = lab.runs_status(changed, place.folder)
    assert set(state["state"]) == {"stale"}
    assert "phases: " in state["why"][0]
    found = lab.records(place.folder)
    assert set(found.provenance["state"]) == {"stale"}
    assert set(found.exits["state"]) == {"stale"}
    said, written = do(place, changed)
    assert said[0].startswith("tiny mixed seed 0: stale, made again (phases: ")
    assert len(written) == 2
    assert set(lab.records(place.folder).provenance["state"]) == {"current"}
    place.plan(ENTRY.replace('"tiny"', '"other"'))
    assert set(lab.records(place.folder).provenance["state"]) == {"unplanned"}


def test_only_the_learning_rate_differs(place):
    do(place, place.plan())
    state = lab.runs_status(place.plan(ENTRY.replace("batch_size = 16", "batch_size = 16, lr = 0.5")), place.folder)
    assert state["why"].tolist() == ["recipe.lr: 0.002 in the record, 0.5 in the plan"] * 2


def test_a_field_that_a_record_does_not_know_yet_has_its_default(place):
    plan = place.plan()
    path = do(place, plan)[1][0]
    record = json.loads(path.read_text())
    del record["settings"]["recipe"]["compile"]
    path.write_text(json.dumps(record))
    assert lab.status(plan, place.folder)["done"].tolist() == [2]


def test_frames_of_records_equal_those_of_results(place):
    plan = place.plan(ENTRY.replace("[0]", "[0, 1]"))
    do(place, plan)
    results = [train(planned.run("cpu"), place.store, progress=False) for planned in plan.planned()]
    found = lab.records(place.folder)

    def same(ours, theirs):
        ours = ours[theirs.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, theirs.reset_index(drop=True), check_dtype=False, rtol=1e-6)

    same(found.exits, pd.concat([result.frame() for result in results]))
    same(found.exits.query("split == 'test'"), tables.per_exit(results))
    for rule in ("confidence", "entropy"):
        same(found.curves.query("rule == @rule"), tables.curves(results, [rule]))
        same(found.budgets.query("rule == @rule"), tables.budgets(results, rule))
    same(found.costs, tables.training_costs(results))
    history = pd.concat([result.history() for result in results])
    same(found.history, history.drop(columns=["validation_accuracy", "evaluation_seconds"]))
    assert found.exits.columns[:7].tolist() == ["name", *RUN, "device", "state"]


def test_records_say_from_which_thresholds_budgets_were_chosen(place):
    plan = place.plan(ENTRY.replace("[0]", "[0, 1]"))
    do(place, plan)
    new = lab.records(place.folder)
    spread = "100 even and 1000 spread over validation scores"
    assert lab.chosen_among(new.budgets) == f"Thresholds were chosen from {spread}."
    path = next(place.folder.glob("*/*.json"))
    record = json.loads(path.read_text())
    assert record.pop("budget_thresholds") == spread
    path.write_text(json.dumps(record))  # as records were before they said it
    both = lab.records(place.folder)
    assert set(both.provenance["state"]) == {"current"}
    said = lab.chosen_among(both.budgets)
    runs = len(both)
    assert f"{spread} ({runs - 1} of {runs} runs)" in said
    assert f"100 even ones (1 of {runs} runs)" in said
    assert "need not spend the same" in said
    published = lab.records().budgets
    assert set(published.loc[published["among"] != spread, "among"]) <= {"100 even ones"}
    limited = published[np.isfinite(published["budget"]) & (published["choice"] == "test sweep")].dropna()
    assert (limited["spent"] <= limited["budget"] * (1 + 1e-6)).all()


def test_a_long_history_is_thinned_and_keeps_its_ends(place):
    plan = place.plan(ENTRY.replace("epochs = 2", "epochs = 100").replace('"mixed", "disjoint"', '"joint"'))
    do(place, plan, Pace(checkpoint_seconds=1e9))
    epochs = lab.records(place.folder).history["epoch"]
    assert len(epochs) == 40
    assert epochs.iloc[[0, -1]].tolist() == [0, 99]
    assert epochs.is_monotonic_increasing


def test_a_record_says_where_it_is_from_and_is_small(place):
    path = do(place, place.plan())[1][0]
    record = json.loads(path.read_text())
    assert {"commit", "training_version", "versions", "keys", "finished", "data", "machine"} <= set(record)
    assert record["machine"]["device"] == "cpu"
    assert record["machine"]["utilisation"] is None
    assert path.stat().st_size < 40_000
    assert max(map(len, path.read_text().splitlines())) < 2_000


def test_the_layout_is_the_same_each_time_and_comes_back(tmp_path):
    value = {"b": [1.0, 1 / 3, float("nan"), float("inf")], "a": {"x": [[1, 2], []], "w": "ü"}, "format": 1}
    for name in ("one", "two"):
        layout.write_record(tmp_path / name, dict(reversed(value.items())) if name == "two" else value)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    read = layout.read_record(tmp_path / "one")
    assert list(read) == ["a", "b", "format"]
    numbers = [layout.number(v) for v in read["b"]]
    np.testing.assert_allclose(numbers, value["b"], rtol=1e-6)
    assert read["a"] == value["a"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_a_damaged_record_is_one_line(place, content):
    plan = place.plan()
    path = do(place, plan)[1][0]
    path.write_text(content)
    for read in (lambda: lab.records(place.folder), lambda: lab.status(plan, place.folder)):
        with pytest.raises(DataError, match=r"is no record .*: remove it, and make it again") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_no_records_are_frames_without_rows(tmp_path):
    found = lab.records(tmp_path / "nothing")
    assert len(found) == 0
    assert "accuracy" in found.exits
    assert len(found.only(size=["paper"]).curves) == 0
    first, last = lab.differences_at_ends(found, ["joint", "mixed"])
    assert first.empty
    assert last.empty
    assert lab.chosen_among(found.budgets) == "No record has an accuracy within a budget."
    against = lab.paper_against_ours(found)
    assert len(against) == 21
    assert lab.rows_in_words(against) == "Of 21 rows, 0 have a record of ours beside them and 21 have none yet."


# -- what the page says ------------------------------------------------------------------------------------


def test_differences_are_left_out_where_a_regime_is_not_there_yet(place):
    do(place, place.plan(ENTRY.replace('"disjoint"', '"disjoint", "joint"').replace("[0]", "[0, 1]")))
    found = lab.records(place.folder)
    _, last = lab.differences_at_ends(found, ["disjoint", "joint", "mixed", "joint_long"])
    assert last["label"].tolist() == [
        "synthetic · mlp_nano · joint − disjoint",
        "synthetic · mlp_nano · mixed − disjoint",
        "synthetic · mlp_nano · mixed − joint",
    ]
    wide = found.exits.query("split == 'test' and exit == exit.max()").pivot(
        index="seed", columns="regime", values="accuracy"
    )
    assert last["mean"].iloc[2] == pytest.approx((wide["mixed"] - wide["joint"]).mean())
    assert lab.provenance_table(found)["records"].tolist() == ["6 (current)"]
    spent = found.costs.groupby("regime")["training_macs"].mean()
    ratio = f"Mixed took {spent['mixed'] / spent['joint']:.2f} times joint's"
    assert ratio in lab.unequal_training(found)
    assert lab.unequal_training(found.only(regime=["mixed", "disjoint"])) == ""


def test_a_note_of_the_plan_is_shown(place):
    plan = place.plan(ENTRY + 'note = "Few epochs."\n')
    assert lab.status_table(lab.status(plan, place.folder))["note"].tolist() == ["Few epochs."]


def test_the_papers_numbers_stand_beside_ours(place, monkeypatch):
    do(place, place.plan(ENTRY.replace("[0]", "[0, 1]")))
    paper = published_frame().head(3).assign(model="mlp_nano", dataset="synthetic")
    monkeypatch.setattr("companion.lab.against.published_frame", lambda: paper)
    found = lab.records(place.folder)
    table = lab.paper_against_ours(found).set_index("regime")
    assert table["paper (%)"].tolist() == ["73.79", "74.17", "75.88"]
    assert table.loc["joint", "how ours was made"] == "no record yet"
    last = 100 * found.exits.query("split == 'test' and regime == 'mixed' and exit == exit.max()")["accuracy"]
    assert table.loc["mixed", "ours, last exit (%)"].startswith(f"{last.mean():.2f} ± ")
    how = table.loc["mixed", "how ours was made"]
    assert how.startswith("phases of 2 + 2 epochs instead of early stopping; adamw, lr 0.002, cosine, batches of 16")
    assert "seeds 0, 1 instead of about four; on cpu" in how


def test_published_numbers_are_fractions_and_ranges_say_so():
    frame = published_frame()
    assert len(frame) == 21
    assert frame["high"].between(0.6, 0.9).all()
    news = frame[frame["dataset"] == "newsgroups20"]
    assert news["said"].tolist() == ["up to 85.75", "84.24 to 84.41", "84.99 to 85.25"]
    imagenet = frame[(frame["dataset"] == "imagenet") & (frame["model"] == "vit_tiny")].set_index("regime")["high"]
    assert imagenet.to_dict() == pytest.approx({"disjoint": 0.7161, "joint": 0.6839, "mixed": 0.712})


# -- the machine -------------------------------------------------------------------------------------------


def test_utilisation_is_the_mean_over_all_parts_of_a_run(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    seen = iter([80.0, 100.0])
    watch = machine.Watch("cuda", seconds=0.001, look=lambda device: next(seen, None))
    with watch:
        watch._thread.join(10)
    assert watch.summary() == {"looks": 2, "utilisation": 90.0, "memory_bytes": 0}
    before = {"looks": 2, "utilisation": 50.0, "memory_bytes": 7}
    assert watch.summary(before) == {"looks": 4, "utilisation": 70.0, "memory_bytes": 7}
    with machine.Watch("cpu") as idle:
        pass
    assert idle.summary()["utilisation"] is None


@pytest.mark.parametrize(("answer", "percent"), [("37\n", 37.0), ("[N/A]\n", None), ("", None), (OSError(), None)])
def test_where_torch_cannot_say_how_busy_a_gpu_is_its_own_tool_is_asked(monkeypatch, answer, percent):
    def run(command, **options):
        if isinstance(answer, OSError):
            raise answer
        assert command[:2] == ["nvidia-smi", "--id=1"]
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr(machine.subprocess, "run", run)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 1 / 0)
    assert machine.busy_percent("cuda:1") == percent


def test_the_lab_needs_nothing_but_the_plain_dependencies():
    extras = ["IPython", "papermill", "nbformat", "yaml", "transformers", "tokenizers", "dask", "jaxtyping", "beartype"]
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({extras})); import eecore.cli, companion.lab; print('there')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "there", done.stderr
