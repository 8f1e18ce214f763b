"""One's own texts: a CSV or Parquet file with the columns text and label, and perhaps split, as a data set.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from eecore.data import tokens
from eecore.data.dataset import Dataset, Info
from eecore.data.own import OwnName
from eecore.data.splits import stratified
from eecore.data.text_reading import Texts, assemble_texts
from eecore.errors import DataError, choose

COLUMNS = ("text", "label")
READERS = {".csv": ",", ".tsv": "\t", ".parquet": ""}  # ending -> what lies between two columns
PARTS = {"train": 0, "validation": 1, "val": 1, "dev": 1, "test": 2}
HELD_OUT = 0.15  # fraction that a part gets which the file does not name
FEWEST = 3  # samples of a class: one for each part
LARGEST = 30_000  # numbers of the vocabulary; a file with fewer words has as many as it needs
LONGEST = 256  # tokens of a text
COVERED = 0.99  # fraction of the texts that are not cut, where that needs no more than LONGEST tokens


def make_text_file(path: Path, name: str, *, length: int | None = None, vocabulary: int = LARGEST) -> Dataset:
    """A data set from a table of texts and labels.

    Args:
        path: .csv (commas; .tsv: tabs) or .parquet, with the columns text and label, and perhaps split, whose values
            are train, test and perhaps validation. Without it 70 % train, 15 % validate and 15 % test; without
            validation in it, 15 % of the training texts validate; always stratified, the same in every run.
        name: of the data set.
        length: S; None: what 99 % of the training texts need, at most 256.
        vocabulary: largest V, the special numbers included.
    Returns:
        The data set; its classes are the labels in the order of the alphabet, or of their numbers.
    Raises:
        DataError: the file is missing or has another form, a text is empty, or a class has too few texts.
    """
    frame = read_table(path)
    known = _classes(path, frame["label"])
    whole = Texts(frame["text"].tolist(), [known.index(label) for label in frame["label"]])
    parts = [whole.take(rows) for rows in _divide(path, frame, np.array(whole.classes))]
    absent = sorted(set(whole.classes) - set(parts[0].classes))
    if absent:
        raise DataError(f"{path}: class {known[absent[0]]!r} has no training text")
    cuts = [tokens.words(text) for text in parts[0].texts]
    places = int(np.quantile([len(words) + 1 for words in cuts], COVERED, method="higher"))
    size = tokens.FIRST + len({word for words in cuts for word in words})
    info = Info(
        name=name,
        title=path.stem,
        kind="tokens",
        shape=(length or min(max(places, 2), LONGEST),),
        classes=len(known),
        class_names=tuple(map(str, known)),
        vocabulary=min(size, vocabulary),
        source=str(path),
        licence="as you have it",
        citation="",
        note=f"Classes: {', '.join(map(str, known[:20]))}{', ...' if len(known) > 20 else ''}.",
    )
    return assemble_texts(info, parts[0], parts[1], parts[2])


def describe(name: OwnName) -> Info:
    """The description of "text:FILE.csv"; the file is read for it.

    Raises:
        DataError: as `make_text_file`.
    """
    return make(name).info


@functools.cache
def make(name: OwnName) -> Dataset:
    """The data set of "text:FILE.csv", perhaps with "?length=64", tokens of a text.

    Raises:
        DataError: as `make_text_file`.
    """
    length = name.integer("length", 0, 2, LONGEST) if "length" in dict(name.options) else None
    return make_text_file(name.path, name.label, length=length)


def read_table(path: Path) -> pd.DataFrame:
    """The columns text, label and, where it is there, split, all of them strings, no text empty.

    Raises:
        DataError: the file is missing, cannot be read, lacks a column, or has an empty text or label.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    separator = READERS[choose("text file", path.suffix.lower(), READERS)]
    try:
        # "NA" and "null" are texts, not missing values
        frame = (
            pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False) if separator else pd.read_parquet(path)
        )
    except (OSError, ValueError, pd.errors.ParserError, ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {' '.join(str(problem).split())}") from problem
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(f"{path}: column {missing[0]!r} is missing; the columns are: {there}")
    if not len(frame):
        raise DataError(f"{path}: there are no rows")
    frame = frame[[*COLUMNS, *({"split"} & set(frame.columns))]]
    for column in frame.columns:
        empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        if empty.any():
            raise DataError(f"{path}: the {column} of row {int(np.flatnonzero(empty)[0]) + 1} is empty")
    return frame.astype(str).reset_index(drop=True)


def _classes(path: Path, labels: pd.Series) -> list[str]:
    """The different labels, in the order of the alphabet or, where all are whole numbers, of the numbers."""
    counts = labels.value_counts()
    known = sorted(counts.index)
    if len(known) < 2:
        raise DataError(f"{path}: two classes or more are needed, all labels are {known[0]!r}")
    rare = next((label for label in known if counts[label] < FEWEST), None)
    if rare is not None:
        raise DataError(f"{path}: class {rare!r} has {counts[rare]} texts, {FEWEST} or more are needed")
    return sorted(known, key=int) if all(label.isdecimal() for label in known) else known


def _divide(path: Path, frame: pd.DataFrame, y: np.ndarray) -> list[np.ndarray]:
    """Rows of training, validation and test: as the column split says, the rest stratified."""
    if "split" not in frame.columns:
        held = max(1, round(HELD_OUT * len(y)))
        return stratified(y, (len(y) - 2 * held, held, held))
    part = np.array([PARTS[choose(f"{path}: split", value.lower(), PARTS)] for value in frame["split"]])
    train, validation, test = (np.flatnonzero(part == i) for i in range(3))
    for name, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise DataError(f"{path}: no row has the split {name!r}")
    if not len(validation):
        held = max(1, round(HELD_OUT * len(train)))
        train, validation = (train[rows] for rows in stratified(y[train], (len(train) - held, held)))
    return [train, validation, test]
