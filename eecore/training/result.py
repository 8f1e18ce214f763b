"""What a run leaves behind: logits of every exit, costs, history; all evaluation is a function of these.

Axes: K exits, N samples, C classes (or outputs of a regression).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import pandas as pd
from torch import Tensor

from eecore import data, models
from eecore.errors import DataError, SettingError, StoreError, shown
from eecore.metrics import MEASURES, mean_squared_error, pearson
from eecore.shapes import Float, Int
from eecore.training import pretrained
from eecore.training.costs import training_costs
from eecore.training.phases import Phase
from eecore.training.recipe import Recipe
from eecore.training.settings import Run
from eecore.training.store import Store


def initial_model(run: Run) -> models.MultiExit:
    """The network that `run` starts from, on the CPU; the same for every regime of one seed."""
    model = models.build(run.model, **run.network, seed=run.seed)
    if run.pretrained is not None:
        pretrained.load(model, run.pretrained)
    return model


def is_snapshot_epoch(epoch: int) -> bool:
    """Whether the weights after this epoch of a phase are kept: 1, 2, 4, 8, ..., as networks change most at first.

    Example:
        >>> [epoch for epoch in range(1, 20) if is_snapshot_epoch(epoch)]
        [1, 2, 4, 8, 16]
    """
    return epoch > 0 and epoch & (epoch - 1) == 0


def snapshot_name(epoch: int) -> str:
    """Name of the store's entry that holds the weights after an epoch of a phase."""
    return f"weights-after-{epoch}"


class Moment(NamedTuple):
    """A point of a run's training at which its weights are known.

    Args:
        phase: 0 before all training, 1 for the first phase of the chain.
        epoch: epochs done in that phase.
        trained: epochs done in all phases.
    """

    phase: int
    epoch: int
    trained: int


def _measured(logits: Tensor, labels: Tensor, task: str) -> list[dict[str, float]]:
    """The measures of the task for each exit, as if it were the only one."""
    if task == "classification":
        correct = (logits.argmax(dim=2) == labels).double().mean(dim=1)
        return [{"accuracy": accuracy} for accuracy in correct.tolist()]
    prediction = logits[:, :, 0]
    pairs = zip(pearson(prediction, labels).tolist(), mean_squared_error(prediction, labels).tolist(), strict=True)
    return [{"pearson": correlation, "mse": error} for correlation, error in pairs]


