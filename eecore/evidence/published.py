"""Numbers that the paper's published table is quoted with: what this book may hold its own against.

Test accuracy in percent at 100 % of the backbone's cost; disjoint equals the backbone trained alone.

Source: "How to Train Your Multi-Exit Model?", ICML 2025, PMLR 267:31821-31840 (arXiv:2407.14320), table 1, quoted from
surveys of it: a secondary source.
"""

from dataclasses import dataclass

import pandas as pd

__all__ = ["PUBLISHED", "Published", "published_frame"]

SOURCE = "published table 1 of kubaty2025train, quoted from surveys: a secondary source"


@dataclass(frozen=True)
class Published:
    """One number of the paper, or the range that it is quoted with.

    Args:
        title: network and data in prose.
        model, dataset: their names here.
        regime: "disjoint", "joint" or "mixed".
        low, high: accuracy in percent; equal where one number is quoted; low None where "up to" is.
    """

    title: str
    model: str
    dataset: str
    regime: str
    low: float | None
    high: float

    @property
    def said(self) -> str:
        """The number as it is quoted.

        Example:
            >>> Published("", "", "", "joint", 84.24, 84.41).said, Published("", "", "", "disjoint", None, 85.75).said
            ('84.24 to 84.41', 'up to 85.75')
        """
        if self.low is None:
            return f"up to {self.high:.2f}"
        return f"{self.high:.2f}" if self.low == self.high else f"{self.low:.2f} to {self.high:.2f}"


def _row(title: str, model: str, dataset: str, *accuracies: float) -> list[Published]:
    regimes = zip(("disjoint", "joint", "mixed"), accuracies, strict=True)
    return [Published(title, model, dataset, regime, a, a) for regime, a in regimes]


_NEWS = ("BERT-B, 20 Newsgroups", "bert_base", "newsgroups20")
PUBLISHED: tuple[Published, ...] = (
    *_row("ResNet-34, CIFAR-100", "resnet34", "cifar100", 73.79, 74.17, 75.88),
    *_row("MSDNet, CIFAR-100", "msdnet", "cifar100", 70.36, 75.86, 76.51),
    *_row("ViT-T, CIFAR-100", "vit_tiny", "cifar100", 63.99, 66.49, 70.25),
    *_row("ResNet-50, TinyImageNet", "resnet50", "tinyimagenet", 65.71, 65.01, 67.24),
    *_row("ViT-T, ImageNet-1k", "vit_tiny", "imagenet", 71.61, 68.39, 71.20),
    *_row("ViT-S, ImageNet-1k", "vit_small", "imagenet", 78.38, 76.44, 78.33),
    Published(*_NEWS, "disjoint", None, 85.75),
    Published(*_NEWS, "joint", 84.24, 84.41),
    Published(*_NEWS, "mixed", 84.99, 85.25),
)


def published_frame() -> pd.DataFrame:
    """One row per number: title, model, dataset, regime, low, high (fractions; low NaN for "up to"), said (percent)."""
    rows = [
        {
            "title": p.title,
            "model": p.model,
            "dataset": p.dataset,
            "regime": p.regime,
            "low": float("nan") if p.low is None else p.low / 100,
            "high": p.high / 100,
            "said": p.said,
        }
        for p in PUBLISHED
    ]
    return pd.DataFrame(rows)
