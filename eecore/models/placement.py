"""Where the exits are: from a short description to block indices.

Blocks count from 0; the last one is always an exit.
"""

import re
from collections.abc import Sequence
from typing import NoReturn

from eecore.errors import SettingError
from eecore.models.backbone import is_count

SDN = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # fractions of Kaya et al. 2019, arXiv:1810.07052


def place(exits: str | Sequence[int], macs: Sequence[int]) -> tuple[int, ...]:
    """Indices of the blocks that an exit follows.

    Args:
        exits: "every" (each block); "every:n" (each n-th, counted back from the last); "macs:n" (n exits
            at nearly equal steps of cost, the last one included); "fractions:0.2,0.5" (an exit nearest to each of
            these fractions of the cost, and the last one); "sdn" (the fractions `SDN`); or block indices, to which
            the last block is added where it is missing.
        macs: multiply-adds per sample up to and including each block, one number for each block. The cost of the
            backbone is the last of them.
    Returns:
        Ascending block indices; the last one is `len(macs) - 1`.
    Raises:
        SettingError: `exits` is none of these, or asks for more than there is.
    Example:
        >>> place("every:2", [1, 2, 3, 4, 5])
        (0, 2, 4)
        >>> place("macs:2", [10, 20, 70, 100])
        (2, 3)
        >>> place("fractions:0.1,0.25", [10, 20, 70, 100])
        (0, 1, 3)
        >>> place([1], [1, 2, 3, 4, 5])
        (1, 4)
    """
    blocks = len(macs)
    if isinstance(exits, str):
        fractions = _fractions(exits)
        if fractions:
            if len(fractions) >= blocks:
                raise SettingError(
                    f"exits: {exits!r} asks for {len(fractions)} exits before the last block, "
                    f"this model has {blocks - 1} blocks before it"
                )
            return _nearest([macs[-1] * fraction for fraction in fractions], macs)
        match = re.fullmatch(r"every|(every|macs):([0-9]{1,6})", exits)
        number = int(match[2]) if match and match[2] else 1
        if match is None or not 1 <= number <= blocks:
            _refuse(exits, blocks)
        if exits.startswith("macs"):
            return _nearest([macs[-1] * step / number for step in range(1, number)], macs)
        return tuple(range((blocks - 1) % number, blocks, number))
    if not isinstance(exits, Sequence) or not all(is_count(block, smallest=0) for block in exits):
        _refuse(exits, blocks)
    indices = [int(block) for block in exits]
    if indices != sorted(set(indices)) or (indices and indices[-1] >= blocks):
        _refuse(exits, blocks)
    return (*indices, blocks - 1) if indices[-1:] != [blocks - 1] else tuple(indices)


def _fractions(exits: str) -> tuple[float, ...]:
    """The fractions that a description names, none where it is of another form."""
    if exits == "sdn":
        return SDN
    if not exits.startswith("fractions:"):
        return ()
    texts = exits.removeprefix("fractions:").split(",")
    plain = all(re.fullmatch(r"0?\.[0-9]{1,6}", text) for text in texts)
    found = [float(text) for text in texts] if plain else []
    if not found or found != sorted(set(found)) or found[0] == 0:
        raise SettingError(
            f"exits: {exits!r} came; 'fractions:' needs ascending numbers between 0 and 1, as in 'fractions:0.2,0.5'"
        )
    return tuple(found)


def _nearest(targets: Sequence[float], macs: Sequence[int]) -> tuple[int, ...]:
    """For each cost the nearest block that leaves enough blocks for the exits behind; then the last block."""
    chosen: list[int] = []
    for done, target in enumerate(targets):
        first = chosen[-1] + 1 if chosen else 0
        free = range(first, len(macs) - (len(targets) - done))
        chosen.append(min(free, key=lambda block: abs(macs[block] - target)))
    return (*chosen, len(macs) - 1)


def _refuse(exits: object, blocks: int) -> NoReturn:
    raise SettingError(
        f"exits: {exits!r} came; allowed for this model of {blocks} blocks are 'every', 'sdn', 'fractions:a,b' with "
        f"numbers between 0 and 1, 'every:n' and 'macs:n' with n in 1..{blocks}, or ascending block indices in "
        f"0..{blocks - 1}"
    )
