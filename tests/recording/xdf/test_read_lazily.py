"""XDF files against pyxdf, which reads them whole; torn, damaged and huge ones."""

import subprocess
import sys

import numpy as np
import pytest
import pyxdf
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import RecordingError
from rtbrain.recording.open import read_recording
from rtbrain.recording.xdf.index import Index
from rtbrain.recording.xdf.samples import to_recorder_clock
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described
from tests.recording.xdf.file_in_chunks import BOUNDARY, write_in_chunks

SFREQ_HZ = 512.0
NAMES = ("A1", "B'2", "C<3>")
FORMATS = ("float32", "double64", "int16", "int32")


def signal(n_samples=700, value_format="float32", offsets=(), first_s=4000.0):
    values = (10 * brain_like(3, max(n_samples, 16), SFREQ_HZ).T)[:n_samples]
    rng = np.random.default_rng(n_samples)
    jitter_s = rng.normal(0, 1e-4, n_samples)
    stamps = first_s + np.arange(n_samples) / SFREQ_HZ + jitter_s
    desc = described(NAMES)
    return XdfStream(
        "amplifier", stamps, values, SFREQ_HZ, value_format, desc=desc, offsets=list(offsets)
    )


def markers(offsets=(), first_s=4000.0):
    stamps = first_s + np.array([0.1, 0.3, 0.9, 1.2])
    texts = ["go", "größer", "", "stop"]
    return XdfStream("markers", stamps, texts, 0.0, "string", "Markers", offsets=list(offsets))


def read_by_pyxdf(path):
    """The regular numeric stream and the events of a file, as pyxdf reads them."""
    with path.open("rb") as file:
        streams, _ = pyxdf.load_xdf(file, dejitter_timestamps=False)
    one = next(
        one
        for one in streams
        if float(one["info"]["nominal_srate"][0]) > 0 and len(one["time_stamps"])
    )
    # Before the first stamp pyxdf counts from 0; we count back from that stamp.
    lead = np.flatnonzero(np.diff(one["time_stamps"][: round(SFREQ_HZ / 2) + 1]) > 600)
    if lead.size:
        after = int(lead[-1]) + 1
        first = one["time_stamps"][after]
        one["time_stamps"][:after] = first - np.arange(after, 0, -1) / SFREQ_HZ
    origin_s = one["time_stamps"][0]
    texts = [
        (stamp - origin_s, row[0])
        for each in streams
        if each["info"]["channel_format"] == ["string"]
        for stamp, row in zip(each["time_stamps"], each["time_series"], strict=True)
    ]
    return (
        one["time_stamps"] - origin_s,
        np.asarray(one["time_series"]).T,
        sorted(texts, key=lambda one: one[0]),
    )


def assert_as_pyxdf(path):
    stamps, values, texts = read_by_pyxdf(path)
    recording = read_recording(path)
    n = recording.n_samples
    assert n == stamps.size
    np.testing.assert_array_equal(recording.read(0, n), values.astype(np.float32))
    np.testing.assert_allclose(recording.timestamps(0, n), stamps, rtol=0, atol=1e-6)
    assert [event.text for event in recording.events] == [text for _, text in texts]
    onsets = [event.onset_s for event in recording.events]
    np.testing.assert_allclose(onsets, [onset for onset, _ in texts], rtol=0, atol=1e-6)
    recording.close()


def is_stamped(kind, seed=0):
    def stamped(stream):
        n = len(stream.stamps)
        if isinstance(stream.values, list):
            return np.full(n, kind != 0.0)  # else they are of another clock than the signal
        if kind == "first":
            return np.arange(n) == 0
        flags = np.random.default_rng(seed).random(n) < kind
        flags[-1] |= kind > 0
        return flags

    return stamped


@settings(max_examples=30)
@given(
    st.integers(1, 700),
    st.integers(1, 300),
    st.sampled_from([1.0, 0.0, 0.5, 0.02, 0.98, "first"]),
    st.sampled_from(FORMATS),
    st.integers(0, 9),
)
def test_samples_stamps_and_events_are_those_that_pyxdf_reads(
    tmp_path_factory, n_samples, length, stamped, value_format, seed
):
    path = tmp_path_factory.mktemp("xdf") / "one.xdf"
    streams = [signal(n_samples, value_format), markers()]
    flags = is_stamped(stamped, seed)
    write_in_chunks(path, streams, length=length, stamped=flags, seed=seed)
    assert_as_pyxdf(path)


