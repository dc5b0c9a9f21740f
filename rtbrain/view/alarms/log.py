"""What the log says of the events that decoders and recorders report."""

from collections import defaultdict

from rtbrain.errors import list_words, plain_text
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import texts

_MAX_CHARS = 200


def event_lines(update: SessionUpdate) -> list[str]:
    """Lines for the log of what a poll brought."""
    lines = [log_text(event) for event in update.events]
    lines += [log_text(event, recorder=True) for event in update.recorder_events]
    return list(filter(None, lines))


def log_text(event: StatusEvent, *, recorder: bool = False) -> str:
    """One line for the log; empty for an event that is not logged."""
    words = texts().get(f"log.{'recorder' if recorder else 'decoder'}.{event.event}", "")
    fields: defaultdict[str, str] = defaultdict(lambda: "–")
    for name, value in event.fields.items():
        fields[name] = _plain(value)
    return words.format_map(fields) if words else ""


def _plain(value: object) -> str:
    """A value as a person writes it, cut."""
    if isinstance(value, list):
        return list_words([_plain(one) for one in value], 4) if value else "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None or isinstance(value, dict | bool):
        return "–"
    return plain_text(str(value))[:_MAX_CHARS] or "–"
