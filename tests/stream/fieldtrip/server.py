"""A FieldTrip buffer for tests: the TCP protocol, version 1, over a ring of limited length.

Written from the public description of the protocol,
https://www.fieldtriptoolbox.org/development/realtime/buffer_protocol. As a process of its own it
streams brain-like data or waits to be filled::

    python -m tests.stream.fieldtrip_server --channels 128 --rate 2048 --port 1972
"""

import argparse
import contextlib
import socket
import socketserver
import struct
import sys
import threading
import time

import numpy as np

PUT_HDR, PUT_DAT, PUT_EVT, PUT_OK, PUT_ERR = 0x101, 0x102, 0x103, 0x104, 0x105
GET_HDR, GET_DAT, GET_EVT, GET_OK, GET_ERR = 0x201, 0x202, 0x203, 0x204, 0x205
FLUSH_HDR, FLUSH_DAT, FLUSH_EVT, FLUSH_OK, FLUSH_ERR = 0x301, 0x302, 0x303, 0x304, 0x305
WAIT_DAT, WAIT_OK, WAIT_ERR = 0x402, 0x404, 0x405
DTYPES = ("S1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
CHUNK_NAMES, CHUNK_RESOLUTIONS = 1, 3


class Buffer:
    """What the server holds: a header, a ring of samples, all events."""

    def __init__(self, ring_samples: int) -> None:
        self.ring_samples = ring_samples
        self.changed = threading.Condition()
        self.fixed = None
        self.flush_all()

    def flush_all(self) -> None:
        self.chunks = b""
        self.fixed = None
        self.flush_data()
        self.events: list[bytes] = []

    def flush_data(self) -> None:
        self.n_samples = 0

    def put_header(self, body: bytes) -> bool:
        if len(body) < 24:
            return False
        n_channels, _, _, rate, data_type, n_bytes = struct.unpack("IIIfII", body[:24])
        if len(body) != 24 + n_bytes or data_type >= len(DTYPES):
            return False
        self.flush_all()
        self.fixed = n_channels, rate, data_type
        self.chunks = body[24:]
        self.ring = np.zeros((self.ring_samples, n_channels), DTYPES[data_type])
        return True

    def header(self) -> bytes:
        n_channels, rate, data_type = self.fixed
        counts = n_channels, self.n_samples, len(self.events)
        return struct.pack("IIIfII", *counts, rate, data_type, len(self.chunks)) + self.chunks

    def put_data(self, body: bytes) -> bool:
        if self.fixed is None or len(body) < 16:
            return False
        n_channels, n_samples, data_type, n_bytes = struct.unpack("IIII", body[:16])
        if (n_channels, data_type) != (self.fixed[0], self.fixed[2]) or len(body) != 16 + n_bytes:
            return False
        data = np.frombuffer(body[16:], DTYPES[data_type]).reshape(n_samples, n_channels)
        self.append(data)
        return True

    def append(self, data: np.ndarray) -> None:
        """Put samples [n_samples, n_channels]."""
        with self.changed:
            kept = data[-self.ring_samples :]
            first = self.n_samples + data.shape[0] - kept.shape[0]
            self.ring[(first + np.arange(kept.shape[0])) % self.ring_samples] = kept
            self.n_samples += data.shape[0]
            self.changed.notify_all()

    def data(self, first: int, last: int) -> bytes | None:
        oldest = max(0, self.n_samples - self.ring_samples)
        if not oldest <= first <= last < self.n_samples:
            return None
        rows = self.ring[np.arange(first, last + 1) % self.ring_samples]
        fixed = struct.pack("IIII", self.fixed[0], len(rows), self.fixed[2], rows.nbytes)
        return fixed + rows.tobytes()

    def put_events(self, body: bytes) -> bool:
        events = []
        while body:
            if len(body) < 32:
                return False
            stop = 32 + struct.unpack("I", body[28:32])[0]
            events.append(body[:stop])
            body = body[stop:]
        with self.changed:
            self.events += events
            self.changed.notify_all()
        return True

    def wait(self, n_samples: int, n_events: int, timeout_s: float) -> bytes:
        def more() -> bool:
            return self.n_samples > n_samples or len(self.events) > n_events

        with self.changed:
            self.changed.wait_for(more, timeout_s)
            return struct.pack("II", self.n_samples, len(self.events))


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.connections.add(self.request)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            while (prefix := self._read(8)) is not None:
                version, command, n_bytes = struct.unpack("HHI", prefix)
                body = self._read(n_bytes)
                if version != 1 or body is None:
                    return
                status, payload = self._answer(command, body)
                self.request.sendall(struct.pack("HHI", 1, status, len(payload)) + payload)

    def _read(self, n_bytes: int) -> bytes | None:
        got = bytearray()
        while len(got) < n_bytes:
            piece = self.request.recv(n_bytes - len(got))
            if not piece:
                return None
            got += piece
        return bytes(got)

    def _answer(self, command: int, body: bytes) -> tuple[int, bytes]:
        buffer = self.server.buffer
        if command == WAIT_DAT:
            if buffer.fixed is None:
                return WAIT_ERR, b""
            n_samples, n_events, timeout_ms = struct.unpack("III", body)
            return WAIT_OK, buffer.wait(n_samples, n_events, timeout_ms / 1000)
        with buffer.changed:
            if command in (PUT_HDR, PUT_DAT, PUT_EVT):
                put = {PUT_HDR: "put_header", PUT_DAT: "put_data", PUT_EVT: "put_events"}[command]
                return (PUT_OK if getattr(buffer, put)(body) else PUT_ERR), b""
            if command in (FLUSH_HDR, FLUSH_DAT, FLUSH_EVT):
                return self._flush(command), b""
            return self._get(command, body)

    def _flush(self, command: int) -> int:
        buffer = self.server.buffer
        if buffer.fixed is None:
            return FLUSH_ERR
        if command == FLUSH_HDR:
            buffer.flush_all()
        elif command == FLUSH_DAT:
            buffer.flush_data()
        else:
            buffer.events = []
        return FLUSH_OK

    def _get(self, command: int, body: bytes) -> tuple[int, bytes]:
        buffer = self.server.buffer
        answer = None
        if buffer.fixed is not None and command == GET_HDR:
            answer = buffer.header()
        elif buffer.fixed is not None and command == GET_DAT:
            oldest = max(0, buffer.n_samples - buffer.ring_samples)
            answer = buffer.data(
                *(struct.unpack("II", body) if body else (oldest, buffer.n_samples - 1))
            )
        elif command == GET_EVT:
            first, last = struct.unpack("II", body) if body else (0, len(buffer.events) - 1)
            if first <= last < len(buffer.events):
                answer = b"".join(buffer.events[first : last + 1])
        return (GET_ERR, b"") if answer is None else (GET_OK, answer)


class FieldTripServer(socketserver.ThreadingTCPServer):
    """The server, in a thread; a client may put, or the test puts straight into it."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, *, port: int = 0, ring_samples: int = 600_000) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = self.server_address[1]
        self.buffer = Buffer(ring_samples)
        self.connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def put_header(self, n_channels, rate_hz, *, names=None, dtype="f4", chunks=()) -> None:
        """Begin a recording; `chunks` are pairs of type and bytes."""
        if names is not None:
            chunks = [(CHUNK_NAMES, b"".join(name.encode() + b"\0" for name in names)), *chunks]
        extras = b"".join(struct.pack("II", kind, len(body)) + body for kind, body in chunks)
        fixed = struct.pack("IIIfII", n_channels, 0, 0, rate_hz, DTYPES.index(dtype), len(extras))
        with self.buffer.changed:
            assert self.buffer.put_header(fixed + extras)

    def put(self, data: np.ndarray) -> None:
        """Put samples [n_channels, n_samples]."""
        self.buffer.append(data.T)

    def hang_up(self) -> None:
        """Close every connection, and go on serving."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def stop(self) -> None:
        self.shutdown()
        self.hang_up()
        self.server_close()
        self._thread.join()

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no error of the server."""


def main() -> None:
    """Stream brain-like data, sample numbers in channel 0, until killed."""
    from tests.conftest import brain_like, montage_of

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=1972)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2048.0)
    parser.add_argument("--block", type=int, default=32, help="samples a put")
    parser.add_argument("--numbered", action="store_true", help="sample numbers in channel 0")
    told = parser.parse_args()
    server = FieldTripServer(port=told.port)
    loop = brain_like(told.channels, round(8 * told.rate), told.rate, seed=3).T.copy()  # [T, C]
    server.put_header(told.channels, told.rate, names=montage_of(told.channels, told.rate).names)
    print(server.port, flush=True)
    start, n_put = time.monotonic(), 0
    while sys.stdout:
        time.sleep(max(0.0, start + (n_put + told.block) / told.rate - time.monotonic()))
        numbers = np.arange(n_put, n_put + told.block)
        block = loop[numbers % len(loop)]
        if told.numbered:
            block[:, 0] = numbers
        server.buffer.append(block)
        n_put += told.block


if __name__ == "__main__":
    main()
