"""Connectivity on pages: each way between two networks, barriers of many paths, verdicts, sentences, figures."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from test_connectivity import assert_same, snapshot, trained

from companion.pages import basins
from companion.plotting import planes, regime_style
from eecore import data, models
from eecore.analysis import bezier, connectivity
from eecore.analysis import connectivity_measures as ways
from eecore.analysis.matching import align
from eecore.errors import SettingError
from eecore.evidence import interval

SYNTHETIC = data.load("synthetic")
FEW = {"samples": 20, "points": 3, "statistics": 40}


def pair(name):
    return trained(name), trained(name, 1)


# --- ways between two networks


@pytest.mark.parametrize("name", ["mlp_nano", "vit_nano"])
def test_straight_and_aligned_are_paths_between_the_states(name):
    a, b = pair(name)
    x, y, known = SYNTHETIC.test.x[:20], SYNTHETIC.test.y[:20], SYNTHETIC.train.x[:40]
    ends = {ways.STRAIGHT: b.state_dict(), ways.ALIGNED: align(a, a.state_dict(), b.state_dict())}
    for way, end in ends.items():
        expected = connectivity.path(a, a.state_dict(), end, x, y, known, 3)
        pd.testing.assert_frame_equal(ways.paths(a, b, SYNTHETIC, way=way, **FEW), expected)
    straight, aligned = (ways.paths(a, b, SYNTHETIC, way=way, **FEW) for way in ends)
    middle = straight["t"] == 0.5
    assert not np.allclose(straight[middle]["loss"], aligned[middle]["loss"])
    np.testing.assert_allclose(straight[~middle]["loss"], aligned[~middle]["loss"], rtol=1e-3)  # the same networks


def test_as_stored_is_straight_where_there_is_no_batch_norm():
    a, b = pair("vit_nano")
    straight, stored = (ways.paths(a, b, SYNTHETIC, way=way, **FEW) for way in (ways.STRAIGHT, ways.AS_STORED))
    pd.testing.assert_frame_equal(straight, stored)


def test_as_stored_mixes_running_statistics_like_weights():
    a, b = pair("resnet_nano")
    found = ways.paths(a, b, SYNTHETIC, way=ways.AS_STORED, **FEW)
    states = [model.state_dict() for model in (a, b)]
    for t in (0.0, 0.5, 1.0):
        point = trained("resnet_nano", 2)
        mixture = {
            n: (1 - t) * first + t * states[1][n] if first.is_floating_point() else first
            for n, first in states[0].items()
        }
        point.load_state_dict(mixture)
        with torch.no_grad():
            logits = point.eval()(SYNTHETIC.test.x[:20])
        slow = [F.cross_entropy(one, SYNTHETIC.test.y[:20]).item() for one in logits]
        np.testing.assert_allclose(found[found["t"] == t]["loss"], slow, rtol=1e-5)
    straight = ways.paths(a, b, SYNTHETIC, **FEW)
    assert not np.allclose(straight["loss"], found["loss"])


def test_the_curve_is_that_of_bezier_path_on_as_many_training_samples_as_there_are():
    a, b = pair("mlp_nano")
    train, test = SYNTHETIC.train, SYNTHETIC.test
    expected = bezier.bezier_path(
        a, a.state_dict(), b.state_dict(), train.x, train.y, test.x[:20], test.y[:20],
        steps=3, batch=64, learning_rate=3e-3, points=3,
    )  # fmt: skip
    pd.testing.assert_frame_equal(ways.paths(a, b, SYNTHETIC, way=ways.BEZIER, bend=3, **FEW), expected)
    unbent = ways.paths(a, b, SYNTHETIC, way=ways.BEZIER, bend=0, **{**FEW, "statistics": 2})
    line = ways.paths(a, b, SYNTHETIC, **{**FEW, "statistics": 64})
    np.testing.assert_allclose(unbent["loss"], line["loss"], rtol=1e-4)


@pytest.mark.parametrize("way", ways.WAYS)
def test_the_networks_are_left_as_they_are(way):
    a, b = pair("resnet_nano")
    a.blocks[0].train()
    next(b.parameters()).grad = torch.ones_like(next(b.parameters()))
    before, random = [snapshot(model) for model in (a, b)], torch.get_rng_state()
    ways.paths(a, b, SYNTHETIC, way=way, bend=2, **FEW)
    ways.distances(a, b, SYNTHETIC)
    for model, state in zip((a, b), before, strict=True):
        assert_same(state, snapshot(model))
    assert torch.equal(random, torch.get_rng_state())


# --- barriers and distances


def line(loss, accuracy=(0.9, 0.9, 0.9), exit=1, **about):
    return pd.DataFrame({"t": [0.0, 0.5, 1.0], "exit": exit, "loss": loss, "accuracy": accuracy}).assign(**about)


def test_barriers_of_each_path_by_hand():
    about = {"dataset": "d", "model": "m", "regime_a": "joint", "regime_b": "mixed", "seed_a": 0, "seed_b": 0}
    frame = pd.concat([
        line([1.0, 4.0, 2.0], [0.9, 0.5, 0.7], **about, way="straight"),
        line([1.0, 1.6, 2.0], **about, way="aligned"),
        line([1.0, 0.0, 2.0], **{**about, "seed_a": 1}, way="straight"),
    ])  # fmt: skip
    frame = pd.concat([frame, frame.assign(exit=2, loss=0.0, accuracy=1.0)]).sample(frac=1, random_state=0)
    found = ways.barriers(frame)
    assert list(found)[:7] == ways.PATH
    assert len(found) == 3 * 3
    by = found.set_index(["seed_a", "way", "exit"]).sort_index()
    assert by.loc[(0, "straight", 1), ["loss", "loss_t"]].tolist() == [2.5, 0.5]
    assert by.loc[(0, "straight", 1), "error"] == pytest.approx(0.3)
    assert by.loc[(0, "aligned", 1), "loss"] == pytest.approx(0.1)
    assert by.loc[(1, "straight", 1), "loss"] == 0.0  # a valley is no barrier
    assert by.loc[(0, "straight", "mean"), "loss"] == pytest.approx(1.25)
    one = frame[frame["way"] == "aligned"].drop(columns="way")
    assert list(ways.barriers(one, ways.PAIR))[:6] == ways.PAIR


def test_distances_by_hand():
    a, b = pair("mlp_nano")
    found = ways.distances(a, b, SYNTHETIC).set_index(["part", "way"])
    first, second = (dict(model.named_parameters()) for model in (a, b))
    early = [n for n in first if n.startswith("heads.") and not n.startswith(f"heads.{a.n_exits - 1}.")]
    parts = {"early heads": early, "backbone": [n for n in first if n not in early]}
    assert len(early) == 2 * (a.n_exits - 1)  # linear heads: weight and bias
    for part, names in parts.items():
        square = sum(float(((first[n] - second[n]).detach().double() ** 2).sum()) for n in names)
        lengths = [sum(float((m[n].detach().double() ** 2).sum()) for n in names) ** 0.5 for m in (first, second)]
        assert found.loc[(part, "straight"), "distance"] == pytest.approx(square**0.5)
        assert found.loc[(part, "straight"), "relative"] == pytest.approx(square**0.5 / (sum(lengths) / 2))
    aligned = align(a, a.state_dict(), b.state_dict())
    square = sum(float(((first[n].detach() - aligned[n]).double() ** 2).sum()) for n in parts["backbone"])
    assert found.loc[("backbone", "aligned"), "distance"] == pytest.approx(square**0.5)
    same = ways.distances(a, a, SYNTHETIC)
    assert (same["distance"] == 0).all()


def test_a_network_with_one_exit_has_no_early_heads():
    model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=4, exits=[4])
    assert set(ways.distances(model, model, SYNTHETIC)["part"]) == {"backbone"}
    assert set(ways.paths(model, model, SYNTHETIC, **FEW)["exit"]) == {1}


# --- verdicts and their words


def barriers_of(values, pair="disjoint – mixed", **about):
    """One row a seed: error barriers of one pair of regimes."""
    return pd.DataFrame(
        {"dataset": "d", "model": "m", "pair": pair, "seed": range(len(values)), "error": values, **about}
    )


@pytest.mark.parametrize(
    ("values", "limit", "verdict"),
    [
        ([0.001, 0.002, 0.003], 0.01, basins.ONE),
        ([0.09, 0.1, 0.11], 0.01, basins.TWO),
        ([0.0, 0.01, 0.02], 0.01, basins.UNDECIDED),
        ([0.001, 0.002, 0.03], 0.01, basins.UNDECIDED),
        ([0.0, 0.0, 0.0], 0.01, basins.ONE),
        ([0.01, 0.01, 0.01], 0.01, basins.UNDECIDED),  # at the limit, neither below nor above
        ([0.001], 0.01, basins.UNDECIDED),  # one seed has no interval
        ([0.5], 0.01, basins.UNDECIDED),
    ],
)
def test_verdict_of_the_interval(values, limit, verdict):
    table = basins.basin_table(barriers_of(values), limit=limit)
    assert table["verdict"].tolist() == [verdict]
    assert table["n"].item() == len(values)
    expected = interval(values)
    np.testing.assert_array_equal(table[["mean", "low", "high"]].iloc[0], [expected.mean, expected.low, expected.high])


def test_the_limit_is_the_end_of_the_interval_itself():
    values = [0.02, 0.03, 0.04]
    found = interval(values)
    for limit, verdict in (
        (found.high, basins.UNDECIDED),
        (np.nextafter(found.high, 1), basins.ONE),
        (found.low, basins.UNDECIDED),
        (np.nextafter(found.low, -1), basins.TWO),
    ):
        assert basins.basin_table(barriers_of(values), limit=float(limit))["verdict"].item() == verdict


def test_basins_in_words():
    frame = pd.concat([barriers_of([0.09, 0.1, 0.11], "joint – mixed"), barriers_of([0.02])])
    said = basins.basins_in_words(basins.basin_table(frame), "last exit").splitlines()
    half = 100 * (interval([0.09, 0.1, 0.11]).high - 0.1)
    assert said[0] == (
        f"- d · m · joint – mixed, last exit: **two basins** (barrier 10.0 points, 95 % interval {10 - half:.1f} to "
        f"{10 + half:.1f}, n = 3)"
    )
    assert said[1] == "- d · m · disjoint – mixed, last exit: **undecided** (barrier 2.0 points, no interval, n = 1)"


LOW, HIGH, WIDE = [0.001, 0.002, 0.001], [0.09, 0.1, 0.11], [0.0, 0.1, 0.0]


def claim(shared, disjoint_joint, joint_mixed, **about):
    parts = [barriers_of(shared, "disjoint – mixed"), barriers_of(disjoint_joint, "disjoint – joint")]
    parts.append(barriers_of(joint_mixed, "joint – mixed"))
    parts.append(barriers_of(HIGH, "joint, two seeds"))
    return basins.basin_table(pd.concat(parts).assign(**about))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((LOW, HIGH, HIGH), "**holds**"),
        ((HIGH, HIGH, HIGH), "**fails**"),
        ((LOW, LOW, HIGH), "**fails**"),
        ((LOW, HIGH, LOW), "**fails**"),
        ((WIDE, WIDE, LOW), "**fails**"),  # one pair that is decided the other way is enough
        ((WIDE, HIGH, HIGH), "**is undecided**"),
        ((LOW, WIDE, HIGH), "**is undecided**"),
        ((LOW, HIGH, [0.1]), "**is undecided**"),
    ],
)
def test_the_claim(values, verdict):
    said = basins.claim_in_words(claim(*values))
    assert said.startswith(f"- d · m: the claim {verdict} (disjoint and mixed: ")
    holds, fails, undecided = (int(word in verdict) for word in ("holds", "fails", "undecided"))
    assert said.endswith(f", it holds in {holds}, fails in {fails} and is undecided in {undecided}.")


def test_the_claim_counts_combinations_and_needs_three_regimes():
    both = pd.concat([claim(LOW, HIGH, HIGH), claim(LOW, LOW, HIGH, model="other")])
    said = basins.claim_in_words(both)
    assert "- d · other: the claim **fails** (disjoint and mixed: one basin; disjoint and joint: one basin;" in said
    assert "Of 2 combinations of data and model, it holds in 1, fails in 1 and is undecided in 0." in said
    two = both[both["pair"] != "joint – mixed"]
    assert basins.claim_in_words(two).startswith("The claim needs the regimes disjoint, joint and mixed")
    swapped = both.assign(pair=both["pair"].replace({"disjoint – joint": "joint – disjoint"}))
    assert basins.claim_in_words(swapped) == said


def test_pairs_have_names():
    frame = pd.DataFrame({
        "regime_a": ["disjoint", "joint", "joint_long", "joint"], "regime_b": ["mixed", "joint", "joint", "mixed"],
        "seed_a": [0, 0, 1, 0], "seed_b": [0, 1, 1, 1],
    })  # fmt: skip
    assert basins.named(frame)["pair"].tolist() == [
        "disjoint – mixed", "joint, two seeds", "joint, mixed's budget – joint", "joint – mixed, two seeds",
    ]  # fmt: skip


def test_rows_of_one_exit():
    frame = pd.DataFrame({"model": ["a"] * 3 + ["b"] * 4, "exit": [1, 2, "mean", 1, 2, 3, "mean"], "v": range(7)})
    assert basins.at_exit(frame)["v"].tolist() == [1, 5]  # each model's own
    assert basins.at_exit(frame, "mean")["v"].tolist() == [2, 6]
    assert basins.at_exit(frame, 3)["v"].tolist() == [5]


def ways_of(**changed):
    rows = [(0, "straight", 0.3), (0, "aligned", 0.1), (1, "straight", 0.2), (1, "aligned", 0.25), (2, "straight", 0.5)]
    frame = pd.DataFrame(rows, columns=["seed_a", "way", "error"])
    about = {"dataset": "d", "model": "m", "pair": "joint", "regime_a": "joint", "regime_b": "joint"}
    return frame.assign(seed_b=frame["seed_a"] + 1, **about, **changed)


def test_change_of_way_by_hand():
    found = basins.change_of_way(ways_of(), "error")
    assert list(found) == ["dataset", "model", "pair", "seed_a", "seed_b", "change"]
    np.testing.assert_allclose(found["change"], [-0.2, 0.05, np.nan])
    back = basins.change_of_way(ways_of(), "error", way="straight", to="aligned")
    np.testing.assert_allclose(back["change"], -found["change"])


def test_doublings_and_their_words():
    frame = basins.doublings(pd.DataFrame({"sharp": [8, 2.0, 0.5]}), "sharp")
    assert frame["doublings"].tolist() == [3, 1, -1]
    rows = [("mixed", "joint", 1.0, 0.5, 1.5, 3), ("joint", "disjoint", -1.0, -2.0, -0.1, 3)]
    rows += [("mixed", "disjoint", 0.0, -1.0, 1.0, 3), ("mixed", "disjoint", 2.0, np.nan, np.nan, 1)]
    table = pd.DataFrame(rows, columns=["a", "b", "mean", "low", "high", "n"]).assign(label="d · m · a − b")
    said = basins.ratios_in_words(table, "sharpness").splitlines()
    assert said[0] == (
        "- d · m, sharpness, *mixed* against *joint*: **sharper** (2.00 times, 95 % interval 1.41 to 2.83, n = 3)"
    )
    assert "*joint* against *disjoint*: **flatter** (0.50 times" in said[1]
    assert "**not told apart** (1.00 times" in said[2]
    assert said[3].endswith("**not told apart** (4.00 times, no interval, n = 1)")


# --- figures


def test_levels_are_round_or_even():
    assert planes.levels(0.9, 11.0) == [1.0, 2.0, 5.0, 10.0]
    assert planes.levels(1.0, 10.0) == pytest.approx([2.8, 4.6, 6.4, 8.2])  # 2 and 5 alone: the ends are outside
    assert planes.levels(2.0, 2.5) == pytest.approx([2.1, 2.2, 2.3, 2.4])
    assert planes.levels(1e-9, 3e-8) == [2e-9, 5e-9, 1e-8, 2e-8]


def grid(steps=3, scale=1.0, **about):
    a, b = (part.ravel() for part in np.meshgrid(np.linspace(-1, 1, steps), np.linspace(-2, 2, steps)))
    return pd.DataFrame({"a": a, "b": b, "loss": scale * (1 + a + 3 * b**2)}).assign(**about)


def surfaces():
    frames = [grid(5, s, regime=r, surface=f"exit {k}") for r, s in (("mixed", 1.0), ("joint", 3.0)) for k in (1, 2)]
    return pd.concat(frames).assign(loss=lambda f: f["loss"] + 0.5)


def drawn(figure):
    figure.canvas.draw()
    plt.close(figure)
    return figure


def test_contours_share_one_scale_and_the_surface_is_the_right_way_round():
    frame = surfaces().sample(frac=1, random_state=0)
    figure = drawn(planes.contours(frame.sort_values(["surface", "regime"])))
    panels = figure.axes[:4]
    assert [ax.get_title() for ax in panels] == ["exit 1", "exit 2", "", ""]
    assert [panels[0].get_ylabel(), panels[2].get_ylabel()] == ["joint\nalong v", "mixed\nalong v"]
    meshes = [ax.collections[0] for ax in panels]
    limits = {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes}
    assert limits == {(frame["loss"].min(), frame["loss"].max())}
    shown = np.asarray(meshes[0].get_array()).reshape(5, 5)
    for i, b in enumerate(np.linspace(-2, 2, 5)):
        for j, a in enumerate(np.linspace(-1, 1, 5)):
            assert shown[i, j] == pytest.approx(3 * (1 + a + 3 * b**2) + 0.5)
    lines = planes.levels(frame["loss"].min(), frame["loss"].max() * 1.001)
    for ax, scale in zip(panels, (3, 3, 1, 1), strict=True):
        inside = [level for level in lines if 0.5 < level < scale * 14 + 0.5]
        np.testing.assert_allclose(ax.collections[1].levels, inside)
    (mark,) = panels[0].lines
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0, 0)
    assert to_hex(mark.get_color()) == regime_style("joint").colour


def test_contours_mark_networks_and_say_which():
    marks = pd.DataFrame({"a": [0.5, -0.5], "b": [1.0, 0.0], "regime": ["disjoint", "mixed"]})
    frame = grid(surface="exit 1").assign(loss=lambda f: f["loss"] + 1)
    figure = drawn(planes.contours(frame, rows=None, marks=marks))
    points = figure.axes[0].lines
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(0.5, 1.0), (-0.5, 0.0)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["disjoint", "mixed"]
    plain = drawn(planes.contours(frame, rows=None))
    assert plain.axes[0].lines[0].get_marker() == "+"
    assert not plain.legends


def ways_between(seeds=3):
    rows = [
        {
            "regime_a": "disjoint",
            "regime_b": b,
            "pair": f"disjoint – {b}",
            "seed": s,
            "t": t,
            "loss": 1 + t + 0.1 * s + bump,
        }
        for b in ("mixed", "joint")
        for s in range(seeds)
        for t, bump in ((0.0, 0.0), (0.5, 2.0 if b == "joint" else 0.0), (1.0, 0.0))
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).sort_values("pair", kind="stable", ascending=False)


def test_paths_show_means_and_intervals_from_regime_to_regime():
    ax = planes.paths(ways_between(), Figure().subplots())
    _, labels = ax.get_legend_handles_labels()
    assert labels == ["disjoint – mixed", "disjoint – joint"]
    pieces = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert [list(map(float, p.get_xdata())) for p in pieces] == 2 * [[0.0, 0.5], [0.5, 1.0]]
    np.testing.assert_allclose([p.get_ydata() for p in pieces], [[1.1, 1.6], [1.6, 2.1], [1.1, 3.6], [3.6, 2.1]])
    ends = [line for line in ax.lines if len(line.get_xdata()) == 1]
    expected = [regime_style(name) for name in ("disjoint", "mixed", "disjoint", "joint")]
    assert [(to_hex(e.get_color()), e.get_marker()) for e in ends] == [(s.colour, s.marker) for s in expected]
    first, last = (np.array(to_rgb(regime_style(name).colour)) for name in ("disjoint", "mixed"))
    for piece, share in zip(pieces, (0.25, 0.75), strict=False):  # the colour goes over from one to the other
        np.testing.assert_allclose(to_rgb(piece.get_color()), (1 - share) * first + share * last, atol=0.01)
    band = ax.collections[1].get_paths()[0].vertices
    seeds = interval([3.5, 3.6, 3.7])
    at_middle = band[band[:, 0] == 0.5, 1]
    assert (at_middle.min(), at_middle.max()) == pytest.approx((seeds.low, seeds.high))
    assert "n = 3" in ax.get_legend().get_title().get_text()
    one = planes.paths(ways_between(1), Figure().subplots())
    assert one.get_legend().get_title().get_text() == "one pair, no interval"
    assert not one.collections


# --- impossible input


def at_nan():
    a, b = pair("vit_nano")
    with torch.no_grad():
        next(b.parameters()).fill_(torch.nan)
    return ways.paths(a, b, SYNTHETIC, way=ways.AS_STORED, **FEW)


MLP, RESNET = trained("mlp_nano"), trained("resnet_nano")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, way="strait"), "did you mean 'straight'"),
        (lambda: ways.paths(MLP, RESNET, SYNTHETIC), "one architecture"),
        (lambda: ways.paths(MLP, RESNET, SYNTHETIC, way=ways.AS_STORED), "one architecture"),
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, samples=0), "samples: at least 1"),
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, statistics=1), "at least 2 samples"),
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, points=1), "points: at least 2"),
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, points=1, way=ways.AS_STORED), "points: at least 2"),
        (lambda: ways.paths(MLP, MLP, SYNTHETIC, bend=-1, way=ways.BEZIER), "steps, batch, learning_rate"),
        (at_nan, "not finite at t = 0.5"),
        (lambda: ways.distances(MLP, RESNET, SYNTHETIC), "one architecture"),
        (lambda: ways.barriers(line([1.0, 2.0, 1.0])), "frame: lacks the columns dataset, model"),
        (lambda: ways.barriers(line([1.0, np.nan, 1.0], way="x"), ["way"]), "finite values from t = 0 to t = 1"),
        (lambda: basins.doublings(pd.DataFrame({"v": [1.0, 0.0]}), "v"), "v: expected numbers above 0"),
        (lambda: basins.doublings(pd.DataFrame({"v": [1.0, np.nan]}), "v"), "v: expected numbers above 0"),
        (lambda: basins.at_exit(pd.DataFrame({"model": ["m"], "exit": [1]}), "lst"), "did you mean 'last'"),
        (lambda: basins.change_of_way(ways_of(), "error", "Bezier"), "expected 'Bezier' and 'straight', got aligned"),
        (lambda: basins.change_of_way(pd.concat([ways_of()] * 2), "error"), "several rows for one pair"),
        (lambda: basins.basin_table(barriers_of([0.1, np.inf])), "all of them finite"),
        (lambda: planes.levels(0.0, 1.0), "expected 0 < low < high, got 0.0"),
        (lambda: planes.levels(2.0, 2.0), "expected 0 < low < high"),
        (lambda: planes.levels(np.nan, 2.0), "expected 0 < low < high"),
        (lambda: planes.contours(surfaces().drop(columns="loss")), "frame: lacks loss"),
        (lambda: planes.contours(surfaces()[:0]), "frame: lacks rows"),
        (lambda: planes.contours(surfaces().assign(loss=0.0)), "finite and above 0"),
        (lambda: planes.contours(surfaces().assign(loss=np.inf)), "finite and above 0"),
        (lambda: planes.contours(surfaces()[1:]), "expected a full grid"),
        (lambda: planes.contours(pd.concat([surfaces()] * 2)), "each point once"),
        (lambda: planes.contours(surfaces()[:75]), "expected a full grid"),  # a panel without points
        (lambda: planes.paths(ways_between().drop(columns="pair"), Figure().subplots()), "frame: lacks pair"),
        (lambda: planes.paths(ways_between()[:0], Figure().subplots()), "frame: lacks rows"),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    plt.close("all")
    assert "\n" not in str(caught.value)
