"""Markers of a live session, whose sender may go away and come back."""

import queue
import threading
from collections.abc import Callable
from typing import Any

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream.lsl.resolve import ambiguous_stream_error, find_matching, quote, stream_summary

_LOOK_S = 0.5


_OPEN_S = 3.0


_CLOSE_S = 1.0


class SupervisedMarkers:
    """Markers of the one stream of a name, which outlive their sender.

    A pull gives no markers while the sender is away. Meanwhile a thread looks for a stream of the
    same name and source_id, and its markers are heard from then on.

    ``on_event`` is called in the thread that pulls: ``markers_lost`` and ``markers_refused``, with
    ``why``, and ``markers_recovered``, with ``stream``.

    Parameters
    ----------
    name : str
        Name of the stream.
    timeout_s : float
        How long to wait for it at first, s.
    on_event : callable
        ``on_event(event, **fields)``, as `StatusOutlet.emit`.

    Raises
    ------
    StreamError
        No stream or several match at first, the stream is not one string a sample, or it does not
        open.
    """

    def __init__(self, name: str, *, timeout_s: float, on_event: Callable[..., None]) -> None:
        self._source: MarkerSource | None = MarkerSource(name=name, timeout_s=timeout_s)
        self._on_event = on_event
        self._events: queue.SimpleQueue[MarkerSource | str] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def pull(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that came: time stamp in s on this machine's LSL clock, and text.

        Parameters
        ----------
        timeout_s : float
            How long to wait for the first marker while the sender is there, s.
        """
        self._hear()
        source = self._source
        if source is None:
            return []
        try:
            return source.pull(timeout_s)
        except StreamLostError as error:
            self._source = None
            self._on_event("markers_lost", reason=str(error))
            self._thread = threading.Thread(
                target=self._look, args=(source,), name="rtbrain-markers", daemon=True
            )
            self._thread.start()
            return []

    def close(self) -> None:
        """Let go of the stream within about 1 s; safe to call twice."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        self._hear()
        if self._source is not None:
            self._source.close()

    def _hear(self) -> None:
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, str):
                self._on_event("markers_refused", reason=event)
            else:
                self._source = event
                self._on_event("markers_recovered", stream=event.name)

    def _look(self, lost: MarkerSource) -> None:
        """Look for the sender until it is back; what keeps it from being heard is told once."""
        lost.close()
        told = ""
        while not self._stopped.is_set():
            found, _ = find_matching({"name": lost.name}, _LOOK_S, self._stopped.is_set)
            if not found:
                continue
            try:
                self._events.put(MarkerSource(found=_same(found, lost), timeout_s=_OPEN_S))
            except StreamError as error:
                why = str(error)
                if why != told:
                    self._events.put(why)
                told = why
            else:
                return


def _same(found: list[Any], lost: MarkerSource) -> Any:
    """The only stream with the source_id of the one that was lost."""
    same = [info for info in found if info.source_id() == lost.source_id]
    if not same:
        raise StreamError(
            f"{stream_summary(found[0])} is not the sender that was lost, of source_id "
            f"{quote(lost.source_id)}: start that one again, or restart the decoder to hear this "
            "one"
        )
    if len(same) > 1:
        properties = {"name": lost.name, "source_id": lost.source_id}
        raise ambiguous_stream_error(properties, [stream_summary(info) for info in same])
    return same[0]
