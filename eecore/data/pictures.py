"""Image files of any size and mode as one array of small squares.

Each picture is turned as its camera says, made RGB (grey gives three equal channels, transparency is dropped,
16 bits of grey become 8), cut to the square in its middle and resized to S x S with a bicubic filter.

Axes: N samples, S side in pixels.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from eecore.data import raw
from eecore.data.files import cache_folder, cached_arrays, sha256
from eecore.data.streamed import DIGEST, Pixels, content_hash
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
    _read_each(name, files, side, images.__setitem__)
    return images


def _read_each(name: object, files: Sequence[Path], side: int, keep: Callable[[int, np.ndarray], None]) -> None:
    """Hand each picture, uint8 (3, S, S), to `keep` with its number; several threads, in any order."""

    def read(i: int) -> str:
        try:
            keep(i, raw.square(files[i], side))
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


def cached_pictures(name: object, files: Sequence[Path], side: int) -> np.ndarray:
    """As `read_pictures`; kept in the cache folder for the next process.

    A file counts as unchanged while its name, size in bytes and time of change are the same.
    """
    return cached_arrays(f"pictures-{_key(files, side)}", lambda: {"x": read_pictures(name, files, side)})["x"]


def stored_pictures(name: object, files: Sequence[Path], side: int) -> Pixels:
    """The same pictures in a file of the cache folder, of which batches are read: for what does not fit in memory.

    Raises:
        DataError: a picture cannot be opened, or the file cannot be written, because the disk is full for example.
    """
    key = _key(files, side)
    path = cache_folder() / f"pictures-{key}.u8"
    described = f"pictures-{key}-about"
    if not path.is_file() or path.stat().st_size != len(files) * 3 * side**2:
        (cache_folder() / f"{described}.safetensors").unlink(missing_ok=True)
    about = cached_arrays(described, lambda: _store(name, files, side, path))
    return Pixels(path, side, about["hashes"], about["sums"])


def _key(files: Sequence[Path], side: int) -> str:
    """What the pictures are called in the cache folder."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    recipe = sha256(Path(__file__).read_bytes() + Path(raw.__file__).read_bytes())[:12]
    return sha256(repr((states, side, recipe)).encode())[:24]


def _store(name: object, files: Sequence[Path], side: int, path: Path) -> dict[str, np.ndarray]:
    """Write the pictures to `path`; hashes and sums as `Pixels` wants them."""
    shape = (len(files), 3, side, side)
    hashes = np.empty((len(files), DIGEST), dtype=np.uint8)
    sums = np.empty((len(files), 3, 2), dtype=np.int64)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))  # a full disk says so here, not in the middle
        images = np.memmap(part, dtype=np.uint8, mode="r+", shape=shape)

        def keep(i: int, picture: np.ndarray) -> None:
            values = picture.reshape(3, -1).astype(np.int64)
            images[i] = picture
            hashes[i] = np.frombuffer(content_hash(picture), dtype=np.uint8)
            sums[i] = np.stack([values.sum(axis=1), np.square(values).sum(axis=1)], axis=1)

        _read_each(name, files, side, keep)
        images.flush()
        os.replace(part, path)
    except OSError as problem:
        raise DataError(f"{name}: its pictures cannot be stored in {path.parent}: {problem}") from problem
    finally:
        part.unlink(missing_ok=True)
    return {"hashes": hashes, "sums": sums}
