"""Leaving early: pure functions of stored logits. No model, no device, no waiting."""

from eecore.inference.budget import budget_table, choose_threshold, solve
from eecore.inference.calibration import (
    as_used,
    calibration,
    calibration_error,
    chance_error,
    reliability,
)
from eecore.inference.curve import accuracy_per_exit, area_under_curve, curve, envelope, outcome, spread_thresholds
from eecore.inference.difficulty import (
    difficulty,
    leaving_early,
    overthinking,
    overthinking_per_sample,
    relative_difficulty,
    right_at_exits,
)
from eecore.inference.regression import (
    regression_curve,
    regression_outcome,
    regression_score,
    regression_thresholds,
    uncertainty,
)
from eecore.inference.resample import resampled_budgets
from eecore.inference.rules import exit_taken, register_rule, rules, score
from eecore.inference.temperature import fit_temperature, scale

__all__ = [
    "accuracy_per_exit",
    "area_under_curve",
    "as_used",
    "budget_table",
    "calibration",
    "calibration_error",
    "chance_error",
    "choose_threshold",
    "curve",
    "difficulty",
    "envelope",
    "exit_taken",
    "fit_temperature",
    "leaving_early",
    "outcome",
    "overthinking",
    "overthinking_per_sample",
    "register_rule",
    "regression_curve",
    "regression_outcome",
    "regression_score",
    "regression_thresholds",
    "relative_difficulty",
    "reliability",
    "resampled_budgets",
    "right_at_exits",
    "rules",
    "scale",
    "score",
    "solve",
    "spread_thresholds",
    "uncertainty",
]
