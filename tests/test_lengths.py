"""Batches of texts of like length: no sample is lost, what is cut is padding, the weights are those of whole rows."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eecore import data, models
from eecore.errors import SettingError
from eecore.models import text
from eecore.special import FIRST, PADDING, SEPARATOR
from eecore.training import Phase, Recipe, Run, lengths, moving, recipes
from eecore.training.identity import prefix_keys
from eecore.training.lengths import TOGETHER, by_length, lengths_of, without_padding
from eecore.training.loop import epoch_batches, train_phase
from eecore.training.parallel import train_phase as train_on_processes
from eecore.training.recipe import check_recipe

RECIPE = Recipe(batch_size=20, lr=0.05, optimizer="sgd", batches="by_length")  # AdamW would make much of rounding


def batches_of(samples: int, size: int, seed: int = 0) -> list[Tensor]:
    return list(epoch_batches(samples, size, torch.Generator().manual_seed(seed)))


def network() -> models.MultiExit:
    info = data.info("synthetic_text")
    shape = {"shape": info.shape, "classes": info.classes, "vocabulary": info.vocabulary}
    return models.build("text_nano", kind="tokens", seed=0, **shape)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 7), st.integers(0, 9))
def test_the_same_samples_in_batches_of_the_same_size(samples: int, size: int, seed: int) -> None:
    plain = batches_of(samples, size, seed)
    known = torch.randint(0, 30, (samples,), generator=torch.Generator().manual_seed(seed))
    sorted_ = list(by_length(iter(plain), known))
    assert [len(batch) for batch in sorted_] == [len(batch) for batch in plain]
    for start in range(0, len(plain), TOGETHER):
        group, there = sorted_[start : start + TOGETHER], plain[start : start + TOGETHER]
        assert torch.cat(group).sort().values.equal(torch.cat(there).sort().values)
        spans = sorted((int(known[batch].min()), int(known[batch].max())) for batch in group)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))  # no two batches overlap in length


def test_their_order_is_random_and_theirs_alone() -> None:
    known = torch.arange(1000) % 40
    state = torch.get_rng_state()
    first, again = (list(by_length(iter(batches_of(1000, 20, seed=1)), known)) for _ in range(2))
    other = list(by_length(iter(batches_of(1000, 20, seed=2)), known))
    assert torch.get_rng_state().equal(state)
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(torch.stack(first), torch.stack(other))
    means = torch.stack([known[batch].float().mean() for batch in first])
    steps = means.diff()
    assert 0.3 < float((steps > 0).float().mean()) < 0.7  # neither ascending nor descending


def test_a_batch_is_cut_behind_its_longest_text_and_nowhere_else() -> None:
    x = torch.tensor([[5, 6, 0, 0], [7, 0, 8, 0], [0, 0, 0, 0]])
    assert lengths_of(x).tolist() == [2, 3, 0]
    assert without_padding(x).tolist() == [[5, 6, 0], [7, 0, 8], [0, 0, 0]]
    assert without_padding(x[2:]).shape == (1, 1)


def test_most_padding_goes_where_most_texts_are_short() -> None:
    draw = torch.Generator().manual_seed(0)
    known = torch.empty(4000).exponential_(1 / 10, generator=draw).long().clamp(1, 48)
    x = (torch.arange(48) < known[:, None]).long() * FIRST
    plain = batches_of(4000, 50)

    def places(batches: list[Tensor]) -> int:
        return sum(without_padding(x[batch]).numel() for batch in batches)

    words, shuffled, sorted_ = int(known.sum()), places(plain), places(list(by_length(iter(plain), known)))
    assert shuffled > 3.5 * words
    assert sorted_ < 1.15 * words


@pytest.mark.parametrize("name", list(text.MODELS))
@pytest.mark.parametrize("length", [12, 100])  # word by word, and in pieces
def test_logits_do_not_depend_on_the_padding_that_is_cut(name: str, length: int) -> None:
    model = models.build(name, kind="tokens", shape=(length,), classes=5, vocabulary=40, seed=0).eval()
    x = torch.full((3, length), PADDING)
    for row, used in enumerate((2, 5, 9)):
        x[row, :used] = torch.randint(FIRST, 40, (used,), generator=torch.Generator().manual_seed(row))
        x[row, used - 1] = SEPARATOR
    with torch.no_grad():
        cut = model(without_padding(x))
        torch.testing.assert_close(cut, model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trains", ["backbone", "heads", "all"])
@pytest.mark.parametrize("augmentation", ["none", "drop_words"])
def test_the_weights_are_those_of_whole_rows(trains: str, augmentation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, whole = network(), network()
    before = copy.deepcopy(cut.state_dict())
    drop = torch.zeros(20, 8)

    def forget(x: Tensor, name: str, *rest: object) -> Tensor:  # as many draws for a cut batch as for a whole one
        return torch.where((drop[:, : x.shape[1]] > 0) & (x >= FIRST), 1, x) if name == "drop_words" else x

    drop[::2, ::3] = 1
    monkeypatch.setattr(moving, "augment", forget)
    settled = {"seed": 3, "augmentation": augmentation}
    a = train_phase(cut, data.load("synthetic_text"), Phase(trains, 2), RECIPE, **settled)
    monkeypatch.setattr(moving, "without_padding", lambda x: x)
    b = train_phase(whole, data.load("synthetic_text"), Phase(trains, 2), RECIPE, **settled)
    assert max(float((before[name].double() - t.double()).abs().max()) for name, t in cut.state_dict().items()) > 1e-3
    for name, tensor in cut.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert a.history[-1]["train_loss"] == pytest.approx(b.history[-1]["train_loss"], rel=1e-4)


@pytest.mark.slow
def test_two_processes_meet_the_same_batches() -> None:
    one, two, dataset = network(), network(), data.load("synthetic_text")
    alone = train_phase(one, dataset, Phase("all", 2), RECIPE, seed=3)
    both = train_on_processes(two, dataset, Phase("all", 2), RECIPE, processes=2, seed=3)
    assert both.history[-1]["train_loss"] == pytest.approx(alone.history[-1]["train_loss"], rel=1e-4)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_order_decides_a_run() -> None:
    run = Run(dataset="synthetic_text", model="text_nano", regime="joint", epochs=1, recipe=RECIPE)
    shuffled = run.replace(recipe=Recipe(**{**RECIPE.model_dump(), "batches": "shuffled"}))
    assert set(prefix_keys(run)).isdisjoint(prefix_keys(shuffled))
    assert recipes.preset("text_small_sst2").recipe.batches == "by_length"
    assert lengths.__all__ == ["by_length", "lengths_of", "without_padding"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batches": "sorted"}, "batches: input should be 'shuffled' or 'by_length', got 'sorted'"),
        ({"batches": 3}, "batches: input should be 'shuffled' or 'by_length', got 3"),
        ({"batches": "by_length", "compile": True}, "batches: 'by_length' changes the length of texts at every step"),
    ],
)
def test_wrong_values_are_one_line(values: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        Recipe(**values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_have_no_length() -> None:
    with pytest.raises(SettingError, match="batches: 'by_length' does not fit digits, which has samples of kind image"):
        check_recipe(RECIPE, data.info("digits"))
