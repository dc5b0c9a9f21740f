"""A recording as microvolts, channels and events: what readers return and replay plays."""

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError, one_line
from rtbrain.types import Floats, Montage, Times

MNE_SUFFIXES = (".vhdr", ".edf", ".bdf", ".fif")


@dataclass(frozen=True, slots=True)
class Event:
    """Event by its onset, in seconds from the first sample; a moment lasts 0 s."""

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Channels of samples that can be read from any sample to any other.

    Attributes
    ----------
    reader : callable
        ``reader(start, stop)`` returns float32 [n_channels, stop - start] in µV.
    stamps : ndarray, float64 [n_samples], or None
        Seconds from the first sample where the file stamps each sample; None: they are regular.
    events : tuple of Event
        By onset.
    notes : tuple of str
        What the user should know about the file, one line each.
    bad : tuple of str
        Channels that the file marks as bad; they are read like the others.
    subject, session : str
        Labels in the file's name; empty without one.
    unitless : tuple of str
        Channels without a unit of voltage in the file: their numbers are taken as microvolts.
    """

    montage: Montage
    n_samples: int
    reader: Callable[[int, int], Floats]
    stamps: Times | None = None
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    closer: Callable[[], None] | None = None
    bad: tuple[str, ...] = ()
    subject: str = ""
    session: str = ""
    unitless: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long its samples last, s; pauses do not count."""
        return self.n_samples / self.montage.sfreq_hz

    def read(self, start: int, stop: int) -> Floats:
        """Samples in µV, float32 [n_channels, stop - start], a copy of their own."""
        self._check(start, stop)
        if start == stop:
            return np.empty((self.montage.n_channels, 0), np.float32)
        return self.reader(start, stop)

    def timestamps(self, start: int, stop: int) -> Times | None:
        """Seconds from the first sample to each of these; None where they are regular."""
        self._check(start, stop)
        return None if self.stamps is None else self.stamps[start:stop].copy()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self.closer is not None:
            self.closer()

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"samples {start} to {stop} of a recording of {self.n_samples}")


def read_json(path: Path) -> Any:
    """Values of a JSON file, with or without a byte-order mark; RecordingError if it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise RecordingError(f"{path} cannot be read as JSON: {error}") from error


def parse_number(text: str) -> float:
    """Number of a table's cell; NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


class _Lines(logging.Handler):
    """Log records, kept as lines."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(one_line(record.getMessage()))


@contextmanager
def capture_warnings(library: str) -> Iterator[list[str]]:
    """Warnings and log records of a library, one line each, in the list once the block ends."""
    logger = logging.getLogger(library)
    handlers, propagates = logger.handlers[:], logger.propagate
    lines: list[str] = []
    kept = _Lines()
    # The library's own handlers are removed too: some print to the terminal.
    logger.handlers[:], logger.propagate = [kept], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lines
    finally:
        logger.handlers[:], logger.propagate = handlers, propagates
    warned = [
        one_line(warning.message)
        for warning in caught
        if issubclass(warning.category, UserWarning | RuntimeWarning)
    ]
    lines += dict.fromkeys(kept.lines + warned)
