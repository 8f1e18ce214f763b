"""Splits for data that come without them: stratified parts of what is there, always the same.

Axes: N samples.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from eecore.data.dataset import Split
from eecore.data.splits import stratified
from eecore.errors import DataError

VALIDATION = 0.1  # fraction of the samples at hand
TEST = 0.2
FLOAT32_STEP = float(np.finfo(np.float32).eps)  # of a number, relative to it
FLOAT32_LARGEST = float(np.finfo(np.float32).max)
FAR = 10.0  # mean and deviation of numbers to predict up to which nothing is said
COARSEST = 1e-3  # step of numbers to predict, relative to their span


def divide(
    name: object, train: Split, validation: Split | None = None, test: Split | None = None
) -> tuple[Split, Split, Split]:
    """The three splits; what is missing is a stratified part of `train`.

    A test split that is missing takes a fifth of `train`, a validation split a tenth. Where there is a
    validation split and no test split, it is what others report on, as ImageNet's is: it becomes the test split.

    Args:
        name: of the data set, for the error.
        train: what is there to train on.
        validation, test: as given, or None.
    Returns:
        Train, validation and test split.
    Raises:
        DataError: there are too few samples.
    """
    if test is None and validation is not None:
        validation, test = None, validation
    missing = [0 if validation else VALIDATION, 0 if test else TEST]
    sizes = [int(np.ceil(len(train) * fraction)) for fraction in missing]
    rest = len(train) - sum(sizes)
    if rest < 1:
        raise DataError(f"{name}: {len(train)} samples are too few to divide")
    strata = np.zeros(len(train)) if train.y.is_floating_point() else train.y.numpy()  # numbers have no classes
    parts = [train.take(index) for index in stratified(strata, (rest, *sizes))] if sum(sizes) else [train] * 3
    return parts[0], validation or parts[1], test or parts[2]


def check_classes(name: object, train: Split, classes: Sequence[str]) -> None:
    """Stop where a class has nothing to learn from.

    Args:
        name: of the data set, for the error.
        train: the training split.
        classes: their names, by number; none for numbers to predict.
    Raises:
        DataError: there are fewer than two classes, or one without training samples.
    """
    if train.y.is_floating_point():  # numbers to predict
        return
    if len(classes) < 2:
        raise DataError(f"{name}: at least two classes are needed, got {', '.join(classes) or 'none'}")
    counts = np.bincount(train.y.numpy(), minlength=len(classes))
    if not counts.all():
        raise DataError(f"{name}: class {classes[int(counts.argmin())]!r} has no training samples")


def tidy(label: str) -> str:
    """A label without the spaces around it, its letters in one form: "good " and "good" are one class."""
    return unicodedata.normalize("NFC", label.strip())


def in_order(labels: Iterable[str]) -> list[str]:
    """Different labels in the order of the alphabet or, where all are numbers, of the numbers.

    Example:
        >>> in_order(["10", "9", "-1"]), in_order(["10", "9", "b"])
        (['-1', '9', '10'], ['10', '9', 'b'])
    """
    known = sorted(set(labels))
    return sorted(known, key=float) if all(map(is_number, known)) else known


def is_number(label: str) -> bool:
    """Whether a label is written as a number is."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", label, re.ASCII | re.IGNORECASE) is not None


def as_targets(where: str, values: np.ndarray) -> torch.Tensor:
    """Numbers to predict, float32, as they are.

    Args:
        where: what holds them, for the error.
        values: float64, (N).
    Raises:
        DataError: one is not finite, all are the same, or float32 cannot tell them apart.
    """
    if not np.isfinite(values).all():
        raise DataError(f"{where}: number {int(np.isfinite(values).argmin()) + 1} to predict is not finite")
    spread = float(np.ptp(values))
    if spread == 0:
        raise DataError(f"{where}: all numbers to predict are {values[0]:g}, there is nothing to learn")
    largest = float(np.abs(values).max())
    if largest > FLOAT32_LARGEST or largest * FLOAT32_STEP > COARSEST * spread:
        raise DataError(
            f"{where}: the numbers to predict, {values.min():.9g} to {values.max():.9g}, lose their differences in "
            f"float32; take their mean off and divide by their deviation"
        )
    return torch.from_numpy(values.astype(np.float32))


def about_targets(y: torch.Tensor) -> str:
    """What there is to say about numbers to predict; where their size will make training slow, that too."""
    mean, deviation = float(y.double().mean()), float(y.double().std(correction=0))
    said = f"Numbers to predict, as they are: {y.min():g} to {y.max():g}."
    if abs(mean) > FAR or not 1 / FAR <= deviation <= FAR:
        said += f" Networks begin near 0: (y - {mean:.4g}) / {deviation:.4g} is learnt faster."
    return said
