"""Settings of a run: frozen and validated; anything unknown stops at once with one line."""

import functools
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator, model_validator

from eecore import data, models
from eecore.errors import SettingError, choose
from eecore.training import pretrained
from eecore.training.objectives.checks import check_exits, check_parallel, check_ruled
from eecore.training.phases import Phase, check_phases
from eecore.training.recipe import Recipe, Settings, check_recipe
from eecore.training.recipes import chosen_recipe, default_recipe, preset
from eecore.training.regimes import phases_of, regime, regimes


@functools.lru_cache(maxsize=1000)
def _described(make: models.Maker, name: str, network: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """`models.describe`, kept by the function that makes the network too: a name may be registered anew."""
    return models.describe(name, **dict(network))


def _check_pretrained(run: "Run") -> None:
    """Stop where the weights to start from do not fit, or would leave the last exit untrained."""
    assert run.pretrained is not None
    assert run.phases is not None
    whole = pretrained.check(models.build(run.model, **run.network, device="meta"), run.pretrained)
    if not whole and all(phase.trains == "heads" for phase in run.phases):
        raise SettingError(
            f"regime: {run.regime!r} never trains the last exit, and {run.pretrained} has none for the "
            f"{data.info(run.dataset).classes} classes of {run.dataset}; use disjoint"
        )


def check_device(value: str) -> str:
    """Return `value` where it names a device of this machine.

    Raises:
        SettingError: it does not; the message lists the kinds that are here.
    """
    try:
        kind = torch.device(value).type
    except RuntimeError:
        kind = ""
    if kind == "cpu" or (kind == "cuda" and torch.cuda.is_available()):
        return value
    here = "cpu, cuda" if torch.cuda.is_available() else "cpu"
    raise SettingError(f"device: {value!r} is not on this machine; known: {here}")


def _with_recipe(named: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run whose recipe is a whole one, where a preset or changes to a recipe are among them."""
    changes = values.get("recipe")
    if named is None and not isinstance(changes, dict):
        return values
    if named is not None and isinstance(changes, Recipe):
        raise SettingError(
            "preset, recipe: a whole recipe leaves nothing to the preset; give one, or changes as a dict"
        )
    if not all(isinstance(values.get(name), str) for name in ("model", "dataset")):
        return {**values, "recipe": None}  # what is wrong with these is said first
    about = (values["model"], data.known("dataset", values["dataset"]))
    recipe = chosen_recipe(*about, named, changes, values.get("pretrained"))
    epochs = {} if named is None else {"epochs": preset(named).epochs}
    return {**epochs, **values, "recipe": recipe}


class Run(Settings):
    """One training of one network: everything that decides its result, and nothing else.

    Args:
        dataset: a name of eecore.data.names(), or of own data such as "images:DIR"; its path is made absolute.
        model: a name of eecore.models.names().
        regime: a name of eecore.training.regimes().
        epochs: epochs of each phase; where it is not given, those of the preset, else 10.
        seed: decides initial weights, order of the samples, augmentation and dropout; 0 or greater.
        exits: placement of the exits, see eecore.models.
        head: kind of the heads, see eecore.models.
        recipe: the optimisation, or a dictionary of settings in which it differs from that of the preset, or from the
            default one; None: default_recipe(model, dataset, pretrained).
        preset: name of a recipe, see `eecore.training.recipes`; not kept, the run has its recipe.
        threads: threads of torch while training; results depend on it.
        device: "cpu", "cuda", "cuda:0", ...
        processes: of this machine that compute each batch together, on the CPU, see `eecore.training.parallel`; results
            depend on it by rounding.
        phases: the chain of phases; None: the regime's.
        pretrained: a safetensors file of weights to start from instead of those of the seed, see
            `eecore.training.pretrained`; every phase of the regime then fine-tunes them.
        snapshots: keep the weights after epochs 1, 2, 4, 8, ... of each phase too, for analyses over training; it
            changes no result. False saves the space where networks are large.
    Raises:
        SettingError: one line with the name of the setting, what came and what is allowed.

    Example:
        >>> Run(dataset="digits", model="mlp_nano", regime="mixed", epochs=2).phases
        (Phase(trains='backbone', epochs=2), Phase(trains='all', epochs=2))
    """

    dataset: str
    model: str
    regime: str
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    exits: str | tuple[int, ...] = "every"
    head: str = "auto"
    recipe: Recipe | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    device: str = "cpu"
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    phases: tuple[Phase, ...] | None = None
    pretrained: str | None = None
    snapshots: bool = True

    def __init__(self, *, preset: str | None = None, **values: Any) -> None:
        super().__init__(**_with_recipe(preset, values))

    @field_validator("exits", mode="before")
    @classmethod
    def _exits_as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("device")
    @classmethod
    def _device_is_here(cls, value: str) -> str:
        return check_device(value)

    @model_validator(mode="after")
    def _names_and_phases(self) -> "Run":
        object.__setattr__(self, "dataset", data.known("dataset", self.dataset))
        choose("model", self.model, models.names())
        if self.recipe is None:
            object.__setattr__(self, "recipe", default_recipe(self.model, self.dataset, self.pretrained))
        check_parallel(self.processes, self.recipe, self.device)  # type: ignore[arg-type]
        check_recipe(self.recipe, data.info(self.dataset))  # type: ignore[arg-type]
        exits = len(self.described["exits"])
        check_exits(self.recipe, exits)  # type: ignore[arg-type]
        if self.phases is None:
            object.__setattr__(self, "phases", phases_of(self.regime, self.epochs, exits))
        if not self.phases:
            raise SettingError("phases: at least one phase is needed, got none")
        check_phases(self.phases, exits, self.task, self.recipe.mixes, self.head)  # type: ignore[union-attr]
        check_ruled(self.recipe, self.phases)  # type: ignore[arg-type]
        if self.pretrained is not None:
            _check_pretrained(self)
        return self

    @property
    def network(self) -> dict[str, Any]:
        """What `models.build` and `models.describe` need beside the model's name."""
        info = data.info(self.dataset)
        about = {"kind": info.kind, "shape": info.shape, "vocabulary": info.vocabulary}
        return {**about, "classes": self.outputs, "exits": self.exits, "head": self.head}

    @property
    def described(self) -> dict[str, Any]:
        """Exits, parameters and multiply-adds of the network, as `models.describe` gives them."""
        return _described(models.maker(self.model), self.model, tuple(self.network.items()))

    @property
    def augment(self) -> str:
        """Name of the augmentation in force."""
        assert self.recipe is not None
        return self.recipe.augment or data.info(self.dataset).augment

    @property
    def task(self) -> str:
        """What the data set asks for: "classification" or "regression"."""
        return data.info(self.dataset).task

    @property
    def outputs(self) -> int:
        """Outputs of each head: the classes; for regression 1, or 2 with a predicted variance."""
        assert self.recipe is not None
        return 2 if self.recipe.loss == "gaussian" else data.info(self.dataset).classes

    @property
    def fixed_inputs(self) -> bool:
        """Whether a sample looks the same in all epochs, so that a frozen backbone is run once."""
        assert self.recipe is not None
        return self.augment == "none" and not self.recipe.mixes

    def replace(self, **changes: object) -> "Run":
        """The same run with some settings changed; the phases follow the regime and the epochs again.

        A recipe that is given as a dictionary changes settings of this run's recipe.

        Where the regime depends on the number of exits, they follow the model and its exits too.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        by_exits = self.regime in regimes() and regime(self.regime).asks_exits
        if {"regime", "epochs", *(("model", "exits") if by_exits else ())} & set(changes):
            values["phases"] = None
        if "preset" in changes and "recipe" not in changes:
            values["recipe"] = None
        elif isinstance(changes.get("recipe"), dict) and "preset" not in changes:
            assert self.recipe is not None
            changes["recipe"] = Recipe(**{**self.recipe.model_dump(), **changes["recipe"]})  # type: ignore[dict-item]
        return Run(**{**values, **changes})
