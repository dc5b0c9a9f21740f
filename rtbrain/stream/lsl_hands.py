"""Marks by hand in over LSL, from windows that come and go while a decoder runs."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pylsl
from pylsl.util import LostError

from rtbrain.errors import StreamError
from rtbrain.stream.lsl_connect import new_inlet, open_inlet

__all__ = ["HandMarks"]

_LOOK_S = 0.25
_FORGET_S = 1.5
_OPEN_S = 3.0
_END_S = 0.5
_BUFFER = 1  # hundreds of marks
_MOST_MARKS = 1000  # that wait for a decoder that is busy


class HandMarks:
    """Marks of every marker stream of a name, whenever such streams appear.

    Looking, connecting and pulling happen in a thread: whoever asks for the marks never waits,
    and no error of such a stream reaches him. Several windows may send under one name.

    Parameters
    ----------
    name : str
        Name of the streams.
    on_event : callable
        Told ``("hands", stream=name)`` of each stream that is heard from now on, in the thread
        of the one who asks for marks.
    """

    def __init__(self, name: str, *, on_event: Callable[..., None]) -> None:
        self._name = name
        self._on_event = on_event
        self._texts: deque[str] = deque(maxlen=_MOST_MARKS)
        self._news: deque[str] = deque(maxlen=_MOST_MARKS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hand marks", daemon=True)
        self._thread.start()

    def __call__(self) -> list[str]:
        """Texts since the last call, oldest first; never waits."""
        while self._news:
            self._on_event("hands", stream=self._news.popleft())
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
                except LostError:
                    del inlets[uid]
                    continue
                self._texts.extend(text.decode(errors="backslashreplace") for text in rows[:, 0])

    def _connect(self, info: Any, inlets: dict[str, Any]) -> None:
        """Open one stream; one that does not answer is tried again while it is announced."""
        if info.channel_format() != pylsl.cf_string or info.channel_count() != 1:
            return
        inlet = new_inlet(info, _BUFFER)
        try:
            open_inlet(inlet, info.name(), info.source_id(), _OPEN_S)
        except StreamError:
            return
        inlets[info.uid()] = inlet
        self._news.append(self._name)
