"""Run an exported network with exits: numpy and onnxruntime are all it needs.

`eecore export` puts a copy of this file beside the segments:

    python run.py samples.npy --threshold 0.9

or, in a program, `EarlyExit(folder)(x, threshold=0.9)`. N samples, C classes, K exits.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

FORMAT = 1


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
    Raises:
        ValueError: a file is missing, damaged, or of another version.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        here = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((here / "exits.json").read_text(encoding="utf-8"))
            content = [(here / one["file"]).read_bytes() for one in self.about["segments"]]
            if self.about["format"] != FORMAT:
                raise ValueError(f"format {self.about['format']} came, this program reads {FORMAT}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"folder: {here} holds no exported network: {error}") from None
        for one, data in zip(self.about["segments"], content, strict=True):
            if hashlib.sha256(data).hexdigest() != one["sha256"]:
                raise ValueError(f"folder: {here / one['file']} is damaged: its checksum does not fit; export it again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = [onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"]) for data in content]

    def __call__(self, x: np.ndarray, threshold: Any = None) -> Answers:
        """Exit, answer and score of every sample.

        Args:
            x: (N, ...), at least one sample, of the shape and type that `about["input"]` says.
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
        shape, kind = tuple(self.about["input"]["shape"]), self.about["input"]["dtype"]
        if not isinstance(x, np.ndarray) or x.shape[1:] != shape or len(x) == 0:
            raise ValueError(f"x: expected an array (N >= 1, {', '.join(map(str, shape))}), got {np.shape(x)}")
        if x.dtype != kind:
            raise ValueError(f"x: expected {kind}, got {x.dtype}")
        return x

    def _limits(self, threshold: Any) -> np.ndarray:
        limits = np.atleast_1d(np.asarray(threshold, dtype=np.float32))
        exits = len(self._sessions)
        if limits.ndim != 1 or len(limits) not in (1, exits) or not ((limits >= 0) & (limits <= 1)).all():
            raise ValueError(f"threshold: expected one number in [0, 1] or one per exit ({exits}), got {threshold}")
        return np.broadcast_to(limits, exits)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Exits and classes of samples in a .npy file.")
    parser.add_argument("samples", help="a .npy file, (N, ...)")
    parser.add_argument("--threshold", type=float, help="in [0, 1]; by default the exported one")
    asked = parser.parse_args()
    try:
        network = EarlyExit(Path(__file__).parent)
        found = network(np.load(asked.samples, allow_pickle=False), asked.threshold)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("sample,exit,class,score")
    for i, (k, answer, score) in enumerate(zip(*found, strict=True)):
        print(f"{i},{k + 1},{answer.argmax()},{score:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
