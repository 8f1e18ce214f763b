"""Random changes of a training batch of tokens, as one batched operation, wherever the batch lies.

All randomness comes from the generator, which must live on the device of the batch.

Axes: B batch, S tokens of a text.
"""

import torch
from torch import Tensor

from eecore.errors import SettingError
from eecore.special import FIRST, UNKNOWN

DROPPED = {"drop_words": 0.3, "drop_many_words": 0.7}  # fraction of the words


def drop_words(x: Tensor, generator: torch.Generator, name: str = "drop_words") -> Tensor:
    """A copy in which some words are unknown; padding and the ends of texts stay.

    Two things at once: a network cannot lean on single words, and it learns what to make of a word that it does not
    know, of which training texts have none where their whole vocabulary is kept.

    Args:
        x: token numbers, int64, (B, S).
        generator: on the same device as `x`.
        name: a key of `DROPPED`, which says how many.
    Raises:
        SettingError: a batch that is not tokens, or a generator elsewhere.
    Source:
        Iyyer et al. 2015, Deep unordered composition rivals syntactic methods, ACL, section 3.1 (word dropout).
    """
    if x.ndim != 2 or x.dtype != torch.int64:
        raise SettingError(f"augment: {name!r} needs tokens, int64 (B, S), got {x.dtype} of {tuple(x.shape)}")
    if generator.device.type != x.device.type:
        raise SettingError(f"augment: the generator is on {generator.device}, the batch on {x.device}")
    dropped = torch.rand(x.shape, generator=generator, device=x.device) < DROPPED[name]
    return torch.where(dropped & (x >= FIRST), UNKNOWN, x)
