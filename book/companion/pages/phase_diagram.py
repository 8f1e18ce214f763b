"""Which parts of a network move in which phase of a regime: read off the regimes' data, drawn as SVG.

Axes: K exits.

A part is ("stem", 0), ("block", k) or ("head", k), k = 1..K. The drawing is static, so it prints; under a pointer or
the keyboard's focus, each phase explains itself.
"""

import html
from collections.abc import Callable, Sequence

from companion.pages.parts import web
from companion.plotting import regime_style
from eecore.errors import SettingError
from eecore.training import Phase, phases_of, regime
from eecore.training.phase_rules import branch_parts, moving_parts
from eecore.training.phases import UNFREEZING

__all__ = ["Part", "diagram", "explained", "states"]

Part = tuple[str, int]
MOVES, TIMES, FROZEN, OFF = "moves", "moves at times", "frozen", "off"
BLOCK, GAP, LEFT = 50, 12, 44  # of the drawing, in pixels


def states(phase: Phase, exits: int = 3) -> dict[Part, str]:
    """What each part of a network does in a phase.

    Args:
        phase: one phase of a regime.
        exits: K; the network has one block before each exit.
    Returns:
        "moves", "moves at times" (in some epochs or steps), "frozen" (used, and left as it is) or "off" (not used).
    Example:
        >>> states(Phase("heads", 5), exits=2)  # doctest: +NORMALIZE_WHITESPACE
        {('stem', 0): 'frozen', ('block', 1): 'frozen', ('block', 2): 'frozen', ('head', 1): 'moves',
         ('head', 2): 'frozen'}
    """
    backbone: list[Part] = [("stem", 0), *(("block", k + 1) for k in range(exits))]
    trained = phase.trained_exits(exits)
    heads = {("head", k + 1): MOVES if k in trained else OFF for k in range(exits)}
    if phase.rule == "alternating":
        heads |= {("head", k + 1): TIMES for k in trained[:-1]}
    if phase.trains == "heads":
        return dict.fromkeys(backbone, FROZEN) | {
            part: FROZEN if state == OFF else state for part, state in heads.items()
        }
    if phase.exit is not None:
        own = branch_parts(tuple(range(exits)), phase.exit)
        found = [MOVES if i in own else FROZEN if i < own.start else OFF for i in range(len(backbone))]
        return dict(zip(backbone, found, strict=True)) | heads
    found = [MOVES] * len(backbone)
    if phase.rule in UNFREEZING:
        first = moving_parts(len(backbone), phase.rule, 0, len(backbone))
        found = [MOVES if i in first else TIMES for i in range(len(backbone))]
    return dict(zip(backbone, found, strict=True)) | heads


RULES = {
    "alternating": "Every second step counts the last exit's loss alone: the early heads rest.",
    "gated": "An exit learns from the samples that no earlier exit solves confidently.",
    "detached": "The early heads learn, and the backbone learns nothing from them.",
    "unfreeze_top": "The parts near the output move from the start, the others join one after the other.",
    "unfreeze_bottom": "The parts near the input move from the start, the others join one after the other.",
    "every_head": "The last head moves, too.",
}


def explained(phase: Phase, exits: int = 3) -> str:
    """What moves in a phase, in words.

    Example:
        >>> explained(Phase("backbone", 1))
        'Moving: stem, blocks 1 to 3, head 3. Off: heads 1 to 2.'
    """
    found = states(phase, exits)
    said = []
    for state in (MOVES, TIMES, FROZEN, OFF):
        parts = [_named(kind, [k for (of, k), is_ in found.items() if of == kind and is_ == state]) for kind in KINDS]
        if any(parts):
            said.append(f"{WORDS[state]}: {', '.join(part for part in parts if part)}.")
    return " ".join([*said, *([RULES[phase.rule]] if phase.rule else [])])


KINDS = ("stem", "block", "head")
WORDS = {MOVES: "Moving", TIMES: "Moving at times", FROZEN: "Frozen", OFF: "Off"}


def _named(kind: str, numbers: Sequence[int]) -> str:
    if not numbers or kind == "stem":
        return "stem" if numbers else ""
    together = len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1
    said = f"{numbers[0]} to {numbers[-1]}" if together else ", ".join(map(str, numbers))
    return f"{kind}{'s' if len(numbers) > 1 else ''} {said}"


