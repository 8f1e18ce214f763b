"""Is a difference more than seed noise? Intervals and paired tests over long frames."""

from eecore.evidence.association import correlations, explained, within_groups
from eecore.evidence.paired import Estimate, half_width, interval, paired_difference, verdict
from eecore.evidence.published import PUBLISHED, Published, published_frame

__all__ = [
    "PUBLISHED",
    "Estimate",
    "Published",
    "correlations",
    "explained",
    "half_width",
    "interval",
    "paired_difference",
    "published_frame",
    "verdict",
    "within_groups",
]
