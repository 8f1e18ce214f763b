"""Profiles and heat maps: means, intervals, and colours that say of what kind the lines are."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from companion.plotting import heat_map, profile, regime_style
from eecore.errors import SettingError
from eecore.evidence import interval


@pytest.fixture
def ax():
    return Figure().subplots()


def make(names, by, seeds=3):
    """Rank falls by 1 a block, differs by 10 from line to line and by 0.5 from seed to seed."""
    return pd.DataFrame([
        {by: name, "block": block, "seed": seed, "rank": 50 + 10 * i - block + 0.5 * seed}
        for i, name in enumerate(names) for block in (0, 1, 2) for seed in range(seeds)
    ])  # fmt: skip


def lines(ax):
    """{label: (colour, marker, heights)} of the lines in the order of the legend."""
    handles, labels = ax.get_legend_handles_labels()
    drawn = [handle.lines[0] for handle in handles]
    return {n: (to_hex(d.get_color()), d.get_marker(), d.get_ydata()) for n, d in zip(labels, drawn, strict=True)}


def test_a_line_is_the_mean_of_the_seeds_with_its_interval(ax):
    frame = make(["mixed", "joint"], "regime")
    assert profile(frame, ax) is ax
    joint = ax.containers[0]
    assert joint.get_label() == "joint"
    found = [interval(60 - block + 0.5 * np.arange(3)) for block in range(3)]
    np.testing.assert_allclose(joint.lines[0].get_ydata(), [e.mean for e in found])
    segments = joint.lines[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], [[e.low, e.high] for e in found])
    places = [container.lines[0].get_xdata() for container in ax.containers]
    np.testing.assert_allclose((places[0] + places[1]) / 2, [0, 1, 2])  # side by side, none is hidden
    assert (places[0] < places[1]).all()
    assert ax.get_legend().get_title().get_text() == "mean of seeds, bars: 95% interval (n = 3)"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("block", "rank")


def test_regimes_have_their_colours_in_their_order(ax):
    profile(make(["branch_wise", "mixed", "joint"], "regime"), ax)
    styles = [regime_style(name) for name in ("joint", "mixed", "branch_wise")]
    assert [(label, *look[:2]) for label, look in lines(ax).items()] == [(s.label, s.colour, s.marker) for s in styles]


def test_numbers_have_a_sequential_map_in_ascending_order(ax):
    profile(make([8, 2, 0.5], "width"), ax, by="width")
    found = lines(ax)
    assert list(found) == ["width 0.5", "width 2.0", "width 8.0"]
    viridis = colormaps["viridis"]
    assert [look[0] for look in found.values()] == [to_hex(viridis(share)) for share in (0.0, 0.45, 0.9)]
    np.testing.assert_allclose([look[2][0] for look in found.values()], [70.5, 60.5, 50.5])
    assert len({look[1] for look in found.values()}) == 3


@pytest.mark.parametrize("names", [["centred", "as it is"], [True, False], ["2", "10"]])
def test_other_names_have_a_categorical_map_in_the_order_in_which_they_come(names, ax):
    profile(make(names, "reading"), ax, by="reading")
    found = lines(ax)
    assert list(found) == [str(name) for name in names]
    assert [look[0] for look in found.values()] == [to_hex(colormaps["Dark2"](i)) for i in range(2)]


def test_missing_values_and_single_seeds_are_said(ax):
    frame = make(["joint", "mixed"], "regime")
    frame.loc[(frame["regime"] == "mixed") & (frame["seed"] == 2) & (frame["block"] == 0), "rank"] = np.nan
    profile(frame, ax, reference=40.0, log=True, xlabel="block of the network", ylabel="rank used")
    assert "n = 2 to 3" in ax.get_legend().get_title().get_text()
    assert ax.get_yscale() == "log"
    assert list(ax.lines[-1].get_ydata()) == [40.0, 40.0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("block of the network", "rank used")
    one = profile(frame[frame["seed"] == 0], Figure().subplots())
    assert one.get_legend().get_title().get_text() == "one seed, no interval"
    assert not one.collections
    without = profile(frame.assign(rank=frame["rank"].where(frame["regime"] == "joint")), Figure().subplots())
    assert len(lines(without)["mixed"][2]) == 0


def cells():
    rows = [("b", "x", 0.2), ("b", "x", 0.4), ("b", "y", 1.0), ("a", "x", 0.0), ("a", "y", np.nan)]
    return pd.DataFrame(rows, columns=["row", "column", "cka"])


def test_a_heat_map_shows_means_where_they_belong(ax):
    assert heat_map(cells(), ax, "column", "row", "cka", digits=1) is ax
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array().filled(np.nan), [[0.3, 1.0], [0.0, np.nan]])
    written = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "0.3", (1, 0): "1.0", (0, 1): "0.0"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert image.get_clim() == (0.0, 1.0)
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert colours == {"0.3": "white", "1.0": "black", "0.0": "white"}  # readable on dark and on light


def test_a_heat_map_with_the_scale_of_other_panels(ax):
    heat_map(cells(), ax, "column", "row", "cka", limits=(-1.0, 2.0), digits=-1, xlabel="of A", ylabel="of B")
    assert ax.images[0].get_clim() == (-1.0, 2.0)
    assert not ax.texts
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("of A", "of B")


def test_a_star_stands_where_all_rows_of_a_cell_are_marked(ax):
    marks = [True, False, True, False, True]  # b has two rows at x, of which one is marked
    heat_map(cells().assign(clear=marks), ax, "column", "row", "cka", digits=1, marked="clear")
    assert {text.get_text() for text in ax.texts} == {"0.3", "1.0*", "0.0"}  # a cell without a value has no star
    both = Figure().subplots()
    heat_map(cells().assign(clear=[True, True, False, False, False]), both, "column", "row", "cka", marked="clear")
    assert {text.get_text() for text in both.texts} == {"0.30*", "1.00", "0.00"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda ax: profile(make(["joint"], "regime"), ax, y="rnk"), "frame: lacks rnk"),
        (lambda ax: profile(make([], "regime").assign(regime=[], block=[], rank=[]), ax), "frame: lacks rows"),
        (lambda ax: profile(make(["joint"], "regime").assign(rank=np.inf), ax), "all of them finite"),
        (lambda ax: heat_map(cells(), ax, "column", "row", "ckka"), "frame: lacks ckka"),
        (lambda ax: heat_map(cells(), ax, "column", "row", "cka", marked="clear"), "frame: lacks clear"),
        (lambda ax: heat_map(cells()[:0], ax, "column", "row", "cka"), "frame: lacks values"),
        (lambda ax: heat_map(cells().assign(cka=np.nan), ax, "column", "row", "cka"), "frame: lacks values"),
    ],
)
def test_impossible_input_is_one_line(call, said, ax):
    with pytest.raises(SettingError, match=said) as caught:
        call(ax)
    assert "\n" not in str(caught.value)
