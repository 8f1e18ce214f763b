"""The linear model beside published runs of texts: it sees words and not their order, and pages say what it reaches."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier

from companion import lab
from companion.lab import record
from companion.lab.linear import PENALTIES, linear_accuracy
from companion.lab.reading import COLUMNS, Records
from eecore import data
from eecore.special import FIRST, PADDING

VOCABULARY, LENGTH = 40, 6


def texts(target, samples: int = 300) -> data.Dataset:
    """Random texts of four to six words, and their classes."""
    rng = np.random.default_rng(0)
    x = rng.integers(FIRST + 2, VOCABULARY, (3 * samples, LENGTH))
    x[:, 4:][rng.random((3 * samples, 2)) < 0.5] = PADDING
    x[:, 0], x[:, 1] = np.where(rng.random((2, 3 * samples)) < 0.5, FIRST, FIRST + 1)
    x, y = torch.from_numpy(x), torch.from_numpy(target(x)).long()
    info = data.Info("drawn", "Drawn", "tokens", (LENGTH,), 2, "here", "none", "none", vocabulary=VOCABULARY)
    parts = [data.Split(x[i::3], y[i::3]) for i in range(3)]
    return data.assemble(info, train=parts[0], validation=parts[1], test=parts[2])


def test_a_record_has_the_linear_model_of_its_own_data(monkeypatch) -> None:
    """Two data sets of one name and other content: each has its own baseline, fitted once."""
    easy, hard = texts(lambda x: ((x == FIRST).sum(1) == 2).astype(int)), texts(lambda x: x[:, 2] % 2)
    asked = []
    monkeypatch.setattr(record, "linear_accuracy", lambda one: asked.append(one) or linear_accuracy(one))
    found = [record._linear(one) for one in (easy, hard, easy)]
    assert found == [linear_accuracy(easy), linear_accuracy(hard), linear_accuracy(easy)]
    assert found[0] != found[1]
    assert asked == [easy, hard]


def test_a_class_that_a_word_decides_is_found() -> None:
    assert linear_accuracy(texts(lambda x: ((x == FIRST).sum(1) == 2).astype(int)))["test"] > 0.95


def test_a_class_that_the_order_decides_is_not_found() -> None:
    dataset = texts(lambda x: (x[:, 0] < x[:, 1]).astype(int))
    mixed = (dataset.test.x[:, 0] != dataset.test.x[:, 1]).numpy()
    assert mixed.any()
    most = max(np.bincount(dataset.test.y.numpy())) / len(dataset.test)
    assert linear_accuracy(dataset)["test"] == pytest.approx(most, abs=0.02)


def test_it_is_scikit_learns_pipeline_on_the_words() -> None:
    dataset = texts(lambda x: (x.sum(1) % 2).astype(int))
    written = {
        part: [" ".join(f"w{t}" for t in row if t >= FIRST) for row in getattr(dataset, part).x.tolist()]
        for part in ("train", "validation", "test")
    }
    vectors = TfidfVectorizer(sublinear_tf=True).fit(written["train"])
    scores = []
    for penalty in PENALTIES:
        model = RidgeClassifier(alpha=penalty).fit(vectors.transform(written["train"]), dataset.train.y.numpy())
        scores.append(
            [model.score(vectors.transform(written[p]), getattr(dataset, p).y.numpy()) for p in ("validation", "test")]
        )
    best = int(np.argmax([on_validation for on_validation, _ in scores]))
    found = linear_accuracy(dataset)
    assert [found["validation"], found["test"]] == pytest.approx(scores[best])
    assert found["penalty"] == PENALTIES[best]


def test_pages_say_what_it_reaches_beside_the_best_regime() -> None:
    run = {"name": "t", "dataset": "trec", "model": "m", "device": "cpu", "state": "current"}
    about = [{**run, "regime": regime, "seed": seed} for regime in ("joint", "mixed") for seed in (0, 1)]
    exits = [
        {**row, "exit": k, "split": split, "accuracy": accuracy}
        for row, last in zip(about, (0.8, 0.9, 0.6, 0.7), strict=True)
        for k, accuracy in ((1, 0.99), (2, last))
        for split in ("validation", "test")
    ]
    frames = {name: pd.DataFrame(about).reindex(columns=columns) for name, columns in COLUMNS.items()}
    frames["exits"] = pd.DataFrame(exits).reindex(columns=COLUMNS["exits"])
    frames["provenance"] = frames["provenance"].assign(title="Texts", linear=0.875)
    assert lab.linear_in_words(Records(**frames)) == (
        "- Texts: a linear model reaches 87.5 %, the last exit at best 85.0 % (joint), 2.5 points less."
    )
    frames["provenance"] = frames["provenance"].assign(linear=float("nan"))
    assert lab.linear_in_words(Records(**frames)) == ""
