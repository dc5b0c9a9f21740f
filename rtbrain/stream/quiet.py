"""What libraries log and warn of while they read a file: kept as lines, off the terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quietly"]


class _Lines(logging.Handler):
    """Log records, kept as lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(" ".join(record.getMessage().split()))


@contextmanager
def quietly(library: str) -> Iterator[list[str]]:
    """Keep what a library says to itself.

    Parameters
    ----------
    library : str
        Name of its logger.

    Yields
    ------
    list of str
        Filled on leaving: one line for each different warning.
    """
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
