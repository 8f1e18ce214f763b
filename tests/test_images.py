"""CIFAR and Tiny ImageNet in their layouts, on small files of the same form; image files of any size and mode.

Axes: N samples.
"""

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eecore import data
from eecore.data import archives, cifar, pictures, registry, tiny_imagenet
from eecore.data.cifar import CIFAR10, CIFAR100, Layout
from eecore.data.dataset import Info, Split, assemble
from eecore.data.files import sha256
from eecore.data.moments import channel_moments, normalise
from eecore.errors import DataError

TINY_CIFAR = {"cifar10": (CIFAR10, 5, 20), "cifar100": (CIFAR100, 1, 500)}  # layout, training files, records a file


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a cache of this test's own."""
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


# ---- pixels as bytes


def test_bytes_are_normalised_as_their_fractions_are() -> None:
    """Slow twin: the float32 path, on pixels / 255."""
    x = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (40, 3, 4, 5)).astype(np.uint8))
    x[:, 1] //= 3
    info = Info("toy", "Toy", "image", (3, 4, 5), classes=2, source="", licence="", citation="")
    mean, std, constant = channel_moments(info.name, info.kind, x)
    assert constant == ()
    fractions = x.double() / 255
    torch.testing.assert_close(mean.double(), fractions.mean(dim=(0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(std.double(), fractions.std(dim=(0, 2, 3), correction=0), rtol=1e-6, atol=0)
    torch.testing.assert_close(normalise(x, mean, std), normalise(fractions.float(), mean, std), rtol=0, atol=2e-6)
    splits = [Split(part, torch.arange(len(part)) % 2) for part in (x[:20], x[20:30], x[30:])]
    made = assemble(info, train=splits[0], validation=splits[1], test=splits[2], origin="a copy")
    assert (made.origin, made.test.x.dtype, x.dtype) == ("a copy", torch.float32, torch.uint8)
    empty = x * torch.tensor([1, 0, 1], dtype=torch.uint8).view(1, 3, 1, 1)
    mean, std, constant = channel_moments(info.name, info.kind, empty)
    assert (float(mean[1]), float(std[1]), constant) == (0.0, 1.0, (1,))
    with pytest.raises(DataError, match="all channels are constant"):
        channel_moments(info.name, info.kind, x * 0 + 7)


# ---- CIFAR


def tiny_cifar(name: str, folder: Path) -> tuple[Layout, np.ndarray, np.ndarray]:
    """Files of the published form: random pixels, training classes in turn; returns pixels and classes too."""
    published, files, size = TINY_CIFAR[name]
    layout = replace(published, samples=(files * size, 100), copies={})
    stream, classes = np.random.RandomState(1), layout.info.classes
    place = folder / layout.archive.folder
    place.mkdir(parents=True)
    pixels, labels = [], []
    for file in (*layout.train, layout.test):
        count = 100 if file == layout.test else size
        y = np.arange(count) % classes
        x = stream.randint(0, 256, (count, 3, 32, 32)).astype(np.uint8)
        coarse = [(99 - y)[:, None]] if layout.label else []
        (place / file).write_bytes(np.hstack([*coarse, y[:, None], x.reshape(count, -1)]).astype(np.uint8).tobytes())
        pixels.append(x)
        labels.append(y)
    x = np.concatenate(pixels)
    fractions = x[: files * size].astype(np.float64) / 255
    layout = replace(layout, moments=(tuple(fractions.mean((0, 2, 3))), tuple(fractions.std((0, 2, 3)))))
    return layout, x, np.concatenate(labels)


@pytest.mark.parametrize("name", TINY_CIFAR)
def test_cifar_holds_the_pixels_and_classes_of_its_records(name: str, folders: Path) -> None:
    layout, x, y = tiny_cifar(name, folders)
    made = cifar.make_cifar(layout)
    pool, size = layout.samples[0], layout.samples[0] // 10
    train, validation = data.stratified(y[:pool], (pool - size, size))
    assert made.origin == ""
    for split, index in ((made.train, train), (made.validation, validation), (made.test, np.arange(pool, len(y)))):
        raw = split.x * made.std.view(1, 3, 1, 1) + made.mean.view(1, 3, 1, 1)
        np.testing.assert_allclose(raw.numpy() * 255, x[index], atol=1e-3)
        assert np.array_equal(split.y.numpy(), y[index])


def test_a_known_copy_says_what_it_is(folders: Path) -> None:
    layout, _, _ = tiny_cifar("cifar100", folders)
    place = folders / layout.archive.folder
    sums = tuple(sha256((place / file).read_bytes()) for file in (*layout.train, layout.test))
    moments = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    made = cifar.make_cifar(replace(layout, moments=moments, copies={"went through JPEG": sums}))
    assert made.origin == "went through JPEG"
    assert made.fingerprint == cifar.make_cifar(layout).fingerprint


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3074])


def _other_class(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1] = 100
    path.write_bytes(content)


def _repaint(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2:1026] = bytes(1024)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "are not whole records of 3074"),
        (_other_class, r"a class is 100, expected 0\.\.99"),
        (_repaint, "damaged, or neither the published ones nor a known copy"),
        (Path.unlink, "cannot be read: No such file"),
        (lambda path: path.write_bytes(b""), "0 bytes are not whole records"),
    ],
)
def test_damaged_cifar_is_not_used(damage, message: str, folders: Path) -> None:
    layout, _, _ = tiny_cifar("cifar100", folders)
    damage(folders / layout.archive.folder / "train.bin")
    with pytest.raises(DataError, match=message) as caught:
        cifar.make_cifar(layout)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("cifar100: ")


