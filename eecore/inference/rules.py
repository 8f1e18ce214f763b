"""When a sample leaves: a score of certainty at every exit, and the first exit where it passes a threshold.

Axes: K exits, N samples, C classes, B samples of one chunk.

A rule turns logits into a score in [0, 1], larger = more certain. A sample leaves at the first exit whose
score is strictly above the threshold; the last exit takes everyone still inside. So threshold 0 sends
everyone out at the first exit (except a score of exactly 0, which only an exactly undecided exit has: uniform
probabilities under "entropy", a tie of the top two under "margin"), and threshold 1 sends everyone to the
last.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from eecore.errors import SettingError, choose
from eecore.inference.checks import Number, Numbers, check_logits, check_thresholds
from eecore.inference.protocol import ExitRule, Rule, confidence_of, judgements
from eecore.shapes import Float, Int

__all__ = ["certainty_of", "check_rule", "exit_taken", "register_rule", "rules", "score", "score_and_prediction"]

CHUNK_ELEMENTS = 2**17  # float32 numbers worked on at a time: half a MiB, stays in the cache of one core


def _confidence(x: Float[Tensor, "B C"], top: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Largest softmax probability, exp(top) / sum exp(x) = 1 / sum exp(x - top)."""
    return x.sub_(top[:, None]).exp_().sum(dim=1).reciprocal_()


