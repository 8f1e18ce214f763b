"""How every figure of the book looks: one colour, one marker and one name for each regime, everywhere."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib

__all__ = ["RegimeStyle", "regime_order", "regime_style", "shown_value", "use_style"]


@dataclass(frozen=True)
class RegimeStyle:
    """Colour (hex), marker and human name of a regime."""

    colour: str
    marker: str
    label: str


# the first four: seaborn's "colorblind" palette, written out so that a figure does not need seaborn
_REGIMES = {
    "disjoint": RegimeStyle("#0173b2", "o", "disjoint"),
    "joint": RegimeStyle("#de8f05", "s", "joint"),
    "mixed": RegimeStyle("#029e73", "^", "mixed"),
    "joint_long": RegimeStyle("#cc78bc", "D", "joint, mixed's budget"),
    "disjoint_long": RegimeStyle("#56b4e9", "H", "disjoint, mixed's budget"),
    "joint_restart": RegimeStyle("#7b4b2a", "d", "joint, restarted"),
    "reverse": RegimeStyle("#4b2e83", "*", "reverse"),
    "full": RegimeStyle("#d55e00", "v", "full"),
    "refit": RegimeStyle("#7b4b2a", "P", "refit"),
    "alternating": RegimeStyle("#1a1a1a", "X", "alternating"),
    "branch_wise": RegimeStyle("#a50f3b", "p", "branch wise"),
    "unfreeze_top": RegimeStyle("#56b4e9", "<", "unfreeze top"),
    "unfreeze_bottom": RegimeStyle("#56b4e9", ">", "unfreeze bottom"),
    "gated": RegimeStyle("#4b2e83", "h", "gated"),
    "detached": RegimeStyle("#d55e00", "o", "detached"),
    "random_backbone": RegimeStyle("#7f7f7f", "s", "random backbone"),
    "untrained": RegimeStyle("#7f7f7f", "x", "untrained"),
}
# dark or strong ones: thin lines in the palette's pink, yellow and grey are hard to see on white
_OTHER_COLOURS = ("#d55e00", "#7b4b2a", "#1a1a1a", "#56b4e9", "#4b2e83", "#a50f3b")
_OTHER_MARKERS = ("v", "P", "X", "<", ">", "p", "h")


def regime_style(name: str) -> RegimeStyle:
    """Style of a regime: fixed for the paper's, and for any other one derived from its name alone.

    So a regime that a user registers has the same colour on every page and machine.

    Args:
        name: as registered.
    Example:
        >>> regime_style("joint_long").label
        "joint, mixed's budget"
    """
    if name in _REGIMES:
        return _REGIMES[name]
    digest = hashlib.sha256(str(name).encode()).digest()
    colour = _OTHER_COLOURS[digest[0] % len(_OTHER_COLOURS)]
    marker = _OTHER_MARKERS[digest[1] % len(_OTHER_MARKERS)]
    return RegimeStyle(colour, marker, str(name).replace("_", " "))


def shown_value(column: str, value: object) -> str:
    """A value of a column as people read it: a regime by its label, anything else as it is.

    Example:
        >>> shown_value("regime", "joint_long"), shown_value("model", "vit_nano")
        ("joint, mixed's budget", 'vit_nano')
    """
    return regime_style(str(value)).label if column == "regime" else str(value)


def regime_order(names: Iterable[str]) -> list[str]:
    """The different names in the order of every legend: the paper's regimes first, then the others by name.

    Example:
        >>> regime_order(["mixed", "branch_wise", "joint", "mixed"])
        ['joint', 'mixed', 'branch_wise']
    """
    known = list(_REGIMES)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), str(name)))


def use_style() -> None:
    """Set matplotlib's rcParams for the book: readable on white, SVG files the same on every run."""
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "path",  # letters as outlines: the same on every reader's machine
            "svg.hashsalt": "eecore",
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.figsize": (6.4, 4.0),
            "figure.dpi": 110,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.labelsize": 11,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.fontsize": 10,
            "legend.title_fontsize": 10,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "lines.linewidth": 1.8,
            "lines.markersize": 6,
        }
    )
