"""Sharpness: the largest eigenvalue of a loss's Hessian, and its trace, by Hessian-vector products.

K exits, P parameters that the loss is differentiated by, M steps of Lanczos.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from eecore.analysis.gradients import check_batch
from eecore.analysis.untouched import untouched
from eecore.errors import SettingError, choose
from eecore.models import MultiExit
from eecore.shapes import Float
from eecore.training.loop import exit_losses

Product = Callable[[Tensor], Tensor]


class Eigenvalue(NamedTuple):
    """An eigenvalue, the products it took, and how good it is: `|H v - value v| / |value|` with `|v| = 1`."""

    value: float
    iterations: int
    residual: float


def lanczos(product: Product, start: Float[Tensor, " P"], iterations: int, tolerance: float) -> Eigenvalue:
    """Largest eigenvalue (not the largest modulus) of a symmetric matrix that is known by its products.

    Args:
        product: v -> H v.
        start: any vector that is not orthogonal to the eigenvector; a random one will do.
        iterations: at most this many products, and one more; as many vectors of length P are kept.
        tolerance: stop where the relative residual is below.
    Returns:
        The eigenvalue; its residual is measured with one more product. 0 for H = 0.
    Raises:
        SettingError: iterations or tolerance are not positive.
    Source:
        Lanczos 1950, with full reorthogonalisation (Golub & Van Loan 2013, section 10.3.4). Power iteration finds the
        largest modulus instead, and needs more products where the next eigenvalue is close.
    Example:
        >>> diagonal = torch.tensor([3.0, -5.0, 1.0])
        >>> round(lanczos(lambda v: diagonal * v, torch.ones(3), 3, 1e-6).value, 4)
        3.0
    """
    if iterations < 1 or not tolerance > 0:
        raise SettingError(f"iterations, tolerance: expected both above 0, got {iterations} and {tolerance}")
    size = min(iterations, len(start))
    basis, alpha, beta = [start / start.norm()], [], []
    for step in range(size):
        image = product(basis[-1])
        alpha.append(float(image @ basis[-1]))
        known = torch.stack(basis)
        for _ in range(2):  # twice is enough against rounding
            image = image - known.T @ (known @ image)
        beta.append(float(image.norm()))
        values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
        scale = max(abs(values[-1]), abs(values[0]) * 1e-6)
        if abs(beta[-1] * vectors[-1, -1]) <= tolerance * scale or step == size - 1:
            break
        basis.append(image / beta[-1])
    eigenvector = torch.as_tensor(vectors[:, -1], dtype=start.dtype, device=start.device) @ torch.stack(basis)
    eigenvector = eigenvector / eigenvector.norm()
    image = product(eigenvector)
    value = float(image @ eigenvector)  # the Rayleigh quotient
    residual = float((image - value * eigenvector).norm())
    return Eigenvalue(value, len(alpha) + 1, residual / abs(value) if value else residual)


@contextlib.contextmanager
def hessian_product(
    model: MultiExit, x: Tensor, y: Tensor, k: int | None = None, parameters: str = "all"
) -> Iterator[tuple[Product, Tensor]]:
    """Products with the Hessian of a loss in eval mode; the gradient's graph is kept, so each is one backward pass.

    Args:
        model: left as it is; do not use it inside the block.
        x, y: the samples over which the loss is the mean cross-entropy.
        k: loss of exit k, in 0..K-1; None: the training loss, the mean over all exits.
        parameters: "all" (backbone and heads) or "backbone".
    Yields:
        v -> H v, for vectors of length P, and the vector of zeros of that length.
    Raises:
        SettingError: no such exit, labels do not fit, or a logit is not finite.
    """
    choose("parameters", parameters, ["all", "backbone"])
    with untouched(model), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        logits = model(x) if k is None else model.forward_to(x, k).unsqueeze(0)
        loss = exit_losses(logits, check_batch(logits, y), 0.0).mean()
        moved = model.backbone_parameters() if parameters == "backbone" else list(model.parameters())
        found = torch.autograd.grad(loss, moved, create_graph=True, allow_unused=True)
        used = [(p, g) for p, g in zip(moved, found, strict=True) if g is not None and g.requires_grad]
        if not used:
            raise SettingError("model: the loss has no second derivative in these parameters")
        moved, gradients = [p for p, _ in used], [g for _, g in used]
        sizes = [p.numel() for p in moved]

        def product(vector: Tensor) -> Tensor:
            parts = [v.view_as(p) for v, p in zip(vector.split(sizes), moved, strict=True)]
            images = torch.autograd.grad(gradients, moved, parts, retain_graph=True, materialize_grads=True)
            return torch.cat([image.flatten() for image in images])

        yield product, torch.cat([torch.zeros_like(p).flatten() for p in moved])


def largest_eigenvalue(
    model: MultiExit,
    x: Tensor,
    y: Tensor,
    k: int | None = None,
    *,
    parameters: str = "all",
    iterations: int = 50,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Eigenvalue:
    """Largest eigenvalue of the Hessian of one exit's loss, or of the training loss: its sharpness.

    A network with ReLU and normalisation can be rescaled without a change of its function, and its sharpness changes:
    compare networks of one architecture and one recipe.

    Args:
        model, x, y, k, parameters: as in `hessian_product`.
        iterations, tolerance: as in `lanczos`.
        seed: of the random start.
    Returns:
        Eigenvalue, number of Hessian-vector products, relative residual.
    Raises:
        SettingError: as in `hessian_product` and `lanczos`.
    """
    with hessian_product(model, x, y, k, parameters) as (product, zeros):
        start = torch.randn(len(zeros), generator=torch.Generator().manual_seed(seed)).to(zeros)
        return lanczos(product, start, iterations, tolerance)


def sharpness(model: MultiExit, x: Tensor, y: Tensor, **settings: Any) -> pd.DataFrame:
    """`largest_eigenvalue` of every exit's loss.

    Args:
        settings: as in `largest_eigenvalue`.
    Returns:
        One row per exit: exit (1..K), eigenvalue, iterations, residual.
    """
    rows = [largest_eigenvalue(model, x, y, k, **settings) for k in range(model.n_exits)]
    return pd.DataFrame(rows, columns=["eigenvalue", "iterations", "residual"]).assign(
        exit=range(1, model.n_exits + 1)
    )[["exit", "eigenvalue", "iterations", "residual"]]


def hessian_trace(
    model: MultiExit,
    x: Tensor,
    y: Tensor,
    k: int | None = None,
    *,
    parameters: str = "all",
    draws: int = 30,
    seed: int = 0,
) -> tuple[float, float]:
    """Trace of the Hessian, estimated with random signs.

    Args:
        model, x, y, k, parameters: as in `hessian_product`.
        draws: number of random vectors, 2 or more.
        seed: of the draws.
    Returns:
        The mean of v^T H v, and its standard error.
    Raises:
        SettingError: as in `hessian_product`, or fewer than 2 draws.
    Source:
        Hutchinson 1990, doi:10.1080/03610919008812866.
    """
    if draws < 2:
        raise SettingError(f"draws: expected 2 or more, got {draws}")
    generator = torch.Generator().manual_seed(seed)
    with hessian_product(model, x, y, k, parameters) as (product, zeros):
        found = []
        for _ in range(draws):
            signs = torch.randint(0, 2, (len(zeros),), generator=generator).to(zeros) * 2 - 1
            found.append(float(signs @ product(signs)))
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(draws))
