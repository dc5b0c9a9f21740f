"""Health of streams, decoder, latency, recorder and processors in a few words, free of Qt."""

import math
from collections import deque
from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.stream_names import is_manual_marks, is_recorder_status
from rtbrain.view.streams.inlets import StreamHealth, feed_of

KEPT_S = 60.0
_MAX_ROWS = 4096
_KINDS = {"decode": "decodes", "record": "recorder"}
_STATES = {
    "live": "good",
    "stalled": "bad",
    "lost": "bad",
    "connecting": "warn",
    "absent": "faint",
    "ended": "faint",
}
_DECODER_STATES = {
    "waiting": "warn",
    "connecting": "warn",
    "warming": "warn",
    "live": "good",
    "stalled": "bad",
    "lost": "bad",
    "refused": "bad",
    "stopping": "warn",
    "failed": "bad",
    "stopped": "faint",
}
# What a decoder that works may report beside, as events of these names and in its summary.
_REMARKS = {"mains": "mains hum not removed", "drift": "SIGNAL UNLIKE CALIBRATION"}
_BUSY = 0.9
_MAX_TEXT_CHARS = 300
_OLD_HOPS = 2.0
_MIN_OLD_S = 0.3
_TIP = (
    "Latency of the newest decode: ready {parts.total:.3f} s after the moment it describes\n"
    "algorithm {parts.algorithm:.3f} s: from that moment to the end of the window\n"
    "transport {parts.transport:.3f} s: from there until the decoder had the samples\n"
    "compute {parts.compute:.3f} s: from there to the decode\n"
    "Delivery to this window took {delivery_delay_s:.3f} s"
)
# What the origin in a stream's header means at the bedside.
_ORIGINS = {
    "replay": "REPLAY: a recording, not a live patient",
    "synthetic": "SYNTHETIC: a simulated patient",
    "fault injection": "FAULT INJECTION: a simulated patient with deliberate faults",
}
_WATCHED = {"signal": "SIGNAL", "decode": "DECODES"}
_NOT_LIVE = frozenset({"lost", "stalled"})


@dataclass(frozen=True, slots=True)
class Indicator:
    """A few words, their severity, and a tool tip."""

    text: str
    severity: str
    tip: str


def stream_indicator(feed: StreamHealth) -> Indicator:
    """State, rates, losses and clock of a stream."""
    kind = _KINDS.get(feed.kind, feed.kind)
    if is_manual_marks(feed.name):
        kind = "manual marks"
    severity = _STATES.get(feed.state, "warn")
    if feed.problem:
        severity = "warn"
    text = f"{kind} not connected: {feed.problem}" if feed.problem else f"{kind} {feed.state}"
    if feed.state == "live" and feed.nominal_hz > 0:
        text = f"{kind} {_rates(feed)}"
    if feed.lost:
        text += f", {feed.lost} samples lost" if feed.nominal_hz > 0 else ", too many lines"
        severity = "warn" if severity == "good" else severity
    if feed.state == "live" and feed.kind == "signal" and math.isfinite(feed.clock_offset_s):
        text += f", clock {_milliseconds(feed)}"
    return Indicator(text, severity, _feed_tip(feed, kind))


def _rates(feed: StreamHealth) -> str:
    nominal = f"{feed.nominal_hz:.6g} Hz"
    if not math.isfinite(feed.effective_hz):
        return nominal
    digits = 2 if feed.nominal_hz < 100 else 1
    return f"{feed.effective_hz:.{digits}f}/{nominal}"


def _milliseconds(feed: StreamHealth) -> str:
    return f"{1e3 * feed.clock_offset_s:+.2f} ± {1e3 * feed.clock_uncertainty_s:.2f} ms"


