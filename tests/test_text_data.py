"""Texts as data: tokens, vocabularies, the files of authors and one's own, words of 20 languages, dropped words.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eecore import data
from eecore.data import augment_tokens, stsb, text_file, text_reading, text_sets, tokens, wordlang
from eecore.errors import DataError, SettingError
from eecore.special import FIRST, PADDING, SEPARATOR, UNKNOWN


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of this test's own."""
    monkeypatch.setenv("EECORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def decode(row: torch.Tensor, vocabulary: tokens.Vocabulary) -> list[str]:
    """Words of a row of numbers."""
    names = {number: token for token, number in vocabulary.numbers.items()} | {UNKNOWN: "?", SEPARATOR: "/"}
    return [names[number] for number in row.tolist() if number != PADDING]


# ---- tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t", []),
        ("It's 5 o'clock.", ["it's", "5", "o'clock", "."]),
        ("'quoted' snake_case", ["'", "quoted", "'", "snake", "case"]),
        ("Größe, ČESKÝ!", ["größe", ",", "český", "!"]),
        ("$3.50--or", ["$", "3", ".", "50", "-", "-", "or"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert tokens.words(text) == expected


WORDS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), max_size=8)


@given(WORDS, WORDS, st.integers(FIRST, 12), st.integers(1, 3), st.integers(0, 3))
def test_vocabulary_against_a_plain_loop(
    texts: list[list[str]], others: list[list[str]], size: int, least: int, buckets: int
) -> None:
    size += buckets
    made = tokens.learn(texts, size, least=least, buckets=buckets)
    counts = Counter(token for text in texts for token in text)
    kept = [token for token in sorted(counts, key=lambda t: (-counts[t], t)) if counts[token] >= least]
    assert list(made.numbers) == kept[: size - FIRST - buckets]
    x = tokens.encode(others, made, length=5)
    for text, row in zip(others, x.tolist(), strict=True):
        end = min(len(text), 4)
        assert row[end:] == [SEPARATOR] + [PADDING] * (4 - end)
        for token, number in zip(text, row[:end], strict=False):
            if token in made.numbers:
                assert number == made.numbers[token]
            elif buckets:
                assert size - buckets <= number < size
            else:
                assert number == UNKNOWN
        assert all(0 <= number < size for number in row)


def test_a_bucket_is_decided_by_the_letters() -> None:
    made = tokens.learn([["a", "a"]], 104, buckets=100)
    numbers = {made.number(f"word{i}") for i in range(300)}
    assert made.number("word1") == tokens.learn([["b"]], 104, buckets=100).number("word1")
    assert numbers <= set(range(4, 104))
    assert len(numbers) > 80


def test_pairs_are_cut_in_halves_and_ended_twice() -> None:
    made = tokens.learn([list("abc")], 6)
    x = tokens.encode_pairs([list("abcabc"), []], [list("cc"), list("abc")], made, length=8)
    assert [decode(row, made) for row in x] == [list("abc/cc/"), list("/abc/")]


# ---- files of authors


def lay_out_trec(folder: Path) -> None:
    """Twelve training and three test questions; the last training question is Latin-1, as published."""
    rows = [f"{label}:x Who is number {i} of {label} ?" for i in range(2) for label in text_sets.QUESTIONS]
    rows[-1] = "NUM:x Where is Malm\xf6 ?"
    write(folder / "TREC/train_5500.label", "\n".join(rows).encode("latin-1") + b"\r\n\n")
    write(folder / "TREC/TREC_10.label", "LOC:city Where is Rome ?\nHUM:ind Who is zebra ?\nNUM:x How many ?\n")


def test_trec(folder: Path) -> None:
    lay_out_trec(folder)
    made = text_sets.make_trec(sizes=(10, 2, 3))
    assert (len(made.train), len(made.validation), len(made.test)) == (10, 2, 3)
    assert made.test.y.tolist() == [4, 3, 5]
    assert sorted(torch.cat([made.train.y, made.validation.y]).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert made.test.x[1].tolist()[2:6] != [PADDING] * 4
    how = made.preparation
    assert how is not None
    assert (how["cut"], how["size"], how["length"]) == ("words", 8000, 24)
    assert made.test.x[1, 2] == UNKNOWN  # zebra: the test part teaches the vocabulary nothing


def test_latin_1_and_utf_8_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8", "latin-1"):
        path = write(tmp_path / encoding, "Malmö\r\nx".encode(encoding))
        assert text_reading.read_text(path) == "Malmö\nx"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("LOC:city Where ?\nHUM Who ?", "TREC_10.label is damaged or another version: it holds 2 texts, 3 were"),
        (
            "LOC:city Where ?\n\nWHO:x Who ?\n",
            "TREC_10.label, line 3: expected COARSE:fine question, got 'WHO:x Who ?'",
        ),
        ("nothing", "line 1: expected COARSE:fine question, got 'nothing'"),
    ],
)
def test_a_damaged_file_is_named(content: str, message: str, folder: Path) -> None:
    lay_out_trec(folder)
    write(folder / "TREC/TREC_10.label", content)
    with pytest.raises(DataError, match=re.escape(message)):
        text_sets.make_trec(sizes=(10, 2, 3))


