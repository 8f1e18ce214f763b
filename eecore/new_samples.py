"""Answers for new samples: pictures, sentences and arrays, from a trained run or from an exported folder.

Axes: N samples, C classes.
"""

import os
from pathlib import Path
from typing import Any

import torch

from eecore import data, export
from eecore.data.answering import Answer, answers
from eecore.data.raw import SampleError, prepare
from eecore.errors import DataError, SettingError
from eecore.inference import Rule, folded, make_rule
from eecore.inference import predict as run_rows
from eecore.inference.checks import Number, Numbers
from eecore.training import Result

__all__ = ["THRESHOLD", "input_of", "predict", "rule_of"]

THRESHOLD = 0.9  # where nothing else is said: for runs, and what `export` writes


def predict(
    source: Result | str | os.PathLike[str],
    samples: Any,
    *,
    rule: str | None = None,
    threshold: Number | Numbers | None = None,
    prepared: bool = False,
) -> list[Answer]:
    """Class, exit and confidence of raw samples; `pandas.DataFrame` makes a table of them.

    Args:
        source: a trained run, or a folder of `eecore.export`.
        samples: one or several. For data of pictures: files, Pillow images, arrays of pixels; of texts: texts, or
            files as `Path`; of arrays: arrays as in the data set's own file, or .npy files of them, one sample or many.
        rule: exit rule, a name of `eecore.inference.exit_rules`; None: "confidence", or the exported one.
        threshold: in [0, 1], one number or one per exit; None: 0.9, or the exported one.
        prepared: arrays are rows of `x` as the network has learnt from: cut, resized and normalised.
    Returns:
        One answer a sample: sample, label, number, exit (from 1), confidence (the largest softmax probability), note.
    Raises:
        DataError: a sample cannot be read, is empty, not finite, or of another shape or type; the first is named.
        SettingError: the rule or the threshold are not as above, the run is a regression, or there is no such folder.
    Example:
        >>> import tempfile, eecore
        >>> run = eecore.Run(dataset="synthetic", model="mlp_nano", regime="joint", epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = eecore.train(run, eecore.Store(folder), progress=False)
        ...     answer = eecore.predict(result, data.load("synthetic").test.x[0], prepared=True)[0]
        >>> answer.label in result.labels
        True
    """
    try:
        if isinstance(source, Result):
            limit = THRESHOLD if threshold is None else threshold
            return _of_run(source, samples, rule or "confidence", limit, prepared)
        if not isinstance(source, str | os.PathLike):
            raise SettingError(f"source: expected a result of `train` or a folder, got {type(source).__name__}")
        if rule is not None:
            raise SettingError("rule: an exported network has the one that it was exported with; export it again")
        return export.load(Path(source)).predict(samples, threshold, prepared=prepared)
    except SampleError as error:
        raise DataError(str(error)) from None


def _of_run(result: Result, samples: Any, rule: str, threshold: Number | Numbers, prepared: bool) -> list[Answer]:
    known = rule_of(result, rule)
    rows = prepare(samples, input_of(result), prepared=prepared)
    left = run_rows(folded(result.model()), torch.from_numpy(rows.x), known, threshold)
    return answers(rows, left.taken.numpy(), left.answers.numpy(), result.labels)


def rule_of(result: Result, name: str) -> Rule:
    """An exit rule by its name; what it has to learn it learns from the run's validation logits.

    Raises:
        SettingError: it is unknown, or the run is a regression.
    """
    if result.run.task != "classification":
        raise SettingError(
            f"dataset: {result.run.dataset!r} is a regression, and new samples are classified alone; "
            "`eecore.inference.predict` takes its network and rows of x"
        )
    return make_rule(name, result.validation_logits, result.validation_labels)


def input_of(result: Result) -> dict[str, Any]:
    """What a row of the run's data is, and how a raw sample becomes one, as `eecore.data.raw.prepare` wants it."""
    loaded = data.load(result.run.dataset)
    return {
        "kind": loaded.kind,
        "shape": list(loaded.shape),
        "dtype": "int64" if loaded.kind == "tokens" else "float32",
        "vocabulary": loaded.info.vocabulary,
        "preparation": loaded.preparation,
    }
