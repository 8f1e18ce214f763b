"""Answers for any number of samples, from a network that really stops computing for those who have left.

Axes: K exits, N samples, C classes (or outputs of a regression).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.checks import Number, Numbers, check_macs
from eecore.inference.live import Left, live
from eecore.inference.protocol import Rule
from eecore.models import MultiExit
from eecore.models.backbone import is_count
from eecore.shapes import Int

__all__ = ["mean_macs", "predict"]

# Copying a sample's state takes about a fortieth of what the blocks to the next exit take (the bench's reference
# network), so that a smaller batch pays as soon as more than one in forty has left; batches are 64, and one may stay.
WASTE = 1 / 64


def predict(
    model: MultiExit,
    x: Tensor,
    rule: Rule = "confidence",
    threshold: Number | Numbers = 0.5,
    *,
    task: str | None = None,
    batch_size: int = 64,
    waste: Number = WASTE,
) -> Left:
    """Exit and answer of every sample, each computed as far as its own way goes.

    The samples run in batches. At each exit those who leave are taken out of their batch, where they are more than a
    few. On a CPU, batches whose activations stay in its cache are the quickest: 64 small images take less time than a
    quarter of what 256 take at once. Exits and answers are those of the offline rule (`score` or `judge`, `exit_taken`)
    on the logits of the whole network.

    Args:
        model: in eval mode; `folded` makes one that is quicker.
        x: (N, ...), data, at least one sample, on the model's device.
        rule, threshold, task: as in `live`.
        batch_size: samples that run together, from 1 up; on a GPU take more.
        waste: share of a batch, in [0, 1], that may be samples who have left, as in `live`.
    Returns:
        As `live`, in the order of the samples; `reached` and `computed` are sums over the batches.
    Raises:
        SettingError: as in `live`, or the batch size is not as above.
    Example:
        >>> from eecore import models
        >>> model = models.build("mlp_nano", kind="image", shape=(1, 8, 8), classes=10).eval()
        >>> left = predict(model, torch.zeros(5, 1, 8, 8), threshold=0.0)
        >>> left.taken.tolist(), left.reached
        ([0, 0, 0, 0, 0], [5, 0, 0, 0, 0])
    """
    if not is_count(batch_size):
        raise SettingError(f"batch_size: expected an integer from 1 up, got {batch_size!r}")
    if len(x) <= batch_size:
        return live(model, x, rule, threshold, task, waste)
    parts = [live(model, part, rule, threshold, task, waste) for part in x.split(batch_size)]
    return Left(
        torch.cat([part.taken for part in parts]),
        torch.cat([part.answers for part in parts]),
        torch.cat([part.scores for part in parts]),
        [sum(column) for column in zip(*(part.reached for part in parts), strict=True)],
        [sum(column) for column in zip(*(part.computed for part in parts), strict=True)],
    )


def mean_macs(taken: Int[Tensor, " N"] | Sequence[int], macs: Numbers) -> float:
    """Mean cost of samples that left at these exits, in multiply-adds per sample.

    Args:
        taken: exits, 0..K-1, such as `predict(...).taken` or what `exit_taken` gives; at least one.
        macs: (K,), to reach and evaluate each exit, ascending; `eecore.models.exit_macs` counts them.
    Raises:
        SettingError: there is no sample, an exit is none of these, or macs are not as above.
    Example:
        >>> mean_macs([0, 0, 1, 2], [100, 200, 400])
        200.0
    """
    exits = torch.as_tensor(taken)
    costs = check_macs(macs, len(macs))
    if exits.ndim != 1 or len(exits) == 0 or exits.is_floating_point():
        raise SettingError(f"taken: expected (samples,) of exits, got {tuple(exits.shape)} of {exits.dtype}")
    if int(exits.min()) < 0 or int(exits.max()) >= len(costs):
        raise SettingError(f"taken: expected 0 to {len(costs) - 1}, got {int(exits.min())} to {int(exits.max())}")
    return float(costs[exits.cpu().numpy()].mean())
