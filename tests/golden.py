"""Tiny runs of each kind of phase, rule, objective, task and setting; `python tests/golden.py` writes what they give.

What they give may change only together with `TRAINING`: then the file is written anew, and the change says why.
"""

import hashlib
import json
import platform
import re
import tempfile
from pathlib import Path

import torch

import eecore
from eecore.training import objectives, recipes
from eecore.training.phases import Phase

FILE = Path(__file__).parent / "golden.json"
STEPS = 6  # of an epoch
CLASSES = {"dataset": "mnist1d", "model": "mlp_nano", "epochs": 1}
REGIMES = (
    *("disjoint", "joint", "mixed", "heads_only", "full", "refit", "alternating", "branch_wise"),
    *("unfreeze_top", "unfreeze_bottom", "gated", "detached", "random_backbone"),
)
SETTINGS = {
    "sgd": {"optimizer": "sgd", "lr": 0.01},
    "onecycle": {"schedule": "onecycle"},
    "multistep": {"schedule": "multistep", "warmup": 0.0},
    "constant": {"schedule": "constant"},
    "unclipped": {"clip_norm": None, "weight_decay": 0.3},
    "ema": {"ema": 0.9},
    "smoothed": {"label_smoothing": 0.1},
    "shifted": {"augment": "shift"},
}
NETWORKS = {
    "resnet": {"dataset": "mnist1d", "model": "resnet_nano"},
    "vit": {"dataset": "mnist1d", "model": "vit_nano"},
    "cascade": {"dataset": "mnist1d", "model": "mlp_nano", "head": "cascade:linear"},
    "msdnet": {"dataset": "digits", "model": "msdnet_nano"},
    "efficientnet": {"dataset": "digits", "model": "efficientnet_nano"},
    "images mixed up": {"dataset": "digits", "model": "resnet_nano", "recipe": {"mixup": 0.4, "cutmix": 1.0}},
    "regression": {"dataset": "synthetic_regression", "model": "mlp_nano"},
    "variance": {"dataset": "synthetic_regression", "model": "mlp_nano", "recipe": {"loss": "gaussian"}},
    "text": {"dataset": "synthetic_text", "model": "text_nano"},
    "text by length": {"dataset": "synthetic_text", "model": "text_nano", "recipe": {"batches": "by_length"}},
}


def cases():
    """Name -> settings of a run."""
    out = {f"regime {name}": {**CLASSES, "regime": name} for name in REGIMES}
    out["regime mixed, stopped early"] = {**CLASSES, "regime": "mixed", "epochs": 4, "recipe": {"patience": 1}}
    for kind in ("weights", "gradients", "distillation"):
        names = getattr(objectives, kind.upper() if kind != "distillation" else "DISTILLATIONS")
        out |= {f"{kind} {name}": {**CLASSES, "regime": "mixed", "recipe": {kind: name}} for name in names}
    out |= {f"setting {name}": {**CLASSES, "regime": "mixed", "recipe": change} for name, change in SETTINGS.items()}
    out |= {f"network {name}": {"regime": "mixed", "epochs": 1, **about} for name, about in NETWORKS.items()}
    out["phases of one's own"] = {**CLASSES, "regime": "joint", "phases": (Phase("heads", 1), Phase("all", 1))}
    return out


def outputs(settings):
    """What the network of a run gives for the first two validation samples, float32."""
    samples = len(eecore.data.load(settings["dataset"]).train)  # few and small steps: rounding must not grow
    chosen = {"batch_size": samples // STEPS, "lr": 1e-3, **settings.get("recipe", {})}
    whole = recipes.default_recipe(settings["model"], settings["dataset"]).model_dump()
    with tempfile.TemporaryDirectory() as folder:
        run = eecore.Run(**{**settings, "seed": 0, "recipe": eecore.Recipe(**{**whole, **chosen})})
        model = eecore.train(run, eecore.Store(folder)).model().eval()
    with torch.no_grad():
        return model(eecore.data.load(settings["dataset"]).validation.x[:2])


def bits(values):
    """A hash of a tensor's bits."""
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()[:16]


def machine():
    """What decides the bits of a sum beside the program: torch, the processor and what it can."""
    about = Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else platform.processor()
    chosen = re.findall(r"^(?:model name|cpu family|model|stepping|flags)\s*:.*$", about.split("\n\n")[0], re.M)
    settings = f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {platform.libc_ver()}"
    return hashlib.sha256("\n".join([settings, *chosen]).encode()).hexdigest()[:16]


def main():
    """Write the file anew."""
    torch.set_num_threads(1)
    runs = {}
    for name, settings in cases().items():
        values = outputs(settings)
        runs[name] = {"bits": bits(values), "values": [round(v, 3) for v in values.flatten().tolist()]}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(run)}" for name, run in runs.items())
    FILE.write_text(f'{{"machine": "{machine()}", "runs": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
