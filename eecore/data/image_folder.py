"""The user's own images: "images:DIR", a folder of class folders, with or without train, val and test above them.

    DIR/cat/1.jpg  DIR/dog/1.jpg               or    DIR/train/cat/1.jpg  DIR/val/cat/2.jpg  DIR/test/cat/3.jpg

Axes: N samples, S side in pixels.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eecore.data import preparation
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.division import check_classes, divide
from eecore.data.own import OwnName, fits_in_memory
from eecore.data.pictures import cached_pictures, picture_files, stored_pictures
from eecore.errors import DataError

SIDE = 32  # pixels, where no size is given
SIDES = (8, 1024)
SPLITS = {  # names of split folders
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

Classes = dict[str, list[Path]]  # files of each class


def describe(name: OwnName) -> Info:
    """The description, from the names of the files alone.

    Raises:
        DataError: the folder is missing, or has fewer than two classes or an empty one.
    """
    side = name.integer("size", SIDE, *SIDES)
    found = _scan(name)
    counts = {part: sum(map(len, classes.values())) for part, classes in found.items()}
    fits = _fits(found, side)
    splits = ", ".join(f"{count} {part}" for part, count in counts.items())
    return Info(
        name=name.label,
        title=f"Images in {name.path.name}",
        kind="image",
        shape=(3, side, side),
        classes=len(found["train"]),
        source=str(name.path),
        licence="its owner's",
        citation="",
        note=f"Class folders ({splits}); cut to the middle square and resized to {side} x {side}. A missing split is a "
        "stratified part of train; with val and no test, val is the test split."
        + ("" if fits else " They stay on disk: batches are read while the network is trained."),
        augment="crop_flip",
        class_names=tuple(found["train"]),
    )


def make(name: OwnName) -> Dataset:
    """The data set: pictures read once, then from the cache, in which they stay where they do not fit in memory.

    Raises:
        DataError: as `describe`, or a picture cannot be opened.
    """
    info, found = describe(name), _scan(name)
    classes = list(found["train"])
    side = info.shape[1]
    read = _in_memory if _fits(found, side) else stored_pictures
    parts = {part: _split(name, files, classes, side, read) for part, files in found.items()}
    train, validation, test = divide(name, parts["train"], parts.get("validation"), parts.get("test"))
    check_classes(name, train, classes)
    ready = preparation.of_pictures(side)
    return assemble(info, train=train, validation=validation, test=test, preparation=ready)


def _scan(name: OwnName) -> dict[str, Classes]:
    """Files by split and class; "train" alone where there are no split folders.

    Raises:
        DataError: the folder is missing, or its classes cannot be learnt.
    """
    if not name.path.is_dir():
        raise DataError(f"{name}: {name.path} is not a folder on this machine")
    top = _folders(name.path)
    named = {part: [top[n] for n in names if n in top] for part, names in SPLITS.items()}
    if not named["train"]:
        return {"train": _classes(name, name.path)}
    used = [folder for folders in named.values() for folder in folders]
    if len(used) != len(top) or any(len(folders) > 1 for folders in named.values()):
        raise DataError(f"{name}: beside train only one val and one test folder may stand, got {', '.join(top)}")
    found = {part: _classes(name, folders[0]) for part, folders in named.items() if folders}
    for part, classes in found.items():
        strange = sorted(set(classes) - set(found["train"]))
        if strange:
            raise DataError(f"{name}: class {strange[0]!r} of {part} is not in train")
    return found


def _classes(name: OwnName, folder: Path) -> Classes:
    """Files of each class, by the sorted names of the class folders."""
    found = {label: picture_files(place) for label, place in _folders(folder).items()}
    if len(found) < 2:
        got = ", ".join(found) or "none"
        raise DataError(f"{name}: {folder} needs a folder of images for each of two or more classes, got {got}")
    empty = [label for label, files in found.items() if not files]
    if empty:
        raise DataError(f"{name}: class {empty[0]!r} has no images in {folder / empty[0]}")
    return found


def _folders(folder: Path) -> dict[str, Path]:
    return {place.name: place for place in sorted(folder.iterdir()) if place.is_dir() and place.name[0] != "."}


def _fits(found: dict[str, Classes], side: int) -> bool:
    samples = sum(len(files) for classes in found.values() for files in classes.values())
    return fits_in_memory(samples, (3, side, side))


def _in_memory(name: object, files: Sequence[Path], side: int) -> Tensor:
    return torch.from_numpy(cached_pictures(name, files, side))


def _split(name: OwnName, found: Classes, classes: list[str], side: int, read: Callable[..., Any]) -> Split:
    """All pictures of one split; a class that it lacks keeps its number."""
    files = [path for label in classes for path in found.get(label, [])]
    y = np.repeat(np.arange(len(classes)), [len(found.get(label, [])) for label in classes])
    return Split(read(name, files, side), torch.from_numpy(y))
