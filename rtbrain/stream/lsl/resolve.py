"""Find the one LSL stream that is meant and connect, or say what is there instead."""

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pylsl
from pylsl.lib import lib
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeoutError

from rtbrain.errors import StreamError, StreamLostError, quote
from rtbrain.stream.lsl.watch import StreamWatcher
from rtbrain.stream_names import is_status

ANSWER_S = 3.0
_POLL_S = 0.02
_MAX_TEXT_BYTES = 65536
_MAX_TEXTS = 1024


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream as its sender announces it; as text, the part of a message that names it.

    `sfreq_hz` is the nominal rate in Hz, 0 for an irregular stream.
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
            f"{quote(self.source_id)}, on {quote(self.host)}, {self.n_channels} "
            f"channel{'s' * (self.n_channels != 1)} {rate})"
        )


def list_streams(timeout_s: float = 1.0) -> list[StreamSummary]:
    """Streams that answer within `timeout_s`, in order of name; below 1 s some may be missed."""
    return _summaries(pylsl.resolve_streams(timeout_s))


def find_matching(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Any], list[Any]]:
    """Streams that have every property, and all streams that were seen.

    Matching is done here and not in liblsl's XPath query, so no name needs escaping, and the
    streams that do not match are known for the message.
    """
    watcher = StreamWatcher()
    deadline = time.monotonic() + timeout_s
    seen: dict[str, Any] = {}
    while True:
        there = watcher.look()
        seen |= {info.uid(): info for info in there}
        matching = [info for info in there if _matches(info, properties)]
        settled = any(watcher.is_settled(info.uid()) for info in matching)
        if stop() or settled or (not matching and time.monotonic() >= deadline):
            break
        time.sleep(_POLL_S)
    if watcher.error and not seen:
        raise StreamError(f"liblsl cannot look for streams now: {watcher.error}")
    return matching, list(seen.values())


def resolve_one(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
) -> Any:
    """The only stream that has every property, as a `pylsl.StreamInfo` without desc."""
    matching, seen = find_matching(properties, timeout_s, stop)
    if not matching:
        raise StreamError(
            f"no LSL stream with {_describe(properties)} within {timeout_s:g} s: {_advice(seen)}"
        )
    if len(matching) > 1:
        raise ambiguous_stream_error(properties, _summaries(matching))
    return matching[0]


def ambiguous_stream_error(
    properties: Mapping[str, str], rows: Sequence[StreamSummary]
) -> StreamError:
    """Error for several streams of which any might be meant."""
    listed = ", ".join(map(str, rows))
    return StreamError(
        f"{len(rows)} LSL streams have {_describe(properties)}: {listed}; pass the source_id of "
        "the one that is meant, or stop the other"
    )


def stream_properties(
    name: str | None, stream_type: str | None, source_id: str | None
) -> dict[str, str]:
    """Those properties that are not None, under liblsl's names."""
    properties = {"name": name, "type": stream_type, "source_id": source_id}
    return {key: value for key, value in properties.items() if value is not None}


def stream_summary(info: Any) -> StreamSummary:
    """Summary of a stream that was found, a `pylsl.StreamInfo`."""
    return StreamSummary(
        info.name(),
        info.type(),
        info.source_id(),
        info.hostname(),
        int(info.channel_count()),
        float(info.nominal_srate()),
    )


@contextmanager
def liblsl_errors(found: Any, what: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Turn whatever pylsl raises about a stream into a StreamLostError."""
    try:
        yield
    except LostError as error:
        raise lost_stream_error(found.name(), found.source_id()) from error
    except LslTimeoutError as error:
        raise StreamLostError(
            f"stream {quote(found.name())} did not {what} within {timeout_s:g} s: "
            "is a firewall between this machine and the sender?"
        ) from error
    except RuntimeError as error:  # liblsl has no room, no socket, or a fault of its own
        raise StreamLostError(
            f"stream {quote(found.name())} cannot be received now: {error}"
        ) from error


def make_inlet(found: Any, max_buffer: int) -> Any:
    """Inlet that maps stamps to this machine's clock and raises when the stream is lost.

    `max_buffer` limits what waits unread: seconds, or hundreds of samples of an irregular stream.
    """
    with liblsl_errors(found, "answer"):
        return pylsl.StreamInlet(
            found, max_buflen=max_buffer, recover=False, processing_flags=pylsl.proc_clocksync
        )


def fetch_full_info(inlet: Any, found: Any, timeout_s: float) -> Any:
    """Header with its desc, as a `pylsl.StreamInfo`; a StreamLostError if it does not come."""
    with liblsl_errors(found, "send its header", timeout_s):
        return inlet.info(timeout_s)


def open_inlet(inlet: Any, found: Any, timeout_s: float) -> None:
    """Connect, and learn the sender's clock now rather than inside the first pull."""
    with liblsl_errors(found, "open its data connection", timeout_s):
        # The clock first, for it takes a second: samples queue from the moment of opening on.
        inlet.time_correction(timeout_s)
        inlet.open_stream(timeout_s)


def measure_clock(inlet: Any) -> tuple[float, float] | None:
    """Offset of the sender's clock and its uncertainty, s; None where liblsl has none yet."""
    remote_s, uncertainty_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    # pylsl's own call leaves the uncertainty out.
    measure = lib.lsl_time_correction_ex
    measure.restype = ctypes.c_double
    offset_s = measure(
        inlet.obj,
        ctypes.byref(remote_s),
        ctypes.byref(uncertainty_s),
        ctypes.c_double(0.0),
        ctypes.byref(code),
    )
    return (float(offset_s), uncertainty_s.value) if code.value == 0 else None


def pull_texts(inlet: Any, found: Any, timeout_s: float = 0.0) -> list[tuple[float, str]]:
    """Texts of a stream of one string a sample, after their time stamps, s; waits for the first.

    Each is cut at 64 KiB; bytes that are not UTF-8 become backslash escapes.
    """
    with liblsl_errors(found, "answer"):
        texts, stamps = inlet.pull_chunk(
            timeout=timeout_s, max_samples=_MAX_TEXTS, min_samples=1, as_numpy=True
        )
    return [
        (float(stamp), text[:_MAX_TEXT_BYTES].decode("utf-8", errors="backslashreplace"))
        for stamp, text in zip(stamps, texts[:, 0] if len(stamps) else (), strict=True)
    ]


def lost_stream_error(name: str, source_id: str) -> StreamLostError:
    """Error for a stream that was there and is gone."""
    return StreamLostError(
        f"stream {quote(name)} (source_id {quote(source_id)}) was there and is gone: "
        "restart its sender"
    )


def _matches(info: Any, properties: Mapping[str, str]) -> bool:
    return all(getattr(info, key)() == value for key, value in properties.items())


def _advice(there: list[Any]) -> str:
    # Status streams are left out: the decoder that asks has sent one itself.
    choices = [info for info in there if not is_status(info.name())]
    if not choices:
        return "there are no other streams; start the sender, or widen the LSL scope"
    listed = ", ".join(map(str, _summaries(choices)))
    return f"there are {listed}; start the sender, or ask for one of these"


def _describe(properties: Mapping[str, str]) -> str:
    return " and ".join(f"{key} {quote(value)}" for key, value in properties.items()) or "any name"


def _summaries(infos: list[Any]) -> list[StreamSummary]:
    return sorted(map(stream_summary, infos), key=lambda row: (row.name, row.source_id, row.host))
