"""The plans for teachers: times that add up, pages that exist, and all pages of a part."""

import re

from execute import NOTEBOOKS, ROOT

TEXT = (ROOT / "book" / "teach.md").read_text(encoding="utf-8")
CLASS, COURSE = TEXT.split("(teach-class)=")[1].split("(teach-course)=")


def pages(text):
    return re.findall(r"\{doc\}`(?:[^`<]*<)?([\w/]+)>?`", text)


def test_the_class_takes_its_ninety_minutes():
    minutes = [int(found) for found in re.findall(r"^\| (\d+) \|", CLASS, re.MULTILINE)]
    assert len(minutes) >= 5
    assert sum(minutes) == 90


def test_every_page_named_is_a_page_with_exercises_where_it_is_a_notebook():
    named = pages(TEXT)
    assert len(named) > 30
    for page in named:
        if page.startswith("pages/"):
            notebook = NOTEBOOKS / f"{page.removeprefix('pages/')}.ipynb"
            assert notebook.is_file(), page
        else:
            assert page == "parameters" or (ROOT / "book" / f"{page}.md").is_file(), page


def test_the_course_leaves_out_no_page_of_why_evidence_and_methods():
    toc = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    for part in ("Why", "Evidence", "Methods"):
        own = toc.split(f"caption: {part}")[1].split("caption:")[0]
        for page in re.findall(r"file: (\S+)", own):
            assert page in pages(COURSE) or page == "pages/23_decision", page


def test_it_says_what_students_know_and_hand_in():
    assert "What students need to know" in TEXT
    assert CLASS.count("To hand in") == 1
    assert COURSE.count("to hand in") == 1
