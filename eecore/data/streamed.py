"""Images that stay on disk: a stand-in for the tensor of a split, for folders that do not fit in memory.

Pictures are decoded once into a file of bytes; batches are read from it by threads, ahead of the training.

Axes: N samples, B batch, S side in pixels.
"""

import copy
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from eecore.errors import DataError
from eecore.shapes import Int

READERS = 4  # threads that read batches
AHEAD = 8  # batches that are read before they are asked for
DIGEST = 16  # bytes of a sample's hash


def content_hash(sample: np.ndarray) -> bytes:
    """A hash of one sample's content."""
    return hashlib.blake2b(np.ascontiguousarray(sample).data, digest_size=DIGEST).digest()


class Pixels:
    """N pictures of 3 x S x S in a file, read when they are asked for. Indexed, split and moved as a tensor is.

    A picture whose bytes are not what was decoded is noticed when it is read.

    Args:
        path: file of uint8, one picture after the other.
        side: S.
        hashes: of each picture in the file, uint8 (N, 16).
        sums: of each picture's channels the sum of values and of squares, int64 (N, 3, 2).
    """

    ndim = 4

    def __init__(self, path: Path, side: int, hashes: np.ndarray, sums: np.ndarray) -> None:
        self.path, self.side, self._hashes, self._sums = path, side, hashes, sums
        self._rows = np.arange(len(hashes))  # which pictures of the file, in which order
        self._prepare: Callable[[Tensor], Tensor] | None = None
        self._device, self._layout = "cpu", torch.contiguous_format
        self._waiting: tuple[Tensor, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), 3, self.side, self.side)

    @property
    def dtype(self) -> torch.dtype:
        """uint8; float32 once it is known how pictures are prepared."""
        return torch.uint8 if self._prepare is None else torch.float32

    @property
    def hashes(self) -> list[bytes]:
        """Of each sample, as `hashes.row_hashes` gives them."""
        return [self._hashes[row].tobytes() for row in self._rows]

    @property
    def sums(self) -> np.ndarray:
        """Sum of the values and of their squares in each channel, int64, (3, 2)."""
        return self._sums[self._rows].sum(axis=0)

    def index_select(self, axis: int, index: Int[Tensor, " M"]) -> "Pixels":
        """The samples at these positions; still on disk."""
        if axis:
            raise ValueError(f"axis: only samples (0) can be selected, got {axis}")
        return self._changed(_rows=self._rows[index.numpy()])

    def prepared(self, prepare: Callable[[Tensor], Tensor]) -> "Pixels":
        """The same, each batch of bytes passed through `prepare`, on the device."""
        return self._changed(_prepare=prepare)

    def to(self, device: str) -> "Pixels":
        """The same, with batches on another device."""
        return self._changed(_device=device)

    def contiguous(self, memory_format: torch.memory_format = torch.contiguous_format) -> "Pixels":
        """The same, with batches in another memory layout."""
        return self._changed(_layout=memory_format)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """A batch, by a slice or by int64 positions.

        Raises:
            DataError: the file is missing, cut short, or damaged.
        """
        if self._waiting is not None and self._waiting[0] is index:
            return self._ready(self._waiting[1].result())
        rows = np.arange(len(self))[index] if isinstance(index, slice) else index.cpu().numpy()
        return self._ready(self._read(rows))

    def split(self, size: int) -> Iterator[Tensor]:
        """Batches of `size` samples in order; the last may be smaller."""
        yield from (self[start : start + size] for start in range(0, len(self), size))

    def ahead(self, batches: Iterable[Int[Tensor, " B"]]) -> Iterator[Int[Tensor, " B"]]:
        """The batches as they come; those behind are read meanwhile, so that `self[batch]` finds them in memory."""
        known = list(batches)
        rows = torch.stack(known).cpu().numpy()  # of all at once: a GPU is waited for once
        reading: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(READERS) as pool:
            try:
                for i, batch in enumerate(known):
                    first = i + len(reading)
                    reading += [pool.submit(self._read, rows[j]) for j in range(first, min(i + AHEAD, len(known)))]
                    self._waiting = (batch, reading.popleft())
                    yield batch
            finally:
                self._waiting = None
                pool.shutdown(cancel_futures=True)

    def _read(self, rows: np.ndarray) -> Tensor:
        """The bytes of these samples, uint8 (B, 3, S, S)."""
        places = self._rows[rows]
        shape = (len(self._hashes), 3, self.side, self.side)
        try:
            file = np.memmap(self.path, dtype=np.uint8, mode="r", shape=shape)
        except (OSError, ValueError) as problem:
            raise DataError(f"{self.path} cannot be read: {problem}") from problem
        pictures = file[places]
        for place, picture in zip(places, pictures, strict=True):
            if content_hash(picture) != self._hashes[place].tobytes():
                raise DataError(f"{self.path} is damaged at picture {place + 1}: remove it, and it is made again")
        return torch.from_numpy(np.asarray(pictures))

    def _ready(self, raw: Tensor) -> Tensor:
        batch = raw.to(self._device)
        batch = batch if self._prepare is None else self._prepare(batch)
        return batch.contiguous(memory_format=self._layout)

    def _changed(self, **changes: object) -> "Pixels":
        other = copy.copy(self)
        vars(other).update(changes, _waiting=None)
        return other

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_waiting": None}


if TYPE_CHECKING:
    Inputs = Tensor  # as one of which Pixels are used
else:
    Inputs = Tensor | Pixels
