"""Fashion-MNIST, whole: found in a folder, in Debian's package or in the cache, or downloaded on request.

Axes: N samples, H height, W width (28 each).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import torch

from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import cache_folder, check_sha256, data_folders, file_lock, find, parse_idx, read_unpacked
from eecore.data.preparation import of_arrays
from eecore.data.splits import stratified
from eecore.errors import DataError

FOLDER = "fashion_mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SIZES = (55_000, 5_000)  # of the published 60 000: train, validation
SECONDS = 60  # how long a silent server is waited for


@dataclass(frozen=True)
class Sums:
    """sha256 of a file as published (.gz), and of what is in it.

    Debian packs the same content again, under another header: the content is what decides.
    """

    archive: str
    content: str


PUBLISHED = {
    "train-images-idx3-ubyte": Sums(
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte": Sums(
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte": Sums(
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte": Sums(
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}

INFO = Info(
    name="fashion_mnist",
    title="Fashion-MNIST",
    kind="image",
    shape=(1, 28, 28),
    classes=10,
    source="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    citation="Xiao, Rasul and Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
    note="60 000 published training images: 55 000 train, 5 000 validation, stratified; 10 000 test as published.",
    augment="crop_flip",
)


def make() -> Dataset:
    """The registered data set."""
    return make_fashion()


def make_fashion(sums: Mapping[str, Sums] = PUBLISHED, sizes: tuple[int, int] = SIZES) -> Dataset:
    """Read the four files, wherever they are, and divide the published training images.

    Args:
        sums: checksum of each file; a test that brings files of its own brings their sums too.
        sizes: training and validation samples; they add up to the published training set.
    Raises:
        DataError: a file is missing or damaged.
    """
    arrays = {stem: _read(stem, sums[stem]) for stem in sums}
    pool = _split(arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"])
    test = _split(arrays["t10k-images-idx3-ubyte"], arrays["t10k-labels-idx1-ubyte"])
    train, validation = (pool.take(index) for index in stratified(pool.y.numpy(), sizes))
    preparation = of_arrays(INFO.shape, scale=1 / 255)
    return assemble(INFO, train=train, validation=validation, test=test, preparation=preparation)


def fetch(base_url: str = URL, sums: Mapping[str, Sums] = PUBLISHED) -> Path:
    """Download what is missing or damaged in the cache folder; a file counts once its sha256 is right.

    Args:
        base_url: folder of the four .gz files; a mirror, for instance.
        sums: checksum of each file.
    Returns:
        The folder that holds them.
    Raises:
        DataError: a file cannot be downloaded or is not what it should be.
    """
    folder = cache_folder() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / ".lock"):
            for stem in sums:
                pooch.retrieve(
                    url=f"{base_url.rstrip('/')}/{stem}.gz",
                    known_hash=f"sha256:{sums[stem].archive}",
                    fname=f"{stem}.gz",
                    path=folder,
                    downloader=pooch.HTTPDownloader(timeout=SECONDS),
                )
    except (OSError, ValueError) as problem:  # no network or disk; a sha256 that differs
        reason = " ".join(str(problem).split())
        raise DataError(f"fashion_mnist: download from {base_url} failed: {reason}") from problem
    return folder


def present() -> list[Path]:
    """The files that are here."""
    found = (find((f"{stem}.gz", stem), folders()) for stem in PUBLISHED)
    return [path for path in found if path is not None]


def folders() -> list[Path]:
    """Where the files are looked for, in this order."""
    own = [place for folder in data_folders() for place in (folder / FOLDER, folder)]
    return [*own, DEBIAN]


def _read(stem: str, sums: Sums) -> np.ndarray:
    """One file as an array of bytes, its checksum verified."""
    path = find((f"{stem}.gz", stem), folders())
    if path is None:
        places = ", ".join(map(str, folders()))
        raise DataError(
            f"fashion_mnist: {stem}.gz is missing; looked in {places}. Get it by "
            'eecore.data.fetch("fashion_mnist"), or on Debian without root by: '
            "apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb fm && "
            'export EECORE_DATA="$PWD/fm/usr/share/datasets/fashion-mnist"'
        )
    content = read_unpacked(path)
    check_sha256(path, content, sums.content)
    return parse_idx(path, content)


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    """Grey values in [0, 1], (N, 1, H, W), and classes."""
    x = torch.from_numpy(images.astype(np.float32)).unsqueeze(1).div_(255)
    return Split(x, torch.from_numpy(labels.astype(np.int64)))
