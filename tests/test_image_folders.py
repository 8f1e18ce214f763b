"""Folders as people have them: names of splits, what is no class, what is left out, 16 bits, transparency, changes."""

import io
import os
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from eecore import data
from eecore.data import raw, registry
from eecore.data.facts import facts
from eecore.data.image_folder import _split_of
from eecore.errors import DataError, EecoreError
from eecore.training import Run, Store, chain, train

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_labels", {})


def picture(path, colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (8, 8, 3)) if colour is None else np.full((8, 8, 3), colour)
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)


def classes(folder, *names, count=6):
    for name in names:
        for i in range(count):
            picture(folder / name / f"{i}.png")


def load(folder, more=""):
    return data.load(f"images:{folder}{more}")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", None, "Test"),
        ("training_set", None, "test_set"),
        ("TRAIN", "Val", "TEST"),
        ("trainset", "dev", "testset"),
    ],
)
def test_split_folders_are_known_in_any_spelling(tmp_path, train, validation, test):
    folder = tmp_path / "pets"
    for part in filter(None, (train, validation, test)):
        classes(folder / part, "cat", "dog", "fox")
    found = load(folder)
    assert found.info.class_names == ("cat", "dog", "fox")
    assert len(found.test) == 18


def test_words_that_are_no_splits_are_classes(tmp_path):
    assert [_split_of(name) for name in ("trains", "Testarossa", "train car", "set")] == ["", "", "", ""]
    classes(tmp_path / "pets", "trains", "cars")
    assert load(tmp_path / "pets").info.class_names == ("cars", "trains")


def test_splits_without_train_are_refused(tmp_path):
    for part in ("val", "test"):
        classes(tmp_path / "pets" / part, "cat", "dog")
    with pytest.raises(DataError, match="of the folders test, val none is called train"):
        load(tmp_path / "pets")


@pytest.mark.parametrize("above", [("fold1", "fold2"), ("cat", "dog")])
def test_folders_that_hold_folders_of_the_same_names_are_no_classes(tmp_path, above):
    inner = ("cat", "dog") if above[0] == "fold1" else ("train", "test")
    for name in above:
        classes(tmp_path / "pets" / name, *inner)
    with pytest.raises(
        DataError,
        match=f"folders {above[0]} and {above[1]} would be classes, but both hold {', '.join(sorted(inner))}",
    ):
        load(tmp_path / "pets")


def test_one_folder_too_many_names_the_one_inside(tmp_path):
    classes(tmp_path / "pets" / "images", "cat", "dog")
    with pytest.raises(DataError, match=r"holds one folder; its classes may be those of images:.*/pets/images"):
        load(tmp_path / "pets")


def test_a_class_in_another_case_says_so(tmp_path):
    classes(tmp_path / "pets" / "train", "Cat", "Dog")
    classes(tmp_path / "pets" / "test", "cat", "Dog")
    with pytest.raises(DataError, match="class 'cat' of test is not in train, where there is 'Cat': name them alike"):
        load(tmp_path / "pets")


def test_numbers_are_classes_in_their_order(tmp_path):
    classes(tmp_path / "pets", *map(str, range(12)), count=4)
    found = load(tmp_path / "pets")
    assert found.info.class_names == tuple(map(str, range(12)))
    picture(tmp_path / "pets" / "2" / "red.png", (255, 0, 0))
    time.sleep(0.3)
    again = load(tmp_path / "pets")
    red = [part.y[i] for part in (again.train, again.validation, again.test) for i in range(len(part))
           if torch.allclose(part.x[i, 1] * again.std[1] + again.mean[1], torch.tensor(0.0), atol=1e-5)]  # fmt: skip
    assert [int(y) for y in red] == [2]


