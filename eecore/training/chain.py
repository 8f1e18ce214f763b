"""From a run to its result: find the longest stored prefix of the chain, train what is missing, keep the logits."""

import functools
import logging
import time
from typing import Any

from tqdm import tqdm

from eecore import data
from eecore.errors import DataError
from eecore.training import chance
from eecore.training.chain_records import about, phase_record, progress_record, resumed
from eecore.training.identity import prefix_keys
from eecore.training.loop import Progress, split_logits
from eecore.training.optim import derived_seed, torch_settings
from eecore.training.pace import Pace, Paused
from eecore.training.parallel import train_phase
from eecore.training.result import Result, initial_model, is_snapshot_epoch, snapshot_name
from eecore.training.settings import Run
from eecore.training.store import Entry, Store

log = logging.getLogger(__name__)


def train(run: Run, store: Store | None = None, progress: bool = True, pace: Pace | None = None) -> Result:
    """Train `run`, or what of it is not in the store yet, and return its result.

    Args:
        run: the settings.
        store: None: the default store.
        progress: show a bar with the time left, an epoch a tick.
        pace: when the time is up, and how often the state of a phase is stored; None: never, and after every epoch.
    Returns:
        Logits on validation and test, costs and history.
    Raises:
        Paused: the time is up. The same call goes on from there, and ends with the same bits.
        TrainingError: the loss is not finite.
        StoreError: the store cannot be written. What was stored stays.

    Example:
        >>> import tempfile
        >>> run = Run(dataset="synthetic", model="mlp_nano", regime="mixed", epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = train(run, Store(folder), progress=False)
        >>> [phase["trains"] for phase in result.record["phases"]]
        ['backbone', 'all']
    """
    store = store or Store()
    keys = prefix_keys(run)
    stored = read_result(run, store, keys)
    if stored is not None:
        chance.warn(stored)
        return stored
    assert run.phases is not None
    epochs = sum(phase.epochs for phase in run.phases)
    pace = pace or Pace()
    with tqdm(total=epochs, disable=not progress, unit="epoch", desc=_title(run), leave=False) as bar:
        entry: Entry | None = None
        first = _longest_stored(store, keys)
        for i in range(len(run.phases)):
            if i >= first:
                entry = _prefix(run, store, keys, i, entry, bar, pace)
            bar.n = sum(p.epochs for p in run.phases[: i + 1])
            bar.refresh()
    _evaluate(run, store, keys, entry)
    result = read_result(run, store, keys)
    if result is None:  # somebody removed it between these two lines
        return train(run, store, progress, pace)
    chance.warn(result)
    return result


def train_prefix(run: Run, store: Store, phases: int) -> None:
    """Train the first `phases` phases of a run, or what of them is not in the store yet; for engines of `sweep`.

    Args:
        run: the settings.
        store: where the prefixes are.
        phases: how many, 1 to all of the run's.
    Raises:
        TrainingError, StoreError: as `train`.
    """
    with tqdm(disable=True) as bar:
        _prefix(run, store, prefix_keys(run), phases - 1, None, bar, Pace())


def stored_phases(run: Run, store: Store) -> int:
    """How many phases of a run's chain are stored: its longest stored prefix."""
    keys = prefix_keys(run)
    return max((i + 1 for i, key in enumerate(keys) if store.has(key, "weights")), default=0)


def _title(run: Run) -> str:
    return f"{data.info(run.dataset).name} {run.model} {run.regime} seed {run.seed}"


def is_stored(run: Run, store: Store) -> bool:
    """Whether `run`'s result can be read without training."""
    return store.has(prefix_keys(run)[-1], "logits")


def read_result(run: Run, store: Store, keys: list[str]) -> Result | None:
    """The stored result of `run`, or None."""
    entry = store.get(keys[-1], "logits")
    if entry is None:
        return None
    tensors, record = entry
    remake = functools.partial(_remake, run, store, keys)
    return Result(run=run, key=keys[-1], store=store, record=record, remake=remake, **tensors)


def _remake(run: Run, store: Store, keys: list[str], phases: int) -> None:
    """Train the last of the first `phases` phases again, and those before it whose weights are lost, with snapshots."""
    log.warning("weights of phase %d of run %s are not in %s: it is trained again", phases, keys[-1], store.folder)
    store.remove(keys[phases - 1], "weights")
    with tqdm(disable=True) as bar:
        _prefix(run, store, keys, phases - 1, None, bar, Pace())


