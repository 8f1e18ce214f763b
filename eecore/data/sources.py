"""Which modules decide what a data set holds and how batches are changed: their source is part of a run's identity."""

import sys
from types import ModuleType

from eecore.data import (
    augment_tokens,
    colours,
    dataset,
    division,
    hashes,
    moments,
    splits,
    streamed,
    text_reading,
    tokens,
    trivial,
)
from eecore.data.augment import augment
from eecore.data.mix import mix
from eecore.data.registry import entry_of, known, names


def source_modules(name: str) -> list[ModuleType]:
    """The modules that decide this data set's content: its own, and what checks, normalises and divides."""
    entry = entry_of(known("data", name))
    own_module = sys.modules[getattr(entry.make, "func", entry.make).__module__]
    texts = name not in names() or entry.describe().kind == "tokens"  # own data may be texts
    shared = [*([] if name in names() else [division]), *([tokens, text_reading] if texts else [])]
    return [own_module, dataset, hashes, moments, splits, streamed, *shared]


def augmentation_modules() -> list[ModuleType]:
    """The modules that decide how a batch is changed while training. For hashing."""
    changing = (augment, mix, trivial.trivial_augment, colours.equalize, augment_tokens.drop_words)
    return [sys.modules[function.__module__] for function in changing]
