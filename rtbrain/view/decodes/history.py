"""Decodes of the last minutes, and the stretches without a valid one; loads no Qt."""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode, StatusEvent
from rtbrain.types import Floats, Mask, Times

KEPT_S = 120.0
_MIN_OLD_S = 1.0
# A hop below 0.15 s cannot be distinguished from the time between two polls of a busy window.
_MIN_BREAK_S = 0.3
_BREAK_HOPS = 2.5
_EVENT_SPAN_S = 0.5
_EVENT_ROWS = 1024
_MAX_ROWS = 8192
_REASONS, _MAX_REASON = 64, 300
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
    """Decodes of the last two minutes, in rings of bounded size."""

    def __init__(self, info: DecodeHeader) -> None:
        self.last: ReceivedDecode | None = None
        self.t_valid = math.nan  # end of the newest valid window
        self.t_first = math.nan
        self._hop_s = info.hop_s
        n_rows, self._break_s = _EVENT_ROWS, _EVENT_SPAN_S
        if info.hop_s is not None:
            # Half as many again: decodes that catch up after a stall come faster.
            n_rows = min(_MAX_ROWS, math.ceil(1.5 * KEPT_S / info.hop_s) + 8)
            self._break_s = max(_BREAK_HOPS * info.hop_s, _MIN_BREAK_S)
        self._t = np.full(n_rows, np.nan)
        self._values = np.full((n_rows, len(info.labels)), np.nan, np.float32)
        self._valid = np.zeros(n_rows, np.bool_)
        self._drift = np.full(n_rows, np.nan)
        self._n = 0
        self._reasons: deque[tuple[float, str]] = deque(maxlen=_REASONS)

    def push(self, decode: ReceivedDecode) -> None:
        """Add a decode."""
        row = self._n % self._t.size
        self._t[row], self._values[row] = decode.t_stop, decode.values
        self._valid[row], self._drift[row] = decode.valid, decode.drift
        self._n += 1
        self.last = decode
        if self._n == 1:
            self.t_first = decode.t_stop
        if decode.valid:
            self.t_valid = decode.t_stop

    def note(self, event: StatusEvent) -> None:
        """Note the reason of an ``invalid`` event, or of a summary for those who come later."""
        reason = str(event.fields.get("reason", ""))[:_MAX_REASON]
        is_new = reason.split(":")[0] != self.reason.split(":")[0]
        if event.event == "invalid" or (event.event == "summary" and reason and is_new):
            self._reasons.append((event.t, reason))

    @property
    def reason(self) -> str:
        """Why the newest decode is invalid, as last reported; empty if it was not."""
        return self._reasons[-1][1] if self._reasons else ""

    @property
    def t_reason(self) -> float:
        """When that was reported, s; NaN if it was not."""
        return self._reasons[-1][0] if self._reasons else math.nan

    def age_s(self, now: float) -> float:
        """Seconds since the end of the newest decode's window; NaN before the first decode.

        Counted from its arrival if its time stamp lies in the future, as from a wrong clock, so
        that a decode never looks newer than it can be.
        """
        if self.last is None:
            return math.nan
        return max(now - self.last.t_stop, now - self.last.t_arrived, 0.0)

    def is_old(self, now: float) -> bool:
        """Whether the newest decode is older than 2 hops and 1 s; False for decodes at events."""
        if self._hop_s is None or self.last is None:
            return False
        return self.age_s(now) > max(2 * self._hop_s, _MIN_OLD_S)

    def fell_below(self, output: int, value: float, since: float) -> bool:
        """Whether an output was below a value, or not valid, after a time: what arms it again."""
        after = self._t > since
        return bool(
            (after & ~(self._values[:, output] >= value)).any() or (after & ~self._valid).any()
        )

    def page(self, now: float, page_s: float) -> tuple[Times, Floats, Mask]:
        """Times less `now`, s, values, and where drift was flagged; NaN rows break lines."""
        rows = self._recent(now, page_s)
        t, values = self._t[rows], np.where(self._valid[rows, None], self._values[rows], np.nan)
        drifting = self._drift[rows] >= 1
        if self._hop_s is not None and t.size > 1:
            after = np.flatnonzero(np.diff(t) > self._break_s) + 1
            t = np.insert(t, after, t[after] - self._hop_s)
            values = np.insert(values, after, np.nan, axis=0)
            drifting = np.insert(drifting, after, False)
        return t - now, values, drifting

    def spans(self, now: float, page_s: float) -> list[InvalidSpan]:
        """Spans of a page without a valid decode, oldest first."""
        rows = self._recent(now, page_s)
        t, valid = self._t[rows], self._valid[rows]
        hop_s = self._hop_s or _EVENT_SPAN_S
        spans: list[InvalidSpan] = []
        before = t[0] - hop_s if t.size else math.nan
        for stop, is_valid in zip(t.tolist(), valid.tolist(), strict=True):
            start = before
            if stop - before > self._break_s:
                start = stop - hop_s
                if self._hop_s is not None:
                    spans.append(InvalidSpan(before, start, "", True))
            if not is_valid:
                _extend(spans, InvalidSpan(start, stop, self._reason_at(stop), False))
            before = stop
        if self._hop_s is not None and self.last is not None and self.is_old(now):
            since = before if t.size else max(self.last.t_stop, now - page_s)
            if since < now:
                _extend_to(spans, since, now)
        return spans

    def _recent(self, now: float, page_s: float) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        kept = np.flatnonzero((self._t > now - page_s) & (self._t <= now))
        # Sorted: a decode withdrawn during a stall is dated later than those that then catch up.
        return kept[np.argsort(self._t[kept], kind="stable")]

    def _reason_at(self, t: float) -> str:
        for t_reported, reason in reversed(self._reasons):
            if t_reported <= t + _REASON_AFTER_S:
                return reason
        return ""


def _extend(spans: list[InvalidSpan], new: InvalidSpan) -> None:
    """Append a span, joined to the previous one if that ends here for the same reason."""
    last = spans[-1] if spans else None
    same = last is not None and not last.silent and last.reason == new.reason
    if same and last is not None and new.start <= last.stop + _TOUCHING_S:
        spans[-1] = replace(last, stop=new.stop)
    else:
        spans.append(new)


def _extend_to(spans: list[InvalidSpan], since: float, now: float) -> None:
    """Add the silence up to now; after an invalid decode, which ends the sending, it is that."""
    last = spans[-1] if spans else None
    if last is not None and not last.silent and last.stop >= since - _TOUCHING_S:
        spans[-1] = replace(last, stop=now)
    else:
        spans.append(InvalidSpan(since, now, "", True))
