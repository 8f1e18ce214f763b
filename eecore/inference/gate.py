"""A learned gate: at each exit a small model says whether leaving here loses nothing.

Axes: K exits, N samples, C classes, B samples of a batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from eecore.errors import SettingError
from eecore.inference.calibration import checked_logits
from eecore.inference.protocol import Judgement, Memory
from eecore.shapes import Float, Int

__all__ = ["LearnedGate"]

FEATURES = 4  # largest probability, entropy (nats), margin, and 1 for the intercept


@dataclass(frozen=True, eq=False)
class LearnedGate:
    """Leave where sigmoid(w_k . [max p, H(p), margin, 1]) passes the threshold.

    Args:
        weights: (K, 4), of `fit`.
    Raises:
        SettingError: there are none, as the gate was never fitted, or they are not (K, 4) finite numbers.
    Source:
        Inputs and form of the gate: Regol et al. 2023 (JEI-DNN), arXiv:2310.09163. There it is learned together with
        the heads; here afterwards, on validation samples, for the target of `fit`, which is ours.
    """

    weights: Tensor | None = None
    name: ClassVar[str] = "gate"

    def __post_init__(self) -> None:
        if self.weights is None:
            raise SettingError("gate: was never fitted; make it with LearnedGate.fit(validation_logits, labels)")
        w = torch.as_tensor(self.weights).float()
        if w.ndim != 2 or w.shape[1] != FEATURES or not bool(w.isfinite().all()):
            raise SettingError(f"gate: expected (exits, {FEATURES}) finite weights, got {tuple(w.shape)}")
        object.__setattr__(self, "weights", w)

    def check(self, exits: int, classes: int) -> None:
        """Raise a SettingError where it was fitted for another number of exits."""
        if self.weights is not None and exits != len(self.weights):
            raise SettingError(f"gate: was fitted for {len(self.weights)} exits, the logits have {exits}")

    def step(self, logits: Float[Tensor, "B C"], k: int, memory: Memory) -> Judgement:
        """The gate of exit k; it remembers nothing and answers with the exit's own logits."""
        if self.weights is None:
            raise SettingError("gate: was never fitted")
        inputs = torch.stack(_features(logits.log_softmax(dim=1)), dim=0)  # (4, B)
        weight = self.weights[k].to(logits.device)[:, None]
        return Judgement((weight * inputs).sum(dim=0).sigmoid(), logits)

    @classmethod
    def fit(cls, logits: Float[Tensor, "K N C"], labels: Int[Tensor, " N"], ridge: float = 1e-3) -> "LearnedGate":
        """Logistic regression at each exit, on validation samples: deterministic, one solution.

        The target is 1 where leaving here loses nothing: this exit is right, or the last one is wrong. So samples that
        nobody gets right may leave early.

        Args:
            logits, labels: of validation samples.
            ridge: what half the squared length of w costs beside the mean cross-entropy, above 0. It makes w finite
                where every target is the same, as at the last exit.
        Raises:
            SettingError: shapes or labels do not fit, or the ridge is not above 0.
        """
        if not ridge > 0:
            raise SettingError(f"ridge: expected a number above 0, got {ridge}")
        z, labels = checked_logits(logits, labels)
        right = z.max(dim=2).indices == labels
        target = (right | ~right[-1]).double().numpy()
        inputs = [torch.stack(_features(exit_.log_softmax(dim=1)), dim=1).numpy() for exit_ in z]
        found = [_fitted(x, y, ridge) for x, y in zip(inputs, target, strict=True)]
        return cls(torch.from_numpy(np.stack(found)))


def _features(log_p: Float[Tensor, "B C"]) -> list[Float[Tensor, " B"]]:
    p = log_p.exp()
    largest = p.topk(2, dim=1).values
    return [largest[:, 0], -(p * log_p).sum(dim=1), largest[:, 0] - largest[:, 1], torch.ones_like(largest[:, 0])]


def _fitted(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Weights (4,) of the logistic regression of y (N,) on x (N, 4)."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        value = float(np.logaddexp(0.0, z).mean() - (y * z).mean() + ridge * (w @ w) / 2)
        return value, x.T @ (expit(z) - y) / len(y) + ridge * w

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x
