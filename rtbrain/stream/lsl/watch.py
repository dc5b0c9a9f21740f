"""Which LSL streams are there: the one place that asks, with the one set of waiting times."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import pylsl

_LOOK_EVERY_S = 0.1
_FORGET_S = 1.5
# liblsl's answers flicker: a live stream may be absent from a round of them.
_FLICKER_S = 1.0
# On one machine a single stream answers at once and all others to the query of 0.5 s later
# (measured): a second match needs that time to show itself.
_SETTLE_S = 1.0
# A stream that was lost is still announced for as long as this.
_PUT_OFF_S = _FORGET_S + _FLICKER_S
_RETRY_S = 0.5
_MAX_REFUSED = 256
_MAX_MISSES = 1000


@dataclass(frozen=True, slots=True)
class _Sighting:
    info: Any
    t_first: float
    t_last: float
    n_misses: int = 0


class StreamWatcher:
    """Watches which LSL streams are there.

    liblsl queries the network in a thread of its own; `look` takes what has answered, never waits,
    and may be called as often as one likes. Memory is bounded, and any thread may call. `error` is
    why liblsl cannot look for streams now; it is tried again.
    """

    def __init__(self) -> None:
        self.error = ""
        self._resolver: Any = None
        self._sightings: dict[str, _Sighting] = {}
        self._put_off: dict[str, float] = {}
        self._refused: deque[str] = deque(maxlen=_MAX_REFUSED)
        self._look_at = 0.0
        self._lock = threading.Lock()

    def look(self) -> list[Any]:
        """Streams that are there, each a `pylsl.StreamInfo` without desc.

        Those that were refused, or put off in the last 2.5 s, are left out.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY_S
                self._take(self._results(now), now)
            return [
                one.info
                for uid, one in self._sightings.items()
                if now - one.t_last < _FLICKER_S
                and uid not in self._put_off
                and uid not in self._refused
            ]

    def is_settled(self, uid: str) -> bool:
        """Whether a stream has been there long enough for a second match to have shown itself."""
        one = self._sightings.get(uid)
        return one is not None and time.monotonic() >= one.t_first + _SETTLE_S

    def n_misses(self, uid: str) -> int:
        """How many looks in a row, 0.1 s apart or more, a stream has not been seen."""
        one = self._sightings.get(uid)
        return _MAX_MISSES if one is None else one.n_misses

    def put_off(self, uid: str) -> None:
        """Leave a stream out for 2.5 s, for it was lost or did not answer."""
        with self._lock:
            self._put_off[uid] = time.monotonic() + _PUT_OFF_S

    def is_put_off(self, uid: str) -> bool:
        """Whether a stream was put off in the last 2.5 s."""
        return self._put_off.get(uid, 0.0) > time.monotonic()

    def refuse(self, uid: str) -> None:
        """Leave a stream out for good; the newest 256 of them are remembered."""
        with self._lock:
            self._refused.append(uid)

    def _results(self, now: float) -> list[Any]:
        try:
            if self._resolver is None:
                self._resolver = pylsl.ContinuousResolver(forget_after=_FORGET_S)
            self.error = ""
            return list(self._resolver.results())
        except RuntimeError as error:  # liblsl has no room, no socket, or a fault of its own
            self.error = str(error)
            self._look_at = now + _RETRY_S
            return []

    def _take(self, infos: list[Any], now: float) -> None:
        there = {info.uid(): info for info in infos}
        before = self._sightings
        missed = {
            uid: _Sighting(one.info, one.t_first, one.t_last, one.n_misses + 1)
            for uid, one in before.items()
            if uid not in there and one.n_misses < _MAX_MISSES
        }
        seen = {
            uid: _Sighting(info, _first(before.get(uid), now), now) for uid, info in there.items()
        }
        self._sightings = missed | seen
        self._put_off = {uid: t for uid, t in self._put_off.items() if t > now}


def _first(before: _Sighting | None, now: float) -> float:
    """Since when a stream is there: from now on where it was away for longer than a flicker."""
    return now if before is None or now - before.t_last >= _FLICKER_S else before.t_first
