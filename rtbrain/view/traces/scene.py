"""What the picture of traces shows and where, free of Qt."""

import bisect
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats, Mask, Montage
from rtbrain.view.streams.finder import pairs_in
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.theme import Theme
from rtbrain.view.traces.cache import TraceCache, TracePages

# Share of the page that a sweep leaves blank ahead of its newest column.
_BLANK_SHARE = 0.015
# Traces may reach into neighbouring lanes, but not across the whole picture.
_REACH_LANES = 1.5
Slots = npt.NDArray[np.intp]
# µV from one trace to the next.
SCALES_UV = tuple(float(digit * 10**power) for power in range(-1, 6) for digit in (1, 2, 5))
# A contact, a pair, or a contact and its reference: A1, A1-A2, A1-REF. The first contact counts.
_NUMBERED = re.compile(r"^(.*?)\d+(?:-.*)?$")


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
        shafts = list(map(_shaft_of, montage.names, montage.kinds))
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


def _shaft_of(name: str, kind: str) -> str:
    """Label up to its number; the kind of a channel without one."""
    match = _NUMBERED.match(name)
    return match.group(1) if match and match.group(1) else kind


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
    return SCALES_UV[
        min(bisect.bisect_left(SCALES_UV, float(np.median(spans))), len(SCALES_UV) - 1)
    ]


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
    parts = ["1 s per division"]
    n_all = len(scene.lanes)
    if scene.n_lanes < n_all:
        parts.insert(
            0, f"contacts {scene.seen.start + 1}-{scene.seen.stop} of {n_all} (PgUp, PgDn)"
        )
    if scene.bad:
        parts.append(f"{len(scene.bad)} bad" + (" in all" if scene.n_lanes < n_all else ""))
    return ", ".join(parts)