def test_cifar_with_images_left_out_is_refused(folders: Path) -> None:
    layout, _, _ = tiny_cifar("cifar100", folders)
    _shorten(folders / layout.archive.folder / "test.bin")
    with pytest.raises(DataError, match="holds 99 test images, expected 100"):
        cifar.make_cifar(layout)


def test_fetched_cifar_is_checked_file_by_file(folders: Path, tmp_path: Path) -> None:
    layout, _, _ = tiny_cifar("cifar100", tmp_path / "made")
    with tarfile.open(folders / layout.archive.file, "w:gz") as tar:
        tar.add(tmp_path / "made" / layout.archive.folder, layout.archive.folder)
    md5 = archives.file_digest(folders / layout.archive.file, "md5")
    archives.fetch_archive("cifar100", replace(layout.archive, md5=md5))
    unknown = replace(layout, moments=((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)))
    assert cifar.make_cifar(unknown).origin == ""  # the archive's checksum says what it is
    test = tmp_path / "cache" / layout.archive.folder / "test.bin"
    content = bytearray(test.read_bytes())
    content[-1] ^= 1
    test.write_bytes(content)
    with pytest.raises(DataError, match=r"test\.bin is damaged: not what was unpacked"):
        cifar.make_cifar(unknown)
    (test.parent / archives.SUMS).write_text("[")
    with pytest.raises(DataError, match=r"sha256\.json cannot be read"):
        cifar.make_cifar(unknown)


def test_missing_data_say_where_and_how(folders: Path) -> None:
    for name in ("cifar10", "cifar100", "tinyimagenet"):
        with pytest.raises(DataError, match=f"data fetch {name}, or unpack") as caught:
            registry.entry_of(name).make()
        assert str(folders) in str(caught.value)
        assert data.present(name) == []
        assert data.info(name).classes == {"cifar10": 10, "cifar100": 100, "tinyimagenet": 200}[name]


# ---- Tiny ImageNet


