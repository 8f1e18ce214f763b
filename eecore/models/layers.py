"""Layers that several convolutional families share, for images (2-D) and sequences (1-D)."""

from collections.abc import Iterable

from torch import nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


def conv_norm(axes: int, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, without bias, and its batch normalisation."""
    conv = CONV[axes](inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, NORM[axes](outputs))


def conv_norm_relu(axes: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """`conv_norm` and a ReLU behind it."""
    return nn.Sequential(*conv_norm(axes, inputs, outputs, kernel, stride), nn.ReLU())


def he_normal(parts: Iterable[nn.Module]) -> None:
    """Draw the weights of all convolutions from N(0, 2 / (outputs x kernel positions)).

    Source:
        He et al. 2015, arXiv:1502.01852, with the number of outputs as the fan.
    """
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
