"""Training recipes by name: what strong results are trained with, each with its source.

A preset belongs to a family of models and to kinds of data sets. It is a starting point that others have published, not
a tuned optimum of ours: `note` says what is taken over and what is our choice. In all of them weight decay spares
biases and norms, as everywhere in this project, which the sources do only where the note says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eecore import data, models
from eecore.errors import SettingError, choose, shown
from eecore.models import bert, efficientnet, mlp, msdnet, resnet, text, vit
from eecore.training.recipe import Recipe
from eecore.training.recipes_text import RECIPES

__all__ = ["KINDS", "Preset", "chosen_recipe", "default_recipe", "preset", "presets"]

KINDS = {
    "convolutional networks": (resnet, msdnet, efficientnet),
    "vision transformers": (vit,),
    "perceptrons": (mlp,),
    "text networks": (text,),
    "pretrained encoders": (bert,),
}


@dataclass(frozen=True)
class Preset:
    """A recipe with its training length and its origin.

    Args:
        name: as in `preset(name)`.
        models: family of models that it is for, in words.
        kind: of networks that it is for, a key of KINDS.
        data: data sets that it is for, in words.
        epochs: of the phase that trains the backbone; the same for every phase unless a run says otherwise.
        recipe: the optimisation.
        source: where it was published, as citations.
        note: what is taken from the source, and what is ours.
    """

    name: str
    models: str
    kind: str
    data: str
    epochs: int
    recipe: Recipe
    source: str
    note: str


_CIFAR_SGD = Recipe(
    optimizer="sgd",
    lr=0.1,
    weight_decay=5e-4,
    schedule="cosine",
    warmup=0.0,
    batch_size=128,
    clip_norm=None,
    augment="crop_flip",
)
_VIT = Recipe(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.05,
    schedule="cosine",
    warmup=5 / 300,
    batch_size=128,
    label_smoothing=0.1,
    clip_norm=1.0,
    ema=0.999,
    augment="trivial",
    mixup=0.8,
    cutmix=1.0,
)


def _changed(recipe: Recipe, **changes: object) -> Recipe:
    return Recipe(**{**recipe.model_dump(), **changes})


def _of_texts(model: str, dataset: str) -> Preset:
    settings = {name: value for name, value in RECIPES[model, dataset].items() if name != "epochs"}
    return Preset(
        f"{model}_{dataset}",
        model,
        "text networks",
        dataset,
        int(RECIPES[model, dataset]["epochs"]),
        Recipe(**settings),
        "Loshchilov and Hutter 2019, arXiv:1711.05101 (AdamW); Iyyer et al. 2015, ACL (word dropout)",
        "Ours, found on validation in a few runs.",
    )


_PRESETS = (
    Preset(
        "resnet_cifar",
        "resnet",
        "convolutional networks",
        "cifar10, cifar100",
        200,
        _CIFAR_SGD,
        "He et al. 2016, arXiv:1512.03385; Zagoruyko and Komodakis 2016, arXiv:1605.07146; Loshchilov and Hutter 2017, "
        "arXiv:1608.03983",
        "Batch, crop and flip: He et al.; Nesterov, decay 5e-4, 200 epochs: Zagoruyko and Komodakis; cosine for steps: "
        "Loshchilov and Hutter.",
    ),
    Preset(
        "resnet_cifar_steps",
        "resnet",
        "convolutional networks",
        "cifar10, cifar100",
        200,
        _changed(_CIFAR_SGD, schedule="multistep", milestones=(0.3, 0.6, 0.8), decay=0.2),
        "Zagoruyko and Komodakis 2016, arXiv:1605.07146",
        "Rate times 0.2 after 60, 120 and 160 of 200 epochs, as there for wide residual networks.",
    ),
    Preset(
        "resnet_cifar_trivial",
        "resnet",
        "convolutional networks",
        "cifar10, cifar100",
        200,
        _changed(_CIFAR_SGD, augment="trivial"),
        "Müller and Hutter 2021, arXiv:2103.10158; Zhong et al. 2017, arXiv:1708.04896",
        "resnet_cifar with TrivialAugment; random erasing in place of a square that is cut out.",
    ),
    Preset(
        "resnet_short",
        "resnet",
        "convolutional networks",
        "cifar10, cifar100",
        30,
        _changed(_CIFAR_SGD, schedule="onecycle", lr=0.2, label_smoothing=0.1),
        "Smith and Topin 2017, arXiv:1708.07120",
        "For few epochs: the rate up and down once. Peak rate, smoothing and length are ours.",
    ),
    Preset(
        "resnet_tinyimagenet",
        "resnet",
        "convolutional networks",
        "tinyimagenet",
        100,
        _changed(_CIFAR_SGD, warmup=0.05, label_smoothing=0.1),
        "He et al. 2016, arXiv:1512.03385; Loshchilov and Hutter 2017, arXiv:1608.03983",
        "resnet_cifar, shorter; warm-up, smoothing and length are ours.",
    ),
    Preset(
        "vit_cifar",
        "vit",
        "vision transformers",
        "cifar10, cifar100, tinyimagenet",
        300,
        _VIT,
        "Touvron et al. 2021 (DeiT), arXiv:2012.12877",
        "AdamW, decay 0.05, warm-up of 5 in 300 epochs, smoothing 0.1, mixup 0.8, CutMix 1.0, erasing: DeiT. "
        "TrivialAugment in place of RandAugment, erasing in 1/2 of the images; rate, batch and average are ours, for "
        "small images.",
    ),
    Preset(
        "vit_short",
        "vit",
        "vision transformers",
        "cifar10, cifar100",
        30,
        _changed(_VIT, batch_size=256, warmup=0.1, ema=None, augment="crop_flip", mixup=None, cutmix=None),
        "Touvron et al. 2021 (DeiT), arXiv:2012.12877; Loshchilov and Hutter 2019, arXiv:1711.05101",
        "For few epochs: vit_cifar without the augmentation, mixing and average that pay in long training only; batch, "
        "warm-up and length are ours.",
    ),
    Preset(
        "msdnet_cifar",
        "msdnet",
        "convolutional networks",
        "cifar10, cifar100",
        300,
        _changed(_CIFAR_SGD, batch_size=64, weight_decay=1e-4, schedule="multistep"),
        "Huang et al. 2018, arXiv:1703.09844",
        "SGD, Nesterov momentum, rate 0.1, a tenth after 150 and 225 of 300 epochs, batch 64, decay 1e-4: as there.",
    ),
    *(_of_texts(model, dataset) for model, dataset in RECIPES),
    Preset(
        "bert_finetune",
        "pretrained encoders",
        "pretrained encoders",
        "trec, sst2, newsgroups20, stsb",
        4,
        Recipe(lr=5e-5, weight_decay=0.01, warmup=0.1, batch_size=32, augment="none"),
        "Devlin et al. 2019, arXiv:1810.04805; Mosbach et al. 2021, arXiv:2006.04884",
        "Batch 32, rate 5e-5 and 4 epochs are in the grid of Devlin et al.; warm-up of a tenth: Mosbach et al.; cosine "
        "in place of a line is ours.",
    ),
)
_BY_NAME = {one.name: one for one in _PRESETS}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        SettingError: no such name; the message lists the known ones and the nearest.
    Example:
        >>> found = preset("msdnet_cifar")
        >>> found.epochs, found.recipe.batch_size, found.recipe.schedule
        (300, 64, 'multistep')
    """
    return _BY_NAME[choose("preset", name, _BY_NAME)]


