"""Is a difference more than seed noise? Intervals and paired tests over long frames."""

from eecore.evidence.association import correlations, explained, within_groups
from eecore.evidence.paired import Estimate, half_width, interval, paired_difference, verdict

__all__ = [
    "Estimate",
    "correlations",
    "explained",
    "half_width",
    "interval",
    "paired_difference",
    "verdict",
    "within_groups",
]
