"""Markers in over LSL, strings or numbers, and marks of channels from live windows."""

import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pylsl

from rtbrain.errors import StreamError, StreamLostError, plain_text, quote
from rtbrain.marks import Mark
from rtbrain.stream.clock.sender_clock import MarkerClock, SenderClock
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    UNANSWERED_S,
    Heartbeat,
    is_marker_stream,
    lsl_clock,
    make_inlet,
    marker_labels,
    open_inlet,
    pull_texts,
)
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.stream_names import is_window

_BUFFER = 360  # hundreds of markers, as liblsl counts irregular streams
_CLOSE_S = 1.0
_LOOK_EVERY_S = 0.25
_MAX_WAITING = 1000  # for a decoder that is busy
# What strangers may send: characters of a mark, different marks per look, windows.
_MAX_MARK_CHARS = 200
_MAX_MARKS = 256
_MAX_WINDOWS = 16


class MarkerSource:
    """A live LSL stream of markers: strings at any rate, or numbers without a regular one.

    `found` is its `pylsl.StreamInfo`. The data connection opens at once, so no marker sent from
    then on is missed. `signal` is the clock of the signal's sender, which may be the markers' too.
    Raises a StreamError where the stream is a signal, goes away or does not open.

    `clock` dates the markers, and says what their stamps show where that is not LSL time.
    """

    def __init__(self, found: Any, signal: SenderClock | None = None) -> None:
        self.found = found
        self.name: str = found.name()
        self.source_id: str = found.source_id()
        self.host: str = found.hostname()
        if not is_marker_stream(found):
            raise StreamError(
                f"stream {quote(self.name)} has numbers at {found.nominal_srate():g} Hz, markers "
                "are strings or have no regular rate: name another stream, or take the codes of a "
                "channel in the signal with --trigger"
            )
        self._inlet: Any = make_inlet(found, _BUFFER)
        open_inlet(self._inlet, found, ANSWER_S)
        self._labels = marker_labels(self._inlet, found)
        self.clock = MarkerClock(signal, lsl_clock())
        self._heart, self._came_s = Heartbeat(), -math.inf
        self._heart.look(self._inlet)  # its clock was measured as it was opened
        self._lock = threading.Lock()

    def pull(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that came, as (s on this machine's LSL clock, text); waits for the first.

        Raises a StreamLostError where the stream is gone.
        """
        with self._lock:
            if self._inlet is None:
                return []
            texts = pull_texts(self._inlet, self.found, timeout_s, self._labels)
            now_s = lsl_clock()
            if texts:
                self._came_s = time.monotonic()
            return [(self.clock(stamp, now_s), text) for stamp, text in texts]

    def is_answered(self) -> bool:
        """Whether its sender still is where it was: a marker came, or an answer, or none ever."""
        with self._lock:
            if self._inlet is not None:
                self._heart.look(self._inlet)
        return time.monotonic() - max(self._heart.last_s, self._came_s) <= UNANSWERED_S

    def close(self) -> None:
        """Let go of the stream, after a pull under way in another thread; safe to call twice."""
        with self._lock:
            self._inlet = None


class ManualMarks:
    """Marks of every marker stream of a name, whenever such streams appear.

    Looking, connecting and pulling happen in a thread: the decoder never waits for them, and no
    error of such a stream reaches it. Several windows may send under one name. `senders` are the
    source ids or hosts whose marks are taken, each of them as the operator's; None takes all, those
    of live windows on this machine as the operator's.

    In the thread that takes the marks, `on_event` is called with the stream's ``source_id`` and
    ``host``, and ``manual_marks`` where a stream was opened, ``manual_marks_refused`` where its
    marks are not taken, and ``manual_marks_failed`` and its ``reason``, once until one is opened,
    where one cannot be received.
    """

    def __init__(
        self,
        name: str,
        *,
        on_event: Callable[..., None],
        senders: Collection[str] | None = None,
    ) -> None:
        self._name = name
        self._on_event = on_event
        self._senders = senders
        self._refused: deque[tuple[str, str]] = deque(maxlen=_MAX_MARKS)
        self._marks: deque[Mark] = deque(maxlen=_MAX_WAITING)
        self._events: deque[tuple[str, dict[str, str]]] = deque(maxlen=_MAX_WAITING)
        self._failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="rtbrain-marks", daemon=True)
        self._thread.start()

    def __call__(self) -> list[Mark]:
        """Marks since the last call, oldest first; never waits."""
        while self._events:
            event, fields = self._events.popleft()
            self._on_event(event, stream=self._name, **fields)
        marks = []
        while self._marks:
            marks.append(self._marks.popleft())
        return marks

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._stopped.set()
        self._thread.join(_CLOSE_S)

    def _listen(self) -> None:
        watcher = StreamWatcher()
        sources: dict[str, MarkerSource] = {}
        while not self._stopped.wait(_LOOK_EVERY_S):
            for info in self._wanted(watcher.look()):
                uid = info.uid()
                if uid in sources or len(sources) >= _MAX_WINDOWS:
                    continue
                source = self._open(info)
                if source is None:
                    watcher.put_off(uid)
                else:
                    sources[uid] = source
            for uid, source in list(sources.items()):
                try:
                    self._marks.extend(self._read(source))
                except StreamLostError:
                    del sources[uid]
                    watcher.put_off(uid)

    def _wanted(self, infos: Sequence[Any]) -> list[Any]:
        """Streams whose marks are taken, the operator's first."""
        ours = [info for info in infos if info.name() == self._name and _carries_texts(info)]
        if self._senders is not None:
            for info in ours:
                who = info.source_id(), info.hostname()
                if not set(who) & set(self._senders) and who not in self._refused:
                    self._refused.append(who)
                    self._events.append(("manual_marks_refused", _sender(*who)))
            ours = [i for i in ours if {i.source_id(), i.hostname()} & set(self._senders)]
        return sorted(ours, key=lambda info: not self._is_operator(info))

    def _is_operator(self, info: Any) -> bool:
        if self._senders is not None:
            return True
        own = info.hostname() == socket.gethostname()
        return bool(own and is_window(info.source_id(), self._name))

    def _read(self, source: MarkerSource) -> list[Mark]:
        """New marks of a sender, each once."""
        texts = [plain_text(text, _MAX_MARK_CHARS) for _, text in source.pull(0.0)]
        # Of marks that repeat, the last one counts: a flood costs no more than its different texts.
        latest = list(dict.fromkeys(reversed(texts)))[:_MAX_MARKS][::-1]
        who, by_operator = _sender(source.source_id, source.host), self._is_operator(source.found)
        return [Mark(text, **who, by_operator=by_operator) for text in latest]

    def _open(self, info: Any) -> MarkerSource | None:
        try:
            source = MarkerSource(info)
        except StreamError as error:
            if not self._failing:
                who = _sender(info.source_id(), info.hostname())
                self._events.append(("manual_marks_failed", {"reason": str(error), **who}))
            self._failing = True
            return None
        self._failing = False
        self._events.append(("manual_marks", _sender(source.source_id, source.host)))
        return source


def _sender(source_id: str, host: str) -> dict[str, str]:
    return {"source_id": plain_text(source_id), "host": plain_text(host)}


def _carries_texts(info: Any) -> bool:
    return bool(info.channel_format() == pylsl.cf_string and info.channel_count() == 1)
