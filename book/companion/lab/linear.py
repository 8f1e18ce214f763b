"""What a linear model makes of the same texts: how much of them lies in which words they have.

Axes: N texts, S tokens of a text, V numbers of a vocabulary.
"""

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from eecore.data import Dataset
from eecore.shapes import Int
from eecore.special import FIRST

PENALTIES = (0.1, 0.3, 1.0, 3.0)  # of ridge regression


def linear_accuracy(dataset: Dataset) -> dict[str, float]:
    """Accuracy of ridge regression from TF-IDF weights to classes, its penalty chosen on validation.

    Only words count, not their order. Unknown words and the marks of ends are left out.

    Args:
        dataset: of tokens, a classification.
    Returns:
        validation and test (fractions), and penalty.
    Source:
        scikit-learn's TfidfTransformer (logarithm of counts) and RidgeClassifier.
    """
    counts = {
        part: _counts(getattr(dataset, part).x, dataset.info.vocabulary) for part in ("train", "validation", "test")
    }
    labels = {part: getattr(dataset, part).y.numpy() for part in counts}
    weigh = TfidfTransformer(sublinear_tf=True).fit(counts["train"])
    x = {part: weigh.transform(matrix) for part, matrix in counts.items()}
    made = [RidgeClassifier(alpha=penalty).fit(x["train"], labels["train"]) for penalty in PENALTIES]
    on_validation = [model.score(x["validation"], labels["validation"]) for model in made]
    best = int(np.argmax(on_validation))
    test = made[best].score(x["test"], labels["test"])
    return {"validation": float(on_validation[best]), "test": float(test), "penalty": PENALTIES[best]}


def _counts(x: Int[Tensor, "N S"], vocabulary: int) -> sparse.csr_matrix:
    """How often each word is in each text, (N, V)."""
    row, place = np.nonzero(x.numpy() >= FIRST)
    return sparse.csr_matrix((np.ones(len(row)), (row, x.numpy()[row, place])), shape=(len(x), vocabulary))
