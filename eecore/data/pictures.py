"""Image files of any size and mode as one array of small squares.

Each picture is turned as its camera says, made RGB (grey gives three equal channels, transparency is dropped,
16 bits of grey become 8), cut to the square in its middle and resized to S x S with a bicubic filter.

Axes: N samples, S side in pixels.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from eecore.data.files import cached_arrays, sha256
from eecore.errors import DataError

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
PATIENCE = 5000  # pictures: more of them get a progress bar


def picture_files(folder: Path) -> list[Path]:
    """Files below `folder`, at any depth, whose names end as those of images do; hidden ones are left out."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, f) for f in sorted(files) if Path(f).suffix.lower() in ENDINGS and f[0] != "."]
    return found


def read_pictures(name: object, files: Sequence[Path], side: int) -> np.ndarray:
    """The pictures, in order, as uint8 (N, 3, S, S).

    Args:
        name: of the data set, for the error.
        files: image files.
        side: S.
    Raises:
        DataError: one or more cannot be opened; the first is named.
    """
    images = np.empty((len(files), 3, side, side), dtype=np.uint8)

    def read(i: int) -> str:
        try:
            images[i] = _square(files[i], side)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as problem:
            known = isinstance(problem, UnidentifiedImageError)
            return "no image in it" if known else " ".join(str(problem).split())
        return ""

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        reading = pool.map(read, range(len(files)))
        said = list(tqdm(reading, total=len(files), desc="reading images", disable=len(files) < PATIENCE))
    bad = [i for i, problem in enumerate(said) if problem]
    if bad:
        first = f"{files[bad[0]]} ({said[bad[0]]})"
        raise DataError(f"{name}: {len(bad)} of {len(files)} images cannot be opened, the first is {first}")
    return images


def cached_pictures(name: object, files: Sequence[Path], side: int) -> np.ndarray:
    """As `read_pictures`; kept in the cache folder for the next process.

    A file counts as unchanged while its name, size in bytes and time of change are the same.
    """
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    recipe = sha256(Path(__file__).read_bytes())[:12]
    key = sha256(repr((states, side, recipe)).encode())[:24]
    return cached_arrays(f"pictures-{key}", lambda: {"x": read_pictures(name, files, side)})["x"]


def _square(path: Path, side: int) -> np.ndarray:
    """One picture, uint8 (3, S, S).

    Raises:
        ValueError: its mode has no fixed range of values.
    """
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError(f"its mode {image.mode} has no fixed range; store it with 8 or 16 bits")
        if image.mode == "P":  # a palette may carry transparency, which RGBA keeps apart from the colours
            image = image.convert("RGBA")
        image = ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
        return np.asarray(image).transpose(2, 0, 1)
