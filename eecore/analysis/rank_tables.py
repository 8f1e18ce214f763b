"""Ranks of many blocks, tolerances and sample sizes as tables.

N samples, D features.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eecore.analysis.activations import activations as activations_of
from eecore.analysis.rank import READINGS, Counted, effective_rank, ranks_of, stable_rank
from eecore.errors import SettingError
from eecore.models.multi_exit import MultiExit
from eecore.shapes import Float
from eecore.training.optim import torch_settings


def rank_table(
    blocks: Mapping[str, Tensor],
    rtol: float | Sequence[float] = 1e-3,
    of: str | Sequence[str] = READINGS,
    centre: bool = True,
    route: str = "auto",
) -> pd.DataFrame:
    """Every rank of every block; one spectrum per block serves all tolerances and readings.

    As many blocks at once as torch may have threads; the ranks do not depend on how many.

    Args:
        blocks: name -> (N, D), such as `activations(model, x).blocks`.
        rtol: one tolerance or several, in (0, 1).
        of: one reading or several.
        centre, route: as in `numerical_rank`.
    Returns:
        One row per block, reading and rtol: block, d, n, centred, reading, rtol, rank, effective_rank, stable_rank,
        limit (min(N - 1, D); min(N, D) where not centred) and saturated (rank reaches the limit).
    Raises:
        SettingError: as `numerical_rank`; the message names the block.
    """
    tolerances = np.atleast_1d(np.asarray(rtol, dtype=np.float64)).tolist()
    readings = [of] if isinstance(of, str) else list(of)
    rows = []
    measure = partial(ranks_of, tolerances=tolerances, readings=readings, centre=centre, route=route)
    for (name, matrix), (counts, spectrum) in zip(blocks.items(), _side_by_side(measure, blocks), strict=True):
        n, d = matrix.shape
        limit = min(n - 1 if centre else n, d)
        common = {"block": name, "d": d, "n": n, "centred": centre}
        summary = {
            "effective_rank": effective_rank(spectrum),
            "stable_rank": stable_rank(spectrum),
            "limit": limit,
        }
        for reading in readings:
            for tolerance, rank in zip(tolerances, counts[reading], strict=True):
                found = {"reading": reading, "rtol": tolerance, "rank": int(rank)}
                rows.append(common | found | summary | {"saturated": bool(rank >= limit)})
    return pd.DataFrame(rows)


def _side_by_side(measure: Callable[[Tensor], Counted], blocks: Mapping[str, Tensor]) -> list[Counted]:
    """`measure` of every block, in order, each in one thread of torch; an error names its block."""

    def named(name: str) -> Counted:
        try:
            return measure(blocks[name])
        except SettingError as error:
            raise SettingError(f"{name}: {error}") from None

    workers = max(1, min(torch.get_num_threads(), len(blocks)))
    with torch_settings(1), ThreadPoolExecutor(workers) as pool:  # new threads begin with the setting of this one
        return list(pool.map(named, blocks))


def rank_profile(
    model: MultiExit,
    x: Tensor,
    rtol: float | Sequence[float] = 1e-3,
    of: str | Sequence[str] = READINGS,
    centre: bool = True,
    pooling: str = "flatten",
    batch: int = 256,
    route: str = "auto",
) -> pd.DataFrame:
    """Ranks of the activations of every block of a model: `rank_table` of `activations`.

    Args:
        model: not changed.
        x: N samples; N must exceed the ranks, see column saturated.
        rtol, of, centre, route: as in `rank_table`.
        pooling, batch: as in `activations`. Under "flatten" a rank can exceed the number of channels, since D is
            channels x positions.
    Raises:
        SettingError: as `activations` and `rank_table`.
    """
    return rank_table(activations_of(model, x, pooling, batch).blocks, rtol, of, centre, route)


def rank_by_samples(
    activations: Float[Tensor, "N D"],
    sizes: Sequence[int],
    rtol: float | Sequence[float] = 1e-3,
    of: str | Sequence[str] = READINGS,
    centre: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """How the ranks grow with the number of samples: subsamples, each contained in the next.

    Args:
        activations: one row per sample.
        sizes: numbers of samples, in 3..N.
        rtol, of, centre: as in `rank_table`.
        seed: of the order in which samples are taken.
    Returns:
        The columns of `rank_table` without block, in the order of `sizes`; n is the size.
    Raises:
        SettingError: a size outside 3..N, none at all, and as `numerical_rank`.
    """
    wrong = [size for size in sizes if not 3 <= size <= len(activations)]
    if wrong or not len(sizes):
        raise SettingError(f"sizes: expected numbers in 3..{len(activations)}, got {wrong or 'none'}")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(activations)))
    tables = [rank_table({f"n = {n}": activations[order[:n]]}, rtol, of, centre) for n in sizes]
    return pd.concat(tables, ignore_index=True).drop(columns="block")
