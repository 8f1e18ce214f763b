"""Analysis: seconds of what the book measures in trained networks, against limits or plain code.

N samples, D features, K exits, C classes, T thresholds.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.measure import Row, in_turn, ratios, row, timed
from eecore import models
from eecore.analysis.information_kde import kde_information, squared_distances
from eecore.analysis.landscape import evaluate, filter_normalised_direction, plane
from eecore.analysis.rank_tables import rank_table
from eecore.analysis.similarity import cka_matrix
from eecore.analysis.untouched import untouched
from eecore.inference import budgeted_batch, curve, exit_rules, exit_taken, make_rule, outcome, score, solve
from eecore.training.optim import torch_settings

FALLING = (8192, 8192, 4096, 4096, 2048, 2048, 1024, 1024)  # a ResNet whose stages halve features x positions
BUDGETS = 39  # MSDNet's own number of points on its curve


def blocks(widths: tuple[int, ...], samples: int, seed: int = 0) -> dict[str, Tensor]:
    """Activations as behind a ReLU, one matrix (N, D) for each block."""
    generator = torch.Generator().manual_seed(seed)
    return {f"block {i}": torch.randn(samples, d, generator=generator).relu() for i, d in enumerate(widths)}


def rank(repeats: int = 3, samples: int = 2000, falling: tuple[int, ...] = FALLING) -> list[Row]:
    """All ranks of 8 blocks, with as many threads as torch has."""
    widest = max(falling)
    rows = []
    for title, widths in {
        f"d {widest} to {min(falling)}": falling,
        f"all d = {widest}": (widest,) * len(falling),
    }.items():
        matrices = blocks(widths, samples)
        took = in_turn({"rank": timed(partial(rank_table, matrices))}, repeats, warm_up=False)
        name = f"rank, {len(widths)} blocks, n = {samples}, {title}"
        rows.append(row(name, took["rank"], "s", f"{torch.get_num_threads()} threads", "<= 5"))
    return rows


def landscape(repeats: int = 3, samples: int = 250, steps: int = 25, name: str = "resnet_nano") -> list[Row]:
    """A plane against as many evaluations of the network as it has points, one thread."""
    model = models.build(name, kind="image", shape=(1, 28, 28), classes=10).eval()
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(samples, 1, 28, 28, generator=generator), torch.randint(10, (samples,), generator=generator)
    directions = (filter_normalised_direction(model, generator), filter_normalised_direction(model, generator))

    def evaluations() -> None:
        with untouched(model):
            for _ in range(steps**2):
                evaluate(model, x, y)

    def surface() -> None:
        plane(model, x, y, directions, steps=steps)

    with torch_settings(1):
        took = in_turn({"plane": timed(surface), "plain": timed(evaluations)}, repeats, warm_up=False)
    added = ratios(took["plane"], took["plain"])
    return [row(f"plane, {steps} x {steps}", added, "x", f"{steps**2} plain evaluations", "<= 1.05")]


def cka(repeats: int = 3, samples: int = 2000, widths: tuple[int, ...] = FALLING) -> list[Row]:
    """Debiased CKA of every pair of blocks."""
    matrices = list(blocks(widths, samples).values())
    took = in_turn({"cka": timed(partial(cka_matrix, matrices))}, repeats, warm_up=False)
    name = f"cka, {len(widths)} blocks, n = {samples}, d {max(widths)} to {min(widths)}"
    return [row(name, took["cka"], "s", f"{torch.get_num_threads()} threads")]


def kde(repeats: int = 3, samples: int = 1000, features: int = 2048) -> list[Row]:
    """Bounds of I(X;Z) and I(Y;Z) of one block against a loop over the samples that gives the first of them."""
    z = blocks((features,), samples)["block 0"].numpy().astype(np.float64)
    y = np.arange(samples) % 10
    variance = float(z.var()) * features / 10

    def bounds() -> None:
        distances = squared_distances(z)
        kde_information(z, noise_variance=variance, distances=distances)
        kde_information(z, y, noise_variance=variance, distances=distances)

    def loop() -> float:
        terms = [np.log(np.exp(-((z - one) ** 2).sum(1) / (2 * variance)).mean()) for one in z]
        return -float(np.mean(terms))

    with torch_settings(1):
        took = in_turn({"loop": timed(loop), "kde": timed(bounds)}, repeats, warm_up=False)
    name = f"kde, I(X;Z) and I(Y;Z), n = {samples}, d = {features}"
    faster = ratios(took["loop"], took["kde"])
    return [row(name, took["kde"], "s"), row(f"{name}, faster", faster, "x", "loop over samples, I(X;Z) alone")]


def logits_that_grow_surer(samples: int, exits: int, classes: int) -> tuple[Tensor, Tensor, np.ndarray]:
    """Logits that grow surer from exit to exit, their labels, and the exits' costs."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(classes, (samples,), generator=generator)
    logits = torch.randn(exits, samples, classes, generator=generator)
    logits += torch.arange(2, exits + 2)[:, None, None] * torch.nn.functional.one_hot(y, classes)
    return logits.half(), y, np.linspace(0.2, 1.0, exits)