def presets() -> list[str]:
    """The names that `preset` knows."""
    return list(_BY_NAME)


def _kind_of(model: str) -> str:
    """The kind of a network that comes with the library, "" for one of the user's own."""
    return next((kind for kind, modules in KINDS.items() if any(model in one.MODELS for one in modules)), "")


def default_recipe(model: str, dataset: str, pretrained: str | None = None) -> Recipe:
    """The recipe that this project uses for a model on a data set, where none is given.

    AdamW with a cosine schedule; transformers and convolutional networks differ in the learning rate, data sets in
    the batch size. Text models have recipes of their own, see recipes_text.

    From random weights an encoder would be lost at such rates, and so would be given weights. bert_base has the recipe
    of the preset bert_finetune, and so has what reads tokens and starts from given weights, bert_nano and networks of
    one's own. Other networks whose weights people bring, one's own and efficientnet_b0, then take a tenth of the rate.
    The other networks of the library keep theirs: small ones, whose weights `eecore.pretrain` makes.

    Args:
        model: a name of eecore.models.names().
        dataset: as for `Run`.
        pretrained: the file of weights to start from, None where they are random.
    Raises:
        SettingError: a name is not known.
    Example:
        >>> default_recipe("mlp_nano", "digits").lr, default_recipe("bert_base", "trec").lr
        (0.012, 5e-05)
    """
    choose("model", model, models.names())
    kind = _kind_of(model)
    brought = pretrained is not None and (not kind or kind == "pretrained encoders" or model == "efficientnet_b0")
    if model == "bert_base" or (brought and data.info(dataset).kind == "tokens"):
        return preset("bert_finetune").recipe
    if (model, dataset) in RECIPES:
        return Recipe(**{name: value for name, value in RECIPES[model, dataset].items() if name != "epochs"})
    of_vit, small = model.startswith("vit"), model in ("resnet_nano", "mlp_nano", "vit_nano", "vit_nano_cls")
    lr = 1e-3 if model == "text_small" else 3e-3 if of_vit else 4e-3
    if small:  # of a third, one and three times that, validation chose the last on mnist1d, mnist5k and mostly digits
        lr = 9e-3 if of_vit else 1.2e-2
    of_family = {"synthetic": 16, "mnist1d": 100}  # and of data sets made from these, such as mnist1d_translation
    return Recipe(lr=lr / 10 if brought else lr, batch_size=of_family.get(dataset.partition("_")[0], 50))


def chosen_recipe(
    model: str,
    dataset: str,
    named: str | None = None,
    changes: Mapping[str, Any] | None = None,
    pretrained: str | None = None,
) -> Recipe:
    """The recipe of a preset, or the default one, with some of its settings changed.

    Args:
        model, dataset, pretrained: as for `default_recipe`.
        named: name of a preset; None: the default recipe.
        changes: settings of `Recipe` that are to differ.
    Raises:
        SettingError: a name or a setting is not known, or the preset is for another kind of network.
    """
    choose("model", model, models.names())
    base = default_recipe(model, dataset, pretrained) if named is None else preset(named).recipe
    if named is not None:
        _check_kind(preset(named), model)
    return Recipe(**{**base.model_dump(), **{str(name): value for name, value in (changes or {}).items()}})


def _check_kind(one: Preset, model: str) -> None:
    """Stop where a preset is for another kind of network; one's own networks may take any."""
    kind = _kind_of(model)
    if kind not in ("", one.kind):
        fitting = [name for name, other in _BY_NAME.items() if other.kind == kind]
        instead = f"those for {kind}: {', '.join(fitting)}" if fitting else f"{kind} have none; leave it out"
        raise SettingError(
            f"preset: {one.name!r} is for {one.kind}, {shown(model)} is none of them; {instead} "
            "(single settings are changed with recipe, such as lr)"
        )
