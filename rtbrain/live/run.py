"""Start a live session: in a notebook's thread, or on the screen of `rtbrain decode`."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from rich.text import Text

from rtbrain.config import DecodeSettings, parse_settings, read_settings
from rtbrain.config.flags import override
from rtbrain.decoder import Bundle, read_bundle
from rtbrain.errors import RtbrainError, SettingsError, one_line
from rtbrain.live.control import keys
from rtbrain.live.recorder_files import require_new_recording
from rtbrain.live.recorder_process import record_flags, report_unrecorded
from rtbrain.live.screen import LiveScreen
from rtbrain.live.session import LiveSession
from rtbrain.live.supervision.children import free_recording
from rtbrain.live.supervision.state import state_path
from rtbrain.live.supervision.supervisor import report, supervise
from rtbrain.live.supervision.turn import Turn, await_turn
from rtbrain.processes import default_lsl_scope, stop_on_signals, use_lsl_scope
from rtbrain.stream.lsl.streams import unnamed_stream_error

# Settings that belong to another source than an LSL stream of a name.
_SOURCE_KEYS = {"name", "type", "source_id", "fieldtrip", "mne_client", "unit", "names"}
_OTHERS = ("stream.fieldtrip=", "stream.mne_client=")
_MAX_VALUES = 4


class FittedBundle(Protocol):
    """A fitted decoder, as `rtbrain.fit` and `rtbrain.load` return it."""

    @property
    def bundle(self) -> Bundle:
        """The decoder bundle."""
        ...


def run(
    decoder: Bundle | FittedBundle | str | Path,
    stream: str | None = None,
    *,
    name: str = "rtbrain",
    markers: str | None = None,
    trigger: str | None = None,
    stop: Callable[[], bool] | None = None,
    on_event: Callable[..., None] | None = None,
    record: str | Path | None = None,
    allow_late: bool = False,
    config: str | None = None,
    overrides: Sequence[str] = (),
) -> LiveSession:
    """Decode a live stream in a thread of its own.

    Parameters
    ----------
    decoder : fitted decoder, Bundle, str or Path
        What to decode with; a path is a decoder bundle.
    stream : str, optional
        Name of the LSL stream; not needed where `config` or `overrides` name one.
    name : str
        Decodes are sent as ``NAME-decode``, status events as ``NAME-status``.
    markers : str, optional
        Name of the marker stream, for decoders with windows at events.
    trigger : str, optional
        Instead, a channel of the stream whose codes are the events, as ``TRIG`` or ``Status:0xFF``.
    stop : callable, optional
        Asked several times a second whether to end.
    on_event : callable, optional
        ``on_event(event, **fields)``: what the status stream reports, called in the thread.
    record : str or Path, optional
        New file OUT.xdf for the stream, the markers and the decodes.
    allow_late : bool
        Decode even where this machine is too slow.
    config : str, optional
        Settings of the session by name, or a YAML file.
    overrides : sequence of str
        Further settings, as ``stream.timeout_s=5``.

    Returns
    -------
    LiveSession
        Running; `wait` and `stop` raise the error that ended it.

    Raises
    ------
    RtbrainError
        The bundle or the settings cannot be used, or nothing says which stream is meant.

    Examples
    --------
    ::

        with rtbrain.run("bundle", stream="amplifier") as session:
            time.sleep(60)
            print(session.state, session.last)
    """
    default_lsl_scope()
    folder = Path(decoder) if isinstance(decoder, str | Path) else None
    settings = session_settings(
        config,
        stream=stream,
        markers=markers,
        trigger=trigger,
        name=name,
        bundle=folder,
        overrides=overrides,
    )
    if isinstance(decoder, str | Path):
        bundle = read_bundle(Path(decoder))
    else:
        bundle = decoder if isinstance(decoder, Bundle) else decoder.bundle
    target = None if record is None else Path(record)
    if target is not None:
        require_new_recording(target)
    use_lsl_scope(settings.lsl_scope)
    session = LiveSession(
        settings, bundle, stop=stop, on_event=on_event, record=target, allow_late=allow_late
    )
    session.start()
    return session


def session_settings(
    config: str | None,
    *,
    stream: str | None = None,
    markers: str | None = None,
    trigger: str | None = None,
    name: str | None = None,
    bundle: Path | None = None,
    overrides: Sequence[str] = (),
) -> DecodeSettings:
    """Settings of a live session, with what a caller says beside them.

    Raises
    ------
    SettingsError
        They are invalid, or nothing says which stream is meant.
    """
    values, where = read_settings(config or "bedside", DecodeSettings)
    chosen = values.get("stream") or {}
    if isinstance(chosen, dict):
        if stream is not None:
            chosen = {key: it for key, it in chosen.items() if key not in _SOURCE_KEYS}
            chosen["name"] = stream
        elif config is None and any(pair.startswith(_OTHERS) for pair in overrides):
            chosen = {key: it for key, it in chosen.items() if key not in _SOURCE_KEYS}
        elif config is None and not any(pair.startswith("stream.") for pair in overrides):
            raise unnamed_stream_error("rtbrain decode --stream", by_id="--set stream.source_id=")
        events = {"markers": markers, "trigger": trigger}
        values["stream"] = chosen | {key: it for key, it in events.items() if it is not None}
    values |= {} if name is None else {"outlet": {"name": name}}
    values |= {} if bundle is None else {"bundle": str(bundle)}
    return parse_settings(override(values, overrides), DecodeSettings, where=where)


def decode_on_screen(
    settings: DecodeSettings,
    duration_s: float | None,
    record: Path | None,
    allow_late: bool,
    arm: bool = False,
    turn: Turn | None = None,
) -> None:
    """Run a live session until Ctrl-C, and show it: messages, and one live line.

    In a terminal, A arms the outputs and Esc disarms them. One whose `turn` it is ends by a
    SystemExit with code 1 where it fails after its first decode: that is no mistake of the user.
    """
    folder, turn = _bundle_folder(settings), turn or Turn()
    if record is not None and not turn.supervised:
        require_new_recording(record)
    if record is not None and turn.recording is not None:
        record = record.with_name(turn.recording)
    use_lsl_scope(settings.lsl_scope)
    stopping = stop_on_signals()
    bundle = read_bundle(folder)
    screen = LiveScreen()
    if duration_s is not None:
        duration_s = max(0.0, duration_s - turn.elapsed_s)

    def stop() -> bool:
        screen.show(lambda: live_line(session))
        return stopping()

    session = LiveSession(
        settings,
        bundle,
        stop=stop,
        on_event=screen.report,
        record=record,
        allow_late=allow_late or turn.restarts > 0,
        duration_s=duration_s,
        arm=arm and not turn.restarts,  # after a crash by a person alone
        turn=turn,
    )

    outputs = settings.outputs
    with ExitStack() as stack:
        stack.callback(screen.close)
        acting = outputs.osc or outputs.udp or outputs.serial
        if acting and stack.enter_context(keys(lambda: session.triggers)):
            screen.say("A arms the outputs, Esc disarms them at once")
        try:
            session.run()
        except RtbrainError as error:
            if not turn.supervised or session.last is None:
                raise
            sys.exit(f"rtbrain: {one_line(error)}")


def decode_supervised(
    settings: DecodeSettings,
    duration_s: float | None,
    record: Path | None,
    allow_late: bool,
    arm: bool,
) -> None:
    """Wait for the supervisor's word, then run a live session as `decode_on_screen`."""
    use_lsl_scope(settings.lsl_scope)
    turn = await_turn(_bundle_folder(settings))
    if turn is not None:
        decode_on_screen(settings, duration_s, record, allow_late, arm, turn)


