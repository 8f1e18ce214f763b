"""Recipes for texts: for each model and data set the settings of `Recipe`, and the epochs of a phase, as plain values.

Found on validation with one thread of a CPU, a few runs each; not tuned further. Where words are dropped, the dropped
ones teach the network what an unknown word is.
"""

from typing import Any

RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("text_nano", "wordlang"): {"epochs": 10, "lr": 6e-3, "weight_decay": 0.01, "batch_size": 200},
    ("text_small", "trec"): {"epochs": 12, "lr": 1e-3, "weight_decay": 0.05, "augment": "drop_words"},
    ("text_small", "sst2"): {
        "epochs": 3,
        "lr": 1e-3,
        "weight_decay": 0.05,
        "augment": "drop_words",
        "batches": "by_length",
    },
    ("text_small", "newsgroups20"): {
        "epochs": 20,
        "lr": 1e-3,
        "weight_decay": 0.1,
        "label_smoothing": 0.2,
        "ema": 0.99,
        "augment": "drop_many_words",
    },
    ("text_pairs", "stsb"): {"epochs": 6, "lr": 2e-3, "weight_decay": 0.1},
}
