"""The newest decode in words: what the panel Now says, and why a decode is not valid; no Qt."""

import math
import re
from dataclasses import dataclass, replace

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode
from rtbrain.stream_names import sender_of
from rtbrain.types import Floats
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.history import DecodeHistory
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.texts import say

_WINDOW_S = 5.0  # that a decoder is assumed to need, where its header has none
_DRIFTS = 1.0
_FILLS = re.compile(r"(?:filling|settling|warming): ([\d.e+-]+) of ([\d.e+-]+) s")
_FEW = re.compile(r"(\d+) of (\d+) contacts are good; (\d+) are needed")


@dataclass(frozen=True, slots=True)
class NowText:
    """What the panel Now shows; empty or NaN where there is nothing."""

    state: str  # none, waiting, valid, old or invalid
    decoder: str = ""
    icon: str = "unchecked"
    label: str = ""  # beside the icon
    word: str = ""
    number: str = ""
    above: bool = False  # the target is above its threshold
    border: str = "line"  # field of the theme
    level: float = math.nan  # of the target on its bar, 0 to 1
    tick: float = math.nan  # of the threshold
    scale: str = ""  # what the bar shows
    threshold: str = ""
    rows: tuple[tuple[int, str, str], ...] = ()  # output, label, value; the target first
    more: str = ""
    detail: tuple[str, str] = ("", "")  # below a word without a number
    first: str = ""  # at the bottom: what was detected
    count: str = ""  # beside it
    pin: bool = False
    second: tuple[str, ...] = ()  # below, the longest first; the first that has room is shown
    armed: bool | None = None  # None: no outputs


def describe(decoding: Decoding, now: float, *, in_console: bool = False) -> NowText:
    """What the panel Now shows at a time; in the console a decoder is started beside it."""
    info, history = decoding.info, decoding.history
    if info is None or history is None:
        return _nothing(decoding, in_console)
    name = sender_of(info.name)
    key = "decode.now.decoder_mode" if info.mode else "decode.now.decoder"
    about = NowText(
        "none", decoder=say(key, name=name, mode=info.mode), label=say("decode.now.none")
    )
    about = replace(about, armed=decoding.armed if decoding.outputs else None)
    decode = history.last
    if decoding.gone:
        return _gone(decoding, history, about, now, in_console)
    connecting = decoding.feed.state == "connecting"
    if decode is None or (connecting and history.is_old(now)):
        key = "decode.now.looks" if decoding.state == "waiting" else "decode.now.waits"
        line = say("decode.now.connecting_to" if connecting else key, name=name)
        word, label = say("decode.now.no_decode"), say("decode.now.starting")
        return replace(about, state="waiting", word=word, label=label, detail=(line, ""))
    if not decode.valid or (decoding.signal_lost and history.is_old(now)):
        return _invalid(decoding, info, history, about, now)
    shown = _values(decoding, info, decode, about, now)
    if history.is_old(now):
        line = say("decode.now.old_line", age=f"{history.age_s(now):.1f}")
        shown = replace(shown, state="old", icon="look", label=say("decode.now.old"), border="warn")
        shown = replace(shown, above=False, first=line)
        return replace(shown, second=_last_one(decoding, now, "decode.now.last_detection"))
    return _detected(decoding, shown, now)


def _nothing(decoding: Decoding, in_console: bool) -> NowText:
    feed, signal = decoding.feed, feed_of(decoding.session.feeds, "signal")
    status = feed_of(decoding.session.feeds, "status")
    none = NowText("none", word=say("decode.now.no_runs"), label=say("decode.now.none"))
    if feed.state == "connecting" or status.state == "live":
        name = sender_of(feed.name or status.name)
        waits = decoding.state if status.state == "live" else "connecting"
        key = {"connecting": "decode.now.connecting_to", "waiting": "decode.now.looks"}.get(
            waits, "decode.now.waits"
        )
        word, label = say("decode.now.no_decode"), say("decode.now.starting")
        none = replace(none, state="waiting", icon="checking", word=word, label=label)
        return replace(none, detail=(say(key, name=name), feed.problem))
    if feed.problem:
        return replace(none, detail=(feed.problem, ""))
    if in_console:
        return replace(none, detail=(say("decode.now.start_here"), ""))
    command = say("decode.now.command", stream=signal.name or "NAME")
    return replace(none, detail=(say("decode.now.start"), command))


