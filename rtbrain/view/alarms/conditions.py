"""What is wrong now, highest first: each alarm with its title and its sentence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rtbrain.errors import list_words
from rtbrain.units import WrongUnit
from rtbrain.view.health.recorder import Recording
from rtbrain.view.texts import say

_INVALID_S = 5.0
_MARKERS_S = 60.0
_NO_RECORDING = Recording()


@dataclass(frozen=True, slots=True)
class Situation:
    """What alarms depend on; seconds are NaN where something is not so."""

    now: float  # s, LSL clock
    signal: str = ""  # name
    silent_s: float = math.nan  # since the last sample, once that is too long
    n_lost: int = 0  # samples, since the stream was found
    recording: Recording = _NO_RECORDING
    needs_recording: bool = False  # a run goes on, which should be recorded
    wrong_unit: WrongUnit | None = None
    decoder: str = ""  # name
    decoder_stopped: bool = False  # without having said that it ends
    decode_age_s: float = math.nan  # of the newest decode, once it is too old
    invalid_s: float = math.nan  # since decodes are not valid
    invalid_why: str = ""  # a sentence
    detects: bool = False
    markers: str = ""  # name of the stream that is silent
    markers_silent_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; names in its sentence stand between two asterisks each."""

    key: str
    high: bool
    title: str
    sentence: str
    cell: str  # of the status line
    short: str  # behind another one


def conditions(now: Situation) -> list[Alarm]:
    """All alarms of a situation, highest first."""
    found = []
    for high, key, cell, condition in _CONDITIONS:
        values = condition(now)
        if values is None:
            continue
        words = {"signal": now.signal, "decoder": now.decoder, **values}
        which = words.pop("which", "sentence")
        title, sentence = say(f"alarms.{key}.title", **words), say(f"alarms.{key}.{which}", **words)
        found.append(Alarm(key, high, title, sentence, cell, say(f"alarms.{key}.short")))
    return found


_Values = dict[str, str] | None


def _signal_lost(now: Situation) -> _Values:
    return {"seconds": _tenths(now.silent_s)} if math.isfinite(now.silent_s) else None


def _recording_failed(now: Situation) -> _Values:
    recording = now.recording
    if recording.state != "failed":
        return None
    seconds = f"{max(0.0, now.now - recording.since):.0f}"
    since = clock_time(now.now - recording.since)
    lost = say("alarms.recording_failed.dropped", n=recording.n_dropped)
    rest = f" {lost}" if recording.n_dropped else ""
    return {"which": recording.why, "since": since, "seconds": seconds, "rest": rest}


def _decoder_stopped(now: Situation) -> _Values:
    return {} if now.decoder_stopped else None


def _unit_wrong(now: Situation) -> _Values:
    if now.wrong_unit is None:
        return None
    times, unit = now.wrong_unit.times, now.wrong_unit.unit
    power = 3 * round(abs(math.log10(times)) / 3)
    return {
        "which": "sentence" if unit else "no_unit",
        "times": say(f"alarms.unit_wrong.times_{min(power, 9)}"),
        "size": say(f"alarms.unit_wrong.{'large' if times > 1 else 'small'}"),
        "unit": unit,
    }


def _other_signal(now: Situation) -> _Values:
    if now.recording.state != "other":
        return None
    names = list_words(now.recording.streams) if now.recording.streams else ""
    return {"which": "sentence" if names else "nothing", "streams": names}


def _not_recorded(now: Situation) -> _Values:
    return {} if now.needs_recording and now.recording.state == "none" else None


def _decodes_old(now: Situation) -> _Values:
    is_cause = not now.decoder_stopped and math.isnan(now.silent_s) and math.isnan(now.invalid_s)
    old = math.isfinite(now.decode_age_s) and is_cause
    return {"seconds": _tenths(now.decode_age_s)} if old else None


def _no_decode(now: Situation) -> _Values:
    if math.isfinite(now.silent_s) or now.decoder_stopped or not now.invalid_s > _INVALID_S:
        return None
    held = say("alarms.no_decode.held_back") if now.detects else ""
    rest = f" {held}" if held else ""
    return {"seconds": f"{now.invalid_s:.0f}", "why": now.invalid_why, "rest": rest}


def _detections_off(now: Situation) -> _Values:
    off = math.isfinite(now.silent_s) or now.decoder_stopped
    return {} if now.detects and off else None


def _disk_low(now: Situation) -> _Values:
    recording = now.recording
    if not recording.disk_low or recording.state in ("none", "failed"):
        return None
    known = math.isfinite(recording.minutes_left)
    minutes = f"{recording.minutes_left:.0f}" if known else ""
    free = f"{recording.free_bytes / 1e9:.2g}"
    return {"which": "sentence" if known else "bytes", "minutes": minutes, "free": free}


def _markers_stopped(now: Situation) -> _Values:
    silent = now.markers_silent_s > _MARKERS_S
    seconds = f"{now.markers_silent_s:.0f}"
    return {"markers": now.markers, "seconds": seconds} if silent else None


# High or medium, name, cell of the status line, values for its words or None.
_CONDITIONS: Sequence[tuple[bool, str, str, Callable[[Situation], _Values]]] = (
    (True, "signal_lost", "signal", _signal_lost),
    (True, "recording_failed", "recording", _recording_failed),
    (True, "decoder_stopped", "decoder", _decoder_stopped),
    (True, "unit_wrong", "signal", _unit_wrong),
    (False, "other_signal", "recording", _other_signal),
    (False, "not_recorded", "recording", _not_recorded),
    (False, "decodes_old", "age", _decodes_old),
    (False, "no_decode", "decoder", _no_decode),
    (False, "detections_off", "decoder", _detections_off),
    (False, "disk_low", "disk", _disk_low),
    (False, "markers_stopped", "markers", _markers_stopped),
)


def _tenths(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def clock_time(ago_s: float) -> str:
    """Time of day so many seconds ago."""
    return f"{datetime.fromtimestamp(datetime.now().timestamp() - max(0.0, ago_s)):%H:%M:%S}"


def plain(sentence: str) -> str:
    """A sentence without the asterisks round its names."""
    return sentence.replace("**", "")
