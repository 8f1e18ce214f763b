"""What every block of a network holds for the same samples, as matrices; the other analyses start here.

K exits, N samples, C classes, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eecore.analysis.untouched import untouched
from eecore.errors import SettingError, choose
from eecore.models.backbone import reading
from eecore.models.heads_cascade import in_turn
from eecore.models.multi_exit import MultiExit
from eecore.shapes import Float

POOLINGS = ("flatten", "mean")
LAYOUTS = ("map", "tokens", "vector")


@dataclass(frozen=True, eq=False)
class Activations:
    """Outputs of all blocks and of all exits for the same N samples, on the CPU.

    Args:
        blocks: name of the block -> (N, D) float32, from the first block to the last.
        logits: of every exit, (K, N, C) float32.
        exits: K names: the block behind which each exit sits.
        pooling: "flatten" or "mean", as in `activations`.
    """

    blocks: dict[str, Tensor]
    logits: Tensor
    exits: tuple[str, ...]
    pooling: str


def block_names(model: MultiExit) -> list[str]:
    """Names of the blocks, in order, counted from 0 as in `MultiExit.exits`: "block 0", "block 1", ..."""
    return [f"block {index}" for index in range(len(model.blocks))]


def activations(
    model: MultiExit, x: Tensor, pooling: str = "flatten", batch: int = 256, layout: str | None = None
) -> Activations:
    """Run samples through a model in eval mode and keep what each block gives.

    Args:
        model: not changed.
        x: N samples, sample axis first.
        pooling: "flatten" keeps every feature at every position (D = features x positions), "mean" is the
            mean over positions (D = features); vectors are the same under both.
        batch: samples per forward pass; it decides memory, and results to rounding only.
        layout: of the blocks' outputs, "map" (features first), "tokens" (features last) or "vector"; by
            default what the model's last head was built for.
    Returns:
        Blocks and logits. They take N x (sum of D) x 4 bytes.
    Raises:
        SettingError: an unknown pooling or layout, no samples, or a batch below 1.
    """
    choose("pooling", pooling, POOLINGS)
    layout = choose("layout", layout or getattr(model.heads[-1], "layout", "unknown"), LAYOUTS)
    if batch < 1:
        raise SettingError(f"batch: at least 1 sample is needed, got {batch}")
    if x.ndim < 1 or len(x) == 0:
        raise SettingError(f"x: at least one sample is needed, got {tuple(x.shape)}")
    device = next((p.device for p in model.parameters()), x.device)
    blocks: dict[str, Tensor] = {}
    logits = torch.empty(0)
    with untouched(model), torch.no_grad():
        for start in range(0, len(x), batch):
            outputs = model.block_outputs(x[start : start + batch].to(device))
            rows = slice(start, start + len(reading(outputs[0])))
            scores = torch.stack(in_turn(model.heads, [outputs[b] for b in model.exits]))
            if start == 0:  # one matrix per block, filled in place: no second copy of everything
                logits = torch.empty(len(scores), len(x), scores.shape[2])
            logits[:, rows] = scores.cpu().float()
            for name, output in zip(block_names(model), outputs, strict=True):
                matrix = _as_matrix(reading(output), pooling, layout)
                if start == 0:
                    blocks[name] = torch.empty(len(x), matrix.shape[1])
                blocks[name][rows] = matrix.cpu()
    return Activations(blocks, logits, tuple(block_names(model)[b] for b in model.exits), pooling)


def checked(values: Float[Tensor, "N D"], argument: str = "activations", smallest: int = 3) -> Float[Tensor, "N D"]:
    """Return activations as float64 on the CPU, where an analysis can use them.

    Args:
        values: one row per sample.
        argument: what an error calls them.
        smallest: samples that are needed at least.
    Raises:
        SettingError: not a matrix, too few samples, values that are not finite, or all samples alike.
    """
    if values.ndim != 2 or values.shape[1] < 1:
        raise SettingError(f"{argument}: expected (samples, features), got {tuple(values.shape)}")
    if len(values) < smallest:
        raise SettingError(f"{argument}: at least {smallest} samples are needed, got {len(values)}")
    values = values.detach().cpu()
    if not math.isfinite(float(values.sum(dtype=torch.float64))):  # a sum is finite only where all values are
        raise SettingError(f"{argument}: holds values that are not finite")
    if bool((values == values[0]).all()):
        raise SettingError(f"{argument}: is the same for all {len(values)} samples, there is nothing to measure")
    return values.double()


def check_same_samples(matrices: Sequence[Tensor], argument: str = "activations") -> None:
    """Stop where matrices do not hold the same number of samples.

    Raises:
        SettingError: there are none, or their lengths differ.
    """
    lengths = sorted({len(matrix) for matrix in matrices})
    if len(lengths) != 1:
        raise SettingError(f"{argument}: all must hold the same samples, got {lengths or 'none'}")


def _as_matrix(output: Tensor, pooling: str, layout: str) -> Float[Tensor, "B D"]:
    """A block's output as one float32 row per sample."""
    output = output.float()
    if pooling == "mean" and layout != "vector":
        return output.mean(1) if layout == "tokens" else output.flatten(2).mean(2)
    return output.flatten(1)
