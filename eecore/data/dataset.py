"""What a data set is: three disjoint splits, normalised with what the training split alone knows.

Axes: N samples, C channels, H height, W width, L length, S tokens of a sequence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eecore.data.augment import augmentations, changes_colours
from eecore.data.hashes import fingerprint, row_hashes
from eecore.data.moments import channel_moments, normalise
from eecore.data.streamed import Inputs, Pixels
from eecore.errors import DataError, SettingError, choose

SAMPLE_AXES = {"image": 3, "sequence": 2, "tokens": 1}  # (C, H, W), (C, L), (S)
TARGETS = {"classification": torch.int64, "regression": torch.float32}  # the task and the type of y


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set. Shared by everyone who loads it: never write into its tensors.

    Args:
        x: inputs, sample axis first; `Pixels` where they stay on disk, which are indexed and split as tensors are.
        y: classes, int64, or the numbers to predict, float32; (N).
        factors: what the data set knows about each sample, such as its noise; arrays of N, may be empty.
        hashes: of each raw sample, where different samples may have the same `x`, as texts with unknown words have:
            they decide which samples are copies of one another. None: `x` decides.
    Raises:
        DataError: the lengths differ, or `y` is of another type.
    """

    x: Inputs
    y: Tensor
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    hashes: list[bytes] | None = None

    def __post_init__(self) -> None:
        lengths = {"x": len(self.x), "y": len(self.y)} | {k: len(v) for k, v in self.factors.items()}
        lengths |= {} if self.hashes is None else {"hashes": len(self.hashes)}
        if len(set(lengths.values())) > 1:
            raise DataError(f"split: all parts must have one length, got {lengths}")
        if self.y.dtype not in TARGETS.values() or self.y.ndim != 1:
            got = f"{self.y.dtype}, {tuple(self.y.shape)}"
            raise DataError(f"split: y must be int64 (classes) or float32 (numbers) of one axis, got {got}")
        views = {name: values.view() for name, values in self.factors.items()}
        for view in views.values():
            view.setflags(write=False)
        object.__setattr__(self, "factors", views)

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"Split(x={tuple(self.x.shape)} {self.x.dtype}, factors={sorted(self.factors)})"

    def take(self, index: np.ndarray) -> "Split":
        """The samples at the integer positions `index`, in that order, as a new split."""
        rows = torch.from_numpy(np.asarray(index, dtype=np.int64))
        hashes = None if self.hashes is None else [self.hashes[i] for i in index]
        factors = {k: v[index] for k, v in self.factors.items()}
        return Split(self.x.index_select(0, rows), self.y[rows], factors, hashes)


@dataclass(frozen=True)
class Info:
    """What there is to say about a data set without loading it.

    Args:
        name, title: short name, as in `load(name)`, and name in prose.
        kind: "image" (N, C, H, W), "sequence" (N, C, L) or "tokens" (N, S).
        shape: of one sample, without N.
        classes: how many; 1 for regression, whose samples have one number each to predict.
        vocabulary: how many different tokens there are, numbered from 0; 0 where the data are not tokens.
        source, licence, citation: where it comes from and on which terms.
        note: what a reader must know about the splits.
        augment: default augmentation.
        task: "classification" (y: classes, int64) or "regression" (y: numbers, float32, in the unit that `note`
            gives).
        class_names: what the classes are called, by number; empty where they have no names but their numbers.
    Raises:
        SettingError: unknown kind, augmentation or task.
        DataError: `shape` does not fit the kind, `classes` the task, or `class_names` the classes.
    """

    name: str
    title: str
    kind: str
    shape: tuple[int, ...]
    classes: int
    source: str
    licence: str
    citation: str
    note: str = ""
    augment: str = "none"
    vocabulary: int = 0
    task: str = "classification"
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        choose("kind", self.kind, SAMPLE_AXES)
        choose("augment", self.augment, augmentations())
        if choose("task", self.task, TARGETS) == "regression" and self.classes != 1:
            raise DataError(f"{self.name}: a regression has classes=1, one number to predict, got {self.classes}")
        if len(self.shape) != SAMPLE_AXES[self.kind]:
            raise DataError(f"{self.name}: kind {self.kind} has {SAMPLE_AXES[self.kind]} axes, got {self.shape}")
        if (self.kind == "tokens") != (self.vocabulary > 0):
            raise DataError(f"{self.name}: tokens have a vocabulary, other data have none, got {self.vocabulary}")
        if self.class_names and len(set(self.class_names)) != self.classes:
            got = f"{len(self.class_names)}, {len(set(self.class_names))} of them different"
            raise DataError(f"{self.name}: {self.classes} classes need as many different names, got {got}")

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each class, by number: its own, or its number; none for regression."""
        if self.task == "regression":
            return ()
        return self.class_names or tuple(map(str, range(self.classes)))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, ready to train on. Made by `assemble`, which checks it.

    Args:
        info: name, kind, shape and so on.
        train, validation, test: disjoint splits, already normalised.
        mean, std: per channel, from the training split only, float32 (`preparation` has all digits of them); 0 and 1
            for tokens.
        fingerprint: sha256 over the splits before normalisation, mean and std.
        removed: samples taken out because they occur again in the test (or validation) split.
        origin: how the files that were read differ from what the authors publish; empty where they do not.
        left_out: what of the files is not in the data set, and why, a phrase each, such as "3 empty texts"; copies that
            `removed` counts are not among them.
        preparation: how a raw sample (a picture, a sentence, an array) becomes a row of `x`, as plain values that JSON
            can hold; see `eecore.data.preparation`. None where only rows of `x` themselves can be judged.
    """

    info: Info
    train: Split
    validation: Split
    test: Split
    mean: Tensor
    std: Tensor
    fingerprint: str
    removed: int = 0
    origin: str = ""
    left_out: tuple[str, ...] = ()
    preparation: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def kind(self) -> str:
        return self.info.kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.info.shape

    @property
    def classes(self) -> int:
        return self.info.classes

    @property
    def task(self) -> str:
        return self.info.task


