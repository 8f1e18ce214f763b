"""Heads: small classifiers that turn a block's output into logits.

B batch, C classes, D features, S sequence of tokens, H and W sides of a feature map, s pooled side.
Each head is `classify(reduce(state))`. `reduce` has no parameters, so that its result can be stored once
where the backbone is frozen; all that a head learns is in `classify`.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eecore.errors import SettingError, choose
from eecore.models.backbone import Backbone, Layout, State, reading
from eecore.models.heads_conv import MSDNetHead
from eecore.shapes import Float


class LinearHead(nn.Module):
    """Mean over positions, or the class token, then one linear map.

    Tokens pass through a LayerNorm first, as at the end of a pre-norm transformer. Its scale and shift are the same
    for every token, so they are applied to the mean instead, which gives the same and lets `reduce` take the mean.
    Where the state has a mask, the mean is over the tokens that are there.

    Args:
        layout: of the features, see `Backbone`.
        shape: of one sample's features: (D, H, W) or (D, L), (S, D), (D,).
        classes: number of logits.
        first: read the first token, a class token, instead of the mean over all.
    """

    def __init__(self, layout: Layout, shape: tuple[int, ...], classes: int, first: bool = False) -> None:
        super().__init__()
        self.layout, self.first = layout, first
        width = shape[-1] if layout == "tokens" else shape[0]
        self.norm = nn.LayerNorm(width) if layout == "tokens" else nn.Identity()
        self.linear = nn.Linear(width, classes)

    def reduce(self, state: State) -> Float[Tensor, "B D"]:
        """Global average of a feature map or of normalised tokens, or the first of these; vectors unchanged."""
        x = reading(state)
        if self.layout == "map":
            return x.flatten(2).mean(2)
        if not isinstance(self.norm, nn.LayerNorm):
            return x
        x = x[:, :1] if self.first else x
        tokens = F.layer_norm(x, self.norm.normalized_shape, eps=self.norm.eps)  # (B, S, D)
        if self.first or isinstance(state, Tensor):
            return tokens.mean(1)
        there = state[0].unsqueeze(2).to(tokens.dtype)  # (B, S, 1)
        return (tokens * there).sum(1) / there.sum(1).clamp(min=1)

    def classify(self, r: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned."""
        if isinstance(self.norm, nn.LayerNorm):
            r = r * self.norm.weight + self.norm.bias
        return self.linear(r)

    def forward(self, state: State) -> Float[Tensor, "B C"]:
        """Logits of a block's output."""
        return self.classify(self.reduce(state))


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


Head = LinearHead | PooledHead | MSDNetHead
HEADS: dict[str, Callable[[Layout, tuple[int, ...], int], Head]] = {
    "linear": LinearHead,
    "pooled": PooledHead,
    "msdnet": MSDNetHead,
    "class_token": partial(LinearHead, first=True),
}


def names() -> list[str]:
    """Names that the argument `head` may have."""
    return ["auto", *HEADS]


def resolve(name: str, backbone: Backbone) -> str:
    """The head that a name means for a backbone.

    "auto" is the backbone's own head where it has one, else "pooled" on maps and "linear" elsewhere.

    Raises:
        SettingError: the name is not known, or "class_token" came for a backbone that carries none.
    Example:
        >>> resolve("auto", Backbone(nn.Identity(), (), "map")), resolve("auto", Backbone(nn.Identity(), (), "tokens"))
        ('pooled', 'linear')
    """
    if choose("head", name, names()) == "auto":
        return backbone.head or ("pooled" if backbone.layout == "map" else "linear")
    if name == "class_token" and not backbone.class_token:
        raise SettingError("head: 'class_token' needs a model with a class token, such as vit_tiny_cls; use 'linear'")
    return name


def build(name: str, layout: Layout, shape: tuple[int, ...], classes: int) -> Head:
    """Make one head, by its name in `HEADS`, for features of this layout and shape.

    Raises:
        SettingError: the head does not fit the features.
    """
    return HEADS[name](layout, shape, classes)
