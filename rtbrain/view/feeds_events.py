"""The window's ends of the decode stream and of the streams of strings."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pylsl.util import LostError

from rtbrain.errors import StreamError
from rtbrain.stream.lsl_connect import full_info, new_inlet, open_inlet, shown
from rtbrain.types import Floats
from rtbrain.view.feeds import Link

__all__ = ["DecodeInfo", "DecodeLink", "DecodeRow", "TextLink", "Told", "contacts_of", "told"]

_ANSWER_S = 3.0
_BUFFER_S = 30
_MARKER_BUFFER = 360  # hundreds of markers, as liblsl counts irregular streams
_ITEMS_A_PULL = 256
_LINE_LIMIT = 65536
_TEXT_LIMIT = 200
_CONTACT_LIMIT = 4096
_WORTH = ("valid", "coverage", "age_s", "compute_s")


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRow:
    """One sample of ``NAME-decode``.

    Attributes
    ----------
    t_stop : float
        End of the decoded window, s, LSL clock.
    t_arrived : float
        When the window had it, s, LSL clock.
    values : ndarray, float32 [n_outputs]
        A probability a class, or a value an output; NaN where nothing could be decoded.
    valid : bool
        Whether it may be acted on.
    coverage : float
        Share of channels that are good, 0 to 1.
    age_s : float
        From the moment described to the moment it was ready, s; NaN where unknown.
    compute_s : float
        Compute part of the age, s; NaN where unknown.
    """

    t_stop: float
    t_arrived: float
    values: Floats
    valid: bool
    coverage: float
    age_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class DecodeInfo:
    """Header of ``NAME-decode``.

    Attributes
    ----------
    name : str
        Of the stream.
    labels : tuple of str
        One an output.
    unit : str
        ``"probability"`` or ``"value"``, as its sender says.
    hop_s : float or None
        Time between decodes, s; None where they come with events.
    attention : int
        Channels after the four that every decode stream has after its outputs.
    contacts : tuple of str
        Labels that the decoder reads; empty where the header does not say.
    """

    name: str
    labels: tuple[str, ...]
    unit: str
    hop_s: float | None
    attention: int
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """One line of JSON of a ``NAME-status`` stream.

    Attributes
    ----------
    t : float
        Its time stamp, s, LSL clock.
    event : str
        What happened; ``"unreadable"`` where the line is not what it should be.
    fields : dict
        What was said of it, and ``stream``: the name of the stream that told it.
    """

    t: float
    event: str
    fields: dict[str, object]


class DecodeLink(Link):
    """The decodes.

    Raises
    ------
    StreamError
        It does not answer, or its channels are not those of a decode stream.
    """

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        super().__init__(found, clock)
        self._inlet: Any = new_inlet(
            found, _BUFFER_S if found.nominal_srate() > 0 else _MARKER_BUFFER
        )
        header = full_info(self._inlet, found, _ANSWER_S)
        self.info = _decode_info(header)
        self.origin = header.desc().child("rtbrain").child_value("origin")
        open_inlet(self._inlet, self.name, found.source_id(), _ANSWER_S)
        self._timed = self._inlet

    def pull(self) -> list[DecodeRow]:
        """Decodes that are here; never waits."""
        try:
            values, stamps = self._inlet.pull_chunk(max_samples=_ITEMS_A_PULL, as_numpy=True)
        except LostError:
            self.lost = True
            return []
        now = self._clock()
        n_outputs = len(self.info.labels)
        rows = []
        for row, stamp in zip(np.asarray(values, np.float32), stamps.tolist(), strict=True):
            valid, coverage, age_s, compute_s = row[n_outputs : n_outputs + 4].tolist()
            outputs = row[:n_outputs].copy()
            rows.append(
                DecodeRow(stamp, now, outputs, valid == 1, coverage, age_s, compute_s),
            )
        if rows:
            self._times.extend(stamps.tolist())
            self._came(len(rows), rows[-1].t_stop)
        return rows

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._inlet = None


class TextLink(Link):
    """Markers or status: one string a sample.

    Raises
    ------
    StreamError
        It does not answer.
    """

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        super().__init__(found, clock)
        self._inlet: Any = new_inlet(found, _MARKER_BUFFER)
        open_inlet(self._inlet, self.name, found.source_id(), _ANSWER_S)
        self._timed = self._inlet

    def pull(self) -> list[tuple[float, str]]:
        """Strings that are here, with their time stamps in s; never waits."""
        try:
            texts, stamps = self._inlet.pull_chunk(max_samples=_ITEMS_A_PULL, as_numpy=True)
        except LostError:
            self.lost = True
            return []
        if not len(stamps):
            return []
        self._times.extend(stamps.tolist())
        self._came(len(stamps), float(stamps[-1]))
        return [
            (float(stamp), text[:_LINE_LIMIT].decode("utf-8", errors="backslashreplace"))
            for stamp, text in zip(stamps, texts[:, 0], strict=True)
        ]

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._inlet = None


def told(t: float, line: str, stream: str) -> Told:
    """What a line of a status stream says; a line that is no event is told as unreadable."""
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return Told(t, "unreadable", {"text": line[:_TEXT_LIMIT], "stream": stream})
    event = fields.pop("event")
    return Told(t, event, {**fields, "stream": stream})


def _decode_info(header: Any) -> DecodeInfo:
    labels: tuple[str, ...] = tuple(header.get_channel_labels() or ())
    n_outputs = labels.index(_WORTH[0]) if _WORTH[0] in labels else 0
    if not n_outputs or labels[n_outputs : n_outputs + len(_WORTH)] != _WORTH:
        raise StreamError(
            f"stream {shown(header.name())} is of type Decode, but its channels are not outputs "
            f"and then {', '.join(_WORTH)}: name another with --decode"
        )
    rate_hz = float(header.nominal_srate())
    units = header.get_channel_units() or ("",)
    return DecodeInfo(
        header.name(),
        labels[:n_outputs],
        units[0] or "value",
        1 / rate_hz if rate_hz > 0 else None,
        len(labels) - n_outputs - len(_WORTH),
        contacts_of(header),
    )


def contacts_of(header: Any) -> tuple[str, ...]:
    """Labels that a decoder reads, by the full header of its decodes; empty if it does not say."""
    contacts: list[str] = []
    node = header.desc().child("montage").child("contacts").child("contact")
    while not node.empty() and len(contacts) < _CONTACT_LIMIT:
        contacts.append(node.child_value("label").strip()[:_TEXT_LIMIT])
        node = node.next_sibling("contact")
    return tuple(filter(None, contacts))
