import numpy as np
import pylsl
import pytest

from rtbrain.errors import StreamError
from rtbrain.recording.open import read_recording
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.stream.lsl.header import read_header
from rtbrain.units import to_microvolts

SFREQ_HZ = 512.0


def header(n_channels=3, *, rate_hz=SFREQ_HZ, fmt="float32", name="amp", stream_type="EEG"):
    return pylsl.StreamInfo(name, stream_type, n_channels, rate_hz, fmt, "amp-1")


def labelled(labels, n_channels=None, *, units=None, kinds=None, locations=None, stream_type="EEG"):
    info = header(len(labels) if n_channels is None else n_channels, stream_type=stream_type)
    channels = info.desc().append_child("channels")
    for row, label in enumerate(labels):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        if units is not None:
            channel.append_child_value("unit", units[row])
        if kinds is not None:
            channel.append_child_value("type", kinds[row])
        if locations is not None and locations[row] is not None:
            location = channel.append_child("location")
            for axis, text in zip("XYZ", locations[row], strict=True):
                location.append_child_value(axis, text)
    return info


def test_labels_kinds_and_rate_become_the_montage():
    info = labelled(["A1", "B'2", "trig µ"], kinds=["SEEG", "ecog", "Misc"])
    montage = read_header(info).montage
    assert montage.names == ("A1", "B'2", "trig µ")
    assert montage.kinds == ("seeg", "ecog", "misc")
    assert montage.sfreq_hz == SFREQ_HZ
    assert montage.positions is None


def test_kinds_that_are_not_given_are_the_stream_s_type():
    assert read_header(labelled(["A1"])).montage.kinds == ("eeg",)
    assert read_header(header(2, stream_type="")).montage.kinds == ("eeg", "eeg")
    assert read_header(header(2, stream_type="LFP")).montage.kinds == ("seeg", "seeg")
    assert read_header(header(2, stream_type="Gaze")).montage.kinds == ("gaze", "gaze")


def test_channels_without_labels_are_numbered_and_that_is_said():
    read = read_header(header(3))
    assert read.montage.names == ("1", "2", "3")
    assert any("no channel labels" in note for note in read.notes)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("microvolts", 1),
        ("uV", 1),
        ("\u00b5V", 1),
        ("\u03bcV", 1),
        (" Microvolt ", 1),
        ("mV", 1e3),
        ("millivolts", 1e3),
        ("V", 1e6),
        ("volts", 1e6),
        ("nV", 1e-3),
        ("nanovolts", 1e-3),
        ("-6", 1),
        ("0", 1e6),
    ],
)
def test_a_known_unit_gives_the_factor_to_microvolts_and_no_note(unit, factor):
    read = read_header(labelled(["A1", "A2"], units=[unit, "uV"]))
    np.testing.assert_array_equal(read.factors, [factor, 1])
    assert read.notes == ()


def test_unknown_and_absent_units_are_taken_as_microvolts_and_that_is_said():
    names = [f"A{i}" for i in range(1, 8)]
    read = read_header(labelled(names, units=["furlongs"] + [""] * 6))
    np.testing.assert_array_equal(read.factors, np.ones(7))
    assert read.notes == (
        "unit 'furlongs' is not known for A1: taken as microvolts",
        "the header gives no unit for A2, A3, A4, A5 and 2 more: taken as microvolts",
    )


def test_locations_without_a_named_space_are_not_used_and_that_is_said():
    info = labelled(["A1"], units=["uV"], locations=[("1", "2", "3")])
    read = read_header(info)
    assert read.montage.positions is None
    assert read.montage.space is None
    assert "without naming their space" in read.notes[0]


def test_broken_locations_are_unknown_positions_and_that_is_said():
    places = [("1.5", "-2", "3e1"), ("1", "north", "3"), ("1", "inf", "2"), None]
    info = labelled(["A1", "A2", "A3", "A4"], units=["uV"] * 4, locations=places)
    info.desc().append_child("montage").append_child_value("space", "MNI mm")
    read = read_header(info)
    assert read.montage.space == "MNI mm"
    np.testing.assert_array_equal(read.montage.positions[0], [1.5, -2, 30])
    assert np.isnan(read.montage.positions[1:]).all()
    assert read.notes == ("no usable location for A2, A3, A4: their position is unknown",)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (header(0), "has 0 channels"),
        (header(2, rate_hz=0.0), "no regular rate"),
        (header(2, fmt="string"), "carries strings"),
        (labelled(["A1", "A\x1b[2J"]), r"channel 2, 'A\\x1b\[2J', has control characters"),
        (labelled(["A1", "A" * 5000]), "label of channel 2 has 5000 characters"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_with_the_reason(info, message):
    with pytest.raises(StreamError, match=message) as caught:
        read_header(info)
    assert "\n" not in str(caught.value)
    assert "'amp'" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "n_channels", "names", "note"),
    [
        (["A1", "A2"], 4, ("A1", "A2", "3", "4"), "without a label are named by number: 3, 4"),
        (["A1", ""], 2, ("A1", "2"), "without a label are named by number: 2"),
        (["A1", "A2"], 1, ("A1",), "labels more than its 1 channels: A2 left out"),
        (["A1", "A1"], 2, ("A1-0", "A1-1"), "labels repeat and are numbered, as A1-0: A1"),
    ],
)
def test_labels_that_do_not_fit_the_channels_are_mended_with_a_note(
    labels, n_channels, names, note
):
    read = read_header(labelled(labels, n_channels))
    assert read.montage.names == names
    assert any(note in line for line in read.notes)


def test_a_hostile_stream_name_stays_on_one_line():
    info = pylsl.StreamInfo("a\nb\x1b" + "x" * 1000, "EEG", 0, 1.0, "float32", "s")
    with pytest.raises(StreamError) as caught:
        read_header(info)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_a_header_of_many_channels_is_not_walked_past_the_announced_count():
    info = labelled([f"A{i}" for i in range(20000)], 2)
    assert read_header(info).notes[0] == ("the header labels more than its 2 channels: A2 left out")


def test_the_origin_that_our_outlets_wrote_is_read():
    info = labelled(["A1"])
    ours = info.desc().append_child("rtbrain")
    ours.append_child_value("origin", "replay")
    assert read_header(info).origin == "replay"


@pytest.mark.parametrize("stream_type", ["EEG", "iEEG", "LFP", "signal", "", "Gaze"])
@pytest.mark.parametrize(
    "units", [["uV"] * 4, ["V", "mV", "nV", "0"], ["-6", "microvolts", "", "furlongs"]]
)
def test_a_header_reads_the_same_live_and_from_a_recording(stream_type, units, tmp_path):
    labels = ["A1", "A2", "DC01", "TRIG"]
    info = labelled(labels, units=units, stream_type=stream_type)
    live = read_header(info)
    samples = np.random.default_rng(0).normal(0, 9, (4, 500)).astype(np.float32)
    writer = open_xdf(tmp_path / "a.xdf")
    stream = writer.add_stream(info.as_xml().encode())
    writer.samples(stream, samples.T, 5 + np.arange(500) / SFREQ_HZ)
    writer.close()
    recording = read_recording(tmp_path / "a.xdf")
    assert recording.montage.names == live.montage.names
    assert recording.montage.kinds == live.montage.kinds
    np.testing.assert_allclose(
        recording.read(0, 500), to_microvolts(samples, live.factors), rtol=1e-6
    )
    for note in live.notes:
        assert f"a.xdf: {note}" in recording.notes
