"""The threshold explorer's data: plain loops over real runs, and what a page may weigh."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from companion.pages import explorer, explorer_page, explorer_pictures
from companion.pages.explorer import BUDGETS, THRESHOLDS, explored
from eecore import data
from eecore.errors import SettingError
from eecore.evidence import interval
from eecore.inference import budget_table, budget_thresholds, exit_taken, outcome, score
from eecore.training import Store, grid, sweep


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = grid(["digits", "mnist1d"], ["mlp_nano"], ["joint", "mixed", "disjoint"], [0, 1], more_seeds=[2], epochs=1)
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


@pytest.fixture(scope="module")
def content(results):
    return json.loads(json.dumps(explored(results, ["confidence", "entropy"])))  # what a page reads


def sums(text):
    return np.cumsum([int(step) for step in text.split()]).tolist() if text else []


def cell_of(content, dataset, rule="confidence"):
    return next(cell for cell in content["cells"] if (cell["dataset"], cell["rule"]) == (dataset, rule))


def runs_of(results, dataset, label):
    return [r for r in results if (r.run.dataset, r.run.regime) == (dataset, label)]


@pytest.mark.parametrize("rule", ["confidence", "entropy"])
@pytest.mark.parametrize("dataset", ["digits", "mnist1d"])
def test_every_threshold_gives_what_inference_gives(results, content, dataset, rule):
    cell = cell_of(content, dataset, rule)
    assert [regime["label"] for regime in cell["regimes"]] == ["disjoint", "joint", "mixed"]
    for regime in cell["regimes"]:
        runs = runs_of(results, dataset, regime["label"])
        assert regime["seeds"] == [run.run.seed for run in runs] == ([0, 1, 2] if dataset == "digits" else [0, 1])
        total = cell["samples"] * len(runs)
        table = regime["threshold"]
        for row, threshold in enumerate(THRESHOLDS):
            wanted = [outcome(r.test_logits, r.test_labels, r.macs, threshold, rule) for r in runs]
            assert sums(table["right"])[row] / total == pytest.approx(np.mean([w["accuracy"] for w in wanted]))
            left = [0, *(sums(column)[row] for column in table["left"]), total]
            macs = float(np.diff(left) @ np.array(cell["macs"])) / total
            assert macs == pytest.approx(np.mean([w["macs"] for w in wanted]))
            found = interval([w["accuracy"] for w in wanted])
            assert sums(table["half"])[row] / 1000 == pytest.approx(found.high - found.mean, abs=6e-4)


def test_every_budget_gives_what_the_budget_table_gives(results, content):
    for dataset in ("digits", "mnist1d"):
        for regime in cell_of(content, dataset)["regimes"]:
            runs, table = runs_of(results, dataset, regime["label"]), regime["budget"]
            found = [
                budget_table(r.validation_logits, r.validation_labels, r.test_logits, r.test_labels, r.macs,
                             r.backbone_macs, budgets=BUDGETS).query("choice == 'validation'")
                for r in runs
            ]  # fmt: skip
            accuracy = np.mean([frame["accuracy"].to_numpy() for frame in found], axis=0)  # NaN where one does not fit
            assert table["skip"] == np.isnan(accuracy).sum() > 0
            total = cell_of(content, dataset)["samples"] * len(runs)
            np.testing.assert_allclose(np.array(sums(table["right"])) / total, accuracy[table["skip"] :])
            chosen = np.mean([frame["threshold"].to_numpy() for frame in found], axis=0)[table["skip"] :]
            np.testing.assert_allclose(np.array(sums(table["chosen"])) / 1e5, chosen, atol=6e-6)


def leaves(pictures, mode, row, i):
    """The exit at which sample i leaves, as the page's script finds it."""
    exits = [k for k, below in enumerate(pictures[mode]) if row < below[i]]
    return exits[0] if exits else len(pictures[mode])


def test_pictures_leave_where_exit_taken_lets_them_leave(results, content):
    for dataset in ("digits", "mnist1d"):
        samples = content["pictures"][dataset]["sample"]
        for regime in cell_of(content, dataset)["regimes"]:
            run, pictures = runs_of(results, dataset, regime["label"])[0], regime["pictures"]
            assert pictures["seed"] == run.run.seed
            scores = score(run.test_logits)
            for row, threshold in enumerate(THRESHOLDS):
                taken = exit_taken(scores, threshold)[samples].tolist()
                assert [leaves(pictures, "threshold", row, i) for i in range(len(samples))] == taken
            answers = run.test_logits.argmax(dim=2)[:, samples].tolist()
            assert pictures["answer"] == answers


