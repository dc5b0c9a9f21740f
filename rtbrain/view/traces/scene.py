"""What the picture of traces shows and where: pages of samples in lanes, free of Qt."""

import bisect
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtbrain.channels import places_of
from rtbrain.types import Chunk, Doubles, Floats, Ints, Mask, Montage
from rtbrain.units import to_samples
from rtbrain.view.streams.choice import pairs_in
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.theme import Theme

PAGES_S = (5.0, 10.0, 20.0, 30.0)
_N_COLUMNS = 1200
_MAX_MARKERS = 256
_MAX_TEXT_CHARS = 40
# Share of the page that a sweep leaves blank ahead of its newest column.
_BLANK_SHARE = 0.015
# Traces may reach into neighbouring lanes, but not across the whole picture.
_REACH_LANES = 1.5
Slots = npt.NDArray[np.intp]
# µV from one trace to the next.
SCALES_UV = tuple(float(digit * 10**power) for power in range(-1, 6) for digit in (1, 2, 5))


class TraceCache:
    """Minima and maxima of a page, updated as samples arrive.

    Column `c` covers the sample numbers ``[c, c + 1) * page_samples / n_columns``; a ring keeps the
    last `n_columns` columns. Its cost does not depend on the page's length, nor its memory on the
    sampling rate.
    """

    def __init__(self, n_channels: int, page_samples: int, n_columns: int) -> None:
        self.n_columns = max(1, min(n_columns, page_samples))
        self._page_samples = page_samples
        self.low: Floats = np.full((n_channels, self.n_columns), np.nan, np.float32)
        self.high: Floats = self.low.copy()
        self.gap: Mask = np.zeros(self.n_columns, np.bool_)
        self.broken: Mask = np.zeros(self.n_columns, np.bool_)
        self.reset()

    def reset(self) -> None:
        """Forget every sample."""
        self.low[:] = self.high[:] = np.nan
        self.gap[:] = self.broken[:] = False
        self.newest = -1
        self._next: int | None = None

    def column_of(self, sample: float) -> int:
        """Column of a sample number."""
        return int(sample * self.n_columns // self._page_samples)

    def add(self, data: Floats, first_sample: int) -> None:
        """Add samples, float32 [n_channels, n_samples]; skipped sample numbers are a gap."""
        if data.shape[1]:
            self.extend(extremes_of(data, first_sample), first_sample + data.shape[1])

    def extend(self, extremes: "Extremes", stop: int) -> "Extremes":
        """Add extremes of the samples before number `stop`; those of its columns.

        These will do in place of the samples for pages that are several times as long.
        """
        first_sample = int(extremes.samples[0])
        if self._next is not None and first_sample < self._next:
            self.reset()
        began = self._next if self._next is not None else first_sample
        last = self.column_of(stop - 1)
        if self.newest < 0:
            self.newest = self.column_of(first_sample) - 1
        self._open(last)
        if first_sample > began:
            self._mark_gap(began, first_sample)
        self._next = stop
        return self._reduce(extremes, last)

    def _open(self, last: int) -> None:
        """Clear the slots of the columns after the newest, up to this one."""
        n_new = min(last - self.newest, self.n_columns)
        slots = np.arange(last - n_new + 1, last + 1) % self.n_columns
        self.low[:, slots] = self.high[:, slots] = np.nan
        self.gap[slots] = self.broken[slots] = False
        self.newest = last

    def _mark_gap(self, start: int, stop: int) -> None:
        first = max(self.column_of(start), self.newest - self.n_columns + 1)
        self.gap[np.arange(first, self.column_of(stop - 1) + 1) % self.n_columns] = True
        # The samples after the gap may already span more than the page.
        if self.column_of(stop) > self.newest - self.n_columns:
            self.broken[self.column_of(stop) % self.n_columns] = True

    def _reduce(self, extremes: "Extremes", last: int) -> "Extremes":
        columns = extremes.samples * self.n_columns // self._page_samples
        starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
        # fmin and fmax ignore NaN where there is another value.
        low = np.fmin.reduceat(extremes.low, starts, axis=1)
        high = np.fmax.reduceat(extremes.high, starts, axis=1)
        columns = columns[starts]
        old = int(np.searchsorted(columns, last - self.n_columns, side="right"))
        slots = columns[old:] % self.n_columns
        self.low[:, slots] = np.fmin(self.low[:, slots], low[:, old:])
        self.high[:, slots] = np.fmax(self.high[:, slots], high[:, old:])
        return Extremes(low, high, extremes.samples[starts])


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Minima and maxima of stretches of samples."""

    low: Floats  # float32 [n_channels, n_stretches]; NaN where no sample is finite
    high: Floats
    samples: Ints  # int64 [n_stretches]: number of the first sample of each


def extremes_of(data: Floats, first_sample: int) -> Extremes:
    """Each sample as a stretch, float32 [n_channels, n_samples]."""
    if not np.isfinite(data).all():
        data = np.where(np.isfinite(data), data, np.float32(np.nan))
    return Extremes(data, data, first_sample + np.arange(data.shape[1]))


class TracePages:
    """One cache per page length, all filled, so that another length shows a whole page at once."""

    def __init__(self, montage: Montage) -> None:
        self._sfreq_hz = montage.sfreq_hz
        try:
            n_samples = [to_samples(page_s, montage.sfreq_hz) for page_s in PAGES_S]
        except ValueError:  # at fractional rates, pages are those of the nearest whole rate
            n_samples = [round(page_s * round(montage.sfreq_hz)) for page_s in PAGES_S]
        caches = [TraceCache(montage.n_channels, n, _N_COLUMNS) for n in n_samples]
        self.caches = dict(zip(PAGES_S, caches, strict=True))
        self.t_newest: float | None = None
        self._newest_sample = 0
        self._markers: deque[tuple[float, str]] = deque(maxlen=_MAX_MARKERS)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk to every page."""
        if not chunk.n_samples:
            return
        stop = chunk.first_sample + chunk.n_samples
        shortest, *others = self.caches.values()
        extremes = shortest.extend(extremes_of(chunk.data, chunk.first_sample), stop)
        for cache in others:  # whose columns are each several of the shortest page
            cache.extend(extremes, stop)
        self.t_newest = float(chunk.timestamps[-1])
        self._newest_sample = chunk.first_sample + chunk.n_samples - 1

    def mark(self, t: float, text: str) -> None:
        """Add a marker; only the newest are kept."""
        self._markers.append((t, " ".join(text[: 2 * _MAX_TEXT_CHARS].split())[:_MAX_TEXT_CHARS]))

    def markers(self, page_s: float) -> list[tuple[int, str]]:
        """Column and text of the markers on a page of this length, oldest first."""
        if self.t_newest is None:
            return []
        cache = self.caches[page_s]
        placed = []
        for t, text in self._markers:
            sample = self._newest_sample + (t - self.t_newest) * self._sfreq_hz
            column = cache.column_of(sample)
            if cache.newest - cache.n_columns < column <= cache.newest:
                placed.append((column, text))
        return sorted(placed)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Channels from top to bottom, shaft by shaft."""

    rows: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    shafts: tuple[str, ...] = ()
    colours: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, montage: Montage) -> "Lanes":
        """Lanes of a montage: shafts in the order of their first contact."""
        places = places_of(montage.names)
        shafts = [
            place.shaft if place else kind
            for place, kind in zip(places, montage.kinds, strict=True)
        ]
        keys = list(zip(montage.kinds, shafts, strict=True))
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        rows = sorted(range(montage.n_channels), key=lambda row: (numbers[keys[row]], row))
        return cls(
            tuple(rows),
            tuple(montage.names[row] for row in rows),
            tuple(montage.kinds[row] for row in rows),
            tuple(shafts[row] for row in rows),
            tuple(numbers[keys[row]] for row in rows),
        )

    def find(self, text: str) -> int | None:
        """Lane whose label equals a text, else starts with it, else contains it."""
        wanted = text.strip().casefold()
        if not wanted:
            return None
        names = [name.casefold() for name in self.names]
        for fits in (str.__eq__, str.startswith, str.__contains__):
            for lane, name in enumerate(names):
                if fits(name, wanted):
                    return lane
        return None


def bad_reason(name: str, bad: Mapping[str, str]) -> str:
    """Why a channel is bad; empty if it is good. A pair is bad if either contact is."""
    if name in bad or not bad:
        return bad.get(name, "")
    for contact in itertools.chain.from_iterable(pairs_in(name)):
        if contact in bad:
            return f"{contact}: {bad[contact]}"
    return ""


def step_scale_uv(scale_uv: float, steps: int) -> float:
    """Scale some steps of 1, 2, 5 away, within the ends."""
    at = bisect.bisect_left(SCALES_UV, scale_uv * 0.999)
    return SCALES_UV[min(max(at + steps, 0), len(SCALES_UV) - 1)]


def fit_scale_uv(low: Floats, high: Floats) -> float | None:
    """Scale at which most traces of a page fit their lanes; None without a sample."""
    there = np.isfinite(low).any(axis=1)
    if not there.any():
        return None
    low, high = low[there], high[there]
    spans = np.nanpercentile(high, 95, axis=1) - np.nanpercentile(low, 5, axis=1)
    at = bisect.bisect_left(SCALES_UV, float(np.median(spans)))
    return SCALES_UV[min(at, len(SCALES_UV) - 1)]


@dataclass(slots=True, eq=False)
class Scene:
    """What the canvas draws."""

    theme: Theme
    pages: TracePages | None = None
    lanes: Lanes = Lanes()
    page_s: float = 10.0
    scrolling: bool = False
    scales_uv: dict[str, float] = field(default_factory=dict)
    offsets: Floats = field(default_factory=lambda: np.zeros(0, np.float32))  # float32 [n_channels]
    first_lane: int = 0
    n_lanes: int = 0
    bad: Mapping[str, str] = field(default_factory=dict)
    highlighted: int | None = None
    stale: str = ""
    message: str = ""

    @property
    def cache(self) -> TraceCache | None:
        """Cache of the page; None before the first sample."""
        if self.pages is None:
            return None
        cache = self.pages.caches[self.page_s]
        return cache if cache.newest >= 0 else None

    @property
    def seen(self) -> range:
        """Lanes on this page of channels."""
        return range(self.first_lane, min(self.first_lane + self.n_lanes, len(self.lanes)))

    def slots(self, cache: TraceCache) -> Slots:
        """Slots of the cache in the order of the picture, left to right."""
        if not self.scrolling:
            return np.arange(cache.n_columns)
        return np.asarray((cache.newest + 1 + np.arange(cache.n_columns)) % cache.n_columns)

    def place(self, column: int, cache: TraceCache) -> int:
        """Place of a column in the picture, in columns from the left."""
        if not self.scrolling:
            return column % cache.n_columns
        return cache.n_columns - 1 - (cache.newest - column)

    def joined(self, cache: TraceCache) -> Mask:
        """Whether each column of the picture connects to the one on its left."""
        joined = ~cache.broken[self.slots(cache)]
        # The column left of the oldest is the newest.
        joined[self.place(cache.newest - cache.n_columns + 1, cache)] = False
        return joined

    def blank(self, cache: TraceCache) -> Slots:
        """Places of the blank columns ahead of a sweep's newest column."""
        if self.scrolling:
            return np.arange(0)
        n_blank = max(1, round(_BLANK_SHARE * cache.n_columns))
        return np.asarray((cache.newest + 1 + np.arange(n_blank)) % cache.n_columns)

    def ends(self, lanes: list[int], cache: TraceCache, lane_px: float) -> tuple[Doubles, Doubles]:
        """Upper and lower ends of each column of some lanes, px: float64 [n_lanes, n_columns]."""
        rows = np.array([self.lanes.rows[lane] for lane in lanes], np.intp)
        per_uv = np.array(
            [lane_px / self.scales_uv[self.lanes.kinds[lane]] for lane in lanes], np.float32
        )[:, None]
        offsets = np.nan_to_num(self.offsets[rows])[:, None]
        middle = np.array([(lane - self.first_lane + 0.5) * lane_px for lane in lanes])[:, None]
        reach = np.float32(_REACH_LANES * lane_px)
        both = []
        for bound in (cache.high, cache.low):
            up = bound[rows] if not self.scrolling else bound[rows][:, self.slots(cache)]
            up -= offsets
            up *= per_uv
            np.clip(up, -reach, reach, out=up)
            up[:, self.blank(cache)] = np.nan
            both.append(np.asarray(middle - up, np.float64))
        return both[0], both[1]


def explain_stale(feed: StreamHealth, found: bool, t_newest: float | None, now: float) -> str:
    """Why the signal is not live; empty if it is."""
    if not found:
        activity = "connecting" if feed.state == "connecting" else "waiting for a signal"
        return f"{activity}: {feed.name}" if feed.name else activity
    if feed.state == "live":
        return ""
    if t_newest is None:
        return f"signal {feed.state}"
    return f"signal {feed.state}: newest sample {max(0.0, now - t_newest):.0f} s ago"


def describe_scene(scene: Scene) -> str:
    """Which contacts are shown, the time scale, and how many contacts are bad."""
    if not scene.lanes:
        return ""
    parts, in_all = ["1 s per division"], ""
    if scene.n_lanes < len(scene.lanes):
        shown = f"{scene.seen.start + 1}-{scene.seen.stop} of {len(scene.lanes)}"
        parts, in_all = [f"contacts {shown} (PgUp, PgDn)", *parts], " in all"
    if scene.bad:
        parts.append(f"{len(scene.bad)} bad{in_all}")
    return ", ".join(parts)
