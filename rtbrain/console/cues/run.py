"""Runs the cue screen: frames, their markers over LSL, and what an operator asks for."""

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication

from rtbrain.config.files import parse_settings, read_settings
from rtbrain.console.cues.schedule import CueSchedule, Scene, unknown
from rtbrain.console.cues.screen import CueScreen, load_picture
from rtbrain.errors import RtbrainError, SettingsError, plain_text
from rtbrain.learn.cue_plan import ScreenPlan, new_seed
from rtbrain.live.control import serve_commands
from rtbrain.outlet import MarkerOutlet
from rtbrain.processes import handle_end
from rtbrain.stream.lsl.decodes import DecodeListener, StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.health.recorder import recorded_streams

_ANSWER_S, _HIDDEN_S = 5.0, 2.0
_LOOK_MS, _SETTLE_MS = 100, 500
_THANKS_MS = 4000  # for which the last scene stays


def read_plan(path: Path | None, values: Mapping[str, Any]) -> ScreenPlan:
    """The plan of a YAML file, or of nothing, with other values in it, and a seed if it has none.

    Pictures are found from the folder of the file. Raises a SettingsError where the plan could
    harm, comes at a strict pace, or names no picture.
    """
    found, where = ({}, "cues") if path is None else read_settings(str(path))
    found = {"seed": new_seed()} | found | dict(values)
    if "classes" not in found and set(found) <= set(ScreenPlan.model_fields):
        raise SettingsError("expected the classes of the cues: --classes rest,speech, or a --plan")
    plan = parse_settings({"settle_s": 0.0} | found, ScreenPlan, where=where)
    if "settle_s" not in found:
        settle_s = min(ScreenPlan.model_fields["settle_s"].default, plan.duration_s[0] / 2)
        plan = plan.model_copy(update={"settle_s": settle_s})
    folder = Path() if path is None else path.parent
    looks = {
        text: look.model_copy(update={"picture": folder / look.picture} if look.picture else {})
        for text, look in plan.looks.items()
    }
    for look in looks.values():
        if look.picture is not None:
            load_picture(look.picture)
    return plan.model_copy(update={"looks": looks})


