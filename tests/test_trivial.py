"""TrivialAugment against the Python imaging library, image by image, and against counts.

Axes: M images, C channels, H height, W width.
"""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from eecore.data import augment, augmentations, colours, mix
from eecore.data.trivial import AFFINE, OPERATIONS, coordinates, transform, trivial_augment
from eecore.errors import SettingError

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(number: int = 6, height: int = 16, width: int = 24) -> Tensor:
    """Levels of 1/255 between 30 and 200, in smooth patches, so that histograms have gaps."""
    coarse = torch.randint(30, 200, (number, 3, height // 4, width // 4), generator=generator(1)).float()
    fine = torch.randint(-20, 21, (number, 3, height, width), generator=generator(2))
    return (coarse.repeat_interleave(4, 2).repeat_interleave(4, 3) + fine).clamp(0, 255).round() / 255


def to_pil(x: Tensor) -> Image.Image:
    return Image.fromarray((x * 255).round().byte().permute(1, 2, 0).numpy())


def from_pil(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


FACTORS = (0.01, 0.5, 1.0, 1.6, 1.99)
ENHANCED: list[tuple[Callable, Callable]] = [
    (colours.brightness, ImageEnhance.Brightness),
    (colours.saturation, ImageEnhance.Color),
    (colours.contrast, ImageEnhance.Contrast),
    (colours.sharpness, ImageEnhance.Sharpness),
]


@pytest.mark.parametrize(("ours", "theirs"), ENHANCED)
def test_enhancements_are_the_imaging_librarys_to_a_level_of_rounding(ours, theirs):
    x = images(len(FACTORS))
    changed = ours(x, torch.tensor(FACTORS))
    for image, factor, got in zip(x, FACTORS, changed, strict=True):
        expected = from_pil(theirs(to_pil(image)).enhance(factor))
        assert (got - expected).abs().max() <= 2.01 / 255, factor  # they round grey to whole levels, then blend
    torch.testing.assert_close(changed[2], x[2])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: colours.equalize(x), ImageOps.equalize),
        (lambda x: colours.posterize(x, torch.full((len(x),), 3.0)), lambda image: ImageOps.posterize(image, 3)),
        (lambda x: colours.posterize(x, torch.full((len(x),), 8.0)), lambda image: image),
        (lambda x: colours.solarize(x, torch.full((len(x),), 100 / 255)), lambda image: ImageOps.solarize(image, 100)),
    ],
)
def test_operations_on_levels_are_exactly_the_imaging_librarys(ours, theirs):
    x = images(4, 64, 64)
    expected = torch.stack([from_pil(theirs(to_pil(image))) for image in x])
    torch.testing.assert_close(ours(x), expected, atol=1e-6, rtol=0)


def test_autocontrast_is_the_imaging_librarys_to_a_level():
    x = images(4)
    x[0, 1] = 0.4  # a channel of one level stays
    expected = torch.stack([from_pil(ImageOps.autocontrast(to_pil(image))) for image in x])
    got = colours.autocontrast(x)
    assert (got - expected).abs().max() <= 1.01 / 255
    assert torch.equal(got[0, 1], x[0, 1])


def test_equalize_of_few_levels_and_of_one_leaves_the_channel():
    x = torch.full((1, 1, 4, 4), 0.25)
    assert torch.equal(colours.equalize(x), x)


def test_grey_images_have_no_colour_to_lose():
    x = images(2)[:, :1]
    torch.testing.assert_close(colours.saturation(x, torch.tensor([0.01, 1.9])), x)


def test_affine_operations_by_hand():
    x = torch.zeros(5, 1, 5, 5)
    x[:, 0, 1, 2] = 1.0  # one pixel above the middle
    strength = torch.tensor([0.0, 0.0, 1 / 5, -2 / 5, 90 / 135])
    moved = transform(x, coordinates(strength, 1, 5, 5))
    places = [tuple(image[0].nonzero()[0].tolist()) for image in moved]
    # value at p comes from p + move: 1 to the right is taken to the left, -2 from above goes down
    assert places == [(1, 2), (1, 2), (1, 1), (3, 2), (2, 1)]
    sheared = transform(x[:1], torch.tensor([[[1.0, 0.99, 0.0], [0.0, 1.0, 0.0]]]))
    assert sheared[0, 0].nonzero().tolist() == [[1, 3]]  # a row above the middle is moved by a pixel


