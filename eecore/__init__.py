"""eecore: early-exit networks, the regimes that train them, and the analysis that compares them.

Example:
    >>> import eecore
    >>> run = eecore.Run(dataset="mnist1d", model="vit_nano", regime="mixed", epochs=10, seed=0)
    >>> len(run.phases)
    2
"""

__version__ = "0.1.0"

import importlib
from typing import TYPE_CHECKING, Any

from eecore import companion, own, stopping

if own.on_command_line():  # before torch comes, which takes seconds
    stopping.heard_at_once()

from eecore.errors import DataError, EecoreError, SettingError, StoreError, TrainingError
from eecore.training import (
    Phase,
    Recipe,
    Result,
    Run,
    Store,
    disjoint,
    disjoint_long,
    grid,
    initial_model,
    joint,
    joint_long,
    joint_restart,
    mixed,
    phases_of,
    pretrain,
    regimes,
    register_regime,
    sweep,
    train,
)

if TYPE_CHECKING:
    from eecore.new_samples import predict

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
    "disjoint_long",
    "grid",
    "initial_model",
    "joint",
    "joint_long",
    "joint_restart",
    "mixed",
    "phases_of",
    "predict",
    "pretrain",
    "regimes",
    "register_regime",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """These come when they are asked for: processes that train need no statistics and no figures."""
    if name == "predict":
        return importlib.import_module("eecore.new_samples").predict
    if name in ("Recommendation", "recommend"):
        return companion.part("eecore.functions", name)
    raise AttributeError(f"module 'eecore' has no attribute {name!r}")


if not own.on_command_line():
    own.load()
