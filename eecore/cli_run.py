"""The options that say what a run is, the same for every command of the command line that trains or needs one."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from eecore import data
from eecore.data.own import with_size
from eecore.errors import SettingError, shown
from eecore.training import Result, Run
from eecore.values import read

__all__ = ["Dataset", "Folder", "Model", "RunOptions", "TrainingOptions", "measure_line", "takes_options"]

Dataset = Annotated[
    str, typer.Option(help="Name of a data set (`eecore data` lists them), or images:DIR and the like.")
]
Model = Annotated[str, typer.Option(help="Name of a model; `eecore models` lists them.")]
Folder = Annotated[
    Path | None, typer.Option("--store", readable=False, help="Folder of stored runs; default EECORE_STORE.")
]


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is trained; None: as in `Run`."""

    epochs: Annotated[int | None, typer.Option(help="Epochs of each phase; default the preset's, else 10.")] = None
    exits: Annotated[
        str | None, typer.Option(help="every, every:2, macs:4 or block indices such as 0,2,5; default every.")
    ] = None
    head: Annotated[str | None, typer.Option(help="Kind of the heads; default auto.")] = None
    preset: Annotated[str | None, typer.Option(help="A recipe by name; `eecore recipes` lists them.")] = None
    recipe: Annotated[
        list[str] | None, typer.Option(help="A setting of the recipe, such as lr=0.001; once for each.")
    ] = None
    given: Annotated[
        str | None, typer.Option("--pretrained", help="Weights to start from: a file of `runs export`.")
    ] = None
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels to which own images are resized; 32 if not given.")
    ] = None
    threads: Annotated[int | None, typer.Option(help="Threads of torch; part of a run's identity; default 1.")] = None
    processes: Annotated[
        int | None, typer.Option(help="Processes that compute each batch together, on the CPU; default 1.")
    ] = None
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:0, ...; default cpu.")] = None

    def training(self) -> dict[str, Any]:
        """What was said of it, as settings of `Run`; the recipe as the settings in which it differs."""
        found = {name: getattr(self, name) for name in ("epochs", "head", "preset", "threads", "processes", "device")}
        found |= {"pretrained": self.given, "exits": None if self.exits is None else _exits(self.exits)}
        found["recipe"] = _assignments(self.recipe) if self.recipe else None
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class RunOptions(TrainingOptions):
    """One run: which network learns what, in which regime, and how it is trained."""

    dataset: Dataset = "mnist1d"
    model: Model = "vit_nano"
    regime: Annotated[str, typer.Option(help="disjoint, joint, mixed, joint_long, ...")] = "mixed"
    seed: Annotated[int, typer.Option(help="0 or greater.")] = 0

    def said(self) -> list[str]:
        """The options that are not at their defaults, as they are written: for commands that take a key instead."""
        names = {"given": "pretrained"}
        changed = [one.name for one in fields(self) if getattr(self, one.name) not in (one.default, [])]
        return [f"--{names.get(name, name).replace('_', '-')}" for name in changed]

    def run(self) -> Run:
        """The run.

        Raises:
            SettingError: an option has a value that is not allowed; one line.
        """
        dataset = with_size(self.dataset, self.image_size)
        return Run(dataset=dataset, model=self.model, regime=self.regime, seed=self.seed, **self.training())


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter annotated as TrainingOptions or RunOptions is all their options on the command line.

    Example:
        >>> @takes_options
        ... def learn(options: RunOptions, store: Folder = None) -> None: ...
        >>> list(inspect.signature(learn).parameters)[:2]
        ['dataset', 'model']
    """
    signature = inspect.signature(command)
    name, kind = next(
        (p.name, p.annotation)
        for p in signature.parameters.values()
        if isinstance(p.annotation, type) and issubclass(p.annotation, TrainingOptions)
    )
    known = {one.name: one for one in fields(kind)}
    first = [each for each in known if each in kind.__annotations__]  # what a run is stands before how it is trained
    options = [
        inspect.Parameter(
            each, inspect.Parameter.KEYWORD_ONLY, default=known[each].default, annotation=known[each].type
        )
        for each in dict.fromkeys([*first, *known])
    ]
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for given in signature.parameters.values()
        for one in (options if given.name == name else [given])
    ]

    def with_options(**values: Any) -> None:
        command(**{name: kind(**{each: values.pop(each) for each in known})}, **values)

    with_options.__doc__, with_options.__name__ = command.__doc__, command.__name__
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def measure_line(result: Result) -> str:
    """How good every exit is on test, on one line: accuracy in percent, or for regression Pearson's correlation."""
    frame, measure = result.frame().query("split == 'test'"), result.measures[0]
    scale, digits, unit = (100, 1, " (%)") if measure == "accuracy" else (1, 3, "")
    cells = " ".join(f"{scale * value:.{digits}f}" for value in frame[measure])
    run = result.run
    name = data.info(run.dataset).name
    return f"{name} {run.model} {run.regime} seed {run.seed}: test {measure} per exit{unit} {cells}"


def _exits(text: str) -> str | tuple[int, ...]:
    parts = text.split(",")
    return tuple(map(int, parts)) if all(re.fullmatch("[0-9]{1,10}", part.strip()) for part in parts) else text


def _assignments(texts: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"recipe: expected name=value, got {shown(text)}")
        try:
            values[name] = read(value)
        except SettingError as error:
            raise SettingError(f"{name}: {error}") from None
    return values