def test_affine_maps_against_a_loop_over_pixels():
    x = torch.rand(10, 2, 7, 9, generator=generator())
    strength = torch.rand(10, generator=generator(1)) * 2 - 1
    maps = coordinates(strength, 2, 9, 7)
    moved = transform(x, maps)
    for m, row, column in itertools.product(range(10), range(7), range(9)):
        source = maps[m].double() @ torch.tensor([column - 4.0, row - 3.0, 1.0], dtype=torch.float64)
        at_column, at_row = float(source[0]) + 4, float(source[1]) + 3
        if abs(at_column % 1 - 0.5) < 1e-3 or abs(at_row % 1 - 0.5) < 1e-3:
            continue  # as near to one pixel as to the next
        inside = 0 <= round(at_column) < 9 and 0 <= round(at_row) < 7
        expected = x[m, :, round(at_row), round(at_column)] if inside else torch.zeros(2)
        assert torch.equal(moved[m, :, row, column], expected)


def test_strength_zero_moves_nothing_bit_for_bit():
    x = torch.randn(10, 3, 8, 12, generator=generator())
    assert torch.equal(transform(x, coordinates(torch.zeros(10), 2, 12, 8)), x)
    assert len(AFFINE) == 5


def test_every_operation_has_its_share_of_a_batch_and_identity_keeps_the_bits():
    assert len(OPERATIONS) == 14
    x = ((images(1) - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)).expand(140, 3, 16, 24)
    y = trivial_augment(x, generator(), MEAN, STD)
    kept = int((y == x).flatten(1).all(dim=1).sum())
    assert 10 <= kept <= 60  # the 10 of identity, and strengths and operations that change nothing
    assert len({image.numpy().tobytes() for image in y}) > 60


def test_samples_stay_in_their_place():
    x = torch.arange(30.0).view(30, 1, 1, 1) / 30 * torch.ones(30, 3, 8, 8)
    normalised = (x - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1)
    same = 0
    for seed in range(40):
        y = trivial_augment(normalised, generator(seed), MEAN, STD)
        same += torch.isclose(y, normalised, atol=1e-5).flatten(1).all(dim=1)
    assert int(same.min()) > 0  # each image came out unchanged at least once; a mix-up of places would not let it


@pytest.mark.parametrize("size", [0, 1, 5, 14, 15])
def test_small_batches(size):
    x = torch.randn(size, 3, 8, 8, generator=generator())
    y = augment(x, "trivial", generator(), MEAN, STD)
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_the_seed_decides_and_the_global_stream_does_not():
    x, before = torch.randn(30, 3, 8, 8, generator=generator()), torch.random.get_rng_state()
    first = augment(x, "trivial", generator(3), MEAN, STD)
    assert torch.equal(first, augment(x, "trivial", generator(3), MEAN, STD))
    assert not torch.equal(first, augment(x, "trivial", generator(4), MEAN, STD))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_does_not_fit_is_said_in_one_line():
    with pytest.raises(SettingError, match="needs mean and std"):
        augment(torch.zeros(2, 3, 8, 8), "trivial", generator())
    with pytest.raises(SettingError, match=r"'trivial' needs floating-point \(B, C, H, W\), got"):
        augment(torch.zeros(2, 3, 8), "trivial", generator(), MEAN, STD)
    with pytest.raises(SettingError, match=r"'erase' needs floating-point \(B, C, H, W\), got"):
        augment(torch.zeros(2, 3, 8), "erase", generator())
    assert augmentations("tokens") == ["none", "drop_words", "drop_many_words"]
    assert "trivial" in augmentations("image")
    assert "trivial" not in augmentations("sequence")


def test_erasing_fills_one_rectangle_of_every_other_image():
    x = torch.full((4000, 2, 16, 16), 7.0)
    y = augment(x, "erase", generator())
    changed = (y != x).any(dim=1)
    touched = changed.flatten(1).any(dim=1)
    assert 0.45 < touched.double().mean() < 0.55
    area = changed[touched].flatten(1).double().mean(dim=1)
    assert 0.01 < area.min() < area.max() < 0.45
    assert abs(area.mean() - 0.21) < 0.02
    for mask in changed[touched][:200]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])
        assert int(rows.int().diff().abs().sum()) <= 2
    noise = y[y != x]
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02


@pytest.mark.parametrize("name", augmentations("image"))
def test_nothing_waits_for_the_host(name):
    """Tensors without values: an operation that would have to look at one cannot go on."""
    random = generator()
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, y = torch.rand(32, 3, 8, 8), torch.zeros(32, dtype=torch.int64)
        mixed, target = mix(augment(x, name, random, torch.rand(3), torch.rand(3) + 1), y, random, 0.8, 1.0)
        assert mixed.shape == x.shape
        assert target.share.shape == y.shape
        with pytest.raises(DataDependentOutputException):
            x.sum().item()
