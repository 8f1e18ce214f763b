"""Data sets: their splits, their numbers, their files; and that a damaged file never passes.

Axes: N samples, C classes, L length.
"""

import functools
import gzip
import http.server
import json
import logging
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist1d.data import get_dataset_args, get_templates, make_dataset
from mnist1d.transform import interpolate
from scipy.ndimage import gaussian_filter

from eecore import data
from eecore.data import embedded, fashion, files, mnist_1d, registry
from eecore.data.dataset import Info, Split, assemble, row_hashes
from eecore.errors import DataError, SettingError

EMBEDDED = ["mnist1d", "digits", "mnist5k", "synthetic"]
SIZES = {
    "mnist1d": (3500, 500, 1000),
    "digits": (1197, 240, 360),
    "mnist5k": (1000, 1000, 3000),
    "synthetic": (64, 64, 64),
}


@pytest.fixture(autouse=True, scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this module's own, and no data folder of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EECORE_CACHE", str(folder))
        patch.delenv("EECORE_DATA", raising=False)
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no Debian package."""
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "no-debian")
    return tmp_path / "cache"


# ---- every data set


@pytest.mark.parametrize("name", EMBEDDED)
def test_sizes_shapes_types(name: str) -> None:
    loaded = data.load(name)
    splits = (loaded.train, loaded.validation, loaded.test)
    assert tuple(len(split) for split in splits) == SIZES[name]
    assert loaded.removed == 0
    assert (loaded.name, loaded.kind, loaded.shape) == (name, loaded.info.kind, loaded.info.shape)
    for split in splits:
        assert tuple(split.x.shape) == (len(split), *loaded.shape)
        assert split.x.dtype == torch.float32
        assert split.y.dtype == torch.int64
        assert split.y.unique().tolist() == list(range(loaded.classes))
    assert data.load(name) is loaded
    assert data.info(name) is loaded.info


@pytest.mark.parametrize("name", EMBEDDED)
def test_splits_are_disjoint(name: str) -> None:
    loaded = data.load(name)
    rows = [list(row_hashes(split.x)) for split in (loaded.train, loaded.validation, loaded.test)]
    assert len(set().union(*rows)) == sum(map(len, rows))


@pytest.mark.parametrize("name", ["mnist1d", "digits", "mnist5k"])
def test_each_class_has_its_share(name: str) -> None:
    loaded = data.load(name)
    pool = [loaded.train, loaded.validation] + ([] if name == "mnist1d" else [loaded.test])
    counts = np.array([np.bincount(split.y.numpy(), minlength=10) for split in pool])
    expected = counts.sum(0) * counts.sum(1, keepdims=True) / counts.sum()
    assert np.abs(counts - expected).max() <= 2


@pytest.mark.parametrize("name", EMBEDDED)
def test_training_split_is_standardised_per_channel(name: str) -> None:
    x = data.load(name).train.x.double().flatten(2)
    torch.testing.assert_close(x.mean(dim=(0, 2)), torch.zeros(x.shape[1]).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(x.std(dim=(0, 2), correction=0), torch.ones(x.shape[1]).double())


def test_mean_and_std_know_nothing_of_validation_and_test() -> None:
    def parts(scale: float) -> dict[str, Split]:
        stream = np.random.RandomState(0)
        draw = {name: torch.from_numpy(stream.randn(20, 2, 5)).float() for name in ("train", "validation", "test")}
        y = torch.arange(20) % 2
        return {name: Split(x if name == "train" else x * scale + 7, y) for name, x in draw.items()}

    first, second = assemble(toy_info(), **parts(1.0)), assemble(toy_info(), **parts(9.0))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.train.x, second.train.x)
    assert first.fingerprint != second.fingerprint


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = "import eecore.data as d; print(*(d.load(n).fingerprint for n in ('digits', 'synthetic', 'mnist1d')))"
    root = Path(data.__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=environment
    )
    names = ("digits", "synthetic", "mnist1d")
    assert result.stdout.split() == [data.load(name).fingerprint for name in names]


def test_fingerprints_of_checksummed_packages() -> None:
    """The numbers of a published run hold for this content only."""
    assert data.load("digits").fingerprint.startswith("5b139feb3b5bb3da")
    assert data.load("mnist5k").fingerprint.startswith("6ca8d1cbf7244309")


# ---- assemble


def toy_info(kind: str = "sequence", shape: tuple[int, ...] = (2, 5), vocabulary: int = 0) -> Info:
    return Info("toy", "Toy", kind, shape, classes=2, source="", licence="", citation="", vocabulary=vocabulary)


def toy_split(size: int = 10, seed: int = 0) -> Split:
    x = np.random.RandomState(seed).randn(size, 2, 5)
    return Split(torch.from_numpy(x).float(), torch.arange(size) % 2, {"at": np.arange(size)})


def test_copies_of_test_samples_leave_train_and_validation() -> None:
    test, validation, train = toy_split(10, 1), toy_split(10, 2), toy_split(10, 3)
    train.x[0], train.x[4], validation.x[2] = test.x[5], validation.x[1], test.x[6]
    made = assemble(toy_info(), train=train, validation=validation, test=test)
    assert made.removed == 3
    assert made.train.factors["at"].tolist() == [1, 2, 3, 5, 6, 7, 8, 9]
    assert made.validation.factors["at"].tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert len(made.test) == 10


def test_tokens_are_left_as_they_are() -> None:
    x = torch.arange(60).reshape(12, 5)
    parts = [Split(x[i : i + 4], torch.tensor([0, 1, 0, 1])) for i in (0, 4, 8)]
    made = assemble(toy_info("tokens", (5,), 60), train=parts[0], validation=parts[1], test=parts[2])
    assert torch.equal(made.train.x, x[:4])
    assert (made.mean.item(), made.std.item()) == (0.0, 1.0)
    with pytest.raises(DataError, match=r"test: tokens must be 0\.\.58, got 40\.\.59"):
        assemble(toy_info("tokens", (5,), 59), train=parts[0], validation=parts[1], test=parts[2])
    for kind, shape, vocabulary in (("tokens", (5,), 0), ("sequence", (2, 5), 60)):
        with pytest.raises(DataError, match="tokens have a vocabulary"):
            toy_info(kind, shape, vocabulary)


def test_assemble_refuses_what_does_not_fit() -> None:
    good = toy_split()
    bad = {
        "x must be": Split(good.x[:, :1], good.y),
        "classes must be 0..1, got 0..2": Split(good.x, torch.arange(10) % 3),
        "not finite": Split(good.x / 0, good.y),
        "no samples": good.take(np.arange(0)),
        "all channels are constant": Split(good.x * 0 + 0.1, good.y),
    }
    for message, train in bad.items():
        with pytest.raises(DataError, match=message):
            assemble(toy_info(), train=train, validation=toy_split(seed=1), test=toy_split(seed=2))
    with pytest.raises(DataError, match="nothing is left"):
        assemble(toy_info(), train=good, validation=toy_split(seed=1), test=good)


def test_split_and_info_refuse_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="one length"):
        Split(torch.zeros(3, 1, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match="int64"):
        Split(torch.zeros(3, 1, 2), torch.zeros(3, dtype=torch.float64))
    with pytest.raises(SettingError, match="did you mean 'image'"):
        toy_info(kind="imge")
    with pytest.raises(DataError, match="has 3 axes"):
        toy_info(kind="image", shape=(1, 2))
    with pytest.raises(ValueError, match="read-only"):
        toy_split().factors["at"][0] = 1


# ---- splits


@given(
    st.lists(st.integers(0, 4), min_size=3, max_size=60),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_stratified_is_a_fair_partition(labels: list[int], first: float, second: float, seed: int) -> None:
    y = np.array(labels)
    a = int(first * len(y))
    b = int(second * (len(y) - a))
    sizes = (a, b, len(y) - a - b)
    parts = data.stratified(y, sizes, seed)
    assert tuple(map(len, parts)) == sizes
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    for part, size in zip(parts, sizes, strict=True):
        for label in set(labels):
            share = labels.count(label) * size / len(y)
            assert abs(int((y[part] == label).sum()) - share) <= 3  # 2 plus ties between few samples


def test_stratified_is_fixed_and_touches_no_global_stream() -> None:
    y = np.arange(100) % 10
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = data.stratified(y, (70, 30)), data.stratified(y, (70, 30))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.bincount(y[first[1]]).tolist() == [3] * 10
    assert not np.array_equal(first[0], data.stratified(y, (70, 30), seed=1)[0])
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    with pytest.raises(SettingError, match="add up to the 100 samples"):
        data.stratified(y, (70, 20))


# ---- the registry


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    for call in (data.load, data.info, data.fetch, data.source_module):
        with pytest.raises(SettingError, match=r"did you mean 'mnist1d'\? Known: mnist1d, "):
            call("mnist1")


def test_register_as_function_and_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    info = toy_info()

    @data.register(info)
    def make() -> data.Dataset:
        return assemble(info, train=toy_split(seed=1), validation=toy_split(seed=2), test=toy_split(seed=3))

    assert data.names()[-1] == "toy"
    assert data.load("toy").info is info
    assert data.source_module("toy") is sys.modules[__name__]
    with pytest.raises(SettingError, match="registered already"):
        data.register(info, make)
    data.register(info, lambda: data.load("synthetic"), replace=True)
    with pytest.raises(DataError, match="calls itself synthetic"):
        data.load("toy")
    registry._load.cache_clear()


def test_fetch_says_where_nothing_is_to_be_fetched() -> None:
    with pytest.raises(SettingError, match="'digits' needs no download"):
        data.fetch("digits")


# ---- embedded


def test_a_package_with_other_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = sklearn.datasets.load_digits()
    packaged.images[3, 2, 2] += 1
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: packaged)
    with pytest.raises(DataError, match=r"digits: the package's array of images is damaged"):
        embedded.make_digits()
    packaged.images[3, 2, 2] += 0.5
    with pytest.raises(DataError, match="whole numbers"):
        embedded.make_digits()


# ---- mnist1d


@functools.cache
def packaged_mnist1d() -> dict[str, np.ndarray]:
    """What the package itself gives."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    made = make_dataset(get_dataset_args())
    np.random.set_state(before[0])  # noqa: NPY002
    random.setstate(before[1])
    return made


def test_mnist1d_holds_the_packages_samples() -> None:
    loaded, packaged = data.load("mnist1d"), packaged_mnist1d()
    raw = loaded.test.x * loaded.std + loaded.mean
    np.testing.assert_allclose(raw[:, 0].numpy(), packaged["x_test"], atol=1e-5)
    assert np.array_equal(loaded.test.y.numpy(), packaged["y_test"])
    train, validation = data.stratified(packaged["y"], (3500, 500))
    for split, index in ((loaded.train, train), (loaded.validation, validation)):
        np.testing.assert_allclose((split.x * loaded.std + loaded.mean)[:, 0].numpy(), packaged["x"][index], atol=1e-5)
        assert np.array_equal(split.y.numpy(), packaged["y"][index])


def test_mnist1d_factors_explain_its_signals() -> None:
    """Slow twin: a test sample built step by step, with the package's own functions, from draws and factors."""
    args, packaged, test = get_dataset_args(), packaged_mnist1d(), data.load("mnist1d").test
    draws = mnist_1d.replay(args)
    signals = []
    for i in range(25):
        at = draws.order[4000 + i]
        f = {name: values[i] for name, values in test.factors.items()}
        x = np.concatenate([get_templates()["x"][int(test.y[i])] + 1e-8, np.zeros(int(f["padding"]))])
        x = interpolate(x, 72) * f["scale"]
        k = int(f["translation"])
        x = np.concatenate([x[-k:], x[:-k]])
        noise = np.where(x == 0, gaussian_filter(draws.corr_noise[at], 2), 0)
        assert f["corr_noise"] == pytest.approx(np.sqrt((noise**2).mean()))
        assert f["iid_noise"] == pytest.approx(np.sqrt((draws.iid_noise[at] ** 2).mean()))
        x = x + noise + draws.iid_noise[at] - f["shear"] * np.linspace(-0.5, 0.5, 72)
        signals.append(interpolate(x, 40))
    built, published = np.stack(signals), packaged["x_test"][:25]
    slope, offset = np.polyfit(built.ravel(), published.ravel(), 1)  # the package's standardisation
    np.testing.assert_allclose(built * slope + offset, published, atol=1e-9)


def test_mnist1d_factors_lie_in_their_ranges() -> None:
    factors = data.load("mnist1d").train.factors
    assert set(factors) == set(mnist_1d.FACTORS)
    span = {name: (values.min(), values.max()) for name, values in factors.items()}
    assert span["padding"] == (36, 60)
    assert span["translation"] == (0, 47)
    assert 0.8 <= span["scale"][0] < span["scale"][1] <= 1.2
    assert -0.375 <= span["shear"][0] < span["shear"][1] <= 0.375
    assert factors["iid_noise"].mean() == pytest.approx(0.02, rel=0.02)


def test_mnist1d_leaves_the_global_streams_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = np.random.RandomState(5).rand(), random.Random(5).random()
    with mnist_1d._global_streams_untouched():
        np.random.seed(42)  # noqa: NPY002
        random.seed(42)
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize(("key", "message"), [("y_test", "classes"), ("x_test", "signals")])
def test_mnist1d_notices_that_the_replay_fails(key: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dict(packaged_mnist1d())
    changed[key] = changed[key][::-1]
    monkeypatch.setattr("mnist1d.data.make_dataset", lambda args: changed)
    with pytest.raises(DataError, match=message):
        mnist_1d.generate()


# ---- the cache


def small_arrays() -> dict[str, np.ndarray]:
    return {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array([1, 2])}


@pytest.mark.parametrize("damage", ["content", "record", "not json", "no record"])
def test_a_damaged_cache_is_made_again(damage: str, own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return small_arrays()

    files.cached_arrays("small", make)
    files.cached_arrays("small", make)
    assert len(made) == 1
    path, record = own_cache / "small.safetensors", own_cache / "small.json"
    if damage == "content":
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text(json.dumps({"sha256": "0"}) if damage == "record" else "[")
    with caplog.at_level(logging.INFO, logger="eecore.data.files"):
        arrays = files.cached_arrays("small", make)
    assert len(made) == 2
    assert len(caplog.records) == (damage != "no record")
    assert all(np.array_equal(arrays[name], array) for name, array in small_arrays().items())
    files.cached_arrays("small", make)
    assert len(made) == 2
    assert sorted(p.name for p in own_cache.iterdir() if p.suffix != ".lock") == ["small.json", "small.safetensors"]


def test_without_a_writable_cache_the_arrays_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "file" / "cache"))
    assert set(files.cached_arrays("small", small_arrays)) == {"x", "y"}


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EECORE_CACHE")
    assert data.data_folders() == [Path.home() / ".cache" / "eecore"]
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "d"))
    assert data.data_folders() == [tmp_path / "d", tmp_path / "c"]


