"""Measure and print: `python -m bench.run`, or `make bench`. Writes build/bench.json."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from bench import analysis, growth, inference, memory, reading, scale, stacked, training
from bench.measure import Row, about, as_table, write
from eecore.errors import EecoreError, SettingError, choose

TARGET = Path(__file__).resolve().parents[1] / "build" / "bench.json"
Suites = Mapping[str, Callable[[], list[Row]]]

SUITES: Suites = {
    "rank": analysis.rank,
    "plane": analysis.landscape,
    "cka": analysis.cka,
    "kde": analysis.kde,
    "curve": analysis.threshold_curve,
    "budgets": analysis.budgets,
    "budgeted-batch": analysis.budgeted,
    "exit-rules": analysis.exit_rule_curves,
    "infer-one": inference.one,
    "infer-batch": inference.batch,
    "train-backbone": training.train_backbone,
    "train-all": training.train_all,
    "train-heads": training.train_heads,
    "train-steps": training.steps,
    "train-gradients": training.gradient_rules,
    "train-accuracy": training.accuracy,
    "sweep-workers": scale.sweep_workers,
    "seeds": scale.seeds,
    "memory-training": memory.training,
    "memory-logits": memory.of_logits,
    "growth-curves": growth.of_curves,
    "growth-training": growth.of_training,
    "growth-seeds": growth.of_seeds,
    "stream": reading.from_disk,
    "seeds-vmap": stacked.seeds_vmap,
}


class _OneLine(argparse.ArgumentParser):
    """A parser whose complaint is an error of ours, in one line."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(message)


def selected(prefix: str, suites: Suites) -> list[str]:
    """Names of the suites that begin with `prefix`.

    Raises:
        SettingError: none does; the message lists them and the nearest.
    """
    names = [name for name in suites if name.startswith(prefix)]
    return names or [choose("--only", prefix, suites)]


def main(words: Sequence[str] | None = None, suites: Suites = SUITES, target: Path = TARGET) -> int:
    """The command line; 0 when all was measured, whatever it came to, and 1 with a line that says what was not."""
    parser = _OneLine(prog="python -m bench.run", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", metavar="PREFIX", default="", help=f"suites: {', '.join(suites)}")
    try:
        names = selected(parser.parse_args(words).only, suites)
        moment, began = about(), time.perf_counter()
        rows: list[Row] = []
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += suites[name]()
        moment["seconds"] = round(time.perf_counter() - began, 1)
        write(rows, moment, target)
    except (EecoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 1
    print(as_table(rows))
    judged = [r.holds for r in rows if r.holds is not None]
    print(f"\n{sum(judged)} of {len(judged)} goals are met. {', '.join(f'{k} {v}' for k, v in moment.items())}")
    print(f"The rows are in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
