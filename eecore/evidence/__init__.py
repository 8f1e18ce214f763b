"""Is a difference more than seed noise? Intervals and paired tests over long frames."""

from eecore.evidence.association import correlations, explained, within_groups
from eecore.evidence.claims import CLAIMS, Claim, Reading, read_claims, readings
from eecore.evidence.factors import between_cells, variance_table
from eecore.evidence.ledger import cell_verdicts, claim_verdicts, reading_verdicts
from eecore.evidence.paired import Estimate, half_width, interval, paired_difference, verdict
from eecore.evidence.power import detectable, power, seeds_needed
from eecore.evidence.published import PUBLISHED, Published, published_frame
from eecore.evidence.resampling import (
    CORRECTIONS,
    bootstrap_interval,
    corrected,
    hedges_g,
    least_sign_flip,
    sign_flip,
)

__all__ = [
    "CLAIMS",
    "CORRECTIONS",
    "PUBLISHED",
    "Claim",
    "Estimate",
    "Published",
    "Reading",
    "between_cells",
    "bootstrap_interval",
    "cell_verdicts",
    "claim_verdicts",
    "corrected",
    "correlations",
    "detectable",
    "explained",
    "half_width",
    "hedges_g",
    "interval",
    "least_sign_flip",
    "paired_difference",
    "power",
    "published_frame",
    "read_claims",
    "reading_verdicts",
    "readings",
    "seeds_needed",
    "sign_flip",
    "variance_table",
    "verdict",
    "within_groups",
]
