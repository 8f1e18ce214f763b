"""Figures: each function takes a long frame and an ax, and returns the ax. Nothing is saved here."""

from eecore.plotting.answers import answer_map
from eecore.plotting.curves import accuracy_cost, accuracy_per_exit, budget_bars, differences
from eecore.plotting.facets import facets, forests, side_by_side
from eecore.plotting.numbers import curve_numbers, numbers_behind, remember
from eecore.plotting.profiles import heat_map, profile
from eecore.plotting.real_time import time_against_macs
from eecore.plotting.samples import gallery, reliability
from eecore.plotting.style import RegimeStyle, regime_order, regime_style, shown_value, use_style
from eecore.plotting.training_cost import value_against_training
from eecore.plotting.verdicts import side_matrices, side_matrix
from eecore.plotting.workers import days_by_workers

__all__ = [
    "RegimeStyle",
    "accuracy_cost",
    "accuracy_per_exit",
    "answer_map",
    "budget_bars",
    "curve_numbers",
    "days_by_workers",
    "differences",
    "facets",
    "forests",
    "gallery",
    "heat_map",
    "numbers_behind",
    "profile",
    "regime_order",
    "regime_style",
    "reliability",
    "remember",
    "shown_value",
    "side_by_side",
    "side_matrices",
    "side_matrix",
    "time_against_macs",
    "use_style",
    "value_against_training",
]
