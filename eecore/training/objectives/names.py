"""What a recipe may name: loss weights, gradient rules and self-distillations, each with one line and its source.

This module imports nothing of eecore, so that `Recipe` can know the names.
"""

from dataclasses import dataclass

__all__ = ["DISTILLATIONS", "GRADIENTS", "SCALED", "SEPARATE", "WEIGHTS", "Ingredient"]


@dataclass(frozen=True)
class Ingredient:
    """A choice that a recipe has.

    Args:
        title: one line for tables.
        source: where it comes from.
    """

    title: str
    source: str


WEIGHTS = {
    "uniform": Ingredient("every exit the same weight", "the mean of the losses"),
    "linear": Ingredient("exit k has weight k, so late exits count most", "PABEE, arXiv:2006.04152"),
    "decreasing": Ingredient("exit k has weight K - k + 1, so early exits count most", "the reverse of linear"),
    "last_doubled": Ingredient("the last exit counts twice", "MEViT"),
    "sdn": Ingredient("early exits grow from 0.01 to their share of the cost; the last has 1", "SDN, arXiv:1810.07052"),
    "inverse_cost": Ingredient("1 / MACs to the exit", "this book"),
    "l2w": Ingredient("learned for each sample and exit by looking one step ahead", "L2W, arXiv:2209.08310"),
    "adaloss": Ingredient("1 / running mean of the exit's loss", "AdaLoss, arXiv:1708.06832"),
}
GRADIENTS = {
    "sum": Ingredient("the weighted losses are added", "the usual gradient"),
    "equilibrium": Ingredient("scaled at each branch: (head + (K-i-1) later) / (K-i)", "IMTA, arXiv:1908.06294"),
    "boostnet": Ingredient("each block gets the average over the exits behind it", "BoostNet, arXiv:2211.16726"),
    "pcgrad": Ingredient("conflicting parts of the exits' gradients are projected away", "arXiv:2001.06782"),
    "cagrad": Ingredient("the step near the mean that helps the worst-off exit most", "arXiv:2110.14048"),
    "gradnorm": Ingredient("weights that balance gradient norms by training speed", "arXiv:1711.02257"),
}
SCALED = ("equilibrium", "boostnet")  # one backward pass, scaled where the network branches
SEPARATE = ("pcgrad", "cagrad", "gradnorm")  # a backward pass for each exit
DISTILLATIONS = {
    "last": Ingredient("every exit learns from the last one", "Be Your Own Teacher, Zhang et al. 2019"),
    "next": Ingredient("every exit learns from the one behind it", "this book"),
    "later": Ingredient("every exit learns from the mean of all behind it", "this book"),
}
