"""One TCP connection to a FieldTrip buffer, with a time limit on everything."""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import MontageError, StreamError
from rtbrain.stream.fieldtrip.mne_client import mne_realtime
from rtbrain.stream.lsl.header import require_plain_labels
from rtbrain.types import Montage, Times

_ANSWER_S = 1.0
# Headers hold files of some MB, data requests at most some 100 kB.
_LONGEST_ANSWER = 64 * 2**20
_RETRY_S = 0.1
_NEVER = 2**32 - 1
Raw = npt.NDArray[Any]
# Numbers of the protocol's data types: 0 is text; 1 to 8 are integers, 9 and 10 floats.
_INTEGERS = range(1, 9)
_NUMBERS = range(1, 11)
_CHUNK_LABELS = 1
_CHUNK_RESOLUTIONS = 3


class _Wire:
    """A socket that receives exactly the bytes it should in time, or raises.

    mne-realtime's client waits for an answer without limit, and where the server hangs up it
    asks an ended connection for the rest for ever (version 0.3.0, ``receiveResponse``).
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self.deadline = 0.0

    def send(self, request: bytes) -> int:
        self._socket.settimeout(self._left_s())
        self._socket.sendall(request)
        return len(request)

    def recv(self, n_bytes: int) -> bytes:
        if n_bytes > _LONGEST_ANSWER:
            raise ConnectionError(f"it announces an answer of {n_bytes} bytes")
        answer = bytearray(n_bytes)
        view, n_read = memoryview(answer), 0
        while n_read < n_bytes:
            self._socket.settimeout(self._left_s())
            n_more = self._socket.recv_into(view[n_read:])
            if not n_more:
                raise ConnectionError("it hung up")
            n_read += n_more
        return bytes(answer)

    def close(self) -> None:
        self._socket.close()

    def _left_s(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it did not answer in time")
        return left


class BufferConnection:
    """A connection to a FieldTrip buffer, through the protocol code of mne-realtime's client.

    References
    ----------
    https://www.fieldtriptoolbox.org/development/realtime/buffer_protocol
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        connected = socket.create_connection((host, port), timeout=timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wire = _Wire(connected)
        self._client: Any = mne_realtime.externals.FieldTrip.Client()
        self._client.sock, self._client.isConnected = self._wire, True

    def header(self) -> Any | None:
        """The buffer's header, a ``mne_realtime.externals.FieldTrip.Header``; None if unwritten."""
        self._allow(_ANSWER_S)
        try:
            return self._client.getHeader()
        except UnicodeDecodeError as error:
            raise StreamError(f"the channel labels are no UTF-8 text: {error}") from error

    def wait(self, n_samples: int, timeout_s: float) -> int:
        """How many samples were ever put, as soon as it is more than `n_samples`."""
        self._allow(timeout_s + _ANSWER_S)
        n_there, _ = self._client.wait(n_samples, _NEVER, round(timeout_s * 1000))
        return int(n_there)

    def data(self, start: int, stop: int) -> Raw | None:
        """Samples `start` to `stop`, not included: [n_samples, n_channels] as they were put.

        None where the buffer does not hold them all any more.
        """
        self._allow(_ANSWER_S)
        try:
            data: Raw | None = self._client.getData((start, stop - 1))
        except (TypeError, ValueError) as error:
            raise OSError("its data do not have the size that they announce") from error
        if data is not None and data.shape[0] != stop - start:
            raise OSError(f"it sent {data.shape[0]} samples, expected {stop - start}")
        return data

    def unread(self, start: int, n_there: int, n_most: int) -> tuple[int, Raw] | None:
        """Number of the first sample from `start` on that the buffer still holds, and samples."""
        ahead = 0
        while True:
            raw = self.data(start, min(start + n_most, n_there))
            if raw is not None:
                return start, raw
            oldest = self._oldest(start, n_there)
            if oldest is None:
                return None
            # The ring moves on meanwhile: each time it wins, the next read starts farther in.
            start = min(oldest + ahead, n_there - 1)
            ahead = 2 * ahead + 1

    def _oldest(self, gone: int, n_there: int) -> int | None:
        """By bisection: the protocol does not say how many samples a buffer keeps."""
        held = n_there - 1
        if held <= gone or self.data(held, held + 1) is None:
            return None
        while held - gone > 1:
            middle = (gone + held) // 2
            if self.data(middle, middle + 1) is None:
                gone = middle
            else:
                held = middle
        return held

    def close(self) -> None:
        """Hang up; safe to call twice."""
        self._wire.close()

    def _allow(self, timeout_s: float) -> None:
        self._wire.deadline = time.monotonic() + timeout_s


def connect(host: str, port: int, timeout_s: float) -> tuple[BufferConnection, Any]:
    """Wait for a buffer and its header."""
    deadline = time.monotonic() + timeout_s
    while True:
        reason = "has no header yet: start the acquisition"
        link = None
        try:
            link = BufferConnection(host, port, max(_RETRY_S, deadline - time.monotonic()))
            header = link.header()
            if header is not None:
                kept, link = link, None
                return kept, header
        except OSError as error:
            reason = f"does not answer ({error}): start it, or correct host and port"
        finally:
            if link is not None:
                link.close()
        if time.monotonic() >= deadline:
            raise StreamError(f"FieldTrip buffer {host}:{port} {reason}; waited {timeout_s:g} s")
        time.sleep(_RETRY_S)


@dataclass(frozen=True, slots=True, eq=False)
class BufferHeader:
    """A header: montage, factors to its unit, and what was assumed."""

    montage: Montage
    factors: Times  # float64 [n_channels]
    notes: tuple[str, ...]


def read_buffer_header(header: Any, where: str, names: Sequence[str] | None) -> BufferHeader:
    """Read a buffer's header; `names` are its channels' where it has no labels."""
    n_channels = int(header.nChannels)
    if n_channels < 1:
        raise StreamError(f"{where} has no channels, a signal needs one or more: name another")
    if header.dataType not in _NUMBERS:
        raise StreamError(f"{where} holds no numbers (data type {header.dataType}): name another")
    notes: list[str] = []
    labels = tuple(label.strip() for label in header.labels)
    require_plain_labels(labels, where)
    if not labels and header.chunks.get(_CHUNK_LABELS, b"").strip(b"\0"):
        raise StreamError(
            f"{where} has {n_channels} channels, but its header labels fewer: correct the "
            "sender's header"
        )
    if not labels and names is None:
        notes.append(f"the header has no channel labels: channels are named 1 to {n_channels}")
        labels = tuple(str(number) for number in range(1, n_channels + 1))
    labels = labels or tuple(names or ())
    if len(labels) != n_channels:
        raise MontageError(f"{where} has {n_channels} channels, got {len(labels)} names")
    notes.append("the buffer does not say what kind its channels are: taken as misc")
    try:
        montage = Montage(labels, ("misc",) * n_channels, float(header.fSample))
    except MontageError as error:
        raise MontageError(f"{where}: {error}") from error
    return BufferHeader(montage, _factors(header, notes), tuple(notes))


def _factors(header: Any, notes: list[str]) -> Times:
    if header.dataType not in _INTEGERS:
        return np.ones(header.nChannels)
    chunk = header.chunks.get(_CHUNK_RESOLUTIONS, b"")
    if len(chunk) == 8 * header.nChannels:
        return np.frombuffer(chunk, np.float64)
    notes.append("the samples are integers without a resolution: one step is taken as one unit")
    return np.ones(header.nChannels)
