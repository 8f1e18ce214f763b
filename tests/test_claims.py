"""The ledger: claims as data, verdicts from numbers, and no verdict that somebody typed."""

import json
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eecore
from build import hand_out
from companion import lab, notebook, plotting, tables
from companion.pages import claimed, words_claims
from eecore import evidence
from eecore.errors import EecoreError, SettingError
from eecore.evidence import Claim, Reading, cell_verdicts, claim_verdicts, read_claims, reading_verdicts, readings
from execute import NOTEBOOKS, ROOT, notebook_names

UP = Reading(name="X1", says="it rises", measure="area", regimes=("mixed", "joint"), expects="above", page="02_regimes")
SOME = UP.model_copy(update={"name": "X2", "holds": "some"})
LOW = UP.model_copy(update={"name": "X3", "expects": "below", "reference": 0.5})
TESTS = {"X1": UP, "X2": SOME, "X3": LOW}
CLAIM = Claim(name="X", title="a title", text="a text", where="somewhere", scope="all else", readings=(UP, SOME))
CLEAR, OPEN = [0.10, 0.11, 0.12, 0.11, 0.10], [0.1, -0.1, 0.05, -0.05, 0.01]


def numbers(reading, *cells, source="grid"):
    """One row per cell and seed."""
    rows = [
        {"reading": reading, "source": source, "dataset": f"d{i}", "model": "m", "seed": seed, "value": value}
        for i, cell in enumerate(cells)
        for seed, value in enumerate(cell)
    ]
    return pd.DataFrame(rows)


def verdict(reading, *cells, **options):
    cells = cell_verdicts(numbers(reading, *cells), TESTS)
    return reading_verdicts(cells, {reading: TESTS[reading]}, **options)["verdict"][0]


def down(cell):
    return [-value for value in cell]


def test_a_general_claim_needs_more_than_half_of_the_cells_and_none_against():
    assert verdict("X1", CLEAR, CLEAR, OPEN) == "supported"
    assert verdict("X1", CLEAR, OPEN) == "undecided"  # half is not more than half
    assert verdict("X1", CLEAR, CLEAR, CLEAR, down(CLEAR)) == "undecided"
    assert verdict("X1", down(CLEAR), down(CLEAR), OPEN) == "contradicted"
    assert verdict("X1", CLEAR, CLEAR, OPEN, agreement=0.9) == "undecided"
    assert verdict("X1", CLEAR, OPEN, agreement=0.4) == "supported"


def test_a_claim_about_what_can_happen_needs_one_cell():
    assert verdict("X2", OPEN, OPEN, CLEAR, down(CLEAR)) == "supported"
    assert verdict("X2", down(CLEAR), down(CLEAR)) == "contradicted"
    assert verdict("X2", down(CLEAR), OPEN) == "undecided"


def test_a_reference_moves_what_is_tested_and_not_what_is_shown():
    cells = cell_verdicts(numbers("X3", CLEAR), TESTS)
    row = cells.iloc[0]
    assert row["mean"] == pytest.approx(np.mean(CLEAR))
    assert row["low"] < row["mean"] < row["high"]
    assert row["side"] == "for"  # 0.11 is below 0.5
    assert row["p"] == evidence.interval([value - 0.5 for value in CLEAR]).p


def test_sides_are_corrected_over_the_cells_of_one_reading_and_source():
    weak = [0.10, 0.20, 0.02, 0.12, 0.03]  # p = 0.05 / 2 or so
    p = evidence.interval(weak).p
    assert 0.025 < p < 0.05
    alone, two = numbers("X1", weak), numbers("X1", weak, weak)
    assert cell_verdicts(alone, TESTS)["side"].tolist() == ["for"]
    assert cell_verdicts(two, TESTS)["side"].tolist() == ["open", "open"]
    assert cell_verdicts(two, TESTS, correction="none")["side"].tolist() == ["for", "for"]
    apart = pd.concat([alone, numbers("X1", weak, source="records"), numbers("X2", weak)])
    assert set(cell_verdicts(apart, TESTS)["side"]) == {"for"}


def test_one_seed_decides_nothing():
    assert verdict("X1", [0.5]) == "undecided"


