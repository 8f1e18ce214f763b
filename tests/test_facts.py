"""What came in, in words: counted by hand on a small data set."""

import subprocess
import sys

import pytest
import torch

from eecore import data
from eecore.data import Info, Split, assemble
from eecore.data.facts import facts, first_line
from eecore.errors import DataError


def split(values, classes):
    return Split(torch.tensor(values, dtype=torch.float32)[:, None], torch.tensor(classes))


def made(**more):
    info = Info(
        name="two", title="Two", kind="sequence", shape=(1, 2), classes=2, source="", licence="", citation="", **more
    )
    return assemble(
        info,
        train=split([[0, 10], [5, 20], [7, 7]], [0, 1, 1]),
        validation=split([[1, 2]], [0]),
        test=split([[7, 7]], [1]),  # a copy of the last training sample
        left_out=("3 files that end in .txt",),
    )


def test_rows_classes_values_and_what_was_left_out_are_said():
    assert facts(made(class_names=("cat", "dog"))) == {
        "rows": "2 train, 1 validation, 1 test",
        "classes": "2: cat (2), dog (2)",
        "values": "numbers from 0 to 20",
        "left out": "3 files that end in .txt; 1 that occurs again in a later split",
    }


def test_one_line_says_the_same_shorter():
    said = "two: 2 train, 1 validation, 1 test; 2 classes of 2; 1 x 2 numbers from 0 to 20; "
    assert first_line(made()) == said + "left out: 3 files that end in .txt, 1 that occurs again in a later split"


def test_many_classes_are_counted_and_a_regression_has_a_range():
    many = data.load("digits")
    assert facts(many)["classes"].startswith("10: 0 (178), 1 (182)")
    assert "and 8 more, of 2000" in facts(data.load("wordlang"))["classes"]
    assert facts(data.load("synthetic_regression"))["numbers"] == "-2.72 to 2.27"


def test_unknown_words_of_the_test_texts_are_counted(tmp_path):
    rows = ["text,label,split"]
    rows += [f"good {i},yes,train\nbad {i},no,train\ngood bad {i},no,validation" for i in range(4)]
    rows += ["new words,yes,test", "good things,no,test"]
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    said = facts(data.load(f"text:{tmp_path / 't.csv'}"))["values"]
    assert said.endswith("50% of the test tokens unknown")  # 3 of 6: two ends and "good" are known


def test_a_training_begins_with_its_store_and_what_was_read(tmp_path):
    words = ["train", "--dataset", "synthetic", "--model", "mlp_nano", "--epochs", "1", "--store", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "eecore", *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[:2] == [f"store: {tmp_path}", f"data: {first_line(data.load('synthetic'))}"]


def test_names_of_classes_must_be_as_many_as_the_classes():
    with pytest.raises(DataError, match="2 classes need as many different names, got 1"):
        made(class_names=("cat",))
    assert made().info.labels == ("0", "1")
