"""CIFAR-10 and CIFAR-100 from the binary files that their authors publish: no pickle is opened.

A record is one or two label bytes, then the red, the green and the blue plane, 32 x 32 bytes each.

Axes: N samples.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from eecore.data.archives import SUMS, Archive, fetch_archive, locate, missing
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import sha256
from eecore.data.preparation import of_arrays
from eecore.data.splits import stratified
from eecore.errors import DataError

PIXELS = 3 * 32 * 32
NAMES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CITATION = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, University of Toronto"
JPEG = "pixels that went through JPEG at quality 95, not the published ones"
TOLERANCE = 1e-7  # of the published moments, which are printed with eight decimals


@dataclass(frozen=True)
class Layout:
    """One of the two data sets as files.

    Args:
        info: its description.
        archive: as published; the md5 stands on the authors' page.
        train, test: file names.
        label: position of the class in a record.
        samples: records in the training and in the test files together.
        moments: mean and standard deviation of red, green and blue over the published training pixels / 255.
        copies: sha256 of each file, training first, of known copies that differ, by what to say of them.
        names: file of the classes' names, one a line, by number; "": none is needed.
    """

    info: Info
    archive: Archive
    train: tuple[str, ...]
    test: str
    label: int
    samples: tuple[int, int]
    moments: tuple[tuple[float, ...], tuple[float, ...]]
    copies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: str = ""


def _info(name: str, title: str, classes: int, class_names: tuple[str, ...] = ()) -> Info:
    return Info(
        name=name,
        title=title,
        kind="image",
        shape=(3, 32, 32),
        classes=classes,
        source="https://www.cs.toronto.edu/~kriz/cifar.html, the binary version",
        licence="none stated; for research, with citation",
        citation=CITATION,
        note="50 000 published training images: 45 000 train, 5 000 validation, stratified; 10 000 test as published. "
        "Copies of JPEG quality 95 are read as well: `origin` of the data set says so.",
        augment="crop_flip",
        class_names=class_names,
    )


CIFAR10 = Layout(
    info=_info("cifar10", "CIFAR-10", 10, NAMES_10),
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-batches-bin",
    ),
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test="test_batch.bin",
    label=0,
    samples=(50_000, 10_000),
    moments=((0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)),
    copies={
        JPEG: (
            "4ec0ecd655ce1b9710ae5f655595bf6c303ecfdcc4e8e8bc112a381b10a3e38f",
            "a475f4132b94e6075fe03cdb9fe291cd2c43c77e3e3555a78faa43cb1dfa8024",
            "5c4e087abb2a7b1058bf2b4bf33f5d151d2560deebbcfa49d1aba4f3f976d9d5",
            "a1aed82bf11874a8dd7bd6e420eefc8f93de740eb9c2f826e05e7a3e547aaac7",
            "65c270552e5af1fb1a883aefbd120d07231914b7da10cbc1d8d0f49684192411",
            "e8c0b687dd2412ac4eb4a168c4fe096b2e86f6270c8c26036d9845494ad3a3de",
        )
    },
)

CIFAR100 = Layout(
    info=_info("cifar100", "CIFAR-100", 100),
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary",
    ),
    train=("train.bin",),
    test="test.bin",
    label=1,  # the first byte is the superclass
    samples=(50_000, 10_000),
    moments=((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047)),
    copies={
        JPEG: (
            "d5c1ba9cda0c7da47dc2e734bce37de2dd484f7f0bbc13d77c5be478360f58c0",
            "0c505851c1a73845645be981ff273aa1c95b025e57485bda84c865e1e14b543d",
        )
    },
    names="fine_label_names.txt",
)


def make_cifar10() -> Dataset:
    """The registered CIFAR-10."""
    return make_cifar(CIFAR10)


def make_cifar100() -> Dataset:
    """The registered CIFAR-100: the 100 fine classes."""
    return make_cifar(CIFAR100)


def describe_cifar100() -> Info:
    """The description of CIFAR-100, with the names of its classes where their file is here."""
    return described(CIFAR100)


def fetch_cifar10(base_url: str | None = None) -> Path:
    """Download CIFAR-10; see `fetch_archive`."""
    return fetch_archive("cifar10", CIFAR10.archive, base_url)


def fetch_cifar100(base_url: str | None = None) -> Path:
    """Download CIFAR-100; see `fetch_archive`."""
    return fetch_archive("cifar100", CIFAR100.archive, base_url)


def present_cifar10() -> list[Path]:
    """The files of CIFAR-10 that are here."""
    return present(CIFAR10)


def present_cifar100() -> list[Path]:
    """The files of CIFAR-100 that are here."""
    return present(CIFAR100)


def present(layout: Layout) -> list[Path]:
    """The files that are here, of those that are read."""
    folder = locate(layout.archive.folder)
    return [path for name in (*layout.train, layout.test) if folder and (path := folder / name).is_file()]


def described(layout: Layout) -> Info:
    """The description, with the classes' names from their file; without them where it is not here.

    Raises:
        DataError: the file is damaged.
    """
    folder = locate(layout.archive.folder)
    if folder is None or not layout.names or not (folder / layout.names).is_file():
        return layout.info
    try:
        names = tuple((folder / layout.names).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{layout.info.name}: {folder / layout.names} cannot be read: {problem}") from problem
    if len(set(names)) != len(names) or len(names) != layout.info.classes:
        raise DataError(
            f"{layout.info.name}: {folder / layout.names} is damaged: expected {layout.info.classes} different names "
            f"of classes, got {len(set(names))}; remove it to go on with their numbers"
        )
    return dataclasses.replace(layout.info, class_names=names)


def make_cifar(layout: Layout) -> Dataset:
    """Read the files and divide the published training images, a tenth for validation.

    Args:
        layout: which files; a test that brings files of its own brings their numbers too.
    Raises:
        DataError: a file is missing, damaged, or neither as published nor a known copy.
    """
    name, folder = layout.info.name, locate(layout.archive.folder)
    if folder is None:
        raise missing(name, layout.archive.folder, layout.archive)
    parts = [_read(name, folder / file, layout) for file in (*layout.train, layout.test)]
    origin = _origin(folder, layout, parts)
    train = np.concatenate(parts[:-1]) if len(parts) > 2 else parts[0]
    for part, records, expected in (("training", train, layout.samples[0]), ("test", parts[-1], layout.samples[1])):
        if len(records) != expected:
            raise DataError(f"{name}: {folder} holds {len(records)} {part} images, expected {expected}")
    pool = _split(train, layout)
    size = len(pool) // 10
    kept, validation = (pool.take(index) for index in stratified(pool.y.numpy(), (len(pool) - size, size)))
    return assemble(
        described(layout),
        train=kept,
        validation=validation,
        test=_split(parts[-1], layout),
        origin=origin,
        preparation=of_arrays(layout.info.shape, scale=1 / 255),
    )


def _read(name: str, path: Path, layout: Layout) -> np.ndarray:
    """The records of a file, (N, bytes of a record)."""
    size = layout.label + 1 + PIXELS
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as problem:
        raise DataError(f"{name}: {path} cannot be read: {problem.strerror}") from problem
    if len(content) == 0 or len(content) % size:
        raise DataError(f"{name}: {path} is damaged: {len(content)} bytes are not whole records of {size}")
    records = content.reshape(-1, size)
    if records[:, layout.label].max() >= layout.info.classes:
        worst = int(records[:, layout.label].max())
        raise DataError(f"{name}: {path} is damaged: a class is {worst}, expected 0..{layout.info.classes - 1}")
    return records


def _origin(folder: Path, layout: Layout, parts: list[np.ndarray]) -> str:
    """What to say of the files; nothing where they are as published.

    By the checksums that were written when the checked archive was unpacked; by those of known copies; or, since
    none are published for single files, by the moments of the training pixels.
    """
    names = (*layout.train, layout.test)
    sums = tuple(sha256(records.data) for records in parts)
    written = _written(folder)
    for file, found in zip(names, sums, strict=True):
        if written and written.get(file) != found:
            raise DataError(f"{layout.info.name}: {folder / file} is damaged: not what was unpacked; fetch it again")
    if written:
        return ""
    for said, known in layout.copies.items():
        if sums == known:
            return said
    if all(np.allclose(a, b, rtol=0, atol=TOLERANCE) for a, b in zip(_moments(parts), layout.moments, strict=True)):
        return ""
    raise DataError(
        f"{layout.info.name}: the files in {folder} are damaged, or neither the published ones nor a known copy; "
        f"remove them and run python -m eecore data fetch {layout.info.name}"
    )


def _written(folder: Path) -> dict[str, str]:
    """Checksums from `unpack`, by file; empty where the files came otherwise."""
    try:
        return json.loads((folder / SUMS).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise DataError(f"{folder / SUMS} cannot be read: remove {folder} and fetch again") from problem


def _moments(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the colours over the training files, of pixels / 255."""
    counts = np.zeros((3, 256))
    for records in parts[:-1]:
        pixels = torch.from_numpy(records[:, -PIXELS:]).view(len(records), 3, -1)
        counts += [np.bincount(pixels[:, colour].flatten(), minlength=256) for colour in range(3)]
    levels, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ levels / total
    return mean, np.sqrt(counts @ np.square(levels) / total - np.square(mean))


def _split(records: np.ndarray, layout: Layout) -> Split:
    """Pixels as bytes, (N, 3, 32, 32), without a copy, and classes."""
    x = torch.from_numpy(records)[:, -PIXELS:].unflatten(1, (3, 32, 32))
    return Split(x, torch.from_numpy(records[:, layout.label].astype(np.int64)))
