"""What a decoder counts, for Prometheus: ``http://127.0.0.1:PORT/metrics``.

The endpoint has a thread of its own, answers one request at a time and twenty a second, and only
this machine: whatever asks, decodes are not held up.
"""

import math
import socketserver
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from rtbrain import __version__
from rtbrain.config import DecodeSettings
from rtbrain.decoder import Bundle
from rtbrain.errors import SettingsError
from rtbrain.live.supervision.turn import Turn
from rtbrain.outlet import StatusReport
from rtbrain.stream.supervise.states import StreamState
from rtbrain.types import Decode

# Upper bounds, s.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_PARTS = ("total", "algorithmic", "transport", "compute")
_STATES = ("starting", *(state.value for state in StreamState), "stopped", "failed")
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PAUSE_S = 0.05
_SUMMARY_EVERY_S = 2.0
_PATIENCE_S = 1.0
_NO_LABELS: dict[str, object] = {}
_Sample = tuple[str, Mapping[str, object], float]


class Metrics:
    """Counts of a live session: a sink of its decodes that also takes its events."""

    def __init__(
        self, settings: DecodeSettings, bundle: Bundle, totals: StatusReport, turn: Turn
    ) -> None:
        self._about = {
            "name": settings.outlet.name,
            "bundle": bundle.id,
            "mode": bundle.manifest.mode,
            "version": __version__,
        }
        self._totals, self._turn = totals, turn
        self.inputs: dict[str, str] = {}  # what is decoded
        self.also: dict[str, Callable[[], dict[str, object]]] = {}  # more for the summary
        self._summary_s = -math.inf
        self._start_s = time.time()
        self._n_invalid = self._n_reconnections = 0
        self._state = "starting"
        self._bad: dict[str, str] = {}  # why each is left out
        self._remarks = {"mains": "", "drift": ""}
        self._last: tuple[Decode, float] | None = None  # and when, Unix time
        self._counts = {part: [0] * (len(_BUCKETS) + 1) for part in _PARTS}
        self._sums = dict.fromkeys(_PARTS, 0.0)

    def push(self, item: Decode) -> None:
        """Count a decode."""
        self._last = item, time.time()
        self._n_invalid += not item.quality.valid
        latencies_s = (
            item.age_s,
            item.t_stop - item.t_neural,
            item.t_received - item.t_stop,
            item.compute_s,
        )
        for part, latency_s in zip(_PARTS, latencies_s, strict=True):
            if math.isfinite(latency_s):
                self._counts[part][bisect_left(_BUCKETS, latency_s)] += 1
                self._sums[part] += latency_s

    def take(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take an event of the session."""
        if event in _STATES:
            self._state = event
        self._n_reconnections += event == "recovered"
        if event in ("threshold", "armed", "disarmed"):
            self._summary_s = -math.inf  # which a window shows
        if event == "channel_bad":
            self._bad[str(fields["channel"])] = str(fields["reason"])
        elif event == "channel_good":
            self._bad.pop(str(fields["channel"]), None)
        elif event in ("mains", "drift", "drift_over"):
            self._remarks[event.removesuffix("_over")] = str(fields.get("reason", ""))
        elif event == "connected" and not self.inputs:
            name, source_id = fields["stream"], fields.get("source_id", "")
            self.inputs = {"stream": str(name), "stream_id": str(source_id)}

    def summary(self, now: float) -> dict[str, object]:
        """What a listener that came later must know, every 2 s; meanwhile nothing."""
        if now < self._summary_s:
            return {}
        self._summary_s = now + _SUMMARY_EVERY_S
        reason = "" if self._last is None else self._last[0].quality.reason
        known = {"state": self._state, "bad": self._bad, **self._remarks, "reason": reason}
        known |= {name: status() for name, status in self.also.items()}
        turn = self._turn
        return known | ({"restarts": turn.restarts, "crash": turn.reason} if turn.restarts else {})

    def close(self) -> None:
        """Do nothing: a sink is closed with its session."""

    def text(self) -> str:
        """Everything in Prometheus' text format, version 0.0.4."""
        return "".join(
            f"# HELP rtbrain_{name} {what}\n# TYPE rtbrain_{name} {kind}\n"
            + "".join(f"rtbrain_{name}{_sample(*sample)}" for sample in samples)
            for name, kind, what, samples in self._families()
        )

    def _families(self) -> Iterator[tuple[str, str, str, Sequence[_Sample]]]:
        totals, state = self._totals, self._state
        plain = ("", _NO_LABELS)
        yield "info", "gauge", "What decodes.", [("", self._about, 1)]
        yield "start_time_seconds", "gauge", "Start, Unix time.", [(*plain, self._start_s)]
        decodes = {"true": totals.n_decodes, "false": self._n_invalid}
        samples: list[_Sample] = [("", {"valid": valid}, n) for valid, n in decodes.items()]
        yield "decodes_total", "counter", "Decodes.", samples
        counters = {
            "lost_samples_total": ("Samples of the stream that were lost.", totals.n_lost),
            "skipped_windows_total": ("Windows skipped when late.", totals.n_skipped),
            "reconnections_total": ("Times that the stream came back.", self._n_reconnections),
            "restarts_total": ("Restarts of the decoder by its supervisor.", self._turn.restarts),
        }
        for name, (what, n) in counters.items():
            yield name, "counter", what, [(*plain, n)]
        samples = [("", {"state": one}, one == state) for one in _STATES]
        yield "state", "gauge", "1 for the state that the session is in.", samples
        yield "bad_contacts", "gauge", "Contacts that are left out.", [(*plain, len(self._bad))]
        if self._last is not None:
            decode, when_s = self._last
            gauges = {
                "valid": ("Whether the last decode is valid.", decode.quality.valid),
                "coverage": ("Share of good contacts.", decode.quality.coverage),
                "drift": ("How unlike the calibration, 1 at the threshold.", decode.drift),
                "last_decode_time_seconds": ("Last decode, Unix time.", when_s),
            }
            for name, (what, value) in gauges.items():
                yield name, "gauge", what, [(*plain, value)]
        samples = [sample for part in _PARTS for sample in self._histogram(part)]
        yield "latency_seconds", "histogram", "Latency of decodes, and its parts.", samples

    def _histogram(self, part: str) -> Iterator[_Sample]:
        counts, n = list(self._counts[part]), 0
        for bound, count in zip((*_BUCKETS, math.inf), counts, strict=True):
            n += count
            yield "_bucket", {"part": part, "le": _number(bound)}, n
        yield "_sum", {"part": part}, self._sums[part]
        yield "_count", {"part": part}, n


def _sample(suffix: str, labels: Mapping[str, object], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(str(it))}"' for key, it in labels.items())
    return f"{suffix}{'{' * bool(pairs)}{pairs}{'}' * bool(pairs)} {_number(value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)) if isinstance(value, float) else str(int(value))


@contextmanager
def metrics_endpoint(
    settings: DecodeSettings, metrics: Metrics, report: Callable[..., None], turn: Turn
) -> Iterator[None]:
    """Serve metrics while the block runs, if there is a port.

    Raises a SettingsError where the port is taken; after a restart that is reported instead.
    """
    if (port := settings.metrics_port) is None:
        yield
        return
    try:
        server = _Server(("127.0.0.1", port), _handler_of(metrics))
    except OSError as error:
        reason = f"port {port}: {error.strerror or error}"
        if not turn.restarts:
            raise SettingsError(f"--metrics: {reason}; choose another port") from error
        report("metrics_failed", reason=reason)
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=_serve, args=(server, stop), name="rtbrain-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_PATIENCE_S)
        server.server_close()


class _Server(socketserver.TCPServer):
    # HTTPServer would ask the network for this machine's name.
    allow_reuse_address = True
    timeout = 0.2

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: who asks has gone, or asks what is no HTTP."""


def _serve(server: _Server, stop: threading.Event) -> None:
    while not stop.wait(_PAUSE_S):
        server.handle_request()


def _handler_of(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            found = self.path.split("?")[0] in ("/", "/metrics")
            body = metrics.text().encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", _CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
