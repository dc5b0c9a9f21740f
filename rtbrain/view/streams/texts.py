"""Inlet of markers and status events, which loses none of their sender's last words."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import pylsl

from rtbrain.errors import StreamLostError
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    liblsl_errors,
    make_inlet,
    marker_labels,
    open_inlet,
    pull_texts,
)
from rtbrain.view.streams.inlets import ViewInlet, is_time

_BUFFER = 20  # hundreds of texts: one may have 64 KiB or more
# Texts taken per poll, and those that may wait: whoever floods a stream costs the window 1 ms per
# poll, and what it shows of that stream is 0.3 s old at most.
_MAX_TEXTS = 64
_MAX_WAITING = 512
# From the loss of a stream until its last texts are read: less than liblsl needs to recover it.
_LAST_WORDS_S = 0.3


class TextInlet(ViewInlet):
    """Markers or status events: one text per sample.

    Those that are of no time are left out and counted, as are the oldest of more than can be shown.
    """

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        # liblsl gives up what waits in an inlet once its stream is lost, but in one that recovers:
        # that is read, and another one reports the loss.
        super().__init__(found, clock, make_inlet(found, _BUFFER, recover=True))
        self._watch = make_inlet(found, 1, pylsl.proc_none)
        self._waiting: deque[tuple[float, str]] = deque(maxlen=_MAX_WAITING)
        self._lost_at = math.inf
        open_inlet(self._inlet, found, ANSWER_S)
        open_inlet(self._watch, found, ANSWER_S, clock_known=True)
        self._labels = marker_labels(self._inlet, found)

    def pull(self) -> list[tuple[float, str]]:
        """Time stamps, s, and texts that have arrived, some hundreds at most; never waits."""
        try:
            texts = pull_texts(self._inlet, self._found, labels=self._labels)
        except StreamLostError:  # a stream without a source_id, which cannot recover
            self.lost, texts = True, []
        self.lost |= not texts and self._clock() >= self._lost_at + _LAST_WORDS_S
        if self._lost_at == math.inf and self._is_lost():
            self._lost_at = self._clock()
        if texts:
            n_received, texts = len(texts), [text for text in texts if is_time(text[0])]
            self._left_out += n_received - len(texts)
            self._times.extend(stamp for stamp, _ in texts)
            self._count(n_received, texts[-1][0] if texts else self.t_last)
        self._left_out += max(0, len(self._waiting) + len(texts) - _MAX_WAITING)
        self._waiting.extend(texts)
        # Its last words are the most important ones.
        n_taken = len(self._waiting) if self.lost else min(_MAX_TEXTS, len(self._waiting))
        return [self._waiting.popleft() for _ in range(n_taken)]

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        super().close()
        self._watch = None

    def _is_lost(self) -> bool:
        try:
            with liblsl_errors(self._found, "answer"):
                self._watch.pull_sample(timeout=0.0)
        except StreamLostError:
            return True
        return False