def test_what_nobody_measured_is_undecided_and_has_no_effect():
    cells = cell_verdicts(numbers("X1", CLEAR), TESTS)
    judged = reading_verdicts(cells, TESTS).set_index("reading")
    assert judged["verdict"].to_dict() == {"X1": "supported", "X2": "undecided", "X3": "undecided"}
    assert judged["cells"].to_dict() == {"X1": 1, "X2": 0, "X3": 0}
    assert np.isnan(judged["effect"]["X2"])
    nothing = cell_verdicts(numbers("X1", CLEAR)[:0], TESTS)
    assert set(reading_verdicts(nothing, TESTS)["verdict"]) == {"undecided"}


def test_effects_are_means_over_cells_that_count_once():
    cells = cell_verdicts(numbers("X1", [1.0] * 3, [2.0] * 9, [3.0, 3.0]), TESTS)
    row = reading_verdicts(cells, {"X1": UP}).iloc[0]
    assert (row["effect"], row["n"], row["cells"]) == (2.0, 14, 3)
    assert row["low"] == pytest.approx(2 - 4.302653 / np.sqrt(3))


@given(st.lists(st.sampled_from(["for", "open", "against"]), min_size=1, max_size=9), st.floats(0.0, 0.99))
@settings(max_examples=80, deadline=None)
def test_more_agreement_never_decides_more(sides, agreement):
    cells = pd.DataFrame({"side": sides, "reading": "X1", "source": "grid", "mean": 0.0, "low": 0, "high": 0})
    cells = cells.assign(n=5, p_corrected=0.5)
    loose, strict = (reading_verdicts(cells, {"X1": UP}, a)["verdict"][0] for a in (agreement / 2, agreement))
    assert strict in (loose, "undecided")
    assert not {"for", "against"} <= set(sides) or loose == "undecided"


def test_a_claim_is_supported_where_all_readings_are_and_contradicted_where_one_is():
    def judged(*verdicts):
        table = pd.DataFrame({"claim": "X", "reading": ["X1", "X2"], "source": "grid", "verdict": verdicts, "cells": 1})
        return claim_verdicts(table, [CLAIM])["verdict"][0]

    assert judged("supported", "supported") == "supported"
    assert judged("supported", "undecided") == "undecided"
    assert judged("supported", "contradicted") == "contradicted"


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: cell_verdicts(numbers("X1", CLEAR).drop(columns="seed"), TESTS), "values"),
        (lambda: cell_verdicts(numbers("X1", [0.1, np.nan]), TESTS), "values"),
        (lambda: cell_verdicts(numbers("X1", CLEAR), TESTS, level=95.0), "level"),
        (lambda: cell_verdicts(numbers("X1", CLEAR), TESTS, correction="bonferroni"), "correction"),
        (lambda: verdict("X1", CLEAR, agreement=1.0), "agreement"),
        (lambda: readings(["Z9"]), "reading"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(call, named):
    with pytest.raises(SettingError, match=f"^{named}: "):
        call()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[A", "not TOML"),
        ('[A]\ntitle = "t"', "readings"),
        ('[A]\ntitle = "t"\n[A.B1]\nsays = "s"', "begin with A"),
        ('[A]\ntitle = "t"\ntext = "x"\nwhere = "w"\nscope = "s"\n[A.A1]\nsays = "s"\nmeasure = "m"', "regimes"),
    ],
)
def test_claims_that_are_written_wrongly_are_refused(text, named):
    with pytest.raises(SettingError, match=named):
        read_claims(text)


def test_the_claims_name_regimes_measures_and_pages_that_exist():
    assert [claim.name for claim in evidence.CLAIMS] == list("ABCDEFG")
    for reading in readings().values():
        assert set(reading.regimes) <= set(claimed.REGIMES) <= set(eecore.regimes())
        assert reading.page in notebook_names()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    store = eecore.Store(tmp_path_factory.mktemp("store"))
    runs = eecore.grid(["synthetic"], ["mlp_nano"], claimed.REGIMES, [0, 1], epochs=1)
    results = eecore.sweep(runs, store, workers=1, progress=False)
    return results, claimed.measured_in_runs(results, ["mlp_nano"], [0, 1], progress=False)


