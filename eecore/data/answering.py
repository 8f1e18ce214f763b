"""The words of a command line as samples, and the answers for them as lines: `predict`, and `run.py` of an export.

`export` joins this text with that of `eecore.data.raw`, so nothing of torch is imported here.

Axes: N samples, C classes.
"""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eecore.data.raw import Rows, SampleError, check_finite, short


class Answer(NamedTuple):
    """What a network says of one sample.

    Args:
        sample: its file, its text or its place in an array.
        label: name of the class.
        number: of the class, 0..C-1.
        exit: where it left, 1..K.
        confidence: largest softmax probability of the answer there.
        note: what is to be known of the sample; mostly empty.
    """

    sample: str
    label: str
    number: int
    exit: int
    confidence: float
    note: str


def spoken(samples: Sequence[str], form: str) -> list[str | Path]:
    """What words of a command line mean: where a network takes texts, a name of a file is that file, all else a text.

    Raises:
        SampleError: a word is called as a file is, and there is none.
    """
    if form != "text":
        return list(samples)
    return [Path(word) if _is_file(word) else word for word in samples]


def _is_file(word: str) -> bool:
    try:
        there = os.path.isfile(word)
    except ValueError:  # a zero byte
        return False
    if not there and re.fullmatch(r"\S+\.(npy|txt)", word):
        raise SampleError(f"{word}: there is no such file")
    return there


def answers(rows: Rows, taken: np.ndarray, logits: np.ndarray, labels: Sequence[str]) -> list[Answer]:
    """An answer for each sample.

    Args:
        rows: the samples.
        taken: (N,), exits, 0..K-1.
        logits: (N, C), of the answers there.
        labels: C names.
    Raises:
        SampleError: logits are not finite.
    """
    check_finite(logits, "logits")
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    sure, number = powers.max(axis=1) / powers.sum(axis=1), logits.argmax(axis=1)
    return [
        Answer(name, labels[c], int(c), int(k) + 1, float(p), note)
        for name, note, c, k, p in zip(rows.names, rows.notes, number, taken, sure, strict=True)
    ]


def print_answers(found: Sequence[Answer], out: Any, notes: Any) -> None:
    """Lines "sample,class,exit,confidence" to the stream `out`, notes to another."""
    for stream in (out, notes):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be of bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["sample", "class", "exit", "confidence"])
    for one in found:
        table.writerow([one.sample, one.label, one.exit, f"{one.confidence:.4f}"])
    for note, names in _together(found).items():
        first = json.dumps(short(names[0]), ensure_ascii=False)
        print(f"note: {first}{f' and {len(names) - 1} more' if names[1:] else ''}: {note}", file=notes)


def _together(found: Sequence[Answer]) -> dict[str, list[str]]:
    """Samples by the note that they have."""
    by_note: dict[str, list[str]] = {}
    for one in found:
        if one.note:
            by_note.setdefault(one.note, []).append(one.sample)
    return by_note
