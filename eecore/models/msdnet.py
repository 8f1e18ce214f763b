"""Multi-scale dense networks for images and sequences: features at several resolutions in every layer.

B batch, D channels, H and W image sides, L length. The state is a tuple of feature maps, the finest first; an exit
reads the coarsest, which is last. Scales are counted from the finest of the whole network, 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from eecore.models.backbone import Backbone, needs_grid
from eecore.models.layers import conv_norm_relu, he_normal

Scales = tuple[Tensor, ...]


@dataclass(frozen=True)
class Size:
    """Settings of one named network.

    Args:
        steps: layers of each block; an exit may follow each block.
        channels: of the finest scale behind the stem.
        growth: channels that a layer adds to the finest scale.
        factors: of channels and growth, one for each scale; the widths of the bottlenecks have the same factors.
    """

    steps: tuple[int, ...]
    channels: int = 16
    growth: int = 6
    factors: tuple[int, ...] = (1, 2, 4)


# "even" has its exits at equal distances (anytime prediction), "lin_grow" at growing ones (budgeted batches).
MODELS = {
    "msdnet_nano": Size((2, 1, 1, 1), channels=4, growth=4),
    "msdnet5": Size((4, 2, 2, 2, 2)),
    "msdnet7": Size((4, 2, 2, 2, 2, 2, 2)),
    "msdnet10": Size((4, 2, 2, 2, 2, 2, 2, 2, 2, 2)),
    "msdnet5_lin": Size((1, 2, 3, 4, 5)),
    "msdnet7_lin": Size((1, 2, 3, 4, 5, 6, 7)),
}


class FirstLayer(nn.Module):
    """The stem: the finest scale from the data, each coarser one from the scale before it."""

    def __init__(self, axes: int, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = zip((inputs, *widths), widths, strict=False)
        self.scales = nn.ModuleList(conv_norm_relu(axes, a, b, 3, 2 if i else 1) for i, (a, b) in enumerate(pairs))

    def forward(self, x: Tensor) -> Scales:
        """(B, C, H, W) -> maps of sides H, H / 2, H / 4, ..., likewise in 1-D."""
        maps = []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        return tuple(maps)


class Growth(nn.Module):
    """New channels at one scale: half from the next finer scale, half from the scale itself; all where none is finer.

    Each half is a 1 x 1 bottleneck and a 3 x 3 convolution, which has stride 2 from the finer scale.

    Args:
        axes: 1 for sequences, 2 for images.
        sources: channels and bottleneck factor of the finer scale, where there is one, and of the scale itself.
        outputs: channels that are added.
    """

    def __init__(self, axes: int, sources: Sequence[tuple[int, int]], outputs: int) -> None:
        super().__init__()
        paths = []
        for position, (inputs, factor) in enumerate(sources):
            width = outputs // len(sources)
            inner = min(inputs, factor * width)
            stride = 2 if position < len(sources) - 1 else 1
            bottleneck = conv_norm_relu(axes, inputs, inner, 1)
            paths.append(nn.Sequential(*bottleneck, *conv_norm_relu(axes, inner, width, 3, stride)))
        self.paths = nn.ModuleList(paths)

    def forward(self, sources: Scales) -> Tensor:
        """The scale's map with the new channels behind the old ones."""
        return torch.cat([sources[-1], *(path(x) for path, x in zip(self.paths, sources, strict=True))], dim=1)


class Layer(nn.Module):
    """One layer: every scale from `first` on grows; a finer one that comes is used for the last time.

    Args:
        axes: 1 for sequences, 2 for images.
        size: of the network.
        channels: of the finest scale of the network at this depth, times its factor for each scale.
        came, first: the finest scale that comes, and the finest that goes on: the same one or the next coarser.
    """

    def __init__(self, axes: int, size: Size, channels: int, came: int, first: int) -> None:
        super().__init__()
        self.drops = first - came
        factors = size.factors
        self.scales = nn.ModuleList(
            Growth(
                axes,
                [(channels * factors[source], factors[source]) for source in range(max(came, scale - 1), scale + 1)],
                size.growth * factors[scale],
            )
            for scale in range(first, len(factors))
        )

    def forward(self, maps: Scales) -> Scales:
        """Maps of the scales that came to those of the scales that go on."""
        places = range(self.drops, len(maps))
        return tuple(
            scale(maps[max(0, place - 1) : place + 1]) for scale, place in zip(self.scales, places, strict=True)
        )


class Transition(nn.Module):
    """A 1 x 1 convolution at every scale, which halves the channels where a scale has been dropped."""

    def __init__(self, axes: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(conv_norm_relu(axes, a, b, 1) for a, b in zip(inputs, outputs, strict=True))

    def forward(self, maps: Scales) -> Scales:
        """The same scales with fewer channels."""
        return tuple(scale(x) for scale, x in zip(self.scales, maps, strict=True))


def finest_scales(layers: int, scales: int) -> list[int]:
    """The finest scale that each layer hands on: scales are dropped at equal distances of depth.

    Example:
        >>> finest_scales(16, 3)
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    interval = math.ceil(layers / scales)
    return [layer // interval for layer in range(layers)]


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Stem and blocks of a named network, initialised from torch's global generator.

    The CIFAR networks of the paper: 3 scales, growth 6, 12 and 24, bottlenecks, the finest scale dropped after each
    third of the layers and the channels halved there. Their own classifiers are the "msdnet" heads.

    Args:
        name: a key of `MODELS`.
        kind: "image" or "sequence".
        shape: of one sample, (C, H, W) or (C, L).
    Raises:
        SettingError: the data are tokens.
    Source:
        Huang et al. 2018, arXiv:1703.09844, section 4 and appendix A.
    """
    needs_grid(name, kind)
    size, axes = MODELS[name], len(shape) - 1
    finest = finest_scales(sum(size.steps), len(size.factors))
    stem = FirstLayer(axes, shape[0], [size.channels * factor for factor in size.factors])
    layers: list[nn.Module] = []
    channels = size.channels
    for came, first in zip([0, *finest], finest, strict=False):
        layer: nn.Module = Layer(axes, size, channels, came, first)
        channels += size.growth
        if first > came:
            factors, halved = size.factors[first:], channels // 2
            transition = Transition(axes, [channels * f for f in factors], [halved * f for f in factors])
            layer, channels = nn.Sequential(layer, transition), halved
        layers.append(layer)
    ends = list(accumulate(size.steps))
    blocks = [nn.Sequential(*layers[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    he_normal([stem, *blocks])
    return Backbone(stem, tuple(blocks), "map", head="msdnet")
