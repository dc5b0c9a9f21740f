import gzip

import numpy as np
import pytest

from rtbrain.errors import RecordingError
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event
from rtbrain.recording.replay import lost_before
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf
from tests.recording.xdf.file_in_chunks import write_in_chunks

SFREQ_HZ = 512.0
NAMES = ("A1", "B'2", "C<3>")


def signal(n_samples=600, name="amplifier", first_s=4000.0, **kwargs):
    values = brain_like(3, n_samples, SFREQ_HZ).T
    stamps = first_s + np.arange(n_samples) / SFREQ_HZ
    kwargs.setdefault("desc", described(NAMES))
    return XdfStream(name, stamps, values, SFREQ_HZ, **kwargs)


def markers(stamps, texts, name="markers", kind="Markers"):
    return XdfStream(name, np.asarray(stamps), list(texts), 0.0, "string", kind)


def test_labels_kinds_positions_values_and_stamps_are_those_of_the_file(tmp_path):
    path = tmp_path / "session.xdf"
    positions = np.array([[1, 2, 3], [4, 5, 6], [-7.5, 8, 9]])
    written = signal(desc=described(NAMES, positions=positions, space="MNI mm"))
    write_xdf(path, written, markers([4000.5, 4000.25], ["later", "first"]))
    recording = read_recording(path)
    assert recording.montage.names == NAMES
    assert recording.montage.kinds == ("seeg",) * 3
    assert recording.montage.sfreq_hz == SFREQ_HZ
    assert recording.montage.space == "MNI mm"
    np.testing.assert_array_equal(recording.montage.positions, positions.astype(np.float32))
    np.testing.assert_array_equal(recording.read(7, 311), written.values.T[:, 7:311])
    stamps = recording.timestamps(0, recording.n_samples)
    np.testing.assert_allclose(stamps, np.arange(600) / SFREQ_HZ, rtol=0, atol=1e-9)
    assert recording.events == (Event(0.25, 0.0, "first"), Event(0.5, 0.0, "later"))
    assert recording.notes == ()


@pytest.mark.parametrize(
    ("unit", "factor"), [("volts", 1e6), ("mV", 1e3), ("µV", 1), ("μV", 1), ("nanovolts", 1e-3)]
)
def test_every_unit_of_voltage_becomes_microvolts(unit, factor, tmp_path):
    written = signal(20, desc=described(NAMES, unit=unit))
    write_xdf(tmp_path / "unit.xdf", written)
    data = read_recording(tmp_path / "unit.xdf").read(0, 20)
    np.testing.assert_allclose(data, written.values.T * np.float64(factor), rtol=1e-6)


def test_what_the_header_leaves_open_is_noted(tmp_path):
    write_xdf(tmp_path / "bare.xdf", signal(20, desc=""))
    recording = read_recording(tmp_path / "bare.xdf")
    assert recording.montage.names == ("1", "2", "3")
    assert recording.montage.kinds == ("eeg",) * 3
    assert len(recording.notes) == 2
    desc = described(NAMES, positions=np.ones((3, 3)))
    write_xdf(tmp_path / "somewhere.xdf", signal(20, desc=desc))
    recording = read_recording(tmp_path / "somewhere.xdf")
    assert recording.montage.positions is None
    assert "space" in recording.notes[0]


def test_clocks_of_the_streams_are_brought_together(tmp_path):
    # The signal's clock is 100 s behind the recorder's, the markers' is the recorder's own.
    offsets = [(4000.0 + second, 100.0) for second in range(0, 10, 5)]
    event = markers([4100.5], ["go"])
    event.offsets = [(4100.0 + second, 0.0) for second in range(0, 10, 5)]
    write_xdf(tmp_path / "clocks.xdf", signal(offsets=offsets), event)
    (event,) = read_recording(tmp_path / "clocks.xdf").events
    assert event.onset_s == pytest.approx(0.5, abs=1e-6)


def test_of_several_streams_one_must_be_named_and_all_are_listed(tmp_path):
    path = tmp_path / "two.xdf"
    write_xdf(path, signal(name="left", source_id="l-1"), signal(name="right", source_id="r-1"))
    with pytest.raises(RecordingError, match=r"2 streams.*--stream.*'left'.*'right'"):
        read_recording(path)
    left, right = (read_recording(path, stream=name) for name in ("left", "r-1"))
    assert left.n_samples == right.n_samples == 600
    with pytest.raises(RecordingError, match=r"no stream 'up'.*'left'.*'right'"):
        read_recording(path, stream="up")


def test_a_signal_beside_its_decodes_need_not_be_named(tmp_path):
    path, stamps = tmp_path / "session.xdf", 100 + np.arange(20) / 4
    decodes = XdfStream("bed-decode", stamps, np.zeros((20, 3)), 4.0, content="Decode")
    write_xdf(path, decodes, signal())
    assert read_recording(path).montage.names == NAMES
    assert read_recording(path, stream="bed-decode").n_samples == 20


