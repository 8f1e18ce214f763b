"""Sentences, questions and posts with a class: TREC, SST-2 and 20 Newsgroups, read as their authors lay them out.

Nothing is downloaded. The authors' archives come packed and encoded in several ways, so no checksum of a file is
demanded: each part must hold as many texts as was published, and a run's identity rests on the fingerprint over the
token numbers.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from eecore.data import tokens
from eecore.data.dataset import Dataset, Info
from eecore.data.splits import stratified
from eecore.data.text_reading import Texts, assemble_texts, check_count, here, locate, read_lines
from eecore.errors import DataError, choose, library

TREC_FILES = ("TREC/train_5500.label", "TREC/TREC_10.label")
SST2_FILES = ("SST-2/train.tsv", "SST-2/dev.tsv", "SST-2/test.tsv")
NEWSGROUPS_FOLDERS = ("20news-bydate-train", "20news-bydate-test")
QUESTIONS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
STRIP = {  # what of a post can be taken away, in this order, as scikit-learn does it
    "headers": "strip_newsgroup_header",
    "signatures": "strip_newsgroup_footer",
    "quotes": "strip_newsgroup_quoting",
}

TREC = Info(
    name="trec",
    title="TREC question classification",
    kind="tokens",
    shape=(24,),
    classes=6,
    vocabulary=8000,
    source="https://cogcomp.seas.upenn.edu/Data/QA/QC/",
    licence="not stated; research use",
    citation="Li and Roth 2002, Learning question classifiers, COLING",
    class_names=QUESTIONS,
    note="5 452 published training questions: 4 952 train, 500 validation, stratified; 500 test as published. "
    "The 6 coarse classes. Cut after 23 words.",
)

SST2 = Info(
    name="sst2",
    title="Stanford Sentiment Treebank, two classes",
    kind="tokens",
    shape=(48,),
    classes=2,
    vocabulary=12_000,
    source="https://nlp.stanford.edu/sentiment/",
    licence="not stated; research use",
    citation="Socher et al. 2013, Recursive deep models for semantic compositionality over a sentiment treebank, EMNLP",
    class_names=("negative", "positive"),
    note="67 349 training phrases, 872 validation (the published dev) and 1 821 test sentences, with classes. Training "
    "phrases are parts of training sentences. Cut after 47 words.",
)

_NEWSGROUPS = {
    "kind": "tokens",
    "shape": (256,),
    "classes": 20,
    "vocabulary": 40_000,
    "source": "http://qwone.com/~jason/20Newsgroups/20news-bydate.tar.gz",
    "licence": "not stated; public Usenet posts, redistributed for research",
    "citation": "Lang 1995, NewsWeeder: learning to filter netnews, ICML",
}
_NEWSGROUPS_SPLIT = (
    "By date: 11 314 published training posts, of which 1 000 validate, stratified; 7 532 test as published."
)

NEWSGROUPS = Info(
    name="newsgroups20",
    title="20 Newsgroups, bodies",
    note=f"{_NEWSGROUPS_SPLIT} Headers, signatures and quotes are removed, because they give the group away: what is "
    "left is what a post says. Some bodies are empty then. Cut after 255 words.",
    **_NEWSGROUPS,  # type: ignore[arg-type]
)

NEWSGROUPS_WHOLE = Info(
    name="newsgroups20_whole",
    title="20 Newsgroups, whole posts",
    note=f"{_NEWSGROUPS_SPLIT} Posts as sent, headers included, which name senders and sites: easier than bodies. "
    "Cut after 255 words.",
    **_NEWSGROUPS,  # type: ignore[arg-type]
)


def make_trec(sizes: tuple[int, int, int] = (4_952, 500, 500)) -> Dataset:
    """Questions and their coarse classes.

    Args:
        sizes: training, validation and test questions; the first two are cut from the published training set.
    Raises:
        DataError: a file is missing, cannot be read, or holds another number of questions.
    """
    form = "COARSE:fine question"
    pool = _read(TREC, TREC_FILES[0], sum(sizes[:2]), _question, form, header=False)
    test = _read(TREC, TREC_FILES[1], sizes[2], _question, form, header=False)
    train, validation = (pool.take(part) for part in stratified(np.array(pool.classes), sizes[:2]))
    return assemble_texts(TREC, train, validation, test)


def make_sst2(sizes: tuple[int, int, int] = (67_349, 872, 1_821)) -> Dataset:
    """Phrases and sentences of film reviews, 0 negative and 1 positive.

    Args:
        sizes: training, validation and test texts.
    Raises:
        DataError: a file is missing, cannot be read, or holds another number of texts.
    """
    train, validation, test = (
        _read(SST2, place, size, _phrase, "text<TAB>0 or 1", header=True)
        for place, size in zip(SST2_FILES, sizes, strict=True)
    )
    return assemble_texts(SST2, train, validation, test)


def describe_newsgroups20() -> Info:
    """The description of the bodies, with the names of the groups where the posts are here."""
    return _with_groups(NEWSGROUPS)


def describe_newsgroups20_whole() -> Info:
    """The description of the whole posts, with the names of the groups where they are here."""
    return _with_groups(NEWSGROUPS_WHOLE)


def make_newsgroups20() -> Dataset:
    """Bodies alone: the registered data set."""
    return make_newsgroups(describe_newsgroups20())


def make_newsgroups20_whole() -> Dataset:
    """Whole posts: the registered data set."""
    return make_newsgroups(describe_newsgroups20_whole(), remove=())


def make_newsgroups(
    info: Info, remove: Sequence[str] = tuple(STRIP), sizes: tuple[int, int, int] = (10_314, 1_000, 7_532)
) -> Dataset:
    """Posts and their groups, the groups in the order of the alphabet.

    Args:
        info: describes the result.
        remove: what is taken away: some of "headers", "signatures", "quotes". By default all of them, the usual hard
            setting: headers and signatures name people and sites, and quotes repeat posts of the other parts.
        sizes: training, validation and test posts; the first two are cut from the published training part.
    Raises:
        SettingError: `remove` names something else.
        DataError: a folder is missing, or holds other groups or another number of posts.
    """
    for part in remove:
        choose("remove", part, STRIP)
    package = library("sklearn.datasets._twenty_newsgroups", "scikit-learn")
    steps = [getattr(package, name) for part, name in STRIP.items() if part in remove]
    pool = _posts(info, NEWSGROUPS_FOLDERS[0], sum(sizes[:2]), steps)
    test = _posts(info, NEWSGROUPS_FOLDERS[1], sizes[2], steps)
    train, validation = (pool.take(part) for part in stratified(np.array(pool.classes), sizes[:2]))
    return assemble_texts(info, train, validation, test, cut=_long_words)


def _question(line: str) -> tuple[str, int]:
    """Text and class of "COARSE:fine question"."""
    label, text = line.split(" ", 1)
    return text, QUESTIONS.index(label.split(":")[0])


def _phrase(line: str) -> tuple[str, int]:
    """Text and class of "phrase<TAB>class"."""
    text, label = line.rsplit("\t", 1)
    return text, {"0": 0, "1": 1}[label.strip()]


def _read(info: Info, place: str, size: int, parse: Callable[[str], tuple[str, int]], form: str, header: bool) -> Texts:
    """One file of lines."""
    rows = read_lines(locate(info.name, place, info.source), parse, form, size, header=header)
    return Texts([text for text, _ in rows], [label for _, label in rows])


def _posts(info: Info, place: str, size: int, steps: Sequence[Callable[[str], str]]) -> Texts:
    """The posts of one part, in the order of groups and file names."""
    folder = locate(info.name, place, info.source)
    groups = _groups(folder)
    if len(groups) != info.classes:
        raise DataError(f"{folder} is damaged or another version: it holds {len(groups)} groups, not {info.classes}")
    texts, classes = [], []
    for label, group in enumerate(groups):
        for path in sorted((folder / group).iterdir()):
            text = path.read_bytes().decode("latin-1").replace("\r\n", "\n")
            for strip in steps:
                text = strip(text)
            texts.append(text)
            classes.append(label)
    check_count(folder, len(texts), size)
    return Texts(texts, classes)


def _groups(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _with_groups(info: Info) -> Info:
    """A description with the names of the groups, which are those of the folders; what is damaged `make` says."""
    folders = here(NEWSGROUPS_FOLDERS[0])
    groups = _groups(folders[0]) if folders else []
    return dataclasses.replace(info, class_names=tuple(groups)) if len(groups) == info.classes else info


def _long_words(text: str) -> list[str]:
    """Words of two letters or more, without signs: of a long post they fill fewer places."""
    return [word for word in tokens.words(text) if len(word) > 1]