def assemble(
    info: Info,
    *,
    train: Split,
    validation: Split,
    test: Split,
    origin: str = "",
    left_out: tuple[str, ...] = (),
    preparation: dict[str, Any] | None = None,
) -> Dataset:
    """Check three raw splits, make them disjoint, normalise them and take their fingerprint.

    The test split stays as published. A sample of the others that occurs in it is removed, and so is a training
    sample that occurs in the validation split. Two samples are the same if their `hashes` are or, without these, `x`.

    Args:
        info, origin, left_out: as in Dataset.
        preparation: as in Dataset, without mean and standard deviation, which are added.
        train, validation, test: raw splits; x float32, float64 (which becomes float32 once the mean is taken off),
            int64 for tokens, or uint8 for images: 0..255 mean 0..1.
    Returns:
        The data set; its `removed` says how many samples were taken out.
    Raises:
        DataError: a split does not fit `info`, is empty or not finite, or all training channels are constant.
    """
    for part, split in {"train": train, "validation": validation, "test": test}.items():
        _check(info, part, split)
    in_test = set(_hashes(test))
    kept_validation = _without(validation, in_test)
    kept_train = _without(train, in_test | set(_hashes(kept_validation)))
    removed = len(train) + len(validation) - len(kept_train) - len(kept_validation)
    splits = (kept_train, kept_validation, test)
    if not all(len(split) for split in splits):
        raise DataError(f"{info.name}: nothing is left of a split once its copies of test samples are removed")
    mean, std, constant = channel_moments(info.name, info.kind, kept_train.x)
    whole = fingerprint(*(t for split in splits for t in (split.x, split.y)), mean, std)
    ready = [replace(split, x=normalise(split.x, mean, std), hashes=None) for split in splits]
    if mean.dtype == torch.float64 and not all(bool(torch.isfinite(split.x).all()) for split in ready):
        raise DataError(f"{info.name}: x holds values that are too far from the training split's for float32")
    if preparation is not None and info.kind != "tokens":
        preparation = {**preparation, "mean": mean.tolist(), "std": std.tolist()}
    left_out = (*left_out, *(f"channel {i}, whose training values are all the same" for i in constant))
    mean, std = mean.float(), std.float()
    return Dataset(info, ready[0], ready[1], ready[2], mean, std, whole, removed, origin, left_out, preparation)


def check_colours(augmentation: str, dataset: Dataset) -> None:
    """Stop where colours are to be changed in data that is not between black and white.

    Raises:
        SettingError: so it is.
    """
    if not changes_colours(augmentation) or isinstance(dataset.train.x, Pixels):  # these are bytes: 0 to 1
        return
    shape = (-1, *(1,) * (dataset.train.x.ndim - 2))
    raw = dataset.train.x * dataset.std.view(shape) + dataset.mean.view(shape)
    low, high = float(raw.min()), float(raw.max())
    if low < -1e-3 or high > 1 + 1e-3:
        span = f"{low:.3g} to {high:.3g}"
        raise SettingError(f"augment: {augmentation!r} needs pixels from 0 to 1, those of {dataset.name} are {span}")


def _check(info: Info, part: str, split: Split) -> None:
    """Raise DataError where `split` is not what `info` says."""
    where = f"{info.name}, {part}"
    dtype = torch.int64 if info.kind == "tokens" else torch.float32
    pixels = info.kind == "image" and split.x.dtype == torch.uint8
    numbers = info.kind != "tokens" and split.x.dtype == torch.float64
    if tuple(split.x.shape[1:]) != info.shape or not (pixels or numbers or split.x.dtype == dtype):
        expected = f"{dtype} of (N, {', '.join(map(str, info.shape))})"
        raise DataError(f"{where}: x must be {expected}, got {split.x.dtype} of {tuple(split.x.shape)}")
    if len(split) == 0:
        raise DataError(f"{where}: no samples")
    _check_targets(info, where, split.y)
    if info.kind == "tokens" and (int(split.x.min()) < 0 or int(split.x.max()) >= info.vocabulary):
        span = f"{int(split.x.min())}..{int(split.x.max())}"
        raise DataError(f"{where}: tokens must be 0..{info.vocabulary - 1}, got {span}")
    if split.x.dtype.is_floating_point and not bool(torch.isfinite(split.x).all()):
        raise DataError(f"{where}: x holds values that are not finite")


def _check_targets(info: Info, where: str, y: Tensor) -> None:
    """Raise DataError where `y` is not what the task asks for."""
    if y.dtype != TARGETS[info.task]:
        raise DataError(f"{where}: y must be {TARGETS[info.task]} for {info.task}, got {y.dtype}")
    if info.task == "classification":
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= info.classes:
            raise DataError(f"{where}: classes must be 0..{info.classes - 1}, got {low}..{high}")
    elif not bool(torch.isfinite(y).all()):
        raise DataError(f"{where}: y holds values that are not finite")


def _hashes(split: Split) -> Iterable[bytes]:
    """What tells whether two samples are one."""
    return row_hashes(split.x) if split.hashes is None else split.hashes


def _without(split: Split, known: set[bytes]) -> Split:
    """`split` without the samples whose hash is in `known`."""
    keep = np.array([row not in known for row in _hashes(split)], dtype=bool)
    return split if keep.all() else split.take(np.flatnonzero(keep))