def tiny_tiny_imagenet(folder: Path, classes: int = 3) -> Path:
    """Its layout: `classes` of the four that wnids.txt lists, 20 training and 4 validation images each."""
    stream, place = np.random.RandomState(0), folder / "tiny-imagenet-200"
    names = ["n04", "n02", "n03", "n01"]
    (place / "val" / "images").mkdir(parents=True)
    (place / "wnids.txt").write_text("\n".join(names) + "\n")
    rows = []
    for k, label in enumerate(names):
        images = place / "train" / label / "images"
        if k < classes:
            images.mkdir(parents=True)
        for i in range(24):
            path = images / f"{label}_{i}.JPEG" if i < 20 else place / "val" / "images" / f"val_{k}_{i}.JPEG"
            if i >= 20:
                rows.append(f"{path.name}\t{label}\t0\t0\t63\t63\n")
            elif k >= classes:
                continue
            shade = (40 * k + 60 + stream.randint(-20, 20, (64, 64, 3))).astype(np.uint8)
            (Image.fromarray(shade[..., 0]) if i == 3 else Image.fromarray(shade)).save(path, "JPEG")
    (place / "val" / "val_annotations.txt").write_text("".join(rows))
    return place


def test_tiny_imagenet_takes_the_classes_that_are_here(folders: Path) -> None:
    tiny_tiny_imagenet(folders)
    made, described = tiny_imagenet.make(), data.info("tinyimagenet")
    assert described == made.info
    assert (described.classes, described.title) == (3, "Tiny ImageNet, 3 of its 200 classes")
    assert [len(s) for s in (made.train, made.validation, made.test)] == [54, 6, 12]
    assert made.test.y.tolist() == [k for k in range(3) for _ in range(4)]
    raw = made.test.x * made.std.view(1, 3, 1, 1) + made.mean.view(1, 3, 1, 1)
    by_class = raw.mean(dim=(1, 2, 3)).view(3, 4).mean(dim=1)
    np.testing.assert_allclose(by_class * 255, [60, 100, 140], atol=3)


def test_damaged_tiny_imagenet_is_noticed(folders: Path) -> None:
    place = tiny_tiny_imagenet(folders)
    tiny_imagenet.check()
    image = place / "train" / "n02" / "images" / "n02_4.JPEG"
    times, content = image.stat(), image.read_bytes()
    sums = {str(p.relative_to(place)): sha256(p.read_bytes()) for p in place.rglob("*.JPEG")}
    image.write_bytes(b"\0" * len(content))
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))  # same name, size and time: only reading shows it
    tiny_imagenet.make()  # from the cache
    with pytest.raises(DataError, match=r"1 of 76 images cannot be opened, the first is .*n02_4\.JPEG \(no image"):
        data.verify("tinyimagenet")
    (place / archives.SUMS).write_text(json.dumps(sums))
    with pytest.raises(DataError, match=r"1 files in .* are damaged, the first is train/n02/images/n02_4\.JPEG"):
        data.verify("tinyimagenet")
    (place / "val" / "images" / "val_0_20.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_0_20\.JPEG is missing"):
        tiny_imagenet.make()
    (place / "val" / "val_annotations.txt").write_text("one word\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt cannot be read"):
        tiny_imagenet.make()
    (place / "wnids.txt").unlink()
    with pytest.raises(DataError, match=r"wnids\.txt cannot be read"):
        data.info("tinyimagenet")


# ---- pictures


def picture(tmp_path: Path, image: Image.Image, ending: str = "png", side: int = 8, **how: object) -> np.ndarray:
    path = tmp_path / f"one.{ending}"
    image.save(path, **how)
    return pictures.read_pictures("toy", [path], side)[0]


def test_a_picture_of_the_right_size_is_left_as_it_is(tmp_path: Path) -> None:
    x = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
    assert np.array_equal(picture(tmp_path, Image.fromarray(x)), x.transpose(2, 0, 1))


