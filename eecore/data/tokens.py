"""From texts to rows of token numbers: words or characters, a vocabulary learnt from training texts alone, padding.

Nothing here is random. A plain vocabulary of words, not subwords: it is a few lines, it gives the same numbers in every
version of every library, and it keeps what linear models of these data sets see.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eecore.shapes import Int
from eecore.special import FIRST, PADDING, SEPARATOR, UNKNOWN

# Scripts that are written without spaces: Thai, Lao, Tibetan; Myanmar; Khmer; kana, Han, also as half and full widths
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:'[^\W_{_UNSPACED}]+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Words in small letters, an apostrophe within a word included; each other sign is a token of its own.

    So is each character of a script that puts no spaces between words, such as Chinese, Japanese, Thai or Khmer.

    Example:
        >>> words("Who's in U.S. politics?")
        ["who's", 'in', 'u', '.', 's', '.', 'politics', '?']
        >>> words("iPhone很好。")
        ['iphone', '很', '好', '。']
    """
    return _WORD.findall(text.lower())


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
        known = self.numbers.get(token)
        if known is not None:
            return known
        return self.size - 1 - zlib.crc32(token.encode()) % self.buckets if self.buckets else UNKNOWN


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
    return _padded([_numbers(text, vocabulary, length) for text in texts], length)


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
    return _padded([_numbers(a, vocabulary, half) + _numbers(b, vocabulary, half) for a, b in pairs], length)


def _numbers(text: Sequence[str], vocabulary: Vocabulary, length: int) -> list[int]:
    return [*(vocabulary.number(token) for token in text[: length - 1]), SEPARATOR]


def _padded(rows: list[list[int]], length: int) -> Int[torch.Tensor, "N S"]:
    out = np.full((len(rows), length), PADDING, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)
