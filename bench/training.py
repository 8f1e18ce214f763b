"""Training: eecore's loop against the plain one, what exits cost in a step, and what evaluation costs.

The reference case: resnet_ref (widths 16 to 128, 0.70 M parameters), pooled heads after blocks 0, 2, 4, 6 and the
last, 2 000 random images of 3 x 32 x 32, batches of 100, AdamW, one thread. Seconds are those of training alone;
evaluation has rows of its own. Accuracies are those of a small network on real digits: on random images there is
nothing to learn.
"""

import copy
import statistics
from collections.abc import Callable

import torch
from scipy.stats import t as student

from bench import plain
from bench.measure import Row, in_turn, meets, ratios, row
from eecore import data, models
from eecore.data import Dataset, Info, Split, assemble
from eecore.models import MultiExit
from eecore.training import Phase, Recipe
from eecore.training.loop import split_logits, train_phase
from eecore.training.objectives import GRADIENTS
from eecore.training.optim import torch_settings
from eecore.training.phases import Trains

EXITS = (0, 2, 4, 6, 7)
TITLES: dict[Trains, str] = {"backbone": "phase 1", "all": "phase 2", "heads": "phase 3"}
# What the plain loop does, no more: a constant learning rate and no clipping.
PLAIN_RECIPE = Recipe(batch_size=100, schedule="constant", warmup=0.0, clip_norm=None)
FAST = {"channels_last": True, "precision": "bf16"}
RECIPES = {
    "float32": PLAIN_RECIPE,
    "channels_last + bf16": PLAIN_RECIPE.model_copy(update=FAST),
}


def random_images(train: int, validation: int, side: int = 32, seed: int = 0) -> Dataset:
    """A data set of noise and random classes, for seconds only."""
    generator = torch.Generator().manual_seed(seed)

    def split(samples: int) -> Split:
        x = torch.randn(samples, 3, side, side, generator=generator)
        return Split(x, torch.randint(10, (samples,), generator=generator))

    info = Info("noise", "Noise", "image", (3, side, side), 10, "torch.randn", "none", "")
    return assemble(info, train=split(train), validation=split(validation), test=split(10))


def reference(name: str = "resnet_ref", side: int = 32) -> MultiExit:
    """The network of the reference case."""
    exits = EXITS if name == "resnet_ref" else "every"
    return models.build(name, kind="image", shape=(3, side, side), classes=10, exits=exits, head="pooled")


def plain_epoch(model: MultiExit, dataset: Dataset, trains: Trains) -> Callable[[], float]:
    """A function that trains a copy for one epoch with the plain loop and returns the seconds."""

    def run() -> float:
        with torch_settings(1):
            return plain.train(copy.deepcopy(model), dataset.train.x, dataset.train.y, trains)[0]

    return run


def eecore_epochs(
    model: MultiExit, dataset: Dataset, trains: Trains, recipe: Recipe, epochs: int = 1, column: str = "seconds"
) -> Callable[[], float]:
    """The same with eecore's loop: the median over the epochs of a column of its history."""

    def run() -> float:
        done = train_phase(copy.deepcopy(model), dataset, Phase(trains, epochs), recipe, seed=0)
        return statistics.median(one[column] for one in done.history)

    return run


