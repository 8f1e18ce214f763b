"""A network with several exits: one backbone, a head at each exit, and every way to run them.

K exits, B batch, C classes. The last head is the backbone's own classifier.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models.backbone import State
from eecore.models.heads_cascade import CascadeHead, arguments, in_turn
from eecore.shapes import Float


def rows(state: State, which: Tensor) -> State:
    """The samples `which` (indices, or a mask over the batch) of a state."""
    return state[which] if isinstance(state, Tensor) else tuple(part[which] for part in state)


def versions(state: State) -> list[int]:
    """How often each tensor of a state has been written to; torch counts for views what it counts for what they show.

    Zeros while a network is being compiled and in inference mode, where torch does not count.
    """
    tensors = (state,) if isinstance(state, Tensor) else state
    if torch.compiler.is_compiling():
        return [0] * len(tensors)
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


class MultiExit(nn.Module):
    """A backbone cut into blocks, with a head behind some of them and behind the last.

    Args:
        stem: maps a batch of data to the input of block 0.
        blocks: the backbone, applied in order.
        heads: K classifiers, in the order of the exits.
        exits: K block indices, ascending; the last one is the last block.
    Attributes:
        made_for: kind and shape of a sample, and the vocabulary; None where the network was put together by hand.
    Raises:
        SettingError: heads and exits do not match, or the exits are not as described.
    """

    def __init__(
        self, stem: nn.Module, blocks: Iterable[nn.Module], heads: Iterable[nn.Module], exits: Sequence[int]
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList(heads)
        self.exits = tuple(exits)
        self.made_for: tuple[str, tuple[int, ...], int] | None = None
        ascending = all(a < b for a, b in zip((-1, *self.exits), self.exits, strict=False))
        if not self.exits or not ascending or self.exits[-1] != len(self.blocks) - 1:
            raise SettingError(f"exits: {self.exits} must ascend from 0 or more to {len(self.blocks) - 1}")
        if len(self.heads) != len(self.exits):
            raise SettingError(f"heads: {len(self.heads)} heads came for {len(self.exits)} exits")

    @property
    def n_exits(self) -> int:
        """Number of exits K, the last one included."""
        return len(self.exits)

    def advance(self, state: State, k: int) -> State:
        """Go on from exit k-1 to exit k, without any head: the step of real early exiting.

        Args:
            state: what `advance(., k - 1)` returned (or rows of it, see `rows`); for k = 0 a batch of data.
            k: exit to reach, in 0..K-1.
        Returns:
            The input of head k.
        Raises:
            SettingError: there is no exit k.
        Example:
            Samples that are certain enough at exit 0 leave, the others go on::

                state = model.advance(x, 0)
                logits = model.logits_at(state, 0)
                stays = confidence(logits) <= threshold
                state = model.advance(rows(state, stays), 1)
                logits = model.logits_at(state, 1, logits[stays])
        """
        self._check_exit(k)
        if k == 0:
            state = self.stem(state)
        first = self.exits[k - 1] + 1 if k else 0
        for block in self.blocks[first : self.exits[k] + 1]:
            state = block(state)
        return state

    def head_inputs(self, x: Tensor) -> list[State]:
        """Inputs of the K heads, with no head evaluated."""
        states: list[State] = []
        written: list[list[int]] = []
        state: State = x
        for k in range(self.n_exits):
            state = self.advance(state, k)
            states.append(state)
            written.append(versions(state))
        _check_untouched(states, written, "the block behind it")
        return states

    def block_outputs(self, x: Tensor) -> list[State]:
        """Outputs of all blocks, with no head evaluated."""
        outputs: list[State] = []
        written: list[list[int]] = []
        state = self.stem(x)
        for block in self.blocks:
            state = block(state)
            outputs.append(state)
            written.append(versions(state))
        _check_untouched(outputs, written, "the block behind it")
        return outputs

    def forward(self, x: Tensor) -> Float[Tensor, "K B C"]:
        """Logits of every exit.

        Raises:
            SettingError: a block or a head changes in place what another part of the network reads.
        """
        states = self.head_inputs(x)
        written = [versions(state) for state in states]
        logits = in_turn(self.heads, states)
        _check_untouched(states, written, "a head")
        return torch.stack(logits)

    def logits_at(self, state: State, k: int, before: Float[Tensor, "B C"] | None = None) -> Float[Tensor, "B C"]:
        """Logits of exit k from what `advance(., k)` returned.

        Args:
            state: input of head k.
            k: in 0..K-1.
            before: logits of exit k - 1 for the same samples; only a head in a cascade reads them.
        Raises:
            SettingError: there is no exit k, or head k is in a cascade and `before` did not come.
        """
        self._check_exit(k)
        return self.heads[k](*arguments(self.heads[k], state, before))

    def forward_to(self, x: Tensor, k: int) -> Float[Tensor, "B C"]:
        """Logits of exit k alone: blocks behind it and heads that it does not read are not evaluated.

        Raises:
            SettingError: there is no exit k.
        """
        self._check_exit(k)
        first = k  # of the heads to evaluate: in a cascade those before, from its first on
        while isinstance(self.heads[first], CascadeHead):
            first -= 1
        state: State = x
        logits = None
        for exit_ in range(k + 1):
            state = self.advance(state, exit_)
            if exit_ >= first:
                logits = self.logits_at(state, exit_, logits)
        assert logits is not None
        return logits

    def backbone_modules(self) -> list[nn.Module]:
        """Stem and blocks: what a phase that freezes the backbone puts into eval mode."""
        return [self.stem, *self.blocks]

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Parameters of stem and blocks; with those of all heads they are the model's parameters."""
        return [p for module in self.backbone_modules() for p in module.parameters()]

    def _check_exit(self, k: int) -> None:
        if not 0 <= k < self.n_exits:
            raise SettingError(f"k: exit {k} came, the model has exits 0 to {self.n_exits - 1}")


def _check_untouched(states: list[State], written: list[list[int]], who: str) -> None:
    """Stop where a state is no longer what it was: run exit by exit, the network would answer otherwise."""
    for i, (state, before) in enumerate(zip(states, written, strict=True)):
        if versions(state) != before:
            raise SettingError(
                f"model: what exit or block {i} (from 0) gives is changed in place by {who}, so that exits would read "
                "something else; use operations that are not in place (nn.ReLU() for nn.ReLU(inplace=True))"
            )
