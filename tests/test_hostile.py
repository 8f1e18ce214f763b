"""Whatever is said to eecore: one line that names the parameter, never a traceback, never a page of text.

Every value here is wrong for every parameter it is given to, so that nothing is ever trained.
"""

import math
import re
import shlex
import string
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from build import main as build_main
from companion.parameters import CHECKS, check_parameters
from eecore import data, models
from eecore.cli import main
from eecore.errors import LONGEST, EecoreError, SettingError, choose, shown
from eecore.training import Recipe, Run, regimes
from execute import BuildError, make_job, notebook_names, parse_parameters

HUGE = 10**5000  # more digits than Python writes; Hypothesis cannot write it either
ENDLESS = []
ENDLESS.append(ENDLESS)
NAMES = [*data.names(), *models.names(), *regimes()]
QUICK = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def _means(text):
    """Whether a text is a name of something, or a path of own data."""
    return text in NAMES or ":" in text or "/" in text


def _one_letter_off(name, at, letter, how):
    at %= len(name)
    wrong = [name[:at] + letter + name[at + 1 :], name[:at] + name[at + 1 :], name + letter][how]
    return "nothing" if _means(wrong) else wrong


PATHS = [
    *("../../etc/passwd", "~nobody-of-this-name/x", "images:/nowhere", "images:~nobody-of-this-name", "arrays:"),
    *("images:" + "a/" * 2000, "images:\0", "arrays:/etc/passwd", "text:/etc", "images:/tmp?size=" + "9" * 4500),
    *("images:/?size=\u00b2", "x" * 3000, "\ud800", "\u2028\u2029\r\n\x0b", "9" * 4500),
]
paths = st.sampled_from(PATHS)
numbers = st.sampled_from([math.nan, -math.inf, -1, -0.5, -(10**30), -1e308, -(10**400), True, False])
letters = st.text(st.characters(exclude_categories=()), min_size=1, max_size=30).filter(lambda text: not _means(text))
near_names = st.builds(
    _one_letter_off,
    st.sampled_from(NAMES),
    st.integers(0, 30),
    st.sampled_from(string.ascii_letters),
    st.integers(0, 2),
)
things = st.sampled_from([None, b"bytes", object(), print, {1, 2}, ENDLESS, {"nobody": [1]}, {math.nan: []}])
single = st.one_of(numbers, letters, paths, near_names, things)
hostile = st.one_of(single, st.lists(single, min_size=1, max_size=3), st.just(list(range(1000)) * 2))


def assert_one_line(error, *names):
    """The message is a line of a few rows of a terminal, and begins with what is wrong."""
    message = str(error)
    assert message.splitlines() == [message], message
    assert len(message) <= LONGEST + 50, message
    assert message.startswith(names), message


# --- notebooks' parameters


@QUICK
@given(st.dictionaries(st.sampled_from(sorted(CHECKS)), hostile, min_size=1, max_size=4))
@example({"dataset": ["digits"]})
@example({"heads": {"mlp_nano": ["x" * 2000]}})
@example({"datasets": ["images:" + "a" * 2000]})
def test_a_hundred_hostile_sets_of_parameters_are_one_line_each(parameters):
    with pytest.raises(EecoreError) as caught:
        check_parameters({}, parameters)
    assert_one_line(caught.value, *(f"{name}:" for name in parameters))


@pytest.mark.parametrize("name", sorted(CHECKS))
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: [x, x + 1], lambda x: {"mlp_nano": [x]}])
def test_numbers_of_thousands_of_digits_are_one_line(name, wrap):
    with pytest.raises(EecoreError) as caught:
        check_parameters({}, {name: wrap(HUGE)})
    assert_one_line(caught.value, f"{name}:")


@QUICK
@given(near_names, hostile)
def test_a_parameter_that_no_notebook_has_is_one_line(name, value):
    given_value = value if isinstance(value, str | list) else 1
    with pytest.raises(SettingError) as caught:
        check_parameters({name: given_value}, {"epochs": 3})
    assert_one_line(caught.value, "parameter:")


