"""One's own arrays: which axis is what, offsets that float32 does not hold, labels of all forms, empty channels.

Axes: N samples, C channels (or classes), H height, W width, L length.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from eecore import data
from eecore.data.dataset import Info, Split, assemble
from eecore.errors import DataError, SettingError

N = 60
Y = np.arange(N) % 3
_number = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Saves arrays under a new name and loads them as a data set."""

    def save_and_load(option: str = "", **arrays: object) -> data.Dataset:
        path = tmp_path / f"arrays{next(_number)}.npz"
        np.savez(path, **arrays)
        made = data.load(f"arrays:{path}{option}")
        assert made.info == data.info(f"arrays:{path}{option}")
        return made

    return save_and_load


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).rand(N, *shape)


def raw(made: data.Dataset) -> np.ndarray:
    """The test split as it was before it was normalised, (12, ...), float64."""
    assert made.preparation is not None
    shape = (1, -1, *(1,) * (made.test.x.ndim - 2))
    mean, std = (np.array(made.preparation[key]).reshape(shape) for key in ("mean", "std"))
    return made.test.x.double().numpy() * std + mean


def in_test(y: np.ndarray = Y) -> np.ndarray:
    return data.stratified(y, (42, 6, 12))[2]


# ---- axes


@pytest.mark.parametrize(
    ("shape", "option", "expected"),
    [
        ((8, 9, 3), "", (3, 8, 9)),  # the last axis, by the number of colours
        ((16, 16, 1), "", (1, 16, 16)),
        ((3, 8, 9), "", (3, 8, 9)),
        ((13, 16, 16), "", (13, 16, 16)),  # pictures are square
        ((64, 7, 7), "", (64, 7, 7)),
        ((16, 16, 13), "?channels=last", (13, 16, 16)),
        ((16, 16, 13), "?channels=first", (16, 16, 13)),
        ((4, 4, 3), "?channels=last", (3, 4, 4)),
        ((128, 9), "?channels=last", (9, 128)),
        ((128, 9), "?kind=sequence&channels=last", (9, 128)),
        ((128, 9), "?channels=first", (128, 9)),
        ((128, 9), "?kind=image", (1, 128, 9)),
        ((9, 128), "?kind=sequence", (9, 128)),
        ((40, 1), "?kind=sequence", (1, 40)),
        ((1, 40), "?kind=sequence", (1, 40)),
        ((28, 20), "", (1, 28, 20)),
    ],
)
def test_channels_are_where_the_shape_or_the_option_says(shape: tuple, option: str, expected: tuple, load) -> None:
    x = draw(*shape)
    made = load(option, x=x, y=Y)
    assert made.shape == expected
    rows = x[in_test()]
    moved = np.moveaxis(rows, -1, 1) if sorted(expected) == sorted(shape) and expected[0] != shape[0] else rows
    np.testing.assert_allclose(raw(made), moved.reshape(12, *expected), atol=1e-6)
    assert made.preparation is not None
    assert (made.preparation.get("channels") == "last") == (moved is not rows)


