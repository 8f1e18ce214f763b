"""The test samples that an explorer shows: which ones, and each as a small picture in the page.

Axes: R runs, N samples, C channels, H height, W width, L length.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from companion.pages.samples import difficulties, hardest_last
from eecore import data
from eecore.training import Result

__all__ = ["SHOWN", "chosen_samples", "pictures"]

SHOWN = 16
MOST_PIXELS = 64  # a side; larger images are made smaller


def chosen_samples(runs: Sequence[Result], shown: int = SHOWN) -> list[int]:
    """Test samples from the easiest to the hardest, in even steps of their rank.

    Args:
        runs: of one data set; all of them say how hard a sample is.
        shown: how many; fewer where the data set has fewer.
    """
    order = hardest_last(difficulties(runs).mean(axis=0), np.zeros(len(runs[0].test_labels)))
    places = np.linspace(0, len(order) - 1, min(shown, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def pictures(run: Result, samples: Sequence[int]) -> dict[str, Any]:
    """The samples as pictures, and their right classes.

    Returns:
        label (class of each sample), sample (its index in test) and source: data URIs, empty where the data set's
        samples are no pictures.
    """
    dataset = data.load(run.run.dataset)
    draw = {"image": image, "sequence": line}.get(dataset.kind)
    x = dataset.test.x[list(samples)].numpy()
    labels = run.test_labels[list(samples)].tolist()
    return {"label": labels, "sample": list(samples), "source": [draw(one) for one in x] if draw else []}


def image(x: np.ndarray) -> str:
    """An image (C, H, W) as a PNG, its values stretched to the whole scale; one or two channels: the first, in grey."""
    low, high = float(x.min()), float(x.max())
    scaled = np.rint(255 * (x - low) / (high - low if high > low else 1.0)).astype(np.uint8)
    made = Image.fromarray(255 - scaled[0]) if len(scaled) < 3 else Image.fromarray(np.moveaxis(scaled[:3], 0, -1))
    made.thumbnail((MOST_PIXELS, MOST_PIXELS))
    file = io.BytesIO()
    made.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def line(x: np.ndarray) -> str:
    """A sequence (C, L) as a drawing, a line for each channel, on one scale."""
    low, high = float(x.min()), float(x.max())
    across = np.linspace(2, 98, x.shape[1])
    down = 96 - 92 * (x - low) / (high - low if high > low else 1.0)
    lines = "".join(
        f"<polyline points='{' '.join(f'{a:.0f},{b:.0f}' for a, b in zip(across, row, strict=True))}'/>" for row in down
    )
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100'><rect width='100' height='100' fill='white'/>"
        f"<g fill='none' stroke='#333' stroke-width='3'>{lines}</g></svg>"
    )
    return f"data:image/svg+xml,{quote(svg, safe=' ,/:=')}"
