"""Correlations within and across groups, and how much is explained: planted effects are found, noise is not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eecore.errors import SettingError
from eecore.evidence import correlations, explained, within_groups

REGIMES = ["disjoint", "joint", "mixed", "full"]


def planted(effect=1.0, seeds=20, noise=0.3):
    """A feature that goes with the outcome over seeds within a regime, and against it across regimes."""
    rng = np.random.default_rng(0)
    rows = []
    for dataset in ("a", "b"):
        for seed in range(seeds):
            for i, regime in enumerate(REGIMES):
                x = rng.normal()
                rows.append({
                    "dataset": dataset, "model": "m", "regime": regime, "seed": seed, "x": x + 5 * i,
                    "noise": rng.normal(), "constant": 1.0,
                    "y": effect * x - 3 * i + noise * rng.normal() + (10 if dataset == "b" else 0),
                })  # fmt: skip
    return pd.DataFrame(rows)


WITHIN, ACROSS = ["dataset", "model", "regime"], ["dataset", "model", "seed"]


def test_within_and_across_can_have_opposite_signs():
    frame = planted()
    within = correlations(frame, ["x", "noise"], ["y"], WITHIN).set_index("feature")
    across = correlations(frame, ["x", "noise"], ["y"], ACROSS).set_index("feature")
    assert within.loc["x", "low"] > 0.8
    assert across.loc["x", "high"] < -0.8
    for table in (within, across):
        assert table.loc["noise", "low"] < 0 < table.loc["noise", "high"]
        assert table.loc["x", "p_holm"] < 0.001 < 0.05 < table.loc["noise", "p_holm"]
    assert within.loc["x", "groups"] == 8
    assert across.loc["x", "groups"] == 40


def test_r_and_p_are_the_partial_correlation_given_the_groups():
    frame = planted(seeds=6).query("dataset == 'a'")
    found = correlations(frame, ["x"], ["y"], WITHIN).iloc[0]
    residual = {}
    dummies = pd.get_dummies(frame["dataset"] + frame["regime"]).to_numpy(dtype=float)
    for name in ("x", "y"):
        values = frame[name].to_numpy()
        residual[name] = values - dummies @ np.linalg.lstsq(dummies, values, rcond=None)[0]
    r = stats.pearsonr(residual["x"], residual["y"])[0]
    assert found["r"] == pytest.approx(r)
    freedom = len(frame) - 4 - 1
    t = r * np.sqrt(freedom / (1 - r**2))
    assert found["p"] == pytest.approx(2 * stats.t.sf(abs(t), freedom))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    rho, hits = 0.5, 0
    for _ in range(100):
        x = rng.normal(size=60)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=60)
        frame = pd.DataFrame({"g": 0, "c": range(60), "x": x, "y": y})
        row = correlations(frame, ["x"], ["y"], ["g"], ["g"], ["c"], draws=400).iloc[0]
        hits += row["low"] <= rho <= row["high"]
    assert 85 <= hits <= 100


def test_a_cell_counts_by_its_runs_and_not_by_its_spread():
    frame = planted()
    wide = frame.assign(y=frame["y"].where(frame["dataset"] == "a", 1000 * frame["y"]))
    for groups in (WITHIN, ACROSS):
        a, b = (correlations(f, ["x"], ["y"], groups)["r"][0] for f in (frame, wide))
        assert a == pytest.approx(b)


def test_what_does_not_vary_has_no_correlation():
    row = correlations(planted(seeds=3), ["constant"], ["y"], WITHIN).iloc[0]
    assert row[["r", "low", "high", "p", "p_holm"]].isna().all()


def test_explained_finds_what_is_there_and_nothing_else():
    frame = planted()
    table = explained(frame, ["x", "noise"], ["y"]).set_index("predictor")["r2"]
    assert table["regime"] > 0.8  # the regimes' means are 3 apart
    assert table["both"] > table["regime"] + 0.02
    nothing = frame.assign(y=np.random.default_rng(2).normal(size=len(frame)))
    assert explained(nothing, ["x", "noise"], ["y"])["r2"].max() < 0.1
    means = within_groups(frame["y"], frame[["dataset"]]).groupby(frame["dataset"]).mean()
    np.testing.assert_allclose(means, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: correlations(f, ["z"], ["y"], WITHIN), "frame: lacks the columns z"),
        (lambda f: correlations(f, ["x"], ["y"], WITHIN, draws=10), "draws: at least 100"),
        (lambda f: explained(f[f["seed"] == 0], ["x"], ["y"]), "seed: two values or more"),
        (lambda f: explained(f, ["x"], ["q"]), "frame: lacks the columns q"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call(planted(seeds=2))
    assert "\n" not in str(caught.value)
