"""Figures: each function takes a long frame and an ax, and returns the ax. Nothing is saved here."""

from companion.plotting.answers import answer_map
from companion.plotting.curves import accuracy_cost, accuracy_per_exit, budget_bars, differences
from companion.plotting.facets import facets, forests, side_by_side
from companion.plotting.numbers import curve_numbers, numbers_behind, remember
from companion.plotting.profiles import heat_map, profile
from companion.plotting.real_time import time_against_macs
from companion.plotting.samples import gallery, reliability
from companion.plotting.style import RegimeStyle, regime_order, regime_style, shown_value, use_style
from companion.plotting.training_cost import value_against_training
from companion.plotting.verdicts import side_matrices, side_matrix
from companion.plotting.workers import days_by_workers

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