# ---- fashion_mnist, on a tiny archive of the same form


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@functools.cache
def tiny_archive() -> tuple[dict[str, bytes], dict[str, fashion.Sums]]:
    """Four .gz files, 60 training and 20 test images, and their checksums."""
    stream = np.random.RandomState(0)
    contents = {}
    for part, size in (("train", 60), ("t10k", 20)):
        contents[f"{part}-images-idx3-ubyte"] = idx(stream.randint(0, 256, (size, 28, 28)).astype(np.uint8))
        contents[f"{part}-labels-idx1-ubyte"] = idx((np.arange(size) % 10).astype(np.uint8))
    archives = {stem: gzip.compress(content, mtime=0) for stem, content in contents.items()}
    sums = {s: fashion.Sums(files.sha256(archives[s]), files.sha256(c)) for s, c in contents.items()}
    return archives, sums


def lay_out(folder: Path, packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, archive in tiny_archive()[0].items():
        path = folder / (f"{stem}.gz" if packed else stem)
        path.write_bytes(archive if packed else gzip.decompress(archive))
    return folder


def load_tiny() -> data.Dataset:
    return fashion.make_fashion(tiny_archive()[1], sizes=(50, 10))


@pytest.mark.parametrize("place", ["data", "data/fashion_mnist", "cache/fashion_mnist", "no-debian"])
@pytest.mark.parametrize("packed", [True, False])
def test_fashion_is_found_everywhere(
    place: str, packed: bool, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "data"))
    lay_out(tmp_path / place, packed)
    made = load_tiny()
    assert (len(made.train), len(made.validation), len(made.test)) == (50, 10, 20)
    assert made.validation.y.bincount().tolist() == [1] * 10
    content = gzip.decompress(tiny_archive()[0]["t10k-images-idx3-ubyte"])
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(20, 1, 28, 28) / 255
    np.testing.assert_allclose((made.test.x * made.std + made.mean).numpy(), pixels, atol=1e-6)


