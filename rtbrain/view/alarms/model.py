"""Alarms over time: which one is shown, which wait, which were seen, and what is over."""

import math
import time
from collections import deque
from dataclasses import dataclass

from rtbrain.view.alarms.conditions import Alarm, Situation, conditions, is_over, plain
from rtbrain.view.texts import say

_OVER_S = 5.0
_MAX_LOG = 2000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log: the time of day, what it is about, and the text."""

    time: float  # Unix, s
    kind: str  # alarm, over, event or mark
    text: str


@dataclass(frozen=True, slots=True)
class _Begin:
    """How an alarm began: the first of its kind, and the one of this cause."""

    first: Situation
    this: Situation
    cause: str


class Alarms:
    """Follows alarms from their begin to their end, in the order of `conditions`.

    The highest that nobody has seen is shown, also where another one was turned to and a new one
    begins. One that was seen stays in its cell of the status line until it is over, or comes back
    for another cause. One that another hides is not over.

    Attributes
    ----------
    active : list of Alarm
        All there are, highest first.
    log : deque of LogLine
        What began and ended, and what others add by `note`.
    """

    def __init__(self) -> None:
        self.active: list[Alarm] = []
        self.log: deque[LogLine] = deque(maxlen=_MAX_LOG)
        self._seen: set[str] = set()
        self._began: dict[str, _Begin] = {}
        self._turn = 0
        self._over: tuple[float, str] = (-_OVER_S, "")

    def update(self, now: Situation) -> None:
        """Take a new situation."""
        self.active = conditions(now)
        for alarm in self.active:
            known = self._began.get(alarm.key)
            if known is None or known.cause != alarm.cause:
                first = now if known is None else known.first
                self._began[alarm.key] = _Begin(first, now, alarm.cause)
                self._seen.discard(alarm.key)
                self._turn = 0
                self.note("alarm", f"{alarm.title}. {plain(alarm.sentence)}")
        for key in self._began.keys() - {alarm.key for alarm in self.active}:
            over = is_over(key, self._began[key].this, now)
            if over is not None:
                began = self._began.pop(key).first
                self._seen.discard(key)
                if over:
                    self._end(key, began, now)

    def see(self) -> None:
        """Let the alarm that is shown shrink to its cell."""
        if self.shown is not None:
            self.note("event", say("alarms.seen", title=self.shown.title))
            self._seen.add(self.shown.key)
            self._turn = 0

    def turn(self) -> None:
        """Show the next of those that nobody has seen."""
        self._turn += 1

    @property
    def shown(self) -> Alarm | None:
        """The alarm that the status line has become."""
        unseen = self._unseen
        return unseen[self._turn % len(unseen)] if unseen else None

    @property
    def waiting(self) -> list[Alarm]:
        """Those behind it, the next one first."""
        unseen = self._unseen
        at = self._turn % len(unseen) if unseen else 0
        return unseen[at + 1 :] + unseen[:at]

    def over(self, now: float) -> str:
        """What ended in the last 5 s, in words; empty if nothing did."""
        t, text = self._over
        return text if t <= now < t + _OVER_S else ""

    def of(self, cell: str) -> Alarm | None:
        """The highest alarm of a cell of the status line, seen or not."""
        return next((alarm for alarm in self.active if alarm.cell == cell), None)

    def note(self, kind: str, text: str) -> None:
        """Add a line to the log."""
        self.log.append(LogLine(time.time(), kind, text))

    @property
    def _unseen(self) -> list[Alarm]:
        return [alarm for alarm in self.active if alarm.key not in self._seen]

    def _end(self, key: str, began: Situation, now: Situation) -> None:
        # What had lasted before it became an alarm.
        before_s = {
            "signal_lost": began.silent_s,
            "no_decode": began.invalid_s,
            "recording_failed": began.now - began.recording.since,
        }.get(key, 0.0)
        before_s = max(0.0, before_s) if math.isfinite(before_s) else 0.0
        n_lost, kind = now.n_lost - began.n_lost, "over"
        if key == "signal_lost" and (n_lost < 0 or now.sfreq_hz != began.sfreq_hz):
            kind = "over_anew"  # counted anew
        elif key == "signal_lost" and n_lost == 0:
            kind = "over_whole"
        words = {"signal": now.signal, "decoder": now.decoder, "n": n_lost}
        text = say(f"alarms.{key}.{kind}", seconds=f"{now.now - began.now + before_s:.1f}", **words)
        self._over = (now.now, text)
        self.note("over", text)
