"""Runs and regimes: what is allowed, and the one line that says what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.lab import read_plan
from eecore import errors
from eecore.errors import SettingError, choose
from eecore.training import Phase, Recipe, Run, disjoint, grid, joint, joint_long, mixed, phases_of, regimes
from eecore.training.regimes import register_regime

GOOD = {"dataset": "digits", "model": "mlp_nano", "regime": "mixed", "epochs": 3}


def test_the_papers_regimes():
    assert disjoint(4, 5) == (Phase("backbone", 4), Phase("heads", 5))
    assert joint(6) == (Phase("all", 6),)
    assert mixed(4, 5) == (Phase("backbone", 4), Phase("all", 5))
    assert joint_long(4, 5) == (Phase("all", 9),)
    assert regimes()[:4] == ["disjoint", "joint", "mixed", "joint_long"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "cfar10"}, "did you mean|Known"),
        ({"dataset": "digts"}, "did you mean 'digits'"),
        ({"model": "vit_huge"}, "model: 'vit_huge' is not known"),
        ({"regime": "mixd"}, "regime: 'mixd' is not known; did you mean 'mixed'"),
        ({"epochs": -1}, "epochs: input should be greater than or equal to 1, got -1"),
        ({"epochs": "ten"}, "epochs: .*got 'ten'"),
        ({"epochs": True}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"seed": "banana"}, "seed: .*got 'banana'"),
        ({"sed": 3}, "setting: 'sed' is not known; did you mean 'seed'"),
        ({"threads": 0}, "threads"),
        ({"device": "warp"}, "device: 'warp' is not on this machine; known: cpu"),
        ({"phases": ()}, "phases"),
    ],
)
def test_wrong_settings_stop_with_one_line_that_names_them(change, said):
    with pytest.raises(SettingError, match=said) as caught:
        Run(**{**GOOD, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": "fast"},
        {"batch_size": 0},
        {"optimizer": "adm"},
        {"label_smoothing": 1.0},
        {"ema": 1.0},
        {"patience": 0},
        {"momentum": 0.9},
        {"augment": "blur"},
    ],
)
def test_wrong_recipes(values):
    with pytest.raises(SettingError) as caught:
        Recipe(**values)
    assert "\n" not in str(caught.value)
    assert next(iter(values)) in str(caught.value)


@given(st.one_of(st.integers(max_value=0), st.booleans()))
def test_epochs_of_a_phase_are_positive_integers(epochs):
    with pytest.raises(SettingError, match="epochs"):
        Phase("all", epochs)


@given(st.text(max_size=20))
def test_choose_never_falls_through(word):
    known = ["joint", "mixed"]
    if word in known:
        assert choose("regime", word, known) == word
    else:
        with pytest.raises(SettingError, match="Known: joint, mixed"):
            choose("regime", word, known)


def test_a_run_is_frozen_and_replace_follows_the_regime():
    run = Run(**GOOD)
    with pytest.raises(ValueError):
        run.seed = 2
    assert run.replace(regime="joint").phases == joint(3)
    assert run.replace(seed=5).phases == run.phases
    assert run.replace(epochs=7).phases == mixed(7, 7)


def test_a_regime_of_ones_own_is_known_everywhere():
    register_regime("refit_twice", lambda e: (Phase("all", e), Phase("heads", e), Phase("heads", e)))
    assert "refit_twice" in regimes()
    assert len(phases_of("refit_twice", 2)) == 3
    with pytest.raises(SettingError, match="at least one"):
        register_regime("nothing", lambda e: ())
    with pytest.raises(SettingError, match="letters"):
        register_regime("two words", joint)


def test_grid_has_every_combination_once():
    runs = grid(["digits", "synthetic"], ["mlp_nano"], ["joint", "mixed"], [0, 1, 2], epochs=1)
    assert len({(r.dataset, r.regime, r.seed) for r in runs}) == 12


def test_what_is_to_be_installed_fits_where_the_library_is(monkeypatch, tmp_path):
    assert errors.how_to_install("export") == "pip install -c constraints.txt -e '.[export]'"
    monkeypatch.setattr(errors, "ROOT", tmp_path)
    assert errors.how_to_install("export") == "pip install 'eecore[export]'"
    monkeypatch.delenv("EECORE_RECORDS", raising=False)
    monkeypatch.setattr("companion.lab.plan.records_folder", lambda: tmp_path / "nowhere")
    with pytest.raises(SettingError, match=r"the project's repository, in book/results, .* variable EECORE_RECORDS"):
        read_plan()
