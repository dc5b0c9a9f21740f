"""Commands of a session that several pages give: to record, and to stop all that leaves."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbrain.config.flags import join_names
from rtbrain.console.folder import Session
from rtbrain.errors import RtbrainError, one_line
from rtbrain.live.control import send_command
from rtbrain.stream_names import cues_name
from rtbrain.view.texts import say

_STOPPED_S = 0.08  # a decoder that has not answered by then is killed


def setting(path: str, value: Any) -> list[str]:
    """``--set PATH=VALUE``, whose value is read back as it is: a text stays one."""
    return ["--set", f"{path}={json.dumps(value, ensure_ascii=False)}"]


def record_command(session: Session, out: Path) -> list[str]:
    """``record OUT`` of a session: its streams, all markers, and what its decoder sends."""
    settings = session.settings
    names = list(dict.fromkeys(used.name for used in settings.streams))
    argv = ["record", str(out), "--name", session.recorder, "--decodes", settings.outlet]
    for name in names:
        argv += ["--stream", name]
    argv += ["--type", "Markers"]  # marks by hand too, of whichever window
    expected = [] if settings.signal is None else [settings.signal.name]
    if session.running("cue"):
        expected.append(cues_name(settings.outlet))
    if expected:
        argv += ["--expect", join_names(expected)]
    for key in ("code", "session", "task"):
        argv += ["--note", f"{key}={getattr(settings, key)}"]
    return argv


def cue_command(session: Session, plan: Path, display: int | None, windowed: bool) -> list[str]:
    """``cue`` of a plan in a file, which begins once the recorder of a session records it."""
    argv = ["cue", "--plan", str(plan), "--name", cues_name(session.settings.outlet)]
    argv += ["--recorder", session.recorder]
    if windowed:
        argv.append("--window")
    elif display is not None:
        argv += ["--display", str(display)]
    return [*argv, "--progress-json"]


def streams_of(session: Session) -> dict[str, Any]:
    """Streams that a console reads, as `ViewSession` takes them; empty until there is a signal."""
    settings = session.settings
    if (signal := settings.signal) is None:
        return {}
    markers = [used.name for used in settings.of_role("markers")]
    if settings.plan is not None:
        markers.insert(0, cues_name(settings.outlet))
    return {
        "stream": signal.name,
        "source_id": signal.source_id or None,
        "decode": settings.outlet,
        "markers": markers[0] if markers else None,
        "scale": settings.scale,
        "trigger": settings.trigger,
    }


def view_command(session: Session, theme: str) -> list[str]:
    """``view`` of the streams of a session."""
    argv = ["view", "--decode", session.settings.outlet, "--theme", theme]
    for name, value in streams_of(session).items():
        if name in ("stream", "source_id", "markers") and value is not None:
            argv += [f"--{name.replace('_', '-')}", value]
    if session.settings.scale != 1.0:
        argv += ["--scale", f"{session.settings.scale:g}"]
    return argv


def stop_outputs(
    session: Session,
    send: Callable[[str, str], object] = send_command,
    wait_s: float = _STOPPED_S,
) -> threading.Thread:
    """End decodes, detections and triggers at once; what is recorded goes on.

    The decoder sends nothing more from its answer on; one that does not answer in time is killed.
    Returns the thread in which this happens, for the caller must not wait.
    """
    name = session.settings.outlet
    answered = threading.Event()

    def ask() -> None:
        with suppress(RtbrainError):
            send(name, "stop")
            answered.set()

    def stop() -> None:
        threading.Thread(target=ask, name="rtbrain-stop", daemon=True).start()
        if not answered.wait(wait_s):
            session.jobs["decoder"].kill()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    session.stop("decoder", note="outputs stopped by hand")
    return thread


class Outputs:
    """Stops all that leaves, and says so once it is so; `tell` takes a line and its icon."""

    def __init__(
        self,
        session: Session,
        tell: Callable[[str, str], object],
        send: Callable[[str, str], object] = send_command,
    ) -> None:
        self._session, self._tell, self._send = session, tell, send
        self._asked: Future[object] | None = None
        self._refused = False

    def stop(self) -> bool:
        """Stop the decoder; False where it is not of this session and has been asked before."""
        session, name = self._session, self._session.settings.outlet
        if session.running("decoder"):
            stop_outputs(session, self._send)
            recorded = "stopped" if session.running("recorder") else "stopped_unrecorded"
            self._tell(say(f"session.{recorded}", time=time.strftime("%H:%M:%S")), "know")
            return True
        is_first = self._asked is None and not self._refused
        if self._asked is None:
            answer = self._asked = Future()

            def ask() -> None:
                try:
                    answer.set_result(self._send(name, "stop"))
                except RtbrainError as error:
                    answer.set_exception(error)

            self._tell(say("session.others_asked", name=name), "checking")
            threading.Thread(target=ask, name="rtbrain-stop", daemon=True).start()
        return is_first

    def poll(self, are_on: bool) -> None:
        """Say what became of the outputs of others, once it is known."""
        self._refused &= are_on
        if self._asked is None or not self._asked.done():
            return
        error, self._asked = self._asked.exception(), None
        name, at = self._session.settings.outlet, time.strftime("%H:%M:%S")
        if error is None:
            self._tell(say("session.others_stopped", name=name, time=at), "know")
        else:
            self._refused = True
            self._tell(say("session.others_go_on", name=name, why=one_line(error)), "fix")
