"""What moves in which phase: the drawing says what training really moves."""

import re
from html.parser import HTMLParser

import pytest
import torch

from companion.pages.phase_diagram import diagram, explained, states
from eecore.errors import SettingError
from eecore.training import Phase, Store, grid, phases_of, regimes, sweep

BUILT_IN = ["disjoint", "joint", "mixed", "joint_long", "full", "refit", "alternating", "branch_wise", "unfreeze_top",
            "unfreeze_bottom", "gated", "detached", "random_backbone"]  # fmt: skip


def parts(model):
    """The tensors of each part, running means of batch norm included."""
    stem, *blocks = model.backbone_modules()
    found = {("stem", 0): stem}
    found |= {("block", k + 1): block for k, block in enumerate(blocks)}
    found |= {("head", k + 1): head for k, head in enumerate(model.heads)}
    return {name: torch.cat([t.flatten().double() for t in part.state_dict().values()] or [torch.zeros(0)])
            for name, part in found.items()}  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_drawing_says_what_training_moves(tmp_path, name):
    run = grid(["synthetic"], ["mlp_nano"], [name], [0], epochs=6)[0]  # as many epochs as the backbone has parts
    result = sweep([run], Store(tmp_path), workers=1, progress=False)[0]
    exits = len(result.macs)
    for i, phase in enumerate(phases_of(name, 6, exits)):
        before, after = (parts(result.model(prefix=prefix)) for prefix in (i, i + 1))
        for part, state in states(phase, exits).items():
            if len(before[part]):  # a stem without parameters cannot move
                moved = not torch.equal(before[part], after[part])
                assert moved == state.startswith("moves"), (part, state, phase)


def test_moving_at_times_is_not_moving_always():
    assert states(Phase("all", 3, rule="unfreeze_top"))["block", 3] == "moves"
    assert states(Phase("all", 3, rule="unfreeze_top"))["stem", 0] == "moves at times"
    assert states(Phase("all", 3, rule="unfreeze_bottom"))["stem", 0] == "moves"
    assert states(Phase("all", 3, rule="alternating"))["head", 1] == "moves at times"
    assert set(states(Phase("all", 3)).values()) == {"moves"}


def test_a_branch_uses_only_what_lies_before_it():
    found = states(Phase("branch", 1, exit=1))
    assert [found[part] for part in [("stem", 0), ("block", 1), ("block", 2), ("block", 3)]] == [
        "frozen",
        "frozen",
        "moves",
        "off",
    ]
    assert [found["head", k] for k in (1, 2, 3)] == ["off", "moves", "off"]
    assert (
        explained(Phase("branch", 1, exit=1))
        == "Moving: block 2, head 2. Frozen: stem, block 1. Off: block 3, heads 1, 3."
    )


class _Shapes(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.drawn, self.phases, self.ids, self.described, self._look = [], 0, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.described += (values.get("aria-labelledby", "") + " " + values.get("aria-describedby", "")).split()
        self.phases += values.get("class") == "ph-phase"
        self._look = values["class"].removeprefix("ph-on-") if values.get("class", "").startswith("ph-on-") else None

    def handle_endtag(self, tag):
        self._look = None

    def handle_data(self, text):
        if self._look and text.strip():
            self.drawn.append((self._look, text))
        self._look = None


def test_every_part_of_every_phase_is_drawn_as_its_state():
    looks = {"moves": "moves", "moves at times": "times", "frozen": "frozen", "off": "off"}
    names = regimes()
    page = _Shapes(diagram(names)("figure-1", "Figure 1", "All."))
    wanted = []
    for name in names:
        for phase in phases_of(name, 1, 3):
            found = states(phase, 3)
            order = [("stem", 0), *((kind, k) for k in (1, 2, 3) for kind in ("block", "head"))]
            wanted += [(looks[found[p]], p[0] if p[0] == "stem" else f"{p[0]} {p[1]}") for p in order]
    assert page.drawn == wanted
    assert page.phases == sum(len(phases_of(name, 1, 3)) for name in names)


def test_a_drawing_says_in_words_what_it_shows_and_names_are_unique():
    text = diagram(["disjoint", "joint_long"])("figure-2-1", "Figure 2.1", "A <caption>.")
    page = _Shapes(text)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.described) <= set(page.ids)
    assert text.count('<svg role="img"') == 3
    assert len(re.findall(r"<title id=[^>]*>[^<]+</title><desc id=[^>]*>[^<]+</desc>", text)) == 3
    assert "phase 1, E epochs" in text
    assert "phase 2, 2 × E epochs" in text
    assert "A &lt;caption&gt;." in text
    assert text.count('tabindex="0"') == 3


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(SettingError, match=r"^exits: a network of 2 to 4 exits can be drawn, got 7$"):
        diagram(["joint"], exits=7)
    with pytest.raises(SettingError, match=r"^regime: 'mixd' is not known; did you mean 'mixed'"):
        diagram(["mixd"])
