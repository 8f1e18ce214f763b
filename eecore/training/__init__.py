"""Training: phases and regimes, one loop, and a store that remembers every prefix of a chain of phases."""

from eecore.training import pretrained, recipes
from eecore.training.chain import train
from eecore.training.pace import Pace, Paused
from eecore.training.pretraining import Given, pretrain, starts_from
from eecore.training.recipe import Recipe
from eecore.training.recipes import default_recipe
from eecore.training.regimes import (
    Phase,
    Regime,
    disjoint,
    disjoint_long,
    joint,
    joint_long,
    joint_restart,
    mixed,
    phases_of,
    regime,
    regimes,
    register_regime,
)
from eecore.training.result import Result, initial_model, one_key, read_key
from eecore.training.settings import Run
from eecore.training.store import Store
from eecore.training.sweep import grid, sweep

__all__ = [
    "Given",
    "Pace",
    "Paused",
    "Phase",
    "Recipe",
    "Regime",
    "Result",
    "Run",
    "Store",
    "default_recipe",
    "disjoint",
    "disjoint_long",
    "grid",
    "initial_model",
    "joint",
    "joint_long",
    "joint_restart",
    "mixed",
    "one_key",
    "phases_of",
    "pretrain",
    "pretrained",
    "read_key",
    "recipes",
    "regime",
    "regimes",
    "register_regime",
    "starts_from",
    "sweep",
    "train",
]
