"""Rules that answer with more than the exit at hand: product of experts, caching, geometric ensemble.

Axes: K exits, N samples, C classes, B samples of a batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.inference.calibration import checked_logits
from eecore.inference.protocol import Judgement, Memory, confidence_of
from eecore.shapes import Float, Int

__all__ = ["Caching", "GeometricEnsemble", "ProductOfExperts"]

EXPERTS = ("softmax", "relu")


@dataclass(frozen=True)
class ProductOfExperts:
    """Answer with the product of what all exits so far say, normalised; leave where its largest probability passes.

    Args:
        expert: "softmax": p proportional to the product of the exits' probabilities. "relu": to the product of
            max(z_j, 0)^(j / K), so that a class that an exit denies (logit of 0 or less) stays out from then on; where
            nothing is left, the exit's own softmax answers, and the product of the exits before is kept.
        exits: K of the network, for the powers of "relu"; not needed for "softmax".
    Raises:
        SettingError: the expert is not known, or "relu" comes without the number of exits.
    Source:
        Jazbec et al. 2023, arXiv:2306.02652 ("relu"). What happens where nothing is left is ours.
    """

    expert: str = "softmax"
    exits: int | None = None
    name: ClassVar[str] = "product"

    def __post_init__(self) -> None:
        choose("expert", self.expert, EXPERTS)
        if self.expert == "relu" and (self.exits is None or self.exits < 1):
            raise SettingError(f"exits: the expert 'relu' needs the number of exits of the network, got {self.exits}")

    def check(self, exits: int, classes: int) -> None:
        """Raise a SettingError where it was made for another number of exits."""
        if self.exits not in (None, exits):
            raise SettingError(f"rule: 'product' was made for {self.exits} exits, the logits have {exits}")

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Largest probability of the product; memory: its logarithm, up to a constant for each sample."""
        before = memory[0] if memory else torch.zeros_like(logits)
        if self.expert == "softmax":
            log_product = before + logits.log_softmax(dim=1)
            return Judgement(confidence_of(log_product), log_product, (log_product,))
        log_product = before + logits.clamp(min=0.0).log() * ((k + 1) / (self.exits or 1))  # log 0 = -inf: denied
        empty = log_product.isneginf().all(dim=1, keepdim=True)
        answer = torch.where(empty, logits, log_product)
        score = confidence_of(answer)
        lowest = torch.finfo(answer.dtype).min
        return Judgement(score, answer.clamp(min=lowest), (torch.where(empty, before, log_product),))


@dataclass(frozen=True)
class Caching:
    """Answer as the surest exit so far did; its confidence is the score.

    The score passes a threshold where confidence first does, so whoever leaves before the last exit leaves as under
    "confidence", with the same answer. Only those whom no exit was sure enough about get another one.

    Source:
        Jazbec et al. 2023, arXiv:2306.02652.
    """

    name: ClassVar[str] = "caching"

    def check(self, exits: int, classes: int) -> None:
        """It fits every network."""

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Memory: the largest confidence so far and the logits of its exit; of equals the earlier."""
        sure = confidence_of(logits)
        if memory:
            best, answer = memory
            surer = sure > best
            sure, logits = torch.where(surer, sure, best), torch.where(surer[:, None], logits, answer)
        return Judgement(sure, logits, (sure, logits))


@dataclass(frozen=True, eq=False)
class GeometricEnsemble:
    """Answer with a weighted geometric mean of all exits so far: q_k proportional to exp(b_k) prod_j p_j^w_kj.

    Args:
        weights: (K, K), row k for exit k: not negative, 0 behind the diagonal.
        bias: (K, C), b.
    Raises:
        SettingError: they are not as above.
    Source:
        Wołczyk et al. 2021 (ZTW), arXiv:2106.05409, without its cascade of heads.
    """

    weights: Tensor
    bias: Tensor
    name: ClassVar[str] = "ensemble"

    def __post_init__(self) -> None:
        w, b = torch.as_tensor(self.weights).float(), torch.as_tensor(self.bias).float()
        if w.ndim != 2 or w.shape[0] != w.shape[1] or b.ndim != 2 or len(b) != len(w):
            got = f"{tuple(w.shape)} and {tuple(b.shape)}"
            raise SettingError(f"weights, bias: expected (exits, exits) and (exits, classes), got {got}")
        if not bool(w.isfinite().all() & b.isfinite().all() & (w >= 0).all() & (w.triu(1) == 0).all()):
            raise SettingError("weights, bias: expected finite numbers, no weight below 0 or of an exit still to come")
        object.__setattr__(self, "weights", w)
        object.__setattr__(self, "bias", b)

    def check(self, exits: int, classes: int) -> None:
        """Raise a SettingError where it was fitted for other numbers of exits or classes."""
        if (exits, classes) != tuple(self.bias.shape):
            own = " and ".join(map(str, self.bias.shape))
            raise SettingError(f"weights: of {own} exits and classes, the logits have {exits} and {classes}")

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """Largest probability of the mean; memory: the logarithms of all exits' probabilities, (B, k, C)."""
        log_p = logits.log_softmax(dim=1)[:, None]
        seen = torch.cat([memory[0], log_p], dim=1) if memory else log_p
        # Not len(seen), which would be a fixed number in an exported graph.
        answer = self.bias[k].to(seen.device).expand(seen.shape[0], -1)
        for j in range(k + 1):  # exit by exit, so that a sample's sum does not depend on its batch
            answer = answer + self.weights[k, j].to(seen.device) * seen[:, j]
        return Judgement(confidence_of(answer), answer, (seen,))

    @classmethod
    def fit(cls, logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"], ridge: float = 1e-3) -> "GeometricEnsemble":
        """The ensemble whose answers make the labels of the validation samples most likely, exit by exit.

        A convex problem with one solution: cross-entropy of a model that is linear in w and b, plus
        ridge (squared length of w - the exit alone, plus that of b), which is ours: validation is small, and w
        alone may grow for ever.

        Args:
            logits, labels: of validation samples.
            ridge: above 0.
        Raises:
            SettingError: shapes or labels do not fit, or the ridge is not above 0.
        """
        if not ridge > 0:
            raise SettingError(f"ridge: expected a number above 0, got {ridge}")
        z, labels = checked_logits(logits, labels)
        log_p = z.log_softmax(dim=2).numpy()
        exits, _, classes = log_p.shape
        weights, bias = np.zeros((exits, exits)), np.zeros((exits, classes))
        for k in range(exits):
            weights[k, : k + 1], bias[k] = _fitted(log_p[: k + 1], labels.numpy(), ridge)
        return cls(torch.from_numpy(weights), torch.from_numpy(bias))


def _fitted(log_p: np.ndarray, labels: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k,) and bias (C,) of one exit's ensemble of log_p (k, N, C)."""
    own, samples, classes = log_p.shape
    rows, alone = np.arange(samples), np.eye(own)[-1]
    flat = log_p.reshape(own, -1)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = x[:own], x[own:]
        z = (w @ flat).reshape(samples, classes) + b
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        value = float(np.log(total).mean() - z[rows, labels].mean()) + ridge * float(((w - alone) ** 2).sum() + b @ b)
        p /= total
        p[rows, labels] -= 1.0
        p /= samples
        return value, np.concatenate([flat @ p.ravel() + 2 * ridge * (w - alone), p.sum(axis=0) + 2 * ridge * b])

    start = np.concatenate([alone, np.zeros(classes)])
    bounds = [(0.0, None)] * own + [(None, None)] * classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return found.x[:own], found.x[own:]
