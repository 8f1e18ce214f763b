"""What decides a run's result, and its hash: the key of every prefix of its chain of phases."""

import ast
import functools
import hashlib
import inspect
import json
from types import ModuleType
from typing import Any

import torch

from eecore import data, models
from eecore.training import lengths, loop, losses, moving, optim, parallel, phase_rules, pretrained, together
from eecore.training.objectives import branches, conflicts, distillation, mean, objective, sample_weights, weights
from eecore.training.phases import Phase
from eecore.training.session import parse, session_source
from eecore.training.settings import Run


def source_text(module: ModuleType) -> str:
    """Source of a module without comments, docstrings and layout: what it does, not how it reads.

    A notebook has no file: what its cells have defined so far counts.

    Example:
        >>> "written out" in source_text(loop)
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


def _source_digest(run: Run) -> str:
    assert run.recipe is not None
    ours = {loop, losses, moving, optim, mean, *data.augmentation_modules()}
    if run.recipe.has_objective:
        ours |= {branches, conflicts, distillation, objective, sample_weights, weights}
    deciding = {*ours, *models.source_modules(run.model), *data.source_modules(run.dataset)}
    deciding |= {pretrained} if run.pretrained else set()
    deciding |= {lengths} if run.recipe.batches == "by_length" else set()
    deciding |= {parallel, together} if run.processes > 1 else set()
    return _digest(sorted(source_text(module) for module in deciding))


def identity(run: Run) -> dict[str, Any]:
    """Everything but the phases that decides a run's result, as plain JSON values.

    The regime's name is not in it: two regimes that begin with the same phases share that prefix. Own data have their
    short name here: their content counts, not the folder in which they happen to lie. Weights to start from count by
    their checksum, not by their file's name.
    """
    assert run.recipe is not None
    given: dict[str, Any] = {"pretrained": pretrained.checksum(run.pretrained)} if run.pretrained else {}
    given |= {"processes": run.processes} if run.processes > 1 else {}
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
        "source": _source_digest(run),
    }


def prefix_keys(run: Run) -> list[str]:
    """Keys of the prefixes of `run`'s chain: one of one phase, one of two, ...; the last is the run's own.

    Returns:
        As many keys as phases, 20 hexadecimal digits each.
    """
    assert run.phases is not None
    assert run.recipe is not None
    known = alone = identity(run)
    if run.recipe.has_objective:  # which has no effect where the backbone is trained alone: that prefix is shared
        alone = identity(run.replace(recipe=run.recipe.without_objective(), phases=run.phases))
    keys = []
    for i in range(len(run.phases)):
        chain = [_described(phase) for phase in run.phases[: i + 1]]
        only_backbone = all(phase.trains == "backbone" for phase in run.phases[: i + 1])
        keys.append(_digest({**(alone if only_backbone else known), "phases": chain})[:20])
    return keys


def _described(phase: Phase) -> dict[str, Any]:
    """What decides a phase; the source of rules counts where one is used, so that other runs do not depend on it."""
    ruled = {} if phase.is_plain else {"source": _digest(source_text(phase_rules))}
    return {**phase.described(), **ruled}
