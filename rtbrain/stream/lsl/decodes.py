"""Decodes in over LSL: the streams NAME-decode and NAME-status, for every program that listens."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pylsl

from rtbrain.errors import StreamError, StreamLostError, plain_text, quote
from rtbrain.files import parse_json
from rtbrain.stream.lsl.header import channel_texts
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    fetch_full_info,
    liblsl_errors,
    make_inlet,
    open_inlet,
    pull_texts,
)
from rtbrain.stream.lsl.resolve import StreamWatcher, resolve_one
from rtbrain.stream_names import DECODE_CHANNELS, count_outputs, decode_name, status_name
from rtbrain.types import Floats

MAX_TEXT_CHARS = 200
# A reason may list streams.
_MAX_FIELD_CHARS = 1000
_MAX_NUMBER = 2**63
_QUALITY = tuple(DECODE_CHANNELS)
_BUFFER_S = 30
_TEXT_BUFFER = 360  # hundreds of samples, as liblsl counts irregular streams
_MAX_ITEMS = 1024
_MAX_CONTACTS = 4096
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class DecodeHeader:
    """Header of a decode stream; NaN or empty where something is not announced."""

    name: str
    labels: tuple[str, ...]
    unit: str  # ``probability`` or ``value``
    hop_s: float | None  # None where decodes come with events
    delay_s: float = math.nan  # how long before `t_stop` the moment lies that is described
    contacts: tuple[str, ...] = ()  # those that the decoder reads
    mode: str = ""  # of the decoder, as ``linear``
    window_s: float = math.nan  # signal that a decode needs after a gap


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedDecode:
    """One sample of a decode stream; times in s on this machine's LSL clock."""

    t_stop: float  # end of the window
    t_arrived: float  # when the sample was read here
    values: Floats  # float32 [n_outputs]
    valid: bool  # whether the values may be used
    coverage: float  # share of good channels
    age_s: float  # from the moment described to the decode
    compute_s: float  # of it, the computing
    drift: float = math.nan  # how unlike calibration: 1 at the threshold of a flag


