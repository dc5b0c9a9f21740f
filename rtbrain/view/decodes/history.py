"""Decodes of the last minute: values, spans without a valid decode, and their reasons."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode, StatusEvent
from rtbrain.types import Floats, Mask, Times

PAGE_S = 60.0
# A hop below 0.15 s cannot be distinguished from the time between two polls of a busy window.
_MIN_LIMIT_S = 0.3
_BREAK_HOPS = 2.5
_EVENT_SPAN_S = 0.5
_EVENT_ROWS = 1024
_MAX_ROWS = 8192
_REASONS = 64
# A reason is sent when its decode is ready, which is after the end of its window.
_REASON_AFTER_S = 2.0
_TOUCHING_S = 1e-6


@dataclass(frozen=True, slots=True)
class InvalidSpan:
    """A span of time without a valid decode; `silent` if none came at all."""

    start: float
    stop: float
    reason: str
    silent: bool


class DecodeHistory:
    """Decodes of the last minute, in rings of bounded size."""

    def __init__(self, info: DecodeHeader) -> None:
        self.last: ReceivedDecode | None = None
        self._hop_s = info.hop_s
        n_rows = _EVENT_ROWS
        if info.hop_s is not None:
            # Half as many again: decodes that catch up after a stall come faster.
            n_rows = min(_MAX_ROWS, math.ceil(1.5 * PAGE_S / info.hop_s) + 8)
        self._t = np.full(n_rows, np.nan)
        self._values = np.full((n_rows, len(info.labels)), np.nan, np.float32)
        self._valid = np.zeros(n_rows, np.bool_)
        self._n = 0
        self._reasons: deque[tuple[float, str]] = deque(maxlen=_REASONS)

    def push(self, decode: ReceivedDecode) -> None:
        """Add a decode."""
        row = self._n % self._t.size
        self._t[row], self._values[row] = decode.t_stop, decode.values
        self._valid[row] = decode.valid
        self._n += 1
        self.last = decode

    def note(self, event: StatusEvent) -> None:
        """Note the reason of an ``invalid`` event."""
        if event.event == "invalid":
            self._reasons.append((event.t, str(event.fields.get("reason", ""))))

    @property
    def reason(self) -> str:
        """Why the newest decode is invalid, as last reported; empty if it was not."""
        return self._reasons[-1][1] if self._reasons else ""

    def age_s(self, now: float) -> float:
        """Seconds since the end of the newest decode's window; NaN before the first decode.

        Counted from its arrival if its time stamp lies in the future, as from a wrong clock, so
        that a decode never looks newer than it can be.
        """
        if self.last is None:
            return math.nan
        return max(now - self.last.t_stop, now - self.last.t_arrived, 0.0)

    def is_old(self, now: float) -> bool:
        """Whether the newest decode is older than twice the hop; False for decodes at events."""
        if self._hop_s is None or self.last is None:
            return False
        return self.age_s(now) > self._limit_s(self._hop_s)

    def page(self, now: float) -> tuple[Times, Floats, Mask]:
        """Times less `now`, s, values and validity of the last minute; NaN rows break lines."""
        t, values, valid = self._recent(now)
        if self._hop_s is not None and t.size > 1:
            after = np.flatnonzero(np.diff(t) > self._break_s(self._hop_s)) + 1
            t = np.insert(t, after, t[after] - self._hop_s)
            values = np.insert(values, after, np.nan, axis=0)
            valid = np.insert(valid, after, False)
        return t - now, values, valid

    def spans(self, now: float) -> list[InvalidSpan]:
        """Spans of the last minute without a valid decode, oldest first."""
        t, _, valid = self._recent(now)
        if not t.size:
            return []
        if self._hop_s is None:
            hop_s = break_s = _EVENT_SPAN_S
        else:
            hop_s, break_s = self._hop_s, self._break_s(self._hop_s)
        spans: list[InvalidSpan] = []
        before = t[0] - hop_s
        for stop, is_valid in zip(t.tolist(), valid.tolist(), strict=True):
            start = before
            if stop - before > break_s:
                start = stop - hop_s
                if self._hop_s is not None:
                    spans.append(InvalidSpan(before, start, "no decode", True))
            if not is_valid:
                _extend(spans, InvalidSpan(start, stop, self._reason_at(stop), False))
            before = stop
        if self._hop_s is not None and self.is_old(now) and before < now:
            spans.append(InvalidSpan(before, now, "no decode", True))
        return spans

    def _recent(self, now: float) -> tuple[Times, Floats, Mask]:
        kept = np.flatnonzero((self._t > now - PAGE_S) & (self._t <= now))
        # Sorted: a decode withdrawn during a stall is dated later than those that then catch up.
        rows = kept[np.argsort(self._t[kept], kind="stable")]
        return self._t[rows], self._values[rows], self._valid[rows]

    def _reason_at(self, t: float) -> str:
        for t_reported, reason in reversed(self._reasons):
            if t_reported <= t + _REASON_AFTER_S:
                return reason
        return ""

    def _break_s(self, hop_s: float) -> float:
        return max(_BREAK_HOPS * hop_s, _MIN_LIMIT_S)

    def _limit_s(self, hop_s: float) -> float:
        return max(2 * hop_s, _MIN_LIMIT_S)


def _extend(spans: list[InvalidSpan], new: InvalidSpan) -> None:
    """Append a span, joined to the previous one if that ends here for the same reason."""
    last = spans[-1] if spans else None
    joins = last is not None and not last.silent and new.start <= last.stop + _TOUCHING_S
    if joins and last is not None and last.reason == new.reason:
        spans[-1] = InvalidSpan(last.start, new.stop, last.reason, False)
    else:
        spans.append(new)
