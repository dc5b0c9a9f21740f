"""All that a picture of traces shows, and where: no Qt in it but rectangles."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats, Mask
from rtbrain.view.streams.records import StreamHealth
from rtbrain.view.theme import Theme
from rtbrain.view.traces.cache import TraceCache, TracePages
from rtbrain.view.traces.lanes import Lanes

# Of a sweep, this share of the page ahead of the newest column is blank.
_BLANK_SHARE = 0.015
# Traces may run into their neighbours' lanes, but not over the whole picture.
_REACH_LANES = 1.5
Slots = npt.NDArray[np.intp]


@dataclass(slots=True, eq=False)
class Scene:
    """What is drawn, and where."""

    theme: Theme
    pages: TracePages | None = None
    lanes: Lanes | None = None
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
        """Cache of the page, once there is a sample in it."""
        if self.pages is None:
            return None
        cache = self.pages.caches[self.page_s]
        return cache if cache.newest >= 0 else None

    @property
    def seen(self) -> range:
        """Lanes that are seen."""
        n_lanes = 0 if self.lanes is None else len(self.lanes.rows)
        return range(self.first_lane, min(self.first_lane + self.n_lanes, n_lanes))

    def slots(self, cache: TraceCache) -> Slots:
        """Slots of the cache from the left to the right of the picture."""
        if not self.scrolling:
            return np.arange(cache.n_columns)
        return np.asarray((cache.newest + 1 + np.arange(cache.n_columns)) % cache.n_columns)

    def place(self, column: int, cache: TraceCache) -> int:
        """Where a column is, in columns from the left."""
        if not self.scrolling:
            return column % cache.n_columns
        return cache.n_columns - 1 - (cache.newest - column)

    def joined(self, cache: TraceCache) -> Mask:
        """Whether a line leads to each column of the picture from the one at its left."""
        joined = ~cache.broken[self.slots(cache)]
        # Left of the oldest column is the newest.
        joined[self.place(cache.newest - cache.n_columns + 1, cache)] = False
        return joined

    def blank(self, cache: TraceCache) -> Slots:
        """Places just ahead of a sweep's newest column, left blank: its oldest."""
        if self.scrolling:
            return np.arange(0)
        n_blank = max(1, round(_BLANK_SHARE * cache.n_columns))
        return np.asarray((cache.newest + 1 + np.arange(n_blank)) % cache.n_columns)

    def ends(self, lanes: list[int], cache: TraceCache, lane_px: float) -> tuple[Doubles, Doubles]:
        """Ends of the columns of these lanes, pixels downwards: float64 [n_lanes, n_columns]."""
        if self.lanes is None:
            return np.empty((0, 0)), np.empty((0, 0))
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
    """Why the signal is not live; empty where it is."""
    if not found:
        asked = f": {feed.name}" if feed.name else ""
        doing = "connecting" if feed.state == "connecting" else "waiting for a signal"
        return f"{doing}{asked}"
    if feed.state == "live":
        return ""
    if t_newest is None:
        return f"signal {feed.state}"
    return f"signal {feed.state}: newest sample {max(0.0, now - t_newest):.0f} s ago"


def describe_scene(scene: Scene) -> str:
    """Which contacts are seen, on which scale of time, and how many of all are bad."""
    if scene.lanes is None:
        return ""
    said = ["1 s a division"]
    n_all = len(scene.lanes.rows)
    if scene.n_lanes < n_all:
        said.insert(0, f"contacts {scene.seen.start + 1}-{scene.seen.stop} of {n_all} (PgUp, PgDn)")
    if scene.bad:
        said.append(f"{len(scene.bad)} bad" + (" in all" if scene.n_lanes < n_all else ""))
    return ", ".join(said)