def _feed_tip(feed: StreamHealth, kind: str) -> str:
    if feed.problem:
        return f"{kind}: not connected. {feed.problem}"
    if feed.state == "absent":
        return f"{kind}: no stream {feed.name or 'of this kind'} has been found"
    rate = f"nominal {feed.nominal_hz:.6g} Hz" if feed.nominal_hz > 0 else "irregular"
    if feed.nominal_hz > 0 and math.isfinite(feed.effective_hz):
        rate += f", effective {feed.effective_hz:.3f} Hz"
    clock = "clock offset not yet known"
    if math.isfinite(feed.clock_offset_s):
        clock = f"offset of the sender's clock {_milliseconds(feed)}"
    lines = [
        f"{kind} {feed.name}: {feed.state}",
        rate,
        f"{feed.received} received, {feed.lost} {'lost' if feed.nominal_hz > 0 else 'left out'}",
        clock,
    ]
    return "\n".join(lines + ([f"origin: {feed.origin}"] if feed.origin else []))


def is_from_recorder(event: StatusEvent) -> bool:
    """Whether a recorder reported an event, rather than a decoder."""
    return is_recorder_status(str(event.fields.get("stream", "")))


class DecoderStatus:
    """State of the decoder, as it reports it."""

    def __init__(self) -> None:
        self._state = ""
        self._reason = ""
        self._remarks = dict.fromkeys(_REMARKS, "")

    def update(self, event: StatusEvent) -> None:
        """Note an event."""
        if event.event == "summary":
            self._state = str(event.fields.get("state") or self._state)
            for name, known in self._remarks.items():
                self._remarks[name] = str(event.fields.get(name, known))[:_MAX_TEXT_CHARS]
        elif event.event in _REMARKS:
            self._remarks[event.event] = str(event.fields.get("reason", ""))[:_MAX_TEXT_CHARS]
        elif event.event == "drift_over":
            self._remarks["drift"] = ""
        elif event.event == "stopped" and self._state == "failed":
            return  # a decoder that failed reports its totals too
        elif event.event in _DECODER_STATES and not is_from_recorder(event):
            self._state = event.event
            self._reason = str(event.fields.get("reason", ""))[:_MAX_TEXT_CHARS]

    def indicator(self, decode: StreamHealth, status: StreamHealth) -> Indicator:
        """Indicator of the decoder, given its two streams."""
        state, severity = self._state, _DECODER_STATES.get(self._state, "faint")
        tip = f"The decoder reported: {state}" + (f" ({self._reason})" if self._reason else "")
        if not state:
            tip = "The decoder has reported no state since this window opened"
            runs = decode.state == "live"
            state, severity = ("running", "good") if runs else ("unknown", "faint")
        is_over = self._state in {"stopped", "failed", "stopping"}
        if status.state == "lost" and not is_over:
            state, severity = "gone", "bad"
            tip += "\nIts status stream is gone: the decoder has ended, or cannot be reached"
        remarks = self._remarks if severity == "good" else {}
        for name, remark in remarks.items():
            if remark:
                state, severity = f"{state}, {_REMARKS[name]}", "warn"
                tip += f"\n{remark}"
        return Indicator(f"decoder: {state}", severity, tip)


def origin_of(feeds: tuple[StreamHealth, ...]) -> str:
    """Where the signal comes from, as its header says; empty for an amplifier."""
    return feed_of(feeds, "signal").origin


def origin_text(feeds: tuple[StreamHealth, ...]) -> str:
    """Where the signal comes from; empty for an amplifier."""
    origin = feed_of(feeds, "signal").origin
    return _ORIGINS.get(origin, origin.upper())


def lost_text(feeds: tuple[StreamHealth, ...], t_last: dict[str, float], now: float) -> str:
    """Which of signal and decodes is lost or stalled, signal first, and since when; or empty."""
    for kind, name in _WATCHED.items():
        feed = feed_of(feeds, kind)
        if feed.state in _NOT_LIVE:
            since = t_last.get(kind, feed.t_last)
            ago = f" {max(0.0, now - since):.1f} s ago" if math.isfinite(since) else ""
            return f"{name} {feed.state.upper()}{ago}"
    return ""


def load_indicator(busy: float) -> Indicator:
    """Load of this machine's processors, 0 to 1; NaN before it is known."""
    if not math.isfinite(busy):
        return Indicator("CPU -", "faint", "The load of the processors is not yet known")
    tip = f"All processors of this machine together, {busy:.0%} busy over the last seconds"
    if busy > _BUSY:
        return Indicator(f"CPU {busy:.0%}: BUSY", "warn", f"{tip}: decodes may come late")
    return Indicator(f"CPU {busy:.0%}", "good", tip)


