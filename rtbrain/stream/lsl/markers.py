"""Markers in over LSL: strings at irregular times."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pylsl
from pylsl.util import LostError

from rtbrain.errors import StreamError
from rtbrain.stream.lsl.resolve import (
    lost_stream_error,
    make_inlet,
    open_inlet,
    quote,
    resolve_one,
    stream_properties,
)

_MARKER_BUFFER = 360  # hundreds of markers, as liblsl counts irregular streams
_MARKERS_A_PULL = 1024
_LOOK_S = 0.25
_FORGET_S = 1.5
_OPEN_S = 3.0
_END_S = 0.5
_BUFFER = 1  # hundreds of marks
_MOST_MARKS = 1000  # that wait for a decoder that is busy


class MarkerSource:
    """A live LSL stream of one string a sample.

    The data connection opens at once, so no marker sent from then on is missed.

    Parameters
    ----------
    name, stream_type, source_id : str or None
        What the stream must be called; each one given must match.
    found : pylsl.StreamInfo, optional
        The stream itself, in place of what it must be called.
    timeout_s : float
        How long to wait for the stream and for its connection, s each.

    Attributes
    ----------
    name, source_id : str
        As its sender announces them.

    Raises
    ------
    StreamError
        No stream or several match, the stream is not one string a sample, or it does not open.
    StreamLostError
        The stream went away while it was opened.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stream_type: str | None = None,
        source_id: str | None = None,
        found: Any = None,
        timeout_s: float = 10.0,
    ) -> None:
        if found is None:
            found = resolve_one(stream_properties(name, stream_type, source_id), timeout_s)
        self.name: str = found.name()
        self.source_id: str = found.source_id()
        if found.channel_format() != pylsl.cf_string or found.channel_count() != 1:
            raise StreamError(
                f"stream {quote(self.name)} is not a marker stream, which has one channel of "
                "strings: name another stream"
            )
        self._inlet: Any = make_inlet(found, _MARKER_BUFFER)
        open_inlet(self._inlet, self.name, self.source_id, timeout_s)
        self._lock = threading.Lock()

    def pull(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that came: time stamp in s on this machine's LSL clock, and text.

        Bytes that are no UTF-8 are shown as backslash escapes.

        Parameters
        ----------
        timeout_s : float
            How long to wait for the first marker, s.

        Raises
        ------
        StreamLostError
            The stream was there and is gone.
        """
        with self._lock:
            if self._inlet is None:
                return []
            try:
                texts, stamps = self._inlet.pull_chunk(
                    timeout=timeout_s, max_samples=_MARKERS_A_PULL, min_samples=1, as_numpy=True
                )
            except LostError as error:
                raise lost_stream_error(self.name, self.source_id) from error
        return [
            (float(stamp), text.decode("utf-8", errors="backslashreplace"))
            for stamp, text in zip(stamps, texts[:, 0], strict=True)
        ]

    def close(self) -> None:
        """Let go of the stream, after a pull under way in another thread; safe to call twice."""
        with self._lock:
            self._inlet = None


class ManualMarks:
    """Marks of every marker stream of a name, whenever such streams appear.

    Looking, connecting and pulling happen in a thread: whoever asks for the marks never waits,
    and no error of such a stream reaches him. Several windows may send under one name.

    Parameters
    ----------
    name : str
        Name of the streams.
    on_event : callable
        Told ``("manual_marks", stream=name)`` of each stream that is heard from now on, and
        ``("manual_marks_failed", stream=name, reason=text)`` where liblsl cannot receive one that is there,
        once until one is heard; in the thread of the one who asks for marks.
    """

    def __init__(self, name: str, *, on_event: Callable[..., None]) -> None:
        self._name = name
        self._on_event = on_event
        self._texts: deque[str] = deque(maxlen=_MOST_MARKS)
        self._events: deque[tuple[str, dict[str, str]]] = deque(maxlen=_MOST_MARKS)
        self._failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hand marks", daemon=True)
        self._thread.start()

    def __call__(self) -> list[str]:
        """Texts since the last call, oldest first; never waits."""
        while self._events:
            event, fields = self._events.popleft()
            self._on_event(event, stream=self._name, **fields)
        texts = []
        while self._texts:
            texts.append(self._texts.popleft())
        return texts

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._stopped.set()
        self._thread.join(_END_S)

    def _listen(self) -> None:
        # Without a query: a name with quotes in it would need escaping there.
        resolver = pylsl.ContinuousResolver(forget_after=_FORGET_S)
        inlets: dict[str, Any] = {}
        while not self._stopped.wait(_LOOK_S):
            for info in resolver.results():
                if info.name() == self._name and info.uid() not in inlets:
                    self._connect(info, inlets)
            for uid, inlet in list(inlets.items()):
                try:
                    rows, _ = inlet.pull_chunk(max_samples=_MOST_MARKS, as_numpy=True)
                except RuntimeError as error:  # pylsl: lost, or a fault of liblsl's own
                    del inlets[uid]
                    self._fail(error)
                    continue
                self._texts.extend(text.decode(errors="backslashreplace") for text in rows[:, 0])

    def _connect(self, info: Any, inlets: dict[str, Any]) -> None:
        """Open one stream; one that does not answer is tried again while it is announced."""
        if info.channel_format() != pylsl.cf_string or info.channel_count() != 1:
            return
        try:
            inlet = make_inlet(info, _BUFFER)
            open_inlet(inlet, info.name(), info.source_id(), _OPEN_S)
        except StreamError:
            return
        except RuntimeError as error:  # pylsl: an inlet that cannot be made
            self._fail(error)
            return
        inlets[info.uid()] = inlet
        self._failing = False
        self._events.append(("manual_marks", {}))

    def _fail(self, error: RuntimeError) -> None:
        if not isinstance(error, LostError) and not self._failing:
            self._failing = True
            self._events.append(("manual_marks_failed", {"reason": str(error)}))