def _gone(
    decoding: Decoding, history: DecodeHistory, about: NowText, now: float, in_console: bool
) -> NowText:
    age_s, about = history.age_s(now), replace(about, armed=None)
    seconds = f"{age_s:.0f}" if math.isfinite(age_s) else "0"
    if decoding.feed.state == "ended":
        key = "decode.now.start_again_here" if in_console else "decode.now.start_again_there"
        detail = (say("decode.now.ended", seconds=seconds), say(key))
        return replace(about, word=say("decode.now.no_runs"), detail=detail)
    why = say("decode.now.for", seconds=f"{max(0.0, age_s):.1f}", reason=say("decode.now.stopped"))
    detail = (why if math.isfinite(age_s) else "", say("decode.now.start_again"))
    shown = replace(
        about, state="invalid", icon="fix", label=say("decode.now.not_valid"), detail=detail
    )
    return _held_back(decoding, replace(shown, word=say("decode.now.no_decode"), border="bad"), now)


def _invalid(
    decoding: Decoding, info: DecodeHeader, history: DecodeHistory, about: NowText, now: float
) -> NowText:
    since = history.t_valid if math.isfinite(history.t_valid) else history.t_first
    lasts_s = max(0.0, now - since)
    why, back = explain(decoding, history.reason, now - history.t_reason)
    window_s = info.window_s if math.isfinite(info.window_s) else _WINDOW_S
    if not _FILLS.match(history.reason) or decoding.signal_lost:
        why = say("decode.now.for", seconds=f"{lasts_s:.1f}", reason=why)
    return _held_back(
        decoding,
        replace(
            about,
            state="invalid",
            icon="fix",
            label=say("decode.now.not_valid"),
            word=say("decode.now.no_decode"),
            detail=(why, back),
            border="bad" if lasts_s > window_s else "line",
        ),
        now,
    )


def _held_back(decoding: Decoding, shown: NowText, now: float) -> NowText:
    """What is said of detections while none can be sent."""
    if not decoding.thresholds:
        return shown
    count = say("decode.now.this_run", n=decoding.n_detected) if decoding.n_detected else ""
    return replace(
        shown, first=say("decode.now.out_off"), count=count, second=_last_one(decoding, now)
    )


def _last_one(decoding: Decoding, now: float, key: str = "decode.now.last_one") -> tuple[str, ...]:
    last = decoding.last_detection()
    if last is not None:
        return (say(key, ago=f"{now - last.t:.1f}"),)
    return (
        () if not decoding.thresholds or decoding.n_detected else (say("decode.now.none_this_run"),)
    )


def _values(
    decoding: Decoding,
    info: DecodeHeader,
    decode: ReceivedDecode,
    about: NowText,
    now: float,
) -> NowText:
    values, target, threshold = decode.values, decoding.target, decoding.threshold
    finite = [i for i, value in enumerate(values.tolist()) if math.isfinite(value)]
    best = target
    if decoding.is_probability and finite:
        best = max(finite, key=lambda i: values[i])
    level, tick = _on_bar(decoding, now)
    shown = decoding.shown(now)
    label = say("decode.now.valid")
    if decoding.history is not None and info.hop_s is None:
        label = say("decode.now.ago", seconds=f"{decoding.history.age_s(now):.1f}")
    drifts = decode.drift >= _DRIFTS
    scale = (
        say("decode.now.probability_of", target=info.labels[target])
        if decoding.is_probability
        else ""
    )
    return replace(
        about,
        state="valid",
        icon="look" if drifts else "fine",
        label=say("decode.now.drift", drift=f"{decode.drift:.1f}") if drifts else label,
        word=info.labels[best],
        number=number(values[best], decoding.is_probability),
        above=best == target and threshold is not None and values[best] >= threshold.up,
        level=level,
        tick=tick,
        scale=scale,
        threshold=_threshold_text(decoding),
        rows=_rows(decoding, info, values, shown),
        more=say("decode.more", n=len(values) - len(shown)) if len(shown) < len(values) else "",
    )


def _threshold_text(decoding: Decoding) -> str:
    threshold = decoding.threshold
    if threshold is None:
        return say("decode.now.no_threshold") if decoding.thresholds is not None else ""
    key = "decode.now.threshold" if threshold.calibrated else "decode.now.threshold_uncalibrated"
    return say(key, up=number(threshold.up, decoding.is_probability))


def _rows(
    decoding: Decoding, info: DecodeHeader, values: Floats, shown: list[int]
) -> tuple[tuple[int, str, str], ...]:
    if len(values) < 2:
        return ()
    share = decoding.is_probability
    names = [_with_threshold(decoding, info.labels[i]) for i in shown]
    return tuple((i, name, number(values[i], share)) for i, name in zip(shown, names, strict=True))


def _with_threshold(decoding: Decoding, label: str) -> str:
    """An output with its own threshold, if it has one that is not shown above the list."""
    threshold = (decoding.thresholds or {}).get(label)
    if threshold is None or label == decoding.target_label:
        return label
    up = number(threshold.up, decoding.is_probability)
    return say("decode.now.with_threshold", label=label, up=up)