def test_a_missing_file_says_where_and_how(folder: Path) -> None:
    for make, name in (
        (text_sets.make_trec, "train_5500.label"),
        (text_sets.make_sst2, "train.tsv"),
        (text_sets.make_newsgroups20, "20news-bydate-train"),
        (stsb.read_scored, "sts-train.csv"),
    ):
        with pytest.raises(DataError, match=name) as caught:
            make()
        message = str(caught.value)
        assert "\n" not in message
        for part in ("is missing", str(folder), "cache", "Get it from http", "EECORE_DATA"):
            assert part in message


def test_sst2(folder: Path) -> None:
    for part, rows in (
        ("train", "good film \t1\nbad film \t0\na film \x85 it\t1\n"),  # a sign that Python would end a line at
        ("dev", "bad \t0\n"),
        ("test", "good one\t1\n"),
    ):
        write(folder / f"SST-2/{part}.tsv", "sentence\tlabel\n" + rows)
    made = text_sets.make_sst2(sizes=(3, 1, 1))
    assert made.train.y.tolist() == [1, 0, 1]
    good, film = made.train.x[0, :2]
    assert made.train.x[1, 1] == film == made.train.x[2, 1]
    assert made.test.x[0, :4].tolist() == [good, UNKNOWN, SEPARATOR, PADDING]
    write(folder / "SST-2/dev.tsv", "sentence\tlabel\nbad\t2\n")
    with pytest.raises(DataError, match="line 2: expected text<TAB>0 or 1, got"):
        text_sets.make_sst2(sizes=(3, 1, 1))


POST = """From: someone@space.example
Subject: rockets

ann@site.example writes:
> quoted words
own words about {word}

--
Signature Name
"""


def lay_out_newsgroups(folder: Path, groups: int = 20) -> None:
    for part, size in (("train", 3), ("test", 2)):
        for group in range(groups):
            for i in range(size):
                word = f"{'abcdefghijklmnopqrst'[group] * 3} {part} {i}{i}"
                write(folder / f"20news-bydate-{part}/group{group:02}/{i}", POST.format(word=word))