def _longest_stored(store: Store, keys: list[str]) -> int:
    """Index of the last prefix whose weights are stored, 0 where none is: training starts there, or reads it."""
    return max((i for i, key in enumerate(keys) if store.has(key, "weights")), default=0)


def _prefix(run: Run, store: Store, keys: list[str], i: int, before: Entry | None, bar: Any, pace: Pace) -> Entry:
    """Weights and record after phase `i`: read, or trained from those after phase `i - 1`."""
    with store.lock(keys[i]):
        entry = store.get(keys[i], "weights")
        if entry is not None:
            return entry
        if i and before is None:  # the entry that was there is damaged: go back one prefix
            before = _prefix(run, store, keys, i - 1, None, bar, pace)
        if pace.is_over():
            raise Paused(f"the time is up before phase {i + 1} of {len(keys)}")
        with store.slot():
            entry = _train_prefix(run, store, keys, i, before, bar, pace)
        store.put(keys[i], "weights", *entry)
        store.remove(keys[i], "partial")
        return entry


def _train_prefix(run: Run, store: Store, keys: list[str], i: int, before: Entry | None, bar: Any, pace: Pace) -> Entry:
    assert run.phases is not None
    assert run.recipe is not None
    phase, dataset = run.phases[i], _loaded(run, keys)
    model = initial_model(run)
    if before is not None:
        model.load_state_dict(before[0])

    def keeps(epochs: int) -> bool:
        pace.epoch_ended()
        return pace.wants_state() or (run.snapshots and is_snapshot_epoch(epochs))

    def keep(progress: Progress) -> None:
        bar.update()
        bar.set_postfix(loss=f"{progress.history[-1]['validation_loss']:.3f}")
        if progress.epoch < phase.epochs:
            _keep_state(run, store, keys[i], progress, pace)

    began = time.perf_counter()
    start = resumed(store, keys[i])
    pace.phase_begins()
    bar.update(start.epoch if start else 0)
    progress = train_phase(
        model,
        dataset,
        phase,
        run.recipe,
        augmentation=run.augment,
        seed=derived_seed(run.seed, i),
        threads=run.threads,
        device=run.device,
        processes=run.processes,
        start=start,
        on_epoch=keep,
        keeps=keeps,
    )
    done = phase_record(run, phase, progress, len(dataset.train), time.perf_counter() - began)
    phases = [*(before[1]["phases"] if before else []), done]
    tensors = {name: t.detach().clone() for name, t in model.state_dict().items()}
    return tensors, {**about(run, keys[: i + 1]), "phases": phases}


def _loaded(run: Run, keys: list[str]) -> data.Dataset:
    """The data of a run, as they were when its keys were computed.

    Raises:
        DataError: the files have changed meanwhile: what follows would be stored as a result of the old ones.
    """
    dataset = data.load(run.dataset)
    if prefix_keys(run) != keys:
        raise DataError(f"{run.dataset} changed while it was trained on; leave its files alone and start the run again")
    return dataset


def _keep_state(run: Run, store: Store, key: str, progress: Progress, pace: Pace) -> None:
    """Store what to go on from where it is due, and stop where the time is up."""
    weights = {n.removeprefix("model."): t for n, t in progress.tensors.items() if n.startswith("model.")}
    if weights:
        if run.snapshots and is_snapshot_epoch(progress.epoch):  # first: what goes on from the state has it then
            store.put(key, snapshot_name(progress.epoch), weights, {"epoch": progress.epoch})
        store.put(key, "partial", progress.tensors, progress_record(progress))
        pace.state_stored()
        if pace.is_over():
            raise Paused(f"the time is up after {progress.epoch} epochs of a phase")


def _evaluate(run: Run, store: Store, keys: list[str], entry: Entry | None) -> None:
    """Logits of every exit on validation and test, stored beside the weights."""
    with store.lock(keys[-1]):
        if store.has(keys[-1], "logits"):
            return
        entry = entry or store.get(keys[-1], "weights")
        assert entry is not None
        dataset, model = _loaded(run, keys), initial_model(run)
        model.load_state_dict(entry[0])
        with torch_settings(run.threads):
            logits = {
                "validation_logits": split_logits(model, dataset.validation, device=run.device),
                "test_logits": split_logits(model, dataset.test, device=run.device),
            }
        labels = {"validation_labels": dataset.validation.y, "test_labels": dataset.test.y}
        store.put(keys[-1], "logits", {**logits, **labels}, {**entry[1], "exits": list(model.exits)})
