"""What is wrong now, highest first: each alarm with its title and sentence; and what is over."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
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
    """What alarms depend on; seconds are NaN where something is not so.

    An alarm is over only where its opposite is known: `decodes_fine`, `unit_judged`.
    """

    now: float  # s, LSL clock
    signal: str = ""  # name
    silent_s: float = math.nan  # since the last sample, once that is too long
    n_lost: int = 0  # samples, since the stream was found
    sfreq_hz: float = 0.0  # nominal
    recording: Recording = _NO_RECORDING
    needs_recording: bool = False  # a run goes on, which should be recorded
    wrong_unit: WrongUnit | None = None
    unit_judged: bool = True
    decoder: str = ""  # name
    decoder_stopped: bool = False  # without having said that it ends
    decoder_ended: bool = False  # as it said, or there is none
    decodes_fine: bool = True  # the newest one is valid and new
    decode_age_s: float = math.nan  # of the newest decode, once it is too old
    invalid_s: float = math.nan  # since decodes are not valid
    invalid_why: str = ""  # a sentence
    detects: bool = False
    markers: str = ""  # name of the stream that is silent
    markers_silent_s: float = math.nan
    markers_silent: Mapping[str, float] | None = None  # of each stream that sends often, s


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; names in its sentence stand between two asterisks each."""

    key: str
    high: bool
    title: str
    sentence: str
    cell: str  # of the status line
    short: str  # behind another one
    cause: str = ""  # the same alarm of another cause is a new one


def conditions(now: Situation) -> list[Alarm]:
    """All alarms of a situation, highest first."""
    found = []
    for key, (high, cell, condition, _) in _CONDITIONS.items():
        values = condition(now)
        if values is None:
            continue
        words = {"signal": now.signal, "decoder": now.decoder, **values}
        which, cause = words.pop("which", "sentence"), words.pop("cause", "")
        title, sentence = say(f"alarms.{key}.title", **words), say(f"alarms.{key}.{which}", **words)
        found.append(Alarm(key, high, title, sentence, cell, say(f"alarms.{key}.short"), cause))
    return found


def is_over(key: str, then: Situation, now: Situation) -> bool | None:
    """Whether an alarm that is no longer among `conditions` is mended, by its opposite.

    False where it is of no matter any more, None while something else hides it; `then` is the
    situation when it began.
    """
    return _CONDITIONS[key][3](then, now)


_Values = dict[str, str] | None
_Over = bool | None


def _signal_lost(now: Situation) -> _Values:
    if math.isnan(now.silent_s):
        return None
    return {"seconds": _tenths(now.silent_s), "cause": now.signal}


def _recording_failed(now: Situation) -> _Values:
    failed = now.recording if now.recording.state == "failed" else now.recording.other_failed
    if failed is None:
        return None
    seconds = f"{max(0.0, now.now - failed.since):.0f}"
    since = clock_time(now.now - failed.since)
    lost = say("alarms.recording_failed.dropped", n=failed.n_dropped)
    rest = f" {lost}" if failed.n_dropped else ""
    if failed is not now.recording:
        rest += f" {say('alarms.recording_failed.one_of_two', file=failed.file or failed.recorder)}"
    cause = f"{failed.why} {failed.recorder}"
    return {"which": failed.why, "since": since, "seconds": seconds, "rest": rest, "cause": cause}


def _decoder_stopped(now: Situation) -> _Values:
    return {"cause": now.decoder} if now.decoder_stopped else None


def _unit_wrong(now: Situation) -> _Values:
    if now.wrong_unit is None:
        return None
    times, unit = now.wrong_unit.times, now.wrong_unit.unit
    power = 3 * round(abs(math.log10(times)) / 3)
    values = {
        "which": "sentence" if unit else "no_unit",
        "times": say(f"alarms.unit_wrong.times_{min(power, 9)}"),
        "size": say(f"alarms.unit_wrong.{'large' if times > 1 else 'small'}"),
        "unit": unit,
    }
    return {**values, "cause": f"{now.signal} {values}"}


