"""Values as people write them, behind `-p NAME` and in YAML files: a number is decimal, and what is none is a text.

YAML by itself reads 010 as 8, 1:30 as 90, yes as true and 1e3 as a text, and it cannot read a list that holds a path
with a question mark. Here a list in brackets is taken apart at its commas; all else in it is as it was written.
"""

import functools
import json
import math
import re
from typing import Any, ClassVar

from eecore.errors import SettingError, shown

__all__ = ["load_yaml", "read", "write"]

WORDS = {"true": True, "false": False, "null": None, "~": None, "": None, ".inf": math.inf, "-.inf": -math.inf}
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
LIKE_A_NUMBER = re.compile(  # to YAML: binary, octal, base 60, with underscores; or a date
    r"[-+]?(0[xXbBoO]\w+|[0-9][0-9_]*(:[0-9]+)*(\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ tT].*)?)"
)
QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""")
ENTRY = re.compile(rf"{QUOTED.pattern}|\{{.*?\}}(?=\s*[],])|[^][,'\"{{][^][,]*")
AFTER = re.compile(r"\s*(?:,|(?=\]))")
MERGE = "tag:yaml.org,2002:merge"
SPECIAL = tuple("&*!%@`|>")  # of YAML, and the beginning of no name or path


def scalar(text: str) -> Any:
    """A number, true, false, null, or the text itself.

    Raises:
        SettingError: it looks like a number and is no decimal one, so that nobody can be sure what was meant.
    Example:
        >>> [scalar(word) for word in ("10", "1e3", "true", "yes", "images:/photos?size=96")]
        [10, 1000.0, True, 'yes', 'images:/photos?size=96']
        >>> scalar("010")
        Traceback (most recent call last):
        ...
        eecore.errors.SettingError: '010' is no decimal number, such as 10 or 0.5; as a text it has quotes: "010"
    """
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if WHOLE.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # thousands of digits
            raise SettingError(f"{shown(text)} has more digits than any setting") from None
    if DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if LIKE_A_NUMBER.fullmatch(text) or DECIMAL.fullmatch(text):
        raise SettingError(
            f"{shown(text)} is no decimal number, such as 10 or 0.5; as a text it has quotes: {json.dumps(text)}"
        )
    return text


def read(text: str) -> Any:
    """The value of one word of a command line: a number, a text, a list in brackets or a dictionary in braces.

    Raises:
        SettingError: it is none of these.
    Example:
        >>> read("[images:/my photos?size=96, digits]"), read("[0,1]"), read('["a,b"]')
        (['images:/my photos?size=96', 'digits'], [0, 1], ['a,b'])
    """
    try:
        return _read(text.strip())
    except RecursionError:
        raise SettingError(f"{shown(text)} holds too many lists in each other") from None


def _read(text: str) -> Any:
    if text.startswith("["):
        found, end = _list(text, 1)
        if text[end:].strip():
            raise SettingError(f"{shown(text)} goes on behind its last bracket; commas stand between entries")
        return found
    return _single(text)


def _list(text: str, at: int) -> tuple[list[Any], int]:
    """The entries from a place on, and the place behind the bracket that closes their list."""
    entries: list[Any] = []
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        if text.startswith("]", at):
            return entries, at + 1
        if text.startswith("[", at):
            entry, end = _list(text, at + 1)
        else:
            word = ENTRY.match(text, at)
            if word is None:
                raise SettingError(
                    f"{shown(text)} is no list, such as [0,1]: brackets and quotes close, no entry is empty"
                )
            entry, end = _single(word[0].strip()), word.end()
        entries.append(entry)
        after = AFTER.match(text, end)
        if after is None:
            raise SettingError(
                f"{shown(text)} is no list, such as [0,1]: commas stand between entries, a bracket at its end"
            )
        at = after.end()


def _single(text: str) -> Any:
    if text.startswith("{"):
        return load_yaml(text)
    if text.startswith(("'", '"')):
        return _quoted(text)
    if text.startswith(SPECIAL) or not text.isprintable():
        raise SettingError(f"{shown(text)} is neither a number, a word nor a list")
    return scalar(text)


def _quoted(text: str) -> str:
    if QUOTED.fullmatch(text) is None:
        raise SettingError(f"{shown(text)}: a quote at its beginning needs one at its end")
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return str(json.loads(text))
    except ValueError:
        raise SettingError(f"{shown(text)} is no text in quotes") from None


def write(value: object) -> str:
    """A value as `read` reads it: numbers and words as they are, in quotes what would be read as something else.

    Example:
        >>> write(["images:/my photos?size=96", 1, "010", "a,b"])
        '[images:/my photos?size=96,1,"010","a,b"]'
        >>> write({"mlp_nano": ["mlp:2"]})
        '{"mlp_nano": ["mlp:2"]}'
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(map(write, value))}]"
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        plain = read(f"[{value}]") == [value] and read(value) == value
    except SettingError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def load_yaml(text: str) -> Any:
    """YAML whose numbers are decimal, and in which a name that is there twice is an error.

    Raises:
        SettingError: it is no such YAML; where in it is in the message.
        ImportError: PyYAML is not here.
    Example:
        >>> load_yaml("lr: 1e-3")
        {'lr': 0.001}
    """
    import yaml

    try:
        return yaml.load(text, _loader())
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1}" if place else ""
        raise SettingError(f"it is no YAML{line}: {getattr(error, 'problem', error)}") from None


@functools.cache
def _loader() -> Any:
    """YAML's safe loader, whose plain words are read by `scalar`."""
    import yaml  # here, so that all else works on a machine that has not got it

    class Plain(yaml.SafeLoader):
        yaml_implicit_resolvers: ClassVar = {  # only << is left to YAML
            first: [(tag, form) for tag, form in resolvers if tag == MERGE]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
            for name in names:
                if names.count(name) > 1:
                    raise SettingError(f"{name}: it is there twice")
            return super().construct_mapping(node, deep)

        def plain(self, node: yaml.ScalarNode) -> Any:
            try:
                return scalar(node.value) if node.style is None else node.value
            except SettingError as error:
                raise SettingError(f"line {node.start_mark.line + 1}: {error}") from None

    Plain.add_constructor("tag:yaml.org,2002:str", Plain.plain)
    return Plain
