"""One's own tables of texts: rows and quotation marks, labels, copies, scripts without spaces, numbers to predict."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eecore import data
from eecore.data import text_file, tokens
from eecore.errors import DataError, SettingError
from eecore.special import FIRST, SEPARATOR, UNKNOWN

ROWS = [(f"text number {i} is {'good' if i % 2 else 'bad'}", "pos" if i % 2 else "neg") for i in range(60)]
LINES = {"comma.csv": ",", "semicolon.csv": ";", "tab.tsv": "\t"}


def written(path: Path, rows: list[tuple[str, str]], *, header: str = "text,label", separator: str = ",") -> Path:
    """The fields as they come, without any quotation marks of the writer's."""
    first = header.startswith("label")
    lines = [separator.join(header.split(",")), *(separator.join(row[::-1] if first else row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def changed(**texts: str) -> list[tuple[str, str]]:
    """The rows, with other texts at some places: r3="..." is that of row 3."""
    return [(texts.get(f"r{i}", text), label) for i, (text, label) in enumerate(ROWS)]


def size(made: data.Dataset) -> int:
    return len(made.train) + len(made.validation) + len(made.test)


# ---- rows


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("header", ["text,label", "label,text"])
@pytest.mark.parametrize(("extra", "got"), [("the soup was warm{} and good", 3), (None, 1)])
def test_a_row_with_other_fields_than_the_header_is_named(
    name: str, header: str, extra: str | None, got: int, tmp_path: Path
) -> None:
    separator = LINES[name]
    path = written(tmp_path / name, changed(r3=str(extra).format(separator)), header=header, separator=separator)
    if extra is None:
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:4], "no separator here", *lines[5:]]))
    with pytest.raises(
        DataError, match=rf"{name}, line 5: {got} fields?, the header has 2 \({', '.join(header.split(','))}"
    ):
        text_file.read_table(path)


def test_an_index_column_that_the_header_names_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame(ROWS, columns=["text", "label"]).to_csv(path)  # its header begins with a comma
    assert text_file.read_table(path).frame["text"].tolist() == [text for text, _ in ROWS]


def test_semicolons_are_known_by_the_header(tmp_path: Path) -> None:
    made = [
        data.make_text_file(written(tmp_path / name, ROWS, separator=separator), "a")
        for name, separator in LINES.items()
    ]
    assert {one.fingerprint for one in made} == {made[0].fingerprint}


def test_columns_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,text\na,b,c\n")
    with pytest.raises(DataError, match="column 'text' occurs twice"):
        text_file.read_table(path)


def test_columns_of_numbers_are_told_how_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x1,x2,label\n" + "1,2.5,0\n3,4,1\n" * 9)
    with pytest.raises(DataError, match=r"'text' is missing; .*: x1, x2, label; columns of numbers .*arrays:own\.npz$"):
        text_file.read_table(path)
    table = pd.read_csv(path)  # what the message says works
    np.savez(tmp_path / "own.npz", x=table[["x1", "x2"]].to_numpy(float), y=np.array(table["label"].tolist()))
    assert data.info(f"arrays:{tmp_path / 'own.npz'}").classes == 2


# ---- quotation marks


