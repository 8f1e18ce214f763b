"""Write a network with exits as ONNX, a file for each segment, so that what runs it can stop at an exit.

K exits, C classes.
"""

import copy
import hashlib
import importlib
import importlib.util
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eecore.errors import SettingError, how_to_install, shown
from eecore.export.segments import Segment, adaptive_maximum, cut, exportable, inputs_in_turn
from eecore.inference import exit_taken, folded, predict
from eecore.inference.checks import Number, Numbers, check_thresholds
from eecore.inference.protocol import ExitRule, Rule
from eecore.models import MultiExit, exit_macs
from eecore.models.backbone import check_data
from eecore.models.comparing import apart, one_line, samples_like, tolerance

__all__ = ["export", "load"]

NEEDS = ("onnx", "onnxscript", "onnxruntime")
CLOSE = 1e-3  # scores so near their threshold may fall on either side of it by rounding
COMPARED = 64  # random samples on which graphs and network are compared


def needs_onnx() -> None:
    """Stop where the extra is missing.

    Raises:
        SettingError: one line that says what to install.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingError(f"export: {', '.join(missing)} is missing: {how_to_install('export')} brings it")


def new_folder(to: str | Path) -> Path:
    """The path, where nothing is yet, or an empty folder; the folder around it is made, so that it can be written to.

    Raises:
        SettingError: something is there, or nothing can be written there.
    """
    target = Path(to)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise SettingError(f"to: {target} is there already; name a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent):
            return target
    except OSError as error:  # asked before anything is trained for it
        raise SettingError(f"to: {shown(str(target))} cannot be written: {error.strerror or error}") from None


def export(
    model: MultiExit,
    to: str | Path,
    *,
    kind: str,
    shape: Sequence[int],
    rule: Rule = "confidence",
    threshold: Number | Numbers = 0.9,
    class_names: Sequence[str] = (),
    preparation: Mapping[str, Any] | None = None,
    about: Mapping[str, object] | None = None,
    samples: Tensor | None = None,
) -> Path:
    """Write a folder that runs without eecore and torch: `EarlyExit(folder)`, or `python FOLDER/run.py photo.jpg`.

    It holds a graph for each segment (the blocks between two exits, a head, the rule), `exits.json` with shapes,
    thresholds, costs, names of classes, how a raw sample becomes a row, and checksums, the vocabulary of texts, and the
    runner, `run.py`. Batch normalisations are folded. The rule is part of the graphs, what it remembers goes from one
    to the next; the threshold can be another at every call. Before the folder has its name, the graphs run on samples:
    logits and exits must be those of the network.

    Args:
        model: on the CPU; stays as it is.
        to: the new folder.
        kind, shape: of one sample of data, as in `eecore.models.build`.
        rule: "confidence", "entropy", "margin", or an object (see `exit_rules`).
        threshold: in [0, 1], one number or one per exit: what the runner takes where it is told no other.
        class_names: one a class, as `Info.labels`; empty: their numbers.
        preparation: of the data set (see `Dataset`); None: the folder takes rows of `x` alone.
        about: plain data to be kept in `exits.json`.
        samples: (N, ...), real samples, prepared as for training, on which graphs and network are compared; None:
            random ones.
    Returns:
        The folder.
    Raises:
        SettingError: the extra "export" is missing, the folder is there already, the rule is none that can be exported
            or does not fit the model, the thresholds, names or samples are not as above, or the graphs do not compute
            what the network does; nothing is left behind then.
        OSError: the folder cannot be written.
    """
    needs_onnx()
    target, sides, known = new_folder(to), check_data(kind, shape), exportable(rule)
    limits = check_thresholds(threshold).tolist()
    if len(limits) not in (1, model.n_exits):
        raise SettingError(f"threshold: expected one number or one per exit ({model.n_exits}), got {len(limits)}")
    x = torch.zeros(2, *sides, dtype=torch.int64 if kind == "tokens" else torch.float32)
    tried = _samples(model, kind, sides) if samples is None else samples
    if tried.shape[1:] != x.shape[1:] or len(tried) == 0 or tried.dtype != x.dtype:
        came = f"{tuple(tried.shape)} of {tried.dtype}"
        raise SettingError(f"samples: expected (N, {', '.join(map(str, sides))}) of {x.dtype}, got {came}")
    plain = copy.deepcopy(model).eval()
    quick = folded(plain, tried)
    with torch.no_grad():
        classes = quick.forward_to(x, model.n_exits - 1).shape[1]
    known.check(model.n_exits, classes)
    if class_names and len(class_names) != classes:
        raise SettingError(f"class_names: expected {classes}, one a class, got {len(class_names)}")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
        part = Path(name) / "part"
        part.mkdir()
        segments = [_write(segment, inputs, part) for segment, inputs in cut(quick, known, x)]
        record = {
            "format": 2,
            "rule": getattr(known, "name", type(known).__name__),
            "threshold": limits if len(limits) > 1 else limits[0],
            "input": {"kind": kind, "shape": list(sides), "dtype": str(x.dtype).removeprefix("torch.")},
            "classes": classes,
            "class_names": list(class_names),
            **_how_to_prepare(preparation, part),
            "macs": exit_macs(model, sides, kind),
            "segments": segments,
            "about": dict(about or {}),
        }
        _check(plain, known, segments, part, tried, limits)
        (part / "exits.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (part / "run.py").write_text(standalone("eecore.export.runner"), encoding="utf-8")
        if target.exists():
            target.rmdir()
        part.rename(target)
    return target


def _how_to_prepare(preparation: Mapping[str, Any] | None, folder: Path) -> dict[str, object]:
    """What the runner has to know of raw samples; a vocabulary gets a file of its own."""
    if preparation is None or "numbers" not in preparation:
        return {"preparation": preparation, "vocabulary": None}
    content = json.dumps(preparation["numbers"], ensure_ascii=False, indent=0).encode(errors="surrogatepass")
    (folder / "vocabulary.json").write_bytes(content)
    rest = {name: value for name, value in preparation.items() if name != "numbers"}
    return {"preparation": rest, "vocabulary": {"file": "vocabulary.json", "sha256": _sha256(content)}}


def standalone(module: str) -> str:
    """A module's text with the texts of those of eecore in place of the lines that import from them.

    They may import one another in this one-line form alone, and nothing else that the runner does without. What several
    of them import stands there once.

    Example:
        >>> "import" in standalone("eecore.special")
        False
    """
    return _joined(module, set())


def _joined(module: str, there: set[str]) -> str:
    """The text of a module and of those that it imports, without what is there already."""
    if module in there:
        return ""
    there.add(module)
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text(encoding="utf-8")
    return re.sub(r"^from (eecore[\w.]*) import .+$", lambda line: _joined(line[1], there), text, flags=re.MULTILINE)


def _samples(model: MultiExit, kind: str, sides: tuple[int, ...]) -> Tensor:
    """Random samples of the form that the network is made for.

    Raises:
        SettingError: they are tokens, and nobody knows how many there are.
    """
    vocabulary = model.made_for[2] if model.made_for else 0
    if kind == "tokens" and not vocabulary:
        raise SettingError("samples: give some, to compare the graphs with the network; its vocabulary is not known")
    return samples_like(kind, sides, vocabulary, COMPARED)


@torch.no_grad()
def _check(
    model: MultiExit, rule: ExitRule, segments: list[dict[str, Any]], folder: Path, x: Tensor, limits: list[float]
) -> None:
    """Run the written graphs on samples, all of them through all exits, and compare with the network.

    Args:
        model: as it came, not folded, in eval mode.
        rule, segments, folder: what was written, and where.
        x: (N, ...), samples.
        limits: thresholds, one or K.
    Raises:
        SettingError: logits or scores differ by more than rounding, or samples leave elsewhere.
    """
    runtime = importlib.import_module("onnxruntime")
    came: list[Any] = [x.numpy()]
    logits, scores, wanted_scores = model(x.clone()), [], []
    for k, (segment, inputs) in enumerate(cut(model, rule, x.clone())):
        session = runtime.InferenceSession(str(folder / segments[k]["file"]), providers=["CPUExecutionProvider"])
        asked = {one.name for one in session.get_inputs()}  # a graph may do without an input that it does not read
        fed = {f"in{i}": tensor for i, tensor in enumerate(came)}
        out = [torch.from_numpy(one) for one in session.run(None, {n: t for n, t in fed.items() if n in asked})]
        states = segments[k]["states"]
        far = apart(out[states], logits[k])
        if not far <= tolerance(logits[k]):
            raise SettingError(
                f"export: the graphs are another network: logits of exit {k + 1} differ by {far:.2g} of the largest; "
                "nothing was written. A part of the model does what ONNX does otherwise, or works in place"
            )
        scores.append(out[states + 2])
        wanted_scores.append(segment.run(tuple(one.clone() for one in inputs))["score"][0])
        parts = {"state": out[:states], "logits": out[states : states + 1], "memory": out[states + 3 :]}
        following = k + 1 < len(segments) and segments[k + 1]["cascade"]
        came = [one.numpy() for one in inputs_in_turn(parts, bool(following))]
    threshold = limits if len(limits) > 1 else limits[0]
    exits = exit_taken(torch.stack(scores), threshold)
    torchs = predict(model, x.clone(), rule, threshold).taken
    at = torch.minimum(exits, torchs)
    each = torch.tensor(limits if len(limits) > 1 else limits * model.n_exits, dtype=torch.float32)
    clear = (torch.stack(wanted_scores).gather(0, at[None])[0] - each[at]).abs() > CLOSE
    if moved := int(((exits != torchs) & clear).sum()):
        raise SettingError(
            f"export: {moved} of {len(x)} samples leave the graphs at another exit than the network, though their "
            "scores are not near the threshold; nothing was written"
        )


def load(folder: str | Path, threads: int = 1) -> Any:
    """The exported network, ready to run: an `EarlyExit` (eecore/export/runner.py).

    Args:
        folder: that `export` wrote.
        threads: of onnxruntime.
    Raises:
        SettingError: the extra is missing, or the folder is none that `export` wrote, or damaged.
    """
    needs_onnx()
    runner = importlib.import_module("eecore.export.runner")  # it needs onnxruntime, which is optional
    try:
        return runner.EarlyExit(folder, threads)
    except ValueError as error:
        raise SettingError(str(error)) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(segment: Segment, inputs: tuple[Tensor, ...], folder: Path) -> dict[str, object]:
    """Write one segment; what the runner has to know of it."""
    out = segment.run(inputs)
    file = folder / f"segment{segment.k + 1}.onnx"
    with one_line(
        f"export: exit {segment.k + 1} cannot be made a graph for any number of samples (what asks len(x) in place of "
        "x.shape[0], or goes by values, hinders it)"
    ):
        _graph(segment, inputs, sum(map(len, out.values()))).save(file)
    return {
        "file": file.name,
        "sha256": _sha256(file.read_bytes()),
        "states": len(out["state"]),
        "cascade": segment.cascade,
    }


def _graph(segment: Segment, inputs: tuple[Tensor, ...], outputs: int) -> torch.onnx.ONNXProgram:
    """The segment for batches of any size, its inputs in0, in1, ..., its outputs out0, out1, ..."""
    batch = torch.export.Dim("batch")
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)  # it reports that torchvision is missing, which nothing here needs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter warns of what it uses itself
            traced = torch.export.export(segment, inputs, dynamic_shapes=(tuple({0: batch} for _ in inputs),))
            program = torch.onnx.export(
                traced.run_decompositions({torch.ops.aten.adaptive_max_pool2d.default: adaptive_maximum}),
                dynamo=True,
                verbose=False,
                input_names=[f"in{i}" for i in range(len(inputs))],
                output_names=[f"out{i}" for i in range(outputs)],
            )
    finally:
        log.setLevel(level)
    assert program is not None
    return program
