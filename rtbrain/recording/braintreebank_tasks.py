"""The words of a Brain Treebank trial, placed in its signal, and the labelled events in them.

Events follow the rules of the papers and of the benchmark.

.. [1] Wang et al., BrainBERT, ICLR 2023, arXiv:2302.14367.
.. [2] Chau et al., Population Transformer, ICLR 2025, arXiv:2406.03044.
.. [3] Zahorodnii et al., Neuroprobe, 2025, arXiv:2509.21671.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.recording import Recording, parse_number, read_rows
from rtbrain.types import Ints, Times

TASKS = ("onset", "speech", "volume", "pitch")
# Seconds before and after the event that the rules let a decoder see.
WINDOWS_S: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"published": (-2.5, 2.5), "neuroprobe": (0.0, 1.0)}
)
_SCALARS = {"volume": "rms", "pitch": "pitch"}
_TILE_S = 1.0
_AFTER_A_WORD_S = 2.0
_BEFORE_A_WORD_S = 4.0
_HOP_S = 0.5
_LIMIT = 3500


@dataclass(frozen=True, slots=True, eq=False)
class Triggers:
    """Moments that were marked in the film and in the signal."""

    movie_s: Times  # float64 [n_triggers]
    sample: Ints  # int64 [n_triggers]

    @property
    def rate_hz(self) -> float:
        """Effective sampling rate in Hz: the median over pairs of neighbouring triggers."""
        # The film stands still between two triggers where it was paused.
        apart_s = np.diff(self.movie_s)
        later = apart_s > 0
        return float(np.median(np.diff(self.sample)[later] / apart_s[later]))

    def samples_at(self, movie_s: Times) -> Ints:
        """Number of the sample at times in the film, counted from the nearest trigger."""
        # Counted on before the first and after the last, so that words there keep apart.
        right = np.searchsorted(self.movie_s, movie_s).clip(1, self.movie_s.size - 1)
        nearer_left = movie_s - self.movie_s[right - 1] <= self.movie_s[right] - movie_s
        nearest = np.where(nearer_left, right - 1, right)
        exact = self.sample[nearest] + (movie_s - self.movie_s[nearest]) * self.rate_hz
        return np.rint(exact).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of a film in order, with the columns of its transcript."""

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
        return _numbers(self.columns[column])


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One person, one film."""

    recording: Recording
    words: Words | None
    triggers: Triggers
    rate_hz: float


def read_triggers(path: Path) -> Triggers:
    """Read a ``*_timings.csv``."""
    table = read_table(path, "movie_time", "index")
    movie_s, sample = _numbers(table["movie_time"]), _numbers(table["index"])
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
    start_s, end_s = _numbers(table["start"]), _numbers(table["end"])
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


def _numbers(texts: Sequence[str]) -> Times:
    return np.array([parse_number(text) for text in texts], np.float64)


def read_table(path: Path, *needed: str) -> dict[str, list[str]]:
    """Columns of a comma-separated table, as text."""
    if not path.is_file():
        raise RecordingError(f"no file {path}: the Brain Treebank has it beside its recordings")
    rows = list(read_rows(path, *needed))
    return {name: [row[name].strip() for row in rows] for name in (rows[0] if rows else needed)}


@dataclass(frozen=True, slots=True, eq=False)
class LabelledEvents:
    """Moments in order, each with its label and the window around it that may be used."""

    samples: Ints  # int64 [n]
    labels: Ints  # int64 [n]
    window_s: tuple[float, float]


def labelled_events(trial: Trial, task: str, rules: str, *, seed: int) -> LabelledEvents:
    """Events of one task, equally many of each label; ``neuroprobe`` keeps 3500 at most.

    Positive events of ``onset`` are the first words of sentences, those of ``speech`` all words;
    negative ones are stretches of 1 s without words. By the ``published`` rules [1]_ [2]_ the
    film is tiled from its start and the event is the middle of the tile; by those of
    ``neuroprobe`` [3]_ stretches begin 2 s after a word and every 0.5 s from there, up to 4 s
    before the next word, and the event is their start. ``volume`` and ``pitch`` compare words with
    more than three quarters of all words strictly below in ``rms`` or ``pitch`` with those with
    less than one [2]_ [3]_; [1]_ splits at one standard deviation from the mean instead.

    A window before a word holds the pause before its sentence, which alone predicts sentence onsets
    with an AUC of 0.85 to 0.93: scores by the ``published`` rules, whose windows are centred on the
    word, say little about speech. `seed` draws the events kept of the more frequent label.
    SettingsError for an unknown task or rule, RecordingError where a label has no event.
    """
    if task not in TASKS:
        raise SettingsError(f"no Brain Treebank task {task!r}: there are {', '.join(TASKS)}")
    if rules not in WINDOWS_S:
        raise SettingsError(f"no rules {rules!r}: there are {', '.join(WINDOWS_S)}")
    words = trial.words
    if words is None or not words.text:
        raise RecordingError("the trial has no words: its transcript is absent or empty")
    if task in _SCALARS:
        high, low = _quartiles(words.numbers(_SCALARS[task]))
        positive, negative = words.start_sample[high], words.start_sample[low]
    else:
        spoken = words.numbers("is_onset") == 1 if task == "onset" else slice(None)
        positive = words.start_sample[spoken]
        if rules == "published":
            negative = trial.triggers.samples_at(_word_free_tiles(words))
        else:
            negative = _silences(words, trial.recording.montage.sfreq_hz)
    return _balanced(trial, task, (negative, positive), rules, seed)


def _balanced(
    trial: Trial, task: str, by_label: tuple[Ints, Ints], rules: str, seed: int
) -> LabelledEvents:
    window_s = WINDOWS_S[rules]
    rate_hz = trial.recording.montage.sfreq_hz
    before, after = (int(np.ceil(abs(edge_s) * rate_hz)) for edge_s in window_s)
    within = [
        np.unique(one[(one >= before) & (one + after <= trial.recording.n_samples)])
        for one in by_label
    ]
    for label, one in enumerate(within):
        if not one.size:
            raise RecordingError(
                f"task {task} by the {rules} rules: no event of label {label} in the recording, "
                f"{within[1 - label].size} of label {1 - label}"
            )
    n_each = min(one.size for one in within)
    if rules == "neuroprobe":
        n_each = min(n_each, _LIMIT // 2)
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(one, n_each, replace=False) for one in within]
    samples = np.concatenate(chosen)
    labels = np.repeat(np.array([0, 1], np.int64), n_each)
    order = np.argsort(samples, kind="stable")
    return LabelledEvents(samples[order], labels[order], window_s)


def _quartiles(values: Times) -> tuple[Ints, Ints]:
    """Words of the upper and of the lower quartile, by the share of words strictly below."""
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        raise RecordingError("no word has a value for this task: the transcript is incomplete")
    ranked = np.sort(values[known])
    share_below = np.searchsorted(ranked, values[known], side="left") / known.size
    return known[share_below > 0.75], known[share_below < 0.25]


def _word_free_tiles(words: Words) -> Times:
    """Middles of the whole seconds of the film in which no word is, s."""
    starts_s = np.arange(0.0, words.end_s.max(), _TILE_S)
    order = np.argsort(words.start_s)
    latest_end_s = np.maximum.accumulate(words.end_s[order])
    # A tile is free if every word that starts before its end has ended by its start.
    n_started = np.searchsorted(words.start_s[order], starts_s + _TILE_S, side="left")
    ended_s = np.concatenate([[-np.inf], latest_end_s])[n_started]
    return starts_s[ended_s <= starts_s] + _TILE_S / 2


def _silences(words: Words, rate_hz: float) -> Ints:
    """First samples of the stretches between words that are far enough from both, [n]."""
    order = np.argsort(words.start_sample, kind="stable")
    ended = np.maximum.accumulate(words.end_sample[order])[:-1]
    next_start = words.start_sample[order][1:]
    after, before, hop = (
        round(length_s * rate_hz) for length_s in (_AFTER_A_WORD_S, _BEFORE_A_WORD_S, _HOP_S)
    )
    runs = [
        np.arange(first, last + 1, hop)
        for first, last in zip(ended + after, next_start - before, strict=True)
    ]
    return np.concatenate([np.empty(0, np.int64), *runs])
