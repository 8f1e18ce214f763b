"""What decides a run's result, and its hash: the key of every prefix of its chain of phases."""

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
from types import ModuleType
from typing import Any

import torch

from eecore import data, models
from eecore.training import pretrained
from eecore.training.recipe import Recipe
from eecore.training.session import parse, session_source
from eecore.training.settings import Run

TRAINING = 1  # raised by hand where training gives other bits than before; tests/golden.py holds what it gives


def source_text(module: ModuleType) -> str:
    """Source of a module without comments, docstrings and layout: what it does, not how it reads.

    A notebook has no file: what its cells have defined so far counts.

    Example:
        >>> "raised by hand" in source_text(sys.modules[Run.__module__])
        False
    """
    in_session = module.__name__ == "__main__" and not getattr(module, "__file__", None)
    return _stripped(session_source() if in_session else _file_source(module))


@functools.cache
def _file_source(module: ModuleType) -> str:
    return inspect.getsource(module)


@functools.cache
def _stripped(source: str) -> str:
    tree = parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                body[0] = ast.Pass()
    return ast.unparse(tree)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def own_modules(run: Run) -> tuple[str, ...]:
    """Modules outside eecore that define the model or the data of a run; another process imports them first."""
    defining = {models.source_module(run.model).__name__, data.source_module(run.dataset).__name__}
    return tuple(sorted(name for name in defining if name.partition(".")[0] != "eecore"))


def identity(run: Run) -> dict[str, Any]:
    """Everything but the phases that decides a run's result, as plain JSON values.

    The regime's name is not in it: two regimes that begin with the same phases share that prefix. Own data have their
    short name here: their content counts, not the folder in which they happen to lie. Weights to start from count by
    their checksum, not by their file's name. What this library does counts by its version, `TRAINING`; what its user
    defined counts by its source.
    """
    assert run.recipe is not None
    given: dict[str, Any] = {"pretrained": pretrained.checksum(run.pretrained)} if run.pretrained else {}
    given |= {"processes": run.processes} if run.processes > 1 else {}
    own = [source_text(sys.modules[name]) for name in own_modules(run)]
    given |= {"own": _digest(sorted(own))} if own else {}
    libraries = {name: importlib.metadata.version(name) for name in models.libraries(run.model)}
    given |= {"libraries": libraries} if libraries else {}
    return {
        **given,
        "dataset": data.info(run.dataset).name,
        "data_fingerprint": data.load(run.dataset).fingerprint,
        "model": run.model,
        "exits": run.exits if isinstance(run.exits, str) else list(run.exits),
        "head": run.head,
        "recipe": run.recipe.model_dump(),
        "augment": run.augment,
        "seed": run.seed,
        "threads": run.threads,
        "device": torch.device(run.device).type,
        "torch": torch.__version__,
        "training": TRAINING,
    }


def prefix_keys(run: Run) -> list[str]:
    """Keys of the prefixes of `run`'s chain: one of one phase, one of two, ...; the last is the run's own.

    Returns:
        As many keys as phases, 20 hexadecimal digits each.
    """
    assert run.phases is not None
    return keys_of(identity(run), [phase.described() for phase in run.phases])


def keys_of(known: dict[str, Any], phases: list[dict[str, Any]]) -> list[str]:
    """`prefix_keys` from an identity and the described phases."""
    recipe = Recipe(**known["recipe"]).without_objective().model_dump()
    alone = {**known, "recipe": recipe}  # an objective has no effect where the backbone is trained alone: shared
    keys = []
    for i in range(len(phases)):
        only_backbone = all(phase["trains"] == "backbone" for phase in phases[: i + 1])
        keys.append(_digest({**(alone if only_backbone else known), "phases": phases[: i + 1]})[:20])
    return keys
