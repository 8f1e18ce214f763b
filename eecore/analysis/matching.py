"""Weight matching: the order of one network's hidden units in which it lies nearest to another network.

U units of a group that is reordered together.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from eecore.analysis.permutations import Permutations, State, by_unit, permutation_groups, permute, reordered
from eecore.errors import SettingError
from eecore.models import MultiExit
from eecore.shapes import Float, Int


def match_weights(model: MultiExit, state_a: State, state_b: State, sweeps: int = 50) -> Permutations:
    """Order of B's units in which its parameters are nearest to A's.

    One group after the other is solved exactly (linear assignment) with the others fixed, in the order of the network,
    until a whole sweep changes nothing. A local optimum: `|A - P(B)|` never grows, but need not be the smallest.
    Parameters count, buffers do not.

    Args:
        model: gives the architecture; not changed.
        state_a, state_b: state dicts.
        sweeps: at most, 1 or more.
    Returns:
        Permutations for `permute(state_b, ...)`.
    Raises:
        SettingError: the states do not fit the model, hold NaN, or sweeps is below 1.
    Source:
        Ainsworth et al. 2023, Git Re-Basin, arXiv:2209.04836, section 3.2 and algorithm 1 (there in random order).
    """
    if sweeps < 1:
        raise SettingError(f"sweeps: at least 1 is needed, {sweeps} came")
    parameters = {name for name, _ in model.named_parameters()}
    a, b = (_checked(model, state, name) for state, name in ((state_a, "state_a"), (state_b, "state_b")))
    groups = permutation_groups(model)
    found = {group: torch.arange(places[0].units) for group, places in groups.items()}
    moved = dict(b)  # B with all permutations found so far
    for _ in range(sweeps):
        settled = True
        for group, places in groups.items():
            gain = sum(
                by_unit(a[place.name], place) @ by_unit(moved[place.name], place).T
                for place in places
                if place.name in parameters
            )
            order = _assign(torch.as_tensor(gain))
            if order is None:
                continue
            settled = False
            found[group] = found[group][order]
            for place in places:
                moved[place.name] = reordered(moved[place.name], place, order)
        if settled:
            break
    return found


def align(model: MultiExit, state_a: State, state_b: State) -> dict[str, Tensor]:
    """B with its units in the order that `match_weights` finds nearest to A: the same function, elsewhere.

    Raises:
        SettingError: the states do not fit the model or hold NaN.
    """
    return permute(state_b, permutation_groups(model), match_weights(model, state_a, state_b))


def _assign(gain: Float[Tensor, "U U"]) -> Int[Tensor, " U"] | None:
    """Best order of the columns, or None where it is no better than the present one."""
    matrix = gain.numpy()
    _, columns = linear_sum_assignment(matrix, maximize=True)
    better = matrix[np.arange(len(matrix)), columns].sum() - matrix.trace()
    return torch.from_numpy(columns) if better > 1e-9 * max(1.0, float(np.abs(matrix).max())) else None


def _checked(model: MultiExit, state: State, argument: str) -> dict[str, Tensor]:
    """Floating-point tensors of a state as float64 on the CPU, where they fit the model."""
    own = model.state_dict()
    if {n: t.shape for n, t in state.items()} != {n: t.shape for n, t in own.items()}:
        raise SettingError(f"{argument}: names or shapes do not fit the model")
    if not all(bool(t.isfinite().all()) for t in state.values()):
        raise SettingError(f"{argument}: holds NaN or infinity")
    return {n: t.detach().cpu().double() for n, t in state.items()}
