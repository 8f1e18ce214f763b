"""Gradient dominance: which exit's gradient moves which block.

The word has no published equation that we know of; the definitions here are our own:

    g_kl = a_k grad_{theta_l} loss_k      what exit k, with weight a_k, asks of block l
    g_l = sum_k g_kl                      what the optimiser is handed
    `share = |g_kl| / sum_j |g_jl|`         in [0, 1], sums to 1 over the exits; says nothing of directions
    `signed share = <g_kl, g_l> / |g_l|^2`  sums to 1 over the exits; negative where g_l opposes the exit

Only the backbone counts, as every head belongs to one exit. An exit has a gradient in the blocks up to its own, so
that deep blocks are reached by few exits: compare a share with one over the number of exits that reach the block.

K exits, B batch, C classes, P parameters of one block. In frames exits count from 1, and block 0 is the stem.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eecore.analysis.untouched import untouched
from eecore.errors import SettingError
from eecore.inference.checks import Number, check_labels
from eecore.models import MultiExit
from eecore.models.heads_cascade import in_turn
from eecore.shapes import Float, Int

Gradients = dict[int, Tensor]  # block -> (K, P)
PART = 500  # samples of one forward pass; more would only take memory


def check_batch(logits: Float[Tensor, "*K B C"], y: Tensor) -> Int[Tensor, " B"]:
    """Return the labels as int64.

    Raises:
        SettingError: they do not fit the logits, or a logit is not finite.
    """
    if not logits.shape[-2]:
        raise SettingError("x: expected at least one sample, none came")
    if not bool(logits.isfinite().all()):
        raise SettingError("x: the model's logits are not all finite; x or the weights hold NaN or infinity")
    return check_labels(y, logits.shape[-2], logits.shape[-1])


def exit_gradients(
    model: MultiExit, x: Tensor, y: Tensor, weights: Sequence[Number] | None = None, training: bool = False
) -> Gradients:
    """Gradient of every exit's weighted loss with respect to every block.

    The squared length of a mean over B samples is too large by the gradient's variance over B, in expectation, and
    this makes unequal shares alike: to speak of a loss, give all samples that it is the mean of.

    Args:
        model: left as it is.
        x, y: B samples, any number; the losses are mean cross-entropies over them.
        weights: a_k, K numbers of at least 0, not all 0; None: 1 / K each, the mean loss that regimes train with.
        training: normalise by the statistics of this batch, as in a step of training, instead of by the running ones.
            Nothing else goes into train mode: no dropout.
    Returns:
        For each block with parameters (0 is the stem, l the l-th block) a matrix (K, P): row k - 1 is the gradient of
        exit k, NaN where the exit lies before the block.
    Raises:
        SettingError: the network has one exit, weights or labels do not fit, or a logit is not finite.
    """
    if model.n_exits < 2:
        raise SettingError("model: dominance compares exits, and this network has 1; expected 2 or more")
    a = _weights(weights, model.n_exits)
    if training and len(x) < 2:
        raise SettingError(f"training: statistics of a batch need at least 2 samples, {len(x)} came")
    with untouched(model):
        for module in model.modules():
            if training and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
        parts = {i: list(part.parameters()) for i, part in enumerate(model.backbone_modules())}
        parts = {block: parameters for block, parameters in parts.items() if parameters}
        size = len(x) if training else PART  # statistics of a batch are those of all of it
        if len(x) <= size or len(y) != len(x):  # the latter is refused there
            return _of_part(model, parts, x, y, a)
        total: Gradients = {}
        for xs, ys in zip(x.split(size), y.split(size), strict=True):
            for block, rows in _of_part(model, parts, xs, ys, a).items():
                part = rows * (len(xs) / len(x))
                total[block] = total[block] + part if block in total else part
    return total


def _of_part(model: MultiExit, parts: dict[int, list[nn.Parameter]], x: Tensor, y: Tensor, a: list[float]) -> Gradients:
    """Gradients on samples of one forward pass, with K backward passes."""
    out = {block: [_missing(parameters)] * model.n_exits for block, parameters in parts.items()}
    # Not model(x): stacked logits would send zeros back from the other heads, through all blocks.
    logits = in_turn(model.heads, model.head_inputs(x))
    y = check_batch(torch.stack(logits), y)
    for k, exit_logits in enumerate(logits):
        loss = a[k] * F.cross_entropy(exit_logits, y)
        reached = [block for block in parts if block <= model.exits[k] + 1]
        wanted = [p for block in reached for p in parts[block]]
        last = k == model.n_exits - 1
        found = iter(torch.autograd.grad(loss, wanted, retain_graph=not last, materialize_grads=True))
        for block in reached:
            out[block][k] = torch.cat([next(found).flatten() for _ in parts[block]])
    return {block: torch.stack(rows) for block, rows in out.items()}


def _missing(parameters: list[nn.Parameter]) -> Tensor:
    first = parameters[0]
    return first.new_full((sum(p.numel() for p in parameters),), torch.nan).detach()


def _weights(weights: Sequence[Number] | None, exits: int) -> list[float]:
    values = np.full(exits, 1 / exits) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (exits,) or not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
        raise SettingError(f"weights: expected {exits} numbers of at least 0, one above 0, got {weights!r}")
    return values.tolist()


def products(gradients: Gradients) -> pd.DataFrame:
    """Inner products of the exits' gradients at every block: all that `shares` and `cosines` need.

    Args:
        gradients: what `exit_gradients` returned.
    Returns:
        One row per block and pair of exits that both reach it, each with itself too and in both orders: block, exit_a,
        exit_b (1..K), product, parameters (of the block).
    """
    frames = []
    for block, whole in gradients.items():
        reaching = ~whole.isnan().all(dim=1)
        rows = whole[reaching].double()
        exits = reaching.nonzero()[:, 0].cpu().numpy() + 1
        a, b = (axis.ravel() for axis in np.meshgrid(exits, exits, indexing="ij"))
        columns = {"exit_a": a, "exit_b": b, "product": (rows @ rows.T).cpu().numpy().ravel()}
        frames.append(pd.DataFrame({"block": block, **columns, "parameters": whole.shape[1]}))
    return pd.concat(frames, ignore_index=True)


def _matrices(table: pd.DataFrame) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """For each block its number, its parameters, the exits that reach it and their inner products."""
    for block, part in table.groupby("block", sort=False):
        exits = part["exit_a"].unique()
        square = part["product"].to_numpy().reshape(len(exits), len(exits))
        yield int(block), int(part["parameters"].iloc[0]), exits, square


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `dominance`, from what `products` returned."""
    frames = []
    for block, parameters, exits, square in _matrices(table):
        norm, total = np.sqrt(square.diagonal()), square.sum()
        columns = {
            "block": block,
            "exit": exits,
            "norm": norm,
            "share": norm / norm.sum() if norm.sum() else np.nan,
            "signed_share": square.sum(axis=1) / total if total > 0 else np.nan,
            "total_norm": np.sqrt(max(total, 0.0)),
            "parameters": parameters,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def dominance(
    model: MultiExit, x: Tensor, y: Tensor, weights: Sequence[Number] | None = None, training: bool = False
) -> pd.DataFrame:
    """Which exit's gradient moves which block (our own definition, see the top of this module).

    Args: as in `exit_gradients`.
    Returns:
        One row per block and exit that reaches it: block (0 is the stem, left out where it has no parameters),
        exit (1..K), norm `|g_kl|`, share, signed_share (NaN where all gradients vanish or cancel), total_norm `|g_l|`,
        parameters (of the block).
    Raises:
        SettingError: as in `exit_gradients`.
    """
    return shares(products(exit_gradients(model, x, y, weights, training)))


def cosines(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `conflicts`, from what `products` returned."""
    frames = []
    for block, _, exits, square in _matrices(table):
        norm = np.sqrt(square.diagonal())
        lengths = np.outer(norm, norm)
        cosine = np.divide(square, lengths, out=np.full_like(square, np.nan), where=lengths > 0).clip(-1, 1)
        a, b = np.triu_indices(len(exits), 1)
        frames.append(pd.DataFrame({"block": block, "exit_a": exits[a], "exit_b": exits[b], "cosine": cosine[a, b]}))
    return pd.concat(frames, ignore_index=True)


def conflicts(model: MultiExit, x: Tensor, y: Tensor, training: bool = False) -> pd.DataFrame:
    """Angles between what two exits ask of a block; the exits' weights do not matter.

    Args: as in `exit_gradients`.
    Returns:
        One row per block and pair of exits that both reach it: block, exit_a < exit_b, cosine in [-1, 1] (NaN where a
        gradient vanishes).
    Raises:
        SettingError: as in `exit_gradients`.
    Source:
        Yu et al. 2020, Gradient surgery, arXiv:2001.06782, definition 1: a cosine below 0 is a conflict.
    """
    return cosines(products(exit_gradients(model, x, y, None, training)))