@dataclass(frozen=True)
class Result:
    """A trained run: stored logits and costs in memory, weights and features on request.

    Attributes:
        run: the settings.
        key: its place in the store.
        validation_logits, test_logits: (K, N, C) float16; for regression (K, N, 1), or (K, N, 2) with a log variance,
            float32.
        validation_labels, test_labels: (N,), classes or the right numbers.
        record: settings, history of every phase, versions, seconds.
        remake: trains the phases up to a number of them again, where their weights were lost; None: nobody can.
    """

    run: Run
    key: str
    store: Store
    validation_logits: Float[Tensor, "K N C"]
    test_logits: Float[Tensor, "K M C"]
    validation_labels: Int[Tensor, " N"] | Float[Tensor, " N"]
    test_labels: Int[Tensor, " M"] | Float[Tensor, " M"]
    record: dict[str, Any]
    remake: Callable[[int], None] | None = field(default=None, repr=False, compare=False)

    def __getattr__(self, name: str) -> NoReturn:
        """What is looked for here first and stands elsewhere is named."""
        hint = "; eecore.predict(result, samples) answers for new samples" if name == "predict" else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    @property
    def macs(self) -> list[int]:
        """Multiply-adds per sample to each exit, heads passed on the way included."""
        return list(self.run.described["macs"])

    @property
    def backbone_macs(self) -> int:
        """Multiply-adds per sample of the plain network: stem, blocks, last head."""
        return int(self.run.described["backbone_macs"])

    @property
    def training_macs(self) -> int:
        """Multiply-adds of the whole training."""
        return sum(self.phase_macs)

    @functools.cached_property
    def phase_macs(self) -> list[int]:
        """Multiply-adds of each phase of the training."""
        return training_costs(self.run, self.record["phases"])

    @property
    def training_seconds(self) -> float:
        """Seconds of the whole training, evaluation left out."""
        return sum(phase["seconds"] for phase in self.record["phases"])

    @functools.cached_property
    def labels_of_run(self) -> dict[str, Any]:
        """The columns that say which run a row of a table belongs to."""
        return {
            "dataset": data.info(self.run.dataset).name,
            "model": self.run.model,
            "regime": self.run.regime,
            "seed": self.run.seed,
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, by number, as the data set has them; none for regression."""
        return data.info(self.run.dataset).labels

    def frame(self) -> pd.DataFrame:
        """Long form: one row per exit and split.

        Returns:
            Columns dataset, model, regime, seed, exit (1..K), split, the measures of the task, macs (per sample),
            macs_fraction (of the backbone's), training_macs, training_seconds. The measures: accuracy (fraction); for
            regression pearson (in [-1, 1]) and mse (mean squared error, in the squared unit of the labels) in its
            place, so that frames of both tasks can be put below each other, NaN where a measure does not apply.
        """
        rows = []
        for split in ("validation", "test"):
            logits, labels = getattr(self, f"{split}_logits"), getattr(self, f"{split}_labels")
            for k, measured in enumerate(_measured(logits, labels, self.run.task)):
                costs = {"macs": self.macs[k], "macs_fraction": self.macs[k] / self.backbone_macs}
                rows.append({**self.labels_of_run, "exit": k + 1, "split": split, **measured, **costs})
        return pd.DataFrame(rows).assign(training_macs=self.training_macs, training_seconds=self.training_seconds)

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns of `frame` that say how good an exit is; the first one is the main one."""
        return MEASURES[self.run.task]

    def history(self) -> pd.DataFrame:
        """One row per epoch of every phase: phase, trains, epoch, train_loss, validation_loss, lr, seconds."""
        rows = [
            {**self.labels_of_run, "phase": i + 1, "trains": phase["trains"], **row}
            for i, phase in enumerate(self.record["phases"])
            for row in phase["history"]
        ]
        return pd.DataFrame(rows)

    def moments(self, training: bool = True) -> list[Moment]:
        """When this run's weights are known: before training, after each phase and, if asked for, its snapshots.

        Args:
            training: with the snapshots (epochs 1, 2, 4, ... of each phase), or phase ends alone.
        """
        found, before = [Moment(0, 0, 0)], 0
        for i, phase in enumerate(self.record["phases"]):
            done = phase["epochs_done"]
            inside = [e for e in range(1, done) if training and is_snapshot_epoch(e)]
            found += [Moment(i + 1, epoch, before + epoch) for epoch in [*inside, done]]
            before += done
        return found

    def model(self, prefix: int | None = None, epoch: int | None = None) -> models.MultiExit:
        """The trained network in eval mode. Weights that were lost or damaged are made again, and that is reported.

        Args:
            prefix: after this many phases (0: untrained); None: after all of them.
            epoch: after this epoch of the last of these phases, one of `moments`; None: at its end. Where a recipe
                averages weights, a snapshot holds the raw ones.
        Raises:
            StoreError: the weights are not in the store and cannot be made again: no snapshot was asked for.
        """
        model = initial_model(self.run)
        keys = self.record["prefix_keys"]
        phases = len(keys) if prefix is None else prefix
        if phases:
            inside = epoch is not None and epoch < self.record["phases"][phases - 1]["epochs_done"]
            name = snapshot_name(epoch) if inside and epoch is not None else "weights"
            entry = self.store.get(keys[phases - 1], name)
            if entry is None and self.remake is not None and (self.run.snapshots or not inside):
                self.remake(phases)
                entry = self.store.get(keys[phases - 1], name)
            if entry is None:
                what = f"weights of phase {phases}" + (f" after epoch {epoch}" if inside else "")
                raise StoreError(
                    f"the {what} of run {self.key} are not in {self.store.folder}: remove {keys[phases - 1]} "
                    "there and train again, with snapshots=True"
                )
            model.load_state_dict(entry[0])
        return model.eval()


def one_key(store: Store, beginning: str) -> str:
    """The stored key that begins so.

    Raises:
        SettingError: there is none, or more than one.
    """
    matching = [key for key in store.stored_keys() if key.startswith(beginning)]
    if len(matching) != 1:
        raise SettingError(f"key: {shown(beginning)} fits {len(matching)} stored runs; `runs list` shows them")
    return matching[0]


def read_key(store: Store, beginning: str, dataset: str | None = None) -> Result:
    """The stored result with this key. Nothing is trained for it, whatever is lost.

    Args:
        store: where it is.
        beginning: of the key.
        dataset: the data that it was trained on, where the run does not say so, or they have moved; None: as it says.
    Raises:
        SettingError: the key fits none or several, or none that is a whole run, or the data are others.
        DataError: the data are not here.
    """
    key = one_key(store, beginning)
    entry = store.get(key, "logits")
    if entry is None:
        raise SettingError(f"key: {key} holds no result, it is a part of a run; `runs show` says what of it is there")
    tensors, record = entry
    known, said = record["identity"], record.get("said", {})
    name = dataset or said.get("dataset", known["dataset"])
    if dataset is None and not said and name not in data.names():
        raise SettingError(f"dataset: {key} was trained on data of your own called {name!r}; say where they are")
    try:
        here = data.load(name)
    except DataError as error:
        raise DataError(f"{error}; {key} was trained on these data: say with `dataset` where they are now") from None
    if here.fingerprint != known["data_fingerprint"]:
        raise SettingError(f"dataset: {shown(name)} holds other data than those that {key} was trained on")
    fields = Phase.__dataclass_fields__
    run = Run(
        dataset=name,
        regime=said.get("regime", "own"),
        recipe=Recipe(**known["recipe"]),
        phases=tuple(Phase(**{f: phase[f] for f in fields if f in phase}) for phase in record["phases"]),
        exits=known["exits"],
        device="cpu",  # where it is asked; its key says where it was trained
        **{setting: known[setting] for setting in ("model", "head", "seed", "threads")},
    )
    return Result(run=run, key=key, store=store, record=record, remake=None, **tensors)
