"""Residual networks for images and sequences.

B batch, C channels, H and W image sides, L length. All convolutions are 1-D for sequences, 2-D for images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from eecore.models.backbone import Backbone, needs_grid
from eecore.models.layers import POOL, conv_norm, conv_norm_relu, he_normal


class Residual(nn.Module):
    """relu(body(x) + shortcut(x)); the shortcut is a 1 x 1 convolution where the shape changes.

    Args:
        axes: 1 for sequences, 2 for images.
        inputs, width: channels that come, and of the block's 3 x 3 convolutions.
        stride: of the block.
        bottleneck: 1 x 1, 3 x 3, 1 x 1 with 4 * width channels at the end, else two 3 x 3.
    Source:
        He et al. 2016, arXiv:1512.03385, figure 5; shortcuts of type B in all networks. In a bottleneck
        the 3 x 3 convolution carries the stride, as in torchvision.
    """

    def __init__(self, axes: int, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            self.outputs = 4 * width
            self.body = nn.Sequential(
                *conv_norm(axes, inputs, width, 1),
                nn.ReLU(),
                *conv_norm(axes, width, width, 3, stride),
                nn.ReLU(),
                *conv_norm(axes, width, self.outputs, 1),
            )
        else:
            self.outputs = width
            self.body = nn.Sequential(
                *conv_norm(axes, inputs, width, 3, stride), nn.ReLU(), *conv_norm(axes, width, width, 3)
            )
        same = stride == 1 and inputs == self.outputs
        self.shortcut = nn.Identity() if same else conv_norm(axes, inputs, self.outputs, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride), likewise in 1-D."""
        return self.relu(self.body(x) + self.shortcut(x))


@dataclass(frozen=True)
class Size:
    """Settings of one named network.

    Args:
        widths: channels of each stage; every stage but the first halves the sides.
        depth: blocks of each stage.
        stem: "same" keeps the sides; "small" halves those of images from 16 up and quarters those from 28
            up; "large" is "same" below 128 and the 7 x 7 convolution with max pooling of ImageNet from there.
        bottleneck: bottleneck blocks instead of basic ones.
    """

    widths: tuple[int, ...]
    depth: tuple[int, ...]
    stem: Literal["same", "small", "large"] = "same"
    bottleneck: bool = False


MODELS = {
    "resnet_nano": Size((8, 16, 32), (2, 2, 2), "small"),
    "resnet_ref": Size((16, 32, 64, 128), (2, 2, 2, 2)),
    "resnet8": Size((16, 32, 64), (1, 1, 1)),
    "resnet14": Size((16, 32, 64), (2, 2, 2)),
    "resnet20": Size((16, 32, 64), (3, 3, 3)),
    "resnet18": Size((64, 128, 256, 512), (2, 2, 2, 2), "large"),
    "resnet34": Size((64, 128, 256, 512), (3, 4, 6, 3), "large"),
    "resnet50": Size((64, 128, 256, 512), (3, 4, 6, 3), "large", bottleneck=True),
}


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Stem and blocks of a named residual network, initialised from torch's global generator.

    Args:
        name: a key of `MODELS`.
        kind: "image" or "sequence".
        shape: of one sample, (C, H, W) or (C, L).
    Raises:
        SettingError: the data are tokens.
    Source:
        He et al. 2016, arXiv:1512.03385, sections 4.1 and 4.2;
        He et al. 2015, arXiv:1502.01852 (initialisation).
    """
    needs_grid(name, kind)
    size, axes = MODELS[name], len(shape) - 1
    inputs = size.widths[0]
    stem = _stem(size, axes, shape)
    blocks: list[nn.Module] = []
    for stage, (width, depth) in enumerate(zip(size.widths, size.depth, strict=True)):
        for i in range(depth):
            block = Residual(axes, inputs, width, 2 if stage and i == 0 else 1, size.bottleneck)
            inputs = block.outputs
            blocks.append(block)
    he_normal([stem, *blocks])
    return Backbone(stem, tuple(blocks), "map")


def _stem(size: Size, axes: int, shape: Sequence[int]) -> nn.Sequential:
    """The first convolution, whose stride depends on the size of the data."""
    side = min(shape[1:])
    if size.stem == "large" and side >= 128:
        pool = POOL[axes](3, stride=2, padding=1)
        return nn.Sequential(*conv_norm(axes, shape[0], size.widths[0], 7, 2), nn.ReLU(), pool)
    kernel, stride = 3, 1
    if size.stem == "small" and axes == 2 and side >= 16:
        kernel, stride = (5, 4) if side >= 28 else (3, 2)
    return conv_norm_relu(axes, shape[0], size.widths[0], kernel, stride)
