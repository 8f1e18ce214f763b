"""What layers have in common (linear CKA) and what a linear classifier reads from each (probes).

N samples, C classes, D features, A and B matrices to compare.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from eecore.analysis.activations import activations, check_same_samples, checked
from eecore.analysis.information import entropy
from eecore.errors import SettingError
from eecore.models.multi_exit import MultiExit
from eecore.shapes import Float, Int


def linear_cka(a: Float[Tensor, "N D1"], b: Float[Tensor, "N D2"], debiased: bool = True) -> float:
    """Similarity of two representations of the same samples: `cka_matrix` of one pair.

    Example:
        >>> x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
        >>> round(linear_cka(x, -2 * x.flip(1)), 6)
        1.0
    """
    return float(cka_matrix([a], [b], debiased)[0, 0])


def cka_matrix(
    list_a: Sequence[Tensor], list_b: Sequence[Tensor] | None = None, debiased: bool = True
) -> Float[np.ndarray, "A B"]:
    """Linear centred kernel alignment of every pair of representations.

    It is 1 where one is the other rotated and scaled as a whole. The debiased form has mean (almost) 0 for unrelated
    representations and can be below 0; the biased form grows towards 1 with D / N even for noise.

    Args:
        list_a: A matrices (N, D), one row per sample, each with its own D.
        list_b: B such matrices for the same samples; by default `list_a` itself.
        debiased: unbiased estimates of HSIC (needs 4 samples) instead of the plain ones.
    Returns:
        (A, B), at most 1.
    Raises:
        SettingError: no matrices, different numbers of samples, fewer than 4, values that are not finite, all samples
            alike.
    Source:
        Kornblith et al. 2019, arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327, equation 3; unbiased HSIC: Song
        et al. 2012, JMLR 13, equation 5.
    """
    check_same_samples([*list_a], "list_a")
    grams_a = [_unit_gram(x, debiased, f"list_a[{i}]") for i, x in enumerate(list_a)]
    if list_b is None:
        grams_b = grams_a
    else:
        check_same_samples([*list_a, *list_b], "list_a, list_b")
        grams_b = [_unit_gram(x, debiased, f"list_b[{i}]") for i, x in enumerate(list_b)]
    pairs = [[float(torch.dot(a, b)) for b in grams_b] for a in grams_a]
    return np.array(pairs, dtype=np.float64).reshape(len(grams_a), len(grams_b))


@dataclass(frozen=True)
class Probe:
    """What a linear classifier reads from a representation, on samples it was not trained on.

    Args:
        d, n_train, n_test: features and samples.
        accuracy: fraction of the test samples.
        cross_entropy: mean of -log q(y | z) over the test samples, nats.
        label_entropy: H(Y) of the test labels, nats.
        information: label_entropy - cross_entropy, nats: in expectation a lower bound of I(Y; Z), for any
            classifier q. Below 0 it says nothing.
        converged: whether the optimiser ended by itself; the bound holds in either case.
    """

    d: int
    n_train: int
    n_test: int
    accuracy: float
    cross_entropy: float
    label_entropy: float
    information: float
    converged: bool


def linear_probe(
    train: Float[Tensor, "N D"],
    train_labels: Int[Tensor, " N"],
    test: Float[Tensor, "M D"],
    test_labels: Int[Tensor, " M"],
    penalty: float = 1.0,
    iterations: int = 300,
) -> Probe:
    """Train a logistic regression on one representation and judge it on other samples.

    Features are standardised with the mean and standard deviation of `train`; a feature that is constant there counts
    for nothing.

    Args:
        train, train_labels: what the probe is fitted to.
        test, test_labels: what it is judged on: M other samples, of classes that `train_labels` has too.
        penalty: weight of half the squared weights against the summed loss, above 0 (scikit-learn's 1 / C).
        iterations: of L-BFGS at most.
    Raises:
        SettingError: one class, a class that the training samples lack, other lengths or widths, values that are not
            finite, training samples all alike, or a penalty of 0 or less.
    Source:
        Alain & Bengio 2016, arXiv:1610.01644; bound: Barber & Agakov 2003; Xu et al. 2020, arXiv:2002.10689.
    """
    _check_probe(train, train_labels, test, test_labels, penalty, iterations)
    fitted, judged = checked(train, "train"), test.detach().cpu().double()
    mean, std = fitted.mean(0), fitted.std(0, correction=0)
    moves = fitted.amax(0) > fitted.amin(0)  # exact, where a rounded std of 1e-17 would be divided by
    scale = moves / torch.where(moves, std, 1.0)
    fitted, judged = (fitted - mean) * scale, (judged - mean) * scale
    if not bool(judged.isfinite().all()):
        raise SettingError("test: holds values that are not finite")
    classes, positions = np.unique(train_labels.cpu().numpy(), return_inverse=True)
    probe = LogisticRegression(C=1.0 / penalty, max_iter=iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(fitted.numpy(), positions)
    truth = np.searchsorted(classes, test_labels.cpu().numpy())
    log_q = probe.predict_log_proba(judged.numpy())  # (M, C)
    cross_entropy = -float(log_q[np.arange(len(truth)), truth].mean())
    told = entropy(np.unique(truth, return_counts=True)[1])
    return Probe(
        d=train.shape[1],
        n_train=len(train),
        n_test=len(test),
        accuracy=float((log_q.argmax(1) == truth).mean()),
        cross_entropy=cross_entropy,
        label_entropy=told,
        information=told - cross_entropy,
        converged=not any(issubclass(w.category, ConvergenceWarning) for w in caught),
    )


def probe_table(
    train: Mapping[str, Tensor],
    train_labels: Tensor,
    test: Mapping[str, Tensor],
    test_labels: Tensor,
    penalty: float = 1.0,
    iterations: int = 300,
) -> pd.DataFrame:
    """A linear probe for every block.

    Args:
        train, test: block -> (N, D), such as `activations(model, x, "mean").blocks` of either split.
        train_labels, test_labels, penalty, iterations: as in `linear_probe`.
    Returns:
        One row per block: block and the fields of `Probe`.
    Raises:
        SettingError: the blocks of the two differ; as `linear_probe`, with the block's name.
    """
    if list(train) != list(test):
        raise SettingError(f"test: expected the blocks {list(train)}, got {list(test)}")
    rows = []
    for name in train:
        try:
            probe = linear_probe(train[name], train_labels, test[name], test_labels, penalty, iterations)
        except SettingError as error:
            raise SettingError(f"{name}: {error}") from None
        rows.append({"block": name} | asdict(probe))
    return pd.DataFrame(rows)


def probe_profile(
    model: MultiExit,
    train_x: Tensor,
    train_labels: Tensor,
    test_x: Tensor,
    test_labels: Tensor,
    pooling: str = "mean",
    penalty: float = 1.0,
    iterations: int = 300,
    batch: int = 256,
) -> pd.DataFrame:
    """Linear probes of all blocks of a model, which is not changed: `probe_table` of `activations`.

    Raises:
        SettingError: as `activations` and `probe_table`.
    """
    train, test = (activations(model, x, pooling, batch).blocks for x in (train_x, test_x))
    return probe_table(train, train_labels, test, test_labels, penalty, iterations)


def _unit_gram(x: Tensor, debiased: bool, argument: str) -> Float[Tensor, " NN"]:
    """Centred Gram matrix of norm 1, flattened: the scalar product of two of them is CKA.

    Centred as HSIC asks: twice (biased), or so that all rows without their diagonal sum to 0 (unbiased: the product
    of two such matrices is N (N - 3) times Song et al.'s three-term estimate).
    """
    x = checked(x, argument, smallest=4)
    x = x - x.mean(0)  # changes neither form, but keeps a large mean out of the rounding
    gram = x @ x.T
    before = float(gram.norm())
    if debiased:
        n = len(gram)
        gram.fill_diagonal_(0.0)
        sums = gram.sum(0) / (n - 2)
        gram = gram - sums[:, None] - sums[None, :] + sums.sum() / (n - 1)
        gram.fill_diagonal_(0.0)
    norm = float(gram.norm())
    if norm <= 1e-12 * before:
        raise SettingError(f"{argument}: too few samples differ for the debiased form")
    return (gram / norm).flatten()


def _check_probe(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, penalty: float, iterations: int
) -> None:
    """Raise SettingError where no probe can be trained or judged."""
    if len(train) != len(train_labels) or len(test) != len(test_labels) or not len(test):
        sizes = f"{len(train)}, {len(train_labels)}, {len(test)}, {len(test_labels)}"
        raise SettingError(f"labels: one per sample is needed; train, its labels, test, its labels hold {sizes}")
    if train.shape[1:] != test.shape[1:]:
        raise SettingError(f"test: expected {train.shape[1]} features, got {test.shape[1]}")
    if not (penalty > 0 and math.isfinite(penalty)) or iterations < 1:
        raise SettingError(f"penalty, iterations: must be above 0, got {penalty}, {iterations}")
    known, asked = (set(labels.unique().tolist()) for labels in (train_labels, test_labels))
    if len(known) < 2:
        raise SettingError(f"train_labels: at least two classes are needed, got {sorted(known)}")
    if asked - known:
        raise SettingError(f"test_labels: classes {sorted(asked - known)} do not occur in train_labels")