def test_every_reading_is_measured_in_runs(measured):
    _, frame = measured
    values = claimed.values({claimed.GRID: frame}, readings())
    assert set(values["reading"]) == set(readings())
    assert values.groupby("reading")["seed"].nunique().min() == 2


def test_differences_are_those_of_the_tables(measured):
    results, frame = measured
    areas = tables.areas(results)
    wide = areas.pivot(index="seed", columns="regime", values="area")
    values = claimed.values({claimed.GRID: frame}, readings(["A1", "G3"]))
    ours = values[values["reading"] == "A1"].set_index("seed")["value"]
    pd.testing.assert_series_equal(ours, wide["mixed"] - wide["joint"], check_names=False)
    entropy = tables.areas(results, "entropy").pivot(index="seed", columns="regime", values="area")
    turned = (entropy["mixed"] - entropy["joint"]) * np.sign(ours.mean())
    pd.testing.assert_series_equal(
        values[values["reading"] == "G3"].set_index("seed")["value"], turned, check_names=False
    )


def test_models_that_are_not_analysed_have_accuracies_alone(measured):
    results, _ = measured
    frame = claimed.measured_in_runs(results, progress=False)
    assert set(frame["measure"]) == {"area", "area_entropy", "within", "within_low", "last"}


def test_the_ledger_changes_when_a_record_changes(tmp_path):
    """Mixed's accuracies are lowered in a copy of the records: what they supported they support no more."""
    folder = tmp_path / "results"
    shutil.copytree(ROOT / "book" / "results" / "resnet-nano-mnist1d", folder / "resnet-nano-mnist1d")
    shutil.copy(ROOT / "book" / "results" / "plan.toml", folder)

    def judged():
        measured = {claimed.RECORDS: claimed.measured_in_records(lab.records(folder))}
        cells = cell_verdicts(claimed.values(measured, readings()), readings())
        return reading_verdicts(cells, readings()).set_index("reading")

    before = judged()
    for path in (folder / "resnet-nano-mnist1d").glob("mixed-*.json"):
        record = json.loads(path.read_text())
        for table in record["budgets"].values():
            table["accuracy"] = [value if isinstance(value, str) else value - 0.5 for value in table["accuracy"]]
        path.write_text(json.dumps(record))
    after = judged()
    assert before["verdict"]["A5"] in ("supported", "undecided")
    assert after["verdict"]["A5"] == "contradicted"
    assert before["verdict"]["C1"] == after["verdict"]["C1"]
    assert before["effect"]["A5"] - after["effect"]["A5"] == pytest.approx(0.5)


def test_stale_records_do_not_count(tmp_path):
    source, folder = ROOT / "book" / "results", tmp_path / "results"
    shutil.copytree(source / "resnet-nano-mnist1d", folder / "resnet-nano-mnist1d")
    plan = (source / "plan.toml").read_text()
    (folder / "plan.toml").write_text(plan.replace("epochs = 20", "epochs = 21"))
    assert claimed.measured_in_records(lab.records(folder)).empty


def test_words_say_what_was_judged():
    cells = cell_verdicts(numbers("X1", CLEAR, CLEAR), TESTS)
    tests = {"X1": UP, "X2": SOME}
    judged = reading_verdicts(cells, tests)
    verdicts = claim_verdicts(judged, [CLAIM])
    assert "**undecided**" in words_claims.summary(verdicts)
    assert '<a href="22_claims.html#claim-x">a title</a>' in words_claims.summary(verdicts, "22_claims.html")
    assert "of 1 claims: 0 supported, 0 contradicted, 1 undecided" in words_claims.counts_in_words(verdicts)
    table = words_claims.reading_table(judged, tests, "X")
    assert table["verdict"].tolist() == ["✓\u00a0supported", "not measured"]
    assert table["effect"][0].startswith("+10.8 [")
    assert table["n"].tolist() == ["10", "0"]
    assert 'id="claim-x"' in words_claims.claim_text(CLAIM)


