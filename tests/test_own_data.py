"""Data of the user's own: images:DIR and arrays:FILE.npz, wherever the name of a data set is accepted."""

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from companion import made
from companion.parameters import check_parameters
from eecore import data
from eecore.data import own, registry
from eecore.errors import DataError, SettingError
from eecore.training import Run, Store, grid, sweep, train
from eecore.training.identity import identity, prefix_keys


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own, and no names from other tests."""
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_labels", {})


def image_folder(folder: Path, counts: dict[str, int], seed: int = 0, side: int = 12) -> Path:
    """Noise whose brightness tells the class; sizes and modes are mixed."""
    stream = np.random.RandomState(seed)
    for k, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            shade = 50 + 60 * (k % 3) + stream.randint(-30, 30, (side + i % 5, side + i % 7, 3))
            image = Image.fromarray(shade.astype(np.uint8))
            (image.convert("L") if i % 4 == 0 else image).save(folder / label / f"{i:03}.png")
    return folder


def arrays_file(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def draw(size: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (size, *shape)).astype(np.uint8)


# ---- names


def test_all_spellings_of_a_path_are_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spelt = ["images:photos", "images:./photos/", "images:~/photos", f"images:{tmp_path}/x/../photos"]
    assert {data.known("data", name) for name in spelt} == {f"images:{tmp_path}/photos"}
    assert data.known("data", "images:/p?size=9&name=b") == data.known("data", "images:/p?name=b&size=9")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("images:", "expected images:DIR, got 'images:'"),
        ("image:/p", "Known: .*images:DIR, arrays:FILE.npz"),
        ("image:/p", "'image:/p' is not known; did you mean 'images:/p'"),
        ("images:DIR?sise=3", "'sise' is not known; did you mean 'size'"),
        ("images:/p?size", "expected images:DIR.size=VALUE once"),
        ("images:/p?size=8&size=9", "size=VALUE once"),
        ("images:/p?size=big", "size: expected an integer from 8 to 1024 in .*, got 'big'"),
        ("images:/p?size=7", "size: expected an integer from 8"),
        ("arrays:/p.npz?size=8", "'size' is not known"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        data.info(name)
    assert "\n" not in str(caught.value)


def test_a_name_in_tables_belongs_to_one_data_set(tmp_path: Path) -> None:
    first, second = (image_folder(tmp_path / at / "pets", {"a": 3, "b": 3}) for at in "xy")
    digits = image_folder(tmp_path / "digits", {"a": 3, "b": 3})
    assert data.info(f"images:{first}").name == "pets"
    assert data.info(f"images:{first}?size=16").name == "pets-16"
    with pytest.raises(SettingError, match=r"called 'pets' in tables, as images:.*x/pets is; add \?name=ANOTHER"):
        data.info(f"images:{second}")
    with pytest.raises(SettingError, match=r"'digits' in tables, as digits is"):
        data.info(f"images:{digits}")
    assert data.info(f"images:{second}?name=others").name == "others"
    assert data.info(f"images:{first}/").name == "pets"


def test_another_prefix_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_own", dict(registry._own))
    info = data.Info("made", "Made", "image", (1, 8, 8), classes=4, source="", licence="", citation="")
    parts = {part: getattr(data.load("synthetic"), part) for part in ("train", "validation", "test")}
    data.register_own(
        "toy", lambda name: info, lambda name: data.assemble(info, **parts), example="toy:FILE", options=("column",)
    )
    assert data.load("toy:/a/b?column=2").info is info
    assert data.load("toy:/a/b?column=2") is data.load("toy:/a/../a/b?column=2")
    assert "toy:FILE" in data.own_forms()
    assert data.source_module("toy:/a/b") is sys.modules[__name__]
    with pytest.raises(SettingError, match="'toy' is registered already"):
        data.register_own("toy", lambda name: info, lambda name: None, example="toy:FILE")


# ---- images


def test_a_folder_of_class_folders_is_a_data_set(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", {"cat": 50, "ant": 30, "dog": 20})
    made = data.load(f"images:{folder}")
    assert (made.name, made.kind, made.shape, made.classes) == ("pets", "image", (3, 32, 32), 3)
    assert [len(s) for s in (made.train, made.validation, made.test)] == [70, 10, 20]
    counts = [split.y.bincount(minlength=3).tolist() for split in (made.train, made.validation, made.test)]
    assert np.abs(np.array(counts) - np.outer([0.7, 0.1, 0.2], [30, 50, 20])).max() <= 2  # ant, cat, dog
    means = [
        float((made.test.x[made.test.y == k] * made.std.view(3, 1, 1) + made.mean.view(3, 1, 1)).mean())
        for k in range(3)
    ]
    np.testing.assert_allclose(np.array(means) * 255, [110, 50, 170], atol=6)
    again = data.load(f"images:{folder}?name=again")
    assert again.fingerprint == made.fingerprint
    assert data.load(f"images:{folder}?size=16").shape == (3, 16, 16)


def test_split_folders_are_kept_and_missing_ones_made(tmp_path: Path) -> None:
    sizes = {"train": 40, "val": 10, "test": 15}
    for k, (part, size) in enumerate(sizes.items()):
        image_folder(tmp_path / "all" / part, {"a": size, "b": size}, seed=k)
    made = data.load(f"images:{tmp_path / 'all'}")
    assert [len(s) for s in (made.train, made.validation, made.test)] == [80, 20, 30]
    image_folder(tmp_path / "two" / "training", {"a": 40, "b": 40})
    image_folder(tmp_path / "two" / "valid", {"b": 5}, seed=1)
    with pytest.raises(DataError, match="two or more classes, got b"):
        data.info(f"images:{tmp_path / 'two'}")
    image_folder(tmp_path / "two" / "valid", {"a": 5}, seed=2)
    two = data.load(f"images:{tmp_path / 'two'}")
    assert [len(s) for s in (two.train, two.validation, two.test)] == [72, 8, 10]
    (tmp_path / "two" / "other").mkdir()
    with pytest.raises(DataError, match="beside train only one val and one test folder may stand, got other, training"):
        data.info(f"images:{tmp_path / 'two'}?name=b")


WRONG_FOLDERS = {
    "missing": (lambda f: None, "is not a folder on this machine"),
    "no classes": (lambda f: f.mkdir(), "for each of two or more classes, got none"),
    "one class": (lambda f: image_folder(f, {"cat": 9}), "two or more classes, got cat"),
    "empty class": (lambda f: image_folder(f, {"cat": 9, "dog": 0}), "class 'dog' has no images in .*dog"),
    "class of text": (
        lambda f: (image_folder(f, {"cat": 9, "dog": 0}) / "dog" / "a.txt").write_text("x"),
        "class 'dog' has no images",
    ),
    "strange class": (
        lambda f: (image_folder(f / "train", {"a": 9, "b": 9}), image_folder(f / "test", {"b": 9, "c": 9})),
        "class 'c' of test is not in train",
    ),
    "bad image": (
        lambda f: (image_folder(f, {"cat": 9, "dog": 9}) / "dog" / "003.png").write_bytes(b"x"),
        r"1 of 18 images cannot be opened, the first is .*dog/003\.png \(no image in it\)",
    ),
    "too few": (lambda f: image_folder(f, {"cat": 1, "dog": 1}), "2 samples are too few to divide"),
    "all the same": (
        lambda f: [
            i.write_bytes((f / "a" / "000.png").read_bytes()) for i in image_folder(f, {"a": 9, "b": 9}).rglob("*.png")
        ],
        "nothing is left of a split",
    ),
}


@pytest.mark.parametrize("case", WRONG_FOLDERS)
def test_a_wrong_folder_is_one_line(case: str, tmp_path: Path) -> None:
    make, message = WRONG_FOLDERS[case]
    make(tmp_path / "own")
    with pytest.raises(DataError, match=message) as caught:
        data.load(f"images:{tmp_path / 'own'}")
    assert "\n" not in str(caught.value)


def test_a_memory_limit_that_is_no_number_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = image_folder(tmp_path / "own", {"a": 5, "b": 5})
    monkeypatch.setenv(own.MEMORY, "much")
    with pytest.raises(SettingError, match="EECORE_MEMORY_GB: expected a number above 0, got 'much'"):
        data.info(f"images:{folder}?size=64")


def test_arrays_that_do_not_fit_in_memory_say_their_size_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = arrays_file(tmp_path / "own.npz", x=draw(100, 3, 64, 64), y=np.arange(100) % 2)
    monkeypatch.setenv(own.MEMORY, str(0.99 * 100 * 3 * 64 * 64 * 5 / 1e9))
    with pytest.raises(DataError, match=r"its arrays take up to 0\.00615 GB of memory, .*store fewer") as caught:
        data.info(f"arrays:{path}")
    assert "\n" not in str(caught.value)


# ---- arrays


@pytest.mark.parametrize(
    ("shape", "option", "expected"),
    [
        ((11,), "", ("sequence", (1, 11))),
        ((9, 8), "", ("image", (1, 9, 8))),
        ((2, 8), "?kind=sequence", ("sequence", (2, 8))),
        ((3, 8, 8), "", ("image", (3, 8, 8))),
        ((8, 9, 3), "", ("image", (3, 8, 9))),
        ((8, 9, 1), "", ("image", (1, 8, 9))),
    ],
)
def test_arrays_of_any_shape(shape: tuple, option: str, expected: tuple, tmp_path: Path) -> None:
    x, y = draw(60, *shape), np.arange(60, dtype=np.int16) % 3
    made = data.load(f"arrays:{arrays_file(tmp_path / 'own.npz', x=x, y=y)}{option}")
    assert (made.kind, made.shape) == expected
    assert [len(s) for s in (made.train, made.validation, made.test)] == [42, 6, 12]
    scale = 255 if made.kind == "image" else 1
    raw = made.test.x * made.std.view(1, -1, *(1,) * (made.test.x.ndim - 2)) + made.mean.view(
        1, -1, *(1,) * (made.test.x.ndim - 2)
    )
    index = data.stratified(y, (42, 6, 12))[2]
    wanted = x[index].transpose(0, 3, 1, 2) if shape[-1] in (1, 3) else x[index].reshape(12, *made.shape)
    np.testing.assert_allclose(raw.numpy() * scale, wanted, atol=1e-2)


def test_arrays_with_splits_of_their_own(tmp_path: Path) -> None:
    parts = {"train": 40, "val": 10, "test": 20}
    given = {}
    for k, (part, size) in enumerate(parts.items()):
        given |= {f"x_{part}": draw(size, 8, 8, seed=k) / 9, f"y_{part}": np.arange(size) % 2}
    made = data.load(f"arrays:{arrays_file(tmp_path / 'own.npz', **given)}")
    assert [len(s) for s in (made.train, made.validation, made.test)] == [40, 10, 20]
    raw = made.test.x * made.std.view(1, 1, 1, 1) + made.mean.view(1, 1, 1, 1)
    np.testing.assert_allclose(raw[:, 0].numpy(), given["x_test"], atol=1e-4)
    del given["x_val"], given["y_val"]
    made = data.load(f"arrays:{arrays_file(tmp_path / 'two.npz', **given)}")
    assert [len(s) for s in (made.train, made.validation, made.test)] == [36, 4, 20]


X, Y = draw(60, 8, 8), np.arange(60) % 3
WRONG_ARRAYS = {
    "objects": ({"x": X, "y": np.array([None] * 60)}, "not an .npz file of numbers: Object arrays cannot be loaded"),
    "texts": ({"x": np.full((60, 4), "a"), "y": Y}, "x must hold numbers, got <U1"),
    "complex": ({"x": X * 1j, "y": Y}, "x must hold numbers, got complex128"),
    "float labels": (
        {"x": X, "y": Y / 1.0},
        r"y holds whole numbers as float64: add \?task=classification .*=regression",
    ),
    "two labels a sample": ({"x": X, "y": np.eye(3, dtype=int)[Y] | 1}, r"one value a sample, or .*, got \(60, 3\)"),
    "as many labels as samples": (
        {"x": X, "y": np.arange(60) - 9},
        r"60 different values .*, got -9\.\.50: .*=regression",
    ),
    "complex labels": ({"x": X, "y": Y * 1j}, "y must hold classes or numbers to predict, got complex128"),
    "empty label": ({"x": X, "y": np.array(["a", " ", "b"])[Y]}, "y holds an empty label"),
    "class without training": (
        {"x_train": X[:20], "y_train": Y[:20] % 2, "x_test": X[20:], "y_test": Y[20:]},
        "class '2' has no training samples",
    ),
    "one class": ({"x": X, "y": Y * 0}, "at least two classes are needed, got 0"),
    "lengths": ({"x": X[:50], "y": Y}, "x and y must have one length, got 50 and 60"),
    "no labels": ({"x": X}, "expected one x and one y for train, got x"),
    "strange": ({"x": X, "y": Y, "z": Y}, "expected x and y, or x_train, .* got x, y, z"),
    "no train": ({"x_test": X, "y_test": Y}, "expected x and y, or x_train, .*, got x_test, y_test"),
    "twice": ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "expected one x and one y for train"),
    "five axes": ({"x": X[:, None, None, None], "y": Y}, "x must have 2, 3 or 4 axes"),
    "not finite": ({"x": np.where(X > 250, np.nan, X), "y": Y}, "not finite"),
    "other shape": ({"x_train": X, "y_train": Y, "x_test": X[:, :4], "y_test": Y}, r"test: x must be .*\(N, 1, 8, 8\)"),
}


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_wrong_arrays_are_one_line(case: str, tmp_path: Path) -> None:
    arrays, message = WRONG_ARRAYS[case]
    with pytest.raises(DataError, match=message) as caught:
        data.load(f"arrays:{arrays_file(tmp_path / 'own.npz', **arrays)}")
    assert "\n" not in str(caught.value)


class _Bomb:
    """A pickle that would leave a trace if anybody opened it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_file_that_is_no_npz_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    for content in (pickle.dumps(_Bomb(tmp_path / "opened")), b"", b"PK\x03\x04 and nothing"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"own\.npz is not an \.npz file of numbers"):
            data.load(f"arrays:{path}")
    np.savez(path, x=X, y=np.array([_Bomb(tmp_path / "opened")] * 60))
    with pytest.raises(DataError, match="Object arrays"):
        data.load(f"arrays:{path}")
    assert not (tmp_path / "opened").exists()
    with pytest.raises(DataError, match="is not a file on this machine"):
        data.load(f"arrays:{tmp_path / 'none.npz'}")


