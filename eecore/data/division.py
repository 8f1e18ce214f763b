"""Splits for data that come without them: stratified parts of what is there, always the same.

Axes: N samples.
"""

from collections.abc import Sequence

import numpy as np

from eecore.data.dataset import Split
from eecore.data.splits import stratified
from eecore.errors import DataError

VALIDATION = 0.1  # fraction of the samples at hand
TEST = 0.2


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
    parts = [train.take(index) for index in stratified(train.y.numpy(), (rest, *sizes))] if sum(sizes) else [train] * 3
    return parts[0], validation or parts[1], test or parts[2]


def check_classes(name: object, train: Split, classes: Sequence[str]) -> None:
    """Stop where a class has nothing to learn from.

    Args:
        name: of the data set, for the error.
        train: the training split.
        classes: their names, by number.
    Raises:
        DataError: there are fewer than two classes, or one without training samples.
    """
    if len(classes) < 2:
        raise DataError(f"{name}: at least two classes are needed, got {', '.join(classes) or 'none'}")
    counts = np.bincount(train.y.numpy(), minlength=len(classes))
    if not counts.all():
        raise DataError(f"{name}: class {classes[int(counts.argmin())]!r} has no training samples")
