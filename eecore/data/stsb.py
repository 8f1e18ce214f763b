"""STS Benchmark: pairs of sentences and how alike their meanings are, from 0 to 5. A regression.

Axes: N pairs, S tokens of a pair.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from eecore.data import tokens
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.text_reading import locate, read_lines
from eecore.shapes import Float, Int

BUCKETS = 1000  # numbers shared by words that occur once or never in training: two copies of one still match
FILES = tuple(f"stsbenchmark/sts-{part}.csv" for part in ("train", "dev", "test"))
HIGHEST = 5.0  # published score
SIZES = (5_749, 1_500, 1_379)

INFO = Info(
    name="stsb",
    title="STS Benchmark",
    kind="tokens",
    shape=(64,),
    classes=1,
    vocabulary=8000,
    source="http://ixa2.si.ehu.eus/stswiki/index.php/STSbenchmark",
    licence="scores CC BY-SA 4.0; each source of sentences has its own terms",
    citation="Cer et al. 2017, SemEval-2017 task 1: semantic textual similarity, arXiv:1708.00055",
    note="5 749 training, 1 500 validation (the published dev) and 1 379 test pairs; scores from 0 (unlike) to 1 (the "
    "same): the published ones over 5. Each sentence is cut after 31 words.",
    task="regression",
)


@dataclass(frozen=True)
class Pair:
    """Two sentences and their score."""

    first: str
    second: str
    score: float


def read_pair(line: str) -> Pair:
    """A pair from one line: genre, file, year, id, score, sentence, sentence, perhaps more; between them tabs.

    Example:
        >>> read_pair("news\\tMSRpar\\t2012\\t7\\t4.5\\tIt rains.\\tRain falls.")
        Pair(first='It rains.', second='Rain falls.', score=4.5)
    """
    fields = line.split("\t")
    pair = Pair(fields[5], fields[6].rstrip(), float(fields[4]))
    if not 0.0 <= pair.score <= HIGHEST:
        raise ValueError(f"score: expected 0 to 5, got {pair.score}")
    return pair


def make_stsb(sizes: tuple[int, int, int] = SIZES) -> Dataset:
    """The pairs as rows of tokens, y their scores over 5, float32.

    Args:
        sizes: training, validation and test pairs.
    Raises:
        DataError: a file is missing, cannot be read, or holds another number of pairs.
    """
    train, validation, test = (Split(x, y) for x, y in read_scored(sizes))
    return assemble(INFO, train=train, validation=validation, test=test)


def read_scored(sizes: tuple[int, int, int] = SIZES) -> list[tuple[Int[Tensor, "N S"], Float[Tensor, " N"]]]:
    """Tokens and scores (0 to 1) of the three parts; the vocabulary is that of the training sentences.

    Words that occur once there, or never, share numbers by their letters instead of being one unknown word: that a word
    occurs in both sentences says much, a rare word most of all.
    """
    form = "genre, file, year, id, score, sentence, sentence, with tabs between them"
    parts: list[list[Pair]] = [
        read_lines(locate("stsb", place, INFO.source), read_pair, form, size)
        for place, size in zip(FILES, sizes, strict=True)
    ]
    learnt_from = [tokens.words(sentence) for pair in parts[0] for sentence in (pair.first, pair.second)]
    vocabulary = tokens.learn(learnt_from, INFO.vocabulary, least=2, buckets=BUCKETS)
    return [_encoded(pairs, vocabulary) for pairs in parts]


def _encoded(pairs: list[Pair], vocabulary: tokens.Vocabulary) -> tuple[Tensor, Tensor]:
    """One part as tensors."""
    first = [tokens.words(pair.first) for pair in pairs]
    second = [tokens.words(pair.second) for pair in pairs]
    x = tokens.encode_pairs(first, second, vocabulary, INFO.shape[0])
    return x, torch.tensor([pair.score / HIGHEST for pair in pairs], dtype=torch.float32)
