"""The protocol of a FieldTrip buffer over TCP: requests go ahead, answers are taken as they come.

No call waits longer than its limit, whatever the server does.
"""

import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import StreamError, one_line

_VERSION = 1
_GET_HDR, _GET_DAT, _GET_EVT, _GET_OK, _GET_ERR = 0x201, 0x202, 0x203, 0x204, 0x205
_WAIT_DAT, _WAIT_OK, _WAIT_ERR = 0x402, 0x404, 0x405
_FRAME, _HEADER = struct.Struct("<HHI"), struct.Struct("<IIIfII")
_DATA, _EVENT = struct.Struct("<IIII"), struct.Struct("<IIIIIiiI")
# By the protocol's numbers: 0 is text, 1 to 8 are integers, 9 and 10 floats.
_DTYPES = ("S1", "<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f4", "<f8")
_ANSWER_S = 1.0  # longest without a byte of an answer that is due
_RECEIVE_BYTES = 2**18
# A header may hold a file, such as the description of an MRI or MEG scanner.
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_EVENT_BYTES = 4 * 2**20
_MAX_TEXT = 1000
_RETRY_S = 0.1
_MAX_COUNT = 2**32 - 1
_ATTEMPT_S = 0.5
# Only Linux has it: without, an acknowledgement waits up to 40 ms or 200 ms, and so does the body
# of an answer whose head was sent apart, as the C reference server does.
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)

Raw = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class BufferHeader:
    """What the buffer holds; `chunks` are the header's extra parts by their type."""

    n_channels: int
    n_samples: int
    n_events: int
    sfreq_hz: float
    data_type: int
    chunks: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class BufferCounts:
    """How many samples and events were ever put."""

    n_samples: int
    n_events: int


@dataclass(frozen=True, slots=True, eq=False)
class BufferSamples:
    """Samples `start` to `stop`, not included, [n_samples, n_channels] as they were put.

    None where the buffer does not hold them all any more.
    """

    start: int
    stop: int
    data: Raw | None


@dataclass(frozen=True, slots=True)
class BufferEvent:
    """An event: its sample, and its value as text, or its type where it has no value."""

    sample: int
    text: str


@dataclass(frozen=True, slots=True)
class BufferEvents:
    """Events `start` to `stop`, not included; None where the buffer does not hold them all."""

    start: int
    stop: int
    events: tuple[BufferEvent, ...] | None


Answer = BufferHeader | BufferCounts | BufferSamples | BufferEvents


@dataclass(frozen=True, slots=True)
class _Request:
    ok: int
    refused: int
    max_bytes: int
    allowed_s: float
    read: Callable[[bytes | None], Answer | None]  # None: the server refuses


