"""What a session knows, made up: for panels, which only read it."""

import math
from dataclasses import replace

import numpy as np

from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.view.streams.inlets import StreamHealth

NEVER = math.nan


def feed(kind, state="live", name=None, **fields):
    """Feed of a kind, its name made of it."""
    made = StreamHealth(
        f"x-{kind}" if name is None else name, kind, state, "", 0.0, NEVER, 0, 0, 1e-4, 5e-5, 100.0
    )
    return replace(made, **fields)


class StubSession:
    """Session with the streams that a test gives it."""

    def __init__(self, montage=None, decode=None, feeds=()):
        self.montage, self.decode, self.bad = montage, decode, {}
        self.choices, self.wrong_unit, self.unit_judged = (), None, True
        given = {made.kind: made for made in feeds}
        kinds = ("signal", "decode", "status", "record")
        self.feeds = tuple(given.get(kind, feed(kind)) for kind in kinds)

    def set(self, kind, **fields):
        """Change a feed."""
        self.feeds = tuple(
            replace(each, **fields) if each.kind == kind else each for each in self.feeds
        )


def row(t_stop, values, valid=True, **fields):
    """Decode that arrived 0.05 s after the end of its window."""
    made = ReceivedDecode(
        t_stop, t_stop + 0.05, np.asarray(values, np.float32), valid, 0.9, 0.04, 0.02
    )
    return replace(made, **fields)


def status_event(event, t=0.0, stream="x-status", **fields):
    """Line of a status stream."""
    return StatusEvent(t, event, {**fields, "stream": stream})
