"""Recommendations from frames whose answer is known; page, function and command line say the same."""

import math
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.multitest import multipletests

import eecore
from companion import lab, plotting, tables
from companion.recommendation import decisions
from companion.recommendation import runs as recommendation_runs
from companion.recommendation import words as recommendation_words
from companion.recommendation.advice import COLUMNS, FINAL, recommend
from companion.recommendation.runs import evidence_of_records, evidence_of_results, quick_grid, stored
from eecore import errors
from eecore.cli import main
from eecore.errors import SettingError
from eecore.evidence import corrected
from eecore.training import Store, grid, sweep
from execute import NOTEBOOKS

COST = {"disjoint": 55, "joint": 50, "joint_long": 100, "mixed": 99}
NETWORKS = {"vit_nano": "transformer", "vit_micro": "transformer", "mlp_nano": "mlp"}
SIZES = {"digits": 1_200, "mnist1d": 3_500, "cifar10": 45_000}


def cell(accuracies, dataset="digits", model="vit_nano", seeds=5, noise=0.002, budget=0.5, source="grid"):
    """Runs of one cell: accuracy of each regime, and a seed's own luck, half of which the regimes share."""
    stream = np.random.default_rng(len(dataset) + len(model))
    luck, rows = 0.02 * stream.standard_normal(seeds), []
    for regime, accuracy in accuracies.items():
        own = noise * stream.standard_normal(seeds)
        own -= own.mean()  # so that the mean is the number that was asked for
        rows += [
            {"source": source, "dataset": dataset, "model": model, "family": NETWORKS.get(model, "own"),
             "train_size": SIZES[dataset], "regime": regime, "seed": seed, "budget": budget,
             "accuracy": accuracy + luck[seed] + own[seed], "training_macs": COST[regime] * 10**9}
            for seed in range(seeds)
        ]  # fmt: skip
    return pd.DataFrame(rows)[COLUMNS]


def frame(*cells):
    return pd.concat(cells, ignore_index=True)


CLEAR = {"disjoint": 0.70, "joint": 0.75, "mixed": 0.80, "joint_long": 0.78}


def test_a_clear_winner_with_numbers_by_hand():
    runs = cell(CLEAR)
    found = recommend(runs, "vit_nano", "digits")
    assert (found.regime, found.alike, found.broadened, found.group) == ("mixed", (), "", "vit_nano on digits")
    table = found.table.set_index("regime")
    assert list(table.index) == ["mixed", "joint", "disjoint"]
    wide = runs.pivot(index="seed", columns="regime", values="accuracy")
    difference = wide["mixed"] - wide["joint"]
    half = stats.t.ppf(0.975, 4) * difference.std(ddof=1) / math.sqrt(5)
    assert table.loc["joint", "difference"] == pytest.approx(0.05)
    assert table.loc["joint", "high"] == pytest.approx(0.05 + half)
    assert table.loc["joint", "p"] == pytest.approx(stats.ttest_rel(wide["mixed"], wide["joint"]).pvalue)
    assert table["training"].to_dict() == pytest.approx({"mixed": 1.0, "joint": 50 / 99, "disjoint": 55 / 99})
    assert found.words.startswith(
        "For vit_nano on digits, within 50 % of the cost, with the same epochs in each phase: **mixed**. It is 5.0 ["
    )
    assert "95 % intervals over 5 seeds, 15 runs" in found.words
    assert found.runs.to_dict("records") == [
        {"source": "grid", "dataset": "digits", "model": "vit_nano", "seeds": "0, 1, 2, 3, 4",
         "regimes": "disjoint, joint, mixed", "count": 15}
    ]  # fmt: skip


def test_at_the_same_total_joint_long_takes_joint_s_place_and_disjoint_is_said_to_cost_less():
    found = recommend(cell({**CLEAR, "joint_long": 0.83}), "vit_nano", "digits", training="same total")
    assert found.regime == "joint_long"
    assert set(found.table["regime"]) == {"joint_long", "mixed", "disjoint"}
    assert "**joint, mixed's budget**" in found.words
    assert "Disjoint, with as many epochs, trains for 55% of the dearest's." in found.words


def test_what_cannot_be_told_apart_is_named_with_what_it_saves():
    found = recommend(cell({**CLEAR, "disjoint": 0.7995}, noise=0.01))
    assert (found.regime, found.alike) == ("mixed", ("disjoint",))
    assert "It is not told apart from disjoint (+0.1 [" in found.words
    assert "Not told apart and cheaper to train, in % of its multiply-adds: disjoint 56%." in found.words


