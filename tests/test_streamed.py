"""Folders that do not fit in memory: pictures stay on disk, and training on them is training on the same pictures."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eecore import data, models
from eecore.data import Pixels, own, raw, registry, streamed
from eecore.errors import DataError
from eecore.training import Phase, Recipe
from eecore.training.loop import epoch_batches, split_logits, train_phase
from eecore.training.parallel import train_phase as train_on_processes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 60 pictures, bright and dark, and a cache of their own."""
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    for cache in (registry._load, registry._info_of_own):
        cache.cache_clear()
    monkeypatch.setattr(registry, "_labels", {})
    rng = np.random.default_rng(0)
    for label, middle in (("bright", 150), ("dark", 100)):
        (tmp_path / "own" / label).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(middle - 60, middle + 60, (20, 26, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / label / f"{i:03}.png")
    return tmp_path / "own"


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: str) -> data.Dataset:
    monkeypatch.setenv(own.MEMORY, gigabytes)
    for cache in (registry._load, registry._info_of_own):
        cache.cache_clear()
    return data.load(f"images:{folder}?size=16")


@pytest.fixture
def both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[data.Dataset, data.Dataset]:
    """The same folder in memory and on disk."""
    return loaded(folder, monkeypatch, "1"), loaded(folder, monkeypatch, "1e-6")


def stored(folder: Path) -> Path:
    return next((folder.parent / "cache").glob("pictures-*.u8"))


def test_what_is_too_large_stays_on_disk_and_is_the_same(both) -> None:
    kept, streamed = both
    assert isinstance(kept.train.x, torch.Tensor)
    for part in ("train", "validation", "test"):
        a, b = getattr(kept, part), getattr(streamed, part)
        assert isinstance(b.x, Pixels)
        assert b.x.shape == tuple(a.x.shape)
        assert b.x.dtype == torch.float32
        assert torch.equal(b.x[:], a.x)
        assert torch.equal(b.y, a.y)
        assert torch.equal(torch.cat(list(b.x.split(7))), a.x)
        index = torch.tensor([3, 0, 3])
        assert torch.equal(b.x[index], a.x[index])
    assert torch.equal(streamed.mean, kept.mean)
    assert torch.equal(streamed.std, kept.std)
    assert "stay on disk" in streamed.info.note
    assert "stay on disk" not in kept.info.note


@pytest.mark.parametrize(
    ("trains", "settings"),
    [
        ("all", {"augment": "crop_flip", "channels_last": True}),
        ("heads", {"augment": "none"}),
        ("heads", {"augment": "trivial"}),
        ("backbone", {"augment": "none", "mixup": 0.3}),
    ],
)
def test_training_on_pictures_on_disk_is_bit_identical(both, trains: str, settings: dict) -> None:
    ends = []
    for dataset in both:
        model = models.build("resnet_nano", kind="image", shape=(3, 16, 16), classes=2)
        recipe = Recipe(batch_size=16, **settings)
        done = train_phase(model, dataset, Phase(trains, 2), recipe, augmentation=recipe.augment, seed=3)
        ends.append((done.history[-1]["train_loss"], split_logits(model, dataset.test)))
    assert ends[0][0] == ends[1][0]
    assert torch.equal(ends[0][1], ends[1][1])


def test_batches_are_read_before_they_are_asked_for(both, monkeypatch: pytest.MonkeyPatch) -> None:
    x, asked = both[1].train.x, []
    read = Pixels._read
    monkeypatch.setattr(Pixels, "_read", lambda self, rows: asked.append(len(rows)) or read(self, rows))
    batches = list(epoch_batches(len(x), 4, torch.Generator().manual_seed(0)))
    assert len(batches) > streamed.AHEAD
    for i, batch in enumerate(x.ahead(iter(batches))):
        assert torch.equal(x[batch], both[0].train.x[batch])
        assert len(asked) <= i + streamed.AHEAD
    assert len(asked) == len(batches), "no batch is read twice"
    assert torch.equal(x[batches[0]], both[0].train.x[batches[0]])


def test_a_loop_that_is_left_early_leaves_nothing_waiting(both) -> None:
    x = both[1].train.x
    batches = list(epoch_batches(len(x), 4, torch.Generator().manual_seed(0)))
    reading = x.ahead(iter(batches))
    first = next(reading)
    reading.close()
    assert x._waiting is None
    assert torch.equal(x[first], both[0].train.x[first])


def test_pictures_are_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loaded(folder, monkeypatch, "1e-6")
    monkeypatch.setattr(raw, "square", lambda *_: pytest.fail("decoded again"))
    assert loaded(folder, monkeypatch, "1e-6").fingerprint == first.fingerprint


@pytest.mark.parametrize("harm", ["remove", "cut"])
def test_a_stored_file_that_is_gone_or_cut_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    before = loaded(folder, monkeypatch, "1e-6").train.x[:]
    path = stored(folder)
    if harm == "remove":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size - 5)
    assert torch.equal(loaded(folder, monkeypatch, "1e-6").train.x[:], before)


def test_a_flipped_bit_is_noticed_when_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = loaded(folder, monkeypatch, "1e-6")
    path = stored(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pictures-.*\.u8 is damaged at picture 61: remove it") as caught:
        [x for split in (dataset.train, dataset.validation, dataset.test) for x in split.x.split(50)]
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"its pictures cannot be stored in .*No space left") as caught:
        loaded(folder, monkeypatch, "1e-6")
    assert "\n" not in str(caught.value)
    assert not list((folder.parent / "cache").glob("*.part"))


def test_a_damaged_picture_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dark" / "007.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"1 of 120 images cannot be opened, the first is .*007\.png"):
        loaded(folder, monkeypatch, "1e-6")


def test_two_processes_train_on_pictures_on_disk(both) -> None:
    streamed_set = both[1]
    assert len(pickle.dumps(streamed_set)) < 40_000, "not the pictures"
    ends = []
    for processes in (1, 2):
        model = models.build("resnet_nano", kind="image", shape=(3, 16, 16), classes=2)
        train_on_processes(model, streamed_set, Phase("all", 1), Recipe(batch_size=16), seed=0, processes=processes)
        ends.append(split_logits(model, streamed_set.test).float())
    torch.testing.assert_close(ends[0], ends[1], atol=2e-2, rtol=0)
