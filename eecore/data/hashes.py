"""Hashes of samples and of whole data sets."""

import hashlib
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from eecore.data.streamed import Pixels, content_hash


def row_hashes(x: Tensor | Pixels) -> Iterator[bytes]:
    """A 16-byte hash of each sample's content."""
    if isinstance(x, Pixels):
        yield from x.hashes
        return
    for row in np.ascontiguousarray(x.numpy()):
        yield content_hash(row)


def fingerprint(*tensors: Tensor | Pixels) -> str:
    """sha256, in hexadecimal, over the types, shapes and bytes of tensors; of pictures on disk, over their hashes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if isinstance(tensor, Pixels):
            digest.update(b"".join([str(tensor.shape).encode(), *tensor.hashes]))
            continue
        array = np.ascontiguousarray(tensor.numpy())
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
