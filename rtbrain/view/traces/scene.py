"""What the picture of traces shows and where: samples in lanes, markers in groups, free of Qt."""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtbrain.channels import places_of
from rtbrain.types import Doubles, Floats, Mask, Montage
from rtbrain.view.streams.choice import pairs_in
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme
from rtbrain.view.traces.pages import TraceCache, TracePages

# Share of the page that a sweep leaves blank ahead of its newest column.
_BLANK_SHARE = 0.015
# Traces may reach into neighbouring lanes, but not across the whole picture.
_REACH_LANES = 1.5
# Markers so near to each other share one text, and each text has at least so much room, px.
_GROUP_PX, _MIN_GROUP_PX = 80, 24
Slots = npt.NDArray[np.intp]
# µV from one trace to the next.
SCALES_UV = tuple(float(digit * 10**power) for power in range(-1, 6) for digit in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Lanes:
    """Channels from top to bottom, shaft by shaft."""

    rows: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    shafts: tuple[str, ...] = ()
    shaft_numbers: tuple[int, ...] = ()  # of each lane, from 0

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


def contact_of(name: str, contacts: Sequence[str]) -> str:
    """The channel itself if it is one of the contacts, of a pair of them the first."""
    pairs = () if name in contacts else pairs_in(name)
    return next((one for one, other in pairs if one in contacts and other in contacts), name)


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


def bar_uv(px_per_uv: float, room_px: float) -> float:
    """Length of the longest scale bar that fits, µV."""
    return next((uv for uv in reversed(SCALES_UV) if uv * px_per_uv <= room_px), SCALES_UV[0])


def group_markers(
    placed: Sequence[tuple[int, str]], apart: int, room: int
) -> list[tuple[int, list[str]]]:
    """Markers that share one text of the lane: first column and texts of each group.

    Groups are cut every `apart` columns of the signal, so that none changes while a page scrolls,
    and joined where the next would begin less than `room` columns after the first.
    """
    groups: list[tuple[int, list[str]]] = []
    for _, of_stretch in itertools.groupby(placed, key=lambda item: item[0] // max(1, apart)):
        columns, texts = zip(*of_stretch, strict=True)
        if groups and columns[0] - groups[-1][0] < room:
            groups[-1][1].extend(texts)
        else:
            groups.append((columns[0], list(texts)))
    return groups


def group_text(texts: Sequence[str]) -> str:
    """Text of a group of markers, such as ``ripple ×7``."""
    if len(texts) == 1:
        return texts[0]
    if len(set(texts)) == 1:
        return say("signal.same_markers", text=texts[0], n=len(texts))
    return say("signal.other_markers", n=len(texts))


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
    chosen: int | None = None
    old_s: float = 0.0  # since the newest sample of a signal that is lost; 0 while it is live
    t_wall: float = 0.0  # now, s since 1970

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

    def ahead(self, cache: TraceCache) -> int:
        """Columns from the newest sample to now, of a signal that is lost."""
        return round(self.old_s / self.page_s * cache.n_columns)

    def head(self, cache: TraceCache) -> int:
        """Newest column of the page: that of now."""
        return cache.newest + self.ahead(cache)

    def slots(self, cache: TraceCache) -> Slots:
        """Slots of the cache in the order of the picture, left to right."""
        if not self.scrolling:
            return np.arange(cache.n_columns)
        return np.asarray((self.head(cache) + 1 + np.arange(cache.n_columns)) % cache.n_columns)

    def place(self, column: int, cache: TraceCache) -> int:
        """Place of a column in the picture, in columns from the left."""
        if not self.scrolling:
            return column % cache.n_columns
        return cache.n_columns - 1 - (self.head(cache) - column)

    def joined(self, cache: TraceCache) -> Mask:
        """Whether each column of the picture connects to the one on its left."""
        joined = ~cache.broken[self.slots(cache)]
        # The column left of the oldest is the newest.
        joined[self.place(self.head(cache) - cache.n_columns + 1, cache)] = False
        return joined

    def blank(self, cache: TraceCache) -> Slots:
        """Places of the blank columns ahead of a sweep's newest column."""
        if self.scrolling:
            return np.arange(0)
        n_blank = max(1, round(_BLANK_SHARE * cache.n_columns))
        return np.asarray((self.head(cache) + 1 + np.arange(n_blank)) % cache.n_columns)

    def missing(self, cache: TraceCache) -> Slots:
        """Places of the columns since the newest sample of a signal that is lost."""
        n_missing = min(self.ahead(cache), cache.n_columns)
        columns = self.head(cache) - np.arange(n_missing)
        if not self.scrolling:
            return np.asarray(columns % cache.n_columns)
        return cache.n_columns - 1 - np.arange(n_missing)

    def gaps(self, cache: TraceCache) -> Mask:
        """Whether each column of the picture is hatched."""
        gap = cache.gap[self.slots(cache)].copy()
        gap[self.blank(cache)] = False
        gap[self.missing(cache)] = True
        return gap

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
            up[:, self.missing(cache)] = np.nan
            both.append(np.asarray(middle - up, np.float64))
        return both[0], both[1]

    def groups(self, cache: TraceCache, columns_per_px: float) -> list[tuple[int, list[str]]]:
        """Place and texts of each group of markers in the picture, left to right."""
        if self.pages is None:
            return []
        placed = self.pages.markers(self.page_s, self.ahead(cache))
        apart, room = (
            round(self.theme.px(px) * columns_per_px) for px in (_GROUP_PX, _MIN_GROUP_PX)
        )
        grouped = group_markers(placed, apart, room)
        blank = set(self.blank(cache).tolist())
        shown = [(self.place(column, cache), texts) for column, texts in grouped]
        return sorted(one for one in shown if one[0] not in blank)
