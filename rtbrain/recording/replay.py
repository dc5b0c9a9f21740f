"""A recording as a source of chunks, and `play`, which pushes chunks in real time."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from rtbrain.errors import SettingsError, list_words, plain_text
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Chunk, Floats, Ints, Times
from rtbrain.units import keep_codes

_BLOCK_S = 1.0
# Senders send in bursts: a stall that ends in a burst within this time lost no sample.
_BURST_S = 0.25
_LONGEST_WAIT_S = 0.1
_LONG_WAIT_S = 2.0  # is announced
_MOST_NAMED = 8
# Below this a wait is rounding, and a virtual clock could not be advanced by it.
_DUE_S = 1e-9


def lost_before(stamps: Times, sfreq_hz: float) -> Ints:
    """How many samples were lost just before each, int64 [n_samples], judged by the stamps.

    A loss delays all stamps after it, jitter does not: there is a gap where every stamp of the next
    0.25 s is later, relative to the counter, than every stamp of the last 0.25 s.
    """
    lost = np.zeros(stamps.size, np.int64)
    late = (stamps - stamps[:1]) * sfreq_hz - np.arange(stamps.size)
    reach = max(1, math.ceil(_BURST_S * sfreq_hz))
    for after in np.flatnonzero(np.diff(late) > 0.5) + 1:
        before = late[max(0, after - reach) : after].max()
        if late[after : after + reach].min() - before > 0.5:
            lost[after] = round(late[after] - late[after - 1])
    return lost


class ReplaySource:
    """A stretch of a recording as chunks, once or in a loop, as fast as they are pulled.

    Samples are numbered from 0. Where the recording has time stamps, chunks carry them, from 0, and
    end at each gap; the next chunk reports the samples lost, and the numbers count them. A loop
    continues numbers and stamps: its next pass begins one period after the last sample.

    `chunk_samples` are the samples per chunk, fewer at the end of a pass and before a gap; with
    `chunk_seed`, lengths are random up to that. `names` are the channels to play, in this order;
    `start_s` and `stop_s` the first second to play, and the one to stop before; `scale` multiplies
    the signal; longer gaps are shortened to `max_gap_s`. The recording is closed with this source.

    SettingsError if the stretch holds no sample, or a value cannot work; MontageError if the
    recording has no channel of a name.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        chunk_samples: int,
        names: Sequence[str] | None = None,
        start_s: float | None = None,
        stop_s: float | None = None,
        scale: float = 1.0,
        loop: bool = False,
        chunk_seed: int | None = None,
        max_gap_s: float | None = None,
    ) -> None:
        if max_gap_s is not None and not 0 < max_gap_s < math.inf:
            raise SettingsError(
                f"--max-gap: expected a number of seconds above 0, got {max_gap_s:g}"
            )
        if chunk_samples < 1:
            raise SettingsError(f"chunk length: expected 1 sample or more, got {chunk_samples}")
        if not (math.isfinite(scale) and scale != 0):
            raise SettingsError(f"scale: expected a finite number other than 0, got {scale}")
        self._recording = recording
        self._rows = None if names is None else recording.montage.rows(names)
        self.montage = recording.montage if names is None else recording.montage.pick(names)
        self._chunk_samples = chunk_samples
        self._max_gap_s = max_gap_s
        self._scale = scale
        self._factors = keep_codes(self.montage.kinds, scale)[:, np.newaxis]
        self._loop = loop
        self._rng = None if chunk_seed is None else np.random.default_rng(chunk_seed)
        self._start, self._stop = _stretch(recording, start_s, stop_s)
        self.n_samples = self._stop - self._start  # of one pass, those that were lost not counted
        self._number_stretch()
        self._at = self._start
        self._pass_first = 0
        self._pass_start_s = 0.0
        self._block_start = self._start
        self._block: Floats = np.empty((self.montage.n_channels, 0), np.float32)

    def _number_stretch(self) -> None:
        """Count the samples of one pass, lost ones included, and find its gaps."""
        stamps = self._recording.stamps
        in_order = stamps is None or not (np.diff(stamps) < 0).any()
        self._order = None if stamps is None or in_order else np.argsort(stamps, kind="stable")
        stamps = self._recording.timestamps(self._start, self._stop)
        self._stamps = None if stamps is None else stamps - stamps[0]
        self._pass_samples = self.n_samples
        self._lost: Ints | None = None
        self._edges = [self._stop]
        if self._stamps is not None:
            self._lost = lost_before(self._stamps, self.montage.sfreq_hz)
            if self._max_gap_s is not None:
                self._shorten(self._stamps, self._lost, self._max_gap_s)
            self._lost_so_far = np.cumsum(self._lost)
            self._pass_samples += int(self._lost_so_far[-1])
            gaps = np.flatnonzero(self._lost) + self._start
            self._edges = [*map(int, gaps), self._stop]

    def _shorten(self, stamps: Times, lost: Ints, max_gap_s: float) -> None:
        most = max(1, round(max_gap_s * self.montage.sfreq_hz))
        surplus = np.maximum(lost - most, 0)
        stamps -= np.cumsum(surplus) / self.montage.sfreq_hz
        lost -= surplus

    def not_played(self) -> list[str]:
        """What of the recording is not played, and where nothing is, one line each."""
        lines = []
        left_out = [n for n in self._recording.montage.names if n not in self.montage.names]
        if left_out:
            names = list_words([plain_text(name) for name in left_out], _MOST_NAMED)
            lines.append(f"{len(left_out)} channels are not played: {names}")
        events = self._recording.events
        outside = [event for event in events if self._nearest(event.onset_s) is None]
        if outside:
            listed = [f"{plain_text(one.text)} at {one.onset_s:.6g} s" for one in outside]
            lines.append(
                f"{len(outside)} of {len(events)} events lie outside the samples that are played: "
                f"{list_words(listed, _MOST_NAMED)}"
            )
        gaps = np.flatnonzero(self._lost) if self._lost is not None else np.zeros(0, np.int64)
        if self._lost is not None and self._recording.stamps is not None and gaps.size:
            lengths_s = self._lost[gaps] / self.montage.sfreq_hz
            # By the recording's own time, as those of events.
            at_s = self._recording.stamps[self._start + gaps[lengths_s.argmax()] - 1]
            lines.append(
                f"{gaps.size} gaps, {lengths_s.sum():.6g} s in all, in which nothing is sent: the "
                f"longest, {lengths_s.max():.6g} s, comes after {at_s:.6g} s"
            )
        return lines

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next chunk, at once at any timeout; None at the end unless the recording loops."""
        if self._at == self._stop:
            if not self._loop:
                return None
            self._at = self._start
            self._pass_first += self._pass_samples
            if self._stamps is not None:
                self._pass_start_s += float(self._stamps[-1]) + 1 / self.montage.sfreq_hz
        length = self._chunk_samples
        if self._rng is not None:
            length = int(self._rng.integers(1, length + 1))
        start = self._at
        stop = min(start + length, self._edges[bisect_right(self._edges, start)])
        self._at = stop
        first = self._pass_first + self._numbered(start)
        if self._stamps is None:
            stamps = np.arange(first, first + stop - start) / self.montage.sfreq_hz
        else:
            stamps = self._pass_start_s + self._stamps[start - self._start : stop - self._start]
        gap = 0 if self._lost is None else int(self._lost[start - self._start])
        return Chunk(self._samples(start, stop), stamps, first, gap)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Events of the stretch, each with the number of the sample nearest to its onset.

        They repeat in each pass of a loop, and do not depend on which chunks were pulled.
        """
        played = []
        for event in self._recording.events:
            at = self._nearest(event.onset_s)
            if at is not None:
                played.append((self._numbered(at), event))
        played.sort(key=lambda pair: pair[0])
        first = 0
        while played:
            for number, event in played:
                yield first + number, event
            if not self._loop:
                return
            first += self._pass_samples

    def close(self) -> None:
        """Close the recording; safe to call twice."""
        self._recording.close()

    def _numbered(self, at: int) -> int:
        """Number of a sample of the recording within a pass, lost ones counted."""
        lost = 0 if self._lost is None else int(self._lost_so_far[at - self._start])
        return at - self._start + lost

    def ahead_s(self, event: Event) -> float:
        """How long before the sample that it is played with an event lies: in a gap, else 0."""
        at, stamps = self._nearest(event.onset_s), self._recording.stamps
        if at is None or stamps is None or self._lost is None or not self._lost[at - self._start]:
            return 0.0
        ahead_s = float(stamps[at] - event.onset_s)
        shown_s = float(self._lost[at - self._start]) / self.montage.sfreq_hz
        return min(ahead_s, shown_s) if ahead_s > 1 / self.montage.sfreq_hz else 0.0

    def _nearest(self, onset_s: float) -> int | None:
        """Sample of the recording that is nearest to an onset, of a gap the one that ends it.

        None if it is not played.
        """
        stamps, rate_hz = self._recording.stamps, self.montage.sfreq_hz
        if stamps is None:
            at = round(onset_s * rate_hz)
        else:
            half_s = 0.5 / rate_hz
            if not stamps[0] - half_s <= onset_s <= stamps[-1] + half_s:
                return None
            at = self._nearest_stamp(stamps, onset_s)
            within = self._start <= at < self._stop - 1
            if within and onset_s - stamps[at] > 1 / rate_hz and self._lost is not None:
                at += bool(self._lost[at + 1 - self._start])
        return at if self._start <= at < self._stop else None

    def _nearest_stamp(self, stamps: Times, onset_s: float) -> int:
        """Number of the sample whose stamp is nearest, the first one of equals."""
        order = self._order
        after = min(int(np.searchsorted(stamps, onset_s, sorter=order)), stamps.size - 1)
        around = np.array([max(0, after - 1), after])
        around = around if order is None else order[around]
        near = stamps[around][np.argmin(np.abs(stamps[around] - onset_s))]
        first = int(np.searchsorted(stamps, near, sorter=order))
        return first if order is None else int(order[first])

    def _samples(self, start: int, stop: int) -> Floats:
        """Samples of the recording, out of blocks: files are slow to read in small pieces."""
        pieces = []
        while start < stop:
            if not self._block_start <= start < self._block_start + self._block.shape[1]:
                self._read_block(start)
            offset = start - self._block_start
            piece = self._block[:, offset : offset + stop - start]
            pieces.append(piece)
            start += piece.shape[1]
        return np.concatenate(pieces, axis=1)

    def _read_block(self, start: int) -> None:
        length = max(self._chunk_samples, math.ceil(_BLOCK_S * self.montage.sfreq_hz))
        block = self._recording.read(start, min(start + length, self._stop))
        if self._rows is not None:
            block = block[self._rows]
        if self._scale != 1:
            block = np.multiply(block, self._factors, dtype=np.float64).astype(np.float32)
        self._block_start, self._block = start, block


