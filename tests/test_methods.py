"""Methods are data: every part that one names is there, or is marked as not available."""

import dataclasses

import pytest
from test_cli import run

from eecore import inference, ingredients, methods, models, training
from eecore.errors import SettingError
from eecore.models import heads
from eecore.training.objectives import DISTILLATIONS, GRADIENTS, WEIGHTS

# a network that each method fits, with exits enough
FITS = {
    "sdn": "resnet20",
    "pbee": "vit_nano",
    "gpf": "vit_nano",
    "ztw": "resnet20",
    "l2w": "msdnet5",
    "msdnet": "msdnet5",
    "dsn": "resnet_nano",
    "ge": "msdnet5",
}


def test_every_method_is_made_of_parts_that_are_there():
    frame = methods.table().set_index("method")
    assert list(frame.index) == list(methods.METHODS) == list(FITS)
    for name, one in methods.METHODS.items():
        assert all(frame.loc[name, kind] == getattr(one, kind) for kind in ingredients.KINDS)
        assert one.source
        assert one.differs


def test_every_part_is_in_the_library():
    assert [part.name for part in ingredients.parts("rule")] == list(inference.exit_rules())
    for part in ingredients.parts("regime"):
        assert part.source
        assert training.phases_of(part.name, 1, exits=4)
    assert {part.name.partition(":")[0].partition(",")[0] for part in ingredients.parts("head")} == {
        name.partition(":")[0] for name in heads.names()
    }


@pytest.mark.parametrize("name", FITS)
def test_regime_head_and_places_make_a_network(name):
    one = methods.method(name)
    shape = {"kind": "image", "shape": (3, 32, 32), "classes": 10}
    found = models.describe(FITS[name], **shape, head=one.head, exits=one.exits)
    assert len(found["exits"]) > 2
    assert training.phases_of(one.regime, 3)


def test_objectives_are_those_that_a_recipe_takes():
    for kind, known in (("weights", WEIGHTS), ("gradients", GRADIENTS), ("distillation", DISTILLATIONS)):
        assert {part.name for part in ingredients.parts(kind)} - {"none"} == set(known)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regime": "joined"}, "^regime: 'joined' is not known; did you mean 'joint'"),
        ({"rule": "patients"}, "^rule: 'patients' is not known; did you mean 'patience'"),
        ({"weights": "unifrom"}, "^weights: 'unifrom' is not known; did you mean 'uniform'"),
        ({"gradients": "pcgrd"}, "^gradients: .*did you mean 'pcgrad'"),
        ({"distillation": "lats"}, "^distillation: .*did you mean 'last'"),
        ({"head": "poled"}, "^head: .*did you mean 'pooled'"),
        ({"exits": "evry"}, "^exits: .*did you mean 'every'"),
    ],
)
def test_a_part_that_nobody_knows_is_one_line(change, message):
    with pytest.raises(SettingError, match=message) as caught:
        dataclasses.replace(methods.method("sdn"), **change)
    assert "\n" not in str(caught.value)


def test_wrong_names():
    with pytest.raises(SettingError, match=r"^method: 'stn' is not known; did you mean 'sdn'"):
        methods.method("stn")
    with pytest.raises(SettingError, match=r"^kind: 'heads' is not known; did you mean 'head'"):
        ingredients.parts("heads")


def test_the_command_lists_everything_with_its_source(capsys, monkeypatch):
    status, out, _ = run(capsys, monkeypatch, "methods")
    assert status == 0
    for kind, title in ingredients.KINDS.items():
        assert title in out
        for part in ingredients.parts(kind):
            line = next(row for row in out.splitlines() if part.name in row and part.title in row)
            assert part.source in line
    for name, one in methods.METHODS.items():
        assert f"{name}: {one.differs}" in out.splitlines()
        assert any(one.title in row and one.source in row for row in out.splitlines())
    _, out, _ = run(capsys, monkeypatch, "methods", "--only", "heads")
    assert "cascade:HEAD" in out
    assert "pcgrad" not in out
    status, _, err = run(capsys, monkeypatch, "methods", "--only", "head")
    assert status == 1
    assert err.strip() == (
        "eecore: only: 'head' is not known; did you mean 'heads'? Known: regimes, exit rules, heads, "
        "places of the exits, loss weights, gradient rules, distillations, methods"
    )
