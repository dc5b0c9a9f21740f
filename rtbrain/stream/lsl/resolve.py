"""Find the one LSL stream that is meant and connect, or say what is there instead."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeoutError

from rtbrain.errors import StreamError, StreamLostError

_TEXT_LIMIT = 80


# On one machine a single stream answers at once and all others to the query of 0.5 s later
# (measured): a second match must be given the time to show itself.
_SETTLE_S = 1.0


_FORGET_S = 1.5


_FLICKER_S = 1.0


_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What a message says of a stream.

    Attributes
    ----------
    name, stream_type, source_id, host : str
        As its sender announces them.
    n_channels : int
        Number of channels.
    sfreq_hz : float
        Nominal rate in Hz; 0 for an irregular stream.
    """

    name: str
    stream_type: str
    source_id: str
    host: str
    n_channels: int
    sfreq_hz: float

    def __str__(self) -> str:
        rate = f"at {self.sfreq_hz:g} Hz" if self.sfreq_hz > 0 else "irregular"
        return (
            f"{quote(self.name)} (type {quote(self.stream_type)}, source_id "
            f"{quote(self.source_id)}, on {quote(self.host)}, {self.n_channels} channels {rate})"
        )


def quote(text: str) -> str:
    """Text of a sender, quoted, escaped and cut, so that it fits a one-line message."""
    return repr(text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + "...")


def list_streams(timeout_s: float = 1.0) -> list[StreamSummary]:
    """Streams that answer within a time, in order of name.

    Parameters
    ----------
    timeout_s : float
        How long to listen, s; below 1 s some streams may be missed.
    """
    return _rows(pylsl.resolve_streams(timeout_s))


def find_matching(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Any], list[Any]]:
    """Streams that have every property wanted, and all streams that were seen.

    Matching is done here and not in liblsl's XPath query, so no name needs escaping, and the
    streams that do not match are known for the message.
    """
    resolver = pylsl.ContinuousResolver(forget_after=_FORGET_S)
    deadline = time.monotonic() + timeout_s
    settled = None
    seen: dict[str, tuple[float, Any]] = {}
    while True:
        now = time.monotonic()
        seen |= {info.uid(): (now, info) for info in resolver.results()}
        # liblsl's answers flicker: a live stream may be absent from a round of them.
        there = [info for at, info in seen.values() if now - at < _FLICKER_S]
        matching = [info for info in there if _matches(info, properties)]
        if not matching:
            settled = None
        elif settled is None:
            settled = now + _SETTLE_S
        if stop() or now >= (deadline if settled is None else settled):
            return matching, [info for _, info in seen.values()]
        time.sleep(_POLL_S)


def resolve_one(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> Any:
    """The only stream that has every property wanted, as a `pylsl.StreamInfo` without desc."""
    matching, seen = find_matching(properties, timeout_s, stop)
    if not matching:
        raise StreamError(
            f"no LSL stream with {_describe_properties(properties)} within {timeout_s:g} s: {_advice(seen)}"
        )
    if len(matching) > 1:
        raise ambiguous_stream_error(properties, _rows(matching))
    return matching[0]


def ambiguous_stream_error(
    properties: Mapping[str, str], rows: Sequence[StreamSummary]
) -> StreamError:
    """Error for several streams of which any might be meant."""
    listed = ", ".join(map(str, rows))
    return StreamError(
        f"{len(rows)} LSL streams have {_describe_properties(properties)}: {listed}; pass the source_id of the "
        "one that is meant, or stop the other"
    )


def stream_properties(
    name: str | None, stream_type: str | None, source_id: str | None
) -> dict[str, str]:
    """Properties that were given, under liblsl's names."""
    given = {"name": name, "type": stream_type, "source_id": source_id}
    return {key: value for key, value in given.items() if value is not None}


def make_inlet(found: Any, max_buffer: int) -> Any:
    """Inlet that maps stamps to this machine's clock and raises when the stream is lost.

    Parameters
    ----------
    found : pylsl.StreamInfo
        The stream.
    max_buffer : int
        What may wait unread: seconds, or hundreds of samples of an irregular stream.
    """
    return pylsl.StreamInlet(
        found, max_buflen=max_buffer, recover=False, processing_flags=pylsl.proc_clocksync
    )


def fetch_full_info(inlet: Any, found: Any, timeout_s: float) -> Any:
    """Header with its desc, as a `pylsl.StreamInfo`.

    Raises
    ------
    StreamLostError
        The stream has gone.
    StreamError
        The header did not come in time.
    """
    try:
        return inlet.info(timeout_s)
    except LostError as error:
        raise lost_stream_error(found.name(), found.source_id()) from error
    except LslTimeoutError as error:
        raise _unreachable(found.name(), "send its header", timeout_s) from error


def open_inlet(inlet: Any, name: str, source_id: str, timeout_s: float) -> None:
    """Connect, and learn the sender's clock now rather than inside the first pull.

    Raises
    ------
    StreamLostError
        The stream has gone.
    StreamError
        The data connection did not open in time.
    """
    try:
        # The clock first, for it takes a second: samples queue from the moment of opening on.
        inlet.time_correction(timeout_s)
        inlet.open_stream(timeout_s)
    except LostError as error:
        raise lost_stream_error(name, source_id) from error
    except LslTimeoutError as error:
        raise _unreachable(name, "open its data connection", timeout_s) from error


def lost_stream_error(name: str, source_id: str) -> StreamLostError:
    """Error for a stream that was there and is gone."""
    return StreamLostError(
        f"stream {quote(name)} (source_id {quote(source_id)}) was there and is gone: "
        "restart its sender"
    )


def _unreachable(name: str, what: str, timeout_s: float) -> StreamError:
    return StreamError(
        f"stream {quote(name)} did not {what} within {timeout_s:g} s: "
        "is a firewall between this machine and the sender?"
    )


def _matches(info: Any, properties: Mapping[str, str]) -> bool:
    return all(getattr(info, key)() == value for key, value in properties.items())


def _advice(there: list[Any]) -> str:
    if not there:
        return "there are no streams at all; start the sender, or widen the LSL scope"
    listed = ", ".join(str(row) for row in _rows(there))
    return f"there are {listed}; start the sender, or ask for one of these"


def _describe_properties(properties: Mapping[str, str]) -> str:
    return " and ".join(f"{key} {quote(value)}" for key, value in properties.items()) or "any name"


def stream_summary(info: Any) -> StreamSummary:
    """What a message says of a stream that was found, a `pylsl.StreamInfo`."""
    return StreamSummary(
        info.name(),
        info.type(),
        info.source_id(),
        info.hostname(),
        int(info.channel_count()),
        float(info.nominal_srate()),
    )


def _rows(infos: list[Any]) -> list[StreamSummary]:
    return sorted(map(stream_summary, infos), key=lambda row: (row.name, row.source_id, row.host))
