"""Announced stimulation, first in the signal chain: samples around each pulse are replaced."""

import bisect
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.marks import AWAY, BLANKED, LATE, UNKNOWN
from rtbrain.signal.reference import contact_rows
from rtbrain.types import Chunk, Flags, Floats, Montage, Times

_AHEAD_S = 60.0  # a marker further ahead of the signal than this has another clock
_BEHIND_S = 60.0  # and one further behind it
_MOST_WAITING = 100_000


@dataclass(frozen=True, slots=True)
class _Blank:
    """Samples to replace, by number."""

    start: int
    stop: int
    is_open: bool = False  # a train whose end no marker announced yet


class Blanking:
    """Replaces the samples around announced pulses and trains, in contacts alone.

    A pulse at sample p blanks [p - before, p + after). With `stop_texts`, a marker of `texts`
    begins a train, which lasts until one of `stop_texts`, and after it; after `max_train_s` it is
    taken to be over: ``on_event("stimulation_endless", train_s=...)`` reports that. Blanked samples
    hold the last clean value of their contact, and the newest before + after of them go in a
    straight line to the first clean value: no step is left for a filter to ring at. They are
    flagged `BLANKED`.

    Everything comes out `delay_s` later, ``2 before + after + wait``: so long a line looks ahead
    and a marker may lag. One that lags by more is late: what has not come out is blanked, and one
    clean sample is flagged `LATE`, so that no window with it is valid; what came out before holds
    the pulse. ``on_event("stimulation_late", late_s=...)`` reports it, and then each time their
    number has doubled. A marker more than 60 s from the signal is not used, and reported likewise.

    While markers may be missing (`miss`), samples are flagged `AWAY`, and from then to the next
    marker `UNKNOWN` where there are trains, for `max_train_s` at most.

    A gap drops what has not come out, and counts it. SettingsError if a duration is below 0.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        texts: tuple[str, ...],
        before_s: float,
        after_s: float,
        wait_s: float = 0.0,
        stop_texts: tuple[str, ...] = (),
        max_train_s: float = 600.0,
        on_event: Callable[..., None] | None = None,
    ) -> None:
        if min(before_s, after_s, wait_s) < 0:
            raise SettingsError(
                f"stimulation: durations of 0 s or more are expected, got before_s {before_s:g}, "
                f"after_s {after_s:g} and wait_s {wait_s:g}"
            )
        self.montage = montage
        self.texts = frozenset(texts) | frozenset(stop_texts)
        self._starts, self._stops = frozenset(texts), frozenset(stop_texts)
        self._sfreq_hz = montage.sfreq_hz
        before, after, wait = (
            math.ceil(each * montage.sfreq_hz - 1e-6) for each in (before_s, after_s, wait_s)
        )
        self._before, self._after = before, max(after, 1)
        self._line = self._before + self._after
        self._delay = self._line + self._before + wait
        self.delay_s = self._delay / montage.sfreq_hz
        self._longest = math.ceil(max_train_s * montage.sfreq_hz)
        self._rows = np.asarray(contact_rows(montage), np.int64)
        self._on_event = on_event
        self.reset()

    def reset(self) -> None:
        """Forget all samples and markers."""
        self._waiting: list[tuple[float, str]] = []
        self._n_late = 0
        self._missing = False
        self._known_from = 0  # number of the first sample where it is known whether a train is on
        self._expected: int | None = None  # number of the next sample to come out
        self._restart()

    def _restart(self) -> None:
        self._data = np.empty((self.montage.n_channels, 0), np.float32)  # that has not come out
        self._stamps: Times = np.empty(0)
        self._flags: Flags = np.empty(0, np.uint8)  # that they came with
        self._first = 0  # its number
        self._blanks: deque[_Blank] = deque()
        self._held = np.full((self._rows.size, 1), np.nan, np.float32)  # last clean value
        self._started = self._has_given = self._late = False

    def mark(self, t: float, text: str) -> None:
        """Add a marker at a time, s on the LSL clock; of another text it has no effect."""
        if text in self.texts and math.isfinite(t) and len(self._waiting) < _MOST_WAITING:
            bisect.insort(self._waiting, (t, text))

    def miss(self) -> None:
        """Take markers as missed, of the samples that have not come out and of the next chunk."""
        self._missing = True

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the samples that are old enough, pulses replaced; maybe none."""
        if chunk.gap > 0:
            train = [blank for blank in self._blanks if blank.is_open]
            self._restart()
            self._blanks += [replace(blank, start=chunk.first_sample) for blank in train]
        if self._expected is None and (chunk.gap or chunk.n_samples):
            self._expected = chunk.first_sample - chunk.gap
        if chunk.n_samples:
            if not self._started:
                self._started, self._first = True, chunk.first_sample
            self._data = np.concatenate([self._data, chunk.data], axis=1)
            self._stamps = np.concatenate([self._stamps, chunk.timestamps])
            flags = np.zeros(chunk.n_samples, np.uint8) if chunk.flags is None else chunk.flags
            self._flags = np.concatenate([self._flags, flags])
            if self._missing:
                self._flags = np.maximum(self._flags, AWAY)
                if self._stops:
                    self._known_from = chunk.first_sample + chunk.n_samples + self._longest
            self._missing = False
            self._place()
            new = self._flags[-chunk.n_samples :]
            new[: max(0, self._known_from - chunk.first_sample)] = UNKNOWN
        n_out = max(0, self._stamps.size - self._delay)
        first = chunk.first_sample if self._expected is None else self._expected
        if not n_out:
            return Chunk(self._data[:, :0], np.empty(0), first)
        data, of_samples = self._blanked(n_out)
        made = Chunk(data, self._stamps[:n_out], self._first, self._first - first, of_samples)
        self._has_given = True
        self._data, self._stamps = self._data[:, n_out:].copy(), self._stamps[n_out:].copy()
        self._flags = self._flags[n_out:]
        self._first += n_out
        self._expected = self._first
        while self._blanks and self._blanks[0].stop <= self._first:
            if self._blanks.popleft().is_open and self._on_event is not None:
                self._on_event("stimulation_endless", train_s=self._longest / self._sfreq_hz)
        return made

    def _place(self) -> None:
        """Blank what markers announce whose samples have come."""
        highest = np.maximum.accumulate(self._stamps)
        while self._waiting and self._waiting[0][0] <= highest[-1]:
            t, text = self._waiting.pop(0)
            if t >= highest[0]:
                after = int(np.searchsorted(highest, t))
                nearer = after and t - highest[after - 1] < highest[after] - t
                position = self._first + after - bool(nearer)
            else:
                behind_s = float(highest[0]) - t
                if behind_s > _BEHIND_S:
                    self._report_late(behind_s)
                    continue
                position = self._first - round(behind_s * self._sfreq_hz)
            self._announce(position, text)
        while self._waiting and self._waiting[-1][0] > highest[-1] + _AHEAD_S:
            self._report_late(float(highest[-1]) - self._waiting.pop()[0])

    def _announce(self, position: int, text: str) -> None:
        start, stop = position - self._before, position + self._after
        is_end = text in self._stops
        on = bool(self._blanks) and self._blanks[-1].is_open
        if self._stops:
            self._known_from = min(self._known_from, stop if is_end else start)
            if on != is_end:
                return
        if start < self._first and self._has_given:  # from there on, the line before an end too
            self._late = True
            self._report_late((self._first - start) / self._sfreq_hz)
        begin = max(start, self._first)
        if is_end:
            self._blanks.append(_Blank(self._blanks.pop().start, stop))
        elif self._stops:
            self._blanks.append(_Blank(begin, position + self._longest, is_open=True))
        else:
            self._blanks.append(_Blank(begin, stop))

    def _report_late(self, late_s: float) -> None:
        self._n_late += 1
        if self._on_event is not None and self._n_late & (self._n_late - 1) == 0:
            self._on_event("stimulation_late", late_s=late_s, markers=self._n_late)

    def _blanked(self, n_out: int) -> tuple[Floats, Flags | None]:
        """The next samples to come out, pulses replaced, and their flags."""
        data, runs = self._data[:, :n_out].copy(), self._runs(n_out)
        flags = self._flags[:n_out].copy()
        if not runs and not self._late:
            self._hold(data)
            return data, flags if flags.any() else None
        done = 0
        for start, stop in runs:
            begin, end = max(start, 0), min(stop, n_out)
            self._hold(data[:, done:begin])
            flags[begin:end] = np.maximum(flags[begin:end], BLANKED)
            data[self._rows, begin:end] = self._held
            line = max(start, stop - self._line)
            if line < n_out:
                last = self._data[self._rows, stop, None]  # the first clean value
                last = np.where(np.isfinite(last), last, self._held)
                first = np.where(np.isfinite(self._held), self._held, last)
                begin = max(line, 0)
                share = (np.arange(begin, end) - line + 1) / (stop - line + 1)
                data[self._rows, begin:end] = first + share.astype(np.float32) * (last - first)
            done = end
        self._hold(data[:, done:])
        if self._late and (clean := np.flatnonzero(flags != BLANKED)).size:
            flags[clean[0]] = max(LATE, flags[clean[0]])
            self._late = False
        return data, flags

    def _hold(self, clean: Floats) -> None:
        """Keep the last finite value of each contact."""
        if not clean.shape[1]:
            return
        values = clean[self._rows]
        finite = np.isfinite(values)
        latest = values.shape[1] - 1 - finite[:, ::-1].argmax(axis=1)[:, None]
        newest = np.take_along_axis(values, latest, axis=1)
        self._held = np.where(finite.any(axis=1, keepdims=True), newest, self._held)

    def _runs(self, n_out: int) -> list[tuple[int, int]]:
        """Blanked stretches that begin before this, from the first sample that comes out."""
        runs: list[tuple[int, int]] = []
        for blank in sorted(self._blanks, key=lambda each: each.start):
            start, stop = blank.start - self._first, blank.stop - self._first
            if runs and start <= runs[-1][1]:
                runs[-1] = runs[-1][0], max(stop, runs[-1][1])
            elif stop > 0 and start < n_out + self._line:
                runs.append((start, stop))
        return [run for run in runs if run[0] < n_out]
