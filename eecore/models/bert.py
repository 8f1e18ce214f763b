"""BERT, made by the library transformers (extra "text"), with exits behind its layers; imported only when asked for.

B batch, S sequence of tokens, V numbers of a vocabulary, D features.

The layers are transformers' own, unedited: post-norm, dropout, learned positions. Heads take the mean over the tokens
that are there, not a class token as in DeeBERT: our texts begin with none, and where weights are random, it would be
one more token that has to learn to gather the others. `eecore.training.bert_weights` makes a folder of pretrained
weights a file to start from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from eecore.errors import SettingError, library
from eecore.models.backbone import Backbone, needs_tokens
from eecore.shapes import Bool, Float, Int
from eecore.special import PADDING, SEPARATOR

POSITIONS = 512  # of which each has a vector: no text may be longer
LIBRARY = "transformers.models.bert.modeling_bert"
ATTENTION = "transformers.integrations.sdpa_attention"


class Embedding(nn.Module):
    """The sum of a token's vector, its place's and its text's, normalised.

    Args:
        embeddings: a BertEmbeddings of transformers.
    """

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, x: Int[Tensor, "B S"]) -> tuple[Bool[Tensor, "B S"], Float[Tensor, "B S D"]]:
        """Which tokens are there, and their vectors."""
        there = x != PADDING
        return there, self.embeddings(input_ids=x, token_type_ids=segments(x))


class Layer(nn.Module):
    """One layer of the encoder, in which each token looks at the tokens that are there.

    Args:
        layer: a BertLayer of transformers, whose attention is torch's fused one ("sdpa").
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: tuple[Tensor, Tensor]) -> tuple[Bool[Tensor, "B S"], Float[Tensor, "B S D"]]:
        """The mask as it came, and the next vectors."""
        there, x = state
        # Truth values over attention heads and queries. Only the fused form takes them; the explicit products of
        # transformers ("eager") would add them to the scores.
        return there, self.layer(x, attention_mask=there[:, None, None, :])


def segments(x: Int[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """1 in the second text of a pair, 0 in the first and in the padding.

    Example:
        >>> import torch
        >>> segments(torch.tensor([[7, 8, SEPARATOR, 8, SEPARATOR, PADDING], [7, SEPARATOR] + 4 * [PADDING]]))
        tensor([[0, 0, 0, 1, 1, 0],
                [0, 0, 0, 0, 0, 0]])
    """
    ends = (x == SEPARATOR).long()
    return ((ends.cumsum(1) > ends) & (x != PADDING)).long()


@dataclass(frozen=True)
class Size:
    """Settings of one named BERT: layers, D, attention heads, the perceptron's width over D, dropout, and the spread of
    the weights at the start."""

    layers: int
    width: int
    attention_heads: int
    ratio: int = 4
    dropout: float = 0.1
    std: float = 0.02


MODELS = {
    # spread times the root of D, by which a map lengthens its input, is about the same: 0.57 and 0.55
    "bert_nano": Size(layers=3, width=32, attention_heads=2, ratio=2, dropout=0.0, std=0.1),
    "bert_base": Size(layers=12, width=768, attention_heads=12),
}


def configuration(name: str, vocabulary: int) -> dict[str, Any]:
    """Settings of a named BERT under the names of transformers' BertConfig.

    Example:
        >>> configuration("bert_base", 30522)["intermediate_size"]
        3072
    """
    size = MODELS[name]
    return {
        "vocab_size": vocabulary,
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.attention_heads,
        "intermediate_size": size.ratio * size.width,
        "hidden_act": "gelu",
        "hidden_dropout_prob": size.dropout,
        "attention_probs_dropout_prob": size.dropout,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "initializer_range": size.std,
        "layer_norm_eps": 1e-12,
        "pad_token_id": PADDING,
    }


def backbone(name: str, kind: str, shape: Sequence[int]) -> Backbone:
    """Embedding and layers of a named BERT, initialised by transformers from torch's global generator.

    Args:
        name: a key of `MODELS`.
        kind: "tokens".
        shape: (S, V), the length and the number of different tokens.
    Raises:
        SettingError: the data are not tokens, a text is longer than the positions, or transformers is missing.
    Source:
        Devlin et al. 2019, BERT, arXiv:1810.04805; exits behind its layers: Xin et al. 2020, DeeBERT, ACL.
    """
    length, vocabulary = needs_tokens(name, kind, shape)
    if length > POSITIONS:
        raise SettingError(f"shape: {name} has {POSITIONS} positions, texts of {length} tokens came")
    transformers = library("transformers", "'eecore[text]'")
    config = transformers.BertConfig(**configuration(name, vocabulary), attn_implementation="sdpa")
    network = transformers.BertModel(config, add_pooling_layer=False)
    layers = tuple(Layer(layer) for layer in network.encoder.layer)
    return Backbone(Embedding(network.embeddings), layers, "tokens")
