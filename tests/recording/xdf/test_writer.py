import errno
import logging
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import SettingsError, StreamError
from rtbrain.recording.xdf.writer import XdfWriter, open_xdf
from tests.recording.xdf.fakes import DTYPES, FakeDisk, header, read, values_of


@pytest.fixture(autouse=True)
def _quiet_pyxdf():
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("value_format", [*DTYPES, "string"])
def test_pyxdf_gives_back_every_value_and_stamp_of_each_format(value_format):
    disk = FakeDisk()
    writer = XdfWriter(disk)
    stream = writer.add_stream(header(n_channels=4, value_format=value_format))
    values = values_of(value_format, 700, 4)
    stamps = 1e5 + np.sort(np.random.default_rng(1).uniform(0, 9, 700))
    for part in np.split(np.arange(700), [1, 1, 250]):
        writer.samples(stream, values[part], stamps[part])
        writer.flush()
    writer.close()
    (got,) = read(disk.data)
    np.testing.assert_array_equal(np.array(got["time_series"], values.dtype), values)
    np.testing.assert_array_equal(got["time_stamps"], stamps)
    footer = got["footer"]["info"]
    assert footer["sample_count"] == ["700"]
    assert float(footer["first_timestamp"][0]) == stamps[0]
    assert float(footer["last_timestamp"][0]) == stamps[-1]


def test_headers_are_written_byte_for_byte_and_their_labels_are_read():
    desc = (
        "<channels><channel><label>Aµ1</label><unit>microvolts</unit></channel>"
        "<channel><label>B&amp;2</label><unit>volts</unit></channel></channels>"
    )
    xml = header("grün", 2, desc=desc)
    disk = FakeDisk()
    writer = XdfWriter(disk)
    writer.add_stream(xml)
    writer.close()
    assert xml in bytes(disk.data)
    (got,) = read(disk.data)
    channels = got["info"]["desc"][0]["channels"][0]["channel"]
    assert [channel["label"] for channel in channels] == [["Aµ1"], ["B&2"]]
    assert [channel["unit"] for channel in channels] == [["microvolts"], ["volts"]]
    assert got["info"]["name"] == ["grün"]
    assert len(got["time_stamps"]) == 0


def test_two_streams_are_brought_to_one_clock_by_their_offsets():
    disk = FakeDisk()
    writer = XdfWriter(disk)
    signal = writer.add_stream(header())
    markers = writer.add_stream(header("markers", 1, "string", 0.0))
    # The signal's sender is 1000 s behind this machine, the markers' sender 5 s ahead.
    for second in range(0, 60, 5):
        writer.clock_offset(signal, 2000.0 + second, 1000.0)
        writer.clock_offset(markers, 2000.0 + second, -5.0)
    stamps = 1000 + np.arange(60 * 512) / 512
    writer.samples(signal, np.zeros((stamps.size, 3), np.float32), stamps)
    writer.samples(markers, np.array([["go"]], object), np.array([2035.0]))
    writer.close()
    got = {stream["info"]["name"][0]: stream for stream in read(disk.data)}
    np.testing.assert_allclose(got["sig"]["time_stamps"], stamps + 1000, atol=1e-6)
    np.testing.assert_allclose(got["markers"]["time_stamps"], [2030.0], atol=1e-6)
    assert got["sig"]["clock_times"][0] == 1000.0
    offsets = got["sig"]["footer"]["info"]["clock_offsets"][0]["offset"]
    assert len(offsets) == 12
    assert float(offsets[1]["time"][0]) == 1005.0


def written_before(writes, n_bytes):
    """The file as it is when the process dies after so many bytes."""
    data = bytearray()
    for offset, piece in writes:
        piece = piece[:n_bytes]
        data[offset : offset + len(piece)] = piece
        n_bytes -= len(piece)
        if n_bytes <= 0:
            break
    return data


def session(disk, clock):
    writer = XdfWriter(disk, clock=lambda: clock[0])
    signal = writer.add_stream(header(sfreq_hz=64.0))
    markers = writer.add_stream(header("markers", 1, "string", 0.0))
    for second in range(24):
        clock[0] = float(second)
        stamps = second + np.arange(64) / 64
        values = values_of("float32", 64, 3, seed=second)
        writer.samples(signal, values, stamps)
        writer.samples(markers, np.array([[f"s{second}"]], object), np.array([float(second)]))
        writer.clock_offset(signal, 100.0 + second, 0.25)
        writer.flush()
    return writer


