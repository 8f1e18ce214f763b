"""How long training may go on, and how often its state is kept: neither changes what comes out."""

import math
import time
from collections.abc import Callable

from eecore.errors import EecoreError, SettingError


class Paused(EecoreError):
    """The time is up. What was trained so far is stored; the same call goes on from there."""


class Pace:
    """A clock for training that must end in time, at an epoch.

    An epoch is begun only where one as long as the longest so far would still end in time; the first one after a start
    is begun in any case, so that every call gets somewhere.

    Args:
        seconds: until the time is up.
        checkpoint_seconds: least time between two stored states of a phase; 0: after each epoch. A process that is
            killed loses at most this and an epoch.
        now: a clock in seconds that never goes back.
    Raises:
        SettingError: a number is negative or none.
    Example:
        >>> pace = Pace(10.0, now=iter([0.0, 0.0, 4.0, 4.0, 8.0, 8.0]).__next__)
        >>> pace.phase_begins(), pace.epoch_ended(), pace.is_over(), pace.epoch_ended(), pace.is_over()
        (None, None, False, None, True)
    """

    def __init__(
        self,
        seconds: float | int = math.inf,
        checkpoint_seconds: float | int = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("seconds", seconds), ("checkpoint_seconds", checkpoint_seconds)):
            if not value >= 0:
                raise SettingError(f"{name}: expected a number of at least 0, got {value}")
        self._now, self._between = now, checkpoint_seconds
        self._end = now() + seconds
        self._mark = self._stored = -math.inf
        self._longest = 0.0

    def phase_begins(self) -> None:
        """A phase starts, or goes on, now; it may have longer or shorter epochs than the one before."""
        self._mark = self._stored = self._now()
        self._longest = 0.0

    def epoch_ended(self) -> None:
        """An epoch is over, its evaluation included."""
        here = self._now()
        self._longest, self._mark = max(self._longest, here - self._mark), here

    def is_over(self) -> bool:
        """Whether one more epoch would end too late."""
        return self._now() + self._longest > self._end

    def wants_state(self) -> bool:
        """Whether the state after the epoch that ended last is to be stored."""
        return self._mark - self._stored >= self._between or self.is_over()

    def state_stored(self) -> None:
        """The state was stored now."""
        self._stored = self._now()
