"""The film of a Brain Treebank trial: its words, and the triggers that place them in the signal."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.types import Ints, Times


@dataclass(frozen=True, slots=True, eq=False)
class Triggers:
    """Moments that were marked in the film and in the signal."""

    movie_s: Times  # float64 [n_triggers]
    sample: Ints  # int64 [n_triggers]

    @property
    def rate_hz(self) -> float:
        """Effective sampling rate in Hz: the median over pairs of neighbouring triggers.

        The median, since the film stands still between two triggers wherever it was paused.
        """
        apart_s = np.diff(self.movie_s)
        later = apart_s > 0
        return float(np.median(np.diff(self.sample)[later] / apart_s[later]))

    def samples_at(self, movie_s: Times) -> Ints:
        """Number of the sample at times in the film, counted from the nearest trigger.

        Times before the first and after the last trigger are counted on, not held at it: the
        words there would otherwise all fall on one sample.
        """
        right = np.searchsorted(self.movie_s, movie_s).clip(1, self.movie_s.size - 1)
        nearer_left = movie_s - self.movie_s[right - 1] <= self.movie_s[right] - movie_s
        nearest = np.where(nearer_left, right - 1, right)
        exact = self.sample[nearest] + (movie_s - self.movie_s[nearest]) * self.rate_hz
        return np.rint(exact).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a film in their order, with all that the transcript says of them."""

    text: tuple[str, ...]
    start_s: Times  # float64 [n_words]
    end_s: Times  # float64 [n_words]
    start_sample: Ints  # int64 [n_words]
    end_sample: Ints  # int64 [n_words]
    columns: Mapping[str, tuple[str, ...]]

    def numbers(self, column: str) -> Times:
        """Column as float64 [n_words]; NaN where there is no number."""
        if column not in self.columns:
            known = ", ".join(name for name in self.columns if name)
            raise RecordingError(f"the transcript has no column {column!r}: there are {known}")
        return np.array([_number(text) for text in self.columns[column]], np.float64)


def read_triggers(path: Path) -> Triggers:
    """Read a ``*_timings.csv``."""
    table = read_table(path, "movie_time", "index")
    movie_s = np.array([_number(text) for text in table["movie_time"]], np.float64)
    sample = np.array([_number(text) for text in table["index"]], np.float64)
    fit = np.isfinite(movie_s) & np.isfinite(sample)
    if "type" in table:
        fit &= np.array([kind == "trigger" for kind in table["type"]], np.bool_)
    movie_s, sample = movie_s[fit], sample[fit]
    if np.unique(movie_s).size < 2 or np.unique(sample).size < 2:
        raise RecordingError(f"{path} holds {movie_s.size} usable triggers, at least 2 are needed")
    order = np.argsort(movie_s, kind="stable")
    return Triggers(movie_s[order], np.rint(sample[order]).astype(np.int64))


def read_words(path: Path, triggers: Triggers, notes: list[str]) -> Words:
    """Read a transcript's ``features.csv``; words without times are left out, and noted."""
    table = read_table(path, "text", "start", "end")
    start_s, end_s = (
        np.array([_number(text) for text in table[name]], np.float64) for name in ("start", "end")
    )
    rows = np.flatnonzero(np.isfinite(start_s) & np.isfinite(end_s))
    if rows.size < start_s.size:
        notes.append(f"{start_s.size - rows.size} words of {path.parent.name} have no times")
    columns = {name: tuple(texts[row] for row in rows) for name, texts in table.items()}
    start_s, end_s = start_s[rows], end_s[rows]
    return Words(
        columns["text"],
        start_s,
        end_s,
        triggers.samples_at(start_s),
        triggers.samples_at(end_s),
        columns,
    )


def read_table(path: Path, *needed: str) -> dict[str, list[str]]:
    """Columns of a comma-separated table, as text."""
    if not path.is_file():
        raise RecordingError(f"no file {path}: the Brain Treebank has it beside its recordings")
    # "utf-8-sig": a byte-order mark is no part of the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            names, *rows = list(csv.reader(file)) or [[]]
        except (UnicodeDecodeError, csv.Error) as error:
            raise RecordingError(f"{path} cannot be read as a table: {error}") from error
    absent = [name for name in needed if name not in names]
    if absent:
        raise RecordingError(f"{path} has no column {', '.join(absent)}: correct the file")
    ragged = [number for number, row in enumerate(rows, 2) if row and len(row) != len(names)]
    if ragged:
        raise RecordingError(
            f"{path}: line {ragged[0]} has another number of columns than the {len(names)} of the "
            "header, the file is truncated or broken"
        )
    rows = [row for row in rows if row]
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