@pytest.mark.parametrize(
    ("shape", "option", "readings"),
    [
        ((16, 16, 13), "", ["16 channels of 16 x 13", "13 channels of 16 x 16"]),
        ((30, 40, 2), "", ["30 channels of 40 x 2", "2 channels of 30 x 40"]),
        ((2, 30, 40), "", ["2 channels of 30 x 40", "40 channels of 2 x 30"]),
        ((4, 4, 3), "", ["4 channels of 4 x 3", "3 channels of 4 x 4"]),
        ((28, 28, 28), "", ["28 channels of 28 x 28"]),
        ((128, 9), "", ["128 channels and length 9", "or 9 and 128", "grey images of 128 x 9 (?kind=image)"]),
        ((9, 128), "", ["9 channels and length 128", "or 128 and 9"]),
        ((128, 9), "?kind=sequence", ["128 channels and length 9", "or 9 and 128"]),
    ],
)
def test_a_shape_that_may_be_two_things_is_refused_with_both(shape: tuple, option: str, readings: list, load) -> None:
    with pytest.raises(DataError, match=re.escape(f"x of {(N, *shape)} can be ")) as caught:
        load(option, x=draw(*shape), y=Y)
    for part in (*readings, "?channels=first", "?channels=last"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "option", "error", "message"),
    [
        ((20,), "?channels=last", DataError, "no axis of channels, leave .channels=last out"),
        ((9, 8), "?kind=image&channels=first", DataError, "no axis of channels"),
        ((8, 9, 3), "?kind=sequence", DataError, "can only be images, leave .kind=sequence out"),
        ((20,), "?kind=image", DataError, "can only be sequences"),
        ((8, 9, 3), "?channels=lats", SettingError, "channels: 'lats' is not known; did you mean 'last'"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(shape: tuple, option: str, error: type, message: str, load) -> None:
    with pytest.raises(error, match=message):
        load(option, x=draw(*shape), y=Y)


# ---- numbers that float32 does not hold


@pytest.mark.parametrize(
    ("offset", "scale", "dtype"),
    [
        (1.6e9, 10, "f8"),  # Unix times
        (1e6, 1e-3, "f8"),  # coordinates in metres
        (1.0, 1e-12, "f8"),
        (-1e12, 1, "f8"),
        (1.6e12, 1e4, "i8"),  # times in milliseconds
        (2**31, 1e3, "u4"),
        (2**62, 1e9, "i8"),
    ],
)
def test_a_mean_is_taken_off_before_numbers_become_float32(offset: float, scale: float, dtype: str, load) -> None:
    small = np.sort(draw(20), axis=0)
    x = (offset + scale * small).astype(dtype)
    made = load(x=x, y=Y)
    assert made.removed == 0
    assert (made.train.x.dtype, made.mean.dtype) == (torch.float32, torch.float32)
    train = data.stratified(Y, (42, 6, 12))[0]
    shifted = (x - x.min()).astype(float)  # exact
    expected = (shifted - shifted[train].mean()) / shifted[train].std()
    np.testing.assert_allclose(made.test.x[:, 0].numpy(), expected[in_test()], atol=5e-3)
    again = load(x=shifted, y=Y)
    np.testing.assert_allclose(made.train.x.numpy(), again.train.x.numpy(), atol=5e-3)


def test_samples_that_float32_would_make_one_are_no_copies(load) -> None:
    x = np.full((N, 8), 1e9) + np.arange(N)[:, None] + np.arange(8)
    x[50:] = x[:10]
    made = load(x=x, y=Y)
    assert len(made.train) + len(made.validation) + len(made.test) + made.removed == N
    assert 0 < made.removed <= 10


def test_small_whole_numbers_and_float32_stay_as_they_are(load) -> None:
    for dtype in ("i2", "i8", "u1", "f4", "f2"):
        x = (draw(20) * 100).astype(dtype)
        kept = load(x=x, y=Y)
        parts = [Split(torch.from_numpy(x[i][:, None].astype("f4")), torch.from_numpy(Y[i]))
                 for i in data.stratified(Y, (42, 6, 12))]  # fmt: skip
        slow = assemble(kept.info, train=parts[0], validation=parts[1], test=parts[2])
        assert kept.fingerprint == slow.fingerprint


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((2**62 + np.arange(N * 8)).reshape(N, 8), "last digits count: take an offset off"),
        (draw(8) * 1e200, "too large, divide them by a number first"),
        (np.where(np.arange(N)[:, None] == in_test()[0], 1e60, draw(8)), "too far from the training split's"),
        (np.full((N, 8), 0.1) + np.arange(N)[:, None] * 0, "nothing is left of a split"),
    ],
)
def test_numbers_that_cannot_be_held_are_one_line(x: np.ndarray, message: str, load) -> None:
    with pytest.raises(DataError, match=message):
        load(x=x, y=Y)