def show_cues(
    plan: ScreenPlan,
    *,
    name: str,
    display: int | None = None,
    windowed: bool = False,
    recorder: str | None = None,
    on_status: Callable[[dict[str, Any]], None] = lambda status: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Show the cues of a plan once their markers are recorded, until the last or until it is ended.

    Returns the figures of the frames, which are sent as the last marker too.

    Parameters
    ----------
    name : str
        Of the marker stream, and of the program for `rtbrain.live.control.send_command`.
    display : int, optional
        Number of the display; by default the second, or a window where there is one alone.
    recorder : str, optional
        Name of the recorder to wait for: it must say that it records the markers, and all that it
        expects. By default the first listener begins the cues.
    on_status, on_note : callable
        Called at each change of the screen with `CueSchedule.status`, and with one line.
    """
    application = QApplication.instance() or QApplication([sys.argv[0]])
    with ExitStack() as stack:
        screen = CueScreen(display, windowed, lsl_clock)
        stack.callback(screen.close)
        source_id = f"{name}-screen"
        outlet = MarkerOutlet(name, source_id=source_id)
        stack.callback(outlet.close)
        run = CueRun(CueSchedule(plan), screen, outlet, on_status, on_note)
        stack.callback(run.close)
        handle_end(lambda *_: run.stop())
        stack.enter_context(serve_commands(name, run.answer, "cue screen"))
        if recorder is None:
            run.wait(lambda: outlet.wait_for_listeners(0.0))
        else:
            run.wait(stack.enter_context(recorded_by(recorder, name, source_id)))
        application.exec()
    return run.figures()


def has_all(event: StatusEvent, stream: str, source_id: str) -> bool:
    """Whether a recorder says that it records a stream, and misses none that it expects."""
    recorded = recorded_streams(event.fields.get("recording")) or ()
    missing = event.fields.get("missing")
    return event.event == "summary" and (stream, source_id) in recorded and missing == []


@contextmanager
def recorded_by(recorder: str, stream: str, source_id: str) -> Iterator[Callable[[], bool]]:
    """Whether a recorder has said that it records a stream, and all that it expects.

    A thread listens to it while the block runs, until it has.
    """
    recorded, ended = threading.Event(), threading.Event()

    def listen() -> None:
        listener = DecodeListener(recorder)
        while not (recorded.is_set() or ended.wait(_LOOK_MS / 1000)):
            with suppress(RtbrainError):  # one that does not answer is asked again
                listener.look(0.0)
            if any(has_all(event, stream, source_id) for event in listener.pull_events()):
                recorded.set()
        listener.close()

    thread = threading.Thread(target=listen, name="rtbrain-recorder", daemon=True)
    thread.start()
    try:
        yield recorded.is_set
    finally:
        ended.set()
        thread.join(_ANSWER_S)


class CueRun(QObject):
    """A schedule on a screen."""

    _asked = Signal(object, object)

    def __init__(
        self,
        schedule: CueSchedule,
        screen: CueScreen,
        outlet: MarkerOutlet,
        on_status: Callable[[dict[str, Any]], None],
        on_note: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.schedule, self._screen, self._outlet = schedule, screen, outlet
        self._on_status, self._on_note = on_status, on_note
        self._waits: Scene | None = None  # for its frame
        self._t_asked, self._hidden = 0.0, False
        screen.shown.connect(self._shown)
        screen.closed.connect(self._close)
        # A command comes from a thread of its own.
        self._asked.connect(self._answer, Qt.ConnectionType.QueuedConnection)
        self._due = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._due.timeout.connect(self._look)
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._show_waiting)
        self._listening = QTimer(self, interval=_LOOK_MS)
        self._listening.timeout.connect(self._begin_if_recorded)
        self._recorded: Callable[[], bool] = lambda: False
        self._pulse = QTimer(self, interval=_LOOK_MS)  # lets Python see signals to end
        self._pulse.timeout.connect(self._look_for_frame)
        self._pulse.start()

    def wait(self, recorded: Callable[[], bool]) -> None:
        """Begin once the markers are recorded."""
        self._recorded = recorded
        self._screen.show_scene(self.schedule.scene, self._screen.clock())
        self._report()
        self._listening.start()
        self._begin_if_recorded()
        if self._listening.isActive():
            self._on_note("waiting until the markers are recorded")

    def figures(self) -> dict[str, Any]:
        """How exactly frames were shown."""
        by = "frameSwapped" if self._screen.uses_opengl else "painted, without OpenGL"
        return {
            "stamped": by,
            "refresh_hz": round(self._screen.refresh_hz, 3),
            **self._screen.frames.summary(),
        }

    def stop(self) -> None:
        """End the cues; a block that is on is left out."""
        ending = self._waits is not None and self._waits.state == "ended"
        if self.schedule.scene.state != "ended" and not ending:
            self._show(self.schedule.obey("stop")[0], soon=True)

    def _close(self) -> None:
        if self.schedule.scene.state != "ended":
            self._show(self.schedule.obey("stop")[0])

    def close(self) -> None:
        """Stop all timers."""
        for timer in (self._due, self._soon, self._listening, self._pulse):
            timer.stop()

    def answer(self, line: str) -> dict[str, Any]:
        """Follow a command out of any thread: the status after it, or the error."""
        answer: Future[dict[str, Any]] = Future()
        self._asked.emit(line, answer)
        try:
            return answer.result(_ANSWER_S)
        except LateError:
            return {"error": f"the cue screen did not answer in {_ANSWER_S:g} s"}

    def _answer(self, line: str, answer: "Future[dict[str, Any]]") -> None:
        try:
            self._obey(line.split())
            answer.set_result(self.schedule.status(self._screen.clock()) | self.figures())
        except RtbrainError as error:
            answer.set_result({"error": str(error)})

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["display", number] if number.isdecimal():
                self._screen.move(int(number))
            case ["stop"]:
                self.stop()
            case [("pause" | "resume" | "drop") as command]:
                if self._waits is not None:
                    raise SettingsError("the screen changes within a second: try again then")
                scene, markers = self.schedule.obey(command)
                self._send(markers, self._screen.clock())
                if scene is not None:
                    self._show(scene, soon=True)
                elif markers:
                    self._report()
            case ["status"]:
                pass
            case _:
                raise unknown(" ".join(words))

    def _begin_if_recorded(self) -> None:
        if self._recorded():
            self._listening.stop()
            QTimer.singleShot(_SETTLE_MS, self, self._begin)

    def _begin(self) -> None:
        if self.schedule.scene.state == "ready" and self._waits is None:
            self._show(self.schedule.begin())

    def _look(self) -> None:
        now = self._screen.clock()
        if self._waits is None and (scene := self.schedule.due(now)) is not None:
            self._show(scene, self.schedule.t_due)
        elif self._waits is None:
            self._wake(now)

    def _show(self, scene: Scene | None, t_due: float | None = None, *, soon: bool = False) -> None:
        """Show a scene at the next frame; with `soon`, once the screen may change again."""
        if scene is None:
            return
        now = self._screen.clock()
        wait_s = self.schedule.t_next - now if soon else 0.0
        self._waits, self._t_asked = scene, now + max(0.0, wait_s)
        self._due.stop()
        if wait_s > 0:
            self._soon.start(math.ceil(1000 * wait_s))
        else:
            self._screen.show_scene(scene, now if t_due is None else t_due)

    def _show_waiting(self) -> None:
        if self._waits is not None:
            self._show(self._waits, soon=True)  # a timer may be early by a part of a ms

    def _shown(self, scene: Scene, t: float) -> None:
        if scene is not self._waits:
            return  # the first one, or one that another has replaced
        self._waits = None
        self._send(scene.markers, t)
        self.schedule.show(scene, t)
        self._wake(t)
        self._report()
        if scene.state == "ended":
            self._send((self.schedule.end_marker(self.figures()),), t)
            QTimer.singleShot(_THANKS_MS, self, QApplication.quit)

    def _look_for_frame(self) -> None:
        late = self._waits is not None and self._screen.clock() - self._t_asked > _HIDDEN_S
        if late and not self._hidden:
            self._on_note("the cue screen is hidden: its cues wait until it can be seen")
        self._hidden = late

    def _wake(self, now: float) -> None:
        wait_s = self.schedule.t_due - now
        if wait_s < 1e6:
            self._due.start(max(0, int(1000 * wait_s)))

    def _send(self, markers: Sequence[str], t: float) -> None:
        for text in markers:
            self._outlet.push(text, t)

    def _report(self) -> None:
        self._on_status(self.schedule.status(self._screen.clock()))


def progress_line(status: Mapping[str, Any]) -> str:
    """Status as one line of JSON, for a program."""
    return json.dumps(status)


def status_line(status: Mapping[str, Any]) -> str:
    """Status as one line for a person."""
    text = plain_text(str(status["text"] or status["state"]))
    return f"{time.strftime('%H:%M:%S')}  {text}  ({status['done']} of {status['total']} shown)"
