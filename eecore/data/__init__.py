"""Data sets: `load` one by name. Each comes as three disjoint splits, normalised, in memory unless they do not fit.

Example:
    >>> digits = load("digits")
    >>> len(digits.train), len(digits.validation), len(digits.test), digits.shape
    (1197, 240, 360, (1, 8, 8))
"""

from functools import partial

from eecore.data import (
    arrays,
    cifar,
    embedded,
    fashion,
    image_folder,
    mnist_1d,
    mnist_parts,
    stsb,
    synthetic,
    synthetic_text,
    text_file,
    text_sets,
    tiny_imagenet,
    wordlang,
)
from eecore.data.augment import augment, augmentations
from eecore.data.dataset import Dataset, Info, Split, assemble, check_colours
from eecore.data.division import divide
from eecore.data.files import cache_folder, data_folders
from eecore.data.mix import Target, mix
from eecore.data.own import OwnName
from eecore.data.registry import (
    fetch,
    info,
    known,
    load,
    names,
    own_forms,
    present,
    register,
    register_own,
    source_module,
    verify,
)
from eecore.data.splits import stratified
from eecore.data.streamed import Pixels
from eecore.data.synthetic import bayes_accuracy, best_error, make_synthetic, make_synthetic_regression
from eecore.data.text_file import make_text_file
from eecore.data.text_reading import here

__all__ = [
    "Dataset",
    "Info",
    "OwnName",
    "Pixels",
    "Split",
    "Target",
    "assemble",
    "augment",
    "augmentations",
    "bayes_accuracy",
    "best_error",
    "cache_folder",
    "check_colours",
    "data_folders",
    "divide",
    "fetch",
    "info",
    "known",
    "load",
    "make_synthetic",
    "make_synthetic_regression",
    "make_text_file",
    "mix",
    "names",
    "own_forms",
    "present",
    "register",
    "register_own",
    "source_module",
    "stratified",
    "verify",
]

register(mnist_1d.INFO, mnist_1d.make)
register(mnist_1d.TRANSLATION, mnist_1d.make_translation)
register(embedded.DIGITS, embedded.make_digits)
register(embedded.MNIST5K, embedded.make_mnist5k)
register(mnist_parts.LOW, mnist_parts.make_low)
register(mnist_parts.HIGH, mnist_parts.make_high)
register(fashion.INFO, fashion.make, fetch=fashion.fetch, files=fashion.present)
register(cifar.CIFAR10.info, cifar.make_cifar10, fetch=cifar.fetch_cifar10, files=cifar.present_cifar10)
register(
    cifar.CIFAR100.info,
    cifar.make_cifar100,
    fetch=cifar.fetch_cifar100,
    files=cifar.present_cifar100,
    describe=cifar.describe_cifar100,
)
register(
    tiny_imagenet.INFO,
    tiny_imagenet.make,
    fetch=tiny_imagenet.fetch,
    files=tiny_imagenet.present,
    check=tiny_imagenet.check,
    describe=tiny_imagenet.describe,
)
register(synthetic.INFO, synthetic.make)
register(synthetic.REGRESSION, synthetic.make_regression)
register(synthetic_text.INFO, synthetic_text.make)
register_own("images", image_folder.describe, image_folder.make, example="images:DIR", options=("size",))
register_own("arrays", arrays.describe, arrays.make, example="arrays:FILE.npz", options=("kind", "channels", "task"))
register_own("text", text_file.describe, text_file.make, example="text:FILE.csv", options=("length", "task"))
register(wordlang.INFO, wordlang.make)
register(text_sets.TREC, text_sets.make_trec, files=partial(here, *text_sets.TREC_FILES))
register(text_sets.SST2, text_sets.make_sst2, files=partial(here, *text_sets.SST2_FILES))
_posts = partial(here, *text_sets.NEWSGROUPS_FOLDERS)
register(text_sets.NEWSGROUPS, text_sets.make_newsgroups20, files=_posts, describe=text_sets.describe_newsgroups20)
register(
    text_sets.NEWSGROUPS_WHOLE,
    text_sets.make_newsgroups20_whole,
    files=_posts,
    describe=text_sets.describe_newsgroups20_whole,
)
register(stsb.INFO, stsb.make_stsb, files=partial(here, *stsb.FILES))
