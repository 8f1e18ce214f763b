"""How parameters are optimised: a recipe, frozen and validated; anything unknown stops at once with one line."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from eecore import data
from eecore.errors import SettingError, choose, shown
from eecore.training.objectives.names import DISTILLATIONS, GRADIENTS, SEPARATE
from eecore.training.objectives.weights import check_weights

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Mixing = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


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
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {shown(first['input'])}"


class Settings(BaseModel):
    """Frozen settings, whose errors are one line each."""

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
        schedule: "cosine" to zero, "onecycle" (linear up to the middle, linear down), "multistep" or "constant".
        milestones: for "multistep": fractions of a phase's steps, ascending, at each of which the rate is multiplied
            by `decay`.
        decay: see milestones.
        warmup: fraction of a phase's steps with linearly growing learning rate.
        batch_size: samples per step; the incomplete last batch of an epoch is left out.
        batches: which samples meet in a batch: "shuffled", or for texts "by_length": those of like length, cut behind
            the longest of them; several times faster where most are short, see eecore.training.lengths.
        label_smoothing: in [0, 1).
        clip_norm: largest 2-norm of the gradient, or None.
        ema: decay of an exponential moving average of the weights, which then is what the phase ends with; None: off.
        patience: epochs without improvement after which a phase stops, its best state restored in any case;
            None: fixed epochs, and the last state stays.
        min_delta: smallest decrease of the criterion that counts as improvement. The criterion is one number: the mean
            over the exits that the phase trains of the loss on validation: cross-entropy, or a regression's loss.
        precision: "float32" or "bf16" (autocast; weights stay float32).
        channels_last: memory layout of images and convolutions.
        compile: the network through torch.compile, which takes a minute or more at the start of each phase; on a GPU
            its many small kernels are then launched together (CUDA graphs).
        augment: name of an augmentation of eecore.data; None: the data set's own.
        mixup, cutmix: mix samples and their labels: parameter of the Beta distribution of the shares, see
            eecore.data.mix; None: off. Classification only.
        loss: "standard" (cross-entropy; for regression squared error), or for regression "gaussian": each head has a
            second output, the logarithm of a predicted variance, and the loss is the negative log-likelihood.
        weights: how much each exit counts: a name of eecore.training.objectives.WEIGHTS, or a number above 0 for each
            exit. Only their ratios count.
        gradients: how the gradients of several exits meet in the backbone: a name of
            eecore.training.objectives.GRADIENTS. Of no effect where the backbone does not move.
        distillation: from which later exits an exit learns besides the labels: a name of
            eecore.training.objectives.DISTILLATIONS; None: off. Classification only; of no effect in a phase that
            trains the backbone alone.
        distillation_temperature: T of teacher and student; the term is multiplied by T^2.
        distillation_weight: share of what is taught in the loss of an exit that has a teacher, in [0, 1].
    Raises:
        SettingError: any value is out of its range, has the wrong type, or is unknown.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Rate = 2e-3
    weight_decay: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.01
    schedule: Literal["cosine", "onecycle", "multistep", "constant"] = "cosine"
    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    warmup: Fraction = 0.1
    batch_size: Positive = 50
    batches: Literal["shuffled", "by_length"] = "shuffled"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Rate | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Positive | None = None
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = False
    compile: bool = False
    augment: str | None = None
    mixup: Mixing | None = None
    cutmix: Mixing | None = None
    loss: Literal["standard", "gaussian"] = "standard"
    weights: str | tuple[float, ...] = "uniform"
    gradients: str = "sum"
    distillation: str | None = None
    distillation_temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 3.0
    distillation_weight: Fraction = 0.5

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed with each other."""
        return self.mixup is not None or self.cutmix is not None

    @property
    def has_objective(self) -> bool:
        """Whether something else than the mean of the exits' losses is minimised."""
        return self.weights != "uniform" or self.gradients != "sum" or self.distillation is not None

    def without_objective(self) -> "Recipe":
        """The same recipe with the mean of the exits' losses as what is minimised."""
        fields = ("weights", "gradients", "distillation", "distillation_temperature", "distillation_weight")
        plain = {name: type(self).model_fields[name].default for name in fields}
        return Recipe(**{**self.model_dump(), **plain})

    @field_validator("milestones", "weights", mode="before")
    @classmethod
    def _list_as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("milestones")
    @classmethod
    def _milestones_ascend(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise SettingError(f"milestones: expected ascending fractions, got {list(value)}")
        return value

    @field_validator("weights")
    @classmethod
    def _known_weights(cls, value: str | tuple[float, ...]) -> str | tuple[float, ...]:
        check_weights(value)
        return value

    @field_validator("gradients")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        return choose("gradients", value, GRADIENTS)

    @field_validator("distillation")
    @classmethod
    def _known_distillation(cls, value: str | None) -> str | None:
        return value if value is None else choose("distillation", value, DISTILLATIONS)

    @model_validator(mode="after")
    def _fits_compile(self) -> "Recipe":
        if self.compile and self.gradients in SEPARATE:
            passes = "takes a backward pass for each exit, which compile=True does not allow"
            raise SettingError(f"gradients: {self.gradients!r} {passes}")
        if self.compile and self.batches == "by_length":
            raise SettingError("batches: 'by_length' changes the length of texts at every step, unlike compile=True")
        if self.compile and self.weights == "l2w":
            raise SettingError("weights: 'l2w' takes derivatives of derivatives, which compile=True does not allow")
        return self

    @field_validator("augment")
    @classmethod
    def _known_augmentation(cls, value: str | None) -> str | None:
        return value if value is None else choose("augment", value, data.augmentations())


def check_recipe(recipe: Recipe, info: data.Info) -> None:
    """Stop where a recipe asks for what the data or its task cannot have."""
    wrong_task = {
        "classification": {"loss": recipe.loss == "gaussian"},
        "regression": {
            "mixup": recipe.mixup is not None,
            "cutmix": recipe.cutmix is not None,
            "label_smoothing": recipe.label_smoothing > 0,
            "distillation": recipe.distillation is not None,
            "weights": recipe.weights == "l2w",  # it allots samples by confidence
        },
    }[info.task]
    wrong_kind = {
        "mixup": recipe.mixup is not None and info.kind == "tokens",
        "cutmix": recipe.cutmix is not None and info.kind != "image",
        "batches": recipe.batches == "by_length" and info.kind != "tokens",
    }
    for checks, has in ((wrong_task, f"the task {info.task}"), (wrong_kind, f"samples of kind {info.kind}")):
        for name, wrong in checks.items():
            if wrong:
                raise SettingError(f"{name}: {getattr(recipe, name)!r} does not fit {info.name}, which has {has}")
    fitting = data.augmentations(info.kind)
    if recipe.augment is not None and recipe.augment not in fitting:
        known = ", ".join(fitting)
        raise SettingError(
            f"augment: {recipe.augment!r} does not fit {info.name}, which has samples of kind {info.kind}; fit: {known}"
        )
