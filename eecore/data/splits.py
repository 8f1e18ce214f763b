"""How samples are divided: stratified, disjoint, by a seed that no run can change.

Axes: N samples.
"""

import numpy as np

from eecore.errors import SettingError

SPLIT_SEED = 0  # every run sees the same split; the seeds of runs vary the training only


def stratified(y: np.ndarray, sizes: tuple[int, ...], seed: int = SPLIT_SEED) -> list[np.ndarray]:
    """Divide samples into parts in which each class has its share, to within two samples.

    Each class is shuffled and spread evenly over (0, 1); the samples, sorted by that, are cut into parts.

    Args:
        y: class of each sample, (N).
        sizes: how many samples each part gets; they add up to N.
        seed: of the shuffle.
    Returns:
        One array of positions for each size: disjoint, together 0..N-1, in random order.
    Raises:
        SettingError: the sizes do not add up to N, or one is negative.
    Example:
        >>> [len(part) for part in stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), (6, 2))]
        [6, 2]
    """
    if sum(sizes) != len(y) or min(sizes) < 0:
        raise SettingError(f"sizes: must add up to the {len(y)} samples and not be negative, got {sizes}")
    random = np.random.RandomState(seed)  # its stream is frozen, unlike that of default_rng
    order = random.permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        members = order[y[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    ranked = order[np.argsort(place[order], kind="stable")]  # ties between classes: in random order
    parts = np.split(ranked, np.cumsum(sizes)[:-1])
    return [random.permutation(part) for part in parts]
