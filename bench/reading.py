"""Pictures that stay on disk beside the same pictures in memory: an epoch of training, and how fast they are read."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.measure import Row, in_turn, ratios, row
from eecore import models
from eecore.data import Dataset, image_folder, own
from eecore.training import Phase, Recipe
from eecore.training.loop import epoch_batches, train_phase

NO_MEMORY = "1e-9"  # GB: everything stays on disk


def from_disk(repeats: int = 5, samples: int = 2000, side: int = 64, name: str = "resnet14") -> list[Row]:
    """How many times as long an epoch takes where pictures stay on disk, and how many of them can be read a second."""
    with tempfile.TemporaryDirectory() as folder, _environment(EECORE_CACHE=f"{folder}/cache"):
        place = own.parse(f"images:{_pictures(Path(folder) / 'pictures', samples)}?size={side}", "", ("size",))
        kept = image_folder.make(place)
        with _environment(EECORE_MEMORY_GB=NO_MEMORY):
            began = time.perf_counter()
            streamed = image_folder.make(place)
            decoding = samples / (time.perf_counter() - began)
        took = in_turn({"disk": lambda: _epoch(streamed, name), "memory": lambda: _epoch(kept, name)}, repeats)
        reading = [_read(streamed) for _ in range(repeats)]
    pictures = f"{samples} pictures of {side} x {side}"
    return [
        row(
            f"stream, epoch of {name} on {pictures}", ratios(took["disk"], took["memory"]), "x", "in memory", "<= 1.05"
        ),
        row(f"stream, reading batches of {pictures}", reading, "pictures/s", "from the file, normalised"),
        row(f"stream, decoding {pictures}", [decoding], "pictures/s", "once, into the file"),
    ]


def _epoch(dataset: Dataset, name: str) -> float:
    model = models.build(name, kind="image", shape=dataset.shape, classes=dataset.classes)
    recipe = Recipe(batch_size=min(64, len(dataset.train)), channels_last=True, augment="crop_flip")
    done = train_phase(model, dataset, Phase("all", 1), recipe, augmentation=recipe.augment, seed=0)
    return float(done.history[0]["seconds"])


def _read(dataset: Dataset) -> float:
    """Pictures a second."""
    x = dataset.train.x
    batches = epoch_batches(len(x), min(64, len(x)), torch.Generator().manual_seed(0))
    began = time.perf_counter()
    for batch in x.ahead(batches):  # type: ignore[attr-defined]
        x[batch]
    return len(x) / (time.perf_counter() - began)


def _pictures(folder: Path, samples: int) -> Path:
    """JPEGs of 96 x 96 pixels in two class folders."""
    rng = np.random.default_rng(0)
    for i in range(samples):
        place = folder / ("bright", "dark")[i % 2] / f"{i}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(100 - 60 * (i % 2), 220, (12, 12, 3), dtype=np.uint8))
        coarse.resize((96, 96), Image.Resampling.BICUBIC).save(place)
    return folder


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
