"""Reading texts and their classes from the files that authors publish, and making a data set of them.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eecore.data import raw, tokens
from eecore.data.dataset import TARGETS, Dataset, Info, Split, assemble
from eecore.data.files import data_folders
from eecore.data.preparation import of_texts
from eecore.data.streamed import content_hash
from eecore.errors import DataError, choose
from eecore.special import FIRST, UNKNOWN

STRANGE = 0.5  # fraction of unknown tokens from which on a data set says so


@dataclass(frozen=True)
class Texts:
    """Some texts and their classes, or their numbers to predict; N of each."""

    texts: Sequence[str]
    classes: Sequence[int] | Sequence[float]

    def take(self, index: np.ndarray) -> "Texts":
        """Those at the integer positions `index`, in that order."""
        return Texts([self.texts[i] for i in index], [self.classes[i] for i in index])


def assemble_texts(
    info: Info,
    train: Texts,
    validation: Texts,
    test: Texts,
    cut: Callable[[str], list[str]] = raw.words,
    *,
    copies: str = "tokens",
    left_out: tuple[str, ...] = (),
) -> Dataset:
    """Cut texts into tokens, number these by a vocabulary learnt from the training texts, and assemble.

    Args:
        info: describes the result; its shape and vocabulary are S and V.
        train, validation, test: disjoint parts.
        cut: gives a text's tokens.
        copies: what two texts share that are one: their "tokens", as published results of the built-in data sets have
            it, where rare names and long ends are the same; or their "text", but for the spaces.
        left_out: as in Dataset; where most of the test part's tokens are unknown, this is added.
    Raises:
        DataError: see `assemble`.
    """
    parts = (train, validation, test)
    cuts = [[cut(text) for text in part.texts] for part in parts]
    vocabulary = tokens.learn(cuts[0], info.vocabulary)
    choose("copies", copies, ("tokens", "text"))
    splits = [
        Split(
            tokens.encode(texts, vocabulary, info.shape[0]),
            torch.tensor(part.classes, dtype=TARGETS[info.task]),
            hashes=[_text_hash(text) for text in part.texts] if copies == "text" else None,
        )
        for texts, part in zip(cuts, parts, strict=True)
    ]
    unknown = _unknown_share(splits[2].x)
    if unknown > STRANGE:
        left_out = (*left_out, f"{unknown:.0%} of the words of the test texts, which no training text has")
    name = next((name for name, known in raw.CUTS.items() if known is cut), None)
    preparation = of_texts(vocabulary, info.shape[0], name) if name else None
    return assemble(
        info, train=splits[0], validation=splits[1], test=splits[2], left_out=left_out, preparation=preparation
    )


def _text_hash(text: str) -> bytes:
    """The same for texts that differ in spaces and ends of lines alone."""
    return content_hash(np.frombuffer(" ".join(text.split()).encode("utf-8", "surrogatepass"), dtype=np.uint8))


def _unknown_share(x: torch.Tensor) -> float:
    """Fraction of the tokens that the vocabulary does not hold; 0 where there are none."""
    unknown, known = int((x == UNKNOWN).sum()), int((x >= FIRST).sum())
    return unknown / max(1, unknown + known)


def locate(name: str, place: str, source: str) -> Path:
    """A file or folder of a data set, where it is in one of the data folders.

    Args:
        name: of the data set, for the error.
        place: path within a data folder.
        source: where to get it, for the error.
    Raises:
        DataError: it is in none of them; says where it was looked for and how to get it.
    """
    candidates = [folder / place for folder in data_folders()]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        looked = ", ".join(map(str, candidates))
        raise DataError(
            f"{name}: {Path(place).name} is missing; looked for {looked}. Get it from {source}, unpack it so that "
            f"{place} lies in a folder DIR, and say: export EECORE_DATA=DIR"
        )
    return found


def here(*places: str) -> list[Path]:
    """Those of the files and folders `places` that are in one of the data folders."""
    found = ([folder / place for folder in data_folders() if (folder / place).exists()] for place in places)
    return [paths[0] for paths in found if paths]


def read_text(path: Path) -> str:
    """A file's text: UTF-8 or, where it is not that, Latin-1, as archives of the nineties are. Lines end in one sign.

    Raises:
        DataError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}") from problem
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n")


def read_lines(path: Path, parse: Callable[[str], object], form: str, size: int, *, header: bool = False) -> list[Any]:
    """One parsed value per line that is not empty.

    Args:
        path: of the file. Lines end at a line feed alone: texts of the web hold other signs that Python takes for ends.
        parse: a line's value; raises ValueError, KeyError or IndexError where the line has another form.
        form: of a line, for the error.
        size: how many there must be, as published.
        header: the first line names the columns.
    Raises:
        DataError: a line has another form, or there are more or fewer of them.
    """
    values = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or (header and number == 1):
            continue
        try:
            values.append(parse(line))
        except (ValueError, KeyError, IndexError):
            raise DataError(f"{path}, line {number}: expected {form}, got {line[:40]!r}") from None
    check_count(path, len(values), size)
    return values


def check_count(place: Path, found: int, published: int) -> None:
    """Raise DataError where a part does not hold as many texts as were published."""
    if found != published:
        raise DataError(f"{place} is damaged or another version: it holds {found} texts, {published} were published")