_WHOLE = FakeDisk()
session(_WHOLE, [0.0]).close()
_N_BYTES = sum(len(piece) for _, piece in _WHOLE.writes)
_HEAD = sum(len(piece) for _, piece in _WHOLE.writes[:4])


@settings(max_examples=150)
@given(st.integers(_HEAD, _N_BYTES))
def test_killed_at_any_byte_the_file_reads_to_the_last_flush(n_bytes):
    data = written_before(_WHOLE.writes, n_bytes)
    streams = {stream["info"]["name"][0]: stream for stream in read(data, synchronize_clocks=False)}
    n_samples = len(streams["sig"]["time_stamps"])
    assert n_samples % 64 == 0
    n_flushed = n_samples // 64
    expected = [values_of("float32", 64, 3, seed=second) for second in range(n_flushed)]
    if expected:
        np.testing.assert_array_equal(streams["sig"]["time_series"], np.concatenate(expected))
    assert streams["markers"]["time_series"] == [[f"s{second}"] for second in range(n_flushed)]
    # What two bytes before was complete is there: a flush at most is missing.
    at = 0
    flushed_bytes = []
    for offset, piece in _WHOLE.writes:
        at += len(piece)
        if len(piece) == 1 and offset > 1:
            flushed_bytes.append(at)
    n_commits = sum(at <= n_bytes for at in flushed_bytes)
    assert n_flushed >= n_commits - 3  # boundaries, at 10 s and 20 s, and the footers


def test_every_ten_seconds_there_is_a_boundary():
    uuid = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
    assert bytes(_WHOLE.data).count(uuid) == 2


def test_a_damaged_stretch_costs_no_more_than_to_the_next_boundary():
    data = bytearray(_WHOLE.data)
    at = bytes(data).index(b"s3")
    data[at - 30 : at + 40] = b"\0" * 70
    streams = {stream["info"]["name"][0]: stream for stream in read(data, synchronize_clocks=False)}
    assert len(streams["sig"]["time_stamps"]) >= (24 - 10) * 64


@pytest.mark.parametrize("no_cut", [False, True])
def test_a_full_disk_leaves_a_whole_file_and_what_waits_is_written_when_there_is_room(no_cut):
    disk = FakeDisk(room=20_000)
    disk.no_cut = no_cut
    writer = XdfWriter(disk)
    stream = writer.add_stream(header())
    n_samples, failures = 0, 0
    for second in range(10):
        writer.samples(
            stream,
            values_of("float32", 512, 3, seed=second),
            second + np.arange(512) / 512,
        )
        try:
            writer.flush()
        except OSError:
            failures += 1
            (got,) = read(disk.data)
            assert len(got["time_stamps"]) == n_samples
        else:
            n_samples += 512
    assert failures > 5
    assert writer.counts[stream].n_waiting == 10 * 512 - n_samples
    disk.room = 1 << 30
    writer.flush()
    writer.close()
    (got,) = read(disk.data)
    everything = np.concatenate([values_of("float32", 512, 3, seed=second) for second in range(10)])
    np.testing.assert_array_equal(got["time_series"], everything)
    assert writer.counts[stream].n_dropped == 0


def test_what_does_not_fit_into_memory_is_dropped_oldest_first_and_counted():
    disk = FakeDisk()
    writer = XdfWriter(disk, max_waiting_bytes=50_000)
    disk.broken = errno.EIO
    stream = writer.add_stream(header())
    late = writer.add_stream(header("markers", 1, "string", 0.0))
    for second in range(20):
        stamps = second + np.arange(512) / 512
        writer.samples(stream, values_of("float32", 512, 3, seed=second), stamps)
        with pytest.raises(OSError, match="broken"):
            writer.flush()
    writer.samples(late, np.array([["go"]], object), np.array([20.0]))
    assert writer.n_waiting_bytes <= 50_000
    disk.broken = None
    writer.flush()
    writer.close()
    signal, markers = read(disk.data)
    count = writer.counts[stream]
    assert count.n_written + count.n_dropped == 20 * 512
    assert count.n_waiting == 0
    assert 0 < len(signal["time_stamps"]) == count.n_written
    assert signal["time_stamps"][-1] == 19 + 511 / 512
    assert markers["time_series"] == [["go"]]


