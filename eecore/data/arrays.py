"""The user's own arrays: "arrays:FILE.npz" with x and y, or with x_train, y_train, x_test, y_test and so on.

x: (N, L) are sequences; (N, H, W) grey images, or with ?kind=sequence (N, C, L); (N, C, H, W) and (N, H, W, C) images.
uint8 images count as 0..255. y: whole numbers 0..C-1. Numbers only: nothing is unpickled.

Axes: N samples, C channels (or classes, for y), H height, W width, L length.
"""

import zipfile

import numpy as np
import torch

from eecore.data import preparation
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.division import check_classes, divide
from eecore.data.own import OwnName, check_memory
from eecore.errors import DataError, choose

ENDINGS = {  # of the names of the arrays
    "train": ("_train", "_training", ""),
    "validation": ("_val", "_valid", "_validation"),
    "test": ("_test",),
}
KINDS = ("image", "sequence")
COLOURS = (1, 3, 4)  # how many channels an image may have


def describe(name: OwnName) -> Info:
    """The description; the arrays are read for it.

    Raises:
        DataError: the file is missing, or does not hold what it should.
    """
    return _describe(name, _read(name))


def make(name: OwnName) -> Dataset:
    """The data set.

    Raises:
        DataError: as `describe`.
    """
    parts = _read(name)
    info = _describe(name, parts)
    train, validation, test = divide(name, parts["train"], parts.get("validation"), parts.get("test"))
    check_classes(name, train, [str(i) for i in range(info.classes)])
    whole = 1 / 255 if train.x.dtype == torch.uint8 else 1.0
    ready = preparation.of_arrays(info.shape, scale=whole)
    return assemble(info, train=train, validation=validation, test=test, preparation=ready)


def _describe(name: OwnName, parts: dict[str, Split]) -> Info:
    shape = tuple(parts["train"].x.shape[1:])
    classes = 1 + max(int(split.y.max()) for split in parts.values())
    counts = ", ".join(f"{len(split)} {part}" for part, split in parts.items())
    return Info(
        name=name.label,
        title=f"Arrays in {name.path.name}",
        kind="image" if len(shape) == 3 else "sequence",
        shape=shape,
        classes=classes,
        source=str(name.path),
        licence="its owner's",
        citation="",
        note=f"As given: {counts}. A missing split is a stratified part of train; validation without test is the test "
        "split.",
    )


def _read(name: OwnName) -> dict[str, Split]:
    """The splits that the file holds; "train" is always one."""
    content = _load(name)
    found: dict[str, tuple[str, str]] = {}  # split: names of x and y
    for part, endings in ENDINGS.items():
        pairs = [(f"x{ending}", f"y{ending}") for ending in endings if {f"x{ending}", f"y{ending}"} & set(content)]
        if len(pairs) > 1 or (pairs and not set(pairs[0]) <= set(content)):
            raise DataError(f"{name}: expected one x and one y for {part}, got {', '.join(content)}")
        found |= {part: pairs[0]} if pairs else {}
    strange = set(content) - {array for pair in found.values() for array in pair}
    if "train" not in found or strange:
        raise DataError(f"{name}: expected x and y, or x_train, y_train, x_test, y_test, got {', '.join(content)}")
    return {part: _split(name, pair, content) for part, pair in found.items()}


def _load(name: OwnName) -> dict[str, np.ndarray]:
    """All arrays of the file, unpickling nothing."""
    if not name.path.is_file():
        raise DataError(f"{name}: {name.path} is not a file on this machine")
    try:
        with zipfile.ZipFile(name.path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())  # in bytes: at least one a number
        check_memory(name, size, "store fewer samples or smaller ones")
        with np.load(name.path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as problem:
        reason = " ".join(str(problem).split())
        raise DataError(f"{name}: {name.path} is not an .npz file of numbers: {reason}") from problem


def _split(name: OwnName, pair: tuple[str, str], content: dict[str, np.ndarray]) -> Split:
    x, y = content[pair[0]], content[pair[1]]
    if x.dtype.kind not in "uif":
        raise DataError(f"{name}: {pair[0]} must hold numbers, got {x.dtype}")
    if y.dtype.kind not in "ui" or y.ndim != 1 or len(y) == 0:
        raise DataError(f"{name}: {pair[1]} must hold integers, one a sample, got {y.dtype} of {y.shape}")
    if int(y.min()) < 0 or int(y.max()) >= max(len(y), 2):
        span = f"{int(y.min())}..{int(y.max())}"
        raise DataError(f"{name}: {pair[1]} must hold classes 0, 1, 2 and so on, got {span}")
    if len(x) != len(y):
        raise DataError(f"{name}: {pair[0]} and {pair[1]} must have one length, got {len(x)} and {len(y)}")
    shaped = _shaped(name, pair[0], x)
    pixels = shaped.dtype == np.uint8 and shaped.ndim == 4
    return Split(
        torch.from_numpy(shaped if pixels else shaped.astype(np.float32)), torch.from_numpy(y.astype(np.int64))
    )


def _shaped(name: OwnName, array: str, x: np.ndarray) -> np.ndarray:
    """(N, C, L) or (N, C, H, W), as a copy in C order."""
    kind = choose("kind", dict(name.options).get("kind", "image"), KINDS)
    if x.ndim == 2 or (x.ndim == 3 and kind == "image"):
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in COLOURS and x.shape[3] in COLOURS:
        x = x.transpose(0, 3, 1, 2)
    if x.ndim not in (3, 4):
        raise DataError(f"{name}: {array} must have 2, 3 or 4 axes, samples first, got {x.shape}")
    return np.ascontiguousarray(x)