def test_pictures_leave_within_budgets_as_their_own_network_does(results, content):
    samples = content["pictures"]["digits"]["sample"]
    for regime in cell_of(content, "digits")["regimes"]:
        run = runs_of(results, "digits", regime["label"])[0]
        scores = score(run.test_logits)
        limits = budget_thresholds(run.validation_logits)
        costs = [outcome(run.validation_logits, run.validation_labels, run.macs, t)["macs"] for t in limits]
        for row in range(regime["budget"]["skip"], len(BUDGETS)):
            limit = BUDGETS[row] * run.backbone_macs
            threshold = max(t for t, cost in zip(limits, costs, strict=True) if cost <= limit)
            taken = exit_taken(scores, threshold)[samples].tolist()
            assert [leaves(regime["pictures"], "budget", row, i) for i in range(len(samples))] == taken


def first_right(run, n):
    """The first exit (from 0) from which sample n's answer stays right; the number of exits where the last is wrong."""
    right = (run.test_logits[:, n].argmax(dim=1) == run.test_labels[n]).tolist()
    return next(k for k in range(len(right) + 1) if all(right[k:]) and (k == len(right) or right[-1]))


def test_samples_go_from_easy_to_hard_and_bring_their_classes(results, content):
    runs = [run for run in results if run.run.dataset == "digits"]
    hard = np.mean([[first_right(r, n) / len(r.macs) for n in range(len(r.test_labels))] for r in runs], axis=0)
    pictures = content["pictures"]["digits"]
    found = hard[pictures["sample"]]
    assert (np.diff(found) >= -1e-9).all()
    assert (found[0], found[-1]) == (hard.min(), hard.max())
    assert pictures["label"] == runs[0].test_labels[pictures["sample"]].tolist()
    assert len(set(pictures["sample"])) == len(pictures["source"]) == explorer_pictures.SHOWN


def test_a_picture_is_the_sample(content):
    pictures = content["pictures"]["digits"]
    x = data.load("digits").test.x[pictures["sample"][3], 0]
    encoded = pictures["source"][3].removeprefix("data:image/png;base64,")
    found = 255 - np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).astype(float)
    np.testing.assert_allclose(found, 255 * (x - x.min()) / (x.max() - x.min()), atol=0.51)
    assert content["pictures"]["mnist1d"]["source"][0].startswith("data:image/svg+xml,%3Csvg")


def test_colours_and_large_images():
    x = np.zeros((3, 100, 80), dtype=np.float32)
    x[0, :50] = 1.0
    encoded = explorer_pictures.image(x).removeprefix("data:image/png;base64,")
    made = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert (made.mode, made.size) == ("RGB", (51, 64))
    assert made.getpixel((10, 5)) == (255, 0, 0)
    assert explorer_pictures.image(np.ones((1, 4, 4))).startswith("data:image/png")  # a constant is no division by zero
    assert "2,50 98,50" not in explorer_pictures.line(np.array([[0.0, 1.0]]))
    assert "2,96 98,4" in explorer_pictures.line(np.array([[0.0, 1.0]]))


def test_data_that_are_no_pictures_have_none(tmp_path):
    runs = grid(["synthetic_text"], ["text_nano"], ["joint"], [0], epochs=1)
    found = explored(sweep(runs, Store(tmp_path), workers=1, progress=False))
    assert found["pictures"]["synthetic_text"]["source"] == []
    assert "half" not in found["cells"][0]["regimes"][0]["threshold"]  # one seed has no interval


def test_what_does_not_fit_is_left_out_and_named(results, content):
    one = explored([run for run in results if run.run.dataset == "digits"])
    size = len(json.dumps(one, separators=(",", ":")))
    found = explored(results, most=size + 500)
    assert found["left_out"] == ["mnist1d, mlp_nano"]
    assert {cell["dataset"] for cell in found["cells"]} == {"digits"}
    assert content["left_out"] == []
    with pytest.raises(
        SettingError, match=r"^results: nothing to explore within 500 bytes, left out: digits, mlp_nano"
    ):
        explored(results, most=500)
    with pytest.raises(SettingError, match=r"^results: nothing to explore"):
        explored([])


def test_an_explorer_is_complete_and_light(results):
    text = explorer_page.explorer(results)("figure-1", "Figure 1", "What < it shows.")
    assert len(text.encode()) < 150_000
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http%3A//www.w3.org", "")
    assert "What &lt; it shows." in text
    assert text.count("</script>") == 2  # no text of the data ends it
    for name in ("dataset", "model", "rule", "regime"):
        assert f'<select class="ex-{name}"' in text
    assert 'for="figure-1-slider"' in text
    assert 'aria-live="polite"' in text


def test_below_counts_in_the_type_of_the_scores():
    scores = torch.tensor([0.98, 0.98, 1.0], dtype=torch.float32)  # 0.98 as float32 is not 0.98
    assert explorer._below(scores, THRESHOLDS) == [sum(s > torch.tensor(t) for t in THRESHOLDS) for s in scores]
    assert explorer._below(torch.tensor([0.0]), THRESHOLDS) == [0]
