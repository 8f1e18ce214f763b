"""What is handed out beside the pages: the list of all parameters, the archive, the PDF."""

import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor

import papermill
import pytest

import archive
import pdf
from companion.made import _data_line
from eecore import data
from execute import NOTEBOOKS, BuildError, notebook_names
from parameter_page import parameter_page, title

COMMITTER = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


# -- the list of parameters --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sections():
    parts = parameter_page().split("\n## ")[1:]
    return {part.split("\n", 1)[0]: part for part in parts}


def test_every_notebook_has_its_section_and_the_first_page_comes_first(sections):
    names = notebook_names()
    assert list(sections) == ["home", *(name for name in names if name != "home")]


@pytest.mark.parametrize("name", notebook_names())
def test_a_section_has_every_parameter_with_type_default_and_meaning(sections, name):
    found = papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb"))
    rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
    assert len(rows) == len(found)
    for row, one in zip(rows, found.values(), strict=True):
        assert row.startswith(f"| `{one['name']}` | {one['inferred_type_name']} | `{one['default']}` | ")
        assert row.removesuffix(" |").split("| ")[-1], "what it is"
    assert f"{{doc}}`{title(NOTEBOOKS / f'{name}.ipynb')} <pages/{name}>`" in sections[name]
    assert f"make notebook NB={name}" in sections[name]


def test_what_another_profile_changes_is_there(sections):
    assert "- `smoke`: `datasets = [synthetic]`, `models = [mlp_nano]`" in sections["00_quickstart"]


# -- the archive -------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A committed project of one file, its built book and one executed page."""

    def git(*words):
        subprocess.run(["git", *COMMITTER, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "code.py").write_text("print(1)\n")
    (tmp_path / ".gitignore").write_text("build/\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    html, pages = tmp_path / "build" / "smoke" / "_build" / "html", tmp_path / "build" / "smoke" / "source" / "pages"
    html.mkdir(parents=True)
    pages.mkdir(parents=True)
    (html / "index.html").write_text("<p>book</p>")
    (pages / "home.ipynb").write_text(_data_line("synthetic"))
    monkeypatch.setattr(archive, "ROOT", tmp_path)
    monkeypatch.setattr(archive, "build", lambda profile: html / "index.html")
    return tmp_path


def test_the_archive_holds_code_book_pages_data_and_sums(project):
    with zipfile.ZipFile(archive.archive("smoke")) as zipped:
        (top,) = {name.split("/")[0] for name in zipped.namelist()}
        files = {name.removeprefix(f"{top}/"): zipped.read(name) for name in zipped.namelist()}
    assert set(files) == {
        *("code/code.py", "code/.gitignore", "book/index.html", "notebooks/home.ipynb"),
        *("README.txt", "index.html", "DATA.txt", "SHA256SUMS"),
    }
    told = files["DATA.txt"].decode()
    assert all(f"{name}: " in told for name in data.names())
    assert f"{data.load('synthetic').fingerprint[:12]}  synthetic" in told
    (project / "out").mkdir()
    for name, content in files.items():
        (project / "out" / name).parent.mkdir(exist_ok=True)
        (project / "out" / name).write_bytes(content)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=project / "out", check=True)


def test_a_second_archive_of_the_same_commit_has_the_same_bytes(project):
    first = archive.archive("smoke").read_bytes()
    assert archive.archive("smoke").read_bytes() == first


def test_changes_that_are_not_committed_stop_it(project, capsys, monkeypatch):
    (project / "code.py").write_text("print(2)\n")
    monkeypatch.setattr("sys.argv", ["archive.py", "--profile", "smoke"])
    assert archive.main() == 1
    assert capsys.readouterr().err == "archive: commit first: 1 files are changed, code.py\n"


def test_without_a_repository_it_says_so(project, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(archive, "ROOT", tmp_path_factory.mktemp("bare"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(archive.ROOT.parent))
    with pytest.raises(BuildError, match="archive: needs git and the project's repository"):
        archive.tracked()


# -- the PDF -----------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_page_is_printed_with_its_solutions_and_each_chapter_begins_a_sheet(tmp_path):
    text = "<span id='document-{0}'></span><h1>{0}</h1><details><summary>Solutions</summary><p>{1}</p></details>"
    page = tmp_path / "book.html"
    page.write_text("".join(text.format(name, "<p>a line</p>" * lines) for name, lines in (("a", 1), ("b", 300))))
    with ThreadPoolExecutor(1) as pool:  # where other tests hold a browser open, their loop runs in this thread
        pool.submit(pdf.print_to, page, tmp_path / "book.pdf", "smoke").result()
    printed = (tmp_path / "book.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") > 4, "closed solutions would leave a sheet for each chapter and the cover"


def test_without_a_browser_it_says_so(monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match="pdf: needs Chromium to print"):
        pdf.browser()