@pytest.mark.parametrize("block", [14, 64, 1000])
def test_what_is_read_does_not_depend_on_the_blocks_of_a_chunk(block, tmp_path, monkeypatch):
    path = tmp_path / "one.xdf"
    write_in_chunks(path, [signal(), markers()], length=200, stamped=is_stamped(0.3))
    monkeypatch.setattr("rtbrain.recording.xdf.samples._BLOCK_BYTES", block)
    monkeypatch.setattr("rtbrain.recording.xdf.samples._FILLED_SAMPLES", block)
    assert_as_pyxdf(path)


@settings(max_examples=30)
@given(st.integers(0, 700), st.integers(0, 700))
def test_any_stretch_is_that_of_the_whole(tmp_path_factory, a, b):
    path = tmp_path_factory.mktemp("xdf") / "one.xdf"
    write_in_chunks(path, [signal(), markers()], length=37, stamped=is_stamped(0.3))
    _, values, _ = read_by_pyxdf(path)
    recording = read_recording(path)
    start, stop = sorted((a, b))
    wanted = values[:, start:stop].astype(np.float32)
    np.testing.assert_array_equal(recording.read(start, stop), wanted)
    recording.close()
    recording.close()


def offsets_of(kind):
    rng = np.random.default_rng(4)
    times = 4000.0 + np.arange(0, 60, 5.0) + rng.uniform(0, 0.01, 12)
    values = 100 + 2e-5 * (times - 4000) + rng.normal(0, 2e-5, 12)
    if kind == "late answers":
        values[[3, 8]] += [0.004, 0.02]
    if kind == "set anew":
        times[6:] += 3000
        values[6:] -= 2999.5
    if kind == "one":
        times, values = times[:1], values[:1]
    return list(zip(times.tolist(), values.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["drift", "late answers", "set anew", "one"])
def test_clocks_are_brought_together_as_pyxdf_does(kind, tmp_path):
    path = tmp_path / "clocks.xdf"
    stream = signal(3000, offsets=offsets_of(kind))
    stream.sfreq_hz = 50.0
    stream.stamps = 4000.0 + np.arange(3000) / 50
    if kind == "set anew":
        stream.stamps[1500:] += 3000
    write_in_chunks(path, [stream, markers(offsets_of("drift"))], length=100)
    assert_as_pyxdf(path)


def test_a_drift_between_clocks_is_found_beside_late_answers():
    times = np.arange(0, 600, 5.0)
    offsets = 50 + 1e-5 * times
    late = offsets.copy()
    late[::7] += 0.05
    stamps = np.arange(0.0, 600.0)
    to_recorder_clock(stamps, times.tolist(), late.tolist())
    np.testing.assert_allclose(stamps, np.arange(600) * (1 + 1e-5) + 50, rtol=0, atol=1e-4)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["minimal", "clock_resets", "empty_streams"])
def test_files_that_readers_must_survive_are_read_as_pyxdf_reads_them(name, shared):
    assert_as_pyxdf(shared / "data" / "xdf" / f"{name}.xdf")


def test_a_file_cut_anywhere_is_read_to_its_last_whole_chunk(tmp_path):
    path = tmp_path / "torn.xdf"
    ends = write_in_chunks(path, [signal(300), markers()], length=40)
    content = path.read_bytes()
    wanted = read_recording(path).read(0, 300)
    for cut in range(ends[2][0], len(content), 97):
        path.write_bytes(content[:cut])
        n = max((stop for end, number, stop in ends if number == 1 and end <= cut), default=0)
        if n == 0:
            continue
        recording = read_recording(path)
        assert recording.n_samples == n
        np.testing.assert_array_equal(recording.read(0, n), wanted[:, :n])
        n_texts = max((stop for end, number, stop in ends if number == 2 and end <= cut), default=0)
        assert len(recording.events) == n_texts
        recording.close()


def test_a_torn_file_says_so_and_so_does_one_that_ends_in_zeros(tmp_path):
    path = tmp_path / "torn.xdf"
    write_in_chunks(path, [signal(300)], length=40)
    content = path.read_bytes()
    for torn in (content[:-5], content + bytes(5000)):
        path.write_bytes(torn)
        recording = read_recording(path)
        assert recording.n_samples == (280 if torn == content[:-5] else 300)
        assert any("torn.xdf ends within a chunk" in note for note in recording.notes)
        recording.close()
    path.write_bytes(content)
    assert read_recording(path).notes == ()


