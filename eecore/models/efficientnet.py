"""EfficientNets for images and sequences: inverted bottlenecks with depthwise convolutions and channel attention.

B batch, D channels, H and W image sides, L length. All convolutions are 1-D for sequences, 2-D for images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from eecore.models.backbone import Backbone, needs_grid
from eecore.models.layers import CONV, conv_norm, he_normal


@dataclass(frozen=True)
class Stage:
    """Blocks of one width: expansion factor, channels, number of blocks, stride of the first, side of the kernel."""

    expand: int
    width: int
    depth: int
    stride: int
    kernel: int


@dataclass(frozen=True)
class Size:
    """Settings of one named network.

    Args:
        stem: channels of the first convolution.
        stages: in order.
        top: channels of the 1 x 1 convolution behind the last block, to which it belongs.
        small_stride: of the stem below 128; from there it is 2.
        small_second: stride of the second stage below 128, where halving as often as on ImageNet leaves one position.
    """

    stem: int
    stages: tuple[Stage, ...]
    top: int
    small_stride: int = 1
    small_second: int = 1


MODELS = {
    "efficientnet_nano": Size(
        8, (Stage(1, 8, 1, 1, 3), Stage(3, 16, 2, 2, 3), Stage(3, 24, 2, 2, 3)), top=48, small_stride=2
    ),
    "efficientnet_b0": Size(
        32,
        (
            Stage(1, 16, 1, 1, 3),
            Stage(6, 24, 2, 2, 3),
            Stage(6, 40, 2, 2, 5),
            Stage(6, 80, 3, 2, 3),
            Stage(6, 112, 3, 1, 5),
            Stage(6, 192, 4, 2, 5),
            Stage(6, 320, 1, 1, 3),
        ),
        top=1280,
    ),
}


class ChannelAttention(nn.Module):
    """Squeeze and excitation: each channel times a number in (0, 1) that depends on the means of all channels.

    Source:
        Hu et al. 2018, arXiv:1709.01507.
    """

    def __init__(self, axes: int, width: int, inner: int) -> None:
        super().__init__()
        self.squeeze = CONV[axes](width, inner, 1)
        self.excite = CONV[axes](inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, D, H, W), likewise in 1-D."""
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return x * self.excite(nn.functional.silu(self.squeeze(mean))).sigmoid()


class InvertedBottleneck(nn.Module):
    """Expand by 1 x 1, filter each channel apart, weigh the channels, project by 1 x 1; a residual where it fits.

    Args:
        axes: 1 for sequences, 2 for images.
        inputs: channels that come; the attention's inner width is a quarter of them.
        stage: of the block.
        stride: of the depthwise convolution.
    """

    def __init__(self, axes: int, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = stage.expand * inputs
        expansion = [] if stage.expand == 1 else [*conv_norm(axes, inputs, inner, 1), nn.SiLU()]
        self.body = nn.Sequential(
            *expansion,
            *conv_norm(axes, inner, inner, stage.kernel, stride, groups=inner),
            nn.SiLU(),
            ChannelAttention(axes, inner, max(1, inputs // 4)),
            *conv_norm(axes, inner, stage.width, 1),
        )
        self.residual = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, width, H / stride, W / stride), likewise in 1-D."""
        return x + self.body(x) if self.residual else self.body(x)


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Stem and blocks of a named EfficientNet, initialised from torch's global generator.

    Departures from the paper: no dropout and no stochastic depth; data with a side below 128 are halved twice less.

    Args:
        name: a key of `MODELS`.
        kind: "image" or "sequence".
        shape: of one sample, (C, H, W) or (C, L).
    Raises:
        SettingError: the data are tokens.
    Source:
        Tan and Le 2019, arXiv:1905.11946, table 1.
    """
    needs_grid(name, kind)
    size, axes = MODELS[name], len(shape) - 1
    small = min(shape[1:]) < 128
    stem = nn.Sequential(*conv_norm(axes, shape[0], size.stem, 3, size.small_stride if small else 2), nn.SiLU())
    blocks: list[nn.Module] = []
    inputs = size.stem
    for number, stage in enumerate(size.stages):
        first_stride = size.small_second if small and number == 1 else stage.stride
        for i in range(stage.depth):
            blocks.append(InvertedBottleneck(axes, inputs, stage, 1 if i else first_stride))
            inputs = stage.width
    blocks[-1] = nn.Sequential(blocks[-1], *conv_norm(axes, inputs, size.top, 1), nn.SiLU())
    he_normal([stem, *blocks])
    return Backbone(stem, tuple(blocks), "map")