def _other_signal(now: Situation) -> _Values:
    if now.recording.state != "other":
        return None
    names = list_words(now.recording.streams) if now.recording.streams else ""
    which = "sentence" if names else "nothing"
    return {"which": which, "streams": names, "cause": now.recording.recorder}


def _not_recorded(now: Situation) -> _Values:
    return {} if now.needs_recording and now.recording.state == "none" else None


def _decodes_old(now: Situation) -> _Values:
    is_cause = not now.decoder_stopped and math.isnan(now.silent_s) and math.isnan(now.invalid_s)
    old = math.isfinite(now.decode_age_s) and is_cause
    return {"seconds": _tenths(now.decode_age_s), "cause": now.decoder} if old else None


def _no_decode(now: Situation) -> _Values:
    if math.isfinite(now.silent_s) or now.decoder_stopped or not now.invalid_s > _INVALID_S:
        return None
    held = say("alarms.no_decode.held_back") if now.detects else ""
    rest = f" {held}" if held else ""
    cause = re.sub(r"[\d.]+", "", now.invalid_why)
    seconds = f"{now.invalid_s:.0f}"
    return {"seconds": seconds, "why": now.invalid_why, "rest": rest, "cause": cause}


def _detections_off(now: Situation) -> _Values:
    return {} if now.detects and math.isfinite(now.silent_s) else None


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
    return {"markers": now.markers, "seconds": seconds, "cause": now.markers} if silent else None


def _is_recorded(then: Situation, now: Situation) -> _Over:
    return now.recording.state in ("rec", "no_signal")


def _is_unit_right(then: Situation, now: Situation) -> _Over:
    return True if now.unit_judged and math.isnan(now.silent_s) else None


def _is_decoding(then: Situation, now: Situation) -> _Over:
    """Whether decodes come that are valid and new."""
    if now.decoder_ended:
        return False
    bad = (now.silent_s, now.invalid_s, now.decode_age_s)
    return True if now.decodes_fine and not now.decoder_stopped and _none(bad) else None


def _is_room(then: Situation, now: Situation) -> _Over:
    return None if now.recording.state == "failed" else now.recording.state != "none"


def _are_markers_back(then: Situation, now: Situation) -> _Over:
    if now.markers_silent is None:
        return True
    silent_s = now.markers_silent.get(then.markers, math.nan)
    return None if silent_s > _MARKERS_S else not math.isnan(silent_s)


# High or medium, cell of the status line, values for its words or None, and whether it is over.
_CONDITIONS: Mapping[
    str,
    tuple[bool, str, Callable[[Situation], _Values], Callable[[Situation, Situation], _Over]],
] = {
    "signal_lost": (True, "signal", _signal_lost, lambda then, now: True),
    "recording_failed": (True, "recording", _recording_failed, _is_recorded),
    "decoder_stopped": (
        True, "decoder", _decoder_stopped, lambda then, now: not now.decoder_ended
    ),
    "unit_wrong": (True, "signal", _unit_wrong, _is_unit_right),
    "other_signal": (False, "recording", _other_signal, _is_recorded),
    "not_recorded": (False, "recording", _not_recorded, _is_recorded),
    "decodes_old": (False, "age", _decodes_old, _is_decoding),
    "no_decode": (False, "decoder", _no_decode, _is_decoding),
    "detections_off": (False, "decoder", _detections_off, lambda then, now: False),
    "disk_low": (False, "disk", _disk_low, _is_room),
    "markers_stopped": (False, "markers", _markers_stopped, _are_markers_back),
}  # fmt: skip


def _none(seconds: Sequence[float]) -> bool:
    return all(map(math.isnan, seconds))


def _tenths(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def clock_time(ago_s: float) -> str:
    """Time of day so many seconds ago."""
    return f"{datetime.fromtimestamp(datetime.now().timestamp() - max(0.0, ago_s)):%H:%M:%S}"


def plain(sentence: str) -> str:
    """A sentence without the asterisks round its names."""
    return sentence.replace("**", "")