def _entropy(x: Float[Tensor, "B C"], top: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """1 - H(p) / log C, with H = log s - sum e d / s for d = x - top, e = exp d, s = sum e."""
    shifted = x.sub_(top[:, None])
    weight = shifted.exp()
    total = weight.sum(dim=1)
    entropy = total.log() - weight.mul_(shifted).sum(dim=1) / total
    return 1.0 - entropy / torch.log(torch.tensor(float(x.shape[1])))


def _margin(x: Float[Tensor, "B C"], top: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Largest minus second largest softmax probability."""
    weight = x.sub_(top[:, None]).exp_()
    largest = weight.topk(2, dim=1).values
    return (largest[:, 0] - largest[:, 1]) / weight.sum(dim=1)


_RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "confidence": _confidence,
    "entropy": _entropy,
    "margin": _margin,
}

SIMPLE_RULES = tuple(_RULES)  # what they say at an exit follows from that exit's logits alone
Certainty = Callable[[Tensor], Tensor]  # logits (K, N, C) -> scores (K, N)
_OWN: dict[str, Certainty] = {}


REGRESSION_RULES = ("difference", "variance")  # see eecore.inference.regression


def rules(task: str = "classification") -> list[str]:
    """Names of the rules of a task: "classification" (see `score`) or "regression" (see `uncertainty`).

    Raises:
        SettingError: the task is not known.

    Example:
        >>> rules()
        ['confidence', 'entropy', 'margin']
    """
    by_task = {"classification": [*_RULES, *_OWN], "regression": list(REGRESSION_RULES)}
    return by_task[choose("task", task, by_task)]


def register_rule(name: str, certainty: Certainty) -> None:
    """Make an exit rule of one's own known under `name`, wherever a rule has a name. It may replace an own one.

    Args:
        name: a lower-case identifier.
        certainty: function from logits (K, N, C), float32, to scores (K, N) in [0, 1], larger = more certain. It sees
            all exits at once; a rule that can be used while samples run looks at exits 1..k only for the score at k.
    Raises:
        SettingError: the name is no identifier, or is that of a rule of this library.
    Example:
        >>> register_rule("always", lambda logits: torch.ones(logits.shape[:2]))
        >>> score(torch.zeros(2, 1, 3), "always")
        tensor([[1.],
                [1.]])
        >>> _ = _OWN.pop("always")
    """
    if not name.isidentifier() or name in (*_RULES, *REGRESSION_RULES):
        raise SettingError(f"rule: a name of one's own is letters, digits and underscores and not taken, got {name!r}")
    _OWN[name] = certainty


def check_rule(rule: Rule, task: str) -> Rule:
    """Return the rule where it is one of the task. Objects are rules of classification.

    Raises:
        SettingError: it belongs to the other task, or to none.
    Example:
        >>> check_rule("entropy", "regression")
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: rule: 'entropy' is for classification; regression has difference, variance
    """
    other = "regression" if task == "classification" else "classification"
    known = rules(task)
    if not isinstance(rule, str) and isinstance(rule, ExitRule):  # in this order: to look at a protocol takes longer
        if task == "regression":
            raise SettingError(f"rule: {rule.name!r} is for {other}; {task} has {', '.join(known)}")
        return rule
    if rule in rules(other):
        raise SettingError(f"rule: {rule!r} is for {other}; {task} has {', '.join(known)}")
    return choose("rule", rule, known)


def score(logits: Float[Tensor, "K N C"], rule: Rule = "confidence") -> Float[Tensor, "K N"]:
    """Certainty of every exit about every sample.

    Args:
        logits: of every exit, any floating type; computed in float32.
        rule: "confidence" (largest softmax probability), "entropy" (1 - H(p)/log C, so that the usual rule
            H(p)/log C < t is: score > 1 - t), "margin" (largest minus second largest probability), a registered name,
            or an object (see `exit_rules`).
    Returns:
        Scores in [0, 1], float32, larger = more certain.
    Raises:
        SettingError: the rule is not known, the logits are not (K, N, C) or not all finite.
    Source:
        Kaya et al. 2019, arXiv:1810.07052 (confidence); Teerapittayanon et al. 2016, arXiv:1709.01686
        (entropy).
    Example:
        >>> score(torch.tensor([[[0.0, 0.0], [100.0, 0.0]]]), "confidence")
        tensor([[0.5000, 1.0000]])
    """
    return score_and_prediction(logits, rule)[0]


def score_and_prediction(
    logits: Float[Tensor, "K N C"], rule: Rule = "confidence"
) -> tuple[Float[Tensor, "K N"], Int[Tensor, "K N"]]:
    """Score and predicted class (the first of equals) of every exit, in one pass over the logits."""
    rule = check_rule(rule, "classification")
    if isinstance(rule, ExitRule):
        return _judged(check_logits(logits), rule)
    own = _OWN.get(rule)
    logits = check_logits(logits)
    if own is not None:
        return _own_score(rule, own, logits), logits.max(dim=2).indices
    certainty = _RULES[rule]
    exits, samples, _ = logits.shape
    scores = torch.empty(exits * samples, dtype=torch.float32, device=logits.device)
    predictions = torch.empty(exits * samples, dtype=torch.int64, device=logits.device)
    for rows, x in _chunks(logits):
        top, predictions[rows] = x.max(dim=1)
        scores[rows] = certainty(x, top)
    scores = scores.clamp_(0.0, 1.0)  # rounding may leave [0, 1] by an ulp
    return scores.view(exits, samples), predictions.view(exits, samples)


def certainty_of(logits: Float[Tensor, "B C"], rule: str) -> Float[Tensor, " B"]:
    """Scores of one exit under one of `SIMPLE_RULES`, as `score` gives them; float32 logits, which stay as they are."""
    if rule == "confidence":  # in [0, 1] by itself, and the one that is worth being quick
        return confidence_of(logits)
    return _RULES[rule](logits.clone(), logits.amax(dim=1)).clamp_(0.0, 1.0)


def _judged(logits: Float[Tensor, "K N C"], rule: ExitRule) -> tuple[Float[Tensor, "K N"], Int[Tensor, "K N"]]:
    """Score and predicted class under a rule that is an object; its answers are not kept."""
    scores = torch.empty(logits.shape[:2], device=logits.device)
    predictions = torch.empty(logits.shape[:2], dtype=torch.int64, device=logits.device)
    for samples, k, found in judgements(logits, rule):
        scores[k, samples], predictions[k, samples] = found.score, found.answer.max(dim=1).indices
    return scores, predictions


def _own_score(rule: str, certainty: Certainty, logits: Float[Tensor, "K N C"]) -> Float[Tensor, "K N"]:
    """Scores of a rule of the user's own, where they are scores.

    Raises:
        SettingError: the logits are not finite, or the rule gives another shape, or numbers outside [0, 1].
    """
    if not bool(torch.isfinite(logits).all()):
        raise SettingError("logits: not all finite; expected numbers")
    found = certainty(logits.detach().float())
    wanted = tuple(logits.shape[:2])
    if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
        came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise SettingError(f"rule: {rule!r} must give a tensor (exits, samples), here {wanted}, got {came}")
    slack = 1e-5  # rounding
    if not bool(((found >= -slack) & (found <= 1 + slack)).all()):  # NaN is not within either
        raise SettingError(f"rule: {rule!r} must give scores in [0, 1], got {float(found.min())}..{float(found.max())}")
    return found.float().clamp(0.0, 1.0)


def _chunks(logits: Float[Tensor, "K N C"]) -> Iterator[tuple[slice, Float[Tensor, "B C"]]]:
    """Rows of (K * N, C) in float32 copies that may be overwritten, checked to be finite."""
    flat = logits.detach().reshape(-1, logits.shape[2])
    step = max(1, CHUNK_ELEMENTS // flat.shape[1])
    for start in range(0, len(flat), step):
        x = flat[start : start + step].to(torch.float32, copy=True)
        if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():  # the sum is cheaper, and enough nearly always
            wrong = start + int((~torch.isfinite(x)).any(dim=1).nonzero()[0, 0])
            exit_, sample = divmod(wrong, logits.shape[1])
            raise SettingError(f"logits: not finite at exit {exit_ + 1}, sample {sample}; expected numbers")
        yield slice(start, start + len(x)), x


def exit_taken(score: Float[Tensor, "K N"], threshold: Number | Numbers) -> Int[Tensor, " N"]:
    """Exit at which each sample leaves: the first one that is certain enough.

    Args:
        score: certainty at each exit, in [0, 1]; from `score`.
        threshold: in [0, 1], one number for all exits or one for each (the last is never looked at); a sample
            leaves where its score is strictly above it, and at the last exit if it never is. It is rounded to
            the type of `score` before they are compared.
    Returns:
        Exit indices, 0..K-1.
    Raises:
        SettingError: a threshold lies outside [0, 1], there are neither one nor K of them, or a score is NaN.
    Source:
        Kaya et al. 2019, arXiv:1810.07052.
    Example:
        >>> exit_taken(torch.tensor([[0.9, 0.4], [0.9, 0.7]]), threshold=0.6)
        tensor([0, 1])
    """
    score = torch.as_tensor(score)
    if score.ndim != 2 or score.shape[0] < 1:
        raise SettingError(f"score: expected (exits, samples), got {tuple(score.shape)}")
    if torch.isnan(score).any():
        raise SettingError("score: contains NaN; expected numbers in [0, 1]")
    limits = check_thresholds(threshold)
    if len(limits) not in (1, score.shape[0]):
        raise SettingError(f"threshold: expected one number or one per exit ({score.shape[0]}), got {len(limits)}")
    leaves = score > torch.as_tensor(limits, dtype=score.dtype, device=score.device)[:, None]
    leaves[-1] = True  # the last exit takes everyone still inside
    return leaves.int().argmax(dim=0)  # the first True along K