def diagram(regimes: Sequence[str], exits: int = 3) -> Callable[[str, str, str], str]:
    """The phases of regimes as drawings, for `Page.place`.

    Args:
        regimes: names, drawn from the top.
        exits: K of the network that is drawn, 2 to 4.
    Returns:
        A function of anchor, label and caption that gives HTML.
    Raises:
        SettingError: a regime is not known, or the network has another number of exits.
    """
    if not 2 <= exits <= 4:
        raise SettingError(f"exits: a network of 2 to 4 exits can be drawn, got {exits}")
    chains = {name: phases_of(name, 1, exits) for name in regimes}

    def made(anchor: str, label: str, caption: str) -> str:
        rows = "".join(_row(name, chain, exits, f"{anchor}-{name}") for name, chain in chains.items())
        return (
            f'<figure class="eecore-phases" id="{anchor}"><style>{web("phases.css")}</style>{_key()}{rows}'
            f"<figcaption><strong>{label}.</strong> {html.escape(caption)}</figcaption></figure>"
        )

    return made


def _row(name: str, chain: Sequence[Phase], exits: int, anchor: str) -> str:
    cells = []
    for i, phase in enumerate(chain):
        known, said = f"{anchor}-{i + 1}", html.escape(explained(phase, exits))
        title = f"{regime_style(name).label}, phase {i + 1} of {len(chain)}"
        long = f"{phase.epochs} × E epochs" if phase.epochs > 1 else "E epochs"
        cells.append(
            f'<div class="ph-phase" tabindex="0" role="group" aria-label="{html.escape(title, quote=True)}" '
            f'aria-describedby="{known}-tip">'
            f"{_drawn(phase, exits, title, said, known)}"
            f'<span class="ph-long">{_kind(phase)}, {long}</span>'
            f'<span class="ph-tip" id="{known}-tip">{said}</span></div>'
        )
    known = html.escape(regime(name).title)
    return (
        f'<div class="ph-regime"><p class="ph-name" title="{known}">{html.escape(regime_style(name).label)}</p>'
        f'<div class="ph-chain">{"".join(cells)}</div></div>'
    )


def _kind(phase: Phase) -> str:
    if phase.exit is not None:
        return f"branch to exit {phase.exit + 1}"
    number = {"backbone": "phase 1", "all": "phase 2", "heads": "phase 3"}[phase.trains]
    return number + (f" ({phase.rule.replace('_', ' ')})" if phase.rule else "")


def _drawn(phase: Phase, exits: int, title: str, said: str, known: str) -> str:
    found = states(phase, exits)
    wide = LEFT + exits * (BLOCK + GAP)
    shapes = [_box(2, 52, 38, 32, found["stem", 0], "stem")]
    for k in range(1, exits + 1):
        x = LEFT + (k - 1) * (BLOCK + GAP) + GAP // 2
        shapes += [
            _way(found["block", k], f"M{x - 10} 68H{x - 2}"),
            _way(found["head", k], f"M{x + BLOCK // 2} 52V38"),
            _box(x, 52, BLOCK, 32, found["block", k], f"block {k}"),
            _box(x, 6, BLOCK, 30, found["head", k], f"head {k}", round_=12),
        ]
    return (
        f'<svg role="img" viewBox="0 0 {wide} 90" width="{wide}" height="90" aria-labelledby="{known}-t {known}-d">'
        f'<title id="{known}-t">{html.escape(title)}</title><desc id="{known}-d">{said}</desc>{"".join(shapes)}</svg>'
    )


def _way(state: str, d: str) -> str:
    return f'<path class="ph-way{" ph-none" if state == OFF else ""}" d="{d}"/>'


def _box(x: int, y: int, width: int, height: int, state: str, text: str, round_: int = 5) -> str:
    kind = {MOVES: "moves", TIMES: "times", FROZEN: "frozen", OFF: "off"}[state]
    middle = f'x="{x + width / 2:g}" y="{y + height / 2 + 4:g}"'
    return (
        f'<rect class="ph-{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_}"/>'
        f'<text class="ph-on-{kind}" {middle} text-anchor="middle">{text}</text>'
    )


def _key() -> str:
    """What the four looks of a part mean."""
    items = []
    for state, words in ((MOVES, "moves"), (TIMES, "moves at times"), (FROZEN, "frozen"), (OFF, "off: not used")):
        box = _box(1, 1, 30, 16, state, "")
        items.append(
            f'<span><svg viewBox="0 0 32 18" width="32" height="18" aria-hidden="true">{box}</svg> {words}</span>'
        )
    return f'<p class="ph-key">{"".join(items)}</p>'