def supervise_decoder(settings: DecodeSettings, record: Path | None) -> None:
    """Go on as the supervisor of this command; a recording that exists is continued in another.

    Raises a SettingsError where a trigger's wire is a line that each start would raise.
    """
    serial = settings.outputs.serial
    if serial is not None and serial.drives in ("rts", "dtr"):
        raise SettingsError(
            f"outputs.serial.drives {serial.drives} with --restart: each start opens the port, "
            "which raises its lines: leave --restart out, or use a device with a watchdog"
        )
    bundle = read_bundle(_bundle_folder(settings))
    use_lsl_scope(settings.lsl_scope)
    recording = None
    if record is not None:
        path = free_recording(record)
        require_new_recording(path)
        about = {"bundle": bundle.id, "mode": bundle.manifest.mode}
        recording = record, record_flags(settings, about)
        report_unrecorded(settings, report)
    supervise(sys.argv[1:], recording, state_path(settings))


def _bundle_folder(settings: DecodeSettings) -> Path:
    if settings.bundle is None:
        raise SettingsError("no decoder: pass --bundle FOLDER, or bundle in the settings")
    return settings.bundle


def live_line(session: LiveSession) -> Text:
    """State, decision, probability, latency and losses of a session in one line."""
    parts, last = [session.state], session.last
    if last is not None and last.valid:
        if session.task == "classification":
            label = max(last.values, key=last.values.__getitem__)
            parts.append(f"{label} {last.values[label]:.2f}")
        else:
            shown = list(last.values.items())[:_MAX_VALUES]
            parts.append(", ".join(f"{label} {value:.3g}" for label, value in shown))
        parts.append(f"latency {last.latency_s:.3f} s")
        if last.drift == last.drift:
            unlike = "UNLIKE CALIBRATION, " if last.drift >= 1 else ""
            parts.append(f"{unlike}drift {last.drift:.2f}")
    elif last is not None:
        parts.append(f"no valid decode: {last.reason}")
    triggers = session.triggers
    if triggers.outputs:
        state = "ARMED" if triggers.armed else "disarmed"
        parts.append(f"{state}: {triggers.n_sent} sent, {triggers.n_suppressed} suppressed")
    totals = session.totals
    parts.append(f"lost {totals.n_lost} samples, skipped {totals.n_skipped} windows")
    return Text("  ".join(parts))
