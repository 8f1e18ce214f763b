"""Language of a word from its characters: the most frequent words of 20 languages, out of a Python package.

Axes: N words, S characters of a word.
"""

from collections import Counter
from itertools import islice

import numpy as np
import torch

from eecore.data import tokens
from eecore.data.dataset import Dataset, Info, Split, assemble
from eecore.data.files import check_sha256
from eecore.data.preparation import of_texts
from eecore.data.splits import stratified

CODES = "cs da de en es fi fr hu id is it lt lv nl pl pt ro sv tr vi"  # ISO 639-1; all in Latin script
LANGUAGES = CODES.split()
TOP = 5_000  # of each language's list, these many are candidates
WORDS = 2_000  # of each language, these many are kept
SIZES = (30_000, 4_000, 6_000)  # train, validation, test
SHORTEST, LONGEST = 4, 15  # letters of a word
# sha256 of all words, language by language, one a line
CHECKSUM = "9b76282dc9e4e48c11eae8bcbfaff3159b72301a6dbe52bae70efc87f17ea86a"

INFO = Info(
    name="wordlang",
    title="Language of a word",
    kind="tokens",
    shape=(LONGEST + 1,),
    classes=len(LANGUAGES),
    vocabulary=145,
    source="wordfreq, wordfreq.iter_wordlist; https://doi.org/10.5281/zenodo.7199437",
    licence="Apache 2.0 (code), CC BY-SA 4.0 (data)",
    citation="Speer 2022, rspeer/wordfreq v3.0, Zenodo",
    note="The 2 000 most frequent words of 4 to 15 letters that only one of the 20 languages has among its 5 000 most "
    "frequent ones: 30 000 / 4 000 / 6 000, stratified. Names and loan words stay, so that no model reaches 1.",
    class_names=tuple(LANGUAGES),
)


def make() -> Dataset:
    """The registered data set.

    Raises:
        DataError: the package holds other words than those this library knows.
    """
    words = frequent_words()
    check_sha256("wordlang: the package's lists of words", "\n".join(words).encode(), CHECKSUM)
    return make_wordlang(words)


def make_wordlang(words: list[str], sizes: tuple[int, int, int] = SIZES) -> Dataset:
    """Words as rows of characters, the end marked.

    Args:
        words: as many of each language, language by language.
        sizes: training, validation and test words.
    """
    y = np.repeat(np.arange(len(LANGUAGES)), len(words) // len(LANGUAGES))
    parts = stratified(y, sizes)
    letters = [list(word) for word in words]
    vocabulary = tokens.learn([letters[i] for i in parts[0]], INFO.vocabulary)
    x, classes = tokens.encode(letters, vocabulary, INFO.shape[0]), torch.from_numpy(y)
    train, validation, test = (Split(x[torch.from_numpy(part)], classes[torch.from_numpy(part)]) for part in parts)
    preparation = of_texts(vocabulary, INFO.shape[0], "characters")
    return assemble(INFO, train=train, validation=validation, test=test, preparation=preparation)


def frequent_words(per_language: int = WORDS) -> list[str]:
    """The words, language by language, the most frequent first; each is in the list of one language alone."""
    from wordfreq import iter_wordlist  # 55 MB of lists: read where they are wanted, not with every import of eecore

    lists = [list(islice(filter(_fits, iter_wordlist(code, "small")), TOP)) for code in LANGUAGES]
    languages = Counter(word for words in lists for word in words)
    return [word for words in lists for word in islice((word for word in words if languages[word] == 1), per_language)]


def _fits(word: str) -> bool:
    """Letters alone, and neither too few to tell a language nor too many for a row."""
    return SHORTEST <= len(word) <= LONGEST and word.isalpha()