def test_fashion_missing_says_what_where_and_how(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "data"))
    (lay_out(tmp_path / "data") / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        load_tiny()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("t10k-labels-idx1-ubyte.gz is missing", str(tmp_path / "data"), str(own_cache), "apt-get download"):
        assert part in message
    assert 'eecore.data.fetch("fashion_mnist")' in message


@pytest.mark.parametrize("damage", ["flipped", "truncated", "not gzip"])
def test_fashion_damaged_names_the_file(damage: str, own_cache: Path) -> None:
    path = lay_out(own_cache / "fashion_mnist") / "train-images-idx3-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    broken = {
        "flipped": gzip.compress(content[:-1] + bytes([content[-1] ^ 1])),
        "truncated": path.read_bytes()[:500],
        "not gzip": b"<html>",
    }
    path.write_bytes(broken[damage])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz (is damaged|cannot be read)"):
        load_tiny()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x80\x04\x95\x00", "not an IDX file"),  # a pickle
        (idx(np.zeros((2, 3), np.uint8))[:-1], r"promises \(2, 3\)"),
        (bytes([0, 0, 8, 3, 0, 0]), "damaged"),
    ],
)
def test_idx_reader_refuses(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files.parse_idx("some file", content)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Address of a local server that holds the tiny archive."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(lay_out(tmp_path / "mirror")))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_fetch_downloads_repairs_and_keeps(own_cache: Path, tmp_path: Path, mirror: str) -> None:
    sums = tiny_archive()[1]
    folder = data.fetch("fashion_mnist", base_url=mirror, sums=sums)
    assert folder == own_cache / "fashion_mnist"
    assert len(load_tiny().train) == 50
    kept = folder / "t10k-labels-idx1-ubyte.gz"
    stamp = kept.stat().st_mtime_ns
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    data.fetch("fashion_mnist", base_url=mirror + "/", sums=sums)
    assert kept.stat().st_mtime_ns == stamp
    assert len(load_tiny().train) == 50


def test_fetch_refuses_what_is_not_the_archive(own_cache: Path, tmp_path: Path, mirror: str) -> None:
    (tmp_path / "mirror" / "train-images-idx3-ubyte.gz").write_bytes(b"another file")
    with pytest.raises(DataError, match="SHA256") as caught:
        data.fetch("fashion_mnist", base_url=mirror, sums=tiny_archive()[1])
    assert "\n" not in str(caught.value)
    assert not list((own_cache / "fashion_mnist").glob("*.gz"))
    with pytest.raises(DataError, match="404"):
        data.fetch("fashion_mnist", base_url=mirror + "/elsewhere", sums=tiny_archive()[1])


# ---- synthetic


@pytest.mark.parametrize("distance", [1.0, 2.5])
def test_the_best_classifier_reaches_the_closed_form(distance: float) -> None:
    size = 20_000
    made = data.make_synthetic(test=size, distance=distance, seed=11)
    x = (made.test.x * made.std.view(1, -1, 1, 1) + made.mean.view(1, -1, 1, 1)).flatten(1).double().numpy()
    means = data.synthetic.class_means(distance)
    right = (x @ means.T).argmax(1) == made.test.y.numpy()
    expected = data.bayes_accuracy(distance, 4)
    assert abs(right.mean() - expected) < 3 * np.sqrt(expected * (1 - expected) / size)
    posterior = made.test.factors["posterior"]
    assert right[posterior > 0.5].all()


def test_class_means_are_orthogonal_and_of_one_norm() -> None:
    means = data.synthetic.class_means(3.0)
    np.testing.assert_allclose(means @ means.T, 9 * np.eye(4), atol=1e-12)


def test_bayes_accuracy_by_hand() -> None:
    assert data.bayes_accuracy(0.0, 10) == pytest.approx(0.1)
    assert data.bayes_accuracy(2.0, 2) == pytest.approx(0.921350396474857)  # Phi(2 / sqrt 2)
    assert data.bayes_accuracy(30.0, 4) == pytest.approx(1.0)
    for distance, classes in ((-1.0, 4), (float("nan"), 4), (1.0, 1)):
        with pytest.raises(SettingError, match="distance must be"):
            data.bayes_accuracy(distance, classes)


def test_synthetic_texts_name_their_class_and_no_more() -> None:
    made = data.synthetic_text.make_synthetic_text(size=4000, wrong=0.2, seed=3)
    x, y = made.train.x.numpy(), made.train.y.numpy()
    names = (x >= 3) & (x < 7)
    assert (names.sum(axis=1) == 1).all()
    named = x[names] - 3
    assert (named == y).mean() == pytest.approx(0.8, abs=0.02)  # the best classifier reads the name
    ends = (x == 2).argmax(axis=1)
    assert all((row[end + 1 :] == 0).all() and (row[:end] > 2).all() for row, end in zip(x, ends, strict=True))
    assert abs(np.corrcoef(names.argmax(axis=1) / ends, y)[0, 1]) < 0.05  # where it stands says nothing
    for bad in ({"size": 3}, {"wrong": 0.8}):
        with pytest.raises(SettingError, match=f"^{next(iter(bad))}: "):
            data.synthetic_text.make_synthetic_text(**bad)


def test_make_synthetic_is_seeded_and_checks_its_arguments() -> None:
    assert data.make_synthetic().fingerprint == data.load("synthetic").fingerprint
    assert data.make_synthetic(seed=1).fingerprint != data.load("synthetic").fingerprint
    with pytest.raises(SettingError, match="train: at least 4"):
        data.make_synthetic(train=3)
    with pytest.raises(SettingError, match="distance: must be above 0"):
        data.make_synthetic(distance=0.0)
