"""MNIST, 5 000 images, parted by class: digits 0 to 5 to pretrain on, digits 6 to 9 to fine-tune on.

The second part has few training images, which is where given weights matter.
"""

from dataclasses import replace

import torch

from eecore.data import embedded
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.preparation import of_arrays
from eecore.data.splits import stratified

FIRST_OF_HIGH = 6  # so that the parts have different numbers of classes, and the last linear map starts anew
LOW_SIZES = (2000, 500, 500)  # train, validation, test
HIGH_SIZES = (300, 500, 1200)

LOW = replace(
    embedded.MNIST5K,
    name="mnist5k_low",
    title="MNIST, digits 0 to 5",
    classes=FIRST_OF_HIGH,
    note="The 3000 images of mnist5k that show 0 to 5, to pretrain on: 2000 / 500 / 500, stratified.",
)
HIGH = replace(
    embedded.MNIST5K,
    name="mnist5k_high",
    title="MNIST, digits 6 to 9",
    classes=10 - FIRST_OF_HIGH,
    note="The 2000 images of mnist5k that show 6 to 9, to fine-tune on: 300 / 500 / 1200, stratified. Class 0 is a 6.",
)


def make_low() -> Dataset:
    """Digits 0 to 5."""
    return _part(LOW, 0, LOW_SIZES)


def make_high() -> Dataset:
    """Digits 6 to 9, as classes 0 to 3."""
    return _part(HIGH, FIRST_OF_HIGH, HIGH_SIZES)


def _part(info: Info, first: int, sizes: tuple[int, int, int]) -> Dataset:
    """The images of `info.classes` classes from `first` on, grey values in [0, 1], divided anew."""
    known = embedded.make_mnist5k()
    splits = (known.train, known.validation, known.test)
    x, y = torch.cat([split.x for split in splits]), torch.cat([split.y for split in splits])
    here = (y >= first) & (y < first + info.classes)
    grey = (x[here] * known.std + known.mean).clamp(0, 1)
    whole = Split(grey, y[here] - first)
    train, validation, test = (whole.take(rows) for rows in stratified(whole.y.numpy(), sizes))
    preparation = of_arrays(info.shape, scale=1 / 255)
    return assemble(info, train=train, validation=validation, test=test, preparation=preparation)
