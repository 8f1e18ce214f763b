"""Published runs: a plan of what to train, a runner that does it within a time, small records, and their frames."""

from eecore.lab.against import paper_against_ours
from eecore.lab.plan import Entry, Plan, Planned, read_plan, records_folder
from eecore.lab.reading import Records, records
from eecore.lab.runner import work
from eecore.lab.states import runs_status, status

__all__ = [
    "Entry",
    "Plan",
    "Planned",
    "Records",
    "paper_against_ours",
    "read_plan",
    "records",
    "records_folder",
    "runs_status",
    "status",
    "work",
]