def test_of_exact_equals_the_cheapest_to_train_is_taken_and_the_words_say_so():
    runs = cell({"disjoint": 0.7, "joint": 0.8, "mixed": 0.8}, noise=0.0)
    found = recommend(runs)
    assert found.regime == "joint"
    assert "It is exactly as accurate as mixed" in found.words
    assert "Of equals, joint is recommended because it costs less to train." in found.words
    dearer = runs.assign(training_macs=runs["training_macs"] * np.where(runs["regime"] == "joint", 3, 1))
    assert recommend(dearer).regime == "mixed"


def test_one_seed_gives_an_answer_without_uncertainty():
    found = recommend(cell(CLEAR, seeds=1))
    assert found.regime == "mixed"
    assert found.table["low"].isna().all()
    assert not found.table["apart"].any()
    assert "It rests on one seed (3 runs): no uncertainty can be given." in found.words
    assert "points above joint;" in found.words


def test_several_cells_are_the_unit_however_many_seeds_they_have():
    gaps = {"digits": 0.04, "mnist1d": 0.06, "cifar10": -0.01}
    cells = [
        cell({"disjoint": 0.5, "joint": 0.8, "mixed": 0.8 + gap}, name, seeds=20, noise=1e-4)
        for name, gap in gaps.items()
    ]
    found = recommend(frame(*cells), "vit_nano")
    row = found.table.set_index("regime").loc["joint"]
    values = list(gaps.values())
    assert row["difference"] == pytest.approx(np.mean(values))
    assert row["n"] == 3
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert row["low"] == pytest.approx(np.mean(values) - half)
    assert found.alike == ("joint",)  # sixty seeds, but three cells that disagree
    assert found.cells.set_index("dataset")["best"].to_dict() == {
        "digits": "mixed",
        "mnist1d": "mixed",
        "cifar10": "joint",
    }
    assert "highest mean in 2 of 3 combinations; in 1 another regime is told apart above it." in found.words
    assert "95 % intervals over 3 combinations of data and model, 180 runs" in found.words


def test_grid_and_records_of_one_cell_are_pairs_of_one_cell():
    both = frame(cell(CLEAR, seeds=3), cell(CLEAR, seeds=2, source="record"))
    found = recommend(both, "vit_nano", "digits")
    assert found.table["n"].tolist() == [0, 5, 5]
    assert found.runs[["source", "seeds"]].to_numpy().tolist() == [["grid", "0, 1, 2"], ["record", "0, 1"]]


def test_seeds_that_lack_a_regime_are_left_out():
    runs = cell(CLEAR)
    runs = runs[~((runs["regime"] == "disjoint") & (runs["seed"] > 2))]
    assert recommend(runs).runs["seeds"].tolist() == ["0, 1, 2"]
    assert recommend(runs.assign(accuracy=runs["accuracy"].where(runs["seed"] > 0))).runs["seeds"].tolist() == ["1, 2"]


BROAD = [
    cell(CLEAR, "digits", "vit_nano"),
    cell({**CLEAR, "joint": 0.9}, "mnist1d", "vit_nano"),
    cell({**CLEAR, "disjoint": 0.9}, "cifar10", "vit_nano"),
    cell(CLEAR, "digits", "mlp_nano"),
]


@pytest.mark.parametrize(
    ("asked", "group"),
    [
        ({"model": "vit_nano", "dataset": "mnist1d"}, "vit_nano on mnist1d"),
        ({"model": "vit_nano", "dataset": "cifar100", "train_size": 40_000},
         "vit_nano on data of 5,000 to 49,999 training samples"),
        ({"model": "vit_tiny", "dataset": "digits"}, "transformer networks on digits"),
        ({"model": "mlp_nano", "dataset": "mnist1d"}, "mlp_nano on data of under 5,000 training samples"),
        ({"model": "resnet20", "dataset": "digits"}, "all networks on digits"),
        ({"model": "vit_nano", "dataset": "cifar100"}, "vit_nano on all data"),
        ({"family": "mlp"}, "mlp networks on all data"),
        ({"family": "text"}, "all networks on all data"),
        ({"train_size": 100}, "all networks on data of under 5,000 training samples"),
        ({}, "all networks on all data"),
    ],
)  # fmt: skip
def test_the_nearest_broader_group_answers_and_says_so(asked, group):
    found = recommend(frame(*BROAD), **asked)
    assert found.group == group
    first = asked.get("model") or (f"{asked['family']} networks" if "family" in asked else "all networks")
    same = group.startswith(first) and ("dataset" not in asked or group.endswith(asked["dataset"]))
    assert (found.broadened == "") == same
    assert same or (found.words.startswith(f"For {first} on ") and "A broader group answers." in found.words)


