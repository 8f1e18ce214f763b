"""Gradient dominance: which exit's gradient moves which block.

The word has no published equation that we know of; the definitions here are our own:

    g_kl = a_k grad_{theta_l} loss_k      what exit k, with weight a_k, asks of block l
    g_l = sum_k g_kl                      what the optimiser is handed
    share = |g_kl| / sum_j |g_jl|         in [0, 1], sums to 1 over the exits; says nothing of directions
    signed share = <g_kl, g_l> / |g_l|^2  sums to 1 over the exits; negative where g_l opposes the exit

Only the backbone counts, as every head belongs to one exit. An exit has a gradient in the blocks up to its own, so
that deep blocks are reached by few exits: compare a share with one over the number of exits that reach the block.

K exits, B batch, C classes, P parameters of one block. In frames exits count from 1, and block 0 is the stem.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eecore.analysis.untouched import untouched
from eecore.errors import SettingError
from eecore.inference.checks import Number, check_labels
from eecore.models import MultiExit
from eecore.shapes import Float, Int

Gradients = dict[int, Tensor]  # block -> (K, P)


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
    """Gradient of every exit's weighted loss with respect to every block: one forward and K backward passes.

    Args:
        model: left as it is.
        x, y: one batch, B samples; the losses are mean cross-entropies over it.
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
        out = {block: [_missing(parameters)] * model.n_exits for block, parameters in parts.items()}
        # Not model(x): stacked logits would send zeros back from the other heads, through all blocks.
        logits = [head(state) for head, state in zip(model.heads, model.head_inputs(x), strict=True)]
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


def _products(gradients: Float[Tensor, "K P"]) -> tuple[np.ndarray, np.ndarray]:
    """Exits that reach the block (counted from 1), and the inner products of their gradients."""
    reaching = ~gradients.isnan().all(dim=1)
    rows = gradients[reaching].double()
    return reaching.nonzero()[:, 0].cpu().numpy() + 1, (rows @ rows.T).cpu().numpy()


def shares(gradients: Gradients) -> pd.DataFrame:
    """The table of `dominance`, from gradients at hand."""
    frames = []
    for block, rows in gradients.items():
        exits, products = _products(rows)
        norm, total = np.sqrt(products.diagonal()), products.sum()
        columns = {
            "block": block,
            "exit": exits,
            "norm": norm,
            "share": norm / norm.sum() if norm.sum() else np.nan,
            "signed_share": products.sum(axis=1) / total if total > 0 else np.nan,
            "total_norm": np.sqrt(max(total, 0.0)),
            "parameters": rows.shape[1],
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
        exit (1..K), norm |g_kl|, share, signed_share (NaN where all gradients vanish or cancel), total_norm |g_l|,
        parameters (of the block).
    Raises:
        SettingError: as in `exit_gradients`.
    """
    return shares(exit_gradients(model, x, y, weights, training))


def cosines(gradients: Gradients) -> pd.DataFrame:
    """The table of `conflicts`, from gradients at hand."""
    frames = []
    for block, rows in gradients.items():
        exits, products = _products(rows)
        norm = np.sqrt(products.diagonal())
        lengths = np.outer(norm, norm)
        cosine = np.divide(products, lengths, out=np.full_like(products, np.nan), where=lengths > 0).clip(-1, 1)
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
    return cosines(exit_gradients(model, x, y, None, training))


def fraction_negative(cosine: pd.DataFrame) -> pd.DataFrame:
    """Conflicts per block.

    Args:
        cosine: what `conflicts` returned.
    Returns:
        block, pairs (those with an angle), fraction_negative (of them), mean_cosine.
    """
    known = cosine.dropna(subset="cosine").groupby("block")["cosine"]
    measures = {"pairs": known.size(), "fraction_negative": known.agg(lambda c: (c < 0).mean())}
    return pd.DataFrame({**measures, "mean_cosine": known.mean()}).reset_index()


def dominant_exit(share: pd.DataFrame) -> pd.DataFrame:
    """The exit with the largest share in each block, and where between first and last exit the pull comes from.

    Args:
        share: what `dominance` returned.
    Returns:
        One row per block whose gradients do not all vanish: block, reaching (number of exits), exit (the dominant
        one, the earlier of equals), share (its), position (mean of (k - 1) / (K - 1) weighted by the shares; 0 is
        the first exit, 1 the last), expected (the same with equal shares of the exits that reach the block).
    """
    known = share.dropna(subset="share").reset_index(drop=True)
    known = known.assign(position=(known["exit"] - 1) / (share["exit"].max() - 1))
    groups = known.groupby("block")
    top = known.loc[groups["share"].idxmax()].set_index("block")
    position = (known["position"] * known["share"]).groupby(known["block"]).sum()
    columns = {"exit": top["exit"], "share": top["share"], "position": position, "expected": groups["position"].mean()}
    return pd.DataFrame({"reaching": groups.size(), **columns}).reset_index()


def by_exit(share: pd.DataFrame) -> pd.DataFrame:
    """Whether an exit dominates the blocks that it shares: its share there, relative to equal shares.

    Args:
        share: what `dominance` returned. Blocks that only the last exit reaches are left out: its share is 1.
    Returns:
        One row per exit that shares a block: exit, position ((k - 1) / (K - 1)), blocks (shared with another exit),
        share (mean over these), expected (mean of 1 / exits that reach the block), ratio (share / expected; above 1:
        the exit dominates), signed_share (mean). "The middle dominates" says that the ratio is largest at middle
        positions.
    """
    known = share.dropna(subset="share")
    reaching = known.groupby("block")["exit"].transform("size")
    shared = known[reaching > 1].assign(expected=1 / reaching[reaching > 1])
    groups = shared.groupby("exit")
    means = groups[["share", "expected", "signed_share"]].mean()
    position = (means.index.to_numpy() - 1) / (share["exit"].max() - 1)
    out = means.assign(position=position, blocks=groups.size(), ratio=means["share"] / means["expected"])
    return out[["position", "blocks", "share", "expected", "ratio", "signed_share"]].reset_index()


def middle_share(share: pd.DataFrame) -> dict[str, float]:
    """The test of "the middle dominates" in two numbers, each beside its expectation under equal shares.

    Args:
        share: what `dominance` returned; blocks that two exits or more reach count equally.
    Returns:
        position: mean over blocks of the share-weighted position of the exits, in [0, 1];
        middle: mean over blocks of the summed share of the exits in the middle third, 1/3 <= position <= 2/3;
        position_expected, middle_expected: the same with equal shares. With K = 2 the middle third is empty.
    """
    known = share.dropna(subset="share")
    last = int(share["exit"].max()) - 1
    steps = known["exit"] - 1
    reaching = known.groupby("block")["exit"].transform("size")
    shared = known[reaching > 1].assign(
        position=steps / last, middle=(3 * steps).between(last, 2 * last).astype(float), equal=1 / reaching
    )
    blocks = max(shared["block"].nunique(), 1)
    out = {}
    for name in ("position", "middle"):
        out[name] = float((shared[name] * shared["share"]).sum() / blocks)
        out[f"{name}_expected"] = float((shared[name] * shared["equal"]).sum() / blocks)
    return out if len(shared) else dict.fromkeys(out, float("nan"))
