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

from collections.abc import Sequence

_MAX_CHARS = 80


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
    return " ".join(str(error).split()) or type(error).__name__


def list_words(words: Sequence[str], limit: int = 4) -> str:
    """Words for a message, at most `limit` of them: ``a, b and 5 more``."""
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more} more" if more > 0 else "")
