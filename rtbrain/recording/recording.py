"""A recording as microvolts, channels and events: what readers return and replay plays."""

import csv
import io
import logging
import math
import sys
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.channels import choose_labels, list_kinds
from rtbrain.errors import MontageError, RecordingError, RtbrainError, one_line
from rtbrain.files import decode_text, parse_json
from rtbrain.recording.formats import require_content
from rtbrain.types import Floats, Montage, Times


@dataclass(frozen=True, slots=True)
class Event:
    """Event by its onset, in seconds from the first sample; a moment lasts 0 s.

    `about` is what else is known of it, by names of columns, `stream` the stream that sent it in a
    file of several.
    """

    onset_s: float
    duration_s: float
    text: str
    about: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    stream: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Channels of samples that can be read from any sample to any other.

    ``reader(start, stop)`` returns float32 [n_channels, stop - start] in µV. `stamps`, float64
    [n_samples], are seconds from the first sample where the file stamps each; None: they are
    regular. `events` are by onset, `notes` what the user should know about the file, one line each.
    Channels in `bad` are marked so by the file and read like the others; those in `unitless` have
    no unit of voltage there, their numbers are taken as microvolts; `units` are those of the
    numbers of channels that are no contacts, where they are known. `subject`, `session`,
    `task` and `run` are labels in the file's name; empty without one.
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
    task: str = ""
    run: str = ""
    unitless: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    microvolts: Mapping[str, float] = field(default_factory=dict)  # per unit of the header
    triggers: tuple[Event, ...] = ()  # what a decoder sent, and what it suppressed: no labels

    @property
    def duration_s(self) -> float:
        """How long its samples last, s; pauses do not count."""
        return self.n_samples / self.montage.sfreq_hz

    @property
    def span_s(self) -> float:
        """Time from its first sample to one period after its last, s; pauses count."""
        if self.stamps is None:
            return self.duration_s
        return float(self.stamps[-1]) + 1 / self.montage.sfreq_hz

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


def select(
    recording: Recording,
    *,
    channels: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    space: str | None = None,
) -> Recording:
    """What --channels, --exclude, --kinds and --space make of a recording.

    Raises
    ------
    SettingsError
        A pattern fits no channel, or no channel is of a kind.
    RecordingError
        No channel is left.
    MontageError
        There are no positions whose space could be named.
    """
    montage = recording.montage
    if space is not None:
        if montage.positions is None:
            raise MontageError("the recording holds no positions that --space could name")
        montage = replace(montage, space=space)
    if channels is None and not exclude and kinds is None:
        return replace(recording, montage=montage)
    of = dict(zip(montage.names, montage.kinds, strict=True))
    choice = choose_labels(of, channels=channels, exclude=exclude or (), kinds=kinds)
    if not choice.labels:
        raise RecordingError(f"no channel is left: {list_kinds(choice.kinds)}")
    whole, rows = recording.reader, montage.rows(choice.labels)
    return replace(
        recording,
        montage=replace(montage, kinds=tuple(choice.kinds.values())).pick(choice.labels),
        reader=lambda start, stop: whole(start, stop)[rows],
        bad=tuple(label for label in recording.bad if label in choice.labels),
        unitless=tuple(label for label in recording.unitless if label in choice.labels),
    )


@contextmanager
def parsing(path: Path, where: str = "") -> Iterator[None]:
    """Turn whatever a parser of another library raises on a broken file into a RecordingError."""
    try:
        with redirect_stdout(io.StringIO()):  # some print
            yield
    except RtbrainError:
        raise
    # Such parsers raise anything, Exception itself too.
    except Exception as error:
        what = f"is truncated or damaged {where}" if where else "cannot be read"
        hint = "" if where else ": it is truncated, incomplete or of another format"
        raise RecordingError(f"{path} {what}{hint}{_said(error)}") from error


def _said(error: Exception) -> str:
    """What a parser says of a file, without what it says of itself or of its functions."""
    if isinstance(error, AttributeError | LookupError | TypeError | NameError | AssertionError):
        return ""
    return f" ({one_line(error).split(' Pass ')[0].rstrip('.')})"


# What NumPy raises on headers that are foreign, broken or hostile.
_NO_ARRAY = (
    ArithmeticError,
    EOFError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def map_array(path: Path, hint: str) -> npt.NDArray[Any]:
    """Array of an ``.npy`` file, whose values stay there; RecordingError if it holds none."""
    try:
        with warnings.catch_warnings():
            # Of a header that Python 2 wrote, and of a shape that no file has.
            warnings.simplefilter("ignore")
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NO_ARRAY as error:
        raise RecordingError(f"{path} is no array of numbers, {one_line(error)}: {hint}") from error
    if not isinstance(array, np.ndarray):
        raise RecordingError(f"{path} is no array of numbers, but an archive of several")
    return array


def read_json(path: Path) -> Any:
    """Values of a JSON file, with or without a byte-order mark; RecordingError if it is broken."""
    try:
        require_content(path)
        return parse_json(decode_text(path.read_bytes())[0])
    except (ValueError, OSError) as error:
        raise RecordingError(f"{path} cannot be read as JSON: {one_line(error)}") from error


def read_rows(
    path: Path, *needed: str, ragged: bool = False, **dialect: Any
) -> Iterator[dict[Any, Any]]:
    """Rows of a table by column, as `csv.DictReader` gives them; RecordingError if it is broken."""
    require_content(path)
    text, _ = decode_text(path.read_bytes())
    table = csv.DictReader(io.StringIO(text, newline=""), **dialect)
    try:
        absent = [column for column in needed if column not in (table.fieldnames or ())]
        if absent:
            raise RecordingError(f"{path} has no column {', '.join(absent)}: correct the file")
        for row in table:
            if not ragged and (None in row or None in row.values()):
                raise RecordingError(
                    f"{path}: line {table.line_num} has another number of columns than the "
                    "header, the file is truncated or broken"
                )
            yield row
    except csv.Error as error:
        raise RecordingError(f"{path} cannot be read as a table: {error}") from error


def parse_number(text: str) -> float:
    """Number of a table's cell, with a decimal point or comma; NaN where there is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


@contextmanager
def capture_warnings(library: str) -> Iterator[list[str]]:
    """Warnings and log records of a library, one line each, in the list once the block ends."""
    logger = logging.getLogger(library)
    handlers, propagates = logger.handlers[:], logger.propagate
    lines: list[str] = []
    kept = BufferingHandler(sys.maxsize)
    kept.setLevel(logging.WARNING)
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
    logged = [one_line(record.getMessage()) for record in kept.buffer]
    lines += dict.fromkeys(logged + warned)
