"""What a page says of how it and its figures were made, what its drawings weigh, and the files that go with it."""

import base64
import importlib
import io
import json
import re
from itertools import pairwise

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import eecore
from companion import made, notebook, plotting, tables
from companion.plotting import light_svg
from eecore.errors import SettingError
from eecore.training import Store, grid, sweep
from execute import ACCOUNT, MARK, ROOT, _tidy


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = grid(["synthetic"], ["mlp_nano"], ["joint", "mixed"], [0, 1], epochs=1)
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


@pytest.fixture
def shown(monkeypatch):
    """What the page displays, as outputs of cells."""
    bundles = []

    def show(content, raw=False, metadata=None):
        data = content if raw else {"text/html": content.data}
        bundles.append(nbformat.v4.new_output("display_data", data=data, metadata=metadata or {}))

    monkeypatch.setattr(notebook, "display", show)
    return bundles


def test_a_page_that_has_nothing_to_say_shows_nothing(shown):
    page = notebook.Page("00_quickstart", {}, seeds=[0], epochs=1)
    page.say("")
    assert shown == []
    page.say("A sentence.")
    assert len(shown) == 1


# --- accounts of figures


def test_a_page_gives_its_account_to_each_of_its_figures(results, shown):
    page = notebook.Page("00_quickstart", {}, seeds=[0, 1], epochs=1)
    exits = tables.per_exit(results)
    page.figure(plotting.facets(exits, plotting.accuracy_per_exit), "Caption.", alt="Alt.")
    page.figure(Figure(), "Empty.", alt="Nothing.")
    page.provenance(results)
    cells = [nbformat.v4.new_code_cell(outputs=[output]) for output in shown]
    page_made = nbformat.v4.new_notebook(cells=cells)
    _tidy(page_made)
    first, second, whole = (cell.outputs[0].data["text/html"] for cell in page_made.cells)
    (account,) = ACCOUNT.findall(whole)
    assert MARK not in first + second
    for text in (first, second):
        assert account in text
    for needed in (
        "notebooks/00_quickstart.ipynb", "seeds = [0, 1], epochs = 1", "4, seeds [0, 1]", "sha256", "<dt>Commit</dt>",
        "<dt>Device</dt>", "<dt>Training</dt>", "torch ", "Make it again:",
        "make notebook NB=00_quickstart ARGS=&#x27;-p seeds &quot;[0,1]&quot; -p epochs 1&#x27;",
    ):  # fmt: skip
        assert needed in account, needed
    assert "<dt>Regime</dt><dd>joint, mixed</dd>" in first
    assert "<dt>n</dt><dd>2 seeds behind each mean</dd>" in first
    assert f"<dt>Numbers</dt><dd>{len(exits)} rows</dd>" in first
    assert 'download href="00_quickstart-figure-0-1.csv"' in first
    assert ".csv" not in second
    assert all('download href="00_quickstart.ipynb"' in text for text in (first, second, whole))
    assert [output.metadata.get("eecore", {}).get("file") for output in shown] == [
        "00_quickstart-figure-0-1.csv",
        None,
        None,
    ]
    plt.close("all")


def test_the_marks_of_the_library_are_those_of_the_build():
    assert made.MARK == MARK
    assert ACCOUNT.search(made.page_details({"A": "b"}, "make", "x")).group(1).startswith("<dl>")


def test_the_build_writes_numbers_and_notebooks_beside_the_pages(results, shown, tmp_path):
    page = notebook.Page("00_quickstart", {})
    exits = tables.per_exit(results)
    page.figure(plotting.facets(exits, plotting.accuracy_per_exit), "Caption.", alt="Alt.")
    cells = [nbformat.v4.new_code_cell(outputs=[output]) for output in shown]
    sources, target = tmp_path / "source", tmp_path / "html"
    (target / "pages").mkdir(parents=True)
    sources.mkdir()
    (target / "pages" / "old.csv").write_text("of a figure that is gone")
    nbformat.write(nbformat.v4.new_notebook(cells=cells), sources / "00_quickstart.ipynb")
    importlib.import_module("build").hand_out(sources, target)  # the name is a folder's, too
    names = ["00_quickstart-figure-0-1.csv", "00_quickstart.ipynb"]
    assert sorted(p.name for p in (target / "pages").iterdir()) == names
    read = pd.read_csv(target / "pages" / names[0])
    pd.testing.assert_frame_equal(read, exits.reset_index(drop=True), rtol=1e-5, check_dtype=False)