def test_splits_of_two_types_are_one_unit_or_refused(load) -> None:
    pixels = (draw(8, 8, 3) * 255).astype("u1")
    with pytest.raises(DataError, match=r"one type in all splits, as bytes count as .*, got train uint8, test float64"):
        load(x_train=pixels, y_train=Y, x_test=pixels[:9] / 255, y_test=Y[:9])
    made = load(x_train=draw(20), y_train=Y, x_test=draw(20, seed=1).astype("f4"), y_test=Y)
    assert made.test.x.dtype == torch.float32


# ---- empty channels


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("value", [0, 0.1])
def test_an_empty_channel_is_said_and_stays_empty(dtype: str, value: float, load) -> None:
    x = (draw(3, 8, 8) * 200).astype(dtype)
    x[:, 1] = value
    made = load(x=x, y=Y)
    assert made.left_out == ("channel 1, whose training values are all the same",)
    assert made.std[1] == 1
    assert not made.train.x[:, 1].any()


def test_all_channels_constant_is_an_error() -> None:
    info = Info("toy", "Toy", "sequence", (2, 5), classes=2, source="", licence="", citation="")
    good = Split(torch.from_numpy(draw(2, 5)[:10].astype("f4")), torch.arange(10) % 2)
    flat = Split(torch.full((10, 2, 5), 0.1), good.y)
    other = Split(good.x + 1, good.y)
    with pytest.raises(DataError, match="all channels are constant in the training split"):
        assemble(info, train=flat, validation=other, test=good)


# ---- labels


@pytest.mark.parametrize(
    ("y", "names", "said"),
    [
        (Y, (), ""),
        (Y[:, None], (), ""),
        (np.eye(3)[Y], (), ""),
        (np.eye(3, dtype=bool)[Y], (), ""),
        (Y + 1, ("1", "2", "3"), "Labels begin at 1. Classes: 1, 2, 3."),
        ((Y + 1)[:, None].astype("u1"), ("1", "2", "3"), "Labels begin at 1."),
        (Y % 2 * 2 - 1, ("-1", "1"), "Classes: -1, 1."),
        (Y * 10, ("0", "10", "20"), "Classes: 0, 10, 20."),
        (Y > 0, ("False", "True"), "Classes: False, True."),
        (np.array(["eel", "ant ", "cat"])[Y], ("ant", "cat", "eel"), "Classes: ant, cat, eel."),
        (np.array(["a", "b", "a "])[Y], ("a", "b"), "Labels are read without the spaces around them. Classes: a, b."),
        (np.array([b"h\xe4", b"h\xf6", b"c"])[Y], ("c", "h\xe4", "h\xf6"), ""),
        (np.array([b"eel", b"ant", "kr\xe4he".encode()])[Y], ("ant", "eel", "kr\xe4he"), ""),
        (np.array(["9", "10", "11"])[Y], ("9", "10", "11"), ""),
    ],
)
def test_labels_of_all_forms(y: np.ndarray, names: tuple, said: str, load) -> None:
    made = load(x=draw(20), y=y)
    assert (made.info.class_names, made.task) == (names, "classification")
    assert made.classes == (len(names) or 3)
    assert said in made.info.note
    label = y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    encoding = "latin-1" if b"c" in label else "utf-8"
    wanted = [(v.decode(encoding) if isinstance(v, bytes) else str(v)).strip() for v in label]
    order = np.argsort(made.train.x[:, 0, 0].numpy())  # samples are known by their first value
    rows = data.stratified(np.array([made.info.labels.index(w) for w in wanted]), (42, 6, 12))[0]
    by_value = rows[np.argsort(draw(20)[rows, 0])]
    assert [made.info.labels[i] for i in made.train.y[order]] == [wanted[i] for i in by_value]