@dataclass(frozen=True, slots=True)
class LatencyParts:
    """Latency of a decode and its parts, s; NaN where unknown."""

    total: float
    algorithm: float
    transport: float
    compute: float


class LatencyHistory:
    """Latencies of the decodes of the last minute.

    A decode states its total latency (its age when ready) and its compute time. The rest is
    transport, which is at least 0, and the algorithm's part, which is constant for a decoder: the
    maximum of ``age - (t_arrived - t_stop)`` estimates it, short of the fastest delivery. Invalid
    decodes are left out: one that is withdrawn when samples stop is stamped with that moment.
    """

    def __init__(self) -> None:
        # Time of arrival, total, compute, lower bound of the algorithmic part.
        self._rows: deque[tuple[float, float, float, float]] = deque(maxlen=_MAX_ROWS)
        self._t_arrived = math.nan

    def push(self, decode: ReceivedDecode) -> None:
        """Add a decode; one without an age is left out."""
        self._t_arrived = decode.t_arrived
        if not math.isfinite(decode.age_s):
            return
        delivery_s = decode.t_arrived - decode.t_stop
        bound_s = decode.age_s - delivery_s if decode.valid else math.nan
        self._rows.append((decode.t_arrived, decode.age_s, decode.compute_s, bound_s))
        while self._rows[0][0] < decode.t_arrived - KEPT_S:
            self._rows.popleft()

    @property
    def newest(self) -> LatencyParts:
        """Latency of the newest decode."""
        if not self._rows:
            return LatencyParts(math.nan, math.nan, math.nan, math.nan)
        _, total, compute, bound = self._rows[-1]
        if not math.isfinite(bound):
            return LatencyParts(total, math.nan, math.nan, compute)
        known = compute if math.isfinite(compute) else 0.0
        algorithm = min(max(0.0, self._max_bound_s), max(0.0, total - known))
        return LatencyParts(total, algorithm, total - known - algorithm, compute)

    @property
    def delivery_delay_s(self) -> float:
        """From the newest decode being ready to its arrival here, less the fastest delivery, s."""
        return self._max_bound_s - self._rows[-1][-1] if self._rows else math.nan

    @property
    def _max_bound_s(self) -> float:
        bounds = [bound for *_, bound in self._rows if math.isfinite(bound)]
        return max(bounds, default=math.nan)

    def line(self, now: float) -> list[tuple[float, float]]:
        """Seconds before `now`, and latency in s, of each decode of the last minute."""
        return [(t - now, total) for t, total, *_ in self._rows if t > now - KEPT_S]

    def indicator(
        self, now: float, signal: StreamHealth, decodes: StreamHealth, hop_s: float | None
    ) -> Indicator:
        """Latency of the newest decode and its parts; without decodes, age of the signal."""
        parts, since_s = self.newest, now - self._t_arrived
        if decodes.state == "ended":
            return Indicator("latency -", "faint", "The decoder has ended")
        if not math.isfinite(parts.total):
            if signal.state != "live" or not math.isfinite(signal.t_last):
                return Indicator("latency -", "faint", "Neither decodes nor signal arrive")
            text = f"signal {max(0.0, now - signal.t_last):.2f} s old"
            return Indicator(text, "good", "Age of the newest sample on arrival")
        text = f"latency {parts.total:.2f} s"
        tip = _TIP.format(parts=parts, delivery_delay_s=self.delivery_delay_s)
        if hop_s is not None and since_s > max(_OLD_HOPS * hop_s, _MIN_OLD_S):
            return Indicator(f"{text}, and no decode for {since_s:.1f} s", "bad", tip)
        if not math.isfinite(parts.algorithm):
            return Indicator(text, "warn", f"{text}; its parts are known for valid decodes only")
        text += f": algorithm {parts.algorithm:.2f}, transport {parts.transport:.2f}"
        return Indicator(f"{text}, compute {parts.compute:.2f}", "good", tip)
