"""The command line's export of a run: python -m eecore export."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from eecore import data, export
from eecore.cli_data import console
from eecore.data.own import with_size
from eecore.errors import SettingError, choose
from eecore.export.write import needs_onnx, new_folder
from eecore.inference import Rule, exit_rules, make_rule, predict, score, threshold_for_macs
from eecore.inference.checks import check_thresholds
from eecore.training import Result, Run, Store, default_recipe, train

EXAMPLE = "Example: python -m eecore export --dataset mnist1d --model vit_nano --budget 0.5 --to exported"
SHOWN = 100  # test samples on which the exported network and torch's are compared


def export_command(
    to: Annotated[Path, typer.Option(help="The new folder.")],
    dataset: Annotated[str, typer.Option(help="Name of a data set, or images:DIR and the like.")] = "mnist1d",
    model: Annotated[str, typer.Option(help="Name of a model; `eecore models` lists them.")] = "vit_nano",
    regime: Annotated[str, typer.Option(help="disjoint, joint, mixed, joint_long, ...")] = "mixed",
    epochs: Annotated[int, typer.Option(help="Epochs of each phase.")] = 10,
    seed: Annotated[int, typer.Option(help="0 or greater.")] = 0,
    rule: Annotated[str, typer.Option(help="Exit rule; `eecore methods` lists them.")] = "confidence",
    threshold: Annotated[float | None, typer.Option(help="In [0, 1]; 0.9 where there is no budget.")] = None,
    budget: Annotated[
        float | None, typer.Option(help="Mean cost as a fraction of the backbone's; its threshold is validation's.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in pixels to which own images are resized.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Folder of stored runs; default EECORE_STORE.")] = None,
) -> None:
    """Write a run as ONNX, a file for each way between two exits; the run is trained first where it is not stored."""
    needs_onnx()
    new_folder(to)
    check_thresholds(0.9 if threshold is None else threshold)
    if threshold is not None and budget is not None:
        raise SettingError("threshold, budget: one of them decides when samples leave; give one")
    dataset = with_size(dataset, image_size)
    settings: dict[str, Any] = {"dataset": dataset, "model": model, "regime": regime, "epochs": epochs, "seed": seed}
    run = Run(**settings, recipe=default_recipe(model, dataset))
    if run.task != "classification":
        raise SettingError(f"dataset: {dataset!r} is a regression; rules of classification alone can be exported")
    choose("rule", rule, exit_rules())
    result = train(run, Store(store))
    made = make_rule(rule, result.validation_logits, result.validation_labels)
    limit = _limit(result, made, threshold, budget)
    info, samples = data.info(dataset), data.load(result.run.dataset).test.x[:SHOWN]
    about = {**settings, "dataset": result.labels_of_run["dataset"], "key": result.key}
    folder = export.export(
        result.model(),
        to,
        kind=info.kind,
        shape=info.shape,
        rule=made,
        threshold=limit,
        about=about,
        samples=samples,
    )
    _tell(result, folder, made, limit, samples)


def _limit(result: Result, rule: Rule, threshold: float | None, budget: float | None) -> float:
    if budget is None:
        return 0.9 if threshold is None else threshold
    found = threshold_for_macs(score(result.validation_logits, rule), result.macs, budget * result.backbone_macs)
    if np.isnan(found):
        raise SettingError(f"budget: {budget} does not pay for the first exit of every sample")
    return found


def _tell(result: Result, folder: Path, rule: Rule, limit: float, x: torch.Tensor) -> None:
    """What was written, and that it leaves where torch leaves; `export` has stopped where it does not."""
    torchs, exported = predict(result.model(), x, rule, limit), export.load(folder)(x.numpy())
    same = int((torch.from_numpy(exported.taken) == torchs.taken).sum())
    apart = float(np.abs(exported.answers - torchs.answers.numpy()).max())
    files = list(folder.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e6
    lines = (
        f"wrote {folder}: {len(result.macs)} segments, {size:.2f} MB, threshold {limit:.4g}",
        f"{same} of {len(x)} test samples leave at the exit where torch lets them leave; logits differ by {apart:.1e}",
        f"run it: python {folder / 'run.py'} samples.npy",
    )
    for line in lines:
        console().print(line, highlight=False, markup=False, soft_wrap=True)
