"""The reference: a training loop as anyone would write it first.

A DataLoader, float32 as it lies, AdamW as torch gives it, every head that is trained in one summed loss. Where the
backbone is frozen it is run again in every step. It trains the same networks as eecore, so that the two loops differ
in nothing but the loop.
"""

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from eecore.models import MultiExit


def trained_parameters(model: MultiExit, trains: str) -> list[nn.Parameter]:
    """Freeze what the phase does not train; return the rest.

    Args:
        model: its parameters' flags are set.
        trains: "backbone", "all" or "heads", as in eecore's Phase.
    """
    model.requires_grad_(False)
    if trains == "heads":
        model.heads[:-1].requires_grad_(True)
    elif trains == "backbone":
        for part in (*model.backbone_modules(), model.heads[-1]):
            part.requires_grad_(True)
    else:
        model.requires_grad_(True)
    return [p for p in model.parameters() if p.requires_grad]


def loss_of(model: MultiExit, x: Tensor, y: Tensor, trains: str) -> Tensor:
    """Mean cross-entropy of the exits that the phase trains."""
    if trains == "backbone":
        return F.cross_entropy(model.forward_to(x, model.n_exits - 1), y)
    logits = model(x)
    if trains == "heads":
        logits = logits[:-1]
    return torch.stack([F.cross_entropy(exit_logits, y) for exit_logits in logits]).mean()


def train(
    model: MultiExit,
    x: Tensor,
    y: Tensor,
    trains: str,
    *,
    epochs: int = 1,
    batch_size: int = 100,
    lr: float = 2e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
) -> list[float]:
    """Train in place, with the threads that torch has.

    Args:
        model: on the CPU.
        x, y: the training samples.
        trains: "backbone", "all" or "heads".
        epochs, batch_size, lr, weight_decay: as usual; the incomplete last batch is left out.
        seed: decides the order of the samples.
    Returns:
        Seconds of each epoch.
    """
    loader = DataLoader(
        TensorDataset(x, y),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    optimizer = torch.optim.AdamW(trained_parameters(model, trains), lr=lr, weight_decay=weight_decay)
    model.train()
    if trains == "heads":
        for part in (*model.backbone_modules(), model.heads[-1]):
            part.eval()
    took = []
    for _ in range(epochs):
        began = time.perf_counter()
        for inputs, labels in loader:
            loss = loss_of(model, inputs, labels, trains)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        took.append(time.perf_counter() - began)
    return took
