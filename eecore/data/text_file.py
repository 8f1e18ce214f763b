"""One's own texts: a CSV or Parquet file with the columns text and label, and perhaps split, as a data set.

Nothing that is in the file vanishes without a word: a row whose fields do not fit the header, and a quotation mark that
swallows rows, are errors that name the line; what is read in another way than it stands there is said in `Info.note`.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import csv
import functools
import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pyarrow import ArrowException

from eecore.data import tokens
from eecore.data.counted import counted
from eecore.data.dataset import TARGETS, Dataset, Info
from eecore.data.division import about_targets, as_targets, in_order, is_number, tidy
from eecore.data.own import OwnName, stamp
from eecore.data.splits import stratified
from eecore.data.text_reading import Texts, assemble_texts
from eecore.errors import DataError, choose, shown

COLUMNS = ("text", "label")
READERS = {".csv": ",;", ".tsv": "\t", ".parquet": ""}  # ending -> what may lie between two columns
PARTS = {"train": 0, "validation": 1, "val": 1, "dev": 1, "test": 2}
HELD_OUT = 0.15  # fraction that a part gets which the file does not name
FEWEST = 3  # samples of a class: one for each part
LARGEST = 30_000  # numbers of the vocabulary; a file with fewer words has as many as it needs
LONGEST = 256  # tokens of a text
COVERED = 0.99  # fraction of the texts that are not cut, where that needs no more than LONGEST tokens


def make_text_file(
    path: Path, name: str, *, length: int | None = None, vocabulary: int = LARGEST, task: str = "classification"
) -> Dataset:
    """A data set from a table of texts and labels.

    Two texts are copies if they are the same but for spaces, however few of their words the vocabulary knows.

    Args:
        path: .csv (commas or semicolons; .tsv: tabs, and quotation marks are signs like others) or .parquet, with the
            columns text and label, and perhaps split, whose values are train, test and perhaps validation. Without it
            70 % train, 15 % validate and 15 % test; without validation in it, 15 % of the training texts validate;
            always stratified, the same in every run.
        name: of the data set.
        length: S; None: what 99 % of the training texts need, at most 256.
        vocabulary: largest V, the special numbers included.
        task: "classification", or "regression", whose labels are numbers.
    Returns:
        The data set; its classes are the labels in the order of the alphabet, or of their numbers.
    Raises:
        DataError: the file is missing or has another form, a text is empty, or a class has too few texts.
        SettingError: unknown task.
    """
    numbers = choose("task", task, TARGETS) == "regression"
    table = read_table(path)
    frame = table.frame
    known = [] if numbers else _classes(path, frame["label"])
    y = _numbers(path, frame["label"]) if numbers else [known.index(label) for label in frame["label"]]
    whole = Texts(frame["text"].tolist(), y)
    parts = [whole.take(rows) for rows in _divide(path, frame, np.zeros(len(y)) if numbers else np.array(y))]
    absent = next((label for i, label in enumerate(known) if i not in parts[0].classes), None)
    if absent is not None:
        raise DataError(f"{path}: class {absent!r} has no training text")
    cuts = [tokens.words(text) for text in parts[0].texts]
    places = int(np.quantile([len(words) + 1 for words in cuts], COVERED, method="higher"))
    size = tokens.FIRST + len({word for words in cuts for word in words})
    info = Info(
        name=name,
        title=path.stem,
        kind="tokens",
        shape=(length or min(max(places, 2), LONGEST),),
        classes=len(known) or 1,
        vocabulary=min(size, vocabulary),
        source=str(path),
        licence="as you have it",
        citation="",
        note=" ".join([_note(known, y), *table.notes]),
        task=task,
        class_names=tuple(known),
    )
    return assemble_texts(info, parts[0], parts[1], parts[2], copies="text")


def describe(name: OwnName) -> Info:
    """The description of "text:FILE.csv"; the file is read for it.

    Raises:
        DataError: as `make_text_file`.
    """
    return make(name).info


def make(name: OwnName) -> Dataset:
    """The data set of "text:FILE.csv", perhaps with "?length=64", tokens of a text, or "?task=regression".

    Raises:
        DataError: as `make_text_file`.
    """
    return _made(name, stamp(str(name)))


@functools.lru_cache(maxsize=16)
def _made(name: OwnName, stamp: object) -> Dataset:
    given = dict(name.options)
    length = name.integer("length", 0, 2, LONGEST) if "length" in given else None
    return make_text_file(name.path, name.label, length=length, task=given.get("task", "classification"))


# ---- the table


@dataclass(frozen=True)
class Table:
    """The columns text, label and perhaps split, all of them strings; and what was read other than it stands."""

    frame: pd.DataFrame
    notes: list[str]


def read_table(path: Path) -> Table:
    """The table of a file, no text and no label empty, labels without the spaces around them.

    Raises:
        DataError: the file is missing, cannot be read, lacks a column, or has an empty text or label; a row has more or
            fewer fields than the header, or a quotation mark swallows rows.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    separators = READERS[choose("text file", path.suffix.lower(), READERS)]
    try:
        frame, notes = _delimited(path, separators) if separators else (pd.read_parquet(path), [])
    except (OSError, ValueError, ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {' '.join(str(problem).split())}") from problem
    _check_columns(path, frame)
    if not len(frame):
        raise DataError(f"{path}: there are no rows")
    frame = frame[[*COLUMNS, *({"split"} & set(frame.columns))]]
    for column in frame.columns:
        empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        if empty.any():
            raise DataError(f"{path}: the {column} of row {int(np.flatnonzero(empty)[0]) + 1} is empty")
    frame = frame.astype(str).reset_index(drop=True)
    labels = frame["label"].map(tidy)
    changed = int((labels != frame["label"]).sum())
    if changed:
        notes.append(f"Labels of {_rows(changed)} are read without the spaces around them.")
    return Table(frame.assign(label=labels), notes)


def _check_columns(path: Path, frame: pd.DataFrame) -> None:
    """Raise DataError where text or label is missing; says what to do with columns of numbers."""
    missing = [column for column in COLUMNS if column not in frame.columns]
    if not missing:
        return
    there = ", ".join(map(str, frame.columns)) or "none"
    message = f"{path}: column {missing[0]!r} is missing; the columns are: {there}"
    others = [column for column in frame.columns if column not in ("label", "split")]
    numbers = all(pd.to_numeric(frame[column], errors="coerce").notna().all() for column in others)
    if "text" in missing and others and len(frame) and numbers:
        message += (
            "; columns of numbers are read as arrays: numpy.savez('own.npz', x=table[columns].to_numpy(float), "
            "y=numpy.array(table['label'].tolist())), then arrays:own.npz"
        )
    elif path.suffix.lower() == ".tsv" and '"' in there:
        message += "; in a .tsv quotation marks are signs like others: call the file .csv if they are not"
    raise DataError(message)


def _delimited(path: Path, separators: str) -> tuple[pd.DataFrame, list[str]]:
    """The fields of a file of lines, all of them strings ("NA" and "null" are texts), and what must be said.

    Raises:
        DataError: a row or a quotation mark is wrong.
        ValueError: the file is empty, or no text.
    """
    content = path.read_bytes()
    try:
        lines = list(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8: save it in that encoding") from None
    start = next((i for i, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise ValueError("it is empty")
    names = {s: {name.strip().strip('"') for name in lines[start].split(s)} for s in separators}
    separator = next((s for s in separators if set(COLUMNS) <= names[s]), separators[0])
    records = list(_records(path, lines, separator))
    header, rows = [name.strip() for name in records[0].fields], records[1:]
    twice = [name for name, count in Counter(header).items() if count > 1 and name in (*COLUMNS, "split")]
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} occurs twice in the header")
    wrong = next((row for row in rows if len(row.fields) != len(header)), None)
    if wrong is not None:
        remedy = (
            "a text ends with its line and holds no tab: save other texts as .csv"
            if separator == "\t"
            else f'a text that holds {separator!r} stands between quotation marks, "like this{separator} it is one"'
        )
        got = f"{counted(len(wrong.fields), 'fields')}, the header has {len(header)}"
        raise DataError(f"{path}, line {wrong.first}: {got} ({', '.join(header)}): {remedy}")
    long = [row for row in rows if row.last > row.first]
    if "label" in header:
        _check_swallowed(path, rows, lines, separator, header.index("label"))
    most = max((row.last - row.first + 1 for row in long), default=0)
    notes = [f"{_rows(len(long))} of the file {'go' if len(long) > 1 else 'goes'} over lines, at most {most}."]
    columns = {name: [row.fields[i] for row in rows] for i, name in enumerate(header)}
    return pd.DataFrame(columns, dtype=object), notes if long else []


@dataclass(frozen=True)
class _Record:
    """The fields of one row, and its first and last line, counted from 1."""

    fields: list[str]
    first: int
    last: int


def _records(path: Path, lines: list[str], separator: str) -> Iterator[_Record]:
    """The rows that are not blank, the header among them.

    Raises:
        DataError: a quotation mark is opened and not closed, or closed within a field.
    """
    limit = csv.field_size_limit(sys.maxsize)  # a text may be a whole book
    plain = separator == "\t"
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL, strict=True)
    first = 1
    try:
        for fields in reader:
            if len(fields) > 1 or any(map(str.strip, fields)):
                yield _Record(fields, first, reader.line_num)
            first = reader.line_num + 1
    except csv.Error:
        raise DataError(
            f"{path}, line {first}: a field begins with a quotation mark and does not end with one (read to line "
            f'{reader.line_num}): write """so"" it began" for "so" it began, or save the table as .tsv or .parquet'
        ) from None
    finally:
        csv.field_size_limit(limit)


def _check_swallowed(path: Path, rows: list[_Record], lines: list[str], separator: str, label: int) -> None:
    """Raise DataError where a line within a text is a row itself: its opening quotation mark was meant as a sign.

    A line is a row if it has all fields and the label of a row that takes one line. In the first line only what stands
    behind the mark is looked at, in the last one only what stands before the closing one: the rest is the row's own.
    """
    labels = {row.fields[label] for row in rows if row.first == row.last}  # as they stand: ", good" may end a sentence
    numbers = len(labels) > 2 and all(map(is_number, labels))  # perhaps to predict: any other may come
    for row in rows:
        if row.last == row.first:
            continue
        broken = [i for i, field in enumerate(row.fields) if "\n" in field or "\r" in field]
        from_start, from_end = label, label - len(row.fields)
        places: dict[int, tuple[int, ...]] = dict.fromkeys(range(row.first, row.last + 1), (from_start, from_end))
        places[row.first] = (from_end,) if label > broken[0] else ()
        places[row.last] = (from_start,) if label < broken[-1] else ()
        for number, at in places.items():
            fields = [field.strip('"') for field in lines[number - 1].rstrip("\r\n").split(separator)]
            found = [fields[i] for i in at if len(fields) >= len(row.fields)]
            if any(field in labels or (numbers and is_number(field)) for field in found):
                raise DataError(
                    f"{path}, line {row.first}: a quotation mark swallows rows up to line {row.last}: line {number} "
                    f"within the text is a row itself, {shown(lines[number - 1].strip())}; double each quotation mark "
                    f"within a text and put the text between two more, or save the table as .tsv or .parquet"
                )


def _rows(count: int) -> str:
    return counted(count, "rows")


# ---- labels and parts


def _note(known: list[str], y: list[Any]) -> str:
    """What the labels are."""
    if not known:
        return about_targets(torch.tensor(y))
    note = f"Classes: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}."
    folded = Counter(label.casefold() for label in known)
    alike = [label for label in known if folded[label.casefold()] > 1]
    return note + (f" Only small and capital letters tell {' and '.join(alike[:4])} apart." if alike else "")


def _numbers(path: Path, labels: pd.Series) -> list[float]:
    """The labels as numbers to predict."""
    wrong = next((i for i, label in enumerate(labels) if not is_number(label)), None)
    if wrong is not None:
        raise DataError(
            f"{path}: the label of row {wrong + 1} is no number, which a regression needs: {labels[wrong]!r}"
        )
    return as_targets(str(path), labels.to_numpy(float)).tolist()


def _classes(path: Path, labels: pd.Series) -> list[str]:
    """The different labels, in the order of the alphabet or, where all are numbers, of the numbers."""
    counts = labels.value_counts()
    known = in_order(counts.index)
    if len(known) < 2:
        raise DataError(f"{path}: two classes or more are needed, all labels are {known[0]!r}")
    rare = next((label for label in known if counts[label] < FEWEST), None)
    if rare is not None:
        hint = "; for numbers to predict add ?task=regression" if all(map(is_number, known)) else ""
        raise DataError(f"{path}: class {rare!r} has {counts[rare]} texts, {FEWEST} or more are needed{hint}")
    return known


def _divide(path: Path, frame: pd.DataFrame, y: np.ndarray) -> list[np.ndarray]:
    """Rows of training, validation and test: as the column split says, the rest stratified."""
    if "split" not in frame.columns:
        held = max(1, round(HELD_OUT * len(y)))
        return stratified(y, (len(y) - 2 * held, held, held))
    part = np.array([PARTS[choose(f"{path}: split", value.strip().lower(), PARTS)] for value in frame["split"]])
    train, validation, test = (np.flatnonzero(part == i) for i in range(3))
    for name, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise DataError(f"{path}: no row has the split {name!r}")
    if not len(validation):
        held = max(1, round(HELD_OUT * len(train)))
        train, validation = (train[rows] for rows in stratified(y[train], (len(train) - held, held)))
    return [train, validation, test]
