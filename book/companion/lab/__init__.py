"""Published runs: a plan of what to train, a runner that does it within a time, small records, and their frames."""

from companion.lab.against import paper_against_ours
from companion.lab.plan import Entry, Plan, Planned, read_plan, records_folder
from companion.lab.reading import Records, records
from companion.lab.runner import work
from companion.lab.states import runs_status, status
from companion.lab.words import (
    chosen_among,
    count_in_words,
    coverage,
    differences_at_ends,
    linear_in_words,
    provenance_table,
    rows_in_words,
    status_table,
    unequal_training,
    with_budget_names,
)

__all__ = [
    "Entry",
    "Plan",
    "Planned",
    "Records",
    "chosen_among",
    "count_in_words",
    "coverage",
    "differences_at_ends",
    "linear_in_words",
    "paper_against_ours",
    "provenance_table",
    "read_plan",
    "records",
    "records_folder",
    "rows_in_words",
    "runs_status",
    "status",
    "status_table",
    "unequal_training",
    "with_budget_names",
    "work",
]
