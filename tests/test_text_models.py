"""Text models: padding changes nothing, pieces are means, marks say which words two texts share.

Axes: B batch, S tokens, P pieces, D features.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eecore import data, models
from eecore.errors import SettingError
from eecore.models import heads, text, vit
from eecore.special import FIRST, PADDING, SEPARATOR, UNKNOWN
from eecore.training import Recipe
from eecore.training.recipes_text import RECIPES

VOCABULARY = 40


def build(name: str = "text_small", length: int = 12, **settings: object) -> models.MultiExit:
    """A small text model, in eval mode."""
    data = {"kind": "tokens", "shape": (length,), "classes": 5, "vocabulary": VOCABULARY}
    return models.build(name, **data | settings).eval()


def texts(*lengths: int, length: int = 12, seed: int = 0) -> Tensor:
    """Random texts of so many tokens, ended and padded."""
    x = torch.full((len(lengths), length), PADDING)
    draw = torch.Generator().manual_seed(seed)
    for row, used in zip(x, lengths, strict=True):
        row[: used - 1] = torch.randint(FIRST, VOCABULARY, (used - 1,), generator=draw)
        row[used - 1] = SEPARATOR
    return x


@pytest.mark.parametrize("name", list(text.MODELS))
def test_every_way_to_run_a_text_model_gives_the_same_logits(name: str) -> None:
    model, x = build(name, exits="every:2"), texts(1, 5, 12, 7)
    with torch.no_grad():
        logits = model(x)
        inputs, state = model.head_inputs(x), x
        for k, head in enumerate(model.heads):
            state = model.advance(state, k)
            assert torch.equal(head(state), logits[k])
            assert torch.equal(head.classify(head.reduce(state)), logits[k])
            assert torch.equal(model.forward_to(x, k), logits[k])
            assert all(torch.equal(a, b) for a, b in zip(inputs[k], state, strict=True))
        left = models.rows(model.advance(x, 0), torch.tensor([True, False, True, False]))
        torch.testing.assert_close(model.heads[1](model.advance(left, 1)), logits[1][::2], rtol=1e-4, atol=1e-5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", list(text.MODELS))
def test_all_parameters_get_a_gradient(name: str) -> None:
    model = build(name)
    model(texts(3, 12)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.stem.tokens.weight[PADDING].eq(0).all()
    assert model.stem.tokens.weight.grad[PADDING].eq(0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 50))
def test_what_stands_behind_the_end_changes_nothing(used: int, seed: int) -> None:
    """The text alone, without its padding, through the same weights."""
    x = texts(used, seed=seed)
    model = build()
    with torch.no_grad():
        padded = model.block_outputs(x)
        there, vectors = model.stem(x)
        alone = vectors[:, :used]
        assert there.tolist() == [[True] * used + [False] * (12 - used)]
        for block, (_, tokens) in zip(model.blocks, padded, strict=True):
            alone = block(alone)  # no mask at all
            torch.testing.assert_close(tokens[:, :used], alone, rtol=1e-4, atol=1e-5)
        head = model.heads[-1]
        torch.testing.assert_close(head(padded[-1]), head(alone), rtol=1e-4, atol=1e-5)


def test_a_text_of_nothing_but_padding_gives_numbers() -> None:
    assert build()(torch.zeros(2, 12, dtype=torch.int64)).isfinite().all()


def test_attention_with_a_mask_by_hand() -> None:
    attention = vit.Attention(8, 2)
    x, there = torch.randn(3, 5, 8), torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    query, key, value = attention.qkv(x).split(8, dim=2)
    expected = torch.zeros(3, 5, 8)
    for b in range(3):
        for part in (slice(0, 4), slice(4, 8)):
            score = query[b, :, part] @ key[b, there[b]][:, part].T / 2  # root of 4 features
            expected[b, :, part] = score.softmax(1) @ value[b, there[b]][:, part]
    torch.testing.assert_close(attention(x, there), attention.out(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("length", "piece", "pieces"), [(64, 1, 64), (65, 5, 13), (100, 7, 15), (256, 16, 16)])
def test_a_piece_is_the_mean_of_its_tokens(length: int, piece: int, pieces: int) -> None:
    stem = text.Embedding(length, VOCABULARY, 8, dropout=0.0)
    assert (stem.piece, len(stem.position)) == (piece, pieces)
    x = texts(1, 30, length, length=length)
    there, vectors = stem(x)
    for row, row_there, row_vectors in zip(x, there, vectors, strict=True):
        for p in range(pieces):
            present = [token for token in row[p * piece : (p + 1) * piece].tolist() if token != PADDING]
            assert row_there[p] == bool(present)
            mean = stem.tokens.weight[present].mean(0) if present else torch.zeros(8)
            torch.testing.assert_close(row_vectors[p], mean + stem.position[p])


def test_a_window_sees_so_many_neighbours_and_no_padding() -> None:
    stem = text.Embedding(12, VOCABULARY, 8, dropout=0.0, window=5)
    x = texts(9)
    _, before = stem(x)
    vectors = [torch.zeros(8)] * 2 + list(stem.tokens.weight[x[0]]) + [torch.zeros(8)] * 2
    for i in range(9):
        expected = stem.neighbours(torch.stack(vectors[i : i + 5], dim=1).flatten()) + stem.position[i]
        torch.testing.assert_close(before[0, i], expected, rtol=1e-4, atol=1e-5)
    x[0, 4] = FIRST + (x[0, 4] - FIRST + 1) % (VOCABULARY - FIRST)
    _, after = stem(x)
    assert (before[0] != after[0]).any(1).nonzero().flatten().tolist() == [2, 3, 4, 5, 6]


def test_vectors_start_small_where_they_are_averaged() -> None:
    long, short = (text.Embedding(length, 5000, 64, dropout=0.0).tokens.weight for length in (65, 64))
    assert short.std().item() == pytest.approx(0.1, rel=0.02)
    assert long.std().item() == pytest.approx(0.01, rel=0.02)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_marks_against_a_plain_loop(row: list[int]) -> None:
    end = row.index(SEPARATOR) if SEPARATOR in row else len(row)
    first, second = set(row[: end + 1]), set(row[end + 1 :])
    expected = []
    for i, token in enumerate(row):
        other = second if i <= end else first
        expected.append(2 * (i > end) + (token in other and token not in (PADDING, UNKNOWN, SEPARATOR)))
    assert text.marks(torch.tensor([row])).tolist() == [expected]


def test_dropout_is_for_training_alone() -> None:
    model, x = build(), texts(5, 12)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
    assert [type(block.drop).__name__ for block in build("text_nano").blocks] == ["Identity"] * 6


def test_dropout_leaves_the_expected_share() -> None:
    stem = text.Embedding(12, VOCABULARY, 64, dropout=0.2).train()
    zeros = (stem(texts(*[12] * 200))[1] == 0).float().mean().item()
    assert zeros == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize("name", list(text.MODELS))
def test_other_data_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name} needs tokens, image came$"):
        build(name, kind="image", shape=(3, 8, 8), vocabulary=0)
    with pytest.raises(SettingError, match=r"^vocabulary: .* needs 2 different tokens or more, 0 came$"):
        build(name, vocabulary=0)
    with pytest.raises(SettingError, match="'pooled' needs a feature map"):
        build(name, head="pooled")


def test_a_sequence_still_goes_through_the_same_blocks() -> None:
    """A block without a mask is what it was: tokens in, tokens out."""
    block = vit.Block(8, 2, 2).eval()
    x = torch.randn(2, 5, 8)
    everywhere = block((torch.ones(2, 5, dtype=torch.bool), x))
    torch.testing.assert_close(everywhere[1], block(x), rtol=1e-4, atol=1e-5)
    assert heads.build("linear", "tokens", (5, 8), 3)(everywhere).shape == (2, 3)


@pytest.mark.parametrize(("model", "dataset"), list(RECIPES))
def test_recipes_are_recipes_for_what_there_is(model: str, dataset: str) -> None:
    assert model in text.MODELS
    assert dataset in data.names()
    values = dict(RECIPES[model, dataset])
    assert int(values.pop("epochs")) > 0
    assert values.pop("augment", "none") in data.augmentations("tokens")
    Recipe(**values)
