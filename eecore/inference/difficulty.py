"""Which samples are easy for a network with exits, and which ones it thinks about for too long.

Axes: K exits, N samples, C classes.
"""

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import check_labels, check_logits
from eecore.inference.rules import score_and_prediction
from eecore.shapes import Bool, Float, Int

__all__ = [
    "at_exit",
    "check_taken",
    "difficulty",
    "leaving_early",
    "overthinking",
    "overthinking_per_sample",
    "relative_difficulty",
    "right_at_exits",
]


def right_at_exits(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> Bool[Tensor, "K N"]:
    """Whether each exit classifies each sample rightly.

    Args:
        logits: of every exit, any floating type. Of equal logits the first class is predicted.
        labels: right classes, 0..C-1.
    Raises:
        SettingError: shapes, labels or logits are not as above.
    Example:
        >>> right_at_exits(torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.tensor([0, 1]))
        tensor([[ True, False]])
    """
    _, samples, classes = check_logits(logits).shape
    labels = check_labels(labels, samples, classes)
    return score_and_prediction(logits)[1].cpu() == labels.cpu()


def difficulty(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """First exit from which the prediction stays right up to the last one; K + 1 where the last one is wrong.

    Args:
        logits, labels: as in `right_at_exits`.
    Returns:
        1..K + 1 for each sample, larger = harder. A sample that an early exit has right, a later one wrong and the
        last one right counts from where it is right for good.
    Raises:
        SettingError: as in `right_at_exits`.
    Source:
        Our reading of the prediction depth of Baldock et al. 2021, arXiv:2106.09647, which looks at agreement with the
        last prediction; here it must agree with the label.
    Example:
        >>> right, wrong = [0.0, 1.0], [1.0, 0.0]
        >>> logits = torch.tensor([[right, right, wrong], [right, wrong, right], [right, right, wrong]])
        >>> difficulty(logits, torch.tensor([1, 1, 1]))
        tensor([1, 3, 4])
    """
    right = right_at_exits(logits, labels)
    stays = right.flip(0).long().cumprod(dim=0)  # from the last exit backwards, 1 as long as all are right
    return len(right) + 1 - stays.sum(dim=0)


def relative_difficulty(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """(difficulty - 1) / K: 0 where every exit is right, 1 where the last is wrong; for networks of different K.

    Raises:
        SettingError: as in `right_at_exits`.
    Example:
        >>> right, wrong = [0.0, 1.0], [1.0, 0.0]
        >>> relative_difficulty(torch.tensor([[right, wrong, wrong], [right, right, wrong]]), torch.tensor([1, 1, 1]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return (difficulty(logits, labels) - 1) / len(logits)


def overthinking_per_sample(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> dict[str, Bool[Tensor, " N"]]:
    """What going on to the last exit does to each sample.

    Args:
        logits, labels: as in `right_at_exits`.
    Returns:
        ever_right: right at one exit or more, the last one included. last_right: right at the last exit.
        wasteful: right at an exit before the last and at the last one: an earlier stop would have cost less.
        destructive: right at an exit before the last and wrong at the last one.
    Raises:
        SettingError: as in `right_at_exits`.
    Source:
        Kaya et al. 2019 (SDN), arXiv:1810.07052.
    """
    right = right_at_exits(logits, labels)
    before, last = right[:-1].any(dim=0), right[-1]
    return {
        "ever_right": before | last,
        "last_right": last,
        "wasteful": before & last,
        "destructive": before & ~last,
    }


def overthinking(logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"]) -> dict[str, float]:
    """`overthinking_per_sample` as shares of a network's samples.

    Args:
        logits, labels: as in `right_at_exits`.
    Returns:
        ever_right, last_right, wasteful, destructive: fractions of all samples; destructive_of_errors: of those that
        the last exit has wrong, NaN where there are none.
    Raises:
        SettingError: as in `right_at_exits`.
    Source:
        Kaya et al. 2019 (SDN), arXiv:1810.07052.
    Example:
        >>> right, wrong = [0.0, 1.0], [1.0, 0.0]
        >>> logits = torch.tensor([[right, right, wrong, wrong], [right, wrong, right, wrong]])
        >>> overthinking(logits, torch.tensor([1, 1, 1, 1]))["destructive_of_errors"]
        0.5
    """
    each = overthinking_per_sample(logits, labels)
    shares = {name: int(values.sum()) / len(values) for name, values in each.items()}
    errors = int((~each["last_right"]).sum())
    of_errors = int(each["destructive"].sum()) / errors if errors else float("nan")
    return shares | {"destructive_of_errors": of_errors}


def leaving_early(
    logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"], taken: Int[Tensor, " N"]
) -> dict[str, float]:
    """What leaving early does to right answers, compared with sending everyone to the last exit.

    Args:
        logits, labels: as in `right_at_exits`.
        taken: the exit at which each sample leaves, 0..K-1; from `exit_taken`.
    Returns:
        rescued: right where it leaves, wrong at the last exit; lost: the reverse; fractions of all samples. Their
        difference is the accuracy of leaving early minus that of the last exit.
    Raises:
        SettingError: as in `right_at_exits`, or `taken` does not fit.
    """
    right = right_at_exits(logits, labels)
    leaves, last = at_exit(right, taken), right[-1]
    samples = len(last)
    return {"rescued": int((leaves & ~last).sum()) / samples, "lost": int((~leaves & last).sum()) / samples}


def at_exit(values: Tensor, taken: Int[Tensor, " N"]) -> Tensor:
    """Each sample's values (K, N, ...) at the exit where it leaves, (N, ...).

    Args:
        values: of every exit and sample.
        taken: the exit at which each sample leaves, 0..K-1; from `exit_taken`.
    Raises:
        SettingError: `taken` does not fit.
    Example:
        >>> at_exit(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1, 0, 1]))
        tensor([4, 2, 6])
    """
    check_taken(taken, *values.shape[:2])
    return values[taken.to(values.device).long(), torch.arange(len(taken), device=values.device)]


def check_taken(taken: Tensor, exits: int, samples: int) -> None:
    """Raise a SettingError where `taken` is not one exit, 0..exits-1, for each sample."""
    integers = not (taken.is_floating_point() or taken.is_complex() or taken.dtype == torch.bool)
    if taken.shape != (samples,) or not integers:
        raise SettingError(f"taken: expected ({samples},) integers, got {taken.dtype} of {tuple(taken.shape)}")
    low, high = int(taken.min()), int(taken.max())
    if low < 0 or high >= exits:
        raise SettingError(f"taken: expected exits 0 to {exits - 1}, got {low} to {high}")
