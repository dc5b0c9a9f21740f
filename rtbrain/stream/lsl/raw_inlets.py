"""The inlets of a recorder, one for each stream, as the streams appear, vanish and return."""

import time
from collections.abc import Callable

from rtbrain.stream.lsl.inlet import UNANSWERED_S
from rtbrain.stream.lsl.raw_inlet import RawInlet, RawInletEvent, RawInletLost, RawInletRefused
from rtbrain.stream.lsl.resolve import StreamSummary, StreamWatcher, stream_summary

# A regular stream is silent then. Longer than a `StreamWatcher` remembers what answered once.
_SILENT_S = 2.0
_MARGIN_S = 1.0


class RawInlets:
    """Inlets of every stream that is `wanted`, as the streams appear, vanish and return.

    An inlet that falls silent while its stream is there, after a cut of the network or a change of
    address, is kept: TCP delivers all that it held back, as late again as the cut was long. A
    second one stands by meanwhile, and is read where the first has had that time and stayed silent.
    The silence of an irregular stream means nothing, unless its sender answers no more at the
    address that it had.
    """

    def __init__(self, wanted: Callable[[StreamSummary], bool]) -> None:
        self._wanted = wanted
        self._watcher = StreamWatcher()
        self._inlets: dict[str, RawInlet] = {}
        self._standby: dict[str, RawInlet] = {}
        self._replaced: list[tuple[RawInlet, RawInletEvent]] = []

    def poll(self) -> list[tuple[RawInlet, RawInletEvent]]:
        """What the inlets report, in the order of each; returns at once."""
        for found in self._watcher.look():
            uid, row = found.uid(), stream_summary(found)
            if uid not in self._inlets:
                if self._wanted(row):
                    self._inlets[uid] = RawInlet(found)
            elif uid not in self._standby and self._is_silent(uid):
                self._standby[uid] = RawInlet(found, standby=True)
        for uid, second in list(self._standby.items()):
            self._judge(uid, second)
        return self._drained()

    def _is_silent(self, uid: str) -> bool:
        """Whether nothing comes over its connection although the stream answers now."""
        return _fell_silent(self._inlets[uid]) and self._watcher.n_misses(uid) == 0

    def _judge(self, uid: str, second: RawInlet) -> None:
        first, now = self._inlets.get(uid), time.monotonic()
        failed = any(isinstance(event, RawInletLost) for event in list(second.events.queue))
        if first is None or failed or not _fell_silent(first):
            second.end()
            del self._standby[uid]
        elif second.waits_s is not None:
            # Twice the cut, since the last sample, and a little.
            give_up_s = first.last_s + 2 * (second.waits_s - first.last_s) + _MARGIN_S
            if now > give_up_s:
                self._replace(uid)

    def _replace(self, uid: str) -> None:
        """Read the second inlet of a stream instead of the first."""
        first, second = self._inlets[uid], self._standby.pop(uid)
        reason = f"its connection fell silent {time.monotonic() - first.last_s:.1f} s ago"
        first.end()
        self._replaced.append((first, RawInletLost(f"{reason}; a new one is read")))
        second.read()
        self._inlets[uid] = second

    def end(self, within_s: float) -> list[tuple[RawInlet, RawInletEvent]]:
        """End all inlets, and return what they still had, after no longer than that."""
        deadline = time.monotonic() + within_s
        for uid, second in list(self._standby.items()):
            if second.waits_s is None:
                second.end()
            else:
                self._replace(uid)
        for inlet in self._inlets.values():
            inlet.end()
        for inlet in self._inlets.values():
            inlet.join(max(0.0, deadline - time.monotonic()))
        return self._drained()

    def _drained(self) -> list[tuple[RawInlet, RawInletEvent]]:
        drained, self._replaced = self._replaced, []
        for uid, inlet in list(self._inlets.items()):
            # Ended by the recorder, which does not want its stream.
            over, again = inlet.ended, False
            # No more than are there now, so that a fast stream does not hold up the others.
            for _ in range(inlet.events.qsize()):
                event = inlet.events.get_nowait()
                drained.append((inlet, event))
                again |= isinstance(event, RawInletLost)
                over |= isinstance(event, RawInletRefused)
            if again:
                self._watcher.put_off(uid)
            elif over:
                self._watcher.refuse(uid)
            if again or over:
                del self._inlets[uid]
        return drained


def _fell_silent(inlet: RawInlet) -> bool:
    patience_s = _SILENT_S if inlet.row.sfreq_hz > 0 else UNANSWERED_S
    return time.monotonic() - inlet.last_s > patience_s