def phase(trains: Trains, goal: str, repeats: int = 3, samples: int = 2000, name: str = "resnet_ref") -> list[Row]:
    """How many times as fast as the plain loop an epoch of one phase is, for each recipe.

    Args:
        trains: which phase.
        goal: for the quickest recipe: both are a reader's to choose.
        repeats, samples, name: size of the measurement.
    """
    model, dataset = reference(name), random_images(samples, max(10, samples // 10))
    epochs = 5 if trains == "heads" else 1  # of cached features: too short to time alone
    measured = {"plain": plain_epoch(model, dataset, trains)}
    for title, recipe in RECIPES.items():
        measured[title] = eecore_epochs(model, dataset, trains, recipe, epochs)
    took = in_turn(measured, repeats)
    rows = [row(f"{TITLES[trains]}, plain loop, epoch", took["plain"], "s", "the reference")]
    for title in RECIPES:
        quick = title == "channels_last + bf16"
        faster = ratios(took["plain"], took[title])
        rows.append(row(f"{TITLES[trains]}, {title}", faster, "x", "plain loop / eecore", goal if quick else ""))
    return rows


def train_backbone() -> list[Row]:
    """Phase 1 against the plain loop."""
    return phase("backbone", ">= 2.2")


def train_all() -> list[Row]:
    """Phase 2 against the plain loop."""
    return phase("all", ">= 2.2")


def train_heads() -> list[Row]:
    """Phase 3 against the plain loop; without augmentation the frozen features are computed once, before."""
    return phase("heads", ">= 25")


def steps(repeats: int = 3, samples: int = 1000, name: str = "resnet_ref") -> list[Row]:
    """What the exits add to a step, and what evaluating all exits on validation adds to an epoch.

    The validation split is a ninth of the training split, as 5 000 of 45 000 images are.
    """
    model, dataset = reference(name), random_images(samples, samples // 9)
    rows = []
    for title, recipe in RECIPES.items():
        shares: list[float] = []

        def joint(recipe: Recipe = recipe, shares: list[float] = shares) -> float:
            done = train_phase(copy.deepcopy(model), dataset, Phase("all", 1), recipe, seed=0).history[0]
            shares.append(100 * done["evaluation_seconds"] / (done["seconds"] + done["evaluation_seconds"]))
            return float(done["seconds"])

        backbone = eecore_epochs(model, dataset, "backbone", recipe)
        took = in_turn({"joint": joint, "backbone": backbone}, repeats)
        added = ratios(took["joint"], took["backbone"])
        rows.append(row(f"joint step, {title}", added, "x", "backbone step / 1", "<= 1.15"))
        share = f"evaluation of all exits, {title}"
        rows.append(row(share, shares[1:], "% of epoch", f"{samples // 9} samples beside {samples}", "<= 5"))
    return rows


def gradient_rules(repeats: int = 3, samples: int = 1000, name: str = "resnet_ref") -> list[Row]:
    """What a rule for the gradients of the exits costs, beside a plain joint step; those of K passes at most K + 1."""
    model, dataset = reference(name), random_images(samples, 10)
    rules = {rule: PLAIN_RECIPE.model_copy(update={"gradients": rule}) for rule in GRADIENTS}
    took = in_turn({rule: eecore_epochs(model, dataset, "all", recipe) for rule, recipe in rules.items()}, repeats)
    most = model.n_exits + 1
    return [
        row(f"joint step, {rule}", ratios(took[rule], took["sum"]), "x", "joint step", f"<= {most}")
        for rule in rules
        if rule != "sum"
    ]


def accuracy(seeds: int = 5, epochs: int = 5, dataset: Dataset | None = None, name: str = "resnet_nano") -> list[Row]:
    """Whether the quick recipe reaches what the plain loop reaches, seed by seed, from the same weights.

    Args:
        seeds: how many, at least 2.
        epochs: of each phase.
        dataset: by default the digits of scikit-learn.
        name: of the network.
    Returns:
        A row for each way to train: the distance of the two mean test accuracies over the exits in training, in
        points. Its goal is half the width of the 95 % interval of the mean paired difference: what seeds alone do.
    """
    found: dict[Trains, list[tuple[float, float]]] = {trains: [] for trains in TITLES}
    for seed in range(seeds):
        for trains, pair in accuracies(dataset or data.load("digits"), name, epochs, seed).items():
            found[trains].append(pair)
    rows = []
    for trains, pairs in found.items():
        differences = [100 * (ours - theirs) for ours, theirs in pairs]
        noise = student.ppf(0.975, seeds - 1) * statistics.stdev(differences) / seeds**0.5
        reached = 100 * statistics.mean(theirs for _, theirs in pairs)
        distance = abs(statistics.mean(differences))
        title = f"{TITLES[trains]}, |accuracy, bf16 eecore - plain|"
        goal = f"<= {noise:.2f}"
        peer = f"95 % half-width of {seeds} seeds; plain reaches {reached:.1f} %"
        low, high = min(differences), max(differences)
        rows.append(Row(title, distance, low, high, seeds, "points", peer, goal, meets(distance, goal)))
    return rows


def accuracies(
    dataset: Dataset, name: str, epochs: int, seed: int, recipe: Recipe = RECIPES["channels_last + bf16"]
) -> dict[Trains, tuple[float, float]]:
    """Test accuracy (a fraction, mean over the exits in training) of eecore's and of the plain loop, for each phase.

    Phase 3 goes on from phase 1, each loop from its own.
    """
    size = max(1, min(50, len(dataset.train) // 4))
    recipe = recipe.model_copy(update={"batch_size": size})
    start = models.build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes, seed=seed)
    found = {}
    both = (start, start)
    for trains in TITLES:
        ours, theirs = map(copy.deepcopy, both if trains == "heads" else (start, start))
        train_phase(ours, dataset, Phase(trains, epochs), recipe, seed=seed)
        with torch_settings(1, seed):
            plain.train(theirs, dataset.train.x, dataset.train.y, trains, epochs=epochs, batch_size=size, seed=seed)
        if trains == "backbone":
            both = (ours, theirs)
        found[trains] = (accuracy_on_test(ours, dataset, trains), accuracy_on_test(theirs, dataset, trains))
    return found


def accuracy_on_test(model: MultiExit, dataset: Dataset, trains: Trains) -> float:
    """Mean over the exits that a phase trains of their accuracy on the test split."""
    right = (split_logits(model, dataset.test).argmax(2) == dataset.test.y).float().mean(1)
    exits = {"backbone": right[-1:], "all": right, "heads": right[:-1]}[trains]
    return float(exits.mean())
