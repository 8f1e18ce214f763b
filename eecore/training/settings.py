"""Settings of a run: frozen and validated; anything unknown stops at once with one line."""

import functools
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from eecore import data, models
from eecore.errors import SettingError, choose
from eecore.training import pretrained
from eecore.training.regimes import Phase, phases_of

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


def _one_line(error: ValidationError, known: list[str]) -> str:
    """The first thing that is wrong, as 'name: what was expected, got what'."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part in known) or str(
        first["loc"][0] if first["loc"] else "settings"
    )
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, SettingError):
        return str(cause)
    if first["type"] == "extra_forbidden":
        try:
            choose("setting", name, known)
        except SettingError as unknown:
            return str(unknown)
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"


class Settings(BaseModel):
    """Frozen, strict, and one line for what is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingError(_one_line(error, list(type(self).model_fields))) from None


class Recipe(Settings):
    """How the parameters of a phase are optimised. Every phase of a chain uses the same recipe.

    Args:
        optimizer: "adamw" or "sgd" (momentum 0.9, Nesterov).
        lr: peak learning rate.
        weight_decay: decoupled for adamw; not applied to biases and norms (1-D parameters).
        schedule: "cosine" to zero, "onecycle" (linear up to the middle, linear down) or "constant".
        warmup: fraction of a phase's steps with linearly growing learning rate.
        batch_size: samples per step; the incomplete last batch of an epoch is left out.
        label_smoothing: in [0, 1).
        clip_norm: largest 2-norm of the gradient, or None.
        ema: decay of an exponential moving average of the weights, which then is what the phase ends with; None: off.
        patience: epochs without improvement after which a phase stops, its best state restored in any case;
            None: fixed epochs, and the last state stays.
        min_delta: smallest decrease of the criterion that counts as improvement. The criterion is one number: the mean
            over the exits that the phase trains of the cross-entropy on validation.
        precision: "float32" or "bf16" (autocast; weights stay float32).
        channels_last: memory layout of images and convolutions.
        compile: the network through torch.compile, which takes a minute or more at the start of each phase.
        augment: name of an augmentation of eecore.data; None: the data set's own.
    Raises:
        SettingError: any value is out of its range, has the wrong type, or is unknown.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Rate = 2e-3
    weight_decay: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.01
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    warmup: Fraction = 0.1
    batch_size: Positive = 50
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Rate | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Positive | None = None
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = False
    compile: bool = False
    augment: str | None = None

    @field_validator("augment")
    @classmethod
    def _known_augmentation(cls, value: str | None) -> str | None:
        return value if value is None else choose("augment", value, data.augmentations())


def default_recipe(model: str, dataset: str) -> Recipe:
    """The recipe that this project uses for a model on a data set, where none is given.

    AdamW with a cosine schedule; transformers and convolutional networks differ in the learning rate, data sets in
    the batch size.
    """
    choose("model", model, models.names())
    lr = 3e-3 if model.startswith("vit") else 4e-3
    return Recipe(lr=lr, batch_size={"synthetic": 16, "mnist1d": 100}.get(dataset, 50))


@functools.cache
def _check_fit(model: str, dataset: str, exits: str | tuple[int, ...], head: str) -> None:
    """Stop where data, backbone, exits and head do not fit each other."""
    info = data.info(dataset)
    models.describe(
        model,
        kind=info.kind,
        shape=info.shape,
        classes=info.classes,
        exits=exits,
        head=head,
        vocabulary=info.vocabulary,
    )


def _check_pretrained(run: "Run") -> None:
    """Stop where the weights to start from do not fit, or would leave the last exit untrained."""
    assert run.pretrained is not None
    assert run.phases is not None
    info = data.info(run.dataset)
    model = models.build(
        run.model,
        kind=info.kind,
        shape=info.shape,
        classes=info.classes,
        exits=run.exits,
        head=run.head,
        vocabulary=info.vocabulary,
        device="meta",
    )
    whole = pretrained.check(model, run.pretrained)
    if not whole and all(phase.trains == "heads" for phase in run.phases):
        raise SettingError(
            f"regime: {run.regime!r} never trains the last exit, and {run.pretrained} has none for the "
            f"{info.classes} classes of {run.dataset}; use disjoint"
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


class Run(Settings):
    """One training of one network: everything that decides its result, and nothing else.

    Args:
        dataset: a name of eecore.data.names(), or of own data such as "images:DIR"; its path is made absolute.
        model: a name of eecore.models.names().
        regime: a name of eecore.training.regimes().
        epochs: epochs of each phase.
        seed: decides initial weights, order of the samples, augmentation and dropout; 0 or greater.
        exits: placement of the exits, see eecore.models.
        head: kind of the heads, see eecore.models.
        recipe: the optimisation; None: default_recipe(model, dataset).
        threads: threads of torch while training; results depend on it.
        device: "cpu", "cuda", "cuda:0", ...
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
    phases: tuple[Phase, ...] | None = None
    pretrained: str | None = None
    snapshots: bool = True

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
        _check_fit(self.model, self.dataset, self.exits, self.head)
        if self.phases is None:
            object.__setattr__(self, "phases", phases_of(self.regime, self.epochs))
        if not self.phases:
            raise SettingError("phases: at least one phase is needed, got none")
        if self.pretrained is not None:
            _check_pretrained(self)
        if self.recipe is None:
            object.__setattr__(self, "recipe", default_recipe(self.model, self.dataset))
        return self

    @property
    def augment(self) -> str:
        """Name of the augmentation in force."""
        assert self.recipe is not None
        return self.recipe.augment or data.info(self.dataset).augment

    def replace(self, **changes: object) -> "Run":
        """The same run with some settings changed; the phases follow the regime and the epochs again."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if {"regime", "epochs"} & set(changes):
            values["phases"] = None
        return Run(**{**values, **changes})
