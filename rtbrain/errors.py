"""Every error that rtbrain raises on purpose.

::

    RtbrainError
     ├── SettingsError      a setting or a flag that cannot work
     ├── MontageError       channels, labels or positions that do not fit
     ├── RecordingError     a file of signals that cannot be read as one
     ├── StreamError        a live stream: absent, ambiguous, or not the one expected
     │    └── StreamLostError    the stream was there and is gone, or does not answer
     ├── OutputError        an output that cannot be opened, or does not answer
     ├── CheckpointError    weights that are foreign, broken or unsafe
     ├── BundleError        a decoder bundle that is incomplete or was altered
     └── CompiledModelError  a compiled model that differs from its source, or a wrong shape

The message is one line: what was expected, what was found, where, what to do. The command line
prints it and exits with code 2.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_CHARS = 80
# What pydantic says of a value, and our words for it.
_EXPECTED = tuple(
    (re.compile(theirs, re.DOTALL), ours)
    for theirs, ours in (
        (r"(?:Value error|Assertion failed), (.*)", r"\1"),
        (r"Field required", "is missing"),
        (r"Input should be a valid number.*", "expected a number"),
        (r"Input should be a valid integer.*", "expected a whole number"),
        (r"Input should be a valid boolean.*", "expected true or false"),
        (r"Input should be a valid string.*", "expected a text"),
        (r"Input should be a valid (?:list|tuple|set|frozenset).*", "expected a list"),
        (r"Input should be (?:a valid dictionary|an object).*", "expected keys and values"),
        (r"Input should be greater than or equal to (.*)", r"expected \1 or more"),
        (r"Input should be less than or equal to (.*)", r"expected \1 or less"),
        (r"Input should be greater than (.*)", r"expected a value above \1"),
        (r"Input should be less than (.*)", r"expected a value below \1"),
        (r"Input should be (.*)", r"expected \1"),
        (r"String should have at least .*", "expected a text that is not empty"),
        (r"\w+ should have at least (\d+) items?.*", r"expected \1 or more"),
        (r"\w+ should have at most (\d+) .*", r"expected \1 or fewer"),
    )
)


class RtbrainError(Exception):
    """Something that a user, a file or a stream requires cannot be done."""


class SettingsError(RtbrainError):
    """A setting or a flag that cannot work."""


class MontageError(RtbrainError):
    """Channels, labels or positions that do not fit."""


class RecordingError(RtbrainError):
    """A file of signals that cannot be read as one."""


class StreamError(RtbrainError):
    """A live stream that is absent, ambiguous, or not the one expected."""


class StreamLostError(StreamError):
    """A live stream that was there and is gone, or does not answer: it may be back."""


class OutputError(RtbrainError):
    """An output for triggers that cannot be opened, or does not answer."""


class CheckpointError(RtbrainError):
    """Weights that are foreign, broken or unsafe."""


class BundleError(RtbrainError):
    """A decoder bundle that is incomplete or was altered."""


class CompiledModelError(RtbrainError):
    """A compiled model that differs from its source, or a shape it was not made for."""


def quote(text: str) -> str:
    """Text from a sender or a file, quoted, escaped and cut, so that it fits a one-line message."""
    return repr(_cut(text))


def plain_text(text: str, max_chars: int = _MAX_CHARS) -> str:
    """Text from a sender in one line, cut, and with ? for control characters."""
    text = _cut(text, max_chars)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def printable(text: str) -> str:
    """Text for a terminal: ? for all control characters but the ends of lines."""
    return "\n".join(plain_text(line, len(line)) for line in text.split("\n"))


def _cut(text: str, max_chars: int = _MAX_CHARS) -> str:
    return text if len(text) <= max_chars else text[:max_chars] + "..."


def one_line(error: object) -> str:
    """What an error of a library says, on one line; its type where it says nothing."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return " ".join(str(said).split()) or type(error).__name__


def plain_problem(problem: Mapping[str, Any]) -> str:
    """What is wrong with a value, of ``ValidationError.errors()``: where, expected, got."""
    place = list(problem["loc"])
    message = problem["msg"].rstrip(".")
    for theirs, ours in _EXPECTED:
        if found := theirs.fullmatch(message):
            message = found.expand(ours)
            break
    if problem["type"] == "missing" and place and isinstance(place[-1], int):
        message = f"value {place.pop() + 1} is missing"
    # Of settings that disagree, the message names those that do.
    disagree = problem["type"] == "value_error" and isinstance(problem["input"], Mapping)
    given = problem["input"]
    is_words = isinstance(given, list | tuple) and all(isinstance(one, str) for one in given)
    value = f"{', '.join(given) or 'none' if is_words else repr(given):.80}"
    said = problem["type"] == "missing" or ", got " in message or message.startswith(value)
    got = "" if said or disagree else f", got {value}"
    colon = "" if not place else " " if message == "is missing" else ": "
    return f"{'.'.join(map(str, place))}{colon}{message}{got}"


def list_words(words: Sequence[str], limit: int = 4) -> str:
    """Words for a message, at most `limit` of them: ``a, b and 5 more``."""
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more} more" if more > 0 else "")
