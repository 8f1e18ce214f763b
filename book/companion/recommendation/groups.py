"""The runs that a question is about, and the ever broader groups that answer where there are none."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from eecore import data, models
from eecore.errors import SettingError, choose
from eecore.models import bert, efficientnet, mlp, msdnet, resnet, text, vit

__all__ = ["FAMILIES", "SIZES", "family_of", "groups", "size_class", "within"]

FAMILIES = {
    "convolutional": (resnet, msdnet, efficientnet),
    "transformer": (vit,),
    "mlp": (mlp,),
    "text": (text, bert),
}
SIZES = (5_000, 50_000)  # numbers of training samples at which classes of size end


def family_of(model: str) -> str:
    """The family of a model, for which runs of another model of it may stand in; "own" for one of the user's own.

    Example:
        >>> family_of("vit_nano"), family_of("msdnet5")
        ('transformer', 'convolutional')
    """
    known = (name for name, modules in FAMILIES.items() if any(model in module.MODELS for module in modules))
    return next(known, "own")


def size_class(samples: int) -> str:
    """The class of size of data, in words.

    Raises:
        SettingError: `samples` is not a positive integer.
    Example:
        >>> size_class(3_500), size_class(5_000), size_class(1_000_000)
        ('under 5,000', '5,000 to 49,999', '50,000 or more')
    """
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise SettingError(f"train_size: expected a positive integer, got {samples!r}")
    low, high = SIZES
    return f"under {low:,}" if samples < low else f"{low:,} to {high - 1:,}" if samples < high else f"{high:,} or more"


def within(budget: float) -> str:
    """A budget in words.

    Example:
        >>> within(0.5), within(float("inf"))
        ('within 50 % of the cost', 'at the final exit')
    """
    return "at the final exit" if np.isinf(budget) else f"within {100 * budget:g} % of the cost"


def groups(
    evidence: pd.DataFrame, model: str | None, dataset: str | None, family: str | None, train_size: int | None
) -> Iterator[tuple[str, pd.Series]]:
    """Groups of runs, from those that were asked for to all of them, with their names.

    Each step broadens the network (the model, its family, any) or the data (the data set, its class of size, any).
    Groups that are the fewest steps away come first; of these, those that keep the network.

    Raises:
        SettingError: a name is known neither to the library nor to the evidence.
    """
    networks = _networks(evidence, model, family)
    what = _data(evidence, dataset, train_size)
    steps = [(i, j) for i in range(len(networks)) for j in range(len(what))]
    for i, j in sorted(steps, key=lambda step: (sum(step), step[0])):
        yield f"{networks[i][0]} on {what[j][0]}", networks[i][1] & what[j][1]


def _networks(evidence: pd.DataFrame, model: str | None, family: str | None) -> list[tuple[str, pd.Series]]:
    found = []
    if model is not None:
        choose("model", model, dict.fromkeys([*evidence["model"].unique(), *models.names()]))
        found.append((model, evidence["model"] == model))
        own = evidence.loc[evidence["model"] == model, "family"]
        family = family or (str(own.iloc[0]) if len(own) else family_of(model))
    elif family is not None:
        choose("family", family, dict.fromkeys([*evidence["family"].unique(), *FAMILIES]))
    if family is not None:
        found.append((f"{family} networks", evidence["family"] == family))
    return [*found, ("all networks", pd.Series(True, index=evidence.index))]


def _data(evidence: pd.DataFrame, dataset: str | None, train_size: int | None) -> list[tuple[str, pd.Series]]:
    found = []
    if dataset is not None:
        choose("dataset", dataset, dict.fromkeys([*evidence["dataset"].unique(), *data.names()]))
        own = evidence["dataset"] == dataset
        found.append((dataset, own))
        if train_size is None and own.any():
            train_size = int(evidence.loc[own, "train_size"].iloc[0])
    if train_size is not None:
        size = size_class(train_size)
        alike = [size_class(int(samples)) == size for samples in evidence["train_size"]]
        found.append((f"data of {size} training samples", pd.Series(alike, index=evidence.index)))
    return [*found, ("all data", pd.Series(True, index=evidence.index))]