def test_numbers_that_are_too_many_stay_away(monkeypatch):
    frame = pd.DataFrame({"x": [1 / 3, 2.0]})
    assert made.as_csv(frame) == "x\n0.333333\n2\n"
    assert made.as_csv(None) is None
    monkeypatch.setattr(made, "MOST_BYTES", 10)
    assert made.as_csv(frame) is None


def test_what_a_figure_shows_counts_seeds_in_each_mean():
    frame = pd.DataFrame({"dataset": ["a", "a", "b"], "seed": [0, 1, 0], "value": 1.0})
    text = made.figure_details("Figure 1", "x", frame, None)
    assert "<dt>n</dt><dd>1 to 2 seeds behind each mean</dd>" in text
    text = made.figure_details("Figure 1", "x", pd.DataFrame({"n": [5, 10]}), "a.csv")
    assert "<dt>n</dt><dd>5 to 10</dd>" in text
    assert "the numbers behind Figure 1 (CSV)" in text


def test_one_data_frame_of_curves_is_what_is_drawn(results):
    curves = tables.curves(results)
    figure = plotting.facets(curves, plotting.accuracy_cost, points=30)
    found = plotting.numbers_behind(figure)
    assert list(found) == ["model", "dataset", "regime", "macs_fraction", "accuracy", "half", "n"]
    for line, regime in zip(figure.axes[0].lines, ("joint", "mixed"), strict=False):
        rows = found[found["regime"] == regime]
        np.testing.assert_allclose(line.get_xdata(), rows["macs_fraction"])
        np.testing.assert_allclose(line.get_ydata(), rows["accuracy"])
    assert plotting.numbers_behind(Figure()) is None
    plt.close("all")


# --- light drawings


def positions(svg_path):
    """The absolute corner points of a path with M, L (or m, l), z: a slow reading of SVG."""
    out, pen, start = [], (0.0, 0.0), (0.0, 0.0)
    for name, body in re.findall(r"([MLlz])([^MLlz]*)", svg_path):
        numbers = [float(n) for n in re.findall(r"-?\d*\.?\d+", body)]
        for i in range(0, len(numbers), 2):
            x, y = numbers[i : i + 2]
            pen = (pen[0] + x, pen[1] + y) if name == "l" else (x, y)
            start = pen if name == "M" else start
            out.append(pen)
        pen = start if name == "z" else pen
    return np.array(out)


def far(point, line):
    """The distance of a point from a chain of stretches, by a plain loop."""
    best = np.inf
    for a, b in pairwise(line):
        way = b - a
        along = np.clip((point - a) @ way / (way @ way), 0, 1) if way @ way else 0.0
        best = min(best, np.linalg.norm(point - a - along * way))
    return best


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=2, max_size=60), st.floats(0.01, 5))
def test_thinning_keeps_the_ends_and_leaves_no_point_far_off(points, within):
    line = np.array(points)
    kept = light_svg.thinned(line, within)
    assert kept[0]
    assert kept[-1]
    for point in line:
        assert far(point, line[kept]) <= within + 1e-9


def test_a_path_is_the_same_path_to_a_tenth_of_a_point():
    rng = np.random.default_rng(0)
    line = np.cumsum(rng.normal(0, 2, size=(400, 2)), axis=0)
    before = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in line) + " "
    after = re.search(r'd="([^"]*)"', light_svg.lighter(f'<svg><path d="{before}"/></svg>')).group(1)
    found = positions(after)
    np.testing.assert_allclose(found[[0, -1]], line[[0, -1]], atol=0.051)  # 400 steps, and rounding has not added up
    assert max(far(point, found) for point in line) < 0.08 + 0.08
    assert len(after) < len(before) / 2


def test_closed_shapes_letters_and_curves_stay():
    svg = (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink"><defs><path id="m1" d="M 0 3 C 0.8 3 1.5 2.6 2.1 2.1 z"/>'
        '<path id="DejaVuSans-41" d="M 2034 4250 Q 1547 4250 1301 3770 L 10 20 z " transform="scale(0.015625)"/></defs>'
        '<g id="text_1"><use xlink:href="#DejaVuSans-41" transform="translate(39.208984 0)"/></g>'
        '<g clip-path="url(#m1)"><use xlink:href="#m1" x="1.23456" y="2"/></g></svg>'
    )
    found = light_svg.lighter(svg)
    assert '<path id="a" d="M0 3c.8 0 1.5-.4 2.1-.9z"/>' in found
    assert '<path id="b" d="M203 425q-48 0-73-48l-129-375z" transform="scale(0.15625)"/>' in found
    assert '<use href="#b" x="39.20"/>' in found
    assert 'clip-path="url(#a)"' in found
    assert '<use href="#a" x="1.23" y="2"/>' in found