def test_level_decides_what_is_told_apart():
    runs = cell({**CLEAR, "joint": 0.797}, noise=0.003)
    p = recommend(runs).table.set_index("regime").loc["joint", "p_holm"]
    assert 0.001 < p < 0.5
    assert recommend(runs, level=1 - p / 2).alike == ("joint",)
    assert recommend(runs, level=1 - 2 * p).alike == ()


@given(p=st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=6))
@settings(max_examples=10, deadline=None)  # statsmodels takes a third of a second each time
def test_holm_is_that_of_statsmodels(p):
    found, there = corrected(pd.Series(p, dtype=float)).to_numpy(), [value for value in p if not math.isnan(value)]
    assert np.isnan(found).tolist() == [math.isnan(value) for value in p]
    if there:
        np.testing.assert_allclose(found[~np.isnan(found)], multipletests(there, method="holm")[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vit_nno"}, "model: 'vit_nno' is not known; did you mean 'vit_nano'"),
        ({"dataset": "digts"}, "dataset: 'digts' is not known; did you mean 'digits'"),
        ({"family": "convolution"}, "family: 'convolution' is not known; did you mean 'convolutional'"),
        ({"budget": 0.6}, "budget: 0.6 is not in the evidence, which has 0.5"),
        ({"budget": "last"}, "budget: 'last' is not in the evidence"),
        ({"budget": True}, "budget: True is not in the evidence"),
        ({"training": "same"}, "training: 'same' is not known"),
        ({"level": 1.0}, "level: expected a number in \\(0, 1\\)"),
        ({"train_size": 0}, "train_size: expected a positive integer, got 0"),
    ],
)
def test_wrong_arguments_are_one_line(change, message):
    with pytest.raises(SettingError, match=message) as caught:
        recommend(frame(*BROAD), **change)
    assert "\n" not in str(caught.value)


def test_evidence_that_cannot_answer_is_one_line():
    runs = cell(CLEAR)
    with pytest.raises(SettingError, match="no seed has runs of all of disjoint, joint, mixed within 50 % of the cost"):
        recommend(runs[runs["regime"] != "joint"])
    with pytest.raises(SettingError, match="lacks the columns family"):
        recommend(runs.drop(columns="family"))
    with pytest.raises(SettingError, match="lacks rows"):
        recommend(runs[:0])
    with pytest.raises(SettingError, match="several rows for one dataset, model, source, seed, regime"):
        recommend(frame(runs, runs))


# -- all answers -------------------------------------------------------------------------------------------


def budgets_differ():
    """At 25 % joint_long, at 75 % mixed by far; at equal epochs mixed everywhere."""
    low = cell({**CLEAR, "joint_long": 0.9}, budget=0.25)
    return frame(low, cell(CLEAR, budget=0.75), cell(CLEAR, budget=math.inf))


def test_the_tree_asks_only_what_matters():
    found = decisions.answers(budgets_differ(), [0.25, 0.75])
    assert decisions.decision_tree(found).splitlines() == [
        "- How is training made comparable?",
        "    - With the same epochs in each phase:",
        "        - At every budget of inference: **mixed**.",
        "    - With the same total of epochs:",
        "        - How much of the backbone may inference cost?",
        "            - 25 %: **joint, mixed's budget**.",
        "            - 75 %, final exit: **mixed**.",
    ]
    same = frame(cell(CLEAR, budget=0.75), cell(CLEAR, budget=math.inf))
    tree = decisions.decision_tree(decisions.answers(same, [0.75]))
    assert tree == "- At every budget of inference: **mixed**.\n"


