"""Augmentation against a plain loop: every sample is a window of its own zero-padded original.

Axes: B batch, C channels, H height, W width, L length.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eecore.data import augment, augmentations
from eecore.errors import SettingError

SHAPES = [(12, 1, 8, 8), (12, 3, 16, 24), (12, 2, 40)]


def random_batch(shape: tuple[int, ...]) -> Tensor:
    """Values that occur once each, so that a window tells where it was cut."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reach(name: str, side: int) -> int:
    """How far a side may be moved, in pixels."""
    return side // 8 if name == "shift" else 4


def places(original: Tensor, changed: Tensor, name: str) -> list[tuple[int, int, bool]]:
    """Slow twin: every (row shift, column shift, mirrored) that turns one image into the other."""
    _, height, width = original.shape
    down = reach(name, height) if height > 1 else 0
    right = reach(name, width)
    padded = F.pad(original, (right, right, down, down))
    found = []
    for row in range(2 * down + 1):
        for column in range(2 * right + 1):
            window = padded[:, row : row + height, column : column + width]
            for mirrored in (False, True) if name == "crop_flip" else (False,):
                if torch.equal(window.flip(-1) if mirrored else window, changed):
                    found.append((row - down, column - right, mirrored))
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["shift", "crop_flip"])
def test_each_sample_is_a_window_of_its_original(name: str, shape: tuple[int, ...]) -> None:
    x = random_batch(shape)
    before = x.clone()
    y = augment(x, name, generator())
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert torch.equal(x, before)
    for original, changed in zip(x, y, strict=True):
        image = original.view(shape[1], -1, shape[-1]) if len(shape) == 4 else original[:, None]
        assert len(places(image, changed.view(image.shape), name)) == 1


@pytest.mark.parametrize("name", ["shift", "crop_flip"])
def test_every_place_occurs_and_samples_differ(name: str) -> None:
    x = random_batch((1, 1, 8, 8)).expand(4000, 1, 8, 8)
    y = augment(x, name, generator())
    distinct = len({row.numpy().tobytes() for row in y})
    assert distinct == {"shift": 3 * 3, "crop_flip": 2 * 9 * 9}[name]


def test_windows_are_uniform() -> None:
    x = random_batch((1, 1, 40)).expand(11_000, 1, 40)
    _, counts = torch.unique(augment(x, "shift", generator()), dim=0, return_counts=True)
    assert len(counts) == 11  # -5..5
    chi_square = ((counts - 1000.0) ** 2 / 1000).sum()
    assert chi_square < 29.6  # 0.1 % point at 10 degrees of freedom


@pytest.mark.parametrize("name", ["shift", "crop_flip"])
def test_the_seed_decides_and_the_global_stream_does_not(name: str) -> None:
    x = random_batch((12, 1, 8, 8))
    state = torch.random.get_rng_state()
    first = augment(x, name, generator(3))
    torch.rand(5)
    assert torch.equal(first, augment(x, name, generator(3)))
    assert not torch.equal(first, augment(x, name, generator(4)))
    torch.random.set_rng_state(state)
    augment(x, name, generator(3))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_is_shifted_in_is_zero() -> None:
    y = augment(torch.ones(200, 1, 1, 40), "shift", generator())
    zeros = (y == 0).sum(dim=(1, 2, 3))
    assert int(zeros.max()) == 5
    assert int(zeros.min()) == 0


def test_none_gives_the_batch_itself_tokens_too() -> None:
    tokens = torch.zeros(3, 5, dtype=torch.int64)
    assert augment(tokens, "none", generator()) is tokens
    assert augmentations()[0] == "none"


def test_short_sides_and_empty_batches() -> None:
    x = random_batch((5, 2, 7))
    assert torch.equal(augment(x, "shift", generator()), x)
    assert augment(x[:0], "crop_flip", generator()).shape == (0, 2, 7)


def test_errors_teach() -> None:
    with pytest.raises(SettingError, match="did you mean 'shift'"):
        augment(torch.zeros(1, 1, 8), "shfit", generator())
    with pytest.raises(SettingError, match="needs floating-point"):
        augment(torch.zeros(3, 5, dtype=torch.int64), "shift", generator())
    with pytest.raises(SettingError, match="needs floating-point"):
        augment(torch.zeros(3, 1, 5, dtype=torch.int64), "shift", generator())
    with pytest.raises(SettingError, match="generator is on cpu, the batch on meta"):
        augment(torch.zeros(3, 1, 8, device="meta"), "shift", generator())