WORDS = [
    *("2020-01-01", "2020-13-45", "&a [*a]", "[" * 5000, "9" * 4500, "!!set {a, b}", "!!binary aGk=", "{1: 2, a: 3}"),
    *("!!python/object:os.system {}", "\x00", "\x07", "[0", "{", "*nobody", "%", "`"),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: repr(word[:20]))
def test_words_that_are_no_plain_values_are_one_line(word):
    with pytest.raises(BuildError) as caught:
        parse_parameters(["-p", "seeds", word])
    assert_one_line(caught.value, "seeds:")


@QUICK
@given(st.lists(st.one_of(letters, paths, near_names), min_size=1, max_size=4))
def test_whatever_stands_in_args_is_one_line(words):
    with pytest.raises(BuildError) as caught:
        make_job("02_regimes", "smoke", parse_parameters(["-p", "Seeds", "0", *words]))
    assert_one_line(caught.value, "ARGS:", "parameter:")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-p seeds [0,-1]", "seeds: expected an integer from 0 to 2147483647, got -1"),
        ("-p models [mlp_nana]", "models: 'mlp_nana' is not known; did you mean 'mlp_nano'? Known: "),
        (f"-p datasets ['images:{'a' * 300}']", "datasets: data: 'aaaaaaaa"),
    ],
)
def test_papermill_passes_the_line_on(words, said, capsys, monkeypatch):
    words = ["build.py", "--profile", "smoke", "--only", "02_regimes", "--", *shlex.split(words, posix=False)]
    monkeypatch.setattr(sys, "argv", words)
    assert build_main() == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert_one_line(told.strip(), f"02_regimes: {said}")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (["NB=02_regime"], "NB: '02_regime' is not known; did you mean '02_regimes'? Known: "),
        (["NB=02_regimes", "ARGS=-p epoch 3"], "parameter: 'epoch' is not known in 02_regimes. Known: "),
        (["NB=02_regimes", "ARGS=-p epochs 2020-01-01"], "epochs: '2020-01-01' is no decimal number"),
        (["NB=02_regimes", "PROFILE=quik"], "PROFILE: 'quik' is not known. Known: smoke, quick, paper"),
    ],
)
def test_make_notebook_says_the_same(variables, said):
    """Make itself adds that its target failed; what it would install is there already."""
    where = f"{sys.prefix}/bin/python"
    words = ["make", "--no-print-directory", "-o", ".venv/.installed", "notebook", f'PY="{where}"', *variables]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    line, *rest = done.stderr.splitlines()
    assert done.returncode == 2
    assert_one_line(line, said)
    assert all(re.match(r"make(\[\d+\])?: \*\*\*", after) for after in rest), rest


def test_every_notebook_is_known_to_make_job():
    assert all(make_job(name, "smoke", {}).parameters is not None for name in notebook_names())


# --- settings of a run, and the command line


RUN = {"dataset": "synthetic", "model": "mlp_nano", "regime": "mixed", "epochs": 1}
MAY_BE_NONE = {"recipe", "phases", "pretrained"}


@QUICK
@given(st.sampled_from(sorted(set(Run.model_fields) - MAY_BE_NONE - {"exits", "snapshots"})), hostile)
@example("dataset", ENDLESS)
def test_hostile_settings_of_a_run_are_one_line(name, value):
    with pytest.raises(EecoreError) as caught:
        Run(**(RUN | {name: value}))
    assert_one_line(caught.value, name, *(("data", "images", "arrays", "size", "/etc") if name == "dataset" else ()))


@pytest.mark.parametrize("name", ["epochs", "seed", "threads", "dataset", "model", "head"])
def test_settings_of_thousands_of_digits_are_one_line(name):
    with pytest.raises(SettingError) as caught:
        Run(**(RUN | {name: HUGE}))
    assert_one_line(caught.value, f"{name}: ")


@QUICK
@given(st.sampled_from(["optimizer", "lr", "schedule", "batch_size", "label_smoothing", "precision", "decay"]), hostile)
def test_hostile_recipes_are_one_line(name, value):
    with pytest.raises(SettingError) as caught:
        Recipe(**{name: value})
    assert_one_line(caught.value, name)


