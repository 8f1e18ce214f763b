"""Data that nobody prepared, to try things on: a folder of pictures in class folders, and a table of sentences.

Made from nothing, always the same. `write_images` gives what images:DIR reads, `write_sentences` what text:FILE reads.
"""

import csv
import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from eecore.data.files import cache_folder, write_atomically
from eecore.errors import DataError, SettingError

SIDE = 96  # pixels
CORNERS = {"triangle": 3, "square": 4, "octagon": 8}
NOISE = 15.0  # standard deviation of each pixel's noise, of 255

WHO = ("my neighbour", "the teacher", "an old friend", "our guide", "the student", "a stranger", "her brother")
WHEN = ("yesterday", "this morning", "after lunch", "on Sunday", "late at night", "in winter", "again")
TOPICS = {  # verbs and things
    "kitchen": (
        ("cooked", "tasted", "burnt", "served"),
        ("the soup", "a cake", "some rice", "the bread", "an omelette"),
    ),
    "music": (
        ("played", "sang", "recorded", "practised"),
        ("a waltz", "the anthem", "some jazz", "a duet", "the chorus"),
    ),
    "garden": (("watered", "planted", "cut", "raked"), ("the roses", "a hedge", "some leaves", "the lawn", "a tulip")),
}


def write_images(count: int = 80) -> Path:
    """A folder of JPEGs, 96 pixels wide and high, one folder for each of three classes: polygons on a noisy ground.

    Args:
        count: pictures of each class, at least 10.
    Returns:
        The folder, below the cache folder. One that is there already is left as it is.
    Raises:
        SettingError: `count` is too small.
        DataError: the folder cannot be written.
    """
    _check(count)
    folder = cache_folder() / "examples" / str(count) / "polygons"
    if folder.is_dir():
        return folder
    random = np.random.RandomState(0)  # its stream is frozen
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            whole = Path(place, folder.name)
            for label, corners in CORNERS.items():
                (whole / label).mkdir(parents=True)
                for i in range(count):
                    _polygon(corners, random).save(whole / label / f"{i:03}.jpg", quality=90)
            shutil.move(whole, folder)
    except OSError as problem:
        raise DataError(f"{folder} cannot be written: {problem.strerror or problem}") from problem
    return folder


def write_sentences(count: int = 80) -> Path:
    """A CSV file with the columns text and label: sentences about three things.

    Each sentence has two parts, of two classes; its label is that of the second part. So the words alone do not tell.

    Args:
        count: sentences of each class, at least 10.
    Returns:
        The file, below the cache folder.
    Raises:
        SettingError: `count` is too small.
        DataError: the file cannot be written.
    """
    _check(count)
    path = cache_folder() / "examples" / str(count) / "sentences.csv"
    random = np.random.RandomState(0)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(("text", "label"))
    for _ in range(count):
        for label in TOPICS:
            table.writerow((_sentence(label, random), label))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, written.getvalue().encode())
    except OSError as problem:
        raise DataError(f"{path} cannot be written: {problem.strerror or problem}") from problem
    return path


def _check(count: int) -> None:
    if count < 10:
        raise SettingError(f"count: expected at least 10 of each class, so that every split has some, got {count}")


def _polygon(corners: int, random: np.random.RandomState) -> Image.Image:
    """A filled polygon of any place, size, angle and colour."""
    ground, ink = random.randint(0, 110, 3), random.randint(130, 256, 3)
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(level) for level in ground))
    radius = random.uniform(22, 40)
    x, y = random.uniform(radius, SIDE - radius, 2)
    angle = random.uniform(0, 360)
    ImageDraw.Draw(image).regular_polygon(
        (x, y, radius), corners, rotation=angle, fill=tuple(int(level) for level in ink)
    )
    noisy = np.asarray(image) + NOISE * random.standard_normal((SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _sentence(label: str, random: np.random.RandomState) -> str:
    """Who did what when, and then something of class `label`."""
    first = random.choice([topic for topic in TOPICS if topic != label])
    parts = [
        f"{random.choice(WHO)} {random.choice(TOPICS[t][0])} {random.choice(TOPICS[t][1])}" for t in (first, label)
    ]
    return f"{parts[0]} {random.choice(WHEN)}, but {parts[1]}"
