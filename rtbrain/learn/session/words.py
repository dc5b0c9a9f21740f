"""A session in plain sentences, the most important first."""

from collections.abc import Iterable, Mapping
from typing import Any

from rtbrain.errors import list_words
from rtbrain.learn.report.score_table import verdict_lines
from rtbrain.learn.session.timeline import SessionTimeline

_MOST_NAMED = 6
_ENOUGH_FOR_P99 = 100
_AT_THE_END = "the session ended"  # why outputs are disarmed then


def describe_session(figures: Mapping[str, Any], timeline: SessionTimeline) -> list[str]:
    """Sentences on the figures of a report."""
    words = [_of_signal(figures["signal"], timeline)]
    if "decodes" in figures:
        words += _of_decodes(figures)
    words.append(_of_contacts(timeline))
    words += _of_detections(figures.get("detections", {}))
    words += _of_triggers(figures, timeline)
    words += _of_cues(figures)
    scores = figures.get("scores", {})
    if "none" in scores:
        words.append(scores["none"])
    elif scores:
        words += verdict_lines(scores)
        words += [event["text"] for event in scores.get("events", {}).values()]
    return words


def _of_signal(signal: Mapping[str, Any], timeline: SessionTimeline) -> str:
    n_channels = signal["channels"]
    first = (
        f"{lasting(timeline.duration_s)} of {signal['name']} were recorded: {n_channels} "
        f"channel{'s' * (n_channels != 1)} at {signal['sfreq_hz']:g} Hz"
    )
    if not signal["missing"] and not timeline.gaps:
        return f"{first}, without a gap."
    gaps = timeline.gaps
    missing_s = signal["missing"] / signal["sfreq_hz"]
    where = f"in {len(gaps)} gaps" if len(gaps) != 1 else f"in 1 gap, at {clock(gaps[0].start_s)}"
    if len(gaps) > 1:
        longest = max(gaps, key=lambda gap: gap.stop_s - gap.start_s)
        lasted_s = longest.stop_s - longest.start_s
        where += f", the longest at {clock(longest.start_s)} for {lasted_s:.1f} s"
    return f"{first}; {signal['missing']} samples ({missing_s:.1f} s) are missing, {where}."


def _of_decodes(figures: Mapping[str, Any]) -> Iterable[str]:
    decodes = figures["decodes"]
    sentence = f"Decodes were valid {decodes['valid_share']:.1%} of the time"
    if longest := decodes["longest_without"]:
        start_s, stop_s, why = longest
        reason = f" ({why})" if why else ""
        sentence += (
            f"; the longest stretch without one was {stop_s - start_s:.1f} s, from "
            f"{clock(start_s)}{reason}"
        )
    yield f"{sentence}."
    if whole := figures["latency_s"]["whole"]:
        yield (
            f"A decode described the brain {whole['p50']:.2f} s before it was ready; 99 of 100 "
            f"were ready within {whole['p99']:.2f} s."
        )
    drift = figures["drift"]
    if not drift:
        yield "Whether the signal was like calibration is not known: the decoder does not check it."
    elif not drift["flags_s"]:
        yield "The signal was like calibration all the time."
    else:
        yield (
            f"The signal was unlike calibration for {drift['share_over']:.1%} of the decodes, "
            f"first at {clock(drift['flags_s'][0][0])}."
        )


def _of_contacts(timeline: SessionTimeline) -> str:
    if not timeline.status:
        return "Contacts were not judged: the file holds no status of a decoder."
    bad = timeline.bad
    if not bad:
        return "No contact was bad."
    shown = [
        f"{contact} ({spans[0].text or 'bad'}, from {clock(spans[0].start_s)})"
        for contact, spans in bad.items()
    ]
    were = "s were" if len(bad) > 1 else " was"
    return f"{len(bad)} contact{were} bad: {list_words(shown, _MOST_NAMED)}."


def _of_detections(detections: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for label, one in detections.items():
        mark = "" if one["calibrated"] or not one["sent"] else " Its threshold is not calibrated."
        yield f"{label}: {one['sent']} detected{_held(one)}.{mark}"


def _of_triggers(figures: Mapping[str, Any], timeline: SessionTimeline) -> Iterable[str]:
    for name, one in figures.get("triggers", {}).items():
        of_latency = one.get("latency_s", {})
        fast = (
            f", half of them within {1000 * of_latency['p50']:.0f} ms of the signal and "
            f"{_most(one)}"
            if of_latency
            else ""
        )
        said = f", {one['acknowledged']} acknowledged" if one["acknowledged"] else ""
        yield f"Output {name}: {one['sent']} triggers sent{fast}{said}{_held(one)}."

    if not_triggered := figures.get("not_triggered", {}):
        n_held = sum(not_triggered.values())
        why = list_words([f"{reason}: {n}" for reason, n in not_triggered.items()])
        yield f"No trigger was sent for {n_held} detection{'s' * (n_held != 1)} ({why})."
    for event in timeline.of("disarmed"):
        if (reason := str(event.fields.get("reason", ""))) != _AT_THE_END:
            yield f"Outputs were disarmed at {clock(event.t)}: {reason or 'not stated'}."


def _most(one: Mapping[str, Any]) -> str:
    """How late nearly all triggers were; of fewer than 100, all."""
    key, who = ("p99", "99 of 100") if one["sent"] >= _ENOUGH_FOR_P99 else ("max", "all")
    return f"{who} within {1000 * one['latency_s'][key]:.0f} ms"


def _of_cues(figures: Mapping[str, Any]) -> Iterable[str]:
    outputs = figures.get("decodes", {}).get("outputs", ())
    for stream, counts in figures["markers"].items():
        if cued := [f"{counts[label]} of {label}" for label in outputs if label in counts]:
            yield f"Markers of {stream}: {list_words(cued, _MOST_NAMED)}."


def _held(one: Mapping[str, Any]) -> str:
    n_held = sum(one["suppressed"].values())
    why = list_words([f"{reason}: {n}" for reason, n in one["suppressed"].items()])
    return f"; {n_held} suppressed ({why})" if n_held else ""


def lasting(seconds: float) -> str:
    """A duration in words: ``10 min 2 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or hours)
    return " ".join([*parts, f"{rest} s"])


def clock(seconds: float) -> str:
    """A moment of the session: ``2:05``, or ``1:02:05``."""
    minutes, rest = divmod(int(round(seconds, 3)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
