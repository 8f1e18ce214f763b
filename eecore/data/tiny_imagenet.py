"""Tiny ImageNet in its authors' layout: as many of its 200 classes as are on this machine.

The published test images have no labels; the published validation images are the test split here.

Axes: N samples.
"""

import dataclasses
from pathlib import Path

import torch

from eecore.data.archives import Archive, changed_files, fetch_archive, locate, missing
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.division import check_classes
from eecore.data.pictures import cached_pictures, picture_files, read_pictures
from eecore.data.splits import stratified
from eecore.errors import DataError

SIDE = 64
CLASSES = 200

# The authors publish no checksum; this md5 is the one that public loaders, such as Avalanche's, agree on.
ARCHIVE = Archive(
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", "tiny-imagenet-200"
)

INFO = Info(
    name="tinyimagenet",
    title="Tiny ImageNet",
    kind="image",
    shape=(3, SIDE, SIDE),
    classes=CLASSES,
    source="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    licence="none stated; ImageNet's terms: non-commercial research",
    citation="Le and Yang 2015, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford University",
    note="A tenth of the published training images is the validation split, stratified; the published validation "
    "images are the test split, since the published test images have no labels.",
    augment="crop_flip",
)


def describe() -> Info:
    """The description; its classes are those that are here, with their names, else all."""
    folder = locate(ARCHIVE.folder)
    classes = _classes(folder) if folder else []
    if folder is None or not classes:
        return INFO
    here = len(classes)
    title = INFO.title if here == CLASSES else f"Tiny ImageNet, {here} of its {CLASSES} classes"
    return dataclasses.replace(INFO, classes=here, title=title, class_names=_names(folder, classes))


def make() -> Dataset:
    """The registered data set.

    Raises:
        DataError: a file is missing or damaged, or fewer than two classes are here.
    """
    folder = locate(ARCHIVE.folder)
    if folder is None:
        raise missing(INFO.name, ARCHIVE.folder, ARCHIVE)
    classes = _classes(folder)
    files = {label: picture_files(folder / "train" / label) for label in classes}
    pool = _split([(path, i) for i, label in enumerate(classes) for path in files[label]])
    test = _split(_annotated(folder, classes))
    size = len(pool) // 10
    train, validation = (pool.take(index) for index in stratified(pool.y.numpy(), (len(pool) - size, size)))
    check_classes(INFO.name, train, classes)
    return assemble(describe(), train=train, validation=validation, test=test)


def fetch(base_url: str | None = None) -> Path:
    """Download it; see `fetch_archive`."""
    return fetch_archive(INFO.name, ARCHIVE, base_url)


def present() -> list[Path]:
    """Its folder, where it is here."""
    folder = locate(ARCHIVE.folder)
    return [folder] if folder else []


def check() -> None:
    """Compare every file with what was unpacked, where that is known, and open every picture.

    Raises:
        DataError: a file was changed or cannot be opened.
    """
    folder = locate(ARCHIVE.folder)
    if folder is None:
        raise missing(INFO.name, ARCHIVE.folder, ARCHIVE)
    changed = changed_files(folder)
    if changed:
        raise DataError(f"{INFO.name}: {len(changed)} files in {folder} are damaged, the first is {changed[0]}")
    read_pictures(INFO.name, picture_files(folder), SIDE)
    make()


def _classes(folder: Path) -> list[str]:
    """The classes of which training images are here, in the order of wnids.txt."""
    try:
        listed = (folder / "wnids.txt").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{INFO.name}: {folder / 'wnids.txt'} cannot be read: {problem}") from problem
    return [label for label in listed if (folder / "train" / label).is_dir()]


def _names(folder: Path, classes: list[str]) -> tuple[str, ...]:
    """The first word of each class in words.txt, with its WordNet number where that is not said of it alone."""
    try:
        lines = (folder / "words.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:  # the numbers are names as well
        lines = []
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{INFO.name}: {folder / 'words.txt'} cannot be read: {problem}") from problem
    words = {label: said.split(",")[0].strip() for label, _, said in (line.partition("\t") for line in lines)}
    first = [words.get(label) or label for label in classes]
    return tuple(
        f"{word} ({label})" if first.count(word) > 1 else word for label, word in zip(classes, first, strict=True)
    )


def _annotated(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """The published validation images of these classes, and their numbers."""
    notes = folder / "val" / "val_annotations.txt"
    numbers = {label: i for i, label in enumerate(classes)}
    try:
        rows = [line.split("\t") for line in notes.read_text(encoding="utf-8").splitlines() if line]
        found = [(folder / "val" / "images" / row[0], numbers[row[1]]) for row in rows if row[1] in numbers]
    except (OSError, UnicodeDecodeError, IndexError) as problem:
        raise DataError(f"{INFO.name}: {notes} cannot be read: {problem}") from problem
    return found


def _split(files: list[tuple[Path, int]]) -> Split:
    try:
        x = cached_pictures(INFO.name, [path for path, _ in files], SIDE)
    except FileNotFoundError as problem:
        raise DataError(f"{INFO.name}: {problem.filename} is missing") from problem
    return Split(torch.from_numpy(x), torch.tensor([label for _, label in files], dtype=torch.int64))
