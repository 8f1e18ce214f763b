"""From a raw sample (a picture, a text, an array) to a row of `x`, with numpy and Pillow alone.

`export` puts this text into the runner that lies beside the graphs, so nothing of torch is imported here: pictures and
sentences are read by the same lines when a network is trained and wherever it is used.

Axes: N samples, C channels, H height, W width, L length, S tokens of a text (or side of a square picture).
"""

import os
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eecore.special import PADDING, SEPARATOR, UNKNOWN

FAR = 20.0  # standard deviations: values whose mean is as far from the training data's are in another unit
# Scripts that are written without spaces: Thai, Lao, Tibetan; Myanmar; Khmer; kana, Han, also as half and full widths
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:'[^\W_{_UNSPACED}]+)*|[^\w\s]")


class SampleError(ValueError):
    """A sample cannot be read, or is none of those that a network takes; one line."""


class Rows(NamedTuple):
    """Samples as a network takes them.

    Args:
        x: (N, ...), rows as those that it has learnt from.
        names: N, what each is called: its file, its text, its place in an array.
        notes: N, what whoever asks should know of it, such as "none of its words is known"; mostly empty.
    """

    x: np.ndarray
    names: list[str]
    notes: list[str]


# --- one picture, one text


def square(source: Any, side: int, bits: int = 16) -> np.ndarray:
    """One picture, uint8 (3, S, S), turned as its camera says, what is transparent on white.

    Args:
        source: its file, or a Pillow image.
        side: S, in pixels.
        bits: how many of the 16 bits of a grey value are in use, 8 to 16; of these the first 8 are kept.
    Raises:
        ValueError: its mode has no fixed range of values.
        OSError, SyntaxError, EOFError, PIL.Image.DecompressionBombError: it cannot be opened.
    """
    from PIL import Image, ImageOps  # the runner of texts and arrays does without

    with source if isinstance(source, Image.Image) else Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened)
        if is_deep_grey(image):
            image = Image.fromarray(np.minimum(np.asarray(image) >> (bits - 8), 255).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError(f"its mode {image.mode} has no fixed range; store it with 8 or 16 bits")
        if image.has_transparency_data:  # or colours that nobody sees would count
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
        return np.asarray(image).transpose(2, 0, 1)


def is_deep_grey(image: Any) -> bool:
    """Whether a picture of Pillow's is grey with 16 bits; some forms of file come with 32, of which 16 are in use."""
    if image.mode == "I":
        low, high = image.getextrema()
        return bool(low >= 0 and high < 2**16)
    return bool(image.mode.startswith("I;16"))


def words(text: str) -> list[str]:
    """Words in small letters, an apostrophe within a word included; each other sign is a token of its own.

    So is each character of a script that puts no spaces between words, such as Chinese, Japanese, Thai or Khmer.

    Example:
        >>> words("Who's in U.S. politics?")
        ["who's", 'in', 'u', '.', 's', '.', 'politics', '?']
        >>> words("iPhone很好。")
        ['iphone', '很', '好', '。']
    """
    return _WORD.findall(text.lower())


CUTS: dict[str, Callable[[str], list[str]]] = {"words": words, "characters": list}


def token_number(token: str, numbers: dict[str, int], size: int, buckets: int) -> int:
    """Number of one token in a vocabulary (see `eecore.data.tokens.Vocabulary`)."""
    known = numbers.get(token)
    if known is not None:
        return known
    return size - 1 - zlib.crc32(token.encode(errors="replace")) % buckets if buckets else UNKNOWN


def ended(tokens: Sequence[str], number: Callable[[str], int], length: int) -> list[int]:
    """Numbers of at most S - 1 tokens, and SEPARATOR."""
    return [*(number(token) for token in tokens[: length - 1]), SEPARATOR]


def padded(rows: Sequence[list[int]], length: int) -> np.ndarray:
    """Rows of numbers, int64 (N, S), PADDING behind the end of each."""
    out = np.full((len(rows), length), PADDING, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


# --- samples of every kind


def prepare(samples: Any, about: dict[str, Any], *, prepared: bool = False) -> Rows:
    """Raw samples as rows of `x`.

    Args:
        samples: one or a sequence: files of pictures, Pillow images or arrays of pixels; texts, or their files as
            `Path`; arrays of one sample or many, or .npy files of them.
        about: "preparation" (see `eecore.data.preparation`), "shape" and "dtype" of one row, perhaps "vocabulary".
        prepared: arrays are rows of `x` already.
    Raises:
        SampleError: one of them cannot be read or is no sample of this kind; the first is named.
    """
    if _preparation(about)["form"] not in FORMS:
        raise SampleError(f"preparation: {_preparation(about)['form']!r} is not known; known: {', '.join(FORMS)}")
    single = isinstance(samples, str | os.PathLike | np.ndarray) or not isinstance(samples, Iterable)
    single = single or hasattr(samples, "__array__") or hasattr(samples, "getbands")
    given = [samples] if single else list(samples)
    if not given:
        raise SampleError("samples: none came; expected one or more")
    places = [""] if single else [f"[{i}]" for i in range(len(given))]
    found = [_prepare_one(one, place, about, prepared) for one, place in zip(given, places, strict=True)]
    return _joined(found)


def _joined(found: Sequence[Rows]) -> Rows:
    x = np.concatenate([one.x for one in found])
    return Rows(x, [name for one in found for name in one.names], [note for one in found for note in one.notes])


def _prepare_one(sample: Any, place: str, about: dict[str, Any], prepared: bool) -> Rows:
    """The rows of one file, text, picture or array."""
    form = _preparation(about)["form"]
    if isinstance(sample, str) and form == "text":
        return _text_rows(sample, about, sample)
    if isinstance(sample, str | os.PathLike):
        if not os.fspath(sample):
            raise SampleError(f"samples: a name is empty; expected {FORMS[form]}")
        place, path = os.fspath(sample), Path(sample)
        if path.suffix.lower() != ".npy":
            return _text_rows(_read(path), about, place) if form == "text" else _picture_rows(path, about, place)
        sample = _load(path)
    elif hasattr(sample, "getbands"):
        return _picture_rows(sample, about, place or "[0]")
    elif not hasattr(sample, "__array__"):
        raise SampleError(f"samples: expected {FORMS[form]}, got {type(sample).__name__}")
    return _rows_in(np.asarray(sample), place, about, prepared)


def _rows_in(x: np.ndarray, place: str, about: dict[str, Any], prepared: bool) -> Rows:
    """The rows of an array of one sample or many."""
    form, name = _preparation(about)["form"], place or "samples"
    if form == "rows" or prepared:
        x = _in_shape(x, tuple(about["shape"]), name, exact=True)
        check_rows(x, about, name)
        return Rows(x, _places(place, len(x)), [""] * len(x))
    if form == "text":
        texts = np.atleast_1d(x).tolist()
        if not texts or not all(isinstance(text, str) for text in texts):
            given = f"{x.dtype} of {x.shape}"
            raise SampleError(f"{name}: expected {FORMS[form]}, got {given}; rows of token numbers need `prepared`")
        return _joined([_text_rows(text, about, text) for text in texts])
    if form == "picture" and (pictures := _pictures_in(x, tuple(about["shape"]))):
        x = np.stack([square(picture, about["shape"][1]) for picture in pictures])
    return _array_rows(x, about, place)


def _preparation(about: dict[str, Any]) -> dict[str, Any]:
    return about.get("preparation") or {"form": "rows"}


def check_rows(x: np.ndarray, about: dict[str, Any], name: str = "x") -> None:
    """Stop where rows of `x` are not of the type, or hold values, that a network has not learnt from.

    Raises:
        SampleError: so it is.
    """
    if x.dtype != about["dtype"]:
        raise SampleError(f"{name}: expected {about['dtype']}, got {x.dtype}")
    check_finite(x, name)
    size = about.get("vocabulary", 0)
    if size and (x.min() < 0 or x.max() >= size):
        raise SampleError(f"{name}: expected token numbers 0..{size - 1}, got {x.min()}..{x.max()}")


def check_finite(x: np.ndarray, name: str) -> None:
    """Stop where a sample holds values that are not finite."""
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
    if len(bad):
        raise SampleError(f"{name}: sample {bad[0]} holds values that are not finite (NaN or infinity)")


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as problem:
        raise SampleError(f"{path}: no .npy file of numbers or texts: {_reason(problem)}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise SampleError(f"{path}: its text cannot be read: {_reason(problem)}") from None


def _reason(problem: BaseException) -> str:
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return " ".join(said.split()) or type(problem).__name__


def _text_rows(text: str, about: dict[str, Any], name: str) -> Rows:
    """One text as a row of token numbers."""
    preparation = _preparation(about)
    if preparation["cut"] not in CUTS:
        raise SampleError(f"preparation: cut {preparation['cut']!r} is not known; known: {', '.join(CUTS)}")
    tokens = CUTS[preparation["cut"]](text)
    if not text.strip() or not tokens:
        raise SampleError(f"samples: the text {short(name)!r} is empty; expected {preparation['cut']}")
    length, numbers = preparation["length"], preparation["numbers"]
    read = tokens[: length - 1]
    notes = []
    if not any(token in numbers for token in read):
        notes.append(f"none of its {preparation['cut']} is known to the network: the answer says nothing")
    if len(read) < len(tokens):
        notes.append(f"of its {len(tokens)} tokens the first {len(read)} are read")
    row = ended(tokens, lambda token: token_number(token, numbers, preparation["size"], preparation["buckets"]), length)
    return Rows(padded([row], length), [name], ["; ".join(notes)])


def short(text: str) -> str:
    """A text as it stands in a message, cut where it is long."""
    return text if len(text) <= 60 else text[:57] + "..."


def _picture_rows(source: Any, about: dict[str, Any], name: str) -> Rows:
    """One picture as a row of pixels."""
    shape, form = tuple(about["shape"]), _preparation(about)["form"]
    squares = len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2]
    if form in ("rows", "text") or not squares or not _is_bytes(_preparation(about)):
        raise SampleError(f"{name}: expected {FORMS[form]}")
    try:
        picture = square(source, shape[1], _preparation(about).get("bits", 16))[None]
    except Exception as problem:  # whatever a damaged file makes Pillow raise, it is that file which cannot be read
        reason = "no image in it" if type(problem).__name__ == "UnidentifiedImageError" else _reason(problem)
        raise SampleError(f"{name}: cannot be opened as a picture: {reason}") from None
    if shape[0] == 1:
        picture = _grey(picture)
    return _array_rows(picture, about, name)


def _grey(pictures: np.ndarray) -> np.ndarray:
    """The grey values of colours, uint8 (N, 1, H, W), as Pillow's mode L has them."""
    r, g, b = (pictures[:, i].astype(np.int64) for i in range(3))
    return ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16).astype(np.uint8)[:, None]


def _pictures_in(x: np.ndarray, shape: tuple[int, ...]) -> list[Any] | None:
    """Pictures of any size in an array, (H, W, C) each; None where it holds squares of the network's own size."""
    if x.dtype != np.uint8 or x.shape in (shape, (len(x), *shape)):
        return None
    from PIL import Image

    colours = x.ndim >= 3 and x.shape[-1] in (3, 4)
    if x.ndim not in (2 + colours, 3 + colours) or not x.size:
        return None
    return [Image.fromarray(one) for one in (x if x.ndim == 3 + colours else x[None])]


def _is_bytes(preparation: dict[str, Any]) -> bool:
    return preparation["form"] == "picture" or preparation.get("scale", 1.0) != 1.0


def _array_rows(x: np.ndarray, about: dict[str, Any], place: str) -> Rows:
    """Raw arrays, normalised as the training data are."""
    name, preparation = place or "samples", _preparation(about)
    if x.dtype.kind not in "uif":
        raise SampleError(f"{name}: expected numbers, got {x.dtype}")
    x = _in_shape(x, tuple(about["shape"]), name, last=preparation.get("channels") == "last")
    check_finite(x, name)
    exact: Any = np.float64 if x.dtype.itemsize > 2 and x.dtype != np.float32 else np.float32
    axes = (1, -1, *(1,) * (x.ndim - 2))
    mean, std = (np.array(preparation[key], dtype=exact).reshape(axes) for key in ("mean", "std"))
    if _is_bytes(preparation) and not _are_shares(x, name):
        whole = np.float32(1 / preparation.get("scale", 1 / 255))
        mean, std = whole * mean, whole * std
    values: Any = x.astype(exact)
    rows = (values - mean) / std
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(rows, dtype=np.float32)
    check_finite(rows, name)
    notes = [""] * len(rows)
    if preparation["form"] == "array":
        away = np.abs(rows).reshape(len(rows), -1).mean(axis=1)
        said = f"its values lie more than {FAR:.0f} standard deviations from the training data's: is its unit theirs?"
        notes = [said if far > FAR else "" for far in away]
    return Rows(rows, _places(place, len(rows)), notes)


def _are_shares(x: np.ndarray, name: str) -> bool:
    """Whether pixels are floats from 0 to 1, not levels from 0 to 255.

    Raises:
        SampleError: they are neither.
    """
    low, high = x.min(), x.max()
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        return True
    if low < 0 or high > 255 or (x.dtype.kind == "f" and high <= 2):
        raise SampleError(
            f"{name}: expected pixels, whole numbers 0..255 or floats 0..1, got {low:.4g}..{high:.4g}; "
            "rows that are normalised already need `prepared`"
        )
    return False


def _in_shape(x: np.ndarray, shape: tuple[int, ...], name: str, exact: bool = False, last: bool = False) -> np.ndarray:
    """Samples as (N, *shape): one sample or many, with channels last too, or none where there is one.

    Where the network has learnt from samples with channels `last`, that reading comes first: a cube has both.

    Raises:
        SampleError: they are none of these, or there is none.
    """
    expected = ", ".join(map(str, shape))
    if x.size:
        for batch in (x, x[None]):
            if last and not exact and batch.shape[1:] == (*shape[1:], shape[0]):
                return np.moveaxis(batch, -1, 1)
            if batch.shape[1:] == shape:
                return batch
            if not exact and len(shape) > 1 and shape[0] == 1 and batch.shape[1:] == shape[1:]:
                return batch[:, None]
            if not exact and len(shape) > 1 and batch.shape[1:] == (*shape[1:], shape[0]):
                return np.moveaxis(batch, -1, 1)
    raise SampleError(f"{name}: expected an array (N >= 1, {expected}), got {x.shape}")


def _places(place: str, count: int) -> list[str]:
    return [place] if place and count == 1 else [f"{place}[{i}]" for i in range(count)]


FORMS = {  # of preparations -> what a raw sample is
    "picture": "a picture: a file such as photo.jpg, an image of Pillow, or an array of pixels, perhaps in a .npy file",
    "text": "a text, or its file",
    "array": "an array of numbers, perhaps in a .npy file",
    "rows": "an array of rows, normalised as those that it has learnt from (how is not known), perhaps in a .npy file",
}
