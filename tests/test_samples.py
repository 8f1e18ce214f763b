"""Tables of single samples and of calibrated runs: plain loops over real runs, hand-made runs, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from companion import tables
from companion.pages import calibrated, factors, samples
from eecore import data
from eecore.errors import SettingError
from eecore.inference import accuracy_per_exit, curve, difficulty, exit_taken, outcome, score, spread_thresholds
from eecore.training import Result, Store, grid, sweep

BUDGET = 0.8
RUN = tables.RUN_COLUMNS


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = grid(["synthetic", "digits"], ["mlp_nano"], ["disjoint", "joint"], [0, 1], more_seeds=[2], epochs=2)
    return sweep(runs, Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


@pytest.fixture(scope="module")
def digits(results):
    return [run for run in results if run.run.dataset == "digits"]


def one(frame, run):
    """The rows of a frame that belong to a run."""
    names = run.labels_of_run
    return frame[(frame[list(names)] == pd.Series(names)).all(axis=1)]


# --- thresholds and budgets


def test_spread_thresholds_are_the_quantiles_of_the_scores(digits):
    logits = digits[0].validation_logits
    found = spread_thresholds(logits, "entropy", number=21)
    inside = score(logits, "entropy")[:-1].flatten().double().numpy()
    np.testing.assert_allclose(found[1:-1], np.quantile(inside, np.linspace(0, 1, 21)[1:-1]), rtol=0, atol=1e-12)
    assert (found[0], found[-1]) == (0.0, 1.0)
    assert (np.diff(found) >= 0).all()


def test_spread_thresholds_of_one_exit_and_of_a_wrong_number():
    assert spread_thresholds(torch.zeros(1, 4, 3), number=3).tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(SettingError, match="number: expected at least 2, got 1"):
        spread_thresholds(torch.zeros(2, 4, 3), number=1)


def test_the_threshold_is_the_largest_within_the_budget_on_validation(digits):
    run = digits[0]
    threshold, taken = samples.taken_within(run, "confidence", BUDGET)
    limits = spread_thresholds(run.validation_logits)
    costs = [outcome(run.validation_logits, run.validation_labels, run.macs, t)["macs"] for t in limits]
    assert threshold == max(t for t, cost in zip(limits, costs, strict=True) if cost <= BUDGET * run.backbone_macs)
    assert torch.equal(taken, exit_taken(score(run.test_logits), threshold))


def test_a_budget_below_the_first_exit_fits_nothing(digits):
    threshold, taken = samples.taken_within(digits[0], "confidence", 1e-6)
    assert np.isnan(threshold)
    assert taken is None
    assert samples.rescued(digits, "confidence", 1e-6).empty
    with pytest.raises(SettingError, match=r"budget: 1e-06 of the backbone's MACs is less than the first exit"):
        samples.leaving(digits, "confidence", 1e-6)


# --- samples


def slow_difficulties(runs):
    return np.array([(difficulty(r.test_logits, r.test_labels).numpy() - 1) / len(r.macs) for r in runs])


def test_deciles_come_from_other_seeds_and_hold_what_a_loop_finds(results, digits):
    found = samples.leaving(results, "confidence", BUDGET)
    hard = slow_difficulties(digits)
    for run in digits:
        others = [i for i, other in enumerate(digits) if other.run.seed != run.run.seed]
        assert len(others) == 2
        mean = hard[others].mean(axis=0)
        chances = []
        for i in others:
            p = digits[i].test_logits.float().softmax(dim=2)
            chances.append([float(p[:, n, y].mean()) for n, y in enumerate(run.test_labels)])
        chance = np.mean(chances, axis=0)
        order = sorted(range(len(mean)), key=lambda n: (round(mean[n], 9), -chance[n]))
        _, taken = samples.taken_within(run, "confidence", BUDGET)
        rows = one(found, run).set_index("decile")
        for decile in (1, 4, 10):
            own = [n for place, n in enumerate(order) if place * 10 // len(order) == decile - 1]
            assert rows.loc[decile, "exit"] == pytest.approx(np.mean([int(taken[n]) + 1 for n in own]))
            costs = [run.macs[int(taken[n])] / run.backbone_macs for n in own]
            assert rows.loc[decile, "cost"] == pytest.approx(np.mean(costs))
            right = [int(run.test_logits[taken[n], n].argmax() == run.test_labels[n]) for n in own]
            assert rows.loc[decile, "accuracy"] == pytest.approx(np.mean(right))
            assert rows.loc[decile, "difficulty"] == pytest.approx(mean[own].mean())


def test_the_parts_add_up_to_the_whole(results, digits):
    found = samples.leaving(results, "confidence", BUDGET, parts=1)
    for run in digits:
        threshold, _ = samples.taken_within(run, "confidence", BUDGET)
        got = outcome(run.test_logits, run.test_labels, run.macs, threshold)
        row = one(found, run).iloc[0]
        assert row["accuracy"] == pytest.approx(got["accuracy"])
        assert row["cost"] == pytest.approx(got["macs"] / run.backbone_macs)
    rescued = samples.rescued(digits, "confidence", BUDGET)
    for row, run in zip(rescued.itertuples(), digits, strict=True):
        last = float(accuracy_per_exit(run.test_logits, run.test_labels)[-1])
        assert row.net == pytest.approx(one(found, run)["accuracy"].iloc[0] - last)


def test_spread_is_hardest_minus_easiest(results):
    found = samples.leaving(results, "confidence", BUDGET)
    wide = samples.spread(found)
    for row in wide.itertuples():
        own = found[(found[RUN] == [row.dataset, row.model, row.regime, row.seed]).all(axis=1)].set_index("decile")
        assert row.spread == pytest.approx(own.loc[10, "cost"] - own.loc[1, "cost"])


def test_agreement_is_a_rank_correlation_with_other_seeds(results, digits):
    found = samples.agreement(results)
    hard = slow_difficulties(digits)
    for i, run in enumerate(digits):
        for row in one(found, run).itertuples():
            others = [
                j for j, r in enumerate(digits) if r.run.regime == row.other and r.run.seed != run.run.seed
            ]  # one other seed
            assert row.rho == pytest.approx(spearmanr(hard[i], hard[others].mean(axis=0)).statistic)
            assert row.whose == ("its own regime" if row.other == run.run.regime else "other regimes")


def test_one_seed_is_not_enough(digits):
    alone = [run for run in digits if run.run.seed == 0]
    for call in (lambda: samples.leaving(alone, "confidence", BUDGET), lambda: samples.agreement(alone)):
        with pytest.raises(SettingError, match=r"seeds: .*two or more are needed, got one \(digits, mlp_nano\)"):
            call()


def test_examples_are_the_ends_of_each_class(digits):
    found = samples.examples(digits, classes=4)
    assert set(found["label"]) == {0, 1, 2, 3}
    hard, labels = slow_difficulties(digits), digits[0].test_labels.numpy()
    for row in found.itertuples():
        assert labels[row.sample] == row.label
        own = hard.mean(axis=0)[labels == row.label]
        assert hard[:, row.sample].mean() == pytest.approx(own.min() if row.kind == "easiest" else own.max())
        mine = [i for i, run in enumerate(digits) if run.run.regime == row.regime]
        assert row.difficulty == pytest.approx(hard[mine, row.sample].mean())
        assert row.right == pytest.approx((hard[mine, row.sample] < 1).mean())


def test_examples_want_one_data_set(results):
    with pytest.raises(SettingError, match="results: expected runs of one data set, got digits, synthetic"):
        samples.examples(results)


def test_too_few_samples_make_no_deciles():
    with pytest.raises(SettingError, match="samples: 10 parts take at least as many, got 3"):
        samples.deciles(np.arange(3))


# --- factors


def test_factor_correlations_are_scipys(results):
    found = factors.factor_correlations(results)
    assert set(found["dataset"]) == {"synthetic"}
    posterior = data.load("synthetic").test.factors["posterior"]
    for run in (r for r in results if r.run.dataset == "synthetic"):
        hard = slow_difficulties([run])[0]
        assert one(found, run)["rho"].item() == pytest.approx(spearmanr(hard, posterior).statistic)


def test_a_factor_with_a_sign_counts_by_its_size():
    found, raw = factors.factors_of("mnist1d"), data.load("mnist1d").test.factors
    assert raw["shear"].min() < 0
    np.testing.assert_array_equal(found["|shear|"], np.abs(raw["shear"]))
    np.testing.assert_array_equal(found["padding"], raw["padding"])


def test_profiles_are_means_of_groups(results, digits):
    found = factors.factor_profile(results, parts=4)
    run = results[0]
    hard, values = slow_difficulties([run])[0], data.load("synthetic").test.factors["posterior"]
    largest = np.argsort(values, kind="stable")[-len(values) // 4 :]
    part = one(found, run).set_index("part")["difficulty"]
    assert part[4] == pytest.approx(hard[largest].mean())
    classes = one(factors.class_profile(digits), digits[0]).set_index("label")["difficulty"]
    hard, labels = slow_difficulties(digits)[0], digits[0].test_labels.numpy()
    assert classes[3] == pytest.approx(hard[labels == 3].mean())
    assert factors.factor_profile(digits).empty
    assert factors.explained(digits).empty


def planted(dataset, seed, depth):
    """A run of three exits and two classes whose samples become right at a given depth, 0..3 (3: never)."""
    labels = torch.from_numpy(np.arange(len(depth)) % 2)
    right = torch.from_numpy(np.arange(3)[:, None] >= depth[None, :])
    answer = torch.where(right, labels, 1 - labels)
    run = grid([dataset], ["mlp_nano"], ["joint"], [seed], epochs=1)[0]
    logits = torch.nn.functional.one_hot(answer, 2).half()
    store = Store.__new__(Store)
    return Result(run, "", store, logits, logits, labels, labels, {"exit_macs": [1, 2, 3], "backbone_macs": 3})


def test_planted_effects_are_explained_and_noise_is_not():
    values = factors.factors_of("mnist1d")["scale"]
    rng = np.random.default_rng(0)
    told = np.digitize(values, np.quantile(values, [0.25, 0.5, 0.75]))
    runs = [planted("mnist1d", seed, told) for seed in (0, 1)]
    found = factors.explained(runs).groupby("source")["r2"].mean()
    assert found["factors"] > 0.8
    assert found["class"] < 0.05
    assert found["other seeds"] == pytest.approx(1.0)
    ranks = factors.factor_correlations(runs).set_index("factor")["rho"]
    assert (ranks["scale"] > 0.9).all()
    assert ranks.drop("scale").abs().max() < 0.2
    noise = [planted("mnist1d", seed, rng.integers(0, 4, len(values))) for seed in (0, 1)]
    found = factors.explained(noise).groupby("source")["r2"].mean()
    assert found.abs().max() < 0.05


# --- calibration


def test_scaling_changes_no_answer_and_lowers_the_loss_on_validation(results):
    fitted = calibrated.temperatures(results)
    assert len(fitted) == sum(len(run.macs) for run in results)
    for run, after in zip(results, calibrated.scaled(results, fitted), strict=True):
        assert (run.run, run.macs, run.key) == (after.run, after.macs, after.key)
        for part in ("validation", "test"):
            was, now = (getattr(r, f"{part}_logits") for r in (run, after))
            assert torch.equal(was.argmax(dim=2), now.argmax(dim=2))
            t = torch.tensor(one(fitted, run)["temperature"].tolist(), dtype=torch.float64)
            torch.testing.assert_close(now.double(), was.double() / t[:, None, None], rtol=1e-6, atol=1e-6)
        for was, now in zip(run.validation_logits, after.validation_logits, strict=True):
            losses = [torch.nn.functional.cross_entropy(z.double(), run.validation_labels) for z in (was, now)]
            assert losses[1] <= losses[0] + 1e-6


def test_judged_has_all_exits_and_the_whole(digits):
    found = calibrated.judged(digits, "confidence", BUDGET)
    for run in digits:
        own = one(found, run)
        everyone, leavers, used = (own[own["judged"] == name] for name in ("all samples", "those who leave", "as used"))
        np.testing.assert_allclose(everyone["accuracy"], accuracy_per_exit(run.test_logits, run.test_labels))
        assert set(everyone["n"]) == {len(run.test_labels)}
        threshold, taken = samples.taken_within(run, "confidence", BUDGET)
        assert leavers["n"].tolist() == torch.bincount(taken, minlength=len(run.macs)).tolist()
        assert used["accuracy"].item() == pytest.approx(
            outcome(run.test_logits, run.test_labels, run.macs, threshold)["accuracy"]
        )
    unfit = calibrated.judged(digits, "confidence", 1e-6)
    assert set(unfit["judged"]) == {"all samples"}
    assert len(calibrated.mean_over_exits(unfit, "gap")) == len(digits)


def test_areas_and_budgets_are_those_of_the_other_tables(digits):
    found = calibrated.areas(digits, ["margin"])
    even = found[found["thresholds"] == "100 even ones"]
    np.testing.assert_allclose(even["area"], tables.areas(digits, "margin")["area"])
    spread = found[found["thresholds"] == "spread"]
    assert spread["area"].to_numpy() == pytest.approx(even["area"].to_numpy(), abs=0.03)
    chosen = calibrated.at_budget(digits, ["margin"], BUDGET)
    assert (chosen["cost"] <= BUDGET + 0.05).all()
    single = chosen[chosen["thresholds"] == "one for all exits"]
    for row, run in zip(single.itertuples(), digits, strict=True):
        points = curve(run.test_logits, run.test_labels, run.macs, "margin", [row.threshold])
        assert row.accuracy == pytest.approx(points["accuracy"].item())
    assert calibrated.at_budget(digits, ["margin"], 1e-6).empty


def test_reliability_points_are_well_filled(digits):
    points = calibrated.reliability_points(digits, bins=5, least=8)
    assert (points["n"] >= 8).all()
    assert points["centre"].between(points["confidence"] - 0.1, points["confidence"] + 0.1).all()
    counts = points.groupby(["regime", "exit", "bin"])["seed"].nunique()
    assert (counts == 2).all()
    exits = len(digits[0].macs)
    assert set(points["exit"]) == {"exit 1", f"exit {(exits + 1) // 2}", f"exit {exits}"}


def test_scaling_by_one_changes_nothing(digits):
    ones = calibrated.temperatures(digits).assign(temperature=1.0)
    same = calibrated.scaled(digits, ones)
    pd.testing.assert_frame_equal(
        calibrated.areas(digits, ["confidence"]), calibrated.areas(same, ["confidence"]), check_exact=False
    )
