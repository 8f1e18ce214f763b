"""The command line's export of a run: python -m eecore export."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from eecore import data, export
from eecore.cli_data import console, say_store
from eecore.cli_run import Folder, RunOptions, takes_options
from eecore.data.own import with_size
from eecore.errors import SettingError, choose
from eecore.export.write import needs_onnx, new_folder
from eecore.inference import Rule, exit_rules, predict, score, threshold_for_macs
from eecore.inference.checks import check_thresholds
from eecore.new_samples import THRESHOLD, rule_of
from eecore.training import Result, Store, read_key, train
from eecore.training.chain import is_stored

EXAMPLE = (
    "Example: python -m eecore export --key 3f2a --to exported, "
    "or: python -m eecore export --dataset mnist1d --model vit_nano --budget 0.5 --to exported"
)
SHOWN = 100  # test samples on which the exported network and torch's are compared


@takes_options
def export_command(
    to: Annotated[Path, typer.Option(help="The new folder.")],
    options: RunOptions,
    key: Annotated[
        str | None, typer.Option(help="Key of a stored run, or its beginning, in place of its settings.")
    ] = None,
    rule: Annotated[str, typer.Option(help="Exit rule; `eecore methods` lists them.")] = "confidence",
    threshold: Annotated[float | None, typer.Option(help="In [0, 1]; 0.9 where there is no budget.")] = None,
    budget: Annotated[
        float | None, typer.Option(help="Mean cost as a fraction of the backbone's; its threshold is validation's.")
    ] = None,
    store: Folder = None,
) -> None:
    """Write a run as ONNX, a file for each way between two exits. Settings that are not stored are trained first."""
    needs_onnx()
    new_folder(to)
    check_thresholds(THRESHOLD if threshold is None else threshold)
    if threshold is not None and budget is not None:
        raise SettingError("threshold, budget: one of them decides when samples leave; give one")
    choose("rule", rule, exit_rules())
    here = Store(store)
    result = _by_settings(options, here) if key is None else _by_key(key, options, here)
    made = rule_of(result, rule)
    limit = _limit(result, made, threshold, budget)
    loaded = data.load(result.run.dataset)
    samples = loaded.test.x[:SHOWN]
    about = {**result.labels_of_run, "epochs": [phase["epochs"] for phase in result.record["phases"]]}
    folder = export.export(
        result.model(),
        to,
        kind=loaded.kind,
        shape=loaded.shape,
        rule=made,
        threshold=limit,
        class_names=result.labels,
        preparation=loaded.preparation,
        about={**about, "key": result.key},
        samples=samples,
    )
    _tell(result, folder, made, limit, samples)


def _by_key(key: str, options: RunOptions, store: Store) -> Result:
    """A stored run; nothing is trained. Its data may have moved."""
    said = options.said()
    has_moved = "--dataset" in said
    others = [option for option in said if not (has_moved and option in ("--dataset", "--image-size"))]
    if others:
        raise SettingError(f"key: it says all settings of a run; leave out {', '.join(others)}")
    found = read_key(store, key, with_size(options.dataset, options.image_size) if has_moved else None)
    say_store(store.folder)
    return found


def _by_settings(options: RunOptions, store: Store) -> Result:
    """The run of these settings, which is trained where it is not stored, and then that is said."""
    run = options.run()
    if run.task != "classification":
        raise SettingError(f"dataset: {run.dataset!r} is a regression; rules of classification alone can be exported")
    say_store(store.folder)
    if not is_stored(run, store):
        phases = " + ".join(f"{phase.rule or phase.trains}:{phase.epochs}" for phase in run.phases or ())
        start = f", from {run.pretrained}" if run.pretrained else ""
        print(
            f"not in the store, so it is trained first: {run.dataset} {run.model} {run.regime} "
            f"({phases} epochs) seed {run.seed}{start}; a stored run is exported by --key, see `eecore runs list`",
            file=sys.stderr,
        )
    return train(run, store)


def _limit(result: Result, rule: Rule, threshold: float | None, budget: float | None) -> float:
    if budget is None:
        return THRESHOLD if threshold is None else threshold
    found = threshold_for_macs(score(result.validation_logits, rule), result.macs, budget * result.backbone_macs)
    if np.isnan(found):
        raise SettingError(f"budget: {budget} does not pay for the first exit of every sample")
    return found


def _tell(result: Result, folder: Path, rule: Rule, limit: float, x: torch.Tensor) -> None:
    """What was written, and that it leaves where torch leaves; `export` has stopped where it does not."""
    form = (data.load(result.run.dataset).preparation or {}).get("form", "")
    sample = {"picture": "photo.jpg", "text": '"a sentence"'}.get(form, "samples.npy")
    torchs, exported = predict(result.model(), x, rule, limit), export.load(folder)(x.numpy())
    same = int((torch.from_numpy(exported.taken) == torchs.taken).sum())
    apart = float(np.abs(exported.answers - torchs.answers.numpy()).max())
    files = list(folder.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e6
    lines = (
        f"wrote {folder}: {len(result.macs)} segments, {size:.2f} MB, threshold {limit:.4g}",
        f"{same} of {len(x)} test samples leave at the exit where torch lets them leave; logits differ by {apart:.1e}",
        f"run it: python {folder / 'run.py'} {sample}",
    )
    for line in lines:
        console().print(line, highlight=False, markup=False, soft_wrap=True)
