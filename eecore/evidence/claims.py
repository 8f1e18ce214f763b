"""The paper's claims, and how this book reads each of them: what is measured, in which direction, and where.

Every claim may be read in more than one way; each way is a `Reading` with a test of its own, so that a reader who would
read it differently sees what depends on that. They are data: claims.toml, beside this file.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from eecore.errors import SettingError, choose

__all__ = ["CLAIMS", "Claim", "Reading", "read_claims", "readings"]


class Reading(BaseModel):
    """One test of a claim.

    Args:
        name: such as "A1"; the letter is the claim's.
        says: what must be found, in words.
        measure: which number of a run is meant, a key of the measured frames (see companion.pages.claimed).
        regimes: (a, b): the difference a - b of two regimes; (a,): the number of one regime.
        expects: "above" or "below" the reference.
        page: the notebook that measures it.
        reference: what the number is compared with, in its unit.
        holds: "most": in general, so in most combinations of data and model; "some": in at least one of them.
        unit, scale: how numbers are shown: multiplied by `scale`, then `unit`.
        own: whether it is this book's question rather than the paper's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    says: str
    measure: str
    regimes: tuple[str] | tuple[str, str]
    expects: Literal["above", "below"]
    page: str
    reference: float = 0.0
    holds: Literal["most", "some"] = "most"
    unit: str = "points"
    scale: float = 100.0
    own: bool = False

    @property
    def claim(self) -> str:
        """The letter of the claim that it belongs to."""
        return self.name[0]


class Claim(BaseModel):
    """A claim of the paper.

    Args:
        name: a letter.
        title: in a few words.
        text: the claim.
        where: where the paper says it, as far as is known here.
        readings: its tests, at least one.
        scope: what they do not cover.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    text: str
    where: str
    scope: str
    readings: tuple[Reading, ...]


def read_claims(text: str) -> tuple[Claim, ...]:
    """Claims from TOML: a table per letter, and in it a table per reading whose name begins with that letter.

    Raises:
        SettingError: the text is no TOML, a field is missing, unknown or of another type, a claim has no reading, or a
            reading another letter.
    """
    try:
        return tuple(_claim(name, dict(table)) for name, table in tomllib.loads(text).items())
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"claims: not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingError(f"claims: {where}: {first['msg']}, got {first['input']!r}") from None


def _claim(name: str, table: dict[str, Any]) -> Claim:
    tests = {key: table.pop(key) for key in list(table) if isinstance(table[key], dict)}
    if not tests or any(not key.startswith(name) for key in tests):
        raise SettingError(
            f"claims: {name} needs readings whose names begin with {name}, got {', '.join(tests) or 'none'}"
        )
    texts = {key: " ".join(str(value).split()) for key, value in table.items()}
    return Claim(name=name, readings=tuple(Reading(name=key, **test) for key, test in tests.items()), **texts)


CLAIMS = read_claims(Path(__file__).with_name("claims.toml").read_text(encoding="utf-8"))


def readings(names: Iterable[str] | None = None) -> dict[str, Reading]:
    """The tests of all claims, or of those named, by name.

    Raises:
        SettingError: a name is not known.
    Example:
        >>> readings(["B1"])["B1"].regimes
        ('joint', 'disjoint')
    """
    known = {reading.name: reading for claim in CLAIMS for reading in claim.readings}
    return {name: known[choose("reading", name, known)] for name in (known if names is None else names)}
