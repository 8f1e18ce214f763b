"""The classifier of multi-scale dense networks. B batch, C classes, D features, H and W sides of a feature map."""

from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models.backbone import Layout, State, reading
from eecore.models.layers import conv_norm_relu, he_normal
from eecore.shapes import Float

WIDTH = 128  # or twice the channels that come, where those are fewer than in any published network


class MSDNetHead(nn.Module):
    """Two 3 x 3 convolutions of stride 2 with batch norm and ReLU, the mean over positions, one linear map.

    The published classifier pools 2 x 2, which is the mean over all positions of 32 x 32 images; we take the mean
    over all positions for any size.

    Args:
        layout: must be "map".
        shape: of one sample's features, (D, H, W) or (D, L).
        classes: number of logits.
    Raises:
        SettingError: the features are not a feature map.
    Source:
        Huang et al. 2018, arXiv:1703.09844, appendix A.
    """

    def __init__(self, layout: Layout, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        if layout != "map":
            raise SettingError(f"head: 'msdnet' needs a feature map, this backbone gives {layout}; use 'linear'")
        self.layout = layout
        axes, width = len(shape) - 1, min(WIDTH, 2 * shape[0])
        self.convolutions = nn.Sequential(
            conv_norm_relu(axes, shape[0], width, 3, 2), conv_norm_relu(axes, width, width, 3, 2)
        )
        he_normal([self.convolutions])
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.bias)

    def reduce(self, state: State) -> Tensor:
        """The feature map itself: all behind it is learned."""
        return reading(state)

    def classify(self, r: Tensor) -> Float[Tensor, "B C"]:
        """Logits from what `reduce` returned."""
        return self.linear(self.convolutions(r).flatten(2).mean(2))

    def forward(self, state: State) -> Float[Tensor, "B C"]:
        """Logits of a block's output."""
        return self.classify(self.reduce(state))
