"""The page on heads and places: what is planned, what each head costs, what changes, by hand and in words."""

import numpy as np
import pandas as pd
import pytest

from companion.pages import head_sizes, sensitivity, words_heads
from companion.parameters import check_parameters
from eecore.errors import SettingError
from eecore.training import Store, grid, sweep
from eecore.training.identity import prefix_keys

REGIMES = ["disjoint", "joint"]
HEADS, PLACES = {"mlp_nano": ["mlp:2", "cascade"]}, {"mlp_nano": ["every:2"]}


@pytest.fixture(scope="module")
def planned():
    return head_sizes.plan("synthetic", HEADS, PLACES, REGIMES, [0, 1], 1)


@pytest.fixture(scope="module")
def results(tmp_path_factory, planned):
    return sweep([v.run for v in planned], Store(tmp_path_factory.mktemp("runs")), workers=1, progress=False)


def test_one_thing_is_changed_at_a_time_from_the_run_of_all_other_pages(planned):
    seen = {(v.axis, v.setting): (v.base, v.run.head, v.run.exits) for v in planned}
    assert seen == {
        ("head", "linear"): (True, "auto", "every"),
        ("head", "mlp:2"): (False, "mlp:2", "every"),
        ("head", "cascade"): (False, "cascade", "every"),
        ("exits", "every"): (True, "auto", "every"),
        ("exits", "every:2"): (False, "auto", "every:2"),
    }
    main = {prefix_keys(run)[-1] for run in grid(["synthetic"], ["mlp_nano"], REGIMES, [0, 1], epochs=1)}
    assert {prefix_keys(v.run)[-1] for v in planned if v.base} == main
    assert len(planned) == 5 * len(REGIMES) * 2


def test_sizes_by_hand(planned):
    """mlp_nano on 8 x 8 pixels and 4 classes: 128 features behind each of 5 blocks."""
    found = head_sizes.sizes(planned).set_index(["axis", "setting"])
    backbone = 64 * 128 + 4 * 128 * 128 + 128 * 4
    linear, hidden = 128 * 4, 128 * 128
    assert found["macs"].tolist() == [
        4 * linear,
        4 * (linear + hidden),
        4 * linear + 3 * 4 * 4,
        4 * linear,
        2 * linear,
    ]
    assert found.loc[("head", "mlp:2"), "macs_fraction"] == pytest.approx(4 * (linear + hidden) / backbone)
    assert found.loc[("head", "linear"), "first_fraction"] == pytest.approx((64 * 128 + linear) / backbone)
    assert found.loc[("head", "cascade"), "parameters"] == 4 * (linear + 4) + 3 * (16 + 8)
    assert found.loc[("exits", "every:2"), "blocks"] == "1, 3, 5"
    said = words_heads.costs(head_sizes.sizes(planned))
    assert said.startswith("- mlp_nano: all early heads together cost, in % of the network without them: linear ")
    assert "(base)" in said


def test_accuracy_lies_where_the_exit_is(planned, results):
    along = head_sizes.along_the_network(planned, results)
    part = along[(along["setting"] == "every:2") & (along["seed"] == 1) & (along["regime"] == "joint")]
    assert part["block"].tolist() == [1, 3, 5]
    wanted = next(
        r
        for v, r in zip(planned, results, strict=True)
        if (v.setting, v.run.regime, v.run.seed) == ("every:2", "joint", 1)
    )
    assert part["accuracy"].tolist() == wanted.frame().query("split == 'test'")["accuracy"].tolist()
    last = along[(along["regime"] == "disjoint") & (along["axis"] == "head") & (along["block"] == 5)]
    assert (last.groupby("seed")["accuracy"].nunique() == 1).all()  # phase 1 does not know of heads
    with pytest.raises(SettingError, match=r"^results: expected one for each of 20 runs, got 0"):
        head_sizes.along_the_network(planned, [])