def test_a_style_that_recurs_becomes_a_class():
    shape = '<path d="M 0 0 L 1 1 " style="fill: none; stroke: #dddddd"/>'
    sheet = '<defs><style type="text/css">*{stroke-linecap: butt}</style></defs>'
    found = light_svg.lighter(f'<svg>{sheet}{shape * 3}<path style="x: y"/></svg>')
    assert ".a{fill:none;stroke:#dddddd}</style>" in found
    assert found.count('<path d="M0 0l1 1" class="a"/>') == 3
    assert '<path style="x:y"/>' in found


def curves_of_the_quick_size():
    rng, t = np.random.default_rng(0), np.linspace(0, 1, 100)
    return pd.concat([
        pd.DataFrame({"dataset": d, "model": m, "regime": r, "seed": s, "threshold": t,
                      "accuracy": 0.5 + 0.4 * t**0.3 + rng.normal(0, 0.003, 100), "macs_fraction": 0.2 + 0.85 * t**2})
        for d in "abc" for m in "xyz" for r in ("disjoint", "joint", "mixed", "joint_long") for s in range(3)
    ])  # fmt: skip


def test_the_largest_kind_of_figure_is_light():
    plotting.use_style()
    figure = plotting.facets(curves_of_the_quick_size(), plotting.accuracy_cost)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    source = light_svg.as_data_uri(light_svg.lighter(file.getvalue()))
    assert len(source) < 0.5 * len(base64.b64encode(file.getvalue().encode()))
    assert len(source) < 250_000
    assert not set('"<>#\n') & set(source)


# -- elsewhere ---------------------------------------------------------------------------------------------


def test_without_a_public_address_a_page_has_no_links_elsewhere(monkeypatch):
    monkeypatch.delenv("EECORE_REPOSITORY", raising=False)
    assert made.elsewhere("00_quickstart") == ""
    assert "http" not in made.page_details({"Runs": "none"}, "make notebook", "00_quickstart")


def test_with_one_its_links_name_the_commit_and_the_pins(monkeypatch):
    monkeypatch.setenv("EECORE_REPOSITORY", "https://github.com/owner/name/")
    monkeypatch.setenv("EECORE_COMMIT", "abc123")
    text = made.page_details({"Runs": "none"}, "make notebook", "00_quickstart")
    assert 'href="https://mybinder.org/v2/gh/owner/name/abc123?labpath=notebooks/00_quickstart.ipynb"' in text
    assert (
        'href="https://colab.research.google.com/github/owner/name/blob/abc123/notebooks/00_quickstart.ipynb"' in text
    )
    assert "-c https://raw.githubusercontent.com/owner/name/abc123/constraints.txt" in text


@pytest.mark.parametrize(
    "address", ["https://example.org/a/b", "owner/name", "https://github.com/owner", "javascript:a"]
)
def test_another_address_is_one_line(monkeypatch, address):
    monkeypatch.setenv("EECORE_REPOSITORY", address)
    with pytest.raises(SettingError, match=r"EECORE_REPOSITORY: expected https://github\.com/OWNER/NAME") as caught:
        made.elsewhere("home")
    assert "\n" not in str(caught.value)


def test_what_to_cite_is_what_the_citation_file_says():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    page = (ROOT / "book" / "cite.md").read_text(encoding="utf-8")
    assert f"title   = {{{told['title']}}}" in page
    assert f"version = {{{told['version']}}}" in page
    assert told["version"] == eecore.__version__


def test_the_container_installs_what_make_installs():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert "make .venv/.installed" in container["postCreateCommand"]
    assert ".venv/.installed" in (ROOT / "Makefile").read_text(encoding="utf-8")
    pinned = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    assert pinned[0] == "-c constraints.txt"
    assert pinned[1].removeprefix("-e ") in (ROOT / "Makefile").read_text(encoding="utf-8")
