"""Heads that pool a feature map to a few positions, with or without convolutions before.

B batch, C classes, D features, H and W sides of a feature map, s pooled side.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models.backbone import Layout, State, reading
from eecore.models.layers import conv_norm_relu, he_normal
from eecore.shapes import Float


class PooledHead(nn.Module):
    """A learned mixture of max and average pooling to s x s, then one linear map.

    An axis that is not longer than s keeps its length; where no axis is longer there is no pooling
    and no mixture to learn.

    Args:
        layout: must be "map".
        shape: of one sample's features, (D, H, W) or (D, L).
        classes: number of logits.
        side: s, in positions.
    Raises:
        SettingError: the features are not a feature map.
    Source:
        Kaya et al. 2019, Shallow-Deep Networks, arXiv:1810.07052, section 4 (feature reduction).
    """

    def __init__(self, layout: Layout, shape: tuple[int, ...], classes: int, side: int = 4) -> None:
        super().__init__()
        if layout != "map":
            raise SettingError(f"head: 'pooled' needs a feature map, this backbone gives {layout}; use 'linear'")
        self.pooled = tuple(min(side, length) for length in shape[1:])
        self.pools = self.pooled != shape[1:]
        if self.pools:
            # Starts at an equal mixture; SDN's code draws it at random from [0, 1).
            self.alpha = nn.Parameter(torch.zeros(()))
        self.linear = nn.Linear(shape[0] * math.prod(self.pooled), classes)

    def reduce(self, state: State) -> Tensor:
        """Max and average pooled map, stacked: (B, 2, D, s, s); the map itself where it is not larger."""
        x = reading(state)
        if not self.pools:
            return x
        lengths, sides = x.shape[2:], self.pooled
        if all(length % side == 0 for length, side in zip(lengths, sides, strict=True)):
            # the windows of adaptive pooling, at half of its time
            windows = [length // side for length, side in zip(lengths, sides, strict=True)]
            largest, mean = (F.max_pool1d, F.avg_pool1d) if x.ndim == 3 else (F.max_pool2d, F.avg_pool2d)
            return torch.stack([largest(x, windows), mean(x, windows)], dim=1)
        if len(sides) == 1:
            return torch.stack([F.adaptive_max_pool1d(x, sides[0]), F.adaptive_avg_pool1d(x, sides[0])], dim=1)
        both = (sides[0], sides[1])
        return torch.stack([F.adaptive_max_pool2d(x, both), F.adaptive_avg_pool2d(x, both)], dim=1)

    def classify(self, r: Tensor) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned."""
        if self.pools:
            r = torch.lerp(r[:, 1], r[:, 0], torch.sigmoid(self.alpha))  # (1 - w) average + w max
        return self.linear(r.flatten(1))

    def forward(self, state: State) -> Float[Tensor, "B C"]:
        """Logits of a block's output."""
        return self.classify(self.reduce(state))


class ConvHead(nn.Module):
    """A few 3 x 3 convolutions with batch norm and ReLU that keep D and the size, then a `PooledHead`.

    Args:
        layout: must be "map".
        shape: of one sample's features, (D, H, W) or (D, L).
        classes: number of logits.
        size: number of convolutions.
    Raises:
        SettingError: the features are not a feature map.
    """

    def __init__(self, layout: Layout, shape: tuple[int, ...], classes: int, size: int) -> None:
        super().__init__()
        if layout != "map":
            raise SettingError(
                f"head: 'conv:{size}' needs a feature map, this backbone gives {layout}; use 'mlp:{size}'"
            )
        self.pooled = PooledHead(layout, shape, classes)
        layers = [conv_norm_relu(len(shape) - 1, shape[0], shape[0], 3) for _ in range(size)]
        self.convolutions = nn.Sequential(*layers)
        he_normal([self.convolutions])

    @property
    def linear(self) -> nn.Linear:
        """The last map."""
        return self.pooled.linear

    def reduce(self, state: State) -> Tensor:
        """The feature map itself: all behind it is learned."""
        return reading(state)

    def classify(self, r: Tensor) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned."""
        return self.pooled(self.convolutions(r))

    def forward(self, state: State) -> Float[Tensor, "B C"]:
        """Logits of a block's output."""
        return self.classify(self.reduce(state))
