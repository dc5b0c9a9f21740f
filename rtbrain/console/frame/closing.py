"""What becomes of what runs when the console is closed: a question in the window, no dialog."""

import time
from collections.abc import Callable

from PySide6.QtCore import QTimer

from rtbrain.console.folder import JOBS, Session
from rtbrain.console.frame.bar import ActionBar
from rtbrain.console.page import Action
from rtbrain.view.texts import say

_LOOK_MS, _END_S = 50, 10.0


class Closing:
    """Asks, ends what is to end, and calls `leave` then."""

    def __init__(self, session: Session, bar: ActionBar, leave: Callable[[], object]) -> None:
        self._session, self._bar, self._leave = session, bar, leave

    def may_close(self) -> bool:
        """Whether nothing runs that a person should know of; asks otherwise."""
        running = [job for job in self._running if job != "view"]
        if running:
            self._ask(running)
        return not running

    @property
    def _running(self) -> list[str]:
        return [job for job in JOBS if self._session.running(job)]

    def _ask(self, running: list[str]) -> None:
        *before, last = [say(f"session.jobs.{job}") for job in running]
        words = f"{', '.join(before)} {say('session.and')} {last}" if before else last
        many = "many" if before else "one"
        self._bar.ask(
            say(f"session.runs_{many}", what=f"{words[:1].upper()}{words[1:]}"),
            [
                Action(say("session.keep"), self._leave),
                Action(say("session.end_all"), lambda: self._end_all(time.monotonic())),
                Action(say("session.cancel"), lambda: None),
            ],
            lambda: [job for job in self._running if job != "view"] == running,
        )

    def _end_all(self, since: float) -> None:
        """End what runs, the recorder last, and leave once all has ended."""
        running = self._running
        if not running:
            self._leave()
            return
        late = time.monotonic() > since + _END_S
        others = [job for job in running if job != "recorder"]
        for job in others or running:
            if not self._session.jobs[job].stopping or late:
                self._session.stop(job)
        self._bar.show_message(say("session.ending"), "checking")
        QTimer.singleShot(_LOOK_MS, self._bar, lambda: self._end_all(since))