def test_streams_of_one_name_are_told_apart_by_source_id_number_or_type(tmp_path):
    path = tmp_path / "twins.xdf"
    write_xdf(
        path,
        markers([4000.5], ["go"]),
        signal(10, name="a", source_id="x"),
        signal(20, name="a", source_id="y"),
        signal(30, name="a", content="ACC"),
    )
    by = {"y": 20, "1": 10, "2": 20, "3": 30, "acc": 30}
    assert {one: read_recording(path, stream=one).n_samples for one in by} == by
    for wanted in ("a", "EEG", None):
        with pytest.raises(RecordingError, match=r"3 streams.*1 'a'.*2 'a'.*3 'a'"):
            read_recording(path, stream=wanted)


@pytest.mark.parametrize(
    ("labels", "names", "note"),
    [
        (NAMES[:2], (*NAMES[:2], "3"), "without a label are named by number: 3"),
        ((*NAMES[:3], "X"), NAMES[:3], "labels more than its 3 channels: X left out"),
        (("A1", "A1", "A2"), ("A1-0", "A1-1", "A2"), "labels repeat and are numbered"),
    ],
)
def test_labels_that_do_not_fit_the_channels_are_mended_with_a_note(tmp_path, labels, names, note):
    write_xdf(tmp_path / "labels.xdf", signal(10, desc=described(labels)))
    recording = read_recording(tmp_path / "labels.xdf")
    assert recording.montage.names == names
    assert any(note in line for line in recording.notes)


def test_streams_of_a_sender_that_was_started_anew_are_one_with_a_gap(tmp_path):
    path = tmp_path / "anew.xdf"
    parts = [
        signal(600, source_id="amp-1", first_s=4010.0),
        signal(300, source_id="amp-1", first_s=4000.0),
    ]
    write_xdf(path, *parts, markers([4000.25, 4010.5], ["first", "later"]))
    for wanted in (None, "amplifier", "amp-1"):
        recording = read_recording(path, stream=wanted)
        assert recording.n_samples == 900
        expected = np.concatenate([parts[1].values, parts[0].values]).T
        np.testing.assert_array_equal(recording.read(0, 900), expected)
        np.testing.assert_array_equal(recording.read(250, 350), expected[:, 250:350])
        assert lost_before(recording.stamps, SFREQ_HZ)[300] == 10 * SFREQ_HZ - 300
        assert [event.onset_s for event in recording.events] == [0.25, 10.5]
        assert "was started anew: its 2 pieces" in recording.notes[-1]
    assert read_recording(path, stream="1").n_samples == 600
    overlapping = signal(600, source_id="amp-1", first_s=4000.1)
    write_xdf(path, overlapping, signal(600, source_id="amp-1"))
    with pytest.raises(RecordingError, match="2 streams that overlap in time"):
        read_recording(path)
    other = signal(600, source_id="amp-1", desc=described(NAMES[::-1]), first_s=4010.0)
    write_xdf(path, signal(600, source_id="amp-1"), other)
    with pytest.raises(RecordingError, match="choose with --stream"):
        read_recording(path)


