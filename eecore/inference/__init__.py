"""Leaving early: pure functions of stored logits. No model, no device, no waiting."""

from eecore.inference.budget import budget_table, choose_threshold, solve
from eecore.inference.curve import accuracy_per_exit, area_under_curve, curve, envelope, outcome
from eecore.inference.regression import (
    regression_curve,
    regression_outcome,
    regression_score,
    regression_thresholds,
    uncertainty,
)
from eecore.inference.resample import resampled_budgets
from eecore.inference.rules import exit_taken, register_rule, rules, score

__all__ = [
    "accuracy_per_exit",
    "area_under_curve",
    "budget_table",
    "choose_threshold",
    "curve",
    "envelope",
    "exit_taken",
    "outcome",
    "register_rule",
    "regression_curve",
    "regression_outcome",
    "regression_score",
    "regression_thresholds",
    "resampled_budgets",
    "rules",
    "score",
    "solve",
    "uncertainty",
]
