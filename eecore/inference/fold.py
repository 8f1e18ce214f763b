"""A network made for inference alone: batch normalisation folded into the layer before it."""

import copy

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from eecore.models import MultiExit

__all__ = ["folded"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def folded(model: MultiExit) -> MultiExit:
    """A copy in eval mode whose batch normalisations are part of the convolutions and linear maps before them.

    In eval mode a batch normalisation is one multiplication and one addition for each channel, with numbers that do not
    change any more; so is what a convolution does at its end. Folded are neighbours in an `nn.Sequential`, which is how
    the networks of this library are built. Elsewhere what runs between two layers is not to be seen, and nothing is
    done. Logits agree to within rounding. The copy cannot be trained further in the same way.

    Args:
        model: stays as it is, in any mode and on any device.
    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 3.2; torch.nn.utils.fusion.
    Example:
        >>> from eecore import models
        >>> plain = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=10).eval()
        >>> sum(isinstance(part, nn.BatchNorm2d) for part in folded(plain).modules())
        0
    """
    copied = copy.deepcopy(model).eval()
    for part in list(copied.modules()):
        if isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward:
            _fold(part)
    return copied.requires_grad_(False)


def _fold(chain: nn.Sequential) -> None:
    """Fold each batch normalisation of a chain into the layer before it, in place; an identity stays where it was."""
    for i in range(len(chain) - 1):
        layer, norm = chain[i], chain[i + 1]
        if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
            continue
        if isinstance(layer, _CONVOLUTIONS):
            chain[i], chain[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
        elif isinstance(layer, nn.Linear):  # of vectors: BatchNorm1d takes no other output of a linear map as ours are
            chain[i], chain[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
