"""A network made for inference alone: batch normalisation folded into the layer before it."""

import copy
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from eecore.errors import SettingError
from eecore.models import MultiExit
from eecore.models.comparing import apart, samples_like, tolerance

__all__ = ["check_same", "folded"]

# Exactly these: what is derived from them may do more, such as the normalisation of timm that holds an activation.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model: MultiExit, x: Tensor | None = None) -> MultiExit:
    """A copy in eval mode whose batch normalisations are part of the convolutions and linear maps before them.

    In eval mode a batch normalisation is one multiplication and one addition for each channel, with numbers that do not
    change any more; so is what a convolution does at its end. Folded are neighbours in an `nn.Sequential`, which is how
    the networks of this library are built. Elsewhere what runs between two layers is not to be seen, and nothing is
    done; nor is anything done to layers of a derived type, with hooks, or that are in several places. Logits agree to
    within rounding, which is checked. The copy cannot be trained further in the same way.

    Args:
        model: stays as it is, in any mode and on any device.
        x: samples on which the two are compared; None: random ones, where the network knows what it is made for.
    Raises:
        SettingError: the folded network gives other logits than the model, or the model cannot be copied.
    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 3.2; torch.nn.utils.fusion.
    Example:
        >>> from eecore import models
        >>> plain = models.build("resnet_nano", kind="image", shape=(1, 8, 8), classes=10).eval()
        >>> sum(isinstance(part, nn.BatchNorm2d) for part in folded(plain).modules())
        0
    """
    try:
        copied = copy.deepcopy(model).eval()
    except RuntimeError as error:  # torch.nn.utils.weight_norm, or a model that holds what it has just computed
        raise SettingError(
            "model: it holds tensors that torch cannot copy, as the old torch.nn.utils.weight_norm makes; use "
            "torch.nn.utils.parametrizations.weight_norm, or remove_weight_norm first"
        ) from error
    places = Counter(id(part) for _, part in copied.named_modules(remove_duplicate=False))
    changed = False
    for part in list(copied.modules()):
        if isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward:
            changed = _fold(part, places) or changed
    if x is None and model.made_for is not None:
        x = samples_like(*model.made_for)
    if changed and x is not None:
        check_same(model, copied, x)
    return copied.requires_grad_(False)


@torch.no_grad()
def check_same(model: MultiExit, other: MultiExit, x: Tensor) -> None:
    """Stop where a copy that was changed for inference does not give the model's logits.

    Args:
        model: as it was, in any mode; stays as it is.
        other: the copy, in eval mode.
        x: (B, ...), samples.
    Raises:
        SettingError: logits of an exit differ by more than rounding.
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), x)
    x = x.to(first.device, first.dtype if x.is_floating_point() else x.dtype)
    if first.is_meta:
        return
    plain = copy.deepcopy(model).eval() if model.training else model
    for k, (wanted, came) in enumerate(zip(plain(x.clone()), other(x.clone()), strict=True)):
        if not (far := apart(came, wanted)) <= tolerance(wanted):
            raise SettingError(
                f"model: folded, it is another network: logits of exit {k + 1} differ by {far:.2g} of the largest; use "
                "the model itself, or put what its layers do beyond a convolution and a normalisation outside of them"
            )


def _fold(chain: nn.Sequential, places: Counter[int]) -> bool:
    """Fold each batch normalisation of a chain into the layer before it, in place; an identity stays where it was.

    Returns:
        Whether anything was folded.
    """
    changed = False
    for i in range(len(chain) - 1):
        layer, norm = chain[i], chain[i + 1]
        if (
            type(norm) not in _NORMS
            or norm.running_mean is None
            or not (_plain(layer, places) and _plain(norm, places))
        ):
            continue
        if type(layer) in _CONVOLUTIONS and layer.out_channels == norm.num_features:
            chain[i], chain[i + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()  # type: ignore[type-var,arg-type]
            changed = True
        elif type(layer) is nn.Linear and type(norm) is nn.BatchNorm1d and layer.out_features == norm.num_features:
            # of vectors: BatchNorm1d takes no other output of a linear map as ours are
            chain[i], chain[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
            changed = True
    return changed


def _plain(part: nn.Module, places: Counter[int]) -> bool:
    """Whether a layer does what its type says and nothing else: no hooks, no forward of its own, in one place."""
    hooked = any((part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks))
    return not hooked and "forward" not in vars(part) and places[id(part)] == 1
