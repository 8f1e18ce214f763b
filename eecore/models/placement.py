"""Where the exits are: from a short description to block indices.

Blocks count from 0; the last one is always an exit.
"""

import re
from collections.abc import Sequence
from typing import NoReturn

from eecore.errors import SettingError
from eecore.models.backbone import is_count


def place(exits: str | Sequence[int], macs: Sequence[int]) -> tuple[int, ...]:
    """Indices of the blocks that an exit follows.

    Args:
        exits: "every" (each block); "every:n" (each n-th, counted back from the last); "macs:n" (n exits
            at nearly equal steps of cost, the last one included); or block indices, to which the last
            block is added where it is missing.
        macs: multiply-adds per sample up to and including each block, one number for each block.
    Returns:
        Ascending block indices; the last one is `len(macs) - 1`.
    Raises:
        SettingError: `exits` is none of these, or asks for more than there is.
    Example:
        >>> place("every:2", [1, 2, 3, 4, 5])
        (0, 2, 4)
        >>> place("macs:2", [10, 20, 70, 100])
        (2, 3)
        >>> place([1], [1, 2, 3, 4, 5])
        (1, 4)
    """
    blocks = len(macs)
    if isinstance(exits, str):
        match = re.fullmatch(r"every|(every|macs):([0-9]{1,6})", exits)
        number = int(match[2]) if match and match[2] else 1
        if match is None or not 1 <= number <= blocks:
            _refuse(exits, blocks)
        if exits.startswith("macs"):
            return _equal_macs(number, macs)
        return tuple(range((blocks - 1) % number, blocks, number))
    if not isinstance(exits, Sequence) or not all(is_count(block, smallest=0) for block in exits):
        _refuse(exits, blocks)
    indices = [int(block) for block in exits]
    if indices != sorted(set(indices)) or (indices and indices[-1] >= blocks):
        _refuse(exits, blocks)
    return (*indices, blocks - 1) if indices[-1:] != [blocks - 1] else tuple(indices)


def _equal_macs(number: int, macs: Sequence[int]) -> tuple[int, ...]:
    """For each equal step of cost the nearest block that leaves enough blocks for the exits behind."""
    chosen: list[int] = []
    for step in range(1, number):
        target = macs[-1] * step / number
        first = chosen[-1] + 1 if chosen else 0
        free = range(first, len(macs) - (number - step))
        chosen.append(min(free, key=lambda block: abs(macs[block] - target)))
    return (*chosen, len(macs) - 1)


def _refuse(exits: object, blocks: int) -> NoReturn:
    raise SettingError(
        f"exits: {exits!r} came; allowed for this model of {blocks} blocks are 'every', "
        f"'every:n' and 'macs:n' with n in 1..{blocks}, or ascending block indices in 0..{blocks - 1}"
    )
