"""The trigger log in a recorded session: each decision as an event, with columns that BIDS writes.

The columns say why and when a stimulus was triggered, as an open proposal for BIDS asks:
https://github.com/bids-standard/bids-specification/issues/2417
"""

import math
from collections.abc import Iterable
from typing import Any

from rtbrain.errors import plain_text
from rtbrain.files import parse_json
from rtbrain.recording.recording import Event

TRIGGER_COLUMNS: dict[str, dict[str, Any]] = {
    "trigger_status": {
        "Description": "What came of a decision of the decoder at one output",
        "Levels": {"sent": "A trigger was sent", "suppressed": "Nothing was sent"},
    },
    "trigger_reason": {"Description": "Why nothing was sent"},
    "trigger_number": {"Description": "Number of the trigger in its session; one row an output"},
    "trigger_output": {"Description": "Where the trigger went"},
    "trigger_acknowledged": {"Description": "Whether the receiver confirmed the trigger"},
    "brain_state": {"Description": "Output of the decoder that was detected"},
    "brain_state_value": {"Description": "Its value, for classes a probability, at the decision"},
    "brain_state_latency": {
        "Description": "From the moment of the brain that was decoded to the onset of this row",
        "Units": "s",
    },
    "loop_latency": {
        "Description": "From the last sample that was decoded to the onset of this row",
        "Units": "s",
    },
    "acknowledgement_latency": {
        "Description": "From the onset of this row to the receiver's confirmation",
        "Units": "s",
    },
    "signal_coverage": {"Description": "Share of the decoder's channels that were good"},
    "signal_drift": {
        "Description": "How unlike its calibration the signal was; 1 is the threshold of a flag"
    },
}
_MAX_CHARS = 200
_MOST = 1e12


def trigger_events(rows: Iterable[tuple[float, str]]) -> tuple[list[Event], int]:
    """Events of the lines of a trigger log, after when each was decided, and how many are none.

    The onset is when the trigger was sent, or else when it was decided.
    """
    events, n_unread = [], 0
    for decided_s, line in rows:
        try:
            fields = parse_json(line)
        except ValueError:
            fields = None
        if isinstance(fields, dict) and isinstance(fields.get("label"), str):
            events.append(_event(decided_s, fields))
        elif not isinstance(fields, dict) or "threshold" not in fields:  # which is no decision
            n_unread += 1
    return events, n_unread


def _event(decided_s: float, fields: dict[str, Any]) -> Event:
    sent = fields.get("sent") is True
    ready, stop, neural, left, known = (
        _number(fields.get(key))
        for key in ("t_ready", "t_stop", "t_neural", "t_sent", "t_acknowledged")
    )
    at = left if sent and math.isfinite(left) else ready
    later_s = at - ready if math.isfinite(at - ready) else 0.0
    said = fields.get("acknowledged")
    about = {
        "trigger_status": "sent" if sent else "suppressed",
        "trigger_reason": _text(fields.get("suppressed")),
        "trigger_number": _text(fields.get("number")),
        "trigger_output": _text(fields.get("output")),
        "trigger_acknowledged": str(said).lower() if isinstance(said, bool) else "n/a",
        "brain_state": _text(fields["label"]),
        "brain_state_value": _shown(_number(fields.get("value"))),
        "brain_state_latency": _shown(at - neural),
        "loop_latency": _shown(at - stop),
        "acknowledgement_latency": _shown(known - at),
        "signal_coverage": _shown(_number(fields.get("coverage"))),
        "signal_drift": _shown(_number(fields.get("drift"))),
    }
    return Event(decided_s + later_s, 0.0, "trigger", tuple(about.items()))


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST:
        return float(value)
    return math.nan


def _shown(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else "n/a"


def _text(value: object) -> str:
    return (
        plain_text(str(value), _MAX_CHARS)
        if isinstance(value, str | int) and value != ""
        else "n/a"
    )
