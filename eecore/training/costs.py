"""What a phase costs, in multiply-adds: the measure in which regimes are compared at equal training cost."""

from collections.abc import Sequence

from eecore import models
from eecore.models import MultiExit


def phase_macs(
    model: MultiExit,
    shape: Sequence[int],
    kind: str,
    *,
    trains: str,
    samples_seen: int,
    cached_samples: int | None = None,
) -> int:
    """Multiply-adds of a phase: a forward pass counts once, its derivatives twice as much again.

    Args:
        model: the network.
        shape, kind: of one sample of data.
        trains: "backbone", "all" or "heads", see Phase.
        samples_seen: samples over all steps.
        cached_samples: for "heads": samples whose frozen features were computed once; None: in every step.
    Returns:
        3 x forward x samples for "backbone" (the last head alone) and "all"; for "heads" 3 x the heads' x samples
        and the frozen trunk's forward to the last head in training.
    """
    if trains == "backbone":
        return 3 * models.backbone_macs(model, shape, kind) * samples_seen
    to_exit, of_heads = models.exit_macs(model, shape, kind), models.head_macs(model, shape, kind)
    if trains == "all":
        return 3 * to_exit[-1] * samples_seen
    if len(of_heads) == 1:
        return 0
    early = sum(of_heads[:-1])
    trunk = to_exit[-2] - early
    return 3 * early * samples_seen + trunk * (samples_seen if cached_samples is None else cached_samples)
