"""Counted things in messages: "1 file that ends in .txt", "3 files that end in .txt"."""

import re

_VERBS = {"are": "is", "have": "has"}


def counted(number: int, many: str) -> str:
    """A number and what it counts, in the singular where it is one.

    Args:
        number: 0 or more.
        many: in the plural; its first word is the noun, and a verb stands behind "that".
    Example:
        >>> counted(2, "files that end in .txt"), counted(1, "files that end in .txt"), counted(1, "copies")
        ('2 files that end in .txt', '1 file that ends in .txt', '1 copy')
    """
    if number != 1:
        return f"{number} {many}"
    noun, space, rest = ("", "", many) if many.startswith("that ") else many.partition(" ")
    one = re.sub("ies$", "y", noun) if noun.endswith("ies") else re.sub("(?<=ss)es$|s$", "", noun)
    return f"1 {one}{space}" + re.sub(r"^that (\w+)", lambda verb: f"that {_VERBS.get(verb[1], verb[1] + 's')}", rest)