def test_a_close_on_a_full_disk_says_so_and_counts_what_is_not_there():
    disk = FakeDisk()
    writer = XdfWriter(disk)
    stream = writer.add_stream(header())
    writer.samples(stream, values_of("float32", 512, 3), np.arange(512) / 512)
    writer.flush()
    disk.room = len(disk.data) + 400
    writer.samples(stream, values_of("float32", 512, 3), 1 + np.arange(512) / 512)
    with pytest.raises(OSError, match="no space"):
        writer.close()
    assert disk.closed
    assert writer.counts[stream].n_dropped == 512
    (got,) = read(disk.data)
    assert len(got["time_stamps"]) == 512
    assert got["footer"]["info"]["sample_count"] == ["512"]  # there was room for the footer
    writer.close()


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "session.xdf"
    path.write_bytes(b"precious")
    with pytest.raises(SettingsError, match="already exists"):
        open_xdf(path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(SettingsError, match="cannot be made: No such file"):
        open_xdf(tmp_path / "absent" / "session.xdf")


def test_a_file_on_a_real_disk_reads_at_each_flush(tmp_path):
    path = tmp_path / "session.xdf"
    writer = open_xdf(path)
    stream = writer.add_stream(header())
    for second in range(3):
        writer.samples(stream, values_of("float32", 512, 3), second + np.arange(512) / 512)
        writer.flush()
        (got,) = read(path.read_bytes())
        assert len(got["time_stamps"]) == 512 * (second + 1)
    assert writer.n_bytes == path.stat().st_size
    path.unlink()
    writer.samples(stream, values_of("float32", 512, 3), 4 + np.arange(512) / 512)
    with pytest.raises(OSError, match="removed"):
        writer.flush()
    with pytest.raises(OSError, match="removed"):
        writer.close()


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (header(n_channels=0), "0 channels"),
        (header(value_format="complex"), "'complex'"),
        (header(n_channels="many"), "channel_count"),
        (b"<info><name>x</name></info>", "channel_count"),
        (header("a&#01;"), "no XML"),
        (b"\xff\xfe", "no XML"),
    ],
)
def test_a_header_that_would_spoil_the_file_is_refused(xml, says):
    writer = XdfWriter(FakeDisk())
    with pytest.raises(StreamError, match=says):
        writer.add_stream(xml)
    assert not writer.counts


def test_samples_that_do_not_fit_the_header_are_refused():
    writer = XdfWriter(FakeDisk())
    stream = writer.add_stream(header())
    with pytest.raises(StreamError, match="3 channels of float32, got float64"):
        writer.samples(stream, np.zeros((5, 3)), np.arange(5.0))
    with pytest.raises(StreamError, match=r"\(5, 2\)"):
        writer.samples(stream, np.zeros((5, 2), np.float32), np.arange(5.0))


def test_the_same_samples_in_pieces_of_any_length_are_the_same_recording():
    values, stamps = values_of("int16", 300, 2), np.arange(300) / 64

    def recorded(lengths):
        disk = FakeDisk()
        writer = XdfWriter(disk)
        stream = writer.add_stream(header(n_channels=2, value_format="int16"))
        for part in np.split(np.arange(300), np.cumsum(lengths)):
            writer.samples(stream, values[part], stamps[part])
        writer.close()
        (got,) = read(disk.data)
        return got

    whole, pieces = recorded([]), recorded([1, 0, 7, 100])
    np.testing.assert_array_equal(whole["time_series"], pieces["time_series"])
    np.testing.assert_array_equal(whole["time_stamps"], pieces["time_stamps"])
    assert whole["footer"] == pieces["footer"]


def test_more_than_four_gigabytes_have_a_length_of_eight_bytes():
    from rtbrain.recording.xdf.chunks import length_bytes

    assert length_bytes(255) == b"\x01\xff"
    assert length_bytes(256) == b"\x04" + struct.pack("<I", 256)
    assert length_bytes(1 << 32) == b"\x08" + struct.pack("<Q", 1 << 32)