def _on_bar(decoding: Decoding, now: float) -> tuple[float, float]:
    """The target and its threshold, 0 to 1; of a value by the range of the page."""
    history, target, threshold = decoding.history, decoding.target, decoding.threshold
    if history is None or history.last is None:
        return math.nan, math.nan
    value, up = float(history.last.values[target]), math.nan if threshold is None else threshold.up
    if decoding.is_probability:
        return value, up
    _, values, _ = history.page(now, decoding.page_s)
    seen = [v for v in (*values[:, target].tolist(), up) if math.isfinite(v)]
    low, high = min(seen, default=math.nan), max(seen, default=math.nan)
    if not high > low:
        return math.nan, math.nan
    return (value - low) / (high - low), (up - low) / (high - low)


def _detected(decoding: Decoding, shown: NowText, now: float) -> NowText:
    """What was detected, and when it can be next."""
    threshold, info, last = decoding.threshold, decoding.info, decoding.last_detection()
    if threshold is None or info is None:
        return shown
    count = say("decode.now.this_run", n=decoding.n_detected) if decoding.n_detected else ""
    left_s = decoding.ready_in_s(now)
    if math.isnan(left_s):
        down = number(threshold.down, decoding.is_probability)
        keys = ("decode.now.next_below", "decode.now.next_below_short")
        second: tuple[str, ...] = tuple(say(key, down=down) for key in keys)
    elif left_s > 0:
        words = {"seconds": f"{left_s:.1f}", "refractory": f"{threshold.refractory_s:.1f}"}
        second = (say("decode.now.next_in_long", **words), say("decode.now.next_in", **words))
    else:
        second = (say("decode.now.ready" if decoding.n_detected else "decode.now.ready_first"),)
    if not decoding.sends:
        return replace(
            shown, first=say("decode.now.out_off"), count=count, second=_last_one(decoding, now)
        )
    if last is None:
        first = say("decode.now.none_yet") if not decoding.n_detected else ""
        return replace(shown, first=first or count, count=count if first else "", second=second)
    is_target = last.label == info.labels[decoding.target]
    key = "decode.now.detection" if is_target else "decode.now.detection_of"
    first = say(key, ago=f"{max(0.0, now - last.t):.1f}", label=last.label)
    return replace(shown, first=first, count=count, pin=True, second=second)


def explain(decoding: Decoding, reason: str, since_s: float = 0.0) -> tuple[str, str]:
    """Why decodes are not valid, and what brings them back, in words for people.

    `reason` is as the decoder reports it, `since_s` how long ago it did, s.
    """
    info = decoding.info
    window_s = info.window_s if info is not None else math.nan
    if decoding.signal_lost or reason.startswith("no samples for"):
        known = math.isfinite(window_s)
        key = "decode.reason.back_after_signal" if known else "decode.reason.back_with_signal"
        return say("decode.reason.signal_lost"), say(key, seconds=f"{round(window_s, 1):g}")
    if found := _FILLS.match(reason):
        seen_s, needed_s = map(float, found.groups())
        seen_s = min(needed_s, seen_s + max(0.0, since_s if math.isfinite(since_s) else 0.0))
        why = say("decode.reason.filling", seen=f"{seen_s:.1f}", needed=f"{needed_s:.3g}")
        return why, say("decode.reason.back_in", seconds=f"{needed_s - seen_s:.1f}")
    return _why(reason) if reason else (say("decode.reason.unknown"), "")


def explain_later(reason: str) -> str:
    """Why decodes were not valid, in words for people, when all that is left is the reason.

    It may have lost what stood behind its colon.
    """
    if reason.startswith("no samples for"):
        return say("decode.reason.signal_lost")
    if reason.startswith(("filling", "settling", "warming")):
        return say("decode.reason.filled")
    return _why(reason)[0]


def _why(reason: str) -> tuple[str, str]:
    """Why decodes are not valid, and what brings them back, where no time matters."""
    if found := _FEW.match(reason):
        counts = dict(zip(("good", "all", "needed"), found.groups(), strict=True))
        return say("decode.reason.few_contacts", **counts), say("decode.reason.back_contacts")
    if reason == "no good channel":
        return say("decode.reason.no_contacts"), say("decode.reason.back_contacts")
    if reason.startswith("stale"):
        return say("decode.reason.late"), say("decode.reason.back_late")
    if reason.startswith("true rate"):
        return say("decode.reason.rate"), say("decode.reason.back_rate")
    return reason, ""


def number(value: float, share: bool) -> str:
    """A probability or another value in figures; a dash for none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f}" if share else f"{value:.3g}"