@dataclass(frozen=True, slots=True)
class ReceivedDetection:
    """One detection that a decoder sent; NaN or 0 where something was not sent."""

    t: float  # the moment of the brain that it describes, s, LSL clock
    label: str
    value: float = math.nan
    calibrated: bool = False  # whether held-out time says how often its threshold is wrong
    number: int = 0  # in this run, from 1 on


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One line of JSON of a status stream, stamped with the LSL clock, s."""

    t: float
    event: str
    fields: dict[str, Any]


def decode_header(info: Any) -> DecodeHeader:
    """Header of a decode stream, from its full `pylsl.StreamInfo`; a StreamError if it is none."""
    labels = tuple(plain_text(text, MAX_TEXT_CHARS) for text in channel_texts(info, "label"))
    n_outputs = count_outputs(labels)
    if not n_outputs:
        raise StreamError(
            f"stream {quote(info.name())} is of type Decode, but its channels are not outputs "
            f"and then {', '.join(_QUALITY)}: name another with --decode"
        )
    rate_hz = float(info.nominal_srate())
    units, about = channel_texts(info, "unit") or ("",), info.desc().child("rtbrain")
    return DecodeHeader(
        info.name(),
        labels[:n_outputs],
        plain_text(units[0] or "value"),
        1 / rate_hz if rate_hz > 0 else None,
        _number(about.child_value("delay_s")),
        decoder_contacts(info),
        plain_text(about.child_value("mode"), MAX_TEXT_CHARS),
        _number(about.child_value("window_s")),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def decoder_contacts(info: Any) -> tuple[str, ...]:
    """Labels of the contacts that a decoder reads, from the full header of its decodes."""
    contacts: list[str] = []
    node = info.desc().child("montage").child("contacts").child("contact")
    while not node.empty() and len(contacts) < _MAX_CONTACTS:
        contacts.append(plain_text(node.child_value("label").strip(), MAX_TEXT_CHARS))
        node = node.next_sibling("contact")
    return tuple(filter(None, contacts))


def received_decodes(
    samples: Any, stamps: Any, n_outputs: int, t_arrived: float
) -> list[ReceivedDecode]:
    """Decodes of samples [n_samples, n_channels] with their time stamps [n_samples], s."""
    rows = np.asarray(samples, np.float32)
    return [
        ReceivedDecode(float(stamp), t_arrived, row[:n_outputs].copy(), valid == 1, *about)
        for stamp, row in zip(stamps, rows, strict=True)
        for valid, *about in [row[n_outputs:].tolist()]
    ]


def parse_status_line(t: float, line: str, stream: str = "") -> StatusEvent:
    """Event of a line of a status stream; ``unreadable`` if it holds none.

    Anyone on the network may have written it: texts are cut and free of control characters, and
    numbers that are not finite, or beyond 64 bits, are None. A name of the stream goes into the
    field ``stream``.
    """
    origin = {"stream": stream} if stream else {}
    try:
        fields = plain_values(parse_json(line))
    # A number of thousands of digits, or brackets within brackets, cost their own line alone.
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return StatusEvent(t, "unreadable", {"text": plain_text(line, MAX_TEXT_CHARS), **origin})
    return StatusEvent(t, fields.pop("event"), {**fields, **origin})


def parse_detection(t: float, line: str) -> ReceivedDetection | None:
    """Detection of a line of an events stream; None if it holds none. As `parse_status_line`."""
    try:
        fields = plain_values(parse_json(line))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("label"), str):
        return None
    value, number = fields.get("value"), fields.get("n")
    return ReceivedDetection(
        t,
        fields["label"],
        float(value) if isinstance(value, int | float) else math.nan,
        fields.get("calibrated") is True,
        number if isinstance(number, int) else 0,
    )


def plain_values(value: Any) -> Any:
    """JSON of a stranger as values that can be shown and computed with."""
    if isinstance(value, str):
        return plain_text(value, _MAX_FIELD_CHARS)
    if isinstance(value, dict):
        return {plain_text(key, MAX_TEXT_CHARS): plain_values(it) for key, it in value.items()}
    if isinstance(value, list):
        return [plain_values(item) for item in value]
    if isinstance(value, int | float) and not abs(value) < _MAX_NUMBER:
        return None
    return value


class DecodeListener:
    """Listens to the decoder of a name: its decodes, and the events that it reports.

    Making one waits for nothing. `wait` or `look` opens ``NAME-status``, which is there first, and
    ``NAME-decode``, whose `header` is None until then.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.header: DecodeHeader | None = None
        self._watcher = StreamWatcher()
        self._found: Any = None
        self._decodes: Any = None
        self._status: tuple[Any, Any] | None = None  # inlet, and the stream as it was found

    @property
    def receives_status(self) -> bool:
        """Whether the status stream is open; events sent before were missed."""
        return self._status is not None

    def wait(self, timeout_s: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Wait for the decodes, and open both streams.

        Raises a StreamError where no or several streams are there, or it holds no decodes.
        """
        self._watcher.look()
        found = resolve_one({"name": decode_name(self.name)}, timeout_s, stop)
        self.look()
        if self.header is None:
            self._open_decodes(found)

    def look(self, timeout_s: float = 0.5) -> None:
        """Open those of the two streams that are there, or appear in time, and not open yet."""
        end = time.monotonic() + timeout_s
        while True:
            for found in self._watcher.look():
                try:
                    self._open(found)
                except StreamLostError:
                    self._watcher.put_off(found.uid())
            if (self.receives_status and self.header is not None) or time.monotonic() >= end:
                return
            time.sleep(_POLL_S)

    def pull(self, timeout_s: float = 0.0) -> list[ReceivedDecode]:
        """Decodes that came; waits for the first; a StreamLostError where the stream is gone."""
        end = time.monotonic() + timeout_s
        while self._decodes is not None and self.header is not None:
            with liblsl_errors(self._found, "answer"):
                samples, stamps = self._decodes.pull_chunk(max_samples=_MAX_ITEMS, as_numpy=True)
            if len(stamps):
                n_outputs = len(self.header.labels)
                return received_decodes(samples, stamps, n_outputs, pylsl.local_clock())
            if time.monotonic() >= end:
                break
            time.sleep(_POLL_S)
        return []

    def pull_events(self) -> list[StatusEvent]:
        """Status events that came; never waits, and none once the status stream is gone."""
        if self._status is None:
            return []
        try:
            texts = pull_texts(*self._status)
        except StreamLostError:
            self._status = None
            return []
        return [parse_status_line(stamp, text) for stamp, text in texts]

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._decodes = self._status = None

    def _open(self, found: Any) -> None:
        if self._status is None and found.name() == status_name(self.name):
            inlet = make_inlet(found, _TEXT_BUFFER)
            open_inlet(inlet, found, ANSWER_S)
            self._status = inlet, found
        elif self.header is None and found.name() == decode_name(self.name):
            self._open_decodes(found)

    def _open_decodes(self, found: Any) -> None:
        inlet = make_inlet(found, _BUFFER_S if found.nominal_srate() > 0 else _TEXT_BUFFER)
        header = decode_header(fetch_full_info(inlet, found, ANSWER_S))
        open_inlet(inlet, found, ANSWER_S)
        self._decodes, self.header, self._found = inlet, header, found
