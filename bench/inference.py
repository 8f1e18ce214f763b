"""Inference that really stops: `predict` against the plain network, one sample and a batch, and what folding is worth.

The reference case is that of training: resnet_ref with pooled heads, images of 3 x 32 x 32, one thread. The plain
network is `model(x)`, which evaluates all exits and stops nowhere; its scores are not computed. Everything runs in
torch's inference mode, which makes both quicker. Thresholds are solved for the samples at hand, so that their mean cost
is what a row says; r is a fraction of the MACs of the network with all its exits.

Time is not proportional to MACs: early blocks, with few channels on large maps, take more of it than their share. What
a batch that leaves could take at best is therefore a row of its own ("their ways"). A whole batch of 256 takes up to
twice as long in a fresh process, which gives its memory back and gets it anew, as in one that has grown; batches of 64
feel that less.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.measure import Row, in_turn, ratios, row, timed
from bench.training import reference
from eecore.inference import exit_taken, folded, mean_macs, predict, score, solve
from eecore.models import MultiExit, exit_macs
from eecore.training.optim import torch_settings

COSTS = (0.3, 0.5, 0.8)
TOGETHER = 64  # samples that `predict` runs at once
WAYS = "for each sample the plain network as far as the exit where it leaves, with that head alone"


def quietly(work: Callable[[], object]) -> Callable[[], object]:
    """`work` in inference mode."""

    def run() -> object:
        with torch.inference_mode():
            return work()

    return run


def images(samples: int, side: int = 32) -> Tensor:
    """Noise."""
    return torch.randn(samples, 3, side, side, generator=torch.Generator().manual_seed(0))


def quick_copy(model: MultiExit) -> MultiExit:
    """Batch normalisation folded, channels last: the network as one would deploy it on a CPU."""
    return folded(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def one(repeats: int = 200, name: str = "resnet_ref") -> list[Row]:
    """One sample that leaves nowhere: what asking at every exit costs."""
    plain, x = reference(name).eval(), images(1)
    last = plain.n_exits - 1
    quick, x_last = quick_copy(plain), x.contiguous(memory_format=torch.channels_last)
    measured = {
        "plain": lambda: plain(x),
        "predict": lambda: predict(plain, x, threshold=1.0),
        "scored": lambda: score(plain(x)),
        "backbone": lambda: plain.forward_to(x, last),
        "first": lambda: predict(plain, x, threshold=0.0),
        "plain folded": lambda: quick(x_last),
        "predict folded": lambda: predict(quick, x_last, threshold=1.0),
    }
    with torch_settings(1):
        took = in_turn({title: timed(quietly(work)) for title, work in measured.items()}, repeats)
    same = ratios(took["predict"], took["plain"])
    scored = ratios(took["predict"], took["scored"])
    alone = ratios(took["predict"], took["backbone"])
    left = ratios(took["first"], took["backbone"])
    also = ratios(took["predict folded"], took["plain folded"])
    folding = ratios(took["plain"], took["plain folded"])
    return [
        row("batch 1, plain network, all exits", took["plain"], "s", "the reference"),
        row("batch 1, nobody leaves", same, "x", "plain network, all exits", "<= 1.03"),
        row("batch 1, nobody leaves, against scores too", scored, "x", "plain network, all exits and their scores"),
        row("batch 1, nobody leaves, against the backbone", alone, "x", "the backbone and its last head"),
        row("batch 1, leaves at the first exit", left, "x", "the backbone and its last head"),
        row("batch 1, nobody leaves, folded and channels last", also, "x", "the same network, all exits"),
        row("batch 1, folded and channels last, faster", folding, "x", "plain / folded"),
    ]


def batch(repeats: int = 7, samples: int = 256, name: str = "resnet_ref") -> list[Row]:
    """A batch that leaves at several exits, so that its mean cost is r: time as a fraction of the plain network's."""
    plain, x = reference(name).eval(), images(samples)
    macs = exit_macs(plain, (3, 32, 32), "image")
    quick, x_last = quick_copy(plain), x.contiguous(memory_format=torch.channels_last)
    with torch_settings(1), torch.inference_mode():
        scores = score(plain(x))
        limits = {r: solve(scores, macs, r * macs[-1]) for r in COSTS}
        taken = {r: exit_taken(scores, limit) for r, limit in limits.items()}
    spent = {r: mean_macs(exits, macs) / macs[-1] for r, exits in taken.items()}
    measured: dict[str, Callable[[], object]] = {
        "plain": lambda: plain(x),
        "plain in parts": lambda: [plain(part) for part in x.split(TOGETHER)],
        "backbone": lambda: plain.forward_to(x, plain.n_exits - 1),
        "folded in parts": lambda: [quick(part) for part in x_last.split(TOGETHER)],
    }
    for k in range(plain.n_exits):
        measured[f"to exit {k}"] = lambda k=k: [plain.forward_to(part, k) for part in x.split(TOGETHER)]
    for r, limit in limits.items():
        measured[f"{r}"] = lambda limit=limit: predict(plain, x, threshold=limit, batch_size=TOGETHER)
        measured[f"{r} folded"] = lambda limit=limit: predict(quick, x_last, threshold=limit, batch_size=TOGETHER)
    with torch_settings(1):
        took = in_turn({title: timed(quietly(work)) for title, work in measured.items()}, repeats)
    title, to_exits = f"batch {samples}", [took[f"to exit {k}"] for k in range(plain.n_exits)]
    rows = [row(f"{title}, plain network, all exits", took["plain"], "s", "the reference")]
    for r in COSTS:
        of_plain, name_r = ratios(took[f"{r}"], took["plain"]), f"{title}, r = {spent[r]:.2f}"
        rows.append(row(name_r, of_plain, "x", "plain network, whole batch; r + 0.10", f"<= {r + 0.1:.2f}"))
        rows.append(row(f"{name_r}, against the backbone", ratios(took[f"{r}"], took["backbone"]), "x", "whole batch"))
        shares = torch.bincount(torch.as_tensor(taken[r]), minlength=plain.n_exits) / samples
        ways = [sum(p * t for p, t in zip(shares.tolist(), turn, strict=True)) for turn in zip(*to_exits, strict=True)]
        rows.append(row(f"{name_r}, against their ways", ratios(took[f"{r}"], ways), "x", WAYS))
        parts = f"plain network, {TOGETHER} at a time too"
        rows.append(row(f"{name_r}, {TOGETHER} at a time", ratios(took[f"{r}"], took["plain in parts"]), "x", parts))
        also = ratios(took[f"{r} folded"], took["folded in parts"])
        rows.append(row(f"{name_r}, folded and channels last", also, "x", "the same network, as many at a time"))
    smaller = ratios(took["plain"], took["plain in parts"])
    folding = ratios(took["plain in parts"], took["folded in parts"])
    rows.append(row(f"{title}, {TOGETHER} at a time, faster", smaller, "x", "plain network, whole batch / in parts"))
    rows.append(row(f"{title}, folded and channels last, faster", folding, "x", "plain / folded, both in parts"))
    return rows
