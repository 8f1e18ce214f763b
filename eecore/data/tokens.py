"""From texts to rows of token numbers: words or characters, a vocabulary learnt from training texts alone, padding.

Nothing here is random. A plain vocabulary of words, not subwords: it is a few lines, it gives the same numbers in every
version of every library, and it keeps what linear models of these data sets see.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from eecore.data.raw import ended, padded, token_number, words
from eecore.shapes import Int
from eecore.special import FIRST

__all__ = ["Vocabulary", "encode", "encode_pairs", "learn", "words"]


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of tokens.

    Args:
        numbers: token -> its number, from 3 up.
        size: V; all numbers are below it.
        buckets: the last so many of the V numbers are shared by the tokens that `numbers` does not hold, by a checksum
            of their letters: so a rare word is still the same word when it comes twice. 0: all of them are UNKNOWN.
    """

    numbers: dict[str, int]
    size: int
    buckets: int = 0

    def number(self, token: str) -> int:
        """Number of one token."""
        return token_number(token, self.numbers, self.size, self.buckets)


def learn(texts: Iterable[Sequence[str]], size: int, *, least: int = 1, buckets: int = 0) -> Vocabulary:
    """The most frequent tokens of the training texts, numbered by falling frequency, ties by alphabet.

    Args:
        texts: training texts, already cut into tokens.
        size: V, the special numbers and the buckets included.
        least: a token that occurs less often is left out.
        buckets: see `Vocabulary`.
    Example:
        >>> learn([["a", "b", "a"], ["c", "b"]], size=5).numbers
        {'a': 3, 'b': 4}
    """
    counts = Counter(token for text in texts for token in text)
    ranked = sorted((token for token, count in counts.items() if count >= least), key=lambda t: (-counts[t], t))
    kept = ranked[: max(0, size - FIRST - buckets)]
    return Vocabulary({token: FIRST + i for i, token in enumerate(kept)}, size, buckets)


def encode(texts: Sequence[Sequence[str]], vocabulary: Vocabulary, length: int) -> Int[torch.Tensor, "N S"]:
    """One row per text: its tokens' numbers, SEPARATOR at the end, then PADDING. What is longer is cut.

    Args:
        texts: already cut into tokens; a text may be empty.
        vocabulary: see `learn`.
        length: S, from 1 up.
    Example:
        >>> encode([["b", "a"], []], learn([["a", "b", "a"]], size=5), length=4)
        tensor([[4, 3, 2, 0],
                [2, 0, 0, 0]])
    """
    return torch.from_numpy(padded([ended(text, vocabulary.number, length) for text in texts], length))


def encode_pairs(
    first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], vocabulary: Vocabulary, length: int
) -> Int[torch.Tensor, "N S"]:
    """One row per pair: the first text, SEPARATOR, the second, SEPARATOR, then PADDING; each text is cut to S / 2.

    Example:
        >>> encode_pairs([["a"]], [["b", "a"]], learn([["a", "b", "a"]], size=5), length=6)
        tensor([[3, 2, 4, 3, 2, 0]])
    """
    half = length // 2
    pairs = zip(first, second, strict=True)
    rows = [ended(a, vocabulary.number, half) + ended(b, vocabulary.number, half) for a, b in pairs]
    return torch.from_numpy(padded(rows, length))