@pytest.mark.parametrize(
    ("remove", "gone", "kept"),
    [
        (tuple(text_sets.STRIP), ["rockets", "quoted", "signature"], ["own", "about"]),
        (("headers",), ["rockets"], ["quoted", "signature", "own"]),
        (("quotes",), ["quoted"], ["rockets", "signature", "own"]),
        (("signatures",), ["signature"], ["rockets", "quoted", "own"]),
        ((), [], ["rockets", "quoted", "signature", "own"]),
    ],
)
def test_what_is_removed_from_posts(
    remove: tuple[str, ...], gone: list[str], kept: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out_newsgroups(folder)
    learnt: list[tokens.Vocabulary] = []
    learn = tokens.learn
    monkeypatch.setattr(tokens, "learn", lambda *a, **k: learnt.append(learn(*a, **k)) or learnt[-1])
    made = text_sets.make_newsgroups(text_sets.NEWSGROUPS, remove, sizes=(40, 20, 40))
    assert (len(made.train), len(made.validation), len(made.test)) == (40, 20, 40)
    assert made.test.y.tolist() == [group for group in range(20) for _ in range(2)]
    assert made.preparation is None  # posts are cut in a way of their own
    words = {word for row in made.train.x for word in decode(row, learnt[0])}
    assert not words & set(gone)
    assert words >= set(kept)


def test_newsgroups_refuses_what_is_not_the_archive(folder: Path) -> None:
    with pytest.raises(SettingError, match="did you mean 'headers'"):
        text_sets.make_newsgroups(text_sets.NEWSGROUPS, ("header",))
    lay_out_newsgroups(folder, groups=19)
    with pytest.raises(DataError, match="20news-bydate-train is damaged or another version: it holds 19 groups"):
        text_sets.make_newsgroups20()
    lay_out_newsgroups(folder)
    with pytest.raises(DataError, match="it holds 60 texts, 11314 were published"):
        text_sets.make_newsgroups20()


def test_stsb_is_read(folder: Path) -> None:
    line = "main\tMSRvid\t2012\t{i}\t{score}\tA plane is {verb}.\tAn air plane is {verb}.{more}\n"
    content = "".join(line.format(i=i, score=i, verb="flying", more="\tsource" if i else "") for i in range(3))
    for part in ("train", "dev", "test"):
        write(folder / f"stsbenchmark/sts-{part}.csv", content.replace("flying", f"{part}ing"))
    parts = stsb.read_scored(sizes=(3, 3, 3))
    for x, y in parts:
        assert y.dtype == torch.float32
        torch.testing.assert_close(y, torch.tensor([0.0, 0.2, 0.4]))
        assert [int(n) for n in (x == SEPARATOR).sum(1)] == [2, 2, 2]
        assert int(x.max()) < stsb.INFO.vocabulary
    verbs = [x[0, 3] for x, _ in parts]
    assert verbs[0] < verbs[1]  # a word that training does not have lies in a bucket ...
    assert verbs[1] >= stsb.INFO.vocabulary - stsb.BUCKETS
    assert (parts[1][0][0] == verbs[1]).sum() == 2  # ... the same one in both sentences
    assert verbs[1] != verbs[2]
    write(folder / "stsbenchmark/sts-dev.csv", content.replace("\t2\tA", "\t5.1\tA"))
    with pytest.raises(DataError, match=r"sts-dev[.]csv, line 3: expected genre"):
        stsb.read_scored(sizes=(3, 3, 3))


# ---- words of 20 languages


def test_wordlang_sizes_and_shares() -> None:
    made = data.load("wordlang")
    splits = (made.train, made.validation, made.test)
    assert [len(split) for split in splits] == [30_000, 4_000, 6_000]
    assert made.removed == 0
    for split in splits:
        assert np.ptp(np.bincount(split.y.numpy(), minlength=20)) <= 4
        assert (split.x == SEPARATOR).sum(1).eq(1).all()
        lengths = (split.x >= UNKNOWN).sum(1) - 1
        assert (lengths.min(), lengths.max()) >= (4, 5)
        assert lengths.max() <= 15
    assert int(made.train.x.max()) < made.info.vocabulary
    assert made.fingerprint.startswith("2852c80589e23863")


def test_wordlang_words_belong_to_one_language() -> None:
    words = wordlang.frequent_words(200)
    assert len(set(words)) == len(words) == 20 * 200
    assert {"nebo", "eine", "between"} <= set(words)
    assert not {"radio", "hotel"} & set(words)


def test_wordlang_notices_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wordfreq.iter_wordlist", lambda code, size: [f"{code}word{c}" for c in "abc"])
    with pytest.raises(DataError, match="wordlang: the package's lists of words is damaged or another version"):
        wordlang.make()


def test_fingerprint_is_the_same_in_another_process() -> None:
    code = "import eecore.data as d; print(d.load('wordlang').fingerprint)"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    root = Path(data.__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=environment
    )
    assert out.stdout.split() == [data.load("wordlang").fingerprint]


# ---- one's own file


def table(rows: int = 40) -> pd.DataFrame:
    """Texts of two classes, told apart by one word; every word occurs so often that training has it."""
    label = ["yes", "no"] * (rows // 2)
    return pd.DataFrame({"text": [f"a{i // 7} b{i % 7} says {y}" for i, y in enumerate(label)], "label": label})


def save(frame: pd.DataFrame, path: Path) -> Path:
    """As CSV, TSV or Parquet, by the ending."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_own_file(ending: str, tmp_path: Path) -> None:
    made = data.make_text_file(save(table(), tmp_path / f"mine{ending}"), "text:mine")
    assert (made.name, made.kind, made.classes, made.shape) == ("text:mine", "tokens", 2, (5,))
    assert (len(made.train), len(made.validation), len(made.test)) == (28, 6, 6)
    assert made.info.vocabulary == FIRST + 6 + 7 + 3  # a0 to a5, b0 to b6, says, yes, no
    assert made.info.note == "Classes: no, yes."
    no, yes = (made.train.x[made.train.y == c][0, 3] for c in (0, 1))
    for split in (made.train, made.validation, made.test):
        assert torch.equal(split.x[:, 3], torch.where(split.y == 0, no, yes))
    same = data.make_text_file(tmp_path / f"mine{ending}", "text:mine")
    assert same.fingerprint == made.fingerprint


def test_own_file_with_splits(tmp_path: Path) -> None:
    frame = table()
    frame["split"] = ["train", "dev", "train", "Test", "Test"] * 8
    made = data.make_text_file(save(frame, tmp_path / "a.csv"), "a")
    assert (len(made.train), len(made.validation), len(made.test)) == (16, 8, 16)
    frame["split"] = ["train", "test"] * 10 + ["test", "train"] * 10
    made = data.make_text_file(save(frame, tmp_path / "b.csv"), "b")
    assert (len(made.train), len(made.validation), len(made.test)) == (17, 3, 20)


def test_own_file_labels_and_texts_are_taken_as_they_stand(tmp_path: Path) -> None:
    frame = table(30)
    frame["label"] = [str(i % 3 * 5) for i in range(30)]  # 0, 5, 10: by number, not by alphabet
    frame.loc[0, "text"] = "NA"
    frame.loc[1, "text"] = 'a "quoted", longer\ntext ' + "word " * 300
    made = data.make_text_file(save(frame, tmp_path / "a.csv"), "a", length=6, vocabulary=10)
    assert made.info.note == "Classes: 0, 5, 10. 1 row of the file goes over lines, at most 2."
    assert made.info.class_names == ("0", "5", "10")
    assert (made.shape, made.info.vocabulary) == ((6,), 10)
    frame["label"] = frame["label"].astype(int)
    again = data.make_text_file(save(frame, tmp_path / "a.parquet"), "a", length=6, vocabulary=10)
    assert again.fingerprint == made.fingerprint


def with_split(*splits: str) -> pd.DataFrame:
    return table(6).assign(split=list(splits))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table().rename(columns={"label": "y"}), r"column 'label' is missing; the columns are: text, y$"),
        (table().assign(text=["fine"] * 2 + [" "] + ["more"] * 37), "the text of row 3 is empty$"),
        (table().assign(label=["a"] + [""] + ["a"] * 38), "the label of row 2 is empty$"),
        (table().assign(label="a"), "two classes or more are needed, all labels are 'a'$"),
        (table().assign(label=["a"] * 2 + ["b"] * 38), "class 'a' has 2 texts, 3 or more are needed$"),
        (table().head(0), "there are no rows$"),
        (with_split(*["train"] * 5, "tset"), "split: 'tset' is not known; did you mean 'test'"),
        (with_split(*["train"] * 6), "no row has the split 'test'$"),
        (with_split(*["test"] * 6), "no row has the split 'train'$"),
        (with_split(*["train", "test"] * 3), "class 'no' has no training text$"),
        (table(6).assign(text="same"), "nothing is left of a split"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_own_file_errors(frame: pd.DataFrame, message: str, ending: str, tmp_path: Path) -> None:
    path = save(frame, tmp_path / f"mine{ending}")
    with pytest.raises((DataError, SettingError), match=message) as caught:
        data.make_text_file(path, "text:mine")
    assert "\n" not in str(caught.value)


def test_own_file_that_is_none(tmp_path: Path) -> None:
    for name, content, message in (
        ("none.csv", None, "none.csv: there is no such file$"),
        ("a.txt", b"text,label", "text file: '.txt' is not known"),
        ("a.parquet", b"text,label", "a.parquet cannot be read: "),
        ("empty.csv", b"", "empty.csv cannot be read: it is empty"),
        ("binary.csv", b"text,label\n\xff\xfe,\x80\n", "binary.csv cannot be read: line 2 is not UTF-8: save it"),
        ("ragged.csv", b"text,label\na,b\na,b,c,d\n", "ragged.csv, line 3: 4 fields, the header has 2"),
    ):
        if content is not None:
            write(tmp_path / name, content)
        with pytest.raises((DataError, SettingError), match=message) as caught:
            text_file.read_table(tmp_path / name)
        assert "\n" not in str(caught.value)


# ---- dropped words


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "dropped"), [("drop_words", 0.3), ("drop_many_words", 0.7)])
def test_dropped_words_are_unknown_and_the_rest_stays(name: str, dropped: float) -> None:
    x = torch.randint(0, 50, (400, 20), generator=generator(1))
    before = x.clone()
    y = data.augment(x, name, generator())
    assert torch.equal(x, before)
    assert torch.equal(y[x < FIRST], x[x < FIRST])
    changed = y != x
    assert (y[changed] == UNKNOWN).all()
    share = changed[x >= FIRST].float().mean().item()
    assert share == pytest.approx(dropped, abs=0.02)  # 3.8 standard deviations
    assert torch.equal(y, data.augment(x, name, generator()))
    assert not torch.equal(y, data.augment(x, name, generator(2)))
    state = torch.random.get_rng_state()
    data.augment(x, name, generator())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_only_tokens_can_lose_words() -> None:
    for x in (torch.zeros(3, 5), torch.zeros(3, 1, 5, dtype=torch.int64)):
        with pytest.raises(SettingError, match="'drop_words' needs tokens"):
            augment_tokens.drop_words(x, generator())
    with pytest.raises(SettingError, match="generator is on cpu, the batch on meta"):
        augment_tokens.drop_words(torch.zeros(3, 5, dtype=torch.int64, device="meta"), generator())
