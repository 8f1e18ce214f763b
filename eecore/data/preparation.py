"""How a raw sample becomes a row of `x`: what an exported network, or a stored run, needs to judge a new one.

A preparation is a dictionary of plain values, so that it can lie beside an exported network as JSON:

    {"form": "picture", "side": 32, "bits": 16, "mean": [r, g, b], "std": [r, g, b]}
    {"form": "text", "cut": "words", "numbers": {"the": 3, ...}, "size": V, "buckets": 0, "length": S}
    {"form": "array", "shape": [C, L], "scale": 1.0, "mean": [...], "std": [...]}

Axes: C channels, H height, W width, L length, S tokens of a text, V numbers of a vocabulary.
"""

from typing import Any

from eecore.data.tokens import Vocabulary


def of_pictures(side: int, bits: int = 16) -> dict[str, Any]:
    """Pictures that are turned, made RGB, cut to the middle square and resized to `side` (see `raw.square`)."""
    return {"form": "picture", "side": side, "bits": bits}


def of_texts(vocabulary: Vocabulary, length: int, cut: str) -> dict[str, Any]:
    """Texts that are cut into "words" or "characters" and numbered by `vocabulary`."""
    counted = {"numbers": vocabulary.numbers, "size": vocabulary.size, "buckets": vocabulary.buckets}
    return {"form": "text", "cut": cut, **counted, "length": length}


def of_arrays(shape: tuple[int, ...], *, scale: float = 1.0) -> dict[str, Any]:
    """Arrays of one shape, multiplied by `scale` first: 1/255 where the data are pictures of bytes."""
    return {"form": "array", "shape": list(shape), "scale": scale}