def test_a_file_that_grows_is_read_as_far_as_it_was_whole(tmp_path, monkeypatch):
    path, whole = tmp_path / "grows.xdf", tmp_path / "whole.xdf"
    ends = write_in_chunks(whole, [signal(300)], length=50, boundaries=0)
    torn, later = ends[2][0] - 5, ends[3][0]
    content = whole.read_bytes()
    content = content[:later] + BOUNDARY + content[later:]
    path.write_bytes(content[:torn])

    def grow(*about):  # as soon as its length is known
        path.write_bytes(content)
        return Index(*about)

    monkeypatch.setattr("rtbrain.recording.xdf.index.Index", grow)
    recording = read_recording(path)
    assert recording.n_samples == 100
    assert any("grows.xdf ends within a chunk" in note for note in recording.notes)
    recording.close()


def test_after_a_damaged_chunk_reading_goes_on_at_the_next_boundary(tmp_path):
    path = tmp_path / "damaged.xdf"
    stream = signal(300)
    ends = write_in_chunks(path, [stream], length=50, boundaries=0)
    content = bytearray(path.read_bytes())
    # The third chunk's length is gone; a boundary stands before the fifth.
    at, fifth = ends[1][0], ends[3][0]
    content[at] = 0
    path.write_bytes(bytes(content[:fifth]) + BOUNDARY + bytes(content[fifth:]))
    recording = read_recording(path)
    found = recording.read(0, recording.n_samples)
    kept = np.r_[0:100, 200:300]
    np.testing.assert_array_equal(found, stream.values.T[:, kept])
    assert any(f"bytes {at} to" in note for note in recording.notes)
    recording.close()


def test_a_chunk_whose_bytes_are_no_samples_is_left_out_and_told(tmp_path):
    path = tmp_path / "damaged.xdf"
    stream = signal(300)
    ends = write_in_chunks(path, [stream], length=50, boundaries=0)
    content = bytearray(path.read_bytes())
    content[ends[1][0] - 50 * 21 + 21 * 7] = 3
    path.write_bytes(bytes(content))
    recording = read_recording(path)
    kept = np.r_[0:50, 100:300]
    np.testing.assert_array_equal(recording.read(0, 250), stream.values.T[:, kept])
    assert any("1 chunks of stream 'amplifier' are damaged" in note for note in recording.notes)
    recording.close()


def test_a_file_without_any_whole_samples_gets_one_line(tmp_path):
    path = tmp_path / "short.xdf"
    ends = write_in_chunks(path, [signal(100)], length=100)
    path.write_bytes(path.read_bytes()[: ends[0][0] - 1])
    with pytest.raises(RecordingError, match=r"no regular numeric stream with samples.*amplifier"):
        read_recording(path)
    odd = signal(100)
    odd.stamps = odd.stamps[:0]
    odd.value_format = "float16"
    write_in_chunks(path, [odd], length=10)
    with pytest.raises(RecordingError, match="no regular numeric stream"):
        read_recording(path)


STREAMED = """
import resource, struct, sys
from pathlib import Path
from rtbrain.recording.open import read_recording
sys.path.insert(0, sys.argv[2])
from tests.recording.xdf.file_by_hand import XdfStream, block, described
from tests.recording.xdf.file_in_chunks import header_of
import numpy as np
path, n_channels, n_seconds, rate = Path(sys.argv[1]), 128, 600, 2048
names = [f"A{n}" for n in range(n_channels)]
none = np.empty((0, n_channels))
stream = XdfStream("big", np.empty(0), none, rate, desc=described(names))
with path.open("wb") as file:
    file.write(b"XDF:" + block(1, b"<info><version>1.0</version></info>") + header_of(1, stream))
    for second in range(n_seconds):
        n_bytes = rate * (1 + 4 * n_channels) + 8
        file.write(b"\\x04" + struct.pack("<IHI", n_bytes + 11, 3, 1))
        file.write(b"\\x04" + struct.pack("<I", rate))
        file.write(b"\\x08" + struct.pack("<d", 100.0 + second))
        file.truncate(file.tell() + n_bytes - 9)
        file.seek(0, 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recording = read_recording(path)
n = 0
for start in range(0, recording.n_samples, rate):
    n += recording.read(start, min(start + rate, recording.n_samples)).shape[1]
recording.close()
assert n == n_seconds * rate, n
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(path.stat().st_size / 2**20, (after - before) / 2**10)
"""


def test_a_large_file_is_streamed_in_little_memory(tmp_path, pytestconfig):
    # 600 MiB, nearly all of it a hole on the disk.
    command = [sys.executable, "-c", STREAMED, tmp_path / "big.xdf", pytestconfig.rootpath]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_mebibytes, grown = map(float, done.stdout.split())
    assert n_mebibytes > 590
    assert grown < 100
