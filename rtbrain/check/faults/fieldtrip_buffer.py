"""A FieldTrip buffer to read from, as slow as the C reference server, and a link that delays.

Written from the public description of the protocol, version 1,
https://www.fieldtriptoolbox.org/development/realtime/buffer_protocol.
"""

import contextlib
import queue
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_GET_HDR, _GET_DAT, _GET_EVT, _GET_OK, _GET_ERR = 0x201, 0x202, 0x203, 0x204, 0x205
_WAIT_DAT, _WAIT_OK, _WAIT_ERR = 0x402, 0x404, 0x405
DTYPES = ("S1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
CHUNK_NAMES, CHUNK_RESOLUTIONS = 1, 3
# As the reference server: what is longer is sent apart from its head, with Nagle's algorithm on,
# so that a client that delays its acknowledgements waits 40 ms for each answer.
_WHOLE_BYTES = 4096
_MAX_EVENTS = 100
_PIECE_BYTES = 65536

Samples = npt.NDArray[Any]


class FieldTripServer(socketserver.ThreadingTCPServer):
    """A buffer that its owner fills; it keeps the last `ring_samples` samples and 100 events."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, *, port: int = 0, ring_samples: int = 600_000) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = int(self.server_address[1])
        self.n_samples = 0
        self.changed = threading.Condition()
        self.connections: set[socket.socket] = set()
        self._ring_samples = ring_samples
        self._fixed: tuple[int, float, int] | None = None
        self._events: list[bytes] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def put_header(
        self,
        n_channels: int,
        rate_hz: float,
        *,
        names: Sequence[str] | None = None,
        dtype: str = "f4",
        chunks: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        """Begin a recording; `chunks` are pairs of type and bytes."""
        if names is not None:
            chunks = [(CHUNK_NAMES, b"".join(name.encode() + b"\0" for name in names)), *chunks]
        with self.changed:
            self._fixed = n_channels, rate_hz, DTYPES.index(dtype)
            self._chunks = b"".join(struct.pack("<II", kind, len(b)) + b for kind, b in chunks)
            self._ring = np.zeros((self._ring_samples, n_channels), dtype)
            self._events, self.n_samples = [], 0

    def put(self, data: Samples) -> None:
        """Put samples [n_channels, n_samples]."""
        with self.changed:
            kept = data.T[-self._ring_samples :]
            first = self.n_samples + data.shape[1] - kept.shape[0]
            self._ring[(first + np.arange(kept.shape[0])) % self._ring_samples] = kept
            self.n_samples += data.shape[1]
            self.changed.notify_all()

    def put_event(self, kind: str, value: str | int | float, sample: int) -> None:
        """Put an event of a sample."""
        name = kind.encode()
        if isinstance(value, str):
            code, count, body = 0, len(value.encode()), value.encode()
        else:
            dtype = "i4" if isinstance(value, int) else "f8"
            code, count, body = DTYPES.index(dtype), 1, np.array([value], dtype).tobytes()
        fixed = struct.pack(
            "<IIIIIiiI", 0, len(name), code, count, sample, 0, 0, len(name) + len(body)
        )
        with self.changed:
            self._events.append(fixed + name + body)
            self.changed.notify_all()

    def answer(self, command: int, body: bytes) -> tuple[int, bytes]:
        """Status and payload of a request."""
        with self.changed:
            if self._fixed is None:
                return (_WAIT_ERR if command == _WAIT_DAT else _GET_ERR), b""
            if command == _WAIT_DAT:
                return _WAIT_OK, self._wait(*struct.unpack("<III", body))
            read = {_GET_HDR: self._header, _GET_DAT: self._data, _GET_EVT: self._some_events}
            payload = read[command](body)
            return (_GET_ERR, b"") if payload is None else (_GET_OK, payload)

    def hang_up(self) -> None:
        """Close every connection, and go on serving."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def stop(self) -> None:
        """End."""
        self.shutdown()
        self.hang_up()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server."""

    def _header(self, body: bytes) -> bytes | None:
        if self._fixed is None:
            return None
        n_channels, rate_hz, data_type = self._fixed
        counts = n_channels, self.n_samples, len(self._events)
        return struct.pack("<IIIfII", *counts, rate_hz, data_type, len(self._chunks)) + self._chunks

    def _data(self, body: bytes) -> bytes | None:
        first, last = struct.unpack("<II", body)
        oldest = max(0, self.n_samples - self._ring_samples)
        if self._fixed is None or not oldest <= first <= last < self.n_samples:
            return None
        rows = self._ring[np.arange(first, last + 1) % self._ring_samples]
        fixed = struct.pack("<IIII", self._fixed[0], len(rows), self._fixed[2], rows.nbytes)
        return fixed + bytes(rows.tobytes())

    def _some_events(self, body: bytes) -> bytes | None:
        first, last = struct.unpack("<II", body)
        if not len(self._events) - _MAX_EVENTS <= first <= last < len(self._events):
            return None
        return b"".join(self._events[first : last + 1])

    def _wait(self, n_samples: int, n_events: int, timeout_ms: int) -> bytes:
        def more() -> bool:
            return self.n_samples > n_samples or len(self._events) > n_events

        self.changed.wait_for(more, timeout_ms / 1000)
        return struct.pack("<II", self.n_samples, len(self._events))


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        server.connections.add(self.request)
        with contextlib.suppress(OSError, struct.error, KeyError):
            while (prefix := self._read(8)) is not None:
                _, command, n_bytes = struct.unpack("<HHI", prefix)
                body = self._read(n_bytes)
                if body is None:
                    return
                status, payload = server.answer(command, body)
                head = struct.pack("<HHI", 1, status, len(payload))
                if len(head) + len(payload) <= _WHOLE_BYTES:
                    self.request.sendall(head + payload)
                else:
                    self.request.sendall(head)
                    self.request.sendall(payload)

    def _read(self, n_bytes: int) -> bytes | None:
        got = bytearray()
        while len(got) < n_bytes:
            piece = self.request.recv(n_bytes - len(got))
            if not piece:
                return None
            got += piece
        return bytes(got)


class DelayedLink:
    """A port that leads to another one; what is sent arrives half a round trip later."""

    def __init__(self, port: int, round_trip_s: float) -> None:
        self._to, self._delay_s = port, round_trip_s / 2
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End, and hang up on both sides."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    client.close()
                    continue
                self._open += [client, server]
                for one, other in ((client, server), (server, client)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    pieces: queue.Queue[tuple[float, bytes]] = queue.Queue()
                    for work in ((self._take, one, pieces), (self._give, other, pieces)):
                        threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def _take(self, source: socket.socket, pieces: "queue.Queue[tuple[float, bytes]]") -> None:
        piece = b" "
        while piece:
            piece = b""
            with contextlib.suppress(OSError):
                if hasattr(socket, "TCP_QUICKACK"):  # this side of the link is not what is tried
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                piece = source.recv(_PIECE_BYTES)
            pieces.put((time.monotonic() + self._delay_s, piece))

    def _give(self, target: socket.socket, pieces: "queue.Queue[tuple[float, bytes]]") -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, piece = pieces.get()
                time.sleep(max(0.0, due_s - time.monotonic()))
                if not piece:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(piece)
