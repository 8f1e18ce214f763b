"""Measures and comparisons for `over_runs` and `over_pairs`: gradients, ranks, probes and similarity of whole networks.

K exits, N samples, D features. Samples are the first of a split, so that every network is measured on the same ones.
"""

from collections.abc import Sequence

import pandas as pd

from eecore.analysis.activations import activations
from eecore.analysis.gradients import cosines, exit_gradients, products, shares
from eecore.analysis.rank_tables import rank_table
from eecore.analysis.similarity import cka_matrix, probe_table
from eecore.data import Dataset, Split
from eecore.errors import SettingError
from eecore.models import MultiExit, build


def first_samples(split: Split, samples: int | None) -> Split:
    """The first `samples` of a split, or all of it where it has fewer or None is asked for; splits come shuffled.

    Raises:
        SettingError: `samples` is below 1.
    """
    if samples is None:
        return split
    if samples < 1:
        raise SettingError(f"samples: at least 1 is needed, got {samples}")
    return Split(split.x[:samples], split.y[:samples])


def gradient_products(model: MultiExit, dataset: Dataset, samples: int | None = None) -> pd.DataFrame:
    """Inner products of the exits' gradients at every block, on training samples, every exit with weight 1 / K.

    One pass over the data serves `gradients.shares` and `gradients.cosines`, which take the table that comes out.

    Args:
        model: not changed; in eval mode, so that the gradient belongs to the weights and not to one batch.
        dataset: its training split is used, since that is what training descends on.
        samples: how many, the first ones; None for all. Near the end of training the mean over few is mostly noise,
            which is alike for all exits: shares come out too equal.
    Returns:
        As eecore.analysis.gradients.products.
    """
    part = first_samples(dataset.train, samples)
    return products(exit_gradients(model, part.x, part.y))


def gradient_shares(model: MultiExit, dataset: Dataset, samples: int | None = None) -> pd.DataFrame:
    """Which exit's gradient moves which block, as eecore.analysis.gradients.dominance; samples as above."""
    return shares(gradient_products(model, dataset, samples))


def gradient_cosines(model: MultiExit, dataset: Dataset, samples: int | None = None) -> pd.DataFrame:
    """Angles between what two exits ask of a block, as eecore.analysis.gradients.conflicts; samples as above."""
    return cosines(gradient_products(model, dataset, samples))


def ranks(
    model: MultiExit, dataset: Dataset, samples: int = 1000, rtol: float = 1e-3, pooling: str = "flatten"
) -> pd.DataFrame:
    """Ranks of every block's activations on test samples: `rank_table`, with the block's index from 0 as `block`.

    Args:
        model, dataset: the test split is used; the model is not changed.
        samples: N; ranks are below it.
        rtol: share of the largest singular value (or eigenvalue) that counts.
        pooling: as in `activations`.
    """
    found = activations(model, first_samples(dataset.test, samples).x, pooling)
    return _numbered(rank_table(found.blocks, rtol))


def ranks_by_tolerance(
    model: MultiExit, dataset: Dataset, samples: int = 1000, rtols: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
) -> pd.DataFrame:
    """`ranks` for several tolerances; one spectrum serves all."""
    found = activations(model, first_samples(dataset.test, samples).x)
    return _numbered(rank_table(found.blocks, list(rtols)))


def ranks_by_samples(
    model: MultiExit, dataset: Dataset, sizes: tuple[int, ...] = (50, 100, 200, 400, 800), rtol: float = 1e-3
) -> pd.DataFrame:
    """`ranks` for several numbers of test samples, each set within the next; those beyond the split are left out."""
    found = activations(model, first_samples(dataset.test, max(sizes)).x)
    fitting = [size for size in sizes if size <= len(found.logits[0])]
    tables = [rank_table({name: z[:size] for name, z in found.blocks.items()}, rtol) for size in fitting]
    if not tables:
        raise SettingError(f"sizes: {dataset.name} has {len(dataset.test)} test samples, fewer than {min(sizes)}")
    return _numbered(pd.concat(tables, ignore_index=True))


def untrained_ranks(
    names: Sequence[str], dataset: Dataset, seeds: Sequence[int], samples: int = 500, rtol: float = 1e-3
) -> pd.DataFrame:
    """Ranks of networks of several widths before any training: what the ruler says of width alone.

    Args:
        names: models, see eecore.models.names().
        dataset: its test split is used.
        seeds: of the initial weights.
        samples, rtol: as in `ranks`.
    Returns:
        The rows of `ranks` with the columns model and seed in front.
    """
    frames = []
    for name in names:
        for seed in seeds:
            model = build(name, kind=dataset.kind, shape=dataset.shape, classes=dataset.classes, seed=seed)
            found = ranks(model.eval(), dataset, samples, rtol)
            frames.append(found.assign(model=name, seed=seed))
    return pd.concat(frames, ignore_index=True)


def probes(model: MultiExit, dataset: Dataset, samples: int = 1000) -> pd.DataFrame:
    """What a linear classifier reads from every block, mean-pooled: fitted on training, judged on test samples.

    Returns:
        One row per block (its index from 0): block and the fields of eecore.analysis.similarity.Probe.
    """
    fitted, judged = first_samples(dataset.train, samples), first_samples(dataset.test, samples)
    train, test = (activations(model, part.x, "mean").blocks for part in (fitted, judged))
    return _numbered(probe_table(train, fitted.y, test, judged.y))


def similarity(model: MultiExit, dataset: Dataset, samples: int = 500) -> pd.DataFrame:
    """Debiased linear CKA between all pairs of blocks of one network, on test samples: block_a, block_b, cka."""
    return similarity_of_two(model, model, dataset, samples)


def similarity_of_two(model_a: MultiExit, model_b: MultiExit, dataset: Dataset, samples: int = 500) -> pd.DataFrame:
    """Debiased linear CKA between the blocks of two networks, on the same test samples.

    Returns:
        One row per pair of blocks: block_a, block_b (indices from 0), cka.
    """
    x = first_samples(dataset.test, samples).x
    a, b = (list(activations(model, x).blocks.values()) for model in (model_a, model_b))
    table = cka_matrix(a, b)
    rows = [{"block_a": i, "block_b": j, "cka": float(table[i, j])} for i in range(len(a)) for j in range(len(b))]
    return pd.DataFrame(rows)


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Blocks by their index instead of their name."""
    return frame.assign(block=[int(name.rsplit(" ", 1)[1]) for name in frame["block"]])
