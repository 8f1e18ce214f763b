"""Whether two networks are the same: samples to try them on, and how far apart what they give is."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from eecore.errors import SettingError
from eecore.models import cost
from eecore.models.backbone import Backbone, State, reading
from eecore.models.multi_exit import MultiExit
from eecore.special import FIRST, PADDING

TOLERANCE = 1e-3  # of the largest value: a hundred times what rounding makes of a deep network in float32
ALIKE = 1e-3  # weights with a smaller range say nothing: zeros, ones, scales of 1e-6, class tokens with that deviation
COARSE = 3e-2  # in 16-bit formats, and on accelerators, whose float32 may be of fewer digits


def samples_like(kind: str, shape: Sequence[int], vocabulary: int = 0, samples: int = 4) -> Tensor:
    """Random samples of the form of data, always the same ones; torch's generators stay untouched.

    Args:
        kind, shape: of one sample, as in `eecore.models.build`.
        vocabulary: how many different tokens there are; the first sample of tokens ends in padding.
        samples: their number, from 1 up.
    Example:
        >>> samples_like("tokens", (6,), vocabulary=9).shape, samples_like("image", (1, 8, 8)).dtype
        (torch.Size([4, 6]), torch.float32)
    """
    generator = torch.Generator().manual_seed(0)
    with torch.device("cpu"):
        if kind != "tokens":
            return torch.randn(samples, *shape, generator=generator)
        x = torch.randint(
            FIRST if vocabulary > FIRST else 0, max(vocabulary, 1), (samples, *shape), generator=generator
        )
        x[0, 1 + shape[0] // 2 :] = PADDING
        return x


def apart(came: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value that was wanted; infinite where there is no comparing.

    Example:
        >>> apart(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])), apart(torch.zeros(2), torch.zeros(3))
        (0.25, inf)
    """
    if came.shape != wanted.shape:
        return float("inf")
    came, wanted = came.detach().to("cpu", torch.float64), wanted.detach().to("cpu", torch.float64)
    far = torch.where(came == wanted, 0.0, (came - wanted).abs())
    if not bool(far.isfinite().all()):
        return float("inf")
    largest = float(wanted[wanted.isfinite()].abs().max()) if bool(wanted.isfinite().any()) else 0.0
    return float(far.max()) / largest if largest else (float("inf") if float(far.max()) else 0.0)


def tolerance(wanted: Tensor) -> float:
    """How far apart equal networks may be, by rounding alone, in the type and on the device of what they give."""
    exact = wanted.dtype in (torch.float32, torch.float64) and wanted.device.type == "cpu"
    return TOLERANCE if exact else COARSE


Seen = list[tuple[int, Tensor]]  # block, and what it gave, in the order in which the blocks ran


@torch.no_grad()
def check_cut(backbone: Backbone, whole: nn.Module, x: Tensor) -> None:
    """Stop where stem and blocks do not give what the network that they were cut from computes at the same places.

    Weights that are all alike hide what the network does with them (positions of zeros, scales of 1e-6): they are moved
    while the two are compared. Nothing is compared where there are no values (on "meta"), or the network cannot run as
    a whole.

    Args:
        backbone: the cut.
        whole: the network; parameters, buffers and modes are afterwards what they were.
        x: samples.
    Raises:
        SettingError: they differ, or the whole network does not run its blocks once each and in this order.
    """
    weights = [*whole.parameters(), *whole.buffers()]
    if any(weight.is_meta for weight in weights) or type(whole).forward is nn.Module.forward:
        return
    first = next((weight for weight in weights if weight.is_floating_point()), None)
    if first is not None:
        x = x.to(first.device, first.dtype if x.is_floating_point() else x.dtype)
    what = f"model: {type(whole).__name__} cannot be cut like this"
    parts = (backbone.stem, *backbone.blocks)
    with _quiet((whole, *parts)), _told_apart(whole, parts):
        wanted = _run_whole(backbone, whole, x, what)
        state: State = backbone.stem(x.clone())
        for k, block in enumerate(backbone.blocks):
            state = block(state)
            if k in wanted and not (far := apart(reading(state), wanted[k])) <= tolerance(wanted[k]):
                raise SettingError(
                    f"{what}: on a random sample block {k} gives other values than in the whole network; they differ "
                    f"by {far:.2g} of the largest. Something between the parts was left out (positions, an order of "
                    "tokens, a mask); put it into a stem or blocks of your own, and use from_blocks"
                )


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Whatever somebody else's code raises, as one line that begins with `what`."""
    try:
        yield
    except SettingError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SettingError(f"{what}: {reason}") from error