# ---- everywhere


def settings(dataset: str, **more: object) -> dict:
    return {"dataset": dataset, "model": "mlp_nano", "epochs": 1, **more}


def test_runs_of_own_data_are_known_by_their_content(tmp_path: Path) -> None:
    one, moved, other = (tmp_path / at / "pets" for at in ("one", "moved", "other"))
    for folder, seed in ((one, 0), (moved, 0), (other, 1)):
        image_folder(folder, {"a": 20, "b": 20}, seed=seed)
    keys = []
    for folder in (one, moved, other):
        registry._labels.clear()
        run = Run(**settings(f"images:{folder}/", regime="joint"))
        assert run.dataset == f"images:{folder}"
        assert identity(run)["dataset"] == "pets"
        keys.append(prefix_keys(run)[-1])
    assert keys[0] == keys[1] != keys[2]
    registry._labels.clear()
    smaller = Run(**settings(f"images:{one}?size=16", regime="joint"))
    assert prefix_keys(smaller)[-1] != keys[0]


def test_sweep_trains_own_data_in_other_processes(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", {"a": 60, "b": 60, "c": 60})
    file = arrays_file(tmp_path / "signals.npz", x=draw(150, 20), y=np.arange(150) % 2)
    runs = grid([f"images:{folder}?size=8", f"arrays:{file}"], ["mlp_nano"], ["joint"], [0], epochs=1)
    results = sweep(runs, Store(tmp_path / "runs"), workers=2, progress=False)
    assert [frame.dataset[0] for frame in (r.frame() for r in results)] == ["pets-8", "signals"]
    again = train(runs[0], Store(tmp_path / "elsewhere"), progress=False)
    assert again.key == results[0].key
    assert again.frame().accuracy.tolist() == results[0].frame().accuracy.tolist()


def test_notebooks_take_own_data(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", {"a": 60, "b": 60})
    name = f"images:{folder}"
    assert check_parameters({}, {"datasets": [name, "digits"], "dataset": name}) == {
        "datasets": [name, "digits"],
        "dataset": name,
    }
    with pytest.raises(SettingError, match="datasets: 'image:/x' is not known"):
        check_parameters({}, {"datasets": ["image:/x"]})
    with pytest.raises(DataError, match="is not a folder"):  # a parameter is looked at before anything is trained
        check_parameters({}, {"datasets": [f"{name}/none"]})
    assert made._data_line(name).startswith("pets (84/12/24 samples in train/validation/test, sha256 ")


def test_image_size_writes_the_option() -> None:
    assert own.with_size("digits", None) == "digits"
    assert own.with_size("images:/photos?name=a", 64) == "images:/photos?name=a&size=64"
    with pytest.raises(SettingError, match="image-size: only images:DIR can be resized, got 'digits'"):
        own.with_size("digits", 32)
    with pytest.raises(SettingError, match="says a size already"):
        own.with_size("images:/photos?size=8", 32)


def test_a_path_without_its_prefix_is_told_how_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "mood.CSV").touch()
    (tmp_path / "notes.txt").touch()
    for name, meant in (("pets", "images:pets"), ("./pets", "images:./pets"), ("mood.CSV", "text:mood.CSV")):
        with pytest.raises(SettingError, match=f"did you mean '{re.escape(meant)}'"):
            data.known("dataset", name)
    for name in ("notes.txt", "none.csv"):
        with pytest.raises(SettingError, match=r"is not known.*Known: mnist1d"):
            data.known("dataset", name)
