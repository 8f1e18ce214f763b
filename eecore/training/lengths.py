"""Batches of texts of like length, so that little of a batch is padding, and no padding that all of it has.

A data set's rows are as long as its longest text. Where most are short, a network spends most of its time on padding:
of SST-2's 48 places a row, 11 are words. Training costs are counted for whole rows all the same.

Axes: N samples, B batch, S sequence of tokens, L the longest text of a batch.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from eecore.shapes import Int
from eecore.special import PADDING

__all__ = ["by_length", "lengths_of", "without_padding"]

TOGETHER = 50  # batches that are sorted together: enough to be of like length, few enough to stay random


def lengths_of(x: Int[Tensor, "N S"]) -> Int[Tensor, " N"]:
    """Places up to the last one that is not padding.

    Example:
        >>> lengths_of(torch.tensor([[5, 6, 0], [7, 0, 8], [0, 0, 0]]))
        tensor([2, 3, 0])
    """
    places = torch.arange(1, x.shape[1] + 1, device=x.device)
    return ((x != PADDING) * places).amax(1)


def by_length(batches: Iterator[Int[Tensor, " B"]], lengths: Int[Tensor, " N"]) -> Iterator[Int[Tensor, " B"]]:
    """The same samples in as many batches of the same sizes, those of like length together, in random order.

    Each group of 50 batches is sorted by length and cut again; the new batches come in the order in which their first
    samples came, which is random and the same in every process. Which samples meet differs from epoch to epoch.

    Args:
        batches: indices, in random order.
        lengths: of all samples.
    Source:
        Khomenko et al. 2017, Accelerating recurrent neural network training using sequence bucketing and multi-GPU data
        parallelization, arXiv:1708.05604.
    """
    while group := list(islice(batches, TOGETHER)):
        order = torch.cat(group)
        sorted_places = lengths[order].argsort(stable=True)
        parts = sorted_places.split([len(batch) for batch in group])
        for i in torch.stack([part[0] for part in parts]).argsort().tolist():
            yield order[parts[i]]


def without_padding(x: Int[Tensor, "B S"]) -> Int[Tensor, "B L"]:
    """The places up to the end of the batch's longest text, at least one. On a GPU the host waits for their number."""
    return x[:, : max(1, int(lengths_of(x).max()))]
