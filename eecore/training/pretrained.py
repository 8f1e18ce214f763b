"""Weights to start from: a backbone and its own classifier, trained elsewhere, in one safetensors file.

Names in such a file: stem.*, blocks.* and classifier.*, the last head, wherever that stands. The weights file of a
stored run serves too: its last head is the classifier. Early heads always start from the run's seed.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from eecore.errors import SettingError, StoreError
from eecore.models import MultiExit
from eecore.training.store import write_file

CLASSIFIER, BACKBONE = "classifier.", ("stem.", "blocks.")


def export(state: Mapping[str, Tensor], path: str | os.PathLike[str], about: Mapping[str, object] | None = None) -> str:
    """Write what other runs can start from.

    Args:
        state: the state dict of a MultiExit; its early heads are left out.
        path: of the new file.
        about: anything that JSON can hold; written into the file for whoever wonders where it comes from.
    Returns:
        The checksum, sha256, which is part of the identity of every run that starts from this file.
    Raises:
        StoreError: the file cannot be written.
    """
    names = _renamed(list(state))
    tensors = {names[name]: t.detach().cpu().contiguous() for name, t in state.items() if name in names}
    content = safetensors.torch.save(tensors, metadata={"about": json.dumps(about or {}, sort_keys=True)})
    try:
        write_file(Path(path), content)
    except OSError as error:
        raise StoreError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from error
    return hashlib.sha256(content).hexdigest()


def stamp(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    """Path, time of the last change and size: what a cache of a file's content goes by.

    Raises:
        SettingError: there is no such file.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise SettingError(f"pretrained: cannot read {os.fspath(path)}: {error.strerror}") from error
    return os.path.abspath(path), found.st_mtime_ns, found.st_size


def checksum(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file, read again only where the file has changed."""
    return _checksum(stamp(path))


def check(model: MultiExit, path: str | os.PathLike[str]) -> bool:
    """Whether the weights of a file fit a model; the tensors themselves are not read.

    Args:
        model: on any device, "meta" included.
        path: of a safetensors file, see the top of this module.
    Returns:
        Whether the file has the whole classifier for this number of classes. Where it does not, those of its
        tensors that have the same shape are used (a norm, convolutions); the others (the last linear map) start
        from the run's seed.
    Raises:
        SettingError: no such file, not safetensors, a tensor of the backbone is missing, unknown or of another shape.
    """
    shapes = _shapes(stamp(path))
    chosen = _chosen(model, shapes, os.fspath(path))
    return all(name in chosen for name in _renamed(list(model.state_dict())))


def load(model: MultiExit, path: str | os.PathLike[str]) -> None:
    """Put the weights of a file into a model, as `check` says.

    Raises:
        SettingError: as for `check`, or a weight is not finite.
    """
    path = os.fspath(path)
    chosen = _chosen(model, _shapes(stamp(path)), path)
    tensors = safetensors.torch.load_file(path)
    state = model.state_dict()
    with torch.no_grad():
        for name, source in chosen.items():
            if not bool(tensors[source].isfinite().all()):
                raise SettingError(f"pretrained: {source} of {path} holds values that are not finite")
            state[name].copy_(tensors[source])


def _renamed(names: list[str]) -> dict[str, str]:
    """Names of a state dict that count -> names in a file."""
    numbers = {int(name.split(".")[1]) for name in names if name.startswith("heads.")}
    last = f"heads.{max(numbers, default=0)}."
    kept = {name: name for name in names if name.startswith((*BACKBONE, CLASSIFIER))}
    return kept | {name: CLASSIFIER + name.removeprefix(last) for name in names if name.startswith(last)}


def _chosen(model: MultiExit, shapes: Mapping[str, tuple[int, ...]], path: str) -> dict[str, str]:
    """Tensor of the model -> tensor of the file, for all that is taken."""
    in_file = {known: name for name, known in _renamed(list(shapes)).items()}
    wanted = {known: name for name, known in _renamed(list(model.state_dict())).items()}
    backbone = [known for known in wanted if known.startswith(BACKBONE)]
    missing = [known for known in backbone if known not in in_file]
    if missing:
        raise SettingError(
            f"pretrained: {path} lacks {len(missing)} of {len(backbone)} tensors of this backbone, such as {missing[0]}"
        )
    surplus = [known for known in in_file if known.startswith(BACKBONE) and known not in wanted]
    if surplus:
        raise SettingError(f"pretrained: {path} is of another model: it holds {surplus[0]}, which this one has not")
    chosen, state = {}, model.state_dict()
    for known, name in wanted.items():
        expected, came = tuple(state[name].shape), shapes.get(in_file.get(known, ""))
        if came == expected:
            chosen[name] = in_file[known]
        elif known.startswith(BACKBONE):
            raise SettingError(f"pretrained: {known} of {path} has the shape {came}, this model needs {expected}")
    return chosen


@functools.lru_cache(maxsize=64)
def _checksum(stamped: tuple[str, int, int]) -> str:
    with open(stamped[0], "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=64)
def _shapes(stamped: tuple[str, int, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a file, from its header."""
    try:
        with safetensors.safe_open(stamped[0], framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"pretrained: {stamped[0]} is no safetensors file ({reason})") from error
