"""Image files of any size and mode as one array of small squares.

Each picture is turned as its camera says, made RGB (grey gives three equal channels, what is transparent lies on white,
16 bits of grey become the first 8 that the data set uses), cut to the square in its middle and resized to S x S with a
bicubic filter.

Axes: N samples, S side in pixels.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from eecore.data import raw
from eecore.data.counted import counted
from eecore.data.files import cache_folder, cached_arrays, sha256
from eecore.data.streamed import DIGEST, Pixels, content_hash
from eecore.errors import DataError

DOCUMENTS = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "PDF", "PSD", "WMF"}  # what Pillow reads and is no picture
DEEP = {".jp2", ".pgm", ".png", ".tif", ".tiff"}  # endings of files that may have 16 bits of grey
SEVERAL = {".apng", ".avif", ".gif", ".png", ".tif", ".tiff", ".webp"}  # endings of files that may have several frames
PATIENCE = 5000  # pictures: more of them get a progress bar


@functools.cache
def endings() -> frozenset[str]:
    """Endings of the files that Pillow reads as pictures, in small letters, such as ".jpg"."""
    known = Image.registered_extensions()
    return frozenset(end for end, form in known.items() if form in Image.OPEN and form not in DOCUMENTS)


def listing(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Picture files below `folder`, at any depth, linked folders included, and what else is there, counted by its kind.

    Hidden files and folders are no part of either.
    """
    found, others = [], Counter[str]()
    around = os.path.realpath(folder)
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or (real != around and around.startswith(real.rstrip(os.sep) + os.sep)):
            others["links to a folder around it, or linked before"] += 1
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for path in (Path(place, name) for name in sorted(files) if name[0] != "."):
            end = path.suffix.lower()
            if not path.exists():
                others["links to what is not there"] += 1
            elif not path.is_file():
                others["pipes or the like"] += 1
            elif end in endings():
                found.append(path)
            else:
                others[f"files that end in {end}" if end else "files without an ending"] += 1
    return found, others


def picture_files(folder: Path) -> list[Path]:
    """The files of `listing`."""
    return listing(folder)[0]


def grey_bits(files: Sequence[Path]) -> int:
    """How many bits the grey values of 16-bit pictures use, over all of them: 8, 10, 12, 14 or 16; 16 without any.

    Twelve bits in files of sixteen, as cameras of microscopes and X-rays write them, would else keep 16 levels of grey.
    A file that cannot be read counts nothing here.
    """

    def largest(path: Path) -> int:
        try:
            with Image.open(path) as image:
                return int(np.asarray(image).max()) if raw.is_deep_grey(image) else -1
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            return -1

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        most = max(pool.map(largest, [path for path in files if path.suffix.lower() in DEEP]), default=-1)
    bits = max(8, most.bit_length())
    return 16 if most < 0 else bits + bits % 2


def unread(files: Sequence[Path]) -> Counter[str]:
    """What of the pictures themselves is not read: later frames or pages, and the last bits of 16 a colour.

    A file that cannot be read counts nothing here.
    """

    def of(path: Path) -> list[str]:
        try:
            with Image.open(path) as image:
                deep = image.mode[:3] == "RGB" and any(";16" in str(tile[3]) for tile in image.tile)
                several = getattr(image, "is_animated", getattr(image, "n_frames", 1) > 1)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            return []
        found = ["pictures of several frames or pages, of which the first is read"] if several else []
        return [*found, *(["pictures of 16 bits a colour, of which the first 8 are read"] if deep else [])]

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        named = pool.map(of, [path for path in files if path.suffix.lower() in SEVERAL])
        return Counter(what for all_of_it in named for what in all_of_it)


def read_pictures(name: object, files: Sequence[Path], side: int, bits: int = 16) -> np.ndarray:
    """The pictures, in order, as uint8 (N, 3, S, S).

    Args:
        name: of the data set, for the error.
        files: image files.
        side: S.
        bits: see `grey_bits`.
    Raises:
        DataError: one or more cannot be opened; the first is named.
    """
    images = np.empty((len(files), 3, side, side), dtype=np.uint8)
    _read_each(name, files, side, bits, images.__setitem__)
    return images


def _read_each(
    name: object, files: Sequence[Path], side: int, bits: int, keep: Callable[[int, np.ndarray], None]
) -> None:
    """Hand each picture, uint8 (3, S, S), to `keep` with its number; several threads, in any order."""

    def read(i: int) -> str:
        try:
            keep(i, raw.square(files[i], side, bits))
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
        raise DataError(f"{name}: {len(bad)} of {counted(len(files), 'images')} cannot be opened, the first is {first}")


def cached_pictures(name: object, files: Sequence[Path], side: int, bits: int = 16) -> np.ndarray:
    """As `read_pictures`; kept in the cache folder for the next process.

    A file counts as unchanged while its name, size in bytes and time of change are the same.
    """
    key = f"pictures-{_key(files, side, bits)}"
    return cached_arrays(key, lambda: {"x": read_pictures(name, files, side, bits)})["x"]


def stored_pictures(name: object, files: Sequence[Path], side: int, bits: int = 16) -> Pixels:
    """The same pictures in a file of the cache folder, of which batches are read: for what does not fit in memory.

    Raises:
        DataError: a picture cannot be opened, or the file cannot be written, because the disk is full for example.
    """
    key = _key(files, side, bits)
    path = cache_folder() / f"pictures-{key}.u8"
    described = f"pictures-{key}-about"
    if not path.is_file() or path.stat().st_size != len(files) * 3 * side**2:
        (cache_folder() / f"{described}.safetensors").unlink(missing_ok=True)
    about = cached_arrays(described, lambda: _store(name, files, side, bits, path))
    return Pixels(path, side, about["hashes"], about["sums"])


def _key(files: Sequence[Path], side: int, bits: int) -> str:
    """What the pictures are called in the cache folder."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    recipe = sha256(Path(__file__).read_bytes() + Path(raw.__file__).read_bytes())[:12]
    return sha256(repr((states, side, bits, recipe)).encode())[:24]


def _store(name: object, files: Sequence[Path], side: int, bits: int, path: Path) -> dict[str, np.ndarray]:
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

        _read_each(name, files, side, bits, keep)
        images.flush()
        os.replace(part, path)
    except OSError as problem:
        raise DataError(f"{name}: its pictures cannot be stored in {path.parent}: {problem}") from problem
    finally:
        part.unlink(missing_ok=True)
    return {"hashes": hashes, "sums": sums}
