"""The same drawing in fewer bytes: what nobody can see is left out of matplotlib's SVG.

Lengths are in points, of which an inch has 72. Lines lose the points that lie within THIN of the line through their
neighbours; positions are rounded, far below what a screen shows; names, letters and numbers are written short.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import quote

import numpy as np

__all__ = ["as_data_uri", "lighter", "thinned"]

THIN = 0.08  # points; a screen's pixel is 0.75
GLYPH = 0.15625  # of a letter's outline, whose own units are a tenth of that
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PAIRS = {"M": 1, "L": 1, "Q": 2, "C": 3}  # points that each command takes


def lighter(svg: str) -> str:
    """The drawing without comments, layout and unused names, its paths thinned and rounded.

    Args:
        svg: as matplotlib writes it.
    """
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to a group
    svg = re.sub(r'(<path id="DejaVuSans[^>]*?) d="([^"]*)" transform="scale\(0.015625\)"', _glyph, svg)
    svg = re.sub(r' d="(M [^"]*)"', _path, svg)
    svg = re.sub(r"translate\([^)]*\)| [xy]=\"[^\"]*\"", lambda found: _rounded(found.group(), 2), svg)
    svg = re.sub(r'(<use [^>]*?) transform="translate\((\S+) 0\)"/>', r'\1 x="\2"/>', svg)
    svg = re.sub(r' style="[^"]*"', lambda found: re.sub(r"([:;]) ", r"\1", found.group()), svg)
    svg = svg.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    svg = re.sub(r"\s*(<|/?>)\s*", r"\1", re.sub(r"\s+", " ", svg)).replace(" />", "/>")
    return _short_names(_classes(re.sub(r"<g>(<[^<>]*/>)</g>", r"\1", svg)))


def as_data_uri(svg: str) -> str:
    """An SVG as the address of a picture; a third shorter than with base64."""
    return "data:image/svg+xml," + quote(svg.replace('"', "'"), safe=" ',/:;=()!?*+@$[]{}|^~")


def thinned(points: np.ndarray, within: float = THIN) -> np.ndarray:
    """Which points of a line are needed so that no other lies farther than `within` from it.

    Args:
        points: (N, 2), in drawing order.
        within: a distance in the unit of the points.
    Returns:
        (N,) bool; the first and the last are always kept.
    Source:
        Douglas and Peucker 1973, Cartographica 10(2).
    Example:
        >>> thinned(np.array([[0.0, 0.0], [1.0, 0.01], [2.0, 0.0], [3.0, 5.0]])).tolist()
        [True, False, True, True]
    """
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    waiting = [(0, len(points) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        far = _distances(points[first + 1 : last], points[first], points[last])
        worst = int(far.argmax())
        if far[worst] > within:
            kept[first + 1 + worst] = True
            waiting += [(first, first + 1 + worst), (first + 1 + worst, last)]
    return kept


def _distances(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From the stretch between a and b."""
    way = b - a
    length = float(way @ way)
    along = np.clip((points - a) @ way / length, 0, 1) if length else np.zeros(len(points))
    return np.linalg.norm(points - a - along[:, None] * way, axis=1)


def _commands(d: str) -> Iterator[tuple[str, np.ndarray]]:
    """The commands of a path with absolute points (n, 2), n as in PAIRS; runs of "L" come as one."""
    for name, body in re.findall(r"([MLQCz])([^MLQCz]*)", re.sub(r"(?<=\d)\s+L(?=\s)", " ,", d)):
        # after M or L, further pairs are lines
        points = np.array(body.replace(",", " ").split(), dtype=float).reshape(-1, 2)
        if name == "M" and len(points) > 1:
            yield "M", points[:1]
            yield "L", points[1:]
        elif name in "QC" and len(points) > PAIRS[name]:
            yield name, points[: PAIRS[name]]
            yield "L", points[PAIRS[name] :]
        else:
            yield name, points


def _written(commands: Iterator[tuple[str, np.ndarray]], digits: int, thin: bool, scale: float = 1.0) -> str:
    """A path with relative points, each step from where rounding has brought the pen, so that errors do not add up."""
    out, pen, start, exact = [], np.zeros(2), np.zeros(2), np.zeros(2)
    for name, absolute in commands:
        if name == "z":
            out.append("z")
            pen = start
            continue
        points = absolute * scale
        if name == "L" and thin and len(points) > 2:
            points = points[thinned(np.vstack([exact, points]))[1:]]
        exact = points[-1]
        rounded = np.round(points, digits)
        if name == "M":
            out.append("M" + _numbers(rounded[0], digits))
            pen = start = rounded[0]
            continue
        size, steps = PAIRS[name], []
        for i in range(0, len(rounded), size):
            steps += list((rounded[i : i + size] - pen).ravel())
            pen = rounded[i + size - 1]
        out.append(name.lower() + _numbers(np.array(steps), digits))
    return "".join(out)


def _numbers(values: np.ndarray, digits: int) -> str:
    """Numbers without what SVG can do without: "1.5-.5 2"."""
    short: list[str] = []
    for value in values:
        text = f"{value:.{digits}f}"
        if digits:
            text = text.rstrip("0").rstrip(".")
        text = re.sub(r"^(-?)0\.", r"\1.", text)
        text = "0" if text in ("-0", "", "-") else text
        short.append(text if not short or text[0] == "-" else f" {text}")
    return "".join(short)


def _path(found: re.Match[str]) -> str:
    d = found.group(1)
    digits = 2 if d.count(" ") < 40 else 1
    return f' d="{_written(_commands(d), digits, thin=True)}"'


def _glyph(found: re.Match[str]) -> str:
    outline = _written(_commands(found.group(2)), 0, thin=False, scale=0.1)
    return f'{found.group(1)} d="{outline}" transform="scale({GLYPH})"'


def _rounded(text: str, digits: int) -> str:
    return re.sub(rf"(\.\d{{{digits}}})\d+", r"\1", text)


def _classes(svg: str) -> str:
    """A style that occurs again and again is said once, as a class."""
    counts = Counter(re.findall(r' style="([^"]*)"', svg))
    often = {style: _name(i) for i, style in enumerate(style for style, n in counts.items() if n > 2)}
    rules = "".join(f".{name}{{{style}}}" for style, name in often.items())
    svg = re.sub(r' style="([^"]*)"', lambda f: f' class="{often[f[1]]}"' if f[1] in often else f.group(), svg)
    return svg.replace("</style>", f"{rules}</style>", 1)


def _short_names(svg: str) -> str:
    names: dict[str, str] = {}
    for name in re.findall(r' id="([^"]*)"', svg):
        names.setdefault(name, _name(len(names)))

    def renamed(before: str, after: str) -> Callable[[re.Match[str]], str]:
        return lambda found: f"{before}{names.get(found.group(1), found.group(1))}{after}"

    svg = re.sub(r' id="([^"]*)"', renamed(' id="', '"'), svg)
    svg = re.sub(r'href="#([^"]*)"', renamed('href="#', '"'), svg)
    return re.sub(r"url\(#([^)]*)\)", renamed("url(#", ")"), svg)


def _name(number: int) -> str:
    """The n-th name: a, b, ..., Z, aa, ab, ..."""
    name = ALPHABET[number % len(ALPHABET)]
    return name if number < len(ALPHABET) else _name(number // len(ALPHABET) - 1) + name