@pytest.mark.parametrize(
    "texts",
    [
        {"r10": '"so good', "r50": '"so bad'},  # closed 40 rows later, by a mark that opens
        {"r10": '"so good', "r50": 'a screen of 5"'},  # ... by one that ends a field
        {"r10": '"so good', "r11": 'a screen of 5"'},  # ... of the next row
        {"r10": '"so good', "r50": 'he said "yes"'},
        {"r59": '"so good'},  # never
        {"r10": '"Great" film'},
    ],
)
@pytest.mark.parametrize("header", ["text,label", "label,text"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_stray_quotation_mark_is_named(texts: dict, header: str, separator: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", changed(**texts), header=header, separator=separator)
    line = 2 + int(next(iter(texts))[1:])
    with pytest.raises(
        DataError, match=rf"a\.csv, line {line}: a (field begins with|quotation mark swallows)"
    ) as caught:
        text_file.read_table(path)
    assert "\n" not in str(caught.value)


def test_swallowed_rows_with_numbers_as_labels_are_named(tmp_path: Path) -> None:
    rows = [(text, f"{i / 7:.3f}") for i, (text, _) in enumerate(changed(r10='"so good', r20='5"'))]
    with pytest.raises(DataError, match="line 12: a quotation mark swallows rows up to line 22"):
        text_file.read_table(written(tmp_path / "a.csv", rows))


def test_in_a_tsv_quotation_marks_are_signs(tmp_path: Path) -> None:
    rows = changed(r10='"so good', r50='"so bad', r20='the "5" here"', r21="it, and this")
    table = text_file.read_table(written(tmp_path / "a.tsv", rows, separator="\t"))
    assert table.frame["text"].tolist() == [text for text, _ in rows]
    with pytest.raises(DataError, match=r"columns are: \"text\", \"label\"; in a \.tsv quotation marks are signs"):
        text_file.read_table(written(tmp_path / "b.tsv", rows, header='"text","label"', separator="\t"))


@pytest.mark.parametrize("columns", [["text", "label"], ["label", "text"], ["label", "text", "source"]])
def test_texts_that_go_over_lines_are_read_and_counted(columns: list[str], tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["text", "label"]).assign(source="web")
    frame.loc[4, "text"] = 'It was warm,\r\n"well", and I say, good\n\nthe end'
    frame.loc[9, "text"] = "one, two\nthree, pos\n"
    frame[columns].to_csv(tmp_path / "a.csv", index=False)
    table = text_file.read_table(tmp_path / "a.csv")
    assert table.frame["text"].tolist() == frame["text"].tolist()
    assert table.notes == ["2 rows of the file go over lines, at most 4."]
    assert data.make_text_file(tmp_path / "a.csv", "a").info.note.endswith("at most 4.")


def test_a_text_as_long_as_a_book_is_read(tmp_path: Path) -> None:
    book = "word " * 40_000
    assert text_file.read_table(written(tmp_path / "a.csv", changed(r2=book))).frame["text"][2] == book


# ---- labels


def test_spaces_make_no_class_and_are_said(tmp_path: Path) -> None:
    rows = [(text, f" {label}\N{NO-BREAK SPACE}" if i < 9 else label) for i, (text, label) in enumerate(ROWS)]
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        frame = pd.DataFrame(rows, columns=["text", "label"])
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        made = data.make_text_file(path, "a")
        assert made.info.class_names == ("neg", "pos")
        assert made.info.note == "Classes: neg, pos. Labels of 9 rows are read without the spaces around them."


def test_letters_that_look_the_same_are_one_class_and_cases_are_said(tmp_path: Path) -> None:
    rows = [(text, ["caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}", "bar", "Bar"][i % 4])
            for i, (text, _) in enumerate(ROWS)]  # fmt: skip
    made = data.make_text_file(written(tmp_path / "a.csv", rows), "a")
    assert made.info.class_names == ("Bar", "bar", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert "Only small and capital letters tell Bar and bar apart." in made.info.note


def test_numbers_as_labels_are_in_their_order(tmp_path: Path) -> None:
    rows = [(text, ["10", "-1", "9", "2.5"][i % 4]) for i, (text, _) in enumerate(ROWS)]
    assert data.make_text_file(written(tmp_path / "a.csv", rows), "a").info.class_names == ("-1", "2.5", "9", "10")


# ---- copies, scripts, unknown words


def test_texts_are_copies_by_their_letters_not_by_the_words_that_are_known(tmp_path: Path) -> None:
    rows = [(f"please call name{chr(97 + i // 26)}{chr(97 + i % 26)} today", "ab"[i % 2]) for i in range(60)]
    made = data.make_text_file(written(tmp_path / "a.csv", rows), "a", vocabulary=FIRST + 3)
    assert (made.removed, size(made)) == (0, 60)
    assert len(made.train.x.unique(dim=0)) == 1  # all of them look the same to a model
    rows += [("please  call nameaa today ", "a")] * 20
    made = data.make_text_file(written(tmp_path / "b.csv", rows), "b", vocabulary=FIRST + 3)
    assert made.removed + size(made) == 80
    assert made.removed > 0


CHARACTERS = {
    "Chinese": "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往",
    "Japanese": "いろはにほへとちりぬるをアイウエオカキクケ",
    "Thai": "กขคงจฉชซญฎฏฐฑฒณดตถทธ",
    "Khmer": "កខគឃងចឆជឈញដឋឌឍណតថទធន",
    "Lao": "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢ",
    "Burmese": "ကခဂဃငစဆဇဈညဋဌဍဎဏတထဒဓန",
    "Tibetan": "ཀཁགངཅཆཇཉཏཐདནཔཕབམཙཚཛཝ",
}


@pytest.mark.parametrize("script", CHARACTERS)
def test_scripts_without_spaces_are_cut_into_characters(script: str, tmp_path: Path) -> None:
    letters = CHARACTERS[script]
    stream = np.random.RandomState(0)
    rows = []
    for i in range(200):
        text = "".join(stream.choice(list(letters[2:]), 12))
        rows.append((text[:5] + letters[i % 2] + text[5:], "ab"[i % 2]))
    made = data.make_text_file(written(tmp_path / "a.csv", rows), "a")
    assert (made.shape, made.removed, made.left_out) == ((14,), 0, ())
    assert int((made.test.x == UNKNOWN).sum()) == 0
    assert made.preparation is not None
    tell = made.preparation["numbers"][letters[1]]
    assert torch.equal((made.test.x == tell).any(dim=1).long(), made.test.y)


def test_other_scripts_are_cut_as_before() -> None:
    for text, expected in (
        ("한국어 문장 입니다", ["한국어", "문장", "입니다"]),
        ("Größe ČESKÝ o'clock Ωμέγα мир", ["größe", "český", "o'clock", "ωμέγα", "мир"]),
        ("שלום مرحبا नमस्ते"[:10], ["שלום", "مرحبا"]),
        ("USB接口A1", ["usb", "接", "口", "a1"]),
    ):
        assert tokens.words(text) == expected


def test_test_texts_of_unknown_words_are_said(tmp_path: Path) -> None:
    rows = [(f"w{i}a w{i}b w{i}c known", "ab"[i % 2]) for i in range(60)]
    made = data.make_text_file(written(tmp_path / "a.csv", rows), "a")
    assert made.left_out == ("75% of the words of the test texts, which no training text has",)
    assert data.make_text_file(written(tmp_path / "b.csv", ROWS), "b").left_out == ()


# ---- preparation


def test_the_preparation_gives_the_rows_again(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["text", "label"]).assign(split=["train", "validation", "test"] * 20)
    frame.to_csv(tmp_path / "a.csv", index=False)
    made = data.make_text_file(tmp_path / "a.csv", "a")
    how = made.preparation
    assert how is not None
    assert (how["form"], how["cut"]) == ("text", "words")
    vocabulary = tokens.Vocabulary(how["numbers"], how["size"], how["buckets"])
    again = tokens.encode([tokens.words(text) for text in frame["text"][2::3]], vocabulary, how["length"])
    assert torch.equal(again, made.test.x)
    letters = data.load("wordlang").preparation
    assert letters is not None
    assert letters["cut"] == "characters"
    assert SEPARATOR not in letters["numbers"].values()


# ---- numbers to predict


def test_numbers_to_predict(tmp_path: Path) -> None:
    rows = [(text, f"{i / 8 - 2}") for i, (text, _) in enumerate(ROWS)]
    path = written(tmp_path / "a.csv", rows)
    made = data.load(f"text:{path}?task=regression")
    assert (made.task, made.classes, made.info.class_names, made.info.labels) == ("regression", 1, (), ())
    assert [len(split) for split in (made.train, made.validation, made.test)] == [42, 9, 9]
    y = torch.cat([made.train.y, made.validation.y, made.test.y])
    assert y.dtype == torch.float32
    assert sorted(y.tolist()) == [i / 8 - 2 for i in range(60)]
    assert made.info.note == "Numbers to predict, as they are: -2 to 5.375."
    far = data.make_text_file(written(tmp_path / "far.csv", [(t, f"1{i:02}000") for i, (t, _) in enumerate(ROWS)]), "f",
                              task="regression")  # fmt: skip
    assert far.info.note.endswith("Networks begin near 0: (y - 1.295e+05) / 1.732e+04 is learnt faster.")
    with pytest.raises(DataError, match=r"class '-2.0' has 1 texts, 3 or more are needed; .* add \?task=regression"):
        data.make_text_file(path, "b")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1.5", "x", "2"], r"row 2 is no number, which a regression needs: 'x'"),
        (["1.5", "nan", "2"], r"row 2 is no number"),
        (["3", "3.0", "3"], "all numbers to predict are 3, there is nothing to learn"),
        (["1e39", "2", "3"], "lose their differences in float32"),
        (["1000000000.5", "1000000001.5", "1000000002"], "lose their differences in float32"),
    ],
)
def test_wrong_numbers_are_one_line(labels: list[str], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", [(text, labels[i % 3]) for i, (text, _) in enumerate(ROWS)])
    with pytest.raises(DataError, match=message) as caught:
        data.make_text_file(path, "a", task="regression")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match=re.escape("task: 'regresion' is not known; did you mean 'regression'")):
        data.make_text_file(path, "a", task="regresion")