@pytest.mark.parametrize("names", ["{}_images {}_labels", "x_{} y_{}", "X_{} Y_{}", "{}_x {}_y", "{}_data {}_targets"])
def test_names_of_arrays(names: str, load) -> None:
    sizes = dict(zip(("train", "val", "test"), (30, 10, 20), strict=True))
    arrays = {}
    for k, (part, size) in enumerate(sizes.items()):
        x, y = names.format(part, part).split()
        arrays |= {x: (draw(28, 28, 3, seed=k)[:size] * 255).astype("u1"), y: Y[:size, None].astype("u1")}
    made = load(**arrays)
    assert [len(split) for split in (made.train, made.validation, made.test)] == [30, 10, 20]
    assert (made.shape, made.classes) == ((3, 28, 28), 3)


# ---- numbers to predict


@pytest.mark.parametrize(
    ("y", "option"),
    [
        (Y + 0.5, ""),
        ((Y + 0.5)[:, None].astype("f4"), ""),
        (Y + 0.5, "?task=regression"),
        (Y / 1.0, "?task=regression"),
        (np.arange(N), "?task=regression"),
    ],
)
def test_numbers_to_predict(y: np.ndarray, option: str, load) -> None:
    made = load(option, x=draw(20), y=y)
    assert (made.task, made.classes, made.info.class_names, made.test.y.dtype) == ("regression", 1, (), torch.float32)
    everything = torch.cat([made.train.y, made.validation.y, made.test.y])
    assert sorted(everything.tolist()) == sorted(y.reshape(-1).tolist())
    assert "Numbers to predict, as they are: " in made.info.note


@pytest.mark.parametrize(
    ("y", "option", "message"),
    [
        (Y / 1.0, "", r"whole numbers as float64: add \?task=classification .* \?task=regression"),
        (Y + 0.5, "?task=classification", "must hold whole numbers, strings or one-hot rows as classes"),
        (np.where(Y == 1, np.nan, Y), "", "not finite"),
        (np.where(Y == 1, np.nan, 0.5), "?task=regression", "not finite"),
        (draw(2), "", r"one value a sample, or one-hot rows of classes, got \(60, 2\)"),
        (np.eye(3)[Y], "?task=regression", "one value a sample"),
        (np.array(["a", "b", "c"])[Y], "?task=regression", "must hold numbers for a regression"),
        (1e9 + draw(1)[:, 0], "", "lose their differences in float32"),
        (Y * 0 + 0.5, "", "all numbers to predict are 0.5"),
    ],
)
def test_wrong_targets_are_one_line(y: np.ndarray, option: str, message: str, load) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(option, x=draw(20), y=y)
    assert "\n" not in str(caught.value)


def test_floats_that_are_classes_can_be_said_to_be(load) -> None:
    made = load("?task=classification", x=draw(20), y=Y + 1.0)
    assert made.info.class_names == ("1", "2", "3")


# ---- built-in data


@pytest.mark.parametrize("name", ["mnist1d", "digits", "mnist5k", "mnist5k_low", "synthetic"])
def test_built_in_arrays_say_how_a_sample_is_prepared(name: str) -> None:
    made = data.load(name)
    how = made.preparation
    assert how is not None
    assert (how["form"], tuple(how["shape"])) == ("array", made.shape)
    assert (how["mean"], how["std"]) == (made.mean.tolist(), made.std.tolist())
    white = {"digits": 16, "mnist5k": 255, "mnist5k_low": 255}.get(name, 1)
    assert how["scale"] == 1 / white
    levels = (made.train.x * made.std + made.mean) / how["scale"]
    if white > 1:
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
        assert levels.max() == pytest.approx(white, abs=1e-3)


FINGERPRINTS = {  # of the data that published results were made with
    "mnist1d": "a0a27436a65f58f3",
    "mnist1d_translation": "5b369f5283aba377",
    "mnist5k_low": "c447c85bec2ccc7c",
    "mnist5k_high": "ba62bb251c5b0290",
    "synthetic": "b9993c2f6e289d8b",
    "synthetic_regression": "1895488642de2033",
    "synthetic_text": "6c9aed6f65f9054e",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_built_in_data_stay_as_they_are(name: str) -> None:
    assert data.load(name).fingerprint.startswith(FINGERPRINTS[name])
