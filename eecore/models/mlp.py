"""Multilayer perceptrons: data flattened, then blocks of Linear, BatchNorm, ReLU. B batch, D features."""

import math
from collections.abc import Sequence

from torch import nn

from eecore.models.backbone import Backbone, needs_grid

BLOCKS = 5
MODELS = {"mlp_nano": 128, "mlp_small": 256}  # name -> D


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Blocks of a named perceptron, initialised from torch's global generator. The stem only flattens.

    Args:
        name: a key of `MODELS`.
        kind: "image" or "sequence".
        shape: of one sample, (C, H, W) or (C, L).
    Raises:
        SettingError: the data are tokens.
    Source:
        He et al. 2015, arXiv:1502.01852 (initialisation).
    """
    needs_grid(name, kind)
    inputs, width = math.prod(shape), MODELS[name]
    blocks = []
    for i in range(BLOCKS):
        linear = nn.Linear(width if i else inputs, width, bias=False)  # the batch norm has the bias
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        blocks.append(nn.Sequential(linear, nn.BatchNorm1d(width), nn.ReLU()))
    return Backbone(nn.Flatten(), tuple(blocks), "vector")
