"""A recording on disk as microvolts, channels and events: what a replay plays."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rtbrain.types import Floats, Montage, Times

MNE_SUFFIXES = (".vhdr", ".edf", ".bdf", ".fif")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a recording.

    Attributes
    ----------
    onset_s : float
        Seconds since the first sample.
    duration_s : float
        Seconds; 0 for a moment.
    text : str
        What happened, in the file's words.
    """

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Channels of samples that can be read from any sample to any other.

    Attributes
    ----------
    montage : Montage
        Labels, kinds, positions and nominal rate.
    n_samples : int
        Samples a channel.
    reader : callable
        ``reader(start, stop)`` gives float32 [n_channels, stop - start] in µV.
    stamps : ndarray, float64 [n_samples], or None
        Seconds since the first sample where the file stamps its samples one by one; None where
        they are regular.
    events : tuple of Event
        In the order of their onsets.
    notes : tuple of str
        What the user should know about the file, one line each.
    closer : callable or None
        Lets go of the file.
    bad : tuple of str
        Channels that the file's makers mark as bad; they are read like all others.
    subject, session : str
        Labels in the file's name, by which recordings are told apart; empty where it has none.
    unitless : tuple of str
        Channels of which the file tells no unit of voltage: their numbers are taken as microvolts.
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

    def read(self, start: int, stop: int) -> Floats:
        """Samples `start` up to, not including, `stop`.

        Returns
        -------
        ndarray, float32 [n_channels, stop - start]
            Microvolts; the caller's own.

        Raises
        ------
        ValueError
            The samples are not within the recording.
        """
        self._check(start, stop)
        if start == stop:
            return np.empty((self.montage.n_channels, 0), np.float32)
        return self.reader(start, stop)

    def timestamps(self, start: int, stop: int) -> Times | None:
        """Stamps of these samples, s since the first sample; None where they are regular.

        Raises
        ------
        ValueError
            The samples are not within the recording.
        """
        self._check(start, stop)
        return None if self.stamps is None else self.stamps[start:stop].copy()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        if self.closer is not None:
            self.closer()

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"samples {start} to {stop} of a recording of {self.n_samples}")


class _Lines(logging.Handler):
    """Log records, kept as lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(" ".join(record.getMessage().split()))


@contextmanager
def capture_warnings(library: str) -> Iterator[list[str]]:
    """Keep what a library says to itself."""
    logger = logging.getLogger(library)
    handlers, propagates = logger.handlers[:], logger.propagate
    lines: list[str] = []
    said: list[str] = []
    # The library's own handlers too are taken off: some print to the terminal.
    logger.handlers[:], logger.propagate = [_Lines(said)], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lines
    finally:
        logger.handlers[:], logger.propagate = handlers, propagates
    said += [
        " ".join(str(warning.message).split())
        for warning in caught
        if issubclass(warning.category, UserWarning | RuntimeWarning)
    ]
    lines += dict.fromkeys(said)
