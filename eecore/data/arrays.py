"""The user's own arrays: "arrays:FILE.npz" with x and y, or with x_train, y_train, x_test, y_test and so on.

x: (N, L) are sequences; (N, H, W) grey images, or with ?kind=sequence (N, C, L); (N, C, H, W) and (N, H, W, C) images.
Where the shape alone does not say which axis the channels are, ?channels=first or ?channels=last does. uint8 images
count as 0..255. y: classes, as whole numbers, strings, booleans or one-hot rows, or numbers to predict (floats, or
?task=regression). MedMNIST's names (train_images, train_labels) are known too. Nothing is unpickled.

Axes: N samples, C channels (or classes, for y), H height, W width, L length.
"""

import zipfile
from typing import Any

import numpy as np
import torch

from eecore.data.dataset import TARGETS, Dataset, Info, Split, assemble
from eecore.data.division import about_targets, as_targets, check_classes, divide, in_order, tidy
from eecore.data.own import OwnName, check_memory
from eecore.data.preparation import of_arrays
from eecore.errors import DataError, choose

ROLES = {"x": ("x", "images", "data", "features"), "y": ("y", "labels", "targets", "target")}  # names of the arrays
PARTS = {  # and what may stand before or behind these
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
KINDS = ("image", "sequence")
CHANNELS = ("first", "last")
COLOURS = (1, 3, 4)  # how many channels an image may have
STRIP = 4  # a grey image that is more than so many times as long as it is wide may be a sequence
EXACT32, EXACT64 = 2**24, 2**53  # whole numbers up to here are exact in float32, in float64
COARSEST = 1e-4  # rounding that is borne, relative to the deviation


def describe(name: OwnName) -> Info:
    """The description; the arrays are read for it.

    Raises:
        DataError: the file is missing, or does not hold what it should.
    """
    return _read(name)[0]


def make(name: OwnName) -> Dataset:
    """The data set.

    Raises:
        DataError: as `describe`.
    """
    info, parts, preparation = _read(name)
    train, validation, test = divide(name, parts["train"], parts.get("validation"), parts.get("test"))
    check_classes(name, train, info.labels)
    return assemble(info, train=train, validation=validation, test=test, preparation=preparation)


def _read(name: OwnName) -> tuple[Info, dict[str, Split], dict[str, Any]]:
    """The description, the splits that the file holds ("train" is always one), and how a sample is prepared."""
    content = _load(name)
    pairs = _pairs(name, content)
    for x, y in pairs.values():
        _check_pair(name, x, content[x], y, content[y])
    targets, names, note = _targets(name, {part: content[y] for part, (_, y) in pairs.items()}, pairs["train"][1])
    xs, last = _inputs(name, {part: x for part, (x, _) in pairs.items()}, content)
    parts = {part: Split(torch.from_numpy(xs[part]), targets[part]) for part in pairs}
    shape = tuple(parts["train"].x.shape[1:])
    numbers = parts["train"].y.is_floating_point()
    counts = ", ".join(f"{len(split)} {part}" for part, split in parts.items())
    info = Info(
        name=name.label,
        title=f"Arrays in {name.path.name}",
        kind="image" if len(shape) == 3 else "sequence",
        shape=shape,
        classes=1 if numbers else len(names) or 1 + max(int(y.max()) for y in targets.values()),
        source=str(name.path),
        licence="its owner's",
        citation="",
        note=f"As given: {counts}. A missing split is a stratified part of train; validation without test is the test "
        f"split.{note}",
        task="regression" if numbers else "classification",
        class_names=names,
    )
    preparation = of_arrays(shape, scale=1 / 255 if parts["train"].x.dtype == torch.uint8 else 1.0)
    return info, parts, preparation | ({"channels": "last"} if last else {})


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
        hint = "; store strings as y.astype(str)" if "Object arrays" in reason else ""
        raise DataError(f"{name}: {name.path} is not an .npz file of numbers: {reason}{hint}") from problem


# ---- which array is what


def _pairs(name: OwnName, content: dict[str, np.ndarray]) -> dict[str, tuple[str, str]]:
    """The names of x and y of each split in the file."""
    found: dict[str, dict[str, list[str]]] = {}
    strange = False
    for array in content:
        place = _place(array)
        strange |= place is None
        if place is not None:
            found.setdefault(place[0], {"x": [], "y": []})[place[1]].append(array)
    got = ", ".join(content)
    for part, roles in found.items():
        if any(len(arrays) != 1 for arrays in roles.values()):
            raise DataError(f"{name}: expected one x and one y for {part}, got {got}")
    if "train" not in found or strange:
        raise DataError(
            f"{name}: expected x and y, or x_train, y_train, x_test, y_test, or train_images, train_labels and so on, "
            f"got {got}"
        )
    return {part: (found[part]["x"][0], found[part]["y"][0]) for part in PARTS if part in found}


def _place(array: str) -> tuple[str, str] | None:
    """Split and role of an array by its name: "x", "X_val", "train_labels"; None where it says neither."""
    words = array.lower().split("_")
    roles = [role for role, names in ROLES.items() if set(names) & set(words)]
    parts = [part for part, names in PARTS.items() if set(names) & set(words)]
    if len(roles) != 1 or len(words) != 1 + len(parts):
        return None
    return (parts[0] if parts else "train"), roles[0]


def _check_pair(name: OwnName, x_name: str, x: np.ndarray, y_name: str, y: np.ndarray) -> None:
    """Raise DataError where one is no array of samples, or they differ in length."""
    if x.dtype.kind not in "uif":
        raise DataError(f"{name}: {x_name} must hold numbers, got {x.dtype}")
    if x.ndim not in (2, 3, 4) or 0 in x.shape[1:]:
        raise DataError(f"{name}: {x_name} must have 2, 3 or 4 axes, samples first, got {x.shape}")
    if y.dtype.kind not in "uifbUS":
        raise DataError(f"{name}: {y_name} must hold classes or numbers to predict, got {y.dtype}")
    if y.ndim not in (1, 2) or y.size == 0:
        raise DataError(f"{name}: {y_name} must hold one value a sample, or one-hot rows, got {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{name}: {x_name} and {y_name} must have one length, got {len(x)} and {len(y)}")


# ---- y


def _targets(
    name: OwnName, ys: dict[str, np.ndarray], called: str
) -> tuple[dict[str, torch.Tensor], tuple[str, ...], str]:
    """Classes or numbers of each split, names of the classes where these are not 0..C-1, and what there is to say."""
    asked = dict(name.options).get("task")
    task = None if asked is None else choose("task", asked, TARGETS)
    flat = {part: _one_a_sample(name, called, y, task) for part, y in ys.items()}
    kinds = {"number" if y.dtype.kind in "uifb" else "string" for y in flat.values()}
    if len(kinds) > 1:
        raise DataError(f"{name}: {called} must be of one type in all splits, got {_types(ys)}")
    everything = np.concatenate(list(flat.values()))
    if everything.dtype.kind == "f" and not np.isfinite(everything).all():
        raise DataError(f"{name}: {called} holds values that are not finite")
    if task is None:
        task = _task_of(name, called, everything)
    if task == "regression":
        if kinds == {"string"}:
            raise DataError(f"{name}: {called} must hold numbers for a regression, got {everything.dtype}")
        numbers = as_targets(f"{name}: {called}", everything.astype(np.float64))
        return _divided(numbers, flat), (), f" {about_targets(numbers)}"
    return _classes(name, called, everything, flat)


def _one_a_sample(name: OwnName, called: str, y: np.ndarray, task: str | None) -> np.ndarray:
    """(N,) from (N,), (N, 1) and, for classes, one-hot rows (N, C)."""
    if y.dtype.kind == "S":
        y = _decoded(y)
    if y.ndim == 1 or y.shape[1] == 1:
        return y.reshape(len(y))
    one_hot = y.dtype.kind in "uifb" and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
    if task == "regression" or not one_hot:
        raise DataError(f"{name}: {called} must hold one value a sample, or one-hot rows of classes, got {y.shape}")
    return y.argmax(axis=1)


def _decoded(y: np.ndarray) -> np.ndarray:
    """Bytes as strings: UTF-8 or, where they are not that, Latin-1."""
    try:
        return np.char.decode(y, "utf-8")
    except UnicodeDecodeError:
        return np.char.decode(y, "latin-1")


def _task_of(name: OwnName, called: str, y: np.ndarray) -> str:
    """Classes, or numbers to predict where they are not whole."""
    if y.dtype.kind != "f":
        return "classification"
    if (y == np.round(y)).all():
        raise DataError(
            f"{name}: {called} holds whole numbers as {y.dtype}: add ?task=classification where they are classes, "
            "?task=regression where they are to be predicted as numbers"
        )
    return "regression"


def _classes(
    name: OwnName, called: str, y: np.ndarray, flat: dict[str, np.ndarray]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...], str]:
    """Numbers 0..C-1 of the classes; the labels become names where they are something else."""
    if y.dtype.kind == "f":
        if (y != np.round(y)).any():
            raise DataError(
                f"{name}: {called} must hold whole numbers, strings or one-hot rows as classes, got {y.dtype}"
            )
        y = y.astype(np.int64)
    different, numbers = np.unique(y, return_inverse=True)
    if y.dtype.kind in "ui" and len(different) > max(2, len(y) // 2):
        raise DataError(
            f"{name}: {called} holds {len(different)} different values for {len(y)} samples, got {different[0]}.."
            f"{different[-1]}: too many for classes; add ?task=regression for numbers to predict"
        )
    labels = [tidy(str(label)) for label in different]
    if "" in labels:
        raise DataError(f"{name}: {called} holds an empty label")
    known = in_order(labels)
    places = np.array([known.index(label) for label in labels], dtype=np.int64)
    classes = torch.from_numpy(places[numbers.reshape(-1)])
    if y.dtype.kind in "ui" and known == [str(i) for i in range(len(known))]:
        return _divided(classes, flat), (), ""
    said = " Labels begin at 1." if known[0] == "1" else ""
    if labels != [str(label) for label in different]:
        said += " Labels are read without the spaces around them."
    listed = f"{', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
    return _divided(classes, flat), tuple(known), f"{said} Classes: {listed}."


def _divided(values: torch.Tensor, like: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """One part for each of `like`, of its length."""
    return dict(zip(like, values.split([len(y) for y in like.values()]), strict=True))


def _types(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{part} {array.dtype}" for part, array in arrays.items())


# ---- x


def _inputs(name: OwnName, names: dict[str, str], content: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
    """(N, C, L) or (N, C, H, W) of each split, in C order; and whether the channels stood last.

    All are of one type: bytes for images of them; float64 where float32 would round; else float32.
    """
    last = _channels_last(name, names["train"], content[names["train"]].shape)
    shaped = {part: _shaped(name, content[array], last) for part, array in names.items()}
    pixels = [x.dtype == np.uint8 and x.ndim == 4 for x in shaped.values()]
    if any(pixels) and not all(pixels):
        raise DataError(f"{name}: x must be of one type in all splits, as bytes count as 0..255, got {_types(shaped)}")
    if not all(pixels):
        dtype = np.float64 if any(_is_wide(name, names[part], x) for part, x in shaped.items()) else np.float32
        shaped = {part: x.astype(dtype) for part, x in shaped.items()}
    return {part: np.ascontiguousarray(x) for part, x in shaped.items()}, last


def _is_wide(name: OwnName, called: str, x: np.ndarray) -> bool:
    """Whether float32 would round: float64, and whole numbers above 2^24.

    Raises:
        DataError: float64 would round so that samples change.
    """
    if x.dtype.kind == "f":
        return x.dtype.itemsize > 4
    largest = max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0
    if largest > EXACT64 and np.spacing(float(largest)) > COARSEST * x.std(dtype=np.float64):
        raise DataError(
            f"{name}: {called} holds numbers up to {largest:.4g}, whose last digits count: take an offset off"
        )
    return largest > EXACT32


def _channels_last(name: OwnName, called: str, shape: tuple[int, ...]) -> bool:
    """Whether the last axis is that of the channels: as the option says, else as the shape does.

    Raises:
        DataError: it may be either; the message gives both readings.
    """
    given = dict(name.options)
    asked = choose("channels", given["channels"], CHANNELS) if "channels" in given else None
    if len(shape) == 2 or (len(shape) == 3 and given.get("kind") == "image"):
        if asked:
            raise DataError(f"{name}: {called} of {shape} has no axis of channels, leave ?channels={asked} out")
        return False
    if asked:
        return asked == "last"
    if len(shape) == 4:
        _, a, b, c = shape
        first, last = a in COLOURS or b == c, c in COLOURS or a == b
        if first != last and (first or c in COLOURS):  # many channels that seem to stand last are asked for
            return last
        readings = f"{a} channels of {b} x {c} (?channels=first) or {c} channels of {a} x {b} (?channels=last)"
    else:
        _, a, b = shape
        sequence = given.get("kind") == "sequence"
        if sequence and (a < b or b == 1):
            return b == 1 and a > 1
        if not sequence and max(a, b) <= STRIP * min(a, b):
            return False
        readings = f"sequences of {a} channels and length {b} (?channels=first), or {b} and {a} (?channels=last)"
        readings += "" if sequence else f", or grey images of {a} x {b} (?kind=image)"
    raise DataError(f"{name}: {called} of {shape} can be {readings}; add what it is to the name")


def _shaped(name: OwnName, x: np.ndarray, last: bool) -> np.ndarray:
    """(N, C, L) or (N, C, H, W)."""
    given = dict(name.options)
    kind = choose("kind", given.get("kind", "sequence" if "channels" in given else "image"), KINDS)
    clear = {2: "sequence", 4: "image"}.get(x.ndim, kind)
    if "kind" in given and kind != clear:
        raise DataError(f"{name}: x of {x.shape} can only be {clear}s, leave ?kind={kind} out")
    if x.ndim == 2 or (x.ndim == 3 and kind == "image"):
        return x[:, None]
    return np.moveaxis(x, -1, 1) if last else x
