"""Alarms over time: which one is shown, which wait, which were seen, and what is over."""

import time
from collections import deque
from dataclasses import dataclass

from rtbrain.view.alarms.conditions import Alarm, Situation, conditions, plain
from rtbrain.view.texts import say, texts

_OVER_S = 5.0
_MAX_LOG = 2000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log: the time of day, what it is about, and the text."""

    time: float  # Unix, s
    kind: str  # alarm, over, event or mark
    text: str


class Alarms:
    """Follows alarms from their begin to their end, in the order of `conditions`.

    The highest that nobody has seen is shown; a new one shows itself whatever was shown. One that
    was seen stays in its cell of the status line until it is over.

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
        self.n_logged = 0
        self._seen: set[str] = set()
        self._began: dict[str, Situation] = {}
        self._turn = 0
        self._over: tuple[float, str] = (-_OVER_S, "")

    def update(self, now: Situation) -> None:
        """Take a new situation."""
        before, self.active = self.active, conditions(now)
        keys = [alarm.key for alarm in self.active]
        for alarm in self.active:
            if alarm.key not in self._began:
                self._began[alarm.key], self._turn = now, 0
                self.note("alarm", f"{alarm.title}. {plain(alarm.sentence)}")
        for alarm in before:
            if alarm.key not in keys:
                self._end(alarm, now)

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
        self.n_logged += 1
        self.log.append(LogLine(time.time(), kind, text))

    @property
    def _unseen(self) -> list[Alarm]:
        return [alarm for alarm in self.active if alarm.key not in self._seen]

    def _end(self, alarm: Alarm, now: Situation) -> None:
        began = self._began.pop(alarm.key)
        self._seen.discard(alarm.key)
        before_s = began.silent_s if alarm.key == "signal_lost" else 0.0
        seconds = f"{now.now - began.now + before_s:.1f}"
        n_lost = now.n_lost - began.n_lost
        key = f"alarms.{alarm.key}.over"
        if alarm.key == "signal_lost" and n_lost <= 0:
            key = "alarms.signal_lost.over_whole"
        if key in texts():
            words = {"signal": now.signal, "decoder": now.decoder, "n": n_lost}
            text = say(key, seconds=seconds, **words)
            self._over = (now.now, text)
            self.note("over", text)
