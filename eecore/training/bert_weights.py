"""Pretrained weights of BERT, as published for transformers, made a file that runs can start from.

V numbers of a vocabulary.

What is in the file is the encoder; its classifier and all heads start from the run's seed. A pretrained word is the
vector of one number of one vocabulary, that of its own tokenizer. The texts of this library's data sets are numbered
otherwise, so there are two ways:

- Texts that the folder's own tokenizer has numbered (a data set of one's own of V tokens, padding 0): all weights fit.
- Other texts: `vocabulary` leaves the words' vectors out and draws new ones. Layers and places start pretrained, words
  do not, so less is to be hoped for than what is published for fine-tuned BERTs.

A file for V tokens is refused for data of another V, in one line. That V agrees and the numbering does not is not
noticed. In pairs the second text is told by our separator, number 2; the published tokenizers number theirs otherwise.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from eecore import models
from eecore.errors import SettingError, choose
from eecore.models import bert
from eecore.special import PADDING
from eecore.training import pretrained

WORDS = "stem.embeddings.word_embeddings.weight"
NOT_STRUCTURE = ("vocab_size", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")


def convert(
    folder: str | os.PathLike[str], to: str | os.PathLike[str], model: str = "bert_base", vocabulary: int | None = None
) -> str:
    """Write the encoder of a folder of transformers as a file for `Run(pretrained=...)`.

    Args:
        folder: holds config.json and model.safetensors; nothing is downloaded and no pickle is read.
        to: path of the new file.
        model: a name of `eecore.models.bert.MODELS`, of the folder's structure.
        vocabulary: None: the words of the folder; V: new vectors for so many tokens, the same at each call.
    Returns:
        The file's checksum, sha256.
    Raises:
        SettingError: no such files, not a BERT of this structure, a tensor is missing or of another shape; the library
            transformers is missing.
        StoreError: the file cannot be written.
    Example:
        A folder that was downloaded before, and a run that starts from it::

            convert("bert-base-uncased", "bert.safetensors", vocabulary=eecore.data.info("trec").vocabulary)
            train(Run(dataset="trec", model="bert_base", regime="mixed", epochs=3, pretrained="bert.safetensors"))
    """
    choose("model", model, bert.MODELS)
    if vocabulary is not None and not (isinstance(vocabulary, int) and vocabulary > 1):
        raise SettingError(f"vocabulary: {vocabulary!r} came, None or a whole number from 2 up is needed")
    config = _config(Path(folder) / "config.json")
    _check_structure(folder, model, config)
    state = _tensors(Path(folder) / "model.safetensors")
    if vocabulary is not None:
        state[WORDS] = _new_words(vocabulary, model)
    _check_tensors(folder, model, state)
    about = {"model": model, "folder": os.path.basename(os.path.abspath(folder)), "new_words": vocabulary is not None}
    return pretrained.export(state, to, about)


def renamed(name: str) -> str | None:
    """Our name of a tensor of the encoder; None for all else, such as the pooler and what predicts masked words.

    Older files call a norm's scale and shift gamma and beta.

    Example:
        >>> renamed("bert.encoder.layer.3.output.LayerNorm.gamma"), renamed("pooler.dense.weight")
        ('blocks.3.layer.output.LayerNorm.weight', None)
    """
    name = name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    if name.startswith("encoder.layer."):
        number, _, rest = name.removeprefix("encoder.layer.").partition(".")
        return f"blocks.{number}.layer.{rest}"
    numbered = name.endswith("_ids")  # places counted from 0: older files keep them
    return f"stem.{name}" if name.startswith("embeddings.") and not numbered else None


def _config(path: Path) -> dict[str, Any]:
    """Settings of a folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise SettingError(f"folder: cannot read {path}: {reason}") from error
    if not isinstance(content, dict):
        raise SettingError(f"folder: {path} holds no settings")
    return content


def _check_structure(folder: object, model: str, config: Mapping[str, Any]) -> None:
    """Stop where the folder's network computes something else than the model, whatever its tensors' shapes."""
    published = bert.configuration("bert_base", 0)  # what a setting is where config.json does not name it
    wanted = bert.configuration(model, 0) | {"model_type": "bert", "position_embedding_type": "absolute"}
    defaults = published | {"position_embedding_type": "absolute", "model_type": None}
    for key, needed in wanted.items():
        came = config.get(key, defaults[key])
        if key not in NOT_STRUCTURE and came != needed:
            raise SettingError(f"folder: {folder} has {key}={came!r}, {model} needs {needed!r}")


def _tensors(path: Path) -> dict[str, Tensor]:
    """The encoder's tensors in our names."""
    try:
        found = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise SettingError(f"folder: cannot read {path}: {reason}") from error
    return {ours: tensor.float() for name, tensor in found.items() if (ours := renamed(name))}


def _new_words(vocabulary: int, model: str) -> Tensor:
    """V vectors spread as those of a new network, always the same ones; that of padding is zero."""
    size, draw = bert.MODELS[model], torch.Generator().manual_seed(0)
    words = size.std * torch.randn(vocabulary, size.width, generator=draw)
    words[PADDING] = 0
    return words


def _check_tensors(folder: object, model: str, state: Mapping[str, Tensor]) -> None:
    """Stop where tensors of the encoder are missing, too many, of another shape or not finite."""
    words = len(state[WORDS]) if WORDS in state else 2
    made = models.build(model, kind="tokens", shape=(1,), classes=1, vocabulary=words, device="meta").state_dict()
    wanted = {name: tuple(t.shape) for name, t in made.items() if name.startswith(pretrained.BACKBONE)}
    if missing := [name for name in wanted if name not in state]:
        raise SettingError(f"folder: {folder} lacks {len(missing)} tensors of {model}, such as {missing[0]}")
    for name, tensor in state.items():
        if (came := tuple(tensor.shape)) != wanted.get(name):
            raise SettingError(f"folder: {name} of {folder} has the shape {came}, {model} needs {wanted.get(name)}")
        if not bool(tensor.isfinite().all()):
            raise SettingError(f"folder: {name} of {folder} holds values that are not finite")
