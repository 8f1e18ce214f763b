"""What a phase costs, in multiply-adds: the measure in which regimes are compared at equal training cost."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from eecore import data, models
from eecore.models import MultiExit
from eecore.models.cost import of_heads, trace
from eecore.training.objectives.names import SEPARATE
from eecore.training.objectives.sample_weights import HIDDEN
from eecore.training.phase_rules import branch_parts, moving_parts
from eecore.training.phases import UNFREEZING, Phase
from eecore.training.settings import Run

FORWARD, THROUGH, LEARNS = 1, 2, 3  # run; differentiated for what lies below; its own parameters too


def training_costs(run: Run, done: Sequence[Mapping[str, Any]]) -> list[int]:
    """Multiply-adds of the phases of a run.

    Args:
        run: its settings.
        done: what its record says of each phase: epochs_done and steps.
    """
    assert run.phases is not None
    assert run.recipe is not None
    samples = len(data.load(run.dataset).train)
    about = {
        "batch": min(run.recipe.batch_size, samples),
        "cached_samples": samples if run.fixed_inputs else None,
        "separate": run.recipe.gradients in SEPARATE,
        "teacher": run.recipe.distillation is not None,
        "weighed": run.recipe.weights == "l2w",
    }
    network, maker = tuple(run.network.items()), models.maker(run.model)
    return [
        _of_phase(
            *(maker, run.model, network),
            phase=phase,
            epochs=part["epochs_done"],
            steps=part["steps"],
            **about,
        )
        for phase, part in zip(run.phases, done, strict=True)
    ]


@functools.lru_cache(maxsize=1000)
def _of_phase(maker: models.Maker, name: str, network: tuple[tuple[str, Any], ...], **about: Any) -> int:
    known = dict(network)
    return phase_macs(models.build(name, **known, device="meta"), known["shape"], known["kind"], **about)


def phase_macs(
    model: MultiExit,
    shape: Sequence[int],
    kind: str,
    *,
    phase: Phase,
    epochs: int,
    steps: int,
    batch: int,
    cached_samples: int | None = None,
    separate: bool = False,
    teacher: bool = False,
    weighed: bool = False,
) -> int:
    """Multiply-adds of a phase: a forward pass counts once, its derivatives twice as much again.

    A frozen part counts once where nothing below it moves, twice where the derivative passes through it, and not at all
    where it is not run. What a rule leaves out of the loss and is computed all the same ("gated") is counted.

    Args:
        model: the network.
        shape, kind: of one sample of data.
        phase: what moves in it, and its rule.
        epochs, steps: that were done; all epochs have the same number of steps.
        batch: samples a step.
        cached_samples: for "heads": samples whose frozen features were computed once; None: in every step.
        separate: for "all": a backward pass for each exit, which goes no further than from its head to the stem.
        teacher: for "heads": the frozen network's last exit is evaluated too.
        weighed: for "all" and "heads": samples have learned weights ("l2w"), which look one step ahead.
    Returns:
        3 x forward x samples for "backbone" (the last head alone) and "all"; for "heads" 3 x the heads' x samples
        and the frozen trunk's forward to the last head in training; for "branch" the forward to the exit before and
        3 x what lies behind that. Under "alternating" the early heads count once in even steps.
    """
    macs, states = trace(model.backbone_modules(), shape, kind)
    heads, samples = of_heads(model, states), steps * batch
    if weighed and phase.trains in ("all", "heads"):
        about = {"phase": phase, "epochs": epochs, "steps": steps, "batch": batch, "cached_samples": cached_samples}
        plain = phase_macs(model, shape, kind, **about, separate=separate, teacher=teacher)  # type: ignore[arg-type]
        ahead = heads[: len(phase.trained_exits(model.n_exits))] if phase.trains == "heads" else [*heads, *macs]
        again = sum(macs[: model.exits[-2] + 2]) if phase.trains == "heads" and cached_samples is None else 0
        return plain + _ahead(sum(ahead), len(phase.trained_exits(model.n_exits)), samples) + again * samples
    if phase.trains == "heads":
        trained = heads if phase.rule == "every_head" else heads[:-1]
        reached = len(macs) if teacher else model.exits[len(trained) - 1] + 2 if trained else 0
        trunk = sum(macs[:reached]) + (heads[-1] if teacher else 0)
        return LEARNS * sum(trained) * samples + trunk * (samples if cached_samples is None else cached_samples)
    if phase.exit is not None:
        moves = branch_parts(model.exits, phase.exit)
        learns = sum(macs[i] for i in moves) + heads[phase.exit]
        return (LEARNS * learns + FORWARD * sum(macs[: moves.start])) * samples
    if phase.rule in UNFREEZING:
        each = [_backbone(macs, moving_parts(len(macs), phase.rule, e, phase.epochs)) for e in range(epochs)]
        return sum(each) * (samples // epochs) + LEARNS * sum(heads) * samples
    if phase.trains == "backbone":
        return LEARNS * (sum(macs) + heads[-1]) * samples
    if separate:
        passes = sum(sum(macs[: block + 2]) + head for block, head in zip(model.exits, heads, strict=True))
        return (FORWARD * (sum(macs) + sum(heads)) + (LEARNS - FORWARD) * passes) * samples
    spared = (LEARNS - FORWARD) * sum(heads[:-1]) * -(-steps // 2) * batch if phase.rule == "alternating" else 0
    return LEARNS * (sum(macs) + sum(heads)) * samples - spared


def _ahead(moves: int, exits: int, samples: int) -> int:
    """Multiply-adds of looking one step ahead: a step of half the samples, its derivative, and that of the other half.

    The derivative of a derivative is counted as one more step. To this comes the network that weighs: it learns from
    half the samples and is run on all.
    """
    network = 2 * exits * HIDDEN
    return 3 * LEARNS * moves * samples // 2 + network * (LEARNS * samples // 2 + FORWARD * samples)


def _backbone(macs: Sequence[int], moves: range) -> int:
    """Multiply-adds of a sample in the backbone's parts, of which a range moves."""
    below, above = sum(macs[: moves.start]), sum(macs[moves.stop :])
    return FORWARD * below + LEARNS * sum(macs[i] for i in moves) + THROUGH * above