def frame():
    """Two regimes, three seeds: with the other head joint gains 10 points at the first exit, nothing at the last."""
    rows = []
    for setting, base, gain in (("linear", True, 0.0), ("mlp:2", False, 0.1)):
        for seed, luck in enumerate((0.0, 0.01, 0.03)):
            for regime in REGIMES:
                first = 0.5 + luck + (regime == "joint") * (0.05 + gain + 0.001 * seed * (not base))
                row = {"dataset": "d", "model": "m", "axis": "head", "setting": setting, "base": base}
                rows.append(
                    {
                        **row,
                        "regime": regime,
                        "seed": seed,
                        "first exit": first,
                        "last exit": 0.8 + luck,
                        "area under the curve": 0.7 - (regime == "joint") * (0.1 - gain),
                    }
                )
    return pd.DataFrame(rows)


def test_changes_of_differences_by_hand():
    found = head_sizes.changed(frame(), head_sizes.asked(REGIMES)).set_index("conclusion")
    row = found.loc["joint − disjoint, first exit"]
    each = np.array([0.1, 0.101, 0.102])
    assert row["mean"] == pytest.approx(each.mean())
    assert row["high"] - row["mean"] == pytest.approx(4.302653 * each.std(ddof=1) / 3**0.5, rel=1e-5)
    assert found["apart"].tolist() == [True, False, True]
    assert found["setting"].unique().tolist() == ["mlp:2"]


def test_words_follow_from_the_numbers():
    said = words_heads.what_changes(head_sizes.changed(frame(), head_sizes.asked(REGIMES)))
    assert said.startswith(
        "- m, head mlp:2: 2 of 3 differences can be told apart from the base's: joint − disjoint, first exit (+10.1 ["
    )
    assert "Of all 3 comparisons with the base, 2 exclude zero; about 0.2 would" in said
    twice = pd.concat([frame(), frame()[frame()["base"]].assign(axis="exits", setting="every")])
    assert words_heads.leaders(twice) == words_heads.leaders(frame())  # the base counts once
    lines = words_heads.leaders(frame().assign(**{"area under the curve": [0.7, 0.6] * 3 + [0.7, 0.8] * 3}))
    assert lines.splitlines()[0] == "- m, first exit: *joint* has the largest mean with 2 of 2 settings."
    assert lines.splitlines()[2] == (
        "- m, area under the curve: *disjoint* has the largest mean with 1 of 2 settings; *joint* with mlp:2."
    )


def test_comparisons_of_a_page_go_through_the_same_function_as_other_settings():
    found = sensitivity.compared(frame(), head_sizes.asked(REGIMES))
    assert found["conclusion"].nunique() == 3
    first = found[(found["conclusion"] == "joint − disjoint, first exit") & ~found["base"]]
    assert first["points"].iloc[0] == pytest.approx(15.1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: head_sizes.plan("synthetic", {}, {}, REGIMES, [0], 1), "^heads: expected at least one model"),
        (
            lambda: head_sizes.plan("synthetic", {"mlp_nano": ["linear"]}, {}, REGIMES, [0], 1),
            "^head: 'linear' is what mlp_nano has in the base; leave it out",
        ),
        (
            lambda: head_sizes.plan("synthetic", {"mlp_nano": ["conv:2"]}, {}, REGIMES, [0], 1),
            "'conv:2' needs a feature map",
        ),
        (lambda: check_parameters({}, {"heads": ["linear"]}), "^heads: expected lists by model, such as .*got"),
        (lambda: check_parameters({}, {"heads": {"mlp_nan": ["linear"]}}), "^heads: .*did you mean 'mlp_nano'"),
        (lambda: check_parameters({}, {"heads": {"mlp_nano": ["cascade:poled"]}}), "^heads: .*mean 'pooled'"),
        (lambda: check_parameters({}, {"heads": {"mlp_nano": []}}), "^heads: expected a list that is not empty"),
        (
            lambda: check_parameters({}, {"places": {"mlp_nano": [3]}}),
            "^places: expected descriptions such as 'every:2'",
        ),
    ],
)
def test_impossible_input_is_one_line(call, said):
    with pytest.raises(SettingError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_no_heads_or_no_places_are_allowed():
    assert check_parameters({}, {"heads": {}, "places": {"mlp_nano": ["sdn"]}})["heads"] == {}
    only = head_sizes.plan("synthetic", {}, PLACES, REGIMES, [0], 1)
    assert {v.axis for v in only} == {"exits"}