@torch.no_grad()
def check_alone(model: MultiExit) -> None:
    """Stop where what a block gives for a sample is no number, depends on other samples, or differs each time.

    Samples leave one after the other, so that who is beside whom is chance. Nothing is checked on "meta".

    Args:
        model: that knows what it is made for; stays as it is.
    Raises:
        SettingError: so it is, or it cannot run.
    """
    if model.made_for is None or any(weight.is_meta for weight in model.parameters()):
        return
    x = samples_like(*model.made_for)
    with _quiet((model,)), one_line("model: it cannot run on random samples of this form"):
        among, alone = model.block_outputs(x.clone()), model.block_outputs(x[:1].clone())
        for k, (several, one) in enumerate(zip(map(reading, among), map(reading, alone), strict=True)):
            if bool(several.isnan().any()):
                raise SettingError(
                    f"model: block {k} gives NaN on random samples: look for NaN in its weights, or a division by 0"
                )
            if not (far := apart(one, several[:1])) <= tolerance(one):
                raise SettingError(
                    f"model: block {k} answers a sample otherwise alone than among others, or otherwise each time "
                    f"({far:.2g} of the largest value): samples leave one by one, so none may depend on its neighbours "
                    "or on chance in eval mode, as in a batch normalisation without running statistics, a drop-out "
                    "that is always on, or an order of axes other than samples first"
                )
        model(x[:2].clone())  # with the heads


@contextmanager
def _quiet(parts: Iterable[nn.Module]) -> Iterator[None]:
    """Eval mode for a while; modes and torch's generator come back as they were."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(cost.evaluating(part))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        yield


@contextmanager
def _told_apart(whole: nn.Module, parts: Sequence[nn.Module]) -> Iterator[None]:
    """Weights and running statistics that are all alike, as new networks have them, differ for a while.

    Where parts are copies, theirs cannot be moved alike: only what is shared is moved then.
    """
    shared = {id(weight) for part in parts for weight in _weights(part)}
    known = {id(weight): weight for weight in _weights(whole)}
    moved = [weight for i, weight in known.items() if i in shared or shared <= known.keys()]
    kept = [(weight, weight.clone()) for weight in moved if float(weight.max() - weight.min()) < ALIKE]
    generator = torch.Generator().manual_seed(0)
    try:
        for weight, _ in kept:  # upwards, as a variance may not fall below zero
            weight += torch.rand(weight.shape, generator=generator, device="cpu").to(weight) / 5
        yield
    finally:
        for weight, before in kept:
            weight.copy_(before)


def _weights(part: nn.Module) -> Iterator[Tensor]:
    """Parameters and running statistics, without those that have no values."""
    running = (m for m in part.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.track_running_stats)
    yield from (p for p in part.parameters() if p.is_floating_point() and p.numel())
    yield from (t for m in running for t in (m.running_mean, m.running_var) if t is not None and t.numel())


def _run_whole(backbone: Backbone, whole: nn.Module, x: Tensor, what: str) -> dict[int, Tensor]:
    """Outputs of the blocks when the whole network runs."""
    seen: Seen = []
    ends = [_end(block, whole) for block in backbone.blocks]
    out, failed = None, ""
    with ExitStack() as hooks:
        for k, end in enumerate(ends):
            if end is not None:
                hooks.callback(end.register_forward_hook(_kept(seen, k, end is backbone.blocks[k])).remove)
        try:
            out = whole(x.clone())
        except Exception as error:  # somebody else's code, whose classifier, behind the blocks, need not fit
            failed = f" ({str(error).strip().partition(chr(10))[0] or type(error).__name__})"
    last = len(ends) - 1
    if ends[last] is None and isinstance(out, Tensor):
        seen.append((last, out))
    ran = [k for k, _ in seen]
    expected = [k for k, end in enumerate(ends) if end is not None or k == last]
    if ran != expected:
        raise SettingError(f"{what}: the whole network runs blocks {ran}, not {expected}{failed}")
    return dict(seen)


def _kept(seen: Seen, k: int, itself: bool) -> Any:
    """A hook that writes down what block k gives: of several tensors a block's last one, a wrapped layer's first."""

    def hook(_part: nn.Module, _inputs: object, out: Any) -> None:
        if isinstance(out, tuple):
            out = out[-1 if itself else 0]
        seen.append((k, out.clone() if isinstance(out, Tensor) else torch.empty(0)))

    return hook


def _end(block: nn.Module, whole: nn.Module) -> nn.Module | None:
    """The module of the whole network whose output is this block's: itself, or the last one inside of it."""
    inside = {id(part) for part in whole.modules()}
    while id(block) not in inside:
        children = list(block.children())
        if not children:
            return None
        block = children[-1]
    return block
