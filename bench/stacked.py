"""Several seeds of a small network at once: one stacked set of weights, torch.func.vmap over the seeds.

An experiment, not a way to train. It stays outside the library, because it cannot go through the one loop there: each
seed has its own order of the samples, its own norm of the gradient to clip, and its own axis in front of every
parameter, which the loop's weight decay would mistake for a matrix's. So it takes `optimizer.step` itself. It is equal
to single runs up to the rounding of sums (`tests/test_stacked.py`), and nothing that it trains is ever stored.

S seeds, K exits, B batch, C classes.
"""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.measure import Row, in_turn, ratios, row
from eecore import data, models
from eecore.data import Dataset
from eecore.errors import SettingError
from eecore.models import MultiExit
from eecore.training import Phase, Recipe
from eecore.training.loop import epoch_batches, exit_losses, split_logits, train_phase
from eecore.training.optim import derived_seed, learning_rate, torch_settings

SMALL = Recipe(batch_size=50)
# Settings of a recipe that are as in the loop; whatever else differs from the default is refused.
FOLLOWED = {
    "lr",
    "weight_decay",
    "schedule",
    "milestones",
    "decay",
    "warmup",
    "batch_size",
    "label_smoothing",
    "clip_norm",
}


def check(start: MultiExit, dataset: Dataset, recipe: Recipe) -> None:
    """Stop where the experiment would not be the loop.

    Raises:
        SettingError: the network draws random numbers while it trains, the task is no classification, or the recipe
            has a setting that is not followed here.
    """
    if any(isinstance(module, nn.Dropout) and module.p for module in start.modules()):
        raise SettingError("model: it has dropout, whose random numbers differ from those of single runs")
    if dataset.task != "classification":
        raise SettingError(f"dataset: expected a classification, {dataset.name} is a {dataset.task}")
    plain = Recipe().model_dump()
    other = [
        n
        for n, v in recipe.model_dump().items()
        if n not in FOLLOWED and v != plain[n] and (n, v) != ("augment", "none")
    ]
    if other:
        raise SettingError(f"recipe: {other[0]} is not followed here; only {', '.join(sorted(FOLLOWED))} are")


def train_stacked(
    starts: Sequence[MultiExit],
    dataset: Dataset,
    epochs: int,
    recipe: Recipe = SMALL,
    *,
    seeds: Sequence[int],
    device: str = "cpu",
) -> tuple[list[MultiExit], list[float]]:
    """Train copies of networks of one architecture together, as `train_phase` trains each in a phase 'all'.

    Args:
        starts: S networks, one for each seed; they stay as they are.
        dataset: its train split, not augmented.
        epochs: of the phase, at least 1.
        recipe: AdamW and what `FOLLOWED` names.
        seeds: as `train_phase` gets them, one for each network.
        device: where to train.
    Returns:
        The S trained networks, on the CPU, and the seconds of each epoch.
    Raises:
        SettingError: see `check`; or there are not as many seeds as networks.
    """
    check(starts[0], dataset, recipe)
    if len(starts) != len(seeds):
        raise SettingError(f"seeds: expected {len(starts)}, one for each network, got {len(seeds)}")
    trained = [copy.deepcopy(start).to(device).train() for start in starts]
    parameters, buffers = stack_module_state(trained)  # type: ignore[arg-type]
    skeleton = copy.deepcopy(trained[0]).to("meta")

    def loss_of(weights: dict[str, Tensor], state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(skeleton, (weights, state), (x,))
        return exit_losses(logits, y, recipe.label_smoothing).mean()

    losses_of = torch.vmap(loss_of)
    optimizer = _optimizer(parameters, recipe)
    x, y = dataset.train.x.to(device), dataset.train.y.to(device)
    each_epoch = max(1, len(y) // recipe.batch_size)
    took = []
    for epoch in range(epochs):
        began = time.perf_counter()
        generators = [torch.Generator(device).manual_seed(derived_seed(seed, "all", epoch)) for seed in seeds]
        orders = [torch.stack(list(epoch_batches(len(y), recipe.batch_size, each))) for each in generators]
        for i, batch in enumerate(torch.stack(orders, dim=1)):  # (S, B)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * each_epoch + i, epochs * each_epoch, recipe)
            optimizer.zero_grad()
            with sdpa_kernel(SDPBackend.MATH):  # attention written out: the fused kernels know no axis of seeds
                losses_of(parameters, buffers, x[batch], y[batch]).sum().backward()
            if recipe.clip_norm is not None:
                _clip_each(list(parameters.values()), recipe.clip_norm)
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    for i, network in enumerate(trained):
        network.load_state_dict({name: tensor[i] for name, tensor in (parameters | buffers).items()})
        network.to("cpu")
    return trained, took


def _optimizer(parameters: dict[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """As `make_optimizer`, of parameters with one axis more."""
    groups = [
        {"params": [p for p in parameters.values() if p.ndim >= 3], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim < 3], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


@torch.no_grad()
def _clip_each(parameters: list[Tensor], largest: float) -> None:
    """`clip_grad_norm_` of each seed's gradient by itself."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.cat([g.reshape(len(g), -1) for g in gradients], dim=1).norm(dim=1)  # (S,)
    share = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(share.view(-1, *(1,) * (gradient.ndim - 1)))


def seeds_vmap(
    repeats: int = 3, seeds: int = 8, epochs: int = 3, name: str = "mlp_nano", dataset: Dataset | None = None
) -> list[Row]:
    """How many times as fast several seeds are together as one after the other, and how far the logits then are.

    The goal is a GPU's, where a small network leaves most of it idle; without one there is no goal.
    """
    dataset = dataset or data.load("digits")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = [
        models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes, seed=seed)
        for seed in range(seeds)
    ]
    recipe = SMALL.model_copy(update={"augment": "none", "batch_size": min(50, len(dataset.train))})
    apart: list[MultiExit] = []
    together: list[MultiExit] = []

    def one_by_one() -> float:
        apart[:] = map(copy.deepcopy, made)
        took = 0.0
        for seed, model in enumerate(apart):
            done = train_phase(model, dataset, Phase("all", epochs), recipe, seed=seed, device=device)
            took += sum(epoch["seconds"] for epoch in done.history)
        return took

    def at_once() -> float:
        with torch_settings(1):
            together[:], took = train_stacked(made, dataset, epochs, recipe, seeds=range(seeds), device=device)
        return sum(took)

    took = in_turn({"single": one_by_one, "stacked": at_once}, repeats)
    faster = ratios(took["single"], took["stacked"])
    with torch_settings(1):
        pairs = [
            (split_logits(a, dataset.test).float(), split_logits(b, dataset.test).float())
            for a, b in zip(apart, together, strict=True)
        ]
    alike = [float((a.argmax(2) == b.argmax(2)).float().mean()) for a, b in pairs]
    gpu = device != "cpu"
    peer = f"{seeds} single runs" if gpu else f"{seeds} single runs; the goal of >= 5 is a GPU's, here is none"
    title = f"seeds-vmap, {seeds} seeds of {name} at once on {device}"
    return [
        row(title, faster, "x", peer, ">= 5" if gpu else ""),
        row(f"{title}, same predictions", alike, "fraction", "single runs, test split", ">= 0.99"),
    ]
