"""Markers of a live session, from a sender that may go away, come back, or change its address."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rtbrain.errors import StreamError, StreamLostError, quote
from rtbrain.stream.clock.sender_clock import SenderClock
from rtbrain.stream.lsl.inlet import UNANSWERED_S
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream.lsl.resolve import (
    StreamWatcher,
    ambiguous_stream_error,
    resolve_again,
    resolve_one,
    stream_summary,
)

_LOOK_EVERY_S = 0.25
_CLOSE_S = 1.0
_MAX_SENDERS = 2  # received at once: one that fell silent, and its successor
_SILENT_S = 5.0  # without an announcement, after which the sender may have a successor


class SupervisedMarkers:
    """Markers of the one stream of a name, which outlive their sender.

    A thread looks for the stream all the time: silence is no loss, for markers may be rare, so a
    sender that ended without a word is known by its successor alone, a stream of the same name
    and source_id. It is received as soon as the old one is no longer announced; what the old one
    still delivers is received too. After a change of address it is connected to again, about 6 s
    later. In the thread that pulls, `on_event` is called with
    ``markers_lost``, ``markers_refused`` or ``markers_clock`` (their stamps are no LSL time) and
    the ``reason``, and with ``markers_recovered`` and
    the ``stream``. At first the stream is waited for: a StreamError where none or several match,
    or `stop()` is true before.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout_s: float,
        on_event: Callable[..., None],
        stop: Callable[[], bool] = lambda: False,
        signal: SenderClock | None = None,
    ) -> None:
        found = resolve_one({"name": name}, timeout_s, stop)
        first = MarkerSource(found, signal)
        self._signal, self._clock_reason = signal, ""
        self._name, self._source_id = first.name, first.source_id
        self._sources = {found.uid(): first}
        self._lock = threading.Lock()
        self._watcher = StreamWatcher()
        self._on_event = on_event
        self._events: queue.SimpleQueue[tuple[str, dict[str, str]]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="rtbrain-markers", daemon=True)
        self._thread.start()

    def pull(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that came, as `MarkerSource.pull`; at once none while the sender is away."""
        while not self._events.empty():
            event, fields = self._events.get()
            self._on_event(event, **fields)
        sources = self._open()
        texts: list[tuple[float, str]] = []
        for uid, source in sources.items():
            try:
                texts += source.pull(timeout_s if len(sources) == 1 else 0.0)
                if (reason := source.clock.reason) not in ("", self._clock_reason):
                    self._clock_reason = reason
                    self._on_event("markers_clock", reason=reason)
            except StreamLostError as error:
                self._watcher.put_off(uid)
                with self._lock:
                    if self._sources.get(uid) is source:
                        del self._sources[uid]
                source.close()
                if not self._open():
                    self._on_event("markers_lost", reason=str(error))
        return texts

    def close(self) -> None:
        """Let go of the stream within about 1 s; safe to call twice."""
        self._stopped.set()
        self._thread.join(_CLOSE_S)
        for source in self._open().values():
            source.close()

    def _open(self) -> dict[str, MarkerSource]:
        with self._lock:
            return dict(self._sources)

    def _look(self) -> None:
        """Look for the sender's successor; report once what keeps it from being received."""
        reported = ""
        t_seen = time.monotonic()
        while not self._stopped.wait(_LOOK_EVERY_S):
            there = [info for info in self._watcher.look() if info.name() == self._name]
            ours = self._open()
            if any(info.uid() in ours for info in there):
                t_seen = time.monotonic()
            new = [info for info in there if info.uid() not in ours]
            for info in there:
                if info.uid() in ours and self._is_elsewhere(info.uid(), ours[info.uid()]):
                    self._renew(ours[info.uid()])
            if ours and time.monotonic() < t_seen + _SILENT_S:
                continue
            if not any(self._watcher.is_settled(info.uid()) for info in new):
                continue
            try:
                self._receive(self._successor(new))
                reported, t_seen = "", time.monotonic()
            except StreamError as error:
                for info in new:
                    self._watcher.put_off(info.uid())
                if str(error) != reported and not ours:
                    self._events.put(("markers_refused", {"reason": str(error)}))
                    reported = str(error)

    def _is_elsewhere(self, uid: str, source: MarkerSource) -> bool:
        """Whether a sender answers, but no more at the address that it had."""
        return self._watcher.seen_s(uid) > UNANSWERED_S and not source.is_answered()

    def _renew(self, source: MarkerSource) -> None:
        """Connect to a sender where it is now; its old connection may be first all the same."""
        uid = source.found.uid()
        try:
            renewed = MarkerSource(resolve_again(source.found) or source.found)
        except StreamError:
            return  # it is tried again
        with self._lock:
            ended = self._stopped.is_set() or self._sources.get(uid) is not source
            if ended or source.is_answered():
                source = renewed
            else:
                renewed.clock = source.clock
                self._sources[uid] = renewed
                reason = f"the address of {quote(self._name)} changed, or that of this machine"
                self._events.put(("markers_lost", {"reason": reason}))
                self._events.put(("markers_recovered", {"stream": self._name}))
        source.close()

    def _receive(self, found: Any) -> None:
        source = MarkerSource(found, self._signal)
        if self._stopped.is_set():
            source.close()
            return
        with self._lock:
            while len(self._sources) >= _MAX_SENDERS:
                self._sources.pop(next(iter(self._sources))).close()
            self._sources[found.uid()] = source
        self._events.put(("markers_recovered", {"stream": source.name}))

    def _successor(self, found: Sequence[Any]) -> Any:
        """The only stream with the source_id of the one that was lost."""
        same = [info for info in found if info.source_id() == self._source_id]
        if not same:
            raise StreamError(
                f"{stream_summary(found[0])} is not the sender that was lost, of source_id "
                f"{quote(self._source_id)}: start that one again, or restart the decoder to take "
                "this one"
            )
        if len(same) > 1:
            properties = {"name": self._name, "source_id": self._source_id}
            raise ambiguous_stream_error(properties, [stream_summary(info) for info in same])
        return same[0]
