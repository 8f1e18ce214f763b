"""What came in: rows, classes, values of a data set that is loaded, and what of its files was left out, in words.

Axes: N samples, C channels (or classes).
"""

from collections import Counter

import torch

from eecore.data.counted import counted
from eecore.data.dataset import Dataset, Split
from eecore.data.streamed import Pixels
from eecore.shapes import Float
from eecore.special import UNKNOWN

__all__ = ["facts", "first_line"]

SHOWN = 12  # classes that are named one by one
LOOKED_AT = 2000  # samples whose values are looked at where all of them lie on disk


def facts(dataset: Dataset) -> dict[str, str]:
    """What a user must see to notice that data were not read as they are meant.

    Returns:
        "rows" (of each split), "classes" (names, each with its samples in all splits) or "numbers" (range of what is to
        be predicted), "values" (range before normalisation; of texts the vocabulary, and how much of the test texts it
        does not know), "left out" (why, and how many) and, where the files differ from the published ones, "origin".
    """
    said = {"rows": ", ".join(f"{len(split)} {name}" for name, split in _splits(dataset).items())}
    if dataset.task == "regression":
        said["numbers"] = _span(torch.cat([split.y for split in _splits(dataset).values()]))
    else:
        said["classes"] = _classes(dataset)
    said["values"] = _values(dataset)
    said["left out"] = "; ".join(_left_out(dataset)) or "nothing"
    return said | ({"origin": dataset.origin} if dataset.origin else {})


def first_line(dataset: Dataset) -> str:
    """The same in one line, classes counted instead of listed.

    Example:
        >>> from eecore import data
        >>> first_line(data.load("synthetic"))
        'synthetic: 64 train, 64 validation, 64 test; 4 classes of 48; 1 x 8 x 8 numbers from -3.68 to 3.93'
    """
    shape = " x ".join(map(str, dataset.shape))
    parts = [facts(dataset)["rows"]]
    if dataset.task == "regression":
        parts.append(f"a number from {facts(dataset)['numbers']} each")
    else:
        parts.append(f"{dataset.classes} classes of {_between(_counts(dataset))}")
    parts.append(_values(dataset) if dataset.kind == "tokens" else f"{shape} {_values(dataset)}")
    left = _left_out(dataset)
    return f"{dataset.name}: " + "; ".join([*parts, *([f"left out: {', '.join(left)}"] if left else [])])


def _splits(dataset: Dataset) -> dict[str, Split]:
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}


def _counts(dataset: Dataset) -> dict[str, int]:
    """Samples of each class in all splits."""
    y = torch.cat([split.y for split in _splits(dataset).values()])
    counted = torch.bincount(y, minlength=dataset.classes).tolist()
    return dict(zip(dataset.info.labels, counted, strict=True))


def _classes(dataset: Dataset) -> str:
    counts = _counts(dataset)
    named = [f"{name} ({count})" for name, count in list(counts.items())[:SHOWN]]
    rest = f" and {len(counts) - SHOWN} more, of {_between(counts)}"
    return f"{len(counts)}: {', '.join(named)}" + (rest if len(counts) > SHOWN else "")


def _between(counts: dict[str, int]) -> str:
    low, high = min(counts.values()), max(counts.values())
    return f"{low}" if low == high else f"{low} to {high}"


def _values(dataset: Dataset) -> str:
    """Range of the values before they were normalised; of tokens the vocabulary and what it does not know."""
    x = dataset.train.x
    if isinstance(x, Pixels):
        x = x[:LOOKED_AT]
    if dataset.kind == "tokens":
        test = dataset.test.x.flatten()
        unknown = Counter((test[test != 0] == UNKNOWN).tolist())
        share = unknown[True] / max(1, unknown.total())
        known = f"at most {dataset.shape[0]} tokens a text, vocabulary of {dataset.info.vocabulary}"
        return f"{known}, {share:.0%} of the test tokens unknown"
    low, high = _ends(dataset, x)
    return f"numbers from {low:.3g} to {high:.3g}"


def _ends(dataset: Dataset, x: Float[torch.Tensor, " N *sample"]) -> tuple[float, float]:
    """Least and largest value of normalised samples, as they were before."""
    flat = x.flatten(2)
    low = (flat.amin((0, 2)) * dataset.std + dataset.mean).min()
    high = (flat.amax((0, 2)) * dataset.std + dataset.mean).max()
    return float(low), float(high)


def _span(values: Float[torch.Tensor, " N"]) -> str:
    return f"{float(values.min()):.3g} to {float(values.max()):.3g}"


def _left_out(dataset: Dataset) -> list[str]:
    """What of the files is not in the data set, and why."""
    copies = counted(dataset.removed, "that occur again in a later split") if dataset.removed else ""
    return [*dataset.left_out, *([copies] if copies else [])]
