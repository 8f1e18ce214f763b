"""Data of which the mutual information is known: correlated Gaussians, clouds of classes, a noisy channel.

N samples, D features, C classes, s^2 a variance. In nats. X is continuous, Y a label, Z what is known of them.
"""

import math

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import xlogy

from eecore.errors import SettingError
from eecore.shapes import Float, Int

AXES = 3  # of the cube of classes: 8 classes
MOST = 300  # nats a feature: exp(2 x 300) is near the largest float64


def one_hot(y: Int[np.ndarray, " N"], classes: int) -> Float[np.ndarray, "N C"]:
    """A row of zeros with a one at the sample's class."""
    return np.eye(classes)[y]


def correlated_gaussians(
    n: int, d: int, information: float, seed: int
) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N D"]]:
    """X of D independent standard normals, and Z = X + noise: feature by feature, correlated by rho.

    Args:
        n: samples, 2 or more.
        d: features, 1 or more.
        information: I(X;Z) = -1/2 sum log(1 - rho^2) of all features together, above 0 and at most 300 for each;
            decides rho.
        seed: of the draw.
    Returns:
        X, Z. The noise's variance is `noise_of`.
    Raises:
        SettingError: a number is out of range.
    """
    variance = noise_of(information, d)
    at_least("n", n, 2)
    x, noise = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, x + math.sqrt(variance) * noise


def noise_of(information: float, d: int) -> float:
    """Variance s^2 of noise on each of D standard normal features that leaves `information` nats: D/2 log(1 + 1/s^2).

    Raises:
        SettingError: a number is out of range.
    Example:
        >>> round(4 / 2 * math.log(1 + 1 / noise_of(2.0, 4)), 6)
        2.0
    """
    at_least("d", d, 1)
    if not 1e-300 < information / d <= MOST:
        raise SettingError(f"information: above 0 and at most {MOST} nats a feature are needed, {information} came")
    return 1 / math.expm1(2 * information / d)


def class_mixture(
    n: int, d: int, distance: float, seed: int, axes: int = AXES
) -> tuple[Float[np.ndarray, "N D"], Int[np.ndarray, " N"]]:
    """One normal cloud of variance 1 for each corner of a cube with sides `distance`, all corners equally frequent.

    Args:
        n: samples, 2 or more; d: features, `axes` or more; distance: 0 or more; seed: of the draw.
        axes: of the cube, 1 or more: there are C = 2^axes classes. The other features are noise.
    Returns:
        Z and the labels Y. I(Y;Z) is `mixture_information`.
    Raises:
        SettingError: a number is out of range.
    """
    at_least("n", n, 2)
    at_least("axes", axes, 1)
    at_least("d", d, axes)
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(n) % 2**axes)
    z = generator.standard_normal((n, d))
    z[:, :axes] += distance * (y[:, None] >> np.arange(axes) & 1)
    return z, y


def mixture_information(distance: float, variance: float = 1.0, axes: int = AXES) -> float:
    """I(Y;Z) of `class_mixture`: each axis tells one bit of the label, by numerical integration of its density.

    Args:
        distance: between the two means of an axis, 0 or more.
        variance: of each cloud along each axis, above 0.
        axes: 1 or more; they are independent, so their information adds.
    Raises:
        SettingError: a number is out of range.
    Example:
        >>> round(mixture_information(100.0) / math.log(2), 6)  # no overlap: three bits
        3.0
    """
    at_least("axes", axes, 1)
    if not (0 <= distance < math.inf and 0 < variance < math.inf):
        raise SettingError(f"distance, variance: 0 or more and above 0 are needed, {distance}, {variance} came")
    sd = math.sqrt(variance)
    gap = min(distance / sd, 40.0)  # clouds that far apart do not overlap in float64
    at = np.arange(-9.0, gap + 9.0, 0.02)
    density = np.exp(-((at - np.array([[0.0], [gap]])) ** 2) / 2) / math.sqrt(2 * math.pi)
    mixture = density.mean(axis=0)
    entropy = -float(trapezoid(xlogy(mixture, mixture), at))
    return axes * max(0.0, entropy - 0.5 * math.log(2 * math.pi * math.e))


def channel_information(classes: int, flip: float) -> float:
    """I(Y;Z) of the symmetric channel: log C - H(flip) - flip log(C - 1).

    Args:
        classes: C, equally frequent, 2 or more.
        flip: probability in [0, 1] that Z is one of the C - 1 wrong classes.
    Raises:
        SettingError: a number is out of range.
    Example:
        >>> channel_information(10, 0.9) < 1e-12  # every class equally likely: nothing is known
        True
    """
    at_least("classes", classes, 2)
    if not 0 <= flip <= 1:
        raise SettingError(f"flip: a probability is needed, {flip} came")
    lost = -sum(p * math.log(p) for p in (flip, 1 - flip) if p > 0) + flip * math.log(classes - 1)
    return max(0.0, math.log(classes) - lost)


def symmetric_channel(
    n: int, classes: int, flip: float, seed: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Equally frequent labels Y, and Z = Y except with probability `flip`, when Z is another class at random."""
    channel_information(classes, flip)  # checks both
    at_least("n", n, 2)
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(n) % classes)
    other = (y + generator.integers(1, classes, n)) % classes
    return np.where(generator.random(n) < flip, other, y), y


def at_least(name: str, value: int, least: int) -> None:
    """Raise SettingError where a number is too small."""
    if value < least:
        raise SettingError(f"{name}: at least {least} is needed, {value} came")
