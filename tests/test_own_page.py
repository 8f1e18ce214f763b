"""One executed notebook as a page beside the book."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from own_page import own_page, plain_markdown, rename

FIGURE = (
    '<figure></figure><a href="00_a-figure-0-1.csv">numbers</a> NB=00_a "00_a.ipynb" <a href="../provenance.html">?</a>'
)


@pytest.fixture
def page(tmp_path):
    """A copy of the notebook 00_a, executed under the name mine."""
    shown = new_output(
        "display_data",
        {"text/html": FIGURE, "text/plain": "Figure"},
        metadata={"eecore": {"file": "00_a-figure-0-1.csv", "csv": "x\n1\n"}},
    )
    cells = [
        new_markdown_cell(
            "(label-a)=\n# Title\n\n$x^2$ {doc}`there <../regimes>` [b](02_b) {term}`store` {cite:p}`key`"
        ),
        new_markdown_cell(":::{dropdown} Solutions\n1. Yes.\n:::"),
        new_code_cell("hidden = 1", metadata={"tags": ["hide-input"]}, outputs=[shown]),
    ]
    file = tmp_path / "own" / "mine.ipynb"
    file.parent.mkdir()
    nbformat.write(new_notebook(cells=cells), file)
    return file


def test_a_copy_bears_its_own_name(page):
    rename(page)
    output = nbformat.read(page, as_version=4).cells[2].outputs[0]
    assert output.metadata.eecore.file == "mine-figure-0-1.csv"
    html = output.data["text/html"]
    assert "mine-figure-0-1.csv" in html
    assert "NB=mine" in html
    assert '"mine.ipynb"' in html
    assert "00_a" not in html


def test_the_page_asks_no_other_host_and_leads_into_the_book(page):
    html = own_page(page).read_text()
    assert not re.findall(r"<(?:script|link)\b[^>]*(?:src|href)=\"https?:", html)
    assert 'src="tex-svg-full.js"' in html
    assert 'href="../_build/html/regimes.html"' in html
    assert 'href="../_build/html/pages/02_b.html"' in html
    assert 'href="../_build/html/provenance.html"' in html
    assert "<title>mine</title>" in html
    assert "label-a)=" not in html
    assert "hidden = 1" not in html
    assert "<summary>Solutions</summary>" in html
    assert ":::" not in html


def test_what_only_the_book_understands_becomes_plain():
    assert plain_markdown("(a)=\n# T") == "# T"
    assert plain_markdown("[x](https://example.org/a) [y](#here)") == "[x](https://example.org/a) [y](#here)"
    assert plain_markdown("{doc}`12_text`") == "[12 text](../_build/html/pages/12_text.html)"
    assert plain_markdown("{term}`budgets <budget>` and {cite}`a`") == "budgets and (a)"