def test_table_leads_and_runs_are_those_of_the_function():
    runs = frame(budgets_differ(), cell(CLEAR, "mnist1d", "mlp_nano", seeds=1, budget=0.75))
    found = decisions.answers(runs, [0.25, 0.75], "cell")
    table = decisions.decision_table(found).set_index(["group", "training"])
    assert list(table.columns) == ["25 %", "75 %", FINAL]
    assert table.loc[("mlp_nano on mnist1d", "same total")].tolist() == [
        "–",
        "mixed, 2.0 above joint, mixed's budget (one seed)",
        "–",
    ]
    for row in found.itertuples():
        model, dataset = row.group.split(" on ")
        again = recommend(runs, model, dataset, budget=row.budget, training=row.training)
        assert again.words == row.answer.words
        text = table.loc[(row.group, row.training), FINAL if math.isinf(row.budget) else f"{100 * row.budget:g} %"]
        name = {"joint_long": "joint, mixed's budget"}.get(again.regime, again.regime)
        assert text.startswith(name)
    leads = decisions.leads(found)
    assert len(leads) == 2 * len(found)
    assert leads["label"][0] == "vit_nano on digits · 25 % · mixed − joint"
    assert decisions.runs_behind(found)[["model", "seeds"]].to_numpy().tolist() == [
        ["vit_nano", "0, 1, 2, 3, 4"],
        ["mlp_nano", "0"],
    ]
    with pytest.raises(SettingError, match="by: 'seed' is not known"):
        decisions.answers(runs, [0.75], "seed")


def test_the_map_has_a_cell_for_each_answer_strong_where_it_is_told_apart():
    close = cell({**CLEAR, "joint": 0.7999, "joint_long": 0.7999}, "mnist1d", noise=0.01, budget=0.75)
    found = decisions.answers(frame(budgets_differ(), close), [0.25, 0.75], "cell")
    shown = decisions.map_of(found)
    shown = shown[shown["training"] == "same epochs"]
    assert list(dict.fromkeys(shown["column"])) == ["25 %", "75 %", FINAL]
    assert shown["group"].tolist() == ["vit_nano on digits"] * 3 + ["vit_nano on mnist1d"]
    assert shown["text"].tolist() == ["+5.0 joint"] * 3 + ["+0.0 joint"]
    assert shown["apart"].tolist() == [True, True, True, False]
    ax = Figure().subplots()
    assert plotting.answer_map(shown, ax, ["joint", "mixed"]) is ax
    cells = {(round(p.get_x() + 0.48), round(p.get_y() + 0.46)): p for p in ax.patches}
    assert sorted(cells) == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert {to_hex(p.get_facecolor()) for p in ax.patches} == {plotting.regime_style("mixed").colour}
    assert cells[1, 0].get_alpha() > cells[1, 1].get_alpha()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["joint", "mixed"]
    with pytest.raises(SettingError, match="frame: lacks text"):
        plotting.answer_map(shown.drop(columns="text"), ax)
    with pytest.raises(SettingError, match="two for one cell"):
        plotting.answer_map(frame(shown, shown), ax)


# -- real runs ---------------------------------------------------------------------------------------------

TINY = {"datasets": ["synthetic"], "models": ["mlp_nano"], "regimes": ["disjoint", "joint", "mixed", "joint_long"],
        "seeds": [0, 1], "more_seeds": [], "epochs": 1}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def results(store):
    runs = grid(TINY["datasets"], TINY["models"], TINY["regimes"], [0, 1], epochs=1)
    return sweep(runs, store, workers=1, progress=False)


def test_evidence_of_results_is_the_budget_table_s_validation_and_the_last_exit(results):
    runs = evidence_of_results(results)
    assert list(runs.columns) == [*COLUMNS, "spent"]
    assert len(runs) == 8 * 5
    assert set(runs["train_size"]) == {64}
    last = tables.last_exit(results).set_index(["regime", "seed"])["accuracy"]
    final = runs[np.isinf(runs["budget"])].set_index(["regime", "seed"])["accuracy"]
    pd.testing.assert_series_equal(final.sort_index(), last.sort_index())
    within = tables.budgets(results, fractions=[0.75]).query("choice == 'validation'").set_index(["regime", "seed"])
    own = runs[runs["budget"] == 0.75].set_index(["regime", "seed"])["accuracy"]
    pd.testing.assert_series_equal(own.sort_index(), within["accuracy"].sort_index())
    assert evidence_of_results([]).empty