@QUICK
@given(st.sampled_from(["lrr", "epochs", "", "x" * 5000, "\n"]), hostile)
def test_settings_that_nobody_knows_are_one_line(name, value):
    with pytest.raises(SettingError) as caught:
        Recipe(**{name: value})
    assert_one_line(caught.value, "setting:", name.strip()[:40])


OPTIONS = [
    *("--dataset", "--model", "--regime", "--epochs", "--seed", "--exits", "--head", "--threads", "--device"),
    *("--preset", "--recipe", "--image-size", "--pretrained"),
]
spoken = st.one_of(letters.map("{}?".format), paths, near_names, numbers.map(str)).filter(lambda text: "\0" not in text)


def command(*words):
    """Status of the command line, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["eecore", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code


@QUICK
@given(st.sampled_from(OPTIONS), spoken)
@example("--exits", "\u00b2")
@example("--exits", "9" * 4500)
@example("--recipe", "lr=" + "9" * 4500)
@example("--recipe", "lr=" + "[" * 4000)
@example("--seed", "9" * 4500)
@example("--pretrained", "x" * 5000)
@example("--device", "cuda:99999999999999999999")
def test_a_hundred_hostile_options_are_one_line_each(capsys, option, value):
    words = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--epochs", "1", f"{option}={value}"]
    assert command(*words) in (1, 2)
    told = capsys.readouterr()
    assert told.out == ""
    assert_one_line(told.err.removesuffix("\n"), "eecore: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--epochs", "banana"], "Invalid value for '--epochs'"),
        (["train", "--epoch", "3"], "No such option: --epoch"),
        (["trian"], "No such command 'trian'"),
        (["runs", "show"], "Missing argument 'key'"),
        (["sweep", "--seeds", "\u00b2"], "seeds: expected integers with commas"),
        (["sweep", "--seeds", ","], "seeds: expected integers with commas"),
        (["sweep", "--seeds", "9" * 4500], "seeds: expected integers with commas"),
        (["sweep", "--workers", "0", "--seeds", "0"], "workers: expected an integer of at least 1, got 0"),
        (["recommend", "--budget", "nan"], "budget: "),
        (["recommend", "--level", "nan"], "level: "),
        (["lab", "--minutes", "nan"], "minutes: expected a number above 0, got nan"),
        (["lab", "--plan", "x" * 5000], "plan: "),
        (["data", "info", "images:" + "a" * 5000], "data: "),
        (["models", "--dataset", "images:"], "data: expected images:DIR, got 'images:'"),
        (["runs", "show", "x" * 5000], "key: "),
        (["runs", "prune", "x" * 5000], "keys: not in the store: "),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_hostile_commands_are_one_line(capsys, words, said):
    assert command(*words) in (1, 2)
    told = capsys.readouterr().err
    assert_one_line(told.removesuffix("\n")[:LONGEST], f"eecore: {said}")
    assert len(told) <= LONGEST + 50


def test_the_program_itself_ends_with_one_line():
    words = ["train", "--dataset", "digts", "--epochs", "-1"]
    done = subprocess.run([sys.executable, "-m", "eecore", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_line(done.stderr.strip(), "eecore: epochs: ", "eecore: dataset: ")


# --- the pieces


@QUICK
@given(hostile)
def test_shown_is_one_short_line(value):
    assert len(shown([value])) <= 400
    assert len(shown(value).splitlines()) == 1


@QUICK
@given(hostile)
def test_choose_says_what_is_known(value):
    with pytest.raises(SettingError) as caught:
        choose("thing", value if not isinstance(value, str) else value + "?", ["one", "two"])
    assert_one_line(caught.value, "thing:")
    assert str(caught.value).endswith("Known: one, two")


def test_a_message_is_one_line_whatever_comes():
    error = SettingError("lr: a\nb\u2028c" + "x" * 5000 + "end")
    assert str(error).startswith("lr: a b c")
    assert str(error).endswith("xend")
    assert len(str(error)) < LONGEST
