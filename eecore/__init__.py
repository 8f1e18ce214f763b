"""eecore: early-exit networks, the regimes that train them, and the analysis that compares them.

Example:
    >>> import eecore
    >>> run = eecore.Run(dataset="mnist1d", model="vit_nano", regime="mixed", epochs=10, seed=0)
    >>> len(run.phases)
    2
"""

__version__ = "0.1.0"

from eecore.errors import DataError, EecoreError, SettingError, StoreError, TrainingError
from eecore.training import (
    Phase,
    Recipe,
    Result,
    Run,
    Store,
    disjoint,
    grid,
    initial_model,
    joint,
    joint_long,
    mixed,
    phases_of,
    pretrain,
    regimes,
    register_regime,
    sweep,
    train,
)

__all__ = [
    "DataError",
    "EecoreError",
    "Phase",
    "Recipe",
    "Result",
    "Run",
    "SettingError",
    "Store",
    "StoreError",
    "TrainingError",
    "disjoint",
    "grid",
    "initial_model",
    "joint",
    "joint_long",
    "mixed",
    "phases_of",
    "pretrain",
    "regimes",
    "register_regime",
    "sweep",
    "train",
]