def threshold_curve(repeats: int = 5, samples: int = 10_000, exits: int = 5, classes: int = 100) -> list[Row]:
    """The curve of 100 thresholds against a loop over the thresholds."""
    logits, y, macs = logits_that_grow_surer(samples, exits, classes)

    def loop() -> list[float]:
        certainty, predictions = torch.softmax(logits.float(), dim=2).max(2)
        accuracies = []
        for threshold in np.linspace(0, 1, 100):
            taken = exit_taken(certainty, float(threshold))
            accuracies.append(float((predictions.gather(0, taken[None])[0] == y).float().mean()))
        return accuracies

    with torch_settings(1):
        took = in_turn({"loop": timed(loop), "curve": timed(lambda: curve(logits, y, macs))}, repeats)
    name = f"curve, 100 thresholds, {samples} x {exits} exits x {classes} classes"
    faster = ratios(took["loop"], took["curve"])
    return [
        row(name, took["curve"], "s", "limit of the project", "<= 0.15"),
        row(f"{name}, faster", faster, "x", "loop over thresholds"),
    ]


def budgets(repeats: int = 5, samples: int = 10_000, exits: int = 5, classes: int = 100) -> list[Row]:
    """Thresholds of each exit for 39 budgets, the scores included."""
    logits, _, macs = logits_that_grow_surer(samples, exits, classes)
    wanted = np.linspace(macs[0], macs[-1], BUDGETS + 2)[1:-1].tolist()

    def all_budgets() -> None:
        certainty = score(logits)
        for budget in wanted:
            solve(certainty, macs, budget)

    with torch_settings(1):
        took = in_turn({"budgets": timed(all_budgets)}, repeats)
    name = f"budgets, {BUDGETS} of MSDNet's, {samples} x {exits} exits x {classes} classes"
    return [row(name, took["budgets"], "s", "limit of the project", "<= 0.15")]


def budgeted(repeats: int = 5, samples: int = 10_000, exits: int = 5, classes: int = 100) -> list[Row]:
    """39 budgets from logits to accuracies on as many test samples, against one budget after the other."""
    logits, y, macs = logits_that_grow_surer(samples, exits, classes)
    wanted = np.linspace(macs[0], macs[-1], BUDGETS + 2)[1:-1].tolist()

    def one_by_one() -> None:
        certainty = score(logits)
        for budget in wanted:
            outcome(logits, y, macs, solve(certainty, macs, budget))

    with torch_settings(1):
        took = in_turn(
            {"loop": timed(one_by_one), "batch": timed(lambda: budgeted_batch(logits, logits, y, macs, wanted))},
            repeats,
        )
    name = f"budgeted batch, {BUDGETS} budgets, {samples} x {exits} exits x {classes} classes, validation and test"
    faster = ratios(took["loop"], took["batch"])
    return [
        row(name, took["batch"], "s", "limit of the project", "<= 0.15"),
        row(f"{name}, faster", faster, "x", "budget by budget"),
    ]


def exit_rule_curves(repeats: int = 5, samples: int = 10_000, exits: int = 5, classes: int = 100) -> list[Row]:
    """The curve of 100 thresholds under every rule that is an object, fitting left out."""
    logits, y, macs = logits_that_grow_surer(samples, exits, classes)
    few = slice(0, max(2, samples // 10))  # enough to fit what is fitted
    made = {name: make_rule(name, logits[:, few], y[few]) for name in exit_rules()}
    objects = {name: rule for name, rule in made.items() if not isinstance(rule, str)}
    with torch_settings(1):
        took = in_turn({name: timed(partial(curve, logits, y, macs, rule)) for name, rule in objects.items()}, repeats)
    size = f"{samples} x {exits} exits x {classes} classes"
    return [row(f"curve, {name}, 100 thresholds, {size}", took[name], "s") for name in objects]