class BufferConnection:
    """A connection to a FieldTrip buffer.

    Answers come in the order of the requests. An OSError where the server hangs up, sends what no
    answer is, or more than the request can have, or sends nothing for 1 s.

    References
    ----------
    https://www.fieldtriptoolbox.org/development/realtime/buffer_protocol
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._asked: deque[_Request] = deque()
        self._due_s = 0.0

    @property
    def n_asked(self) -> int:
        """Answers that are still to come."""
        return len(self._asked)

    def ask_header(self) -> None:
        """Ask for the header; the answer is None where none was put yet."""
        self._ask(_GET_HDR, b"", _MAX_HEADER_BYTES, _read_header)

    def ask_counts(self, n_samples: int, n_events: int, wait_s: float) -> None:
        """Ask for the counts as soon as one exceeds these, or after `wait_s`."""
        # A hostile count lies at the end of what the protocol can say.
        n_samples, n_events = min(n_samples, _MAX_COUNT), min(n_events, _MAX_COUNT)
        body = struct.pack("<III", n_samples, n_events, round(wait_s * 1000))
        self._ask(_WAIT_DAT, body, 8, _read_counts, wait_s)

    def ask_samples(self, start: int, stop: int, sample_bytes: int) -> None:
        """Ask for samples, of which each has so many bytes."""
        body = struct.pack("<II", start, stop - 1)
        max_bytes = _DATA.size + (stop - start) * sample_bytes
        self._ask(_GET_DAT, body, max_bytes, lambda body: _read_samples(start, stop, body))

    def ask_events(self, start: int, stop: int) -> None:
        """Ask for events by number."""
        body = struct.pack("<II", start, stop - 1)
        self._ask(_GET_EVT, body, _MAX_EVENT_BYTES, lambda body: _read_events(start, stop, body))

    def answer(self, timeout_s: float) -> Answer | None:
        """Next answer; None where it has not come in time, or a header that was not put yet."""
        deadline = time.monotonic() + timeout_s
        while (whole := self._whole()) is None:
            left_s = max(0.0, deadline - time.monotonic())
            if not self._receive(left_s) and time.monotonic() >= deadline:
                if time.monotonic() > self._due_s:
                    raise TimeoutError("it did not answer in time")
                return None
        request, status, body = whole
        self._allow()
        if status not in (request.ok, request.refused):
            raise ConnectionError(f"it answers with an unknown code {status:#x}")
        return request.read(body if status == request.ok else None)

    def wait_for(self, kind: type[Answer], stop: Callable[[], bool]) -> Any:
        """Next answer of a kind; None where there is none, or `stop()` came first."""
        deadline = time.monotonic() + _ANSWER_S
        while self._asked and not stop():
            answer = self.answer(_RETRY_S)
            if isinstance(answer, kind):
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError("it did not answer in time")
        return None

    def close(self) -> None:
        """Hang up; safe to call twice."""
        self._socket.close()

    def _ask(
        self,
        command: int,
        body: bytes,
        max_bytes: int,
        read: Callable[[bytes | None], Answer | None],
        wait_s: float = 0.0,
    ) -> None:
        waits = command == _WAIT_DAT
        ok, refused = (_WAIT_OK, _WAIT_ERR) if waits else (_GET_OK, _GET_ERR)
        request = _Request(ok, refused, max_bytes, _ANSWER_S + wait_s, read)
        self._asked.append(request)
        if len(self._asked) == 1:
            self._allow()
        self._socket.settimeout(_ANSWER_S)
        self._socket.sendall(_FRAME.pack(_VERSION, command, len(body)) + body)

    def _whole(self) -> tuple[_Request, int, bytes] | None:
        """Request and answer that are complete."""
        if len(self._received) < _FRAME.size:
            return None
        version, status, n_bytes = _FRAME.unpack_from(self._received)
        if version != _VERSION:
            raise ConnectionError("it is no FieldTrip buffer of version 1")
        if not self._asked or n_bytes > self._asked[0].max_bytes:
            raise ConnectionError(f"it announces an answer of {n_bytes} bytes")
        stop = _FRAME.size + n_bytes
        if len(self._received) < stop:
            return None
        body = bytes(self._received[_FRAME.size : stop])
        del self._received[:stop]
        return self._asked.popleft(), status, body

    def _receive(self, timeout_s: float) -> bool:
        """Take what has arrived; False where nothing has in time."""
        if _QUICK_ACK is not None:
            # The kernel forgets it with each request that is sent.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self._socket.settimeout(timeout_s)
        try:
            part = self._socket.recv(_RECEIVE_BYTES)
        except (TimeoutError, BlockingIOError):
            return False
        if not part:
            raise ConnectionError("it hung up")
        self._received += part
        self._allow()
        return True

    def _allow(self) -> None:
        """Give the server its time anew."""
        allowed_s = self._asked[0].allowed_s if self._asked else _ANSWER_S
        self._due_s = time.monotonic() + allowed_s


def connect(
    host: str, port: int, timeout_s: float, stop: Callable[[], bool]
) -> tuple[BufferConnection, BufferHeader]:
    """Wait for a buffer and its header; a StreamError where it or `stop()` does not let it."""
    deadline = time.monotonic() + timeout_s
    while True:
        reason = "has no header yet: start the acquisition"
        with contextlib.ExitStack() as stack:
            try:
                link = BufferConnection(host, port, _ATTEMPT_S)
                stack.callback(link.close)
                link.ask_header()
                header = link.wait_for(BufferHeader, stop)
                if header is not None:
                    stack.pop_all()
                    return link, header
            except OSError as error:
                reason = f"does not answer ({one_line(error)}): start it, or correct host and port"
        if stop() or time.monotonic() >= deadline:
            raise StreamError(f"FieldTrip buffer {host}:{port} {reason}; waited {timeout_s:g} s")
        time.sleep(_RETRY_S)


def _read_header(body: bytes | None) -> BufferHeader | None:
    if body is None:
        return None
    if len(body) < _HEADER.size:
        raise ConnectionError("its header is cut short")
    n_channels, n_samples, n_events, sfreq_hz, data_type, _ = _HEADER.unpack_from(body)
    chunks: dict[int, bytes] = {}
    at = _HEADER.size
    while at + 8 <= len(body):
        kind, n_bytes = struct.unpack_from("<II", body, at)
        chunks[kind] = body[at + 8 : at + 8 + n_bytes]
        at += 8 + n_bytes
    return BufferHeader(n_channels, n_samples, n_events, sfreq_hz, data_type, chunks)


def _read_counts(body: bytes | None) -> BufferCounts:
    if body is None or len(body) != 8:
        raise ConnectionError("it has no header any more")
    return BufferCounts(*struct.unpack("<II", body))


def _read_samples(start: int, stop: int, body: bytes | None) -> BufferSamples:
    if body is None:
        return BufferSamples(start, stop, None)
    if len(body) < _DATA.size:
        raise ConnectionError("its data are cut short")
    n_channels, n_samples, data_type, n_bytes = _DATA.unpack_from(body)
    if not 0 < data_type < len(_DTYPES):
        raise ConnectionError("its data are no numbers")
    dtype = np.dtype(_DTYPES[data_type])
    if n_samples != stop - start:
        raise ConnectionError(f"it sent {n_samples} samples, expected {stop - start}")
    if n_bytes != len(body) - _DATA.size or n_bytes != n_channels * n_samples * dtype.itemsize:
        raise ConnectionError("its data do not have the size that they announce")
    data = np.frombuffer(body, dtype, offset=_DATA.size)
    return BufferSamples(start, stop, data.reshape(n_samples, n_channels))


def _read_events(start: int, stop: int, body: bytes | None) -> BufferEvents:
    if body is None:
        return BufferEvents(start, stop, None)
    events, at = [], 0
    while at + _EVENT.size <= len(body):
        kind, n_kind, value, n_value, sample, _, _, n_bytes = _EVENT.unpack_from(body, at)
        at += _EVENT.size
        part, at = body[at : at + n_bytes], at + n_bytes
        name, rest = _text(kind, n_kind, part)
        text, _ = _text(value, n_value, rest)
        events.append(BufferEvent(sample, text or name))
    return BufferEvents(start, stop, tuple(events))


def _text(data_type: int, count: int, part: bytes) -> tuple[str, bytes]:
    """What an event's type or value says, and what follows it: numbers with a space between."""
    if not 0 <= data_type < len(_DTYPES):
        raise ConnectionError(f"an event has an unknown data type {data_type}")
    dtype = np.dtype(_DTYPES[data_type])
    n_bytes = count * dtype.itemsize
    if n_bytes > len(part):
        raise ConnectionError("an event does not have the size that it announces")
    said, rest = part[:n_bytes], part[n_bytes:]
    if data_type == 0:
        return said[:_MAX_TEXT].decode("utf-8", errors="backslashreplace").strip("\0 "), rest
    numbers = np.frombuffer(said, dtype)[:_MAX_TEXT]
    return " ".join(f"{number:.15g}" for number in numbers.tolist())[:_MAX_TEXT], rest
