"""The smoke book, built as a reader gets it, as files. tests/test_book_browser.py looks at it in a browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import smoke_book
from eecore.evidence import CLAIMS, readings
from execute import ROOT, notebook_names
from smoke_book import PAGES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("book")]


class _Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.ids, self.pictures, self.headings = [], [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") != "canonical":
            self.loads.append(values.get("href") or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.pictures.append(values)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_every_picture_has_alt_text(book, name):
    page = _Page(book / f"{name}.html")
    assert not [url for url in page.loads if re.match(r"(https?:)?//", url)]
    assert all((picture.get("alt") or "").strip() for picture in page.pictures), page.pictures


def test_links_inside_the_book_lead_somewhere(book):
    pages = {path: _Page(path) for path in book.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file.split("?")[0]).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in pages and target.suffix == ".html":
                assert anchor in pages[target].ids, f"{path.name}: {link}"


def test_no_page_shows_an_error_an_object_or_a_path_of_the_machine(book):
    for path in book.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(<|&lt;)(IPython|eecore|matplotlib|pandas|torch)\.[\w.]+ object", text), path
        told = "Traceback (most recent call last)" in text
        assert path.name.startswith("api") or not told, path  # an example of the reference shows an error
        assert str(ROOT) not in text, path


def test_every_executed_page_says_how_it_was_made(book):
    for name in notebook_names():
        text = (book / "pages" / f"{name}.html").read_text(encoding="utf-8")
        for needed in ("How this page was made", "<dt>Commit</dt>", "<dt>Versions</dt>", "make notebook NB="):
            assert needed in text, f"{name}: {needed}"


def test_the_book_has_the_ledger_as_a_file_and_its_summary_on_the_first_page(book):
    rows = json.loads((book / "ledger.json").read_text(encoding="utf-8"))
    assert {row["reading"] for row in rows} == set(readings())
    for row in rows:
        assert {"claim", "verdict", "effect", "interval", "n", "page"} <= set(row)
        assert row["verdict"] in ("supported", "contradicted", "undecided")
        assert (book / row["page"]).is_file()
    page, home = ((book / "pages" / name).read_text(encoding="utf-8") for name in ("22_claims.html", "home.html"))
    for claim in CLAIMS:
        assert f'href="22_claims.html#claim-{claim.name.lower()}"' in home
        assert f'id="claim-{claim.name.lower()}"' in page
    assert 'download="ledger.json"' in page


def test_a_second_build_executes_nothing(book):
    n = len(notebook_names())
    assert f"Notebooks: {n}, of which {n} are up to date" in smoke_book.build()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_weighs_less_than_a_megabyte(book, name):
    size = (book / f"{name}.html").stat().st_size
    assert size < 1_000_000, f"{size / 1e6:.2f} MB"


@pytest.mark.parametrize("name", ["home", "24_exit_criteria"])
def test_an_explorer_weighs_less_than_150_kB(book, name):
    text = (book / "pages" / f"{name}.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'<figure class="eecore-explorer".*?</figure>', text, flags=re.DOTALL)
    assert len(found.encode()) < 150_000


def test_every_figure_says_how_it_was_made_and_offers_its_numbers(book):
    offered = 0
    for name in notebook_names():
        text = (book / "pages" / f"{name}.html").read_text(encoding="utf-8")
        figures = re.findall(r'<figure class="eecore-[^"]*" id="(figure-[^"]*)"', text)
        accounts = re.findall(r'<details class="eecore-provenance eecore-made">.*?</details>', text, flags=re.DOTALL)
        assert len(accounts) == len(figures)
        for account in accounts:
            for needed in (
                "Notebook",
                "Parameters",
                "Runs",
                "Data",
                "Device",
                "Training",
                "Versions",
                "Commit",
                "Made",
            ):
                assert f"<dt>{needed}</dt>" in account, f"{name}: {needed}"
            assert f"make notebook NB={name}" in account
            assert f'href="{name}.ipynb"' in account
        for file in re.findall(r'href="([^"/]+\.csv)"', text):
            frame = pd.read_csv(book / "pages" / file)
            assert len(frame), file
            assert file.removeprefix(f"{name}-").removesuffix(".csv") in figures
            offered += 1
        assert (book / "pages" / f"{name}.ipynb").is_file()
    assert offered >= 60  # most figures have theirs


def test_the_index_leads_to_the_home_page(book):
    text = (book / "index.html").read_text(encoding="utf-8")
    assert "pages/home.html" in text
    assert Path(book / "pages" / "home.html").is_file()
