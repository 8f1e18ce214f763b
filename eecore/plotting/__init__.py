"""Figures: each function takes a long frame and an ax, and returns the ax. Nothing is saved here."""

from eecore.plotting.answers import answer_map
from eecore.plotting.curves import accuracy_cost, accuracy_per_exit, budget_bars, differences
from eecore.plotting.facets import facets, forests, side_by_side
from eecore.plotting.profiles import heat_map, profile
from eecore.plotting.real_time import time_against_macs
from eecore.plotting.samples import gallery, reliability
from eecore.plotting.style import RegimeStyle, regime_order, regime_style, use_style
from eecore.plotting.training_cost import value_against_training
from eecore.plotting.verdicts import side_matrices, side_matrix

__all__ = [
    "RegimeStyle",
    "accuracy_cost",
    "accuracy_per_exit",
    "answer_map",
    "budget_bars",
    "differences",
    "facets",
    "forests",
    "gallery",
    "heat_map",
    "profile",
    "regime_order",
    "regime_style",
    "reliability",
    "side_by_side",
    "side_matrices",
    "side_matrix",
    "time_against_macs",
    "use_style",
    "value_against_training",
]
