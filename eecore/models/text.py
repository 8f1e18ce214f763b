"""Transformers for texts: characters, words, or pairs of texts. Pre-norm; heads take the mean over the tokens there.

B batch, S sequence of tokens, P pieces that the blocks see, V numbers of a vocabulary, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eecore.models import vit
from eecore.models.backbone import Backbone, needs_tokens
from eecore.shapes import Bool, Float, Int
from eecore.special import FIRST, PADDING, SEPARATOR

SHORT = 64  # a text of so many tokens is taken word by word
PIECES = 16  # a longer one in so many pieces
WINDOW = 5  # characters that are looked at together
STD = 0.1  # of the vectors of tokens at the start
STD_OF_PIECES = 0.01  # where they are averaged: a rare word, hardly trained, must not drown the others


class Embedding(nn.Module):
    """A vector for each token and one for each place; long texts are averaged over pieces of neighbouring tokens.

    A window puts neighbours together before the first block: what tells languages apart are groups of letters, which
    attention alone finds late. Attention over 16 pieces costs a hundredth of attention over 256 words, and what a post
    is about lies in which words it has more than in their order.

    Args:
        length: S.
        vocabulary: V.
        width: D.
        dropout: fraction of the features that is set to zero while training.
        window: tokens that are looked at together, an odd number; 1: each alone.
    Source:
        Iyyer et al. 2015, Deep unordered composition rivals syntactic methods, ACL (averages of word vectors); Kim et
        al. 2016, Character-aware neural language models, arXiv:1508.06615 (windows of characters).
    """

    def __init__(self, length: int, vocabulary: int, width: int, dropout: float, window: int = 1) -> None:
        super().__init__()
        self.piece = 1 if length <= SHORT else -(-length // PIECES)  # tokens of a piece
        pieces = -(-length // self.piece)  # P
        self.tokens = _token_vectors(vocabulary, width, STD if self.piece == 1 else STD_OF_PIECES)
        self.window = window
        self.neighbours: nn.Module = nn.Identity()
        if window > 1:
            layers = (nn.Linear(window * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            self.neighbours = nn.Sequential(*layers)
        self.position = nn.Parameter(torch.empty(pieces, width))
        nn.init.normal_(self.position, std=0.02)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Int[Tensor, "B S"]) -> tuple[Bool[Tensor, "B P"], Float[Tensor, "B P D"]]:
        """Which pieces are there, and their vectors. x may be shorter than the S of the data."""
        missing = -x.shape[1] % self.piece
        there, vectors = x != PADDING, self.tokens(x)  # (B, S), (B, S, D)
        if self.window > 1:
            beside = F.pad(vectors, (0, 0, self.window // 2, self.window // 2))
            vectors = self.neighbours(beside.unfold(1, self.window, 1).flatten(2))  # (B, S, D)
        if self.piece > 1:
            vectors = vectors * there.unsqueeze(2)
            count = F.pad(there, (0, missing)).unflatten(1, (-1, self.piece)).sum(2)  # (B, P)
            total = F.pad(vectors, (0, 0, 0, missing)).unflatten(1, (-1, self.piece)).sum(2)  # (B, P, D)
            there, vectors = count > 0, total / count.clamp(min=1).unsqueeze(2)
        return there, self.drop(vectors + self.position[: vectors.shape[1]])


class PairEmbedding(nn.Module):
    """A vector for each token, and one for each of four marks: in which text it is, and whether the other has it too.

    No places: which words two sentences share says more about their meaning than where they stand.

    Args:
        vocabulary: V.
        width: D.
        dropout: fraction of the features that is set to zero while training.
    Source:
        Chen et al. 2017, Reading Wikipedia to answer open-domain questions, arXiv:1704.00051, section 3.2.
    """

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.tokens = _token_vectors(vocabulary, width, STD)
        self.marks = nn.Embedding(4, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Int[Tensor, "B S"]) -> tuple[Bool[Tensor, "B S"], Float[Tensor, "B S D"]]:
        """Which tokens are there, and their vectors."""
        return x != PADDING, self.drop(self.tokens(x) + self.marks(marks(x)))


def marks(x: Int[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Mark of each token of a pair: 0 or 1 in the first text, 2 or 3 in the second, odd where the other has it too.

    Padding, unknown words and the ends of texts are never in both.

    Example:
        >>> marks(torch.tensor([[7, 8, SEPARATOR, 8, 9, SEPARATOR, PADDING]]))
        tensor([[0, 1, 0, 3, 2, 2, 2]])
    """
    ends = (x == SEPARATOR).long()
    second = (ends.cumsum(1) - ends) > 0  # behind the first end
    same = (x[:, :, None] == x[:, None, :]) & (second[:, :, None] != second[:, None, :])  # (B, S, S)
    return 2 * second.long() + (same.any(2) & (x >= FIRST)).long()


def _token_vectors(vocabulary: int, width: int, std: float) -> nn.Embedding:
    """V vectors from N(0, std); that of padding is zero and stays it."""
    vectors = nn.Embedding(vocabulary, width, padding_idx=PADDING)
    with torch.no_grad():
        nn.init.normal_(vectors.weight, std=std)
        vectors.weight[PADDING].zero_()
    return vectors


@dataclass(frozen=True)
class Size:
    """Settings of one named transformer: blocks, D, attention heads, the perceptron's width over D, dropout, the window
    of neighbouring tokens, and whether texts come in pairs."""

    blocks: int
    width: int
    attention_heads: int
    ratio: int
    dropout: float = 0.0
    window: int = 1
    pairs: bool = False


MODELS = {
    "text_nano": Size(blocks=6, width=32, attention_heads=2, ratio=2, window=WINDOW),  # words from their characters
    "text_small": Size(blocks=4, width=128, attention_heads=4, ratio=2, dropout=0.2),  # sentences and posts
    "text_pairs": Size(blocks=4, width=64, attention_heads=2, ratio=2, dropout=0.2, pairs=True),  # two sentences
}


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Embedding and blocks of a named transformer, initialised from torch's global generator.

    Args:
        name: a key of `MODELS`.
        kind: "tokens".
        shape: (S, V), the length and the number of different tokens.
    Raises:
        SettingError: the data are not tokens.
    Source:
        Vaswani et al. 2017, arXiv:1706.03762; pre-norm blocks as in Xiong et al. 2020, arXiv:2002.04745.
    """
    length, vocabulary = needs_tokens(name, kind, shape)
    size = MODELS[name]
    if size.pairs:
        stem: nn.Module = PairEmbedding(vocabulary, size.width, size.dropout)
    else:
        stem = Embedding(length, vocabulary, size.width, size.dropout, size.window)
    blocks = [vit.Block(size.width, size.attention_heads, size.ratio, size.dropout) for _ in range(size.blocks)]
    return Backbone(stem, tuple(blocks), "tokens")
