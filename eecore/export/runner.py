"""Run an exported network with exits: numpy and onnxruntime are all it needs, and Pillow for pictures.

`export` puts this file beside the segments, as run.py, with the text of eecore's modules in place of their imports:

    python run.py photo.jpg another.png        python run.py "a sentence"        python run.py samples.npy

or, in a program, `EarlyExit(folder).predict(["photo.jpg"])`. N samples, C classes, K exits.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from eecore.data.answering import Answer, answers, print_answers, spoken
from eecore.data.raw import check_rows, prepare

FORMATS = (1, 2)  # 1 knew neither names of classes nor how a raw sample becomes a row


class Answers(NamedTuple):
    """What came out.

    Args:
        taken: (N,), the exit at which each sample left, 0..K-1.
        answers: (N, C), logits of the answer there.
        scores: (N,), how sure the rule was there.
    """

    taken: np.ndarray
    answers: np.ndarray
    scores: np.ndarray


class EarlyExit:
    """A network in a folder, of which a segment runs only for the samples that are still inside.

    Args:
        folder: with `exits.json` and the segments.
        threads: of onnxruntime.
    Attributes:
        about: what `exits.json` says.
        labels: C names of the classes.
        input: what a row is, and how a raw sample becomes one.
    Raises:
        ValueError: a file is missing, damaged, or of another version.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        here = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((here / "exits.json").read_text(encoding="utf-8"))
            if self.about["format"] not in FORMATS:
                raise ValueError(f"format {self.about['format']} came, this program reads 1 and 2")
            files = [*self.about["segments"], *([self.about["vocabulary"]] if self.about.get("vocabulary") else [])]
            content = [(here / one["file"]).read_bytes() for one in files]
            names = self.about.get("class_names") or map(str, range(self.about["classes"]))
            self.input: dict[str, Any] = {**self.about["input"], "preparation": self.about.get("preparation")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"folder: {here} holds no exported network: {error}") from None
        for one, data in zip(files, content, strict=True):
            if hashlib.sha256(data).hexdigest() != one["sha256"]:
                raise ValueError(f"folder: {here / one['file']} is damaged: its checksum does not fit; export it again")
        if len(files) > len(self.about["segments"]):
            self.input["preparation"] = {**self.input["preparation"], "numbers": json.loads(content.pop())}
        self.labels = tuple(names)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = [onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"]) for data in content]

    def predict(self, samples: Any, threshold: Any = None, *, prepared: bool = False) -> list[Answer]:
        """Class, exit and confidence of raw samples.

        Args:
            samples: one or several: pictures (files, or arrays of pixels), texts, or arrays as the training data were.
            threshold: as in a call.
            prepared: arrays are rows as a call takes them.
        Raises:
            ValueError: a sample cannot be read or does not fit, or the threshold is not as in a call.
        """
        rows = prepare(samples, self.input, prepared=prepared)
        found = self(rows.x, threshold)
        return answers(rows, found.taken, found.answers, self.labels)

    def __call__(self, x: np.ndarray, threshold: Any = None) -> Answers:
        """Exit, answer and score of rows that are prepared: of the training data's size, and normalised as they are.

        Args:
            x: (N, ...), at least one sample, finite, of the shape and type that `about["input"]` says.
            threshold: in [0, 1], one number or one per exit; None: the one that was exported.
        Raises:
            ValueError: the samples or the threshold are not as above.
        """
        limits = self._limits(self.about["threshold"] if threshold is None else threshold)
        state = [self._checked(x)]
        memory: list[np.ndarray] = []
        inside = np.arange(len(x))
        taken, scores = np.zeros(len(x), dtype=np.int64), np.zeros(len(x), dtype=np.float32)
        answers = np.zeros((len(x), self.about["classes"]), dtype=np.float32)
        logits = np.zeros(0)  # of the exit before, which a head in a cascade reads
        last = len(self._sessions) - 1
        for k, session in enumerate(self._sessions):
            one = self.about["segments"][k]
            out = self._run(session, [*state, *([logits] if one["cascade"] else []), *memory])
            (logits, answer, score), state = out[one["states"] :][:3], out[: one["states"]]
            memory = out[one["states"] + 3 :]
            leaves = score > limits[k] if k < last else np.ones(len(inside), dtype=bool)
            here, stays = inside[leaves], ~leaves
            taken[here], answers[here], scores[here] = k, answer[leaves], score[leaves]
            inside = inside[stays]
            if not len(inside):
                break
            if len(here):
                logits, state, memory = logits[stays], [s[stays] for s in state], [m[stays] for m in memory]
        return Answers(taken, answers, scores)

    def _run(self, session: Any, tensors: list[np.ndarray]) -> list[np.ndarray]:
        fed = {f"in{i}": np.ascontiguousarray(tensor) for i, tensor in enumerate(tensors)}
        asked = {one.name for one in session.get_inputs()}  # a graph may do without an input that it does not read
        return session.run(None, {name: tensor for name, tensor in fed.items() if name in asked})

    def _checked(self, x: np.ndarray) -> np.ndarray:
        shape = tuple(self.about["input"]["shape"])
        if not isinstance(x, np.ndarray) or x.shape[1:] != shape or len(x) == 0:
            raise ValueError(f"x: expected an array (N >= 1, {', '.join(map(str, shape))}), got {np.shape(x)}")
        check_rows(x, self.input)
        return x

    def _limits(self, threshold: Any) -> np.ndarray:
        limits = np.atleast_1d(np.asarray(threshold, dtype=np.float32))
        exits = len(self._sessions)
        if limits.ndim != 1 or len(limits) not in (1, exits) or not ((limits >= 0) & (limits <= 1)).all():
            raise ValueError(f"threshold: expected one number in [0, 1] or one per exit ({exits}), got {threshold}")
        return np.broadcast_to(limits, exits)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Class, exit and confidence of pictures, texts or arrays.")
    parser.add_argument("samples", nargs="+", help="a picture's file, a text (or its file), or a .npy file, (N, ...)")
    parser.add_argument("--threshold", type=float, help="in [0, 1]; by default the exported one")
    parser.add_argument("--prepared", action="store_true", help="arrays hold rows that are normalised already")
    asked = parser.parse_args()
    try:
        network = EarlyExit(Path(__file__).parent)
        form = (network.input["preparation"] or {}).get("form", "")
        found = network.predict(spoken(asked.samples, form), asked.threshold, prepared=asked.prepared)
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    print_answers(found, sys.stdout, sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
