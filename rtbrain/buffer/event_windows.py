"""Windows placed relative to markers, cut from the chunks of the signal chain."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.buffer.rings import Ring, StampRing
from rtbrain.buffer.windows import coverage_flaw, latest_flags, no_windows, require_next
from rtbrain.errors import SettingsError
from rtbrain.marks import BLANKED, LATE, sample_flaw
from rtbrain.types import Chunk, Floats, Montage, Quality, Times, Window

# A marker further ahead of the signal than this is not waited for: it has another clock.
_FURTHEST_AHEAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Marker:
    """A named moment, s on the LSL clock."""

    t: float
    text: str


@dataclass(frozen=True, slots=True, order=True)
class _Placed:
    """A marker and its place; positions count the samples since the start, lost ones too."""

    stop: int  # position just after its window
    order: int
    marker: Marker
    anchor: int  # position of the marker's sample
    reason: str  # why its window cannot be valid; else empty


@dataclass(frozen=True, slots=True)
class _Segment:
    """Samples without a gap."""

    begin: int  # position of the first
    gap: int  # positions lost before it
    shift: int  # number of a sample minus its position
    lost: int  # samples lost since the start


class EventWindows:
    """Cuts one window per marker, at a fixed offset from the sample nearest to the marker's time.

    The window of a marker comes out as soon as its last sample and the sample after the marker
    have arrived, in the order of window ends. A marker may be added before its samples, or up to
    `patience_s` after the end of its window; the next call then gives its window, even with an
    empty chunk. Where stamps jitter backwards, the highest so far counts; where they go back by
    more than 1 s, the clock was set, and the newest stretch that holds the time counts.

    Every marker gives one window. It is not valid, all NaN, and with the reason in its quality
    where it holds a lost sample, begins before the stream, is no longer held, or where the
    marker's own sample was lost, so that its place is an estimate; and where no sample belongs to
    the marker: its time is not finite, before the stream or the samples held (decided after another
    `patience_s`, since a clock may be set back), or over 60 s ahead of signal that came after it.
    A sample flagged `LATE` spoils all that are held before it: one of them holds a pulse.

    Windows own their data. If the iterator is not exhausted, the next call takes in the remaining
    samples first, and the old iterator ends.

    `offset_samples` is from the sample nearest to a marker to the first of its window, and may be
    negative; `texts` are the markers to cut at, None takes all. SettingsError if the length is
    below 1 sample, or the patience not a finite time above 0.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        length_samples: int,
        offset_samples: int,
        texts: Collection[str] | None = None,
        patience_s: float = 2.0,
        max_blanked: float = 1.0,
    ) -> None:
        if length_samples < 1:
            raise SettingsError(
                f"event windows: length must be 1 sample or more, got {length_samples}"
            )
        if not (math.isfinite(patience_s) and patience_s > 0):
            raise SettingsError(
                f"event windows: patience must be a finite time above 0 s, got {patience_s}"
            )
        self._montage = montage
        self._length, self._max_blanked = length_samples, max_blanked
        self._offset = offset_samples
        self._texts = None if texts is None else frozenset(texts)
        self._patience = math.ceil(patience_s * montage.sfreq_hz)
        self._longest_wait = self._patience + math.ceil(_FURTHEST_AHEAD_S * montage.sfreq_hz)
        # A window that ends before its marker is known that much later, and the marker's sample
        # only when the next one has arrived.
        after = offset_samples + length_samples
        self._capacity = length_samples + self._patience + max(0, -after) + 2
        self._stamp_capacity = self._capacity + max(0, offset_samples)
        self._pending: Generator[Window, None, None] = no_windows()
        self._restart()

    @property
    def takes_all(self) -> bool:
        """Whether a window is cut at every marker, whatever its text."""
        return self._texts is None

    def mark(self, t: float, text: str) -> None:
        """Add a marker at a time, s on the LSL clock; later calls give its window."""
        if self._texts is None or text in self._texts:
            self._waiting.append((next(self._order), Marker(float(t), text), self._n_received))

    def __call__(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that this chunk completes, in the order of their ends."""
        for _ in self._pending:
            pass
        if not (self._fresh or chunk.gap) and chunk.n_samples:
            require_next(chunk, self._stamps.count + self._segments[-1].shift)
        self._pending = self._cut(chunk)
        return self._pending

    def reset(self) -> None:
        """Forget all samples, losses and markers; the last iterator ends."""
        self._pending.close()
        self._restart()

    def _restart(self) -> None:
        self._ring = Ring(self._montage.n_channels, self._capacity)
        self._flags = np.zeros(self._capacity, np.uint8)
        self._stamps = StampRing(self._stamp_capacity, self._montage.sfreq_hz)
        self._n_received = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, Marker, int]] = []  # order, marker, n received when added
        self._placed: list[_Placed] = []  # a heap
        self.marker: Marker | None = None  # of the last window
        self._segments = deque([_Segment(0, 0, 0, 0)])
        self._fresh = True  # whether no sample came since the start or a gap

    def _cut(self, chunk: Chunk) -> Generator[Window, None, None]:
        yield from self._due()
        if chunk.gap > 0:
            self._lose(chunk.gap, chunk.first_sample)
            yield from self._due()
        if chunk.n_samples and self._fresh:
            shift = chunk.first_sample - self._stamps.count
            self._segments[-1] = replace(self._segments[-1], shift=shift)
            self._fresh = False
        start = 0
        while start < chunk.n_samples:
            stop = start + self._n_until_decision(chunk.timestamps[start:])
            if chunk.gap > 0 and start == 0:
                stop = 1  # markers inside the gap are placed while its edges are still held
            self._ring.push(chunk.data[:, start:stop])
            self._flags = latest_flags(self._flags, chunk, start, stop)
            if (late := np.flatnonzero(self._flags == LATE)).size:  # what came before holds a pulse
                self._flags[: late[-1]] = np.maximum(self._flags[: late[-1]], LATE)
            self._stamps.push(chunk.timestamps[start:stop])
            self._n_received += stop - start
            yield from self._due()
            start = stop

    def _n_until_decision(self, stamps: Times) -> int:
        """Number of samples to take before markers are decided on, wherever chunks end."""
        # Up to a set-back, since markers are sought in the newest stretch first.
        n_samples = min(self._stamps.one_stretch(stamps), self._patience)
        for _, _, n_when_added in self._waiting:
            n_waited = self._n_received - n_when_added
            limits = (1, self._patience, self._longest_wait)
            n_left = min((limit - n_waited for limit in limits if limit > n_waited), default=1)
            n_samples = min(n_samples, n_left)
        return n_samples

    def _lose(self, gap: int, first_sample: int) -> None:
        lost = self._segments[-1].lost + gap
        if self._n_received:
            n_held = min(gap, self._capacity)
            self._ring.push(np.full((self._montage.n_channels, n_held), np.nan, np.float32))
            self._flags = np.append(self._flags, np.zeros(n_held, np.uint8))[-self._capacity :]
            self._stamps.lose(gap)
            count = self._stamps.count
            self._segments.append(_Segment(count, gap, first_sample - count, lost))
        else:
            self._segments[-1] = replace(self._segments[-1], lost=lost)
        self._fresh = True
        while len(self._segments) > 1 and self._segments[1].begin < self._stamps.oldest:
            self._segments.popleft()

    def _due(self) -> Iterator[Window]:
        if self._waiting and self._n_received:
            self._place_all()
        while self._placed and self._placed[0].stop <= self._stamps.count:
            placed = heapq.heappop(self._placed)
            self.marker = placed.marker
            yield self._window(placed)

    def _place_all(self) -> None:
        stretches = self._stamps.stretches()
        left = []
        for waiting in self._waiting:
            order, marker, n_when_added = waiting
            place = self._place(marker.t, n_when_added, stretches)
            if place is None:
                left.append(waiting)
            else:
                heapq.heappush(self._placed, _Placed(place[0], order, marker, *place[1:]))
        self._waiting = left

    def _place(
        self, t: float, n_when_added: int, stretches: list[tuple[int, Times]]
    ) -> tuple[int, int, str] | None:
        """Where a marker's window ends, where the marker is, and its flaw; None while it waits."""
        stamps = self._stamps
        if not math.isfinite(t):
            return stamps.count, stamps.count - 1, f"the marker's time is {t}"
        found = stamps.find(t, stretches)
        if found is not None:
            return found[0] + self._offset + self._length, *found
        n_waited = self._n_received - n_when_added
        ahead_s = t - stamps.newest
        if ahead_s <= 0:
            # If the clock is set back, its moment is still to come.
            late = n_waited >= self._patience
            return (stamps.count, *stamps.before(t, stretches)) if late else None
        if n_waited and ahead_s > _FURTHEST_AHEAD_S:
            reason = f"the marker is {ahead_s:.3g} s ahead of the signal"
        elif n_waited >= self._longest_wait:
            waited_s = n_waited / self._montage.sfreq_hz
            reason = f"the signal did not reach the marker within {waited_s:.3g} s"
        else:
            return None
        return stamps.count, stamps.after(t), reason

    def _window(self, placed: _Placed) -> Window:
        start = placed.anchor + self._offset
        stop = start + self._length
        at_stop = shift_of = self._segments[0]
        n_missing = 0
        for segment in self._segments:
            if segment.begin - segment.gap < stop:
                at_stop = segment
                overlap = min(stop, segment.begin) - max(start, segment.begin - segment.gap)
                n_missing += max(0, overlap)
            if segment.begin <= placed.anchor:
                shift_of = segment
        reason = placed.reason or self._flaw(start, n_missing)
        data = self._data(start, valid=not reason)
        flags, blanked = None, 0.0
        if not reason and self._flags.any():
            held = self._flags.size - self._stamps.count + start
            flags = self._flags[held : held + self._length]
            blanked = float(np.mean(flags == BLANKED))
            reason = sample_flaw(int(flags.max()), blanked, self._max_blanked)
        good = np.asarray(np.isfinite(data).all(axis=1))
        quality = Quality(good, at_stop.lost, not reason, reason, blanked)
        return Window(data, self._t_stop(placed, stop), start + shift_of.shift, quality, flags)

    def _t_stop(self, placed: _Placed, stop: int) -> float:
        """Stamp of the last sample; where it has none, an estimate from the nominal rate."""
        stamp = self._stamps.at(stop - 1)
        if not math.isnan(stamp):
            return stamp
        t = placed.marker.t if math.isfinite(placed.marker.t) else self._stamps.newest
        return t + (stop - 1 - placed.anchor) / self._montage.sfreq_hz

    def _flaw(self, start: int, n_missing: int) -> str:
        rate_hz = self._montage.sfreq_hz
        if start < 0:
            return f"begins {-start / rate_hz:.3g} s before the stream"
        if n_missing > 0:
            return f"holds a gap of {n_missing} samples"
        late = self._stamps.count - self._capacity - start
        if late > 0:
            return f"the marker came {late / rate_hz:.3g} s too late: its window is overwritten"
        return ""

    def _data(self, start: int, *, valid: bool) -> Floats:
        data = np.full((self._montage.n_channels, self._length), np.nan, np.float32)
        if valid:
            data[:] = self._ring.last(self._stamps.count - start)[:, : self._length]
        data.flags.writeable = False
        return data


class LiveEventWindows:
    """Stage from Chunk to Windows that fetches the markers before each chunk.

    ``markers(timeout_s)`` gives those that arrived, as (s on the LSL clock, text). Windows whose
    share of good channels is below `coverage_floor` are not valid.
    """

    def __init__(
        self,
        windows: EventWindows,
        markers: Callable[[float], list[tuple[float, str]]],
        *,
        coverage_floor: float,
    ) -> None:
        self._windows = windows
        self._markers = markers
        self._coverage_floor = coverage_floor

    def __call__(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that this chunk and the markers so far complete."""
        for t, text in self._markers(0.0):
            self._windows.mark(t, text)
        return map(self._judged, self._windows(chunk))

    def _judged(self, window: Window) -> Window:
        quality = window.quality
        reason = coverage_flaw(quality.good, self._coverage_floor)
        if not quality.valid or not reason:
            return window
        return replace(window, quality=replace(quality, valid=False, reason=reason))

    def reset(self) -> None:
        """Forget samples and markers."""
        self._windows.reset()
