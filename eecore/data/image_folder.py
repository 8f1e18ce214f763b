"""The user's own images: "images:DIR", a folder of class folders, with or without train, val and test above them.

    DIR/cat/1.jpg  DIR/dog/1.jpg               or    DIR/train/cat/1.jpg  DIR/val/cat/2.jpg  DIR/test/cat/3.jpg

Axes: N samples, S side in pixels.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eecore.data import preparation
from eecore.data.counted import counted
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.division import check_classes, divide
from eecore.data.own import OwnName, fits_in_memory
from eecore.data.pictures import cached_pictures, endings, grey_bits, listing, stored_pictures, unread
from eecore.errors import DataError

SIDE = 32  # pixels, where no size is given
SIDES = (8, 1024)
SPLITS = {  # names of split folders, in small letters, without "set", "data" and the like
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "dev", "development", "eval", "evaluation", "holdout"),
    "test": ("test", "testing", "tst"),
}
EMPTY_WORDS = {"set", "data", "dataset", "images", "imgs", "img", "split", "folder"}  # in names of split folders
NO_CLASS = "__MACOSX"  # what archives made on a Mac bring along

Classes = dict[str, list[Path]]  # files of each class


def describe(name: OwnName) -> Info:
    """The description, from the names of the files alone.

    Raises:
        DataError: the folder is missing, or has fewer than two classes or an empty one.
    """
    side = name.integer("size", SIDE, *SIDES)
    found, _ = _scan(name)
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
    info, (found, others) = describe(name), _scan(name)
    classes = list(found["train"])
    side = info.shape[1]
    everything = [path for files in found.values() for paths in files.values() for path in paths]
    bits = grey_bits(everything)
    read = functools.partial(_in_memory if _fits(found, side) else stored_pictures, bits=bits)
    parts = {part: _split(name, files, classes, side, read) for part, files in found.items()}
    train, validation, test = divide(name, parts["train"], parts.get("validation"), parts.get("test"))
    check_classes(name, train, classes)
    ready = preparation.of_pictures(side, bits)
    left_out = _in_words(others + unread(everything))
    return assemble(info, train=train, validation=validation, test=test, left_out=left_out, preparation=ready)


def _scan(name: OwnName) -> tuple[dict[str, Classes], Counter[str]]:
    """Files by split and class ("train" alone where there are no split folders), and what was left out.

    Raises:
        DataError: the folder is missing, or its classes cannot be learnt.
    """
    if not name.path.is_dir():
        raise DataError(f"{name}: {name.path} is not a folder on this machine")
    top = _folders(name.path)
    named = {part: [place for n, place in top.items() if _split_of(n) == part] for part in SPLITS}
    used = [place for places in named.values() for place in places]
    if len(used) < len(top) and all(_has_pictures(place) and not _folders(place) for place in used):
        named, used = {part: [] for part in SPLITS}, []  # classes that are called so, such as trains
    elif len(used) < len(top) and not named["train"]:
        _check_no_split(name, top, used)
    if used and len(used) == len(top) and not named["train"]:
        raise DataError(f"{name}: of the folders {', '.join(top)} none is called train; name one of them so")
    if not named["train"]:
        found, others = _classes(name, name.path)
        return {"train": found}, others
    if len(used) != len(top) or any(len(places) > 1 for places in named.values()):
        raise DataError(f"{name}: beside train only one val and one test folder may stand, got {', '.join(top)}")
    parts = {part: _classes(name, places[0]) for part, places in named.items() if places}
    classes = parts["train"][0]
    for part, (found, _) in parts.items():
        strange = sorted(set(found) - set(classes))
        if strange:
            near = [label for label in classes if label.casefold().strip() == strange[0].casefold().strip()]
            hint = f", where there is {near[0]!r}: name them alike" if near else ""
            raise DataError(f"{name}: class {strange[0]!r} of {part} is not in train{hint}")
    others = sum((counted for _, counted in parts.values()), Counter[str]())
    return {part: found for part, (found, _) in parts.items()}, others


def _check_no_split(name: OwnName, top: dict[str, Path], used: list[Path]) -> None:
    """Stop where a folder is called val or test and holds folders called as the classes beside it."""
    for place in used:
        if both := sorted(set(_folders(place)) & set(top)):
            raise DataError(
                f"{name}: {place.name} may be a class or a split: it holds {', '.join(both[:3])}, as {name.path.name} "
                "does; put the others into a folder called train, or its pictures out of their folders"
            )


def _split_of(folder: str) -> str:
    """The split that a folder's name means, in any case and with the usual additions; "" where it is none.

    Example:
        >>> _split_of("Training_Set"), _split_of("testset"), _split_of("val-images 1"), _split_of("trainer")
        ('train', 'test', 'validation', '')
    """
    said = [word for word in re.findall("[a-z]+", folder.lower()) if word not in EMPTY_WORDS]
    plain = re.sub("(set|data|images)$", "", said[0]) if len(said) == 1 else ""
    return next((part for part, names in SPLITS.items() if plain in names), "")


def _classes(name: OwnName, folder: Path) -> tuple[Classes, Counter[str]]:
    """Files of each class, in the order of their folders' names (of their numbers, where all are), and what is left.

    Raises:
        DataError: there are fewer than two classes, one has no pictures, or the folders are no classes.
    """
    places = _folders(folder)
    if len(places) == 1 and len(_folders(inner := next(iter(places.values())))) > 1:
        raise DataError(f"{name}: {folder} holds one folder; its classes may be those of images:{inner}")
    _check_classes(name, places)
    for label in places:
        if alike := [other for other in places if other != label and other.casefold() == label.casefold()]:
            raise DataError(
                f"{name}: folders {label} and {alike[0]} differ in case alone: is it one class? name it once"
            )
    listed = {label: listing(place) for label, place in places.items()}
    found = {label: files for label, (files, _) in listed.items()}
    others = sum((counted for _, counted in listed.values()), Counter[str]())
    if loose := sum(place.suffix.lower() in endings() and place.is_file() for place in folder.iterdir()):
        others["pictures beside the class folders"] += loose
    if len(found) < 2:
        got = ", ".join(found) or "none"
        raise DataError(f"{name}: {folder} needs a folder of images for each of two or more classes, got {got}")
    empty = [label for label, files in found.items() if not files]
    if empty:
        there = "; ".join(_in_words(listed[empty[0]][1]))
        only = f", only {there}" if there else ""
        raise DataError(f"{name}: class {empty[0]!r} has no images in {folder / empty[0]}{only}")
    if all(label.isdecimal() for label in found):
        found = {label: found[label] for label in sorted(found, key=lambda label: (int(label), label))}
    return found, others


def _check_classes(name: OwnName, places: dict[str, Path]) -> None:
    """Stop where folders that would be classes hold no pictures but folders of the same names: these are classes."""
    inside = {label: set(_folders(place)) for label, place in places.items() if not _has_pictures(place)}
    for label, names in inside.items():
        for other, others in inside.items():
            if label < other and len(both := sorted(names & others)) > 1:  # one may be in each class, such as "images"
                raise DataError(
                    f"{name}: folders {label} and {other} would be classes, but both hold {', '.join(both[:3])}; "
                    "expected DIR/CLASS/picture, or DIR/train/CLASS/picture with val and test beside train"
                )


def _has_pictures(folder: Path) -> bool:
    return any(place.suffix.lower() in endings() and place.is_file() for place in folder.iterdir())


def _in_words(others: Counter[str]) -> tuple[str, ...]:
    """What was left out, a phrase each."""
    return tuple(counted(count, what) for what, count in others.most_common())


def _folders(folder: Path) -> dict[str, Path]:
    places = (place for place in sorted(folder.iterdir()) if place.is_dir() and place.name[0] != ".")
    return {place.name: place for place in places if place.name != NO_CLASS}


def _fits(found: dict[str, Classes], side: int) -> bool:
    samples = sum(len(files) for classes in found.values() for files in classes.values())
    return fits_in_memory(samples, (3, side, side))


def _in_memory(name: object, files: Sequence[Path], side: int, bits: int) -> Tensor:
    return torch.from_numpy(cached_pictures(name, files, side, bits))


def _split(name: OwnName, found: Classes, classes: list[str], side: int, read: Callable[..., Any]) -> Split:
    """All pictures of one split; a class that it lacks keeps its number."""
    files = [path for label in classes for path in found.get(label, [])]
    y = np.repeat(np.arange(len(classes)), [len(found.get(label, [])) for label in classes])
    return Split(read(name, files, side), torch.from_numpy(y))