def test_what_is_left_out_is_counted(tmp_path):
    folder = tmp_path / "pets"
    classes(folder, "cat", "dog")
    (folder / "cat" / "a.heic").write_bytes(b"x")
    (folder / "cat" / "b.HEIC").write_bytes(b"x")
    (folder / "dog" / "notes.txt").write_text("x")
    (folder / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    picture(folder / "beside.png")
    said = facts(load(folder))["left out"]
    others = ["1 file that ends in .txt", "1 link to what is not there", "1 picture beside the class folders"]
    assert sorted(said.split("; ")) == sorted(["2 files that end in .heic", *others])


def test_a_class_of_what_cannot_be_read_names_the_endings(tmp_path):
    classes(tmp_path / "pets", "cat")
    (tmp_path / "pets" / "dog").mkdir()
    (tmp_path / "pets" / "dog" / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"class 'dog' has no images in .*, only 1 file that ends in .heic"):
        load(tmp_path / "pets")


def test_every_ending_that_pillow_reads_counts_and_links_are_followed(tmp_path):
    folder = tmp_path / "pets"
    classes(folder, "cat", "dog")
    for end in ("jfif", "jpe", "avif", "jp2", "tga"):
        buffer = io.BytesIO()
        form = {"jfif": "JPEG", "jpe": "JPEG", "avif": "AVIF", "jp2": "JPEG2000", "tga": "TGA"}[end]
        Image.fromarray(RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(buffer, form)
        (folder / "cat" / f"a.{end}").write_bytes(buffer.getvalue())
    classes(tmp_path / "elsewhere", "more", count=3)
    (folder / "dog" / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    (folder / "dog" / "round").symlink_to(folder / "dog")
    found = load(folder)
    assert sum(map(len, (found.train, found.validation, found.test))) == 12 + 5 + 3


def test_twelve_bits_of_grey_in_sixteen_keep_256_levels(tmp_path):
    for name, low in (("dark", 0), ("light", 2048)):
        for i in range(6):
            pixels = (low + np.arange(64).reshape(8, 8) * 30 + 16 * i).astype(np.uint16)
            (tmp_path / "scans" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "scans" / name / f"{i}.png")
    found = load(tmp_path / "scans", "?size=8")
    assert found.preparation["bits"] == 12
    levels = (found.train.x * found.std.view(1, 3, 1, 1) + found.mean.view(1, 3, 1, 1)).mul(255).round().unique()
    assert len(levels) > 100  # of sixteen bits read as they are, 16 would be left
    one = tmp_path / "scans" / "light" / "0.png"
    row = raw.prepare(one, {"preparation": found.preparation, "shape": (3, 8, 8), "dtype": "float32"}).x
    assert any(torch.equal(torch.from_numpy(row[0]), x) for part in (found.train, found.validation, found.test)
               for x in part.x)  # fmt: skip


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_nobody_sees_lies_on_white(tmp_path, mode):
    hidden = Image.fromarray(RNG.integers(0, 256, (8, 8, 4)).astype(np.uint8), "RGBA")
    hidden.putalpha(0)
    if mode == "P":
        plain = hidden.convert("RGB").quantize(8)
        plain.info["transparency"] = bytes(8)
        plain.save(tmp_path / "a.png", transparency=bytes(8))
    else:
        hidden.convert(mode).save(tmp_path / "a.png")
    assert (raw.square(tmp_path / "a.png", 8) == 255).all()


def test_pictures_that_change_are_read_again_in_one_process(tmp_path):
    classes(tmp_path / "pets", "cat", "dog")
    before, run = load(tmp_path / "pets"), Run(dataset=f"images:{tmp_path / 'pets'}", model="mlp_nano", regime="joint")
    assert load(tmp_path / "pets") is before
    picture(tmp_path / "pets" / "cat" / "0.png")
    os.utime(tmp_path / "pets" / "cat" / "0.png", (1, 1))
    classes(tmp_path / "pets", "fox")
    time.sleep(0.5)
    after = load(tmp_path / "pets")
    assert after.fingerprint != before.fingerprint
    assert after.classes == 3
    assert run.replace(seed=1).outputs == 3


def test_a_table_that_changes_is_read_again_in_one_process(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"word{i} here,{'yes' if i % 2 else 'no'}" for i in range(20)]
    path.write_text("text,label\n" + "\n".join(rows))
    before = data.load(f"text:{path}")
    assert data.load(f"text:{path}") is before
    path.write_text("text,label\n" + "\n".join([*rows, "other words,maybe", "more words,maybe", "still words,maybe"]))
    assert data.load(f"text:{path}").info.class_names == ("maybe", "no", "yes")


def test_one_folder_in_each_class_is_no_ambiguity(tmp_path):
    for name in ("cat", "dog"):
        for i in range(6):
            picture(tmp_path / "pets" / name / "images" / f"{i}.png")
    assert load(tmp_path / "pets").info.class_names == ("cat", "dog")


def test_classes_that_differ_in_case_alone_are_refused(tmp_path):
    classes(tmp_path / "pets", "Cat", "cat")
    with pytest.raises(DataError, match="folders Cat and cat differ in case alone"):
        load(tmp_path / "pets")


def test_a_link_to_a_folder_around_it_brings_no_other_class(tmp_path):
    classes(tmp_path / "pets", "cat", "dog")
    (tmp_path / "pets" / "cat" / "all").symlink_to(tmp_path / "pets")
    os.mkfifo(tmp_path / "pets" / "dog" / "pipe.png")
    found = load(tmp_path / "pets")
    assert sum(map(len, (found.train, found.validation, found.test))) == 12
    said = facts(found)["left out"]
    assert "1 link to a folder around it" in said
    assert "1 pipe or the like" in said


def test_a_linked_folder_that_changes_is_noticed(tmp_path):
    classes(tmp_path / "far", "more")
    classes(tmp_path / "pets", "dog")
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "far" / "more")
    before = load(tmp_path / "pets").fingerprint
    picture(tmp_path / "far" / "more" / "0.png")
    assert load(tmp_path / "pets").fingerprint != before


def test_twelve_bits_in_a_pgm(tmp_path):
    pixels = (np.arange(64).reshape(8, 8) * 64).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 4095\n" + pixels.tobytes())
    assert len(np.unique(raw.square(tmp_path / "a.pgm", 8, bits=16))) > 12


def test_data_that_change_while_a_run_trains_stop_it(tmp_path, monkeypatch):
    classes(tmp_path / "pets", "cat", "dog")
    run = Run(dataset=f"images:{tmp_path / 'pets'}?size=8", model="mlp_nano", regime="mixed", epochs=1)
    real = chain.train_phase

    def changing(*args, **named):
        picture(tmp_path / "pets" / "cat" / "0.png")
        return real(*args, **named)

    monkeypatch.setattr(chain, "train_phase", changing)
    with pytest.raises(EecoreError, match="changed"):
        train(run, Store(tmp_path / "store"), progress=False)


def png_of_16_bits_a_colour(values):
    """Pillow reads such files and writes none."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_frames_and_bits_that_are_not_read_are_said(tmp_path):
    for label in ("a", "b"):
        for i in range(12):
            picture(tmp_path / label / f"{i}.png")
        for i, end in enumerate(("gif", "tif", "webp")):
            frames = [Image.fromarray(RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)) for _ in range(2)]
            frames[0].save(tmp_path / label / f"m{i}.{end}", save_all=True, append_images=frames[1:])
    (tmp_path / "a" / "deep.png").write_bytes(png_of_16_bits_a_colour(RNG.integers(0, 4096, (8, 8, 3))))
    found = data.load(f"images:{tmp_path}?size=8").left_out
    assert "6 pictures of several frames or pages, of which the first is read" in found
    assert "1 picture of 16 bits a colour, of which the first 8 are read" in found


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    for label in ("train", "bus", "test"):
        classes(tmp_path / "rides", label)
    assert data.info(f"images:{tmp_path / 'rides'}?size=8").class_names == ("bus", "test", "train")


def test_a_test_folder_of_the_classes_beside_it_is_an_error(tmp_path):
    classes(tmp_path / "pets", "cat", "dog")
    classes(tmp_path / "pets" / "test", "cat", "dog")
    with pytest.raises(DataError, match="test may be a class or a split: it holds cat, dog"):
        data.info(f"images:{tmp_path / 'pets'}?size=8")