def test_what_is_spent_of_a_budget_stands_beside_a_recommendation(results):
    runs = evidence_of_results(results)
    answer = recommend(runs, budget=0.75)
    spent = runs[runs["budget"] == 0.75].groupby("regime")["spent"].mean()
    assert answer.table["spent"].tolist() == pytest.approx([spent[name] for name in answer.table["regime"]])
    assert f"{recommendation_words.label(answer.regime)} {spent[answer.regime]:.0%}" in answer.words
    cell = decisions.decision_table(decisions.answers(runs, [0.75]))["75 %"].iloc[0]
    assert f"; spent {100 * answer.table['spent'].iloc[0]:.0f} and {100 * answer.table['spent'].iloc[1]:.0f})" in cell
    unknown = recommend(runs.drop(columns="spent"), budget=0.75)
    assert unknown.table["spent"].isna().all()
    assert "Spent" not in unknown.words


def test_published_records_are_evidence():
    runs = evidence_of_records(lab.records())
    small = runs[(runs["model"] == "resnet_nano") & (runs["budget"] == 0.5)]
    assert set(small["train_size"]) == {3500}
    assert set(small["regime"]) == {"disjoint", "joint", "mixed", "joint_long"}
    assert not runs["accuracy"].isna().all()
    assert "stsb" not in set(runs["dataset"])  # a regression has no accuracy
    assert recommend(runs, "resnet_nano", "mnist1d").broadened == ""


def run(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["eecore", "recommend", *map(str, words)])
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code or 0
    out = capsys.readouterr()
    return status, out.out, out.err


def test_command_line_function_and_table_agree(capsys, monkeypatch, tmp_path, store, results):
    monkeypatch.setattr(recommendation_runs, "QUICK", {**TINY, "seeds": [0, 1, 2]})
    monkeypatch.setenv("EECORE_RECORDS", str(tmp_path))
    status, out, _ = run(capsys, monkeypatch, "--model", "mlp_nano", "--budget", "0.75", "--training", "same-total",
                         "--store", store.folder)  # fmt: skip
    runs = evidence_of_results(results)
    answer = eecore.recommend(model="mlp_nano", evidence=runs, budget=0.75, training="same total")
    assert status == 0
    assert out.splitlines()[0] == answer.words.replace("**", "")
    assert "grid: synthetic mlp_nano, seeds 0, 1; disjoint, joint_long, mixed" in out
    assert "4 of 12 runs of the quick grid are not stored: synthetic mlp_nano (4)" in out
    page = decisions.answers(runs, [0.75], "family").set_index(["training", "budget"])["answer"]
    assert page[("same total", 0.75)].regime == answer.regime
    assert page[("same total", 0.75)].table.equals(answer.table)


def test_command_line_says_what_is_wrong(capsys, monkeypatch, tmp_path, store, results):
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    monkeypatch.setenv("EECORE_RECORDS", str(tmp_path))
    status, _, err = run(capsys, monkeypatch, "--budget", "half", "--store", store.folder)
    assert (status, err) == (1, "eecore: budget: expected a number, such as 0.5, or final-exit, got 'half'\n")
    status, _, err = run(capsys, monkeypatch, "--store", tmp_path / "empty")
    assert status == 1
    assert err.startswith("eecore: recommend: no run of the quick grid is stored and there are no records")
    status, out, _ = run(capsys, monkeypatch, "--budget", "final-exit", "--store", store.folder)
    assert status == 0
    assert "at the final exit" in out
    assert "All 8 runs of the quick grid are stored." in out


# -- asked without a table of runs -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of arrays, and a store with its runs: two seeds of two epochs, one of one epoch, one of another recipe."""
    folder = tmp_path_factory.mktemp("own")
    stream = np.random.RandomState(0)
    y = np.arange(120) % 3
    np.savez(folder / "mine.npz", x=(stream.randn(120, 12) + y[:, None]).astype(np.float32), y=y)
    name, store = f"arrays:{folder / 'mine.npz'}", Store(folder / "store")
    about = [[name], ["mlp_nano"], ["disjoint", "joint", "mixed", "joint_long"]]
    runs = grid(*about, [0, 1], epochs=2)
    sweep([*runs, *grid(*about, [2], epochs=1), *grid(*about, [3], epochs=2, recipe={"lr": 1e-3})], store, 1, False)
    return name, store, runs


def test_own_data_are_answered_from_the_store(own, monkeypatch, tmp_path):
    name, store, runs = own
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    monkeypatch.setenv("EECORE_RECORDS", str(tmp_path))
    found = eecore.recommend(name, "mlp_nano", 0.5, store=store)
    by_hand = recommend(evidence_of_results(stored(runs, store)[0]), "mlp_nano", "mine")
    assert found.broadened == ""
    assert found.regime == by_hand.regime
    assert found.table.equals(by_hand.table)
    assert found.runs["source"].tolist() == ["store, 2 epochs"]
    assert found.runs["seeds"].tolist() == ["0, 1"]
    longer = eecore.recommend(name, "mlp_nano", 0.5, training="same total", store=store)
    assert "joint_long" in set(longer.table["regime"])