def test_the_file_has_a_row_per_reading_with_plain_numbers():
    cells = cell_verdicts(numbers("X1", CLEAR), TESTS)
    rows = words_claims.ledger_rows(reading_verdicts(cells, {"X1": UP, "X2": SOME}), [CLAIM], TESTS)
    first, second = json.loads(json.dumps(rows, allow_nan=False))
    assert {"claim", "verdict", "effect", "interval", "n", "page"} <= set(first)
    assert (first["verdict"], first["effect"], first["n"]) == ("supported", 10.8, 5)
    assert first["interval"][0] < 10.8 < first["interval"][1]
    assert (second["effect"], second["interval"]) == (None, None)


def test_the_matrix_has_a_square_for_each_reading_and_combination():
    cells = cell_verdicts(pd.concat([numbers("X1", CLEAR, OPEN), numbers("X2", down(CLEAR))]), TESTS)
    figure = plotting.side_matrices(cells, list(TESTS), dict.fromkeys(TESTS, 100.0), {"grid": "t", "records": "none"})
    (ax,) = figure.axes
    assert sorted(text.get_text() for text in ax.texts) == ["+ 10.8", "·", "− 10.8"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(TESTS)
    with pytest.raises(SettingError, match="none of the sources"):
        plotting.side_matrices(cells, list(TESTS), dict.fromkeys(TESTS, 1.0), {"records": "none"})
    with pytest.raises(SettingError, match="scale"):
        plotting.side_matrix(cells, ax, list(TESTS), {})


# What would be a verdict if somebody typed it: a regime that does something to another, or a claim that fares somehow.
REGIME = r"\*?(?:mixed|joint|disjoint)(?: training)?\*?"
BETTER = (
    r"(?:beats|outperforms|wins|loses|is better|is worse|is best|is sharper|is flatter|is ahead|is level|dominates?)"
)
TYPED = [
    rf"\b{REGIME} {BETTER}\b",
    r"\bclaims? (?:is|are|was|were) (?:supported|contradicted|refuted|confirmed|undecided|true|false)\b",
    r"\b(?:supports|contradicts|confirms|refutes) the (?:claim|paper)\b",
    r"\bwe (?:find|found|see|saw|show|conclude) that\b",
]
ALLOWED = [  # questions, conditions and definitions of the rule itself
    "A claim is supported in each of three readings",
]


def prose():
    for name in notebook_names():
        for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                yield name, "".join(cell["source"])
    for path in (ROOT / "book").glob("*.md"):
        yield path.name, path.read_text(encoding="utf-8")


def verdicts_in(text):
    sentences = re.split(r"(?<=[.?!:])\s+", re.sub(r"\s+", " ", text))
    asked = re.compile(r"\?$|\b(?:if|whether|where|when|does|would|should|asks|says that|claims that|answered)\b", re.I)
    told = [sentence for sentence in sentences if not asked.search(sentence)]
    return [s for s in told if any(re.search(p, s, re.I) for p in TYPED) and not any(a in s for a in ALLOWED)]


def test_no_verdict_is_typed():
    found = [(name, sentence) for name, text in prose() for sentence in verdicts_in(text)]
    assert not found


@pytest.mark.parametrize(
    "sentence",
    [
        "Mixed beats joint at the last exit.",
        "So *joint* is worse.",
        "The claim is supported.",
        "We find that it helps.",
    ],
)
def test_the_search_for_typed_verdicts_finds_them(sentence):
    assert verdicts_in(f"A sentence. {sentence} Another one.") == [sentence]


def test_a_page_offers_plain_data_as_a_file_and_the_build_hands_it_out(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    page = notebook.Page("22_claims", {})
    page.file("numbers.json", [{"a": 1.5, "b": None}], "Some numbers")
    output = nbformat.v4.new_output("display_data", data={"text/html": shown[0].data})
    cell = nbformat.v4.new_code_cell(outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "page.ipynb")
    hand_out(tmp_path, tmp_path)
    assert json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8")) == [{"a": 1.5, "b": None}]
    for wrong in (float("nan"), {1, 2}):
        with pytest.raises(EecoreError, match=r"22_claims: numbers\.json cannot be written as JSON"):
            page.file("numbers.json", wrong, "Some numbers")