def _stretch(recording: Recording, start_s: float | None, stop_s: float | None) -> tuple[int, int]:
    """First sample at or after `start_s`, and first one at or after `stop_s`."""

    def sample_at(time_s: float) -> int:
        if recording.stamps is not None:
            return int(np.argmax(np.append(recording.stamps >= time_s, True)))
        # A thousandth of a sample is allowed for times that are whole only in decimals.
        return min(math.ceil(time_s * recording.montage.sfreq_hz - 1e-3), recording.n_samples)

    for name, time_s in (("--start", start_s), ("--stop", stop_s)):
        if time_s is not None and not (math.isfinite(time_s) and time_s >= 0):
            raise SettingsError(f"{name}: expected seconds of the recording, got {time_s}")
    start = 0 if start_s is None else sample_at(start_s)
    stop = recording.n_samples if stop_s is None else sample_at(stop_s)
    if start >= stop:
        stamps = recording.stamps
        length_s = (
            recording.n_samples / recording.montage.sfreq_hz if stamps is None else stamps[-1]
        )
        raise SettingsError(
            f"no sample between --start {start_s or 0:g} s and --stop "
            f"{length_s if stop_s is None else stop_s:g} s: the recording lasts {length_s:g} s"
        )
    return start, stop


def play(
    chunks: Iterable[Chunk],
    push: Callable[[Chunk], None],
    *,
    clock: Callable[[], float],
    wait: Callable[[float], object],
    stop: Callable[[], bool],
    speed: float = 1.0,
    on_wait: Callable[[float], object] = lambda wait_s: None,
) -> int:
    """Push chunks in real time, stamped and numbered anew; return how many samples were pushed.

    A sample stamped ``t`` after the first one is due ``t / speed`` after the start. Irregular
    stamps stay irregular, the pace cannot drift, and after a late push the next ones catch up.
    Numbers count from 0, including the samples that chunks report as lost after the first.

    ``on_wait`` is called with how many seconds a gap lasts from now, where it takes 2 s or more.
    ``push`` receives each chunk when its last sample is due; ``clock`` is the LSL clock in s;
    ``wait`` waits for some seconds or less; ``stop``, asked every 0.1 s or sooner, says whether to
    end. SettingsError if the speed is not a finite number above 0.
    """
    if not (math.isfinite(speed) and speed > 0):
        raise SettingsError(f"speed: expected a finite number above 0, got {speed}")
    start = origin = None
    counter = n_pushed = 0
    for chunk in chunks:
        if not chunk.n_samples:
            if stop():
                return n_pushed
            continue
        gap = chunk.gap
        if start is None or origin is None:
            start, origin, gap = clock(), float(chunk.timestamps[0]), 0
        counter += gap
        stamps = start + (chunk.timestamps - origin) / speed
        if gap and (wait_s := float(stamps[0]) - clock()) > _LONG_WAIT_S:
            on_wait(wait_s)
        if not _reached(float(stamps[-1]), clock, wait, stop):
            return n_pushed
        push(replace(chunk, timestamps=stamps, first_sample=counter, gap=gap))
        counter += chunk.n_samples
        n_pushed += chunk.n_samples
    return n_pushed


def _reached(
    due: float,
    clock: Callable[[], float],
    wait: Callable[[float], object],
    stop: Callable[[], bool],
) -> bool:
    """Wait until `due`; False if `stop` says so first."""
    while not stop():
        left = due - clock()
        if left <= _DUE_S:
            return True
        wait(min(left, _LONGEST_WAIT_S))
    return False
