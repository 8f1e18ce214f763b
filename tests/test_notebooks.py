"""The contract that every notebook keeps, and the one line that a wrong parameter gets."""

import ast
import re

import nbformat
import pytest
import yaml

from companion.parameters import CHECKS, check_parameters
from eecore.errors import SettingError
from execute import NOTEBOOKS, BuildError, Job, execute, is_current, make_job, notebook_names, parse_parameters

NAMES = notebook_names()
FORBIDDEN = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try, ast.AsyncFunctionDef)
MAY_DEFINE = {"01_from_scratch", "15_your_own", "32_own_analysis"}


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert {"home", "00_quickstart", "01_from_scratch", "02_regimes", "03_curves"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped(name):
    for cell in code(read(name)):
        assert not cell.outputs
        assert cell.execution_count is None


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_with_the_question_then_literal_parameters_with_types_and_comments(name):
    notebook = read(name)
    first, second = notebook.cells[:2]
    assert first.cell_type == "markdown"
    title = next(line for line in first.source.splitlines() if line.startswith("# "))
    assert title.endswith("?"), "the title is a question"
    if name != "home":
        for word in ("**Claim tested:**", "**In the paper:**", "**Time:**"):
            assert word in first.source
    assert "parameters" in second.metadata.get("tags", [])
    for line, node in zip(second.source.splitlines(), ast.parse(second.source).body, strict=True):
        assert isinstance(node, ast.AnnAssign), f"{line}: a parameter has a type"
        ast.literal_eval(node.value)
        assert node.target.id in CHECKS, f"{line}: the library does not check this parameter"
        assert "#" in line, f"{line}: a parameter has a comment"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1


@pytest.mark.parametrize("name", NAMES)
def test_it_calls_and_does_not_program(name):
    cells = code(read(name))
    lengths = [len(cell.source.splitlines()) for cell in cells]
    assert max(lengths) <= 20 or name in MAY_DEFINE
    assert sum(lengths) <= 150
    for cell in cells:
        tree = ast.parse(cell.source)
        if name not in MAY_DEFINE:
            assert not [node for node in ast.walk(tree) if isinstance(node, FORBIDDEN)], cell.source
        assert "optimizer.step" not in cell.source or name in MAY_DEFINE
        assert not re.search(r"[\"'](/|\.\./|~/|[A-Za-z]:\\)", cell.source), "a notebook holds no path"


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_checks_differences_exercises_and_provenance(name):
    notebook = read(name)
    source = "\n".join(cell.source for cell in notebook.cells)
    assert "page.check(" in source
    assert code(notebook)[-1].source.strip().startswith("page.provenance(")
    if name != "home":
        assert "## Where this differs from the paper" in source
        assert len(re.findall(r"^\d\. ", source.split("## Exercises")[1], flags=re.M)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_caption_and_alt_text(name):
    for cell in code(read(name)):
        for node in ast.walk(ast.parse(cell.source)):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr
            if called == "figure":
                assert len(node.args) == 2, "a figure and its caption"
                assert [keyword.arg for keyword in node.keywords] in (["alt"], ["alt", "data"])
            if called == "place":
                assert len(node.args) == 2, "what is drawn, and its caption"


@pytest.mark.parametrize("name", NAMES)
def test_page_gets_its_own_name_and_all_its_parameters(name):
    cells = code(read(name))
    declared = [node.target.id for node in ast.parse(cells[0].source).body]
    call = next(
        node
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "Page"
    )
    assert call.args[0].value == name
    assert [keyword.arg for keyword in call.keywords] == declared


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_profiles_name_notebooks_and_parameters_that_exist(profile):
    loaded = yaml.safe_load((NOTEBOOKS / "profiles" / f"{profile}.yaml").read_text())
    assert set(loaded) == set(NAMES)
    for name, parameters in loaded.items():
        make_job(name, profile, parameters)
        check_parameters({}, parameters)


WRONG = [
    ("datasets", "[cfar10]", r"datasets: 'cfar10' is not known"),
    ("datasets", "[digts]", r"datasets: 'digts' is not known; did you mean 'digits'"),
    ("datasets", "[]", r"datasets: expected a list that is not empty"),
    ("datasets", "digits", r"datasets: expected a list"),
    ("seeds", "banana", r"seeds: expected a list .*got 'banana'"),
    ("seeds", "[0, -1]", r"seeds: expected an integer from 0 .*got -1"),
    ("seeds", "[1, 1]", r"seeds: an entry is there twice"),
    ("seeds", "[true]", r"seeds: expected an integer.*got True"),
    ("epochs", "-1", r"epochs: expected an integer from 1 .*got -1"),
    ("epochs", "2.5", r"epochs: expected an integer.*got 2.5"),
    ("epochs", "null", r"epochs: expected an integer.*got None"),
    ("regimes", "[mixd]", r"regimes: 'mixd' is not known; did you mean 'mixed'"),
    ("models", "[vit_huge]", r"models: 'vit_huge' is not known"),
    ("rule", "entropi", r"rule: 'entropi' is not known; did you mean 'entropy'"),
    ("criteria", "[patienc]", r"criteria: 'patienc' is not known; did you mean 'patience'"),
    ("epsilon", "1.0", r"epsilon: expected a number between 0 and 1, got 1.0"),
    ("delta", "0", r"delta: expected a number between 0 and 1, got 0"),
    ("budgets", "[0]", r"budgets: expected fractions"),
    ("budgets", "[.nan]", r"budgets: expected fractions"),
    ("budget", "0", r"budget: expected fractions"),
    ("budget", "half", r"budget: expected fractions"),
    ("budget", "[0.5]", r"budget: expected fractions"),
    ("sizes", "[25, 0]", r"sizes: expected an integer from 1 .*got 0"),
    ("sizes", "50", r"sizes: expected a list that is not empty, such as \[25, 50, 100\], got 50"),
    ("resamples", "0", r"resamples: expected an integer from 1 .*got 0"),
]


@pytest.mark.parametrize(("name", "text", "said"), WRONG)
def test_a_wrong_value_is_one_line_that_names_the_parameter(name, text, said):
    value = parse_parameters(["-p", name, text])[name]
    with pytest.raises(SettingError, match=said) as caught:
        check_parameters({}, {name: value})
    assert "\n" not in str(caught.value)


def test_an_injected_parameter_that_the_notebook_does_not_have_is_noticed():
    with pytest.raises(SettingError, match="parameter: 'epoch' is not known; did you mean 'epochs'"):
        check_parameters({"epoch": 3, "In": [], "Out": {}, "_x": 1, "pd": ast}, {"epochs": 10})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: make_job("02_regime", "quick", {}),
            "NB: '02_regime' is not known; did you mean '02_regimes'\\? Known: 00_quickstart",
        ),
        (lambda: make_job("02_regimes", "quick", {"epoch": 3}), "parameter: 'epoch' is not known in 02_regimes"),
        (lambda: make_job("02_regimes", "quik", {}), "PROFILE: 'quik' is not known"),
        (lambda: parse_parameters(["-p", "seeds"]), "ARGS: expected -p NAME VALUE"),
        (lambda: parse_parameters(["seeds", "3", "4"]), "ARGS: expected -p NAME VALUE"),
        (lambda: parse_parameters(["-p", "seeds", "[0"]), "seeds: '\\[0' is no list"),
    ],
)
def test_wrong_commands_are_one_line(call, said):
    with pytest.raises(BuildError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_failed_notebook_gives_one_line_and_no_page(tmp_path):
    target = tmp_path / "00_quickstart.ipynb"
    with pytest.raises(
        BuildError, match=r"^00_quickstart: regimes: 'mixd' is not known; did you mean 'mixed'"
    ) as caught:
        execute(make_job("00_quickstart", "smoke", {"regimes": ["mixd"]}), target)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_executed_notebook_knows_what_it_was_made_from(tmp_path):
    target = tmp_path / "pages" / "00_quickstart.ipynb"
    job = make_job("00_quickstart", "smoke", {"regimes": ["joint", "mixed"]})
    execute(job, target)
    assert is_current(job, target)
    assert not is_current(Job(job.name, {**job.parameters, "epochs": 2}), target)
    page = nbformat.read(target, as_version=4)
    html = "".join(o.data.get("text/html", "") for c in code(page) for o in c.outputs if "data" in o)
    for needed in ("<figcaption><strong>Figure 0.1.", 'alt="', "<caption><strong>Table 0.1.", "make notebook NB=00_q"):
        assert needed in html
    assert not [o for c in code(page) for o in c.outputs if o.output_type in ("error",)]
    assert [p.name for p in target.parent.iterdir()] == [target.name]
