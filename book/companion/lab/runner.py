"""The lab runner: the next missing runs of a plan, until the time is up."""

from collections.abc import Callable
from pathlib import Path

import torch

from companion.lab.layout import write_record
from companion.lab.machine import Watch
from companion.lab.plan import Plan, Planned
from companion.lab.record import make_record
from companion.lab.states import record_path, state_of
from eecore.errors import EecoreError, StoreError
from eecore.training import Pace, Paused, Store, train
from eecore.training.identity import prefix_keys

WATCHED = "watched"  # entry of the store: what was seen of the device in earlier parts of a run


def work(
    plan: Plan,
    *,
    pace: Pace,
    device: str = "cpu",
    only: str | None = None,
    folder: Path,
    store: Store | None = None,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> list[Path]:
    """Do the planned runs that are missing or stale, in the plan's order, until the time is up.

    What cannot run (a data set that is not here, a loss that is not finite) is said in one line and the others go on.
    What another process is at is left to it. A run that the clock stops goes on at its last epoch next time.

    Args:
        plan: what to do.
        pace: the clock.
        device: where to train, such as "cuda".
        only: name of the one entry to do. An entry of size "paper" is done on a CPU only so.
        folder: of the records.
        store: of the trained runs; None: the default one.
        say: gets one line for each thing that happens.
        progress: show bars.
    Returns:
        The records that were written.
    Raises:
        SettingError: `only` is not in the plan.
        StoreError: the store cannot be written.
    """
    store = store or Store()
    written: list[Path] = []
    set_aside: set[str] = set()
    for planned in plan.planned(only):
        name = planned.entry.name
        state, why = state_of(planned, folder)
        if state == "done" or name in set_aside:
            continue
        obstacle = _obstacle(planned, device, asked=only is not None)
        if obstacle:
            say(f"{name}: {obstacle}")
            set_aside.add(name)
            continue
        if state == "stale":
            say(f"{planned.title}: stale, made again ({why})")
        try:
            path = _one(planned, device, folder, store, pace, say, progress)
        except Paused as pause:
            say(f"{planned.title}: {pause}")
            break
        except torch.OutOfMemoryError:
            say(f"{name}: {device} has not enough memory for it")
            set_aside.add(name)
        except StoreError:  # it would be the same with every other run
            raise
        except EecoreError as error:
            say(f"{planned.title}: {error}")
            set_aside.add(name)
        else:
            written += [path] if path else []
    return written


def _obstacle(planned: Planned, device: str, asked: bool) -> str:
    """Why an entry is not done now, or ""."""
    lacks = planned.entry.lacks()
    if lacks:
        return f"not runnable yet: needs {lacks}"
    if planned.entry.size == "paper" and torch.device(device).type == "cpu" and not asked:
        return f"left out: a GPU's work (--device cuda); --only {planned.entry.name} does it on the CPU, slowly"
    return ""


def _one(
    planned: Planned,
    device: str,
    folder: Path,
    store: Store,
    pace: Pace,
    say: Callable[[str], None],
    progress: bool,
) -> Path | None:
    """Train one run and write its record; None where another process is at it."""
    run = planned.run(device)
    keys = prefix_keys(run)
    with store.claim(keys[0]) as mine:  # who trains the phase that comes first does all that stand on it
        if not mine:
            say(f"{planned.title}: another process is at it")
            return None
        path = record_path(planned, folder)
        if state_of(planned, folder)[0] == "done":  # another process was faster
            return None
        before = store.record(keys[-1], WATCHED)
        with Watch(device) as watch:
            try:
                result = train(run, store, progress, pace)
            except Paused:
                store.put(keys[-1], WATCHED, {}, watch.summary(before))
                raise
        write_record(path, make_record(planned, result, watch.summary(before)))
        store.remove(keys[-1], WATCHED)
        measure = result.measures[0]
        say(f"{planned.title}: test {measure} at the last exit {result.frame()[measure].iloc[-1]:.3f}, {path}")
        return path