def test_a_budget_is_computed_where_runs_are_stored(own, monkeypatch, tmp_path):
    name, store, runs = own
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    monkeypatch.setenv("EECORE_RECORDS", str(tmp_path))
    found = eecore.recommend(name, budget=0.63, store=store)
    results = stored(runs, store)[0]
    rows = tables.budgets(results, fractions=[0.63]).query("choice == 'validation'")
    means = rows.groupby("regime")["accuracy"].mean()
    assert found.budget == 0.63
    pd.testing.assert_series_equal(
        found.table.set_index("regime")["accuracy"].sort_index(),
        means[["disjoint", "joint", "mixed"]],
        check_names=False,
    )


def test_records_answer_at_the_nearest_budget_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    found = eecore.recommend("mnist1d", "resnet_nano", 0.6, store=Store(tmp_path))
    assert found.budget == 0.5
    assert found.words.startswith(
        "These runs have no accuracy within 60 % of the cost; the nearest budget that is on record answers. "
        "For resnet_nano on mnist1d, within 50 % of the cost"
    )
    assert eecore.recommend("mnist1d", "resnet_nano", store=Store(tmp_path)).broadened == ""


def test_own_data_without_runs_are_answered_by_data_of_their_size(own, tmp_path, monkeypatch, capsys):
    name, _, _ = own
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    found = eecore.recommend(name, "resnet_nano", store=Store(tmp_path))
    assert found.broadened == "No seed of mine is stored in all regimes. Runs on data of its size answer."
    assert found.group == "resnet_nano on data of under 5,000 training samples"
    status, out, _ = run(capsys, monkeypatch, "--dataset", name, "--budget", "0.3", "--store", own[1].folder)
    assert status == 0
    assert "store, 2 epochs: mine mlp_nano, seeds 0, 1; disjoint, joint, mixed" in out
    assert "7 stored runs of the data set have other settings and do not answer." in out  # seed 2's joint_long is joint


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"budget": -1}, "budget: expected a fraction above 0, such as 0.5, or 'final exit', got -1"),
        ({"budget": "half"}, "budget: expected a fraction above 0"),
        ({"budget": float("nan")}, "budget: expected a fraction above 0"),
        ({"dataset": "synthetic_regression"}, "dataset: synthetic_regression is a regression"),
        ({"dataset": "digts"}, "dataset: 'digts' is not known; did you mean 'digits'"),
        ({"model": "mlp_nan"}, "model: 'mlp_nan' is not known"),
        ({"dataset": pd.DataFrame()}, "dataset: expected a name, got a frame; a frame of runs is given as evidence="),
    ],
)
def test_a_wrong_question_is_one_line(asked, said, tmp_path, monkeypatch):
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    with pytest.raises(SettingError, match=said):
        eecore.recommend(**asked, store=Store(tmp_path))


def test_a_package_without_records_says_what_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(recommendation_runs, "QUICK", TINY)
    monkeypatch.setattr(errors, "ROOT", tmp_path)
    monkeypatch.setenv("EECORE_RECORDS", str(tmp_path))
    with pytest.raises(
        SettingError, match=r"no records; none come with the package; .*: python -m eecore sweep"
    ) as caught:
        eecore.recommend("mnist1d", store=Store(tmp_path))
    assert "make" not in str(caught.value)


def test_the_command_reads_the_runs_that_the_page_trains():
    page = nbformat.read(NOTEBOOKS / "23_decision.ipynb", as_version=4)
    values = {}
    exec(next(c.source for c in page.cells if "parameters" in c.metadata.get("tags", [])), values)
    q = {name: values[name] for name in recommendation_runs.QUICK}
    assert q == recommendation_runs.QUICK
    assert values["budgets"] == list(recommendation_runs.BUDGETS)
    assert len(quick_grid()) == 240


def test_stored_trains_nothing(store, results):
    runs = grid(["synthetic"], ["mlp_nano"], ["joint"], [0, 7], epochs=1)
    before = store.stored_keys()
    found, missing = stored(runs, store)
    assert [r.run.seed for r in found] == [0]
    assert [r.seed for r in missing] == [7]
    assert store.stored_keys() == before