@pytest.mark.parametrize("suffix", [".xdfz", ".xdf"])
def test_a_compressed_file_is_read_and_its_copy_goes(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    write_xdf(tmp_path / "one.xdf", written := signal())
    packed = tmp_path / f"packed{suffix}"
    packed.write_bytes(gzip.compress((tmp_path / "one.xdf").read_bytes()))
    recording = read_recording(packed)
    np.testing.assert_array_equal(recording.read(0, 600), written.values.T)
    assert list((tmp_path / "scratch").iterdir())
    recording.close()
    assert not list((tmp_path / "scratch").iterdir())
    whole = packed.read_bytes()
    write_in_chunks(tmp_path / "one.xdf", [signal()], length=50)
    packed.write_bytes(gzip.compress((tmp_path / "one.xdf").read_bytes())[: len(whole) // 2])
    cut = read_recording(packed)
    assert any("ends within a chunk" in note for note in cut.notes)
    cut.close()


def test_a_compressed_bomb_is_refused_before_it_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("rtbrain.recording.xdf.read._GROWTH_FREE_BYTES", 2**20)
    bomb = tmp_path / "bomb.xdfz"
    bomb.write_bytes(gzip.compress(b"XDF:" + bytes(2**25)))
    with pytest.raises(RecordingError, match="expands to more than 4 MiB"):
        read_recording(bomb)


def test_nothing_numeric_and_regular_is_one_clear_line(tmp_path):
    path = tmp_path / "strings.xdf"
    empty = XdfStream("unplugged", np.empty(0), np.empty((0, 3)), SFREQ_HZ)
    write_xdf(path, markers([1.0], ["go"]), empty)
    with pytest.raises(RecordingError, match=r"no regular numeric stream.*'markers'") as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_a_foreign_or_broken_file_is_one_line_and_silence(tmp_path, capfd):
    foreign = tmp_path / "foreign.xdf"
    foreign.write_bytes(b"RIFF0000WAVE")
    with pytest.raises(RecordingError, match=r"foreign\.xdf is no XDF file") as caught:
        read_recording(foreign)
    assert "\n" not in str(caught.value)
    broken = tmp_path / "broken.xdf"
    write_xdf(broken, signal(), signal(name="second"))
    broken.write_bytes(broken.read_bytes()[:5000])
    with pytest.raises(RecordingError):
        read_recording(broken)
    assert capfd.readouterr() == ("", "")


@pytest.mark.shared
def test_files_that_readers_must_survive(shared, capfd):
    folder = shared / "data" / "xdf"
    minimal = read_recording(folder / "minimal.xdf")
    expected = [[192, 255, 238], [12, 22, 32], [13, 23, 33], [14, 24, 34], [15, 25, 35]]
    np.testing.assert_array_equal(minimal.read(0, 5), np.array(expected, np.float32).T)
    assert minimal.montage.sfreq_hz == 10
    assert "Hello" in {event.text for event in minimal.events}
    resets = read_recording(folder / "clock_resets.xdf")
    assert (resets.montage.n_channels, resets.n_samples) == (8, 27815)
    assert (np.diff(resets.timestamps(0, resets.n_samples)) > 0).all()
    assert any("91.6" in note for note in resets.notes)
    assert len(resets.events) == 175
    empty = read_recording(folder / "empty_streams.xdf")
    np.testing.assert_array_equal(empty.read(0, 10), np.arange(10, dtype=np.float32)[None])
    assert any("Empty marker stream" in note for note in empty.notes)
    assert capfd.readouterr() == ("", "")


def test_what_programs_say_of_themselves_is_no_event_of_the_session(tmp_path):
    path = tmp_path / "session.xdf"
    told = markers([4000.2], ['{"event": "live"}'], name="ward-status", kind="Status")
    door = markers([4000.3], ["open"], name="door-status")
    write_xdf(path, signal(), markers([4000.1], ["speech"]), told, door)
    recording = read_recording(path)
    assert [event.text for event in recording.events] == ["speech", "open"]


@pytest.mark.parametrize("value_format", ["int8", "int16", "int32", "int64", "float32", "double64"])
def test_markers_may_be_numbers_of_any_format(tmp_path, value_format):
    values = np.array([[1.0], [2.0], [0.0], [1.0]])
    numbers = XdfStream(
        "trig", 4000 + np.arange(1, 5) / 10, values, 0.0, value_format, "Markers", ""
    )
    write_xdf(tmp_path / "numbers.xdf", signal(), numbers)
    recording = read_recording(tmp_path / "numbers.xdf")
    assert [event.text for event in recording.events] == ["1", "2", "0", "1"]
    np.testing.assert_allclose([e.onset_s for e in recording.events], [0.1, 0.2, 0.3, 0.4])
    assert recording.notes == ()


def test_measurements_at_irregular_times_are_no_markers_and_are_named(tmp_path):
    stamps = 4000 + np.arange(1, 5) / 10
    gaze = XdfStream("gaze", stamps, np.arange(8).reshape(4, 2) / 3, 0.0, "float32", "Gaze")
    other = XdfStream("second", stamps, np.arange(8).reshape(4, 2), 0.0, "int16", "EEG")
    odd = XdfStream("odd", stamps, np.arange(4)[:, None], 0.0, "int16", "Markers")
    keys = XdfStream("keys", stamps, np.array([[5, 9]] * 4), 0.0, "int32", "")
    eyes = XdfStream("EyeMarkers", stamps, np.arange(4)[:, None] / 3, 0.0, "float32", "")
    skin = XdfStream("Marko-GSR", stamps, np.arange(4)[:, None] / 3, 0.0, "float32", "GSR")
    path = tmp_path / "gaze.xdf"
    write_xdf(path, signal(), gaze, other, keys, odd, eyes, skin)
    path.write_bytes(path.read_bytes().replace(b"int16", b"odd16"))
    recording = read_recording(tmp_path / "gaze.xdf")
    assert [event.text for event in recording.events] == ["5"] * 4
    with pytest.raises(RecordingError, match="stream 'second' has no regular rate, a signal needs"):
        read_recording(tmp_path / "gaze.xdf", stream="second")
    left_out = [note for note in recording.notes if "neither a signal nor markers" in note]
    assert [note.split("stream ")[1][:6] for note in left_out] == [
        *("'gaze'", "'secon", "'odd' ", "'EyeMa", "'Marko"),
    ]
    assert any("'keys' are its first channel of 2" in note for note in recording.notes)


def test_annotations_of_mne_lsl_are_called_by_the_labels_of_their_channels(tmp_path):
    # One channel for each text, its value the duration, -1 for none.
    values = np.array([[0, -1.0], [0.5, 0], [0, 2.0]])
    desc = described(("go", "rest"), unit="none", kind="annotations")
    stamps = 4000 + np.arange(1, 4) / 10
    played = XdfStream("p-annotations", stamps, values, 0.0, "double64", "annotations", desc)
    write_xdf(tmp_path / "played.xdf", signal(), played)
    assert [e.text for e in read_recording(tmp_path / "played.xdf").events] == [
        "rest",
        "go",
        "rest",
    ]
