"""Vision transformers for images and sequences: pre-norm; heads take the mean over tokens, or a class token.

B batch, C channels, H and W image sides, L length, S sequence of tokens, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models.backbone import Backbone, State, needs_grid, reading
from eecore.shapes import Bool, Float


class PatchEmbedding(nn.Module):
    """Cut data into patches, map each linearly to D features, add a learned position.

    Args:
        shape: of one sample, (C, H, W) or (C, L).
        patch: distance of the patches, which divides the sides of the data.
        width: D.
        overlap: patches are twice as long as their distance, so that neighbours share half of their data.
        class_token: put a learned token before the patches, with a position of its own.
    """

    def __init__(self, shape: Sequence[int], patch: int, width: int, overlap: bool, class_token: bool = False) -> None:
        super().__init__()
        conv = nn.Conv1d if len(shape) == 2 else nn.Conv2d
        kernel, padding = (2 * patch, (patch + 1) // 2) if overlap else (patch, 0)
        self.project = conv(shape[0], width, kernel, stride=patch, padding=padding)
        tokens = math.prod(side // patch for side in shape[1:])
        self.position = nn.Parameter(torch.empty(tokens + class_token, width))
        nn.init.normal_(self.position, std=0.02)
        self.class_token = nn.Parameter(torch.empty(width)) if class_token else None
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=0.02)

    def forward(self, x: Tensor) -> Float[Tensor, "B S D"]:
        """Tokens of a batch of data."""
        tokens = self.project(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(x), 1, -1), tokens], dim=1)
        return tokens + self.position


class Attention(nn.Module):
    """Self-attention with several attention heads.

    torch's fused form: with 16 to 64 tokens on a CPU a training step is 1.2 to 2 times as fast as
    explicit products, a forward pass alone is equal.
    """

    def __init__(self, width: int, attention_heads: int) -> None:
        super().__init__()
        self.attention_heads = attention_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "B S D"], there: Bool[Tensor, "B S"] | None = None) -> Float[Tensor, "B S D"]:
        """Each token becomes a mixture of the values of all tokens, or of those that are there."""
        qkv = self.qkv(x).unflatten(2, (3, self.attention_heads, -1))  # (B, S, 3, heads, D / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mask = None if there is None else there[:, None, None, :]  # over heads and queries
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (B, heads, S, D / heads)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One transformer block: attention, then a perceptron, each behind a LayerNorm and a residual.

    Args:
        width: D.
        attention_heads: they share the D features.
        ratio: width of the perceptron over D.
        dropout: fraction of what attention and perceptron add that is set to zero while training.
    """

    def __init__(self, width: int, attention_heads: int, ratio: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, attention_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, state: State) -> State:
        """Tokens to tokens; of a state (mask, tokens) only the tokens that are there are looked at."""
        x = reading(state)
        there = None if isinstance(state, Tensor) else state[0]
        x = x + self.drop(self.attention(self.norm1(x), there))
        x = x + self.drop(self.mlp(self.norm2(x)))
        return x if there is None else (there, x)


@dataclass(frozen=True)
class Size:
    """Settings of one named transformer: blocks, D, attention heads, the perceptron's width over D, overlap, and
    whether it has a class token, which all its heads then read."""

    blocks: int
    width: int
    attention_heads: int
    ratio: int
    overlap: bool = False
    class_token: bool = False


MODELS = {
    "vit_nano": Size(blocks=6, width=32, attention_heads=2, ratio=2, overlap=True),
    "vit_micro": Size(blocks=9, width=96, attention_heads=3, ratio=2, overlap=True),
    "vit_tiny": Size(blocks=12, width=192, attention_heads=3, ratio=4),
    "vit_small": Size(blocks=12, width=384, attention_heads=6, ratio=4),
    "vit_base": Size(blocks=12, width=768, attention_heads=12, ratio=4),
}
MODELS |= {f"{name}_cls": replace(size, class_token=True) for name, size in MODELS.items() if name != "vit_micro"}


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Patch embedding and blocks of a named transformer, initialised from torch's global generator.

    Positions start from N(0, 0.02) as in the paper, linear maps from torch's own U(-1, 1) / sqrt(inputs).
    The two smallest transformers have overlapping patches: with few and short tokens a hard cut hides where
    a pattern lies.

    Args:
        name: a key of `MODELS`.
        kind: "image" or "sequence".
        shape: of one sample, (C, H, W) or (C, L).
    Raises:
        SettingError: the data are tokens, or cannot be cut into patches.
    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929; sizes of Touvron et al. 2021, arXiv:2012.12877;
        overlapping patches as in Wang et al. 2022, PVT v2, arXiv:2106.13797.
    """
    needs_grid(name, kind)
    size = MODELS[name]
    stem = PatchEmbedding(shape, patch_side(name, shape), size.width, size.overlap, size.class_token)
    blocks = [Block(size.width, size.attention_heads, size.ratio) for _ in range(size.blocks)]
    own_head = "class_token" if size.class_token else None
    return Backbone(stem, tuple(blocks), "tokens", own_head, size.class_token)


def patch_side(name: str, shape: Sequence[int]) -> int:
    """Distance of the patches, by the size of the data.

    Raises:
        SettingError: it does not divide a side.
    Example:
        >>> [patch_side("vit_tiny", (3, side, side)) for side in (8, 28, 32, 64, 224)]
        [2, 4, 4, 8, 16]
        >>> patch_side("vit_nano", (1, 40)), patch_side("vit_nano", (1, 1024)), patch_side("vit_nano", (1, 28, 28))
        (4, 64, 7)
    """
    side = min(shape[1:])
    if len(shape) == 2:
        patch = 4 if side <= 64 else side // 16
    elif side == 28 and MODELS[name].overlap:
        patch = 7  # 16 tokens
    else:
        patch = next((p for limit, p in ((16, 2), (64, 4), (128, 8)) if side < limit), 16)
    for side in shape[1:]:
        if side % patch:
            what = "length" if len(shape) == 2 else "side"
            raise SettingError(f"{name}: patch {patch} does not divide the {what} {side} of shape {tuple(shape)}")
    return patch
