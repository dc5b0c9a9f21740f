"""What the status line says of streams, decoder and latency in a few words, free of Qt."""

import math
from collections import deque
from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.texts import say

KEPT_S = 60.0
_MAX_ROWS = 4096
# What a decoder that works may report beside, as events of these names and in its summary.
_REMARKS = ("drift", "mains")
_STATES = frozenset(
    {"waiting", "connecting", "warming", "live", "stalled", "lost", "refused", "stopping"}
)
_STATES |= {"failed", "stopped"}
_MAX_TEXT_CHARS = 300


def origin_of(feeds: tuple[StreamHealth, ...]) -> str:
    """Where the signal comes from, as its header says; empty for an amplifier."""
    return feed_of(feeds, "signal").origin


def stream_tip(feed: StreamHealth) -> str:
    """State, rates, losses, clock and origin of a stream, one a line."""
    if feed.problem:
        return f"{feed.kind}: not connected. {feed.problem}"
    if feed.state == "absent":
        return f"{feed.kind}: no stream {feed.name or 'of this kind'} has been found"
    rate = f"nominal {feed.nominal_hz:.6g} Hz" if feed.nominal_hz > 0 else "irregular"
    if feed.nominal_hz > 0 and math.isfinite(feed.effective_hz):
        rate += f", effective {feed.effective_hz:.3f} Hz"
    clock = "clock offset not yet known"
    if math.isfinite(feed.clock_offset_s):
        offset, error = 1e3 * feed.clock_offset_s, 1e3 * feed.clock_uncertainty_s
        clock = f"offset of the sender's clock {offset:+.2f} ± {error:.2f} ms"
    lines = [
        f"{feed.kind} {feed.name}: {feed.state}",
        rate,
        f"{feed.received} received, {feed.lost} {'lost' if feed.nominal_hz > 0 else 'left out'}",
        clock,
    ]
    return "\n".join(lines + ([f"origin: {feed.origin}"] if feed.origin else []))


class DecoderStatus:
    """State of the decoder, as it reports it."""

    def __init__(self) -> None:
        self.state = ""
        self.reason = ""
        self._remarks = dict.fromkeys(_REMARKS, "")

    def update(self, event: StatusEvent) -> None:
        """Note an event."""
        if event.event == "summary":
            self.state = str(event.fields.get("state") or self.state)[:_MAX_TEXT_CHARS]
            for name, known in self._remarks.items():
                self._remarks[name] = str(event.fields.get(name, known))[:_MAX_TEXT_CHARS]
        elif event.event in _REMARKS:
            self._remarks[event.event] = str(event.fields.get("reason", ""))[:_MAX_TEXT_CHARS]
        elif event.event == "drift_over":
            self._remarks["drift"] = ""
        elif event.event == "stopped" and self.state == "failed":
            return  # a decoder that failed reports its totals too
        elif event.event in _STATES:
            self.state = event.event
            self.reason = str(event.fields.get("reason", ""))[:_MAX_TEXT_CHARS]

    @property
    def remark(self) -> str:
        """Name of what a decoder that works reports beside, or empty."""
        return next((name for name, remark in self._remarks.items() if remark), "")

    @property
    def tip(self) -> str:
        """What it reported, in full."""
        known = "state" if self.state else "nothing"
        said = say(f"reported.{known}", state=self.state)
        reason = f" ({self.reason})" if self.reason else ""
        return "\n".join([f"{said}{reason}", *filter(None, self._remarks.values())])


def decoder_state(reported: DecoderStatus, decode: StreamHealth, status: StreamHealth) -> str:
    """State of the decoder by what it reported and by its two streams.

    ``none`` where there is none, ``gone`` where it vanished, ``running`` where it reported none.
    """
    state = reported.state if reported.state in _STATES else ""
    if state in ("stopped", "failed"):
        return state
    states = (decode.state, status.state)
    if "lost" in states and "live" not in states and state != "stopping":
        return "gone"
    if set(states) <= {"absent", "ended"}:
        return "stopped" if "ended" in states else "none"
    if state:
        return state
    return "running" if decode.state == "live" else "connecting"


def latency_tip(latency: "LatencyHistory") -> str:
    """The parts of the newest latency, one a line."""
    parts = latency.newest
    if not math.isfinite(parts.total):
        return say("latency.none")
    if not math.isfinite(parts.algorithm):
        return say("latency.invalid", total=f"{parts.total:.2f}")
    values = {
        "total": parts.total,
        "algorithm": parts.algorithm,
        "transport": parts.transport,
        "compute": parts.compute,
        "delivery": latency.delivery_delay_s,
    }
    return "\n".join(say(f"latency.{key}", **{key: f"{s:.3f}"}) for key, s in values.items())


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
