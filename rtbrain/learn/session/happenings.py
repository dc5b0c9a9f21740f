"""What happened in a session, in order: losses, contacts, drift, outputs, changes by hand."""

from collections.abc import Iterable, Iterator

from rtbrain.errors import list_words
from rtbrain.learn.session.timeline import SessionTimeline, Span
from rtbrain.stream_names import is_manual_marks

ENDED = "the decoder had ended"
_LEAST_S = 1.0  # shorter stretches without a valid decode are in the picture, and in the sums
_REPORTED_S = 2.0  # a flag is reported so close to the decode that carries it
_APART_S = 30.0  # flags of drift that are closer to each other are one


def happenings(
    timeline: SessionTimeline, invalid: Iterable[Span], flagged: Iterable[Span]
) -> list[Span]:
    """What to read after a run; moments are spans without length.

    `invalid` are the stretches without a valid decode, `flagged` those of drift.
    """
    found = [
        Span(one.start_s, one.stop_s, f"no signal: {one.stop_s - one.start_s:.1f} s are missing")
        for one in timeline.gaps
    ]
    found += [
        Span(one.start_s, one.stop_s, f"no valid decode: {one.text or 'not stated'}")
        for one in invalid
        if one.stop_s - one.start_s >= _LEAST_S
    ]
    found += [
        Span(one.start_s, one.stop_s, f"contact {contact} bad: {one.text or 'not stated'}")
        for contact, spans in timeline.bad.items()
        for one in spans
    ]
    found += [
        Span(one.start_s, one.stop_s, f"the signal was unlike calibration{_why(timeline, one)}")
        for one in _joined(flagged)
    ]
    found += _reported(timeline)
    found += [
        Span(t, t, f"mark: {text}")
        for t, stream, text in timeline.markers
        if is_manual_marks(stream) and not text.startswith("threshold ")  # which is reported
    ]
    return sorted(found, key=lambda one: round(one.start_s, 2))


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for one in spans:
        if joined and one.start_s - joined[-1].stop_s < _APART_S:
            joined[-1] = Span(joined[-1].start_s, one.stop_s)
        else:
            joined.append(one)
    return joined


def _why(timeline: SessionTimeline, flagged: Span) -> str:
    """What changed most, and where, as the decoder reported it at the first flag."""
    for event in timeline.of("drift"):
        if flagged.start_s - _REPORTED_S <= event.t <= flagged.stop_s + _REPORTED_S:
            contacts = event.fields.get("contacts")
            names = [str(one) for one in contacts] if isinstance(contacts, list) else []
            where = f" of {list_words(names)}" if names else ""
            return f": {event.fields.get('measure') or 'not stated'}{where}"
    return ""


def _reported(timeline: SessionTimeline) -> Iterator[Span]:
    """What the decoder reported of its outputs, thresholds and end."""
    for event in timeline.of("armed", "disarmed", "threshold", "failed"):
        about = event.fields
        match event.event:
            case "armed":
                text = "outputs armed"
            case "disarmed":
                text = f"outputs disarmed: {about.get('reason') or 'not stated'}"
            case "threshold":
                text = (
                    f"threshold of {about.get('label')}: {about.get('up')}, was {about.get('was')}"
                )
            case _:
                text = f"the decoder failed: {about.get('reason') or 'not stated'}"
        yield Span(event.t, event.t, text)
