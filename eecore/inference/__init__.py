"""Leaving early: pure functions of stored logits, with no model, device or waiting; and `predict`, which runs one."""

from eecore.inference.bounds import BOUNDS, p_values
from eecore.inference.budget import budget_table, choose_threshold, solve
from eecore.inference.calibration import (
    as_used,
    calibration,
    calibration_error,
    chance_error,
    reliability,
)
from eecore.inference.combining import Caching, GeometricEnsemble, ProductOfExperts
from eecore.inference.counting import Agreement, patience, votes
from eecore.inference.criteria import AboutRule, exit_rules, make_rule
from eecore.inference.curve import (
    accuracy_per_exit,
    area_under_curve,
    budget_thresholds,
    curve,
    envelope,
    outcome,
    spread_thresholds,
)
from eecore.inference.difficulty import (
    difficulty,
    leaving_early,
    overthinking,
    overthinking_per_sample,
    relative_difficulty,
    right_at_exits,
)
from eecore.inference.fold import folded
from eecore.inference.gate import LearnedGate
from eecore.inference.live import Left, live
from eecore.inference.predict import mean_macs, predict
from eecore.inference.protocol import ExitRule, Judgement, Rule, judge
from eecore.inference.regression import (
    regression_curve,
    regression_outcome,
    regression_score,
    regression_thresholds,
    uncertainty,
)
from eecore.inference.resample import resampled_budgets
from eecore.inference.risk import Controlled, conformal, controlled, losses_at
from eecore.inference.rules import exit_taken, register_rule, rules, score
from eecore.inference.targets import budgeted_batch, threshold_for_macs
from eecore.inference.temperature import fit_temperature, scale

__all__ = [
    "BOUNDS",
    "AboutRule",
    "Agreement",
    "Caching",
    "Controlled",
    "ExitRule",
    "GeometricEnsemble",
    "Judgement",
    "LearnedGate",
    "Left",
    "ProductOfExperts",
    "Rule",
    "accuracy_per_exit",
    "area_under_curve",
    "as_used",
    "budget_table",
    "budget_thresholds",
    "budgeted_batch",
    "calibration",
    "calibration_error",
    "chance_error",
    "choose_threshold",
    "conformal",
    "controlled",
    "curve",
    "difficulty",
    "envelope",
    "exit_rules",
    "exit_taken",
    "fit_temperature",
    "folded",
    "judge",
    "leaving_early",
    "live",
    "losses_at",
    "make_rule",
    "mean_macs",
    "outcome",
    "overthinking",
    "overthinking_per_sample",
    "p_values",
    "patience",
    "predict",
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
    "threshold_for_macs",
    "uncertainty",
    "votes",
]
