"""What a FieldTrip buffer says of itself is taken up, or refused with the reason."""

import socket
import threading

import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.errors import MontageError, SettingsError, StreamError
from tests.stream.fieldtrip.conftest import made


@pytest.mark.parametrize(
    ("header", "settings", "error", "says"),
    [
        ({"n_channels": 0, "rate_hz": 100.0}, {}, StreamError, "no channels"),
        ({"n_channels": 1, "rate_hz": 0.0}, {}, MontageError, "more than 0"),
        ({"n_channels": 1, "rate_hz": float("nan")}, {}, MontageError, "more than 0"),
        ({"n_channels": 1, "rate_hz": 9.0, "dtype": "S1"}, {}, StreamError, "no numbers"),
        ({"n_channels": 2, "rate_hz": 9.0, "names": ("a", "a")}, {}, MontageError, "repeat"),
        ({"n_channels": 3, "rate_hz": 9.0, "names": ("a",)}, {}, StreamError, "labels fewer"),
        ({"n_channels": 3, "rate_hz": 9.0, "names": ("a", "", "b")}, {}, StreamError, "0 charact"),
        ({"n_channels": 3, "rate_hz": 9.0, "names": ("a", "b")}, {}, StreamError, "stream.names"),
        ({"n_channels": 10**5, "rate_hz": 9.0}, {}, StreamError, "claims 100000 channels"),
        ({"n_channels": 64, "rate_hz": 1e30}, {}, MontageError, "a rate of 1e.30 Hz"),
        ({"n_channels": 1, "rate_hz": 9.0, "names": ("a\x1b[2J",)}, {}, StreamError, "control"),
        ({"n_channels": 1, "rate_hz": 9.0, "names": ("x" * 10**6,)}, {}, StreamError, "1000000"),
        ({"n_channels": 1, "rate_hz": 9.0, "chunks": [(1, b"\xff\0")]}, {}, StreamError, "UTF-8"),
        ({"n_channels": 2, "rate_hz": 9.0}, {"names": ("a",)}, MontageError, "got 1 names"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_with_the_reason(header, settings, error, says):
    server = FieldTripServer(ring_samples=10)
    header = dict(header)
    server.put_header(header.pop("n_channels"), header.pop("rate_hz"), **header)
    with pytest.raises(error, match=says) as caught:
        made(port=server.port, **settings)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    server.stop()


def test_channels_without_labels_are_named_or_numbered(server):
    server.put_header(3, 100.0)
    assert made(port=server.port).montage.names == ("1", "2", "3")
    named = made(port=server.port, names=("a", "b", "c"))
    assert named.montage.names == ("a", "b", "c")
    assert not any("labels" in note for note in named.notes)
    server.put_header(3, 100.0, names=("a",))
    named = made(port=server.port, names=("a", "b", "c"))
    assert named.montage.names == ("a", "b", "c")
    assert any("labels only 1 of 3" in note for note in named.notes)


def test_nobody_there_no_header_and_a_wrong_unit_are_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    with pytest.raises(StreamError, match=f"127.0.0.1:{free} does not answer"):
        made(port=free, timeout_s=0.1)
    server = FieldTripServer()
    with pytest.raises(StreamError, match="has no header yet"):
        made(port=server.port, timeout_s=0.1)
    server.stop()
    with pytest.raises(SettingsError, match="'furlongs'"):
        made(unit="furlongs")


@pytest.mark.parametrize("answer", [b"", b"\2\0\4\2\0\0\0\0", b"\1\0\4\2\xff\xff\xff\xff", b"GET "])
def test_a_server_that_talks_nonsense_is_refused_in_time(answer):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(8)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(StreamError, match="does not answer"):
        made(port=listener.getsockname()[1], timeout_s=0.2)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