def test_modes_become_three_colours(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    for found in (
        picture(tmp_path, Image.fromarray(grey)),
        picture(tmp_path, Image.fromarray(grey).convert("LA")),
        picture(tmp_path, Image.fromarray(grey).convert("P")),
        picture(tmp_path, Image.fromarray(grey.astype(np.uint16) * 256 + 77)),  # 16 bits
    ):
        assert np.array_equal(found, np.stack([grey] * 3))
    red = np.zeros((8, 8, 4), np.uint8)
    red[..., 0], red[:4, :, 3] = 200, 255  # half of it transparent: white, whatever colour it has
    found = picture(tmp_path, Image.fromarray(red))
    assert found[:, 0, 0].tolist() == [200, 0, 0]
    assert found[:, 7, 7].tolist() == [255, 255, 255]
    assert picture(tmp_path, Image.fromarray(red)).min() == 0
    assert picture(tmp_path, Image.new("1", (8, 8), 1)).min() == 255
    assert picture(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpg")[0].min() > 200


def test_the_middle_square_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 100
    found = picture(tmp_path, Image.fromarray(wide))
    assert found[:, :, 1:-1].min() >= 99
    assert found.min() >= 90  # at the cut the filter sees a little of what is outside
    assert picture(tmp_path, Image.new("RGB", (3, 5), (9, 8, 7)))[:, 4, 4].tolist() == [9, 8, 7]


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    x = np.zeros((8, 8, 3), np.uint8)
    x[0] = 255  # the upper edge
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = picture(tmp_path, Image.fromarray(x), exif=exif)
    assert (found[:, 7].min(), found[:, 0].max()) == (255, 0)


def test_pictures_that_cannot_be_opened_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.effect_noise((64, 64), 40).save(good)
    bad = {
        "text.png": (b"no image", "no image in it"),
        "cut.png": (good.read_bytes()[:-3000], "truncated|broken"),
        "empty.png": (b"", "no image in it"),
    }
    for name, (content, reason) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"toy: 1 of 2 images .*{name} \(.*({reason})") as caught:
            pictures.read_pictures("toy", [good, tmp_path / name], 8)
        assert "\n" not in str(caught.value)
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match="its mode F has no fixed range"):
        pictures.read_pictures("toy", [tmp_path / "float.tiff"], 8)


def test_picture_files_are_found_at_any_depth_and_others_left_out(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jpeg", "deep/er/c.png", "notes.txt", ".hidden.png", ".thumbs/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(p.relative_to(tmp_path)) for p in pictures.picture_files(tmp_path)] == [
        "a.jpeg",
        "b.JPG",
        "deep/er/c.png",
    ]


def test_cached_pictures_are_read_once_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)
    read, times = pictures.read_pictures, []
    monkeypatch.setattr(pictures, "read_pictures", lambda *given: times.append(1) or read(*given))
    first = pictures.cached_pictures("toy", [path], 8)
    assert np.array_equal(pictures.cached_pictures("toy", [path], 8), first)
    assert len(times) == 1
    Image.new("RGB", (8, 8), (200, 100, 50)).save(path)
    assert pictures.cached_pictures("toy", [path], 8)[0, 0, 0, 0] == 200
    assert pictures.cached_pictures("toy", [path], 16).shape == (1, 3, 16, 16)
    assert len(times) == 3


def test_classes_have_the_names_that_the_files_say(monkeypatch, tmp_path):
    layout, _, _ = tiny_cifar("cifar100", tmp_path)
    monkeypatch.setenv("EECORE_DATA", str(tmp_path))
    names = [f"thing_{i}" for i in range(100)]
    file = tmp_path / layout.archive.folder / "fine_label_names.txt"
    file.write_text("\n".join(names) + "\n\n")
    assert data.info("cifar100").labels == tuple(names)
    file.write_text("\n".join(names[:-1]))
    with pytest.raises(DataError, match="expected 100 different names of classes, got 99"):
        data.info("cifar100")
    place = tiny_tiny_imagenet(tmp_path)
    assert data.info("tinyimagenet").labels == ("n04", "n02", "n03")
    (place / "words.txt").write_text("n02\tcrane, bird\nn03\tcrane\nn04\tgoldfish, Carassius auratus\n")
    assert data.info("tinyimagenet").labels == ("goldfish", "crane (n02)", "crane (n03)")
