"""Heads: small classifiers that turn a block's output into logits, by name.

B batch, C classes, D features, S sequence of tokens, H and W sides of a feature map.
Each head is `classify(reduce(state))`. `reduce` has no parameters, so that its result can be stored once
where the backbone is frozen; all that a head learns is in `classify`. A cascade's head gets the logits of the exit
before as a second argument, see `heads_cascade`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from eecore.errors import SettingError, choose
from eecore.models.backbone import Backbone, Layout, State, reading
from eecore.models.heads_cascade import CascadeHead
from eecore.models.heads_conv import MSDNetHead
from eecore.models.heads_pooled import ConvHead, PooledHead
from eecore.shapes import Float


class LinearHead(nn.Module):
    """Mean over positions, or the class token, then one linear map, or a perceptron.

    Tokens pass through a LayerNorm first, as at the end of a pre-norm transformer. Its scale and shift are the same
    for every token, so they are applied to the mean instead, which gives the same and lets `reduce` take the mean.
    Where the state has a mask, the mean is over the tokens that are there.

    Args:
        layout: of the features, see `Backbone`.
        shape: of one sample's features: (D, H, W) or (D, L), (S, D), (D,).
        classes: number of logits.
        first: read the first token, a class token, instead of the mean over all.
        size: linear maps in all; there is a ReLU behind each but the last, and all but the last keep D.
    """

    def __init__(
        self, layout: Layout, shape: tuple[int, ...], classes: int, first: bool = False, size: int = 1
    ) -> None:
        super().__init__()
        self.layout, self.first = layout, first
        width = shape[-1] if layout == "tokens" else shape[0]
        self.norm = nn.LayerNorm(width) if layout == "tokens" else nn.Identity()
        self.linear = nn.Linear(width, classes)
        self.hidden = nn.Sequential()
        for _ in range(size - 1):
            hidden = nn.Linear(width, width)
            nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
            nn.init.zeros_(hidden.bias)
            self.hidden.extend([hidden, nn.ReLU()])

    def reduce(self, state: State) -> Float[Tensor, "B D"]:
        """Global average of a feature map or of normalised tokens, or the first of these; vectors unchanged."""
        x = reading(state)
        if self.layout == "map":
            return x.flatten(2).mean(2)
        if not isinstance(self.norm, nn.LayerNorm):
            return x
        x = x[:, :1] if self.first else x
        tokens = F.layer_norm(x, self.norm.normalized_shape, eps=self.norm.eps)  # (B, S, D)
        if self.first or isinstance(state, Tensor):
            return tokens.mean(1)
        there = state[0].unsqueeze(2).to(tokens.dtype)  # (B, S, 1)
        return (tokens * there).sum(1) / there.sum(1).clamp(min=1)

    def classify(self, r: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned."""
        if isinstance(self.norm, nn.LayerNorm):
            r = r * self.norm.weight + self.norm.bias
        return self.linear(self.hidden(r))

    def forward(self, state: State) -> Float[Tensor, "B C"]:
        """Logits of a block's output."""
        return self.classify(self.reduce(state))


Plain = LinearHead | PooledHead | ConvHead | MSDNetHead
Head = Plain | CascadeHead
MOST = 5  # convolutions of a head, or linear maps of a perceptron
_SIZED: dict[str, Callable[..., Plain]] = {
    "conv": ConvHead,
    "mlp": LinearHead,
    "class_mlp": partial(LinearHead, first=True),
}
HEADS: dict[str, Callable[[Layout, tuple[int, ...], int], Plain]] = {
    "linear": LinearHead,
    "pooled": PooledHead,
    "msdnet": MSDNetHead,
    "class_token": partial(LinearHead, first=True),
}
HEADS |= {f"{kind}:{n}": partial(make, size=n) for kind, make in _SIZED.items() for n in range(1, MOST + 1)}
CASCADE = "cascade"


def names() -> list[str]:
    """Names that the argument `head` may have; "cascade:" and one of the others is allowed too."""
    return ["auto", *HEADS, CASCADE]


def resolve(name: str, backbone: Backbone) -> str:
    """The head that a name means for a backbone.

    "auto" is the backbone's own head where it has one, else "pooled" on maps and "linear" elsewhere; "cascade" is a
    cascade of these.

    Raises:
        SettingError: the name is not known, has a size that heads cannot have, or asks for a class token of a backbone
            that carries none.
    Example:
        >>> resolve("auto", Backbone(nn.Identity(), (), "map"))
        'pooled'
        >>> resolve("cascade", Backbone(nn.Identity(), (), "tokens"))
        'cascade:linear'
    """
    if isinstance(name, str) and name.partition(":")[0] == CASCADE:
        inner = name.removeprefix(CASCADE).removeprefix(":") or "auto"
        if inner.partition(":")[0] == CASCADE:
            raise SettingError(f"head: {name!r} came; a cascade is made of another head, such as 'cascade:linear'")
        return f"{CASCADE}:{resolve(inner, backbone)}"
    kind = name.partition(":")[0] if isinstance(name, str) else ""
    if kind in _SIZED and name not in HEADS:
        raise SettingError(f"head: {name!r} came; {kind!r} has 1 to {MOST} layers, as in '{kind}:2'")
    if choose("head", name, names()) == "auto":
        return backbone.head or ("pooled" if backbone.layout == "map" else "linear")
    if kind in ("class_token", "class_mlp") and not backbone.class_token:
        instead = name.replace("class_token", "linear").replace("class_mlp", "mlp")
        raise SettingError(f"head: {name!r} needs a model with a class token, such as vit_tiny_cls; use {instead!r}")
    return name


def build(name: str, layout: Layout, shape: tuple[int, ...], classes: int, behind_another: bool = True) -> Head:
    """Make one head, by its resolved name, for features of this layout and shape.

    Args:
        name: a key of `HEADS`, or "cascade:" and one.
        layout, shape: of the features, see `Backbone`.
        classes: number of logits.
        behind_another: whether there is an exit before this one; the first head of a cascade is a plain one.
    Raises:
        SettingError: the head does not fit the features.
    """
    plain = HEADS[name.removeprefix(f"{CASCADE}:")](layout, shape, classes)
    return CascadeHead(plain, classes) if name.startswith(CASCADE) and behind_another else plain


def check_exits(name: str, exits: Sequence[int]) -> None:
    """Stop where a head has not the exits that it needs.

    Args:
        name: a resolved name.
        exits: blocks with an exit, the last one included; the last head is the backbone's own and in no cascade.
    Raises:
        SettingError: a cascade has no exit with another one before it.
    """
    if name.startswith(CASCADE) and len(exits) < 3:
        raise SettingError(
            f"head: {name!r} needs an earlier exit to read, so 2 exits or more before the last; {len(exits) - 1} came"
        )
