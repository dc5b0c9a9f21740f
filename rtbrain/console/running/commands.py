"""What the page Run starts and says: the decoder, the recording, and commands to the decoder."""

import csv
import shlex
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbrain.console.commands import record_command, setting
from rtbrain.console.folder import Session
from rtbrain.console.running.expected import Expected
from rtbrain.errors import RtbrainError, SettingsError, list_words
from rtbrain.files import UNREADABLE, parse_json
from rtbrain.live.control import send_command
from rtbrain.stream_names import same_rate
from rtbrain.types import Montage
from rtbrain.view.texts import say


def decode_command(session: Session, expected: Expected | None) -> list[str]:
    """``decode`` of a session: nothing but decodes leaves until it is switched on.

    Raises a SettingsError where the decoder or the signal is not chosen.
    """
    settings = session.settings
    if settings.decoder is None:
        raise SettingsError(say("run.needs_decoder"))
    if settings.signal is None:
        raise SettingsError(say("run.needs_signal"))
    argv = ["decode", "--bundle", settings.decoder, "--stream", settings.signal.name]
    argv += ["--name", settings.outlet, *setting("outlet.detections", False)]
    if settings.signal.source_id:
        argv += setting("stream.source_id", settings.signal.source_id)
    if settings.scale != 1.0:
        argv += setting("stream.scale", settings.scale)
    label = settings.target if expected is None else expected.label
    if settings.preset is not None:
        argv += setting("preset", settings.preset)
    elif settings.threshold is not None and label is not None:
        detect = _detect_of(session.folder / settings.decoder)
        moved = {"up": settings.threshold, "down": settings.rearm, "hold_s": settings.hold_s}
        known = {name: value for name, value in moved.items() if value is not None}
        detect[label] = {**detect.get(label, {}), "down": None, **known}
        argv += setting("detect", detect)
    if settings.outputs:
        argv += setting("outputs", settings.outputs)
    return argv


def _detect_of(bundle: Path) -> dict[str, Any]:
    """By which settings a decoder detects by itself, by output."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return dict(parse_json((bundle / "manifest.json").read_bytes())["detect"])
    return {}


def hindrance(session: Session, montage: Montage | None) -> str:
    """Why the chosen decoder cannot decode the signal; empty where nothing is known against it.

    `montage` is that of the signal, None while it is not known.
    """
    settings = session.settings
    if settings.decoder is None:
        return say("run.needs_decoder")
    if settings.signal is None:
        return say("run.needs_signal")
    if not (bundle := session.folder / settings.decoder).is_dir():
        return say("run.decoder_gone", folder=settings.decoder)
    if montage is None:
        return ""
    with suppress(*UNREADABLE):  # what is broken, the decoder says itself
        with (bundle / "montage.tsv").open(encoding="utf-8", newline="") as file:
            names = [row["name"] for row in csv.DictReader(file, delimiter="\t")]
        if absent := [name for name in names if name not in montage.names]:
            return say("run.contacts_absent", n=len(absent), names=list_words(absent))
        sfreq_hz = float(parse_json((bundle / "manifest.json").read_bytes())["sfreq_hz"])
        if not same_rate(montage.sfreq_hz, sfreq_hz):
            return say("run.other_rate", hz=f"{montage.sfreq_hz:g}", fitted=f"{sfreq_hz:g}")
    return ""


def start_run(session: Session, expected: Expected | None) -> str:
    """Begin to record and to decode; the name of the recording."""
    decode = decode_command(session, expected)
    if session.running("decoder"):
        raise SettingsError(say("run.decoder_ends"))
    name = start_recording(session)
    session.start("decoder", decode)
    return name


def start_recording(session: Session) -> str:
    """Begin to record a run, and no more; its name."""
    if session.settings.signal is None:
        raise SettingsError(say("run.needs_signal"))
    path = session.next_name("run", ".xdf")
    session.start("recorder", record_command(session, path))
    return path.stem


class Remote:
    """Commands to the decoder of a session, one after the other and in a thread of their own.

    Each is in the log of the session as a command that can be typed.
    """

    def __init__(self, session: Session, send: Callable[[str, str], Any] = send_command) -> None:
        self._session, self._send = session, send
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rtbrain-control")
        self._sent: list[Future[Any]] = []

    def __call__(self, *words: str) -> None:
        """Send a command."""
        name = self._session.settings.outlet
        self._session.log(["control", name, *words])
        self._sent.append(self._pool.submit(self._send, name, shlex.join(words)))

    def answers(self) -> tuple[list[dict[str, Any]], list[str]]:
        """What came back since the last call: statuses, and what could not be done."""
        done = [one for one in self._sent if one.done()]
        self._sent = [one for one in self._sent if not one.done()]
        errors = [one.exception() for one in done]
        unexpected = [one for one in errors if one and not isinstance(one, RtbrainError)]
        if unexpected:
            raise unexpected[0]
        answers = [one.result() for one, error in zip(done, errors, strict=True) if not error]
        return answers, [str(error) for error in errors if error]
