"""Rules for conflicting gradients beside another implementation: torchjd, where it is installed."""

import pytest
import torch

from eecore.training.objectives import cagrad, pcgrad

pytestmark = pytest.mark.torchjd


@pytest.mark.parametrize("seed", range(30))
def test_pcgrad_is_that_of_torchjd(seed):
    from torchjd.aggregation import PCGrad

    draw = torch.Generator().manual_seed(seed)
    count = 2 + seed % 6
    rows = torch.randn(count, 12, generator=draw, dtype=torch.float64)
    torch.manual_seed(seed)
    orders = [torch.randperm(count).tolist() for _ in range(count)]
    torch.manual_seed(seed)  # it draws its orders in the same way
    torch.testing.assert_close(pcgrad(rows @ rows.T, orders) @ rows, PCGrad()(rows))


def test_without_conflict_both_are_the_sum():
    from torchjd.aggregation import PCGrad

    rows = torch.rand(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(PCGrad()(rows), rows.sum(dim=0))
    torch.testing.assert_close(pcgrad(rows @ rows.T, [[0, 1, 2, 3]] * 4) @ rows, rows.sum(dim=0))
    torch.testing.assert_close(cagrad(rows @ rows.T, c=0.0) @ rows, rows.sum(dim=0))
