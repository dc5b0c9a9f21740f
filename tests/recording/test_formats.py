"""Formats of other programs: named by their suffix, read through their own libraries."""

import json
import struct
import sys

import mne
import numpy as np
import pytest
import scipy.io

from rtbrain.errors import RecordingError, RtbrainError
from rtbrain.recording.formats import FORMATS, format_of
from rtbrain.recording.open import read, read_recording
from tests.conftest import brain_like

SFREQ_HZ = 2000
NAMES = ("LA1", "LA2", "LA3")
DATA = np.round(brain_like(3, 4000, SFREQ_HZ) * 4).astype(np.int16)  # quarters of microvolts
NEEDS_NEO = "is an extra: rtbrain[neo]"


def write_blackrock(path, pauses=()):
    """A file of version 2.3; `pauses` are the samples after each of which some are lost."""
    extended = [
        struct.pack(
            "<2sH16sBBhhhh16sIIHIIH",
            *(b"CC", row, name.encode(), 0, 0, -32764, 32764, -8191, 8191, b"uV"),
            *([0] * 6),
        )
        for row, name in enumerate(NAMES, 1)
    ]
    size = 314 + sum(map(len, extended))
    began = (2003, 2, 0, 1, 0, 0, 0, 0)
    basic = struct.pack(
        "<8sBBI16s256sII8HI", b"NEURALCD", 2, 3, size, b"2 kS/s", b"", 15, 30000, *began, 3
    )
    blocks = []
    edges = [0, *(at for at, _ in pauses), DATA.shape[1]]
    lost = np.cumsum([0, *(lost for _, lost in pauses)])
    for start, stop, skipped in zip(edges[:-1], edges[1:], lost, strict=True):
        blocks.append(struct.pack("<BII", 1, int(start + skipped) * 15, stop - start))
        blocks.append(DATA[:, start:stop].T.astype("<i2").tobytes())
    path.write_bytes(basic + b"".join(extended) + b"".join(blocks))
    return path


def write_micromed(path):
    """A file of version 4 with the areas that readers want."""
    areas = "ORDER LABCOD NOTE FLAGS TRONCA IMPED_B IMPED_E MONTAGE COMPRESS AVERAGE HISTORY"
    areas = [*areas.split(), "DVIDEO", "EVENT A", "EVENT B", "TRIGGER"]
    places = dict.fromkeys(areas, (640, 0))
    content = bytearray(8192)
    places |= {"ORDER": (1000, 256), "LABCOD": (2000, 512), "NOTE": (3000, 44)}
    places |= {"TRONCA": (3500, 16), "TRIGGER": (3600, 12)}
    content[128:134] = bytes([1, 2, 103, 0, 0, 0])
    struct.pack_into("<IHHHH", content, 138, 8192, 3, 3, 1000, 2)
    content[175] = 4
    for number, area in enumerate(areas):
        struct.pack_into("<8sII", content, 176 + 16 * number, area.ljust(8).encode(), *places[area])
    for row, name in enumerate(NAMES):
        struct.pack_into("<H", content, 1000 + 2 * row, row)
        at = 2000 + 128 * row
        struct.pack_into(
            "<6s6siiiiih", content, at + 2, name.encode(), b"G2", 0, 65535, 32768, *(-8192, 8192, 0)
        )
        struct.pack_into("<H", content, at + 44, 2)
    struct.pack_into("<I40s", content, 3000, 500, b"seizure")
    struct.pack_into("<IHIH", content, 3600, 100, 7, 900, 8)
    samples = (DATA.T.astype(np.int32) + 32768).astype("<u2")
    path.write_bytes(bytes(content) + samples.tobytes())
    return path


@pytest.fixture
def neo():
    return pytest.importorskip("neo", reason=f"neo {NEEDS_NEO}")


@pytest.mark.usefixtures("neo")
def test_blackrock_is_what_mne_python_reads_with_its_pauses(tmp_path):
    recording = read_recording(write_blackrock(tmp_path / "x.ns3"))
    assert recording.montage.names == NAMES
    assert recording.montage.sfreq_hz == SFREQ_HZ
    raw = mne.io.read_raw_nsx(tmp_path / "x.ns3", verbose="ERROR")
    expected = raw.get_data() * 1e6
    np.testing.assert_allclose(recording.read(0, 4000), expected, rtol=1e-6)
    np.testing.assert_allclose(expected, DATA * (8191 / 32764), rtol=1e-6)
    assert recording.stamps is None
    paused = read_recording(write_blackrock(tmp_path / "y.ns3", pauses=[(1000, 250)]))
    assert paused.n_samples == 4000
    np.testing.assert_array_equal(paused.read(900, 1100), recording.read(900, 1100))
    np.testing.assert_allclose(paused.stamps[999:1001] * SFREQ_HZ, [999, 1250])
    assert any("2 stretches with pauses" in note for note in paused.notes)
    for one in (paused, recording, raw):
        one.close()


@pytest.mark.usefixtures("neo")
def test_micromed_is_microvolts_with_triggers_and_notes(tmp_path):
    recording = read_recording(write_micromed(tmp_path / "EEG_1.TRC"))
    assert recording.montage.names == NAMES
    assert recording.montage.kinds == ("seeg",) * 3
    assert recording.montage.sfreq_hz == SFREQ_HZ
    np.testing.assert_allclose(recording.read(0, 4000), DATA / 4, rtol=1e-6)
    np.testing.assert_allclose(recording.read(7, 9), DATA[:, 7:9] / 4, rtol=1e-6)
    found = [(event.onset_s * SFREQ_HZ, event.text) for event in recording.events]
    assert found == [(100, "7"), (500, "seizure"), (900, "8")]


@pytest.mark.usefixtures("neo")
def test_numbers_of_a_trigger_channel_stay_as_they_are(tmp_path):
    content = bytearray(write_micromed(tmp_path / "x.TRC").read_bytes())
    struct.pack_into("<6s", content, 2000 + 256 + 2, b"TRIG")
    struct.pack_into("<h", content, 2000 + 256 + 34, 1)  # mV
    (tmp_path / "x.TRC").write_bytes(content)
    recording = read_recording(tmp_path / "x.TRC")
    assert recording.montage.kinds == ("seeg", "seeg", "stim")
    np.testing.assert_allclose(recording.read(0, 4000)[2], DATA[2] / 4, rtol=1e-6)


@pytest.mark.usefixtures("neo")
def test_a_level_counts_in_the_unit_of_the_input(tmp_path):
    content = bytearray(write_micromed(tmp_path / "x.TRC").read_bytes())
    struct.pack_into("<h", content, 2000 + 256 + 34, 1)  # mV
    (tmp_path / "x.TRC").write_bytes(content)
    level = float(np.quantile(DATA[2] / 4, 0.9))
    name = NAMES[2]
    number, unit = (read(tmp_path / "x.TRC", trigger=f"{name}:{level:.3f}{u}") for u in ("", "mV"))
    assert [event.text for event in number.events].count(name) > 10
    assert number.events == unit.events


@pytest.mark.usefixtures("neo")
def test_a_damaged_file_of_neo_is_one_line(tmp_path):
    whole = write_micromed(tmp_path / "a.trc").read_bytes()
    for kept in (0, 100, 180, 700, 2100):
        path = tmp_path / f"{kept}.trc"
        path.write_bytes(whole[:kept])
        with pytest.raises(RecordingError, match="cannot be read"):
            read_recording(path)


@pytest.mark.usefixtures("neo")
def test_a_stream_that_is_not_there_lists_those_that_are(tmp_path):
    path = write_blackrock(tmp_path / "x.ns3")
    with pytest.raises(RecordingError, match=r"no stream 'x': there is .*3 channels at 2000 Hz"):
        read_recording(path, stream="x")
    with pytest.raises(RecordingError, match="has segments 0 to 0, got '4'"):
        read_recording(path, stream="@4")


def test_mef3_is_a_folder_in_its_own_unit(tmp_path):
    pymef = pytest.importorskip("pymef", reason=f"pymef {NEEDS_NEO}")
    folder = tmp_path / "x.mefd"
    session = pymef.mef_session.MefSession(f"{folder}/", "", read_metadata=False, new_session=True)
    begin, end = 1_000_000_000, 1_000_000_000 + 2_000_000
    facts = {
        "sampling_frequency": 2000.0,
        "units_conversion_factor": 0.25,
        "number_of_samples": 4000,
    }
    facts |= {"units_description": b"uV", "recording_duration": end - begin, "start_sample": 0}
    for name, row in zip(NAMES, DATA, strict=True):
        zone = {"recording_time_offset": begin, "GMT_offset": 0}
        session.write_mef_ts_segment_metadata(name, 0, "", "", begin, end, facts, zone)
        session.write_mef_ts_segment_data(name, 0, "", "", 1000, row.astype(np.int32))
    session.close()
    recording = read_recording(folder)
    assert recording.montage.names == NAMES
    assert recording.montage.sfreq_hz == SFREQ_HZ
    np.testing.assert_allclose(recording.read(0, 4000), DATA / 4, rtol=1e-6)


def test_eeglab_keeps_events_and_places(tmp_path):
    pytest.importorskip("pymatreader", reason=f"pymatreader {NEEDS_NEO}")
    places = [{"labels": n, "X": 10.0 * i, "Y": 1.0, "Z": 2.0} for i, n in enumerate(NAMES, 1)]
    events = [{"type": "go", "latency": 101.0, "duration": 0.0}]
    values = {"nbchan": 3, "trials": 1, "pnts": 4000, "srate": 2000.0, "xmin": 0.0}
    values |= {"data": DATA / 4, "chanlocs": places, "event": events, "epoch": [], "icawinv": []}
    values |= {"setname": "x", "filename": "x.set", "xmax": 2.0, "ref": "common", "icaweights": []}
    scipy.io.savemat(tmp_path / "x.set", {"EEG": values})
    recording = read_recording(tmp_path / "x.set")
    assert recording.montage.names == NAMES
    np.testing.assert_allclose(recording.read(0, 4000), DATA / 4, rtol=1e-6)
    assert [(event.onset_s * SFREQ_HZ, event.text) for event in recording.events] == [(100, "go")]


def test_gzipped_fif_is_read(tmp_path):
    info = mne.create_info(list(NAMES), SFREQ_HZ, "seeg", verbose="ERROR")
    raw = mne.io.RawArray(DATA * 1e-6, info, verbose="ERROR")
    raw.save(tmp_path / "x_raw.fif.gz", verbose="ERROR")
    recording = read_recording(tmp_path / "x_raw.fif.gz")
    np.testing.assert_allclose(recording.read(0, 4000), DATA, rtol=1e-6)


def test_a_bids_folder_may_hold_a_recording_that_is_a_folder(tmp_path):
    (tmp_path / "sub-01" / "ieeg" / "sub-01_task-x_ieeg.mefd").mkdir(parents=True)
    with pytest.raises(RtbrainError, match=r"sub-01_task-x_ieeg.mefd"):
        read_recording(tmp_path)


@pytest.mark.parametrize(
    ("part", "whole"),
    [("x.fdt", "x.set"), ("x.dat", "x.lay"), ("x.21E", "x.EEG"), ("x.nev", "x.ns5")],
)
def test_a_part_of_a_recording_names_the_file_to_open(part, whole, tmp_path):
    for name in (part, whole):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(RecordingError, match=f"one part of a recording: name .*{whole}"):
        read_recording(tmp_path / part)


@pytest.mark.parametrize(("name", "module"), [("x.trc", "neo.rawio"), ("x.set", "pymatreader")])
def test_without_its_package_a_format_says_what_to_install(name, module, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"something")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RtbrainError, match=r"needs \w+: pip install 'rtbrain\[neo\]'"):
        read_recording(tmp_path / name)


def test_every_suffix_belongs_to_one_format_and_an_unknown_one_lists_them(tmp_path):
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(format_of(tmp_path / f"x{one.suffixes[0]}") is one for one in FORMATS)
    with pytest.raises(RecordingError, match=r"a recording is one of .*\.trc.*, got \.doc"):
        format_of(tmp_path / "x.doc")


@pytest.mark.usefixtures("neo")
def test_of_two_streams_that_with_most_contacts_is_taken_and_the_other_named(tmp_path):
    def write(path, rows, rate_hz):
        header = "######## Neuralynx Data File Header\r\n-FileType NCS\r\n-FileVersion 3.4\r\n"
        header += f"-AcqEntName {path.stem}\r\n-SamplingFrequency {rate_hz}\r\n"
        number = len(list(tmp_path.iterdir()))
        header += f"-ADBitVolts 0.00000025\r\n-ADChannel {number}\r\n-InputRange 1000\r\n"
        header += (
            '-InputInverted False\r\n-DspFilterDelay_µs 0\r\n-ApplicationName Pegasus "2.1.3"\r\n'
        )
        header += "-AcquisitionSystem AcqSystem1 ATLAS\r\n-RecordSize 1044\r\n"
        header += "-TimeCreated 2003/01/02 10:00:00\r\n-TimeClosed 2003/01/02 10:00:10\r\n"
        records = [
            struct.pack("<QIII", 1_000_000 + int(at * 1e6 / rate_hz), 1, rate_hz, 512)
            + rows[at : at + 512].astype("<i2").tobytes()
            for at in range(0, 3584, 512)
        ]
        path.write_bytes(header.encode("latin-1").ljust(16384, b"\0") + b"".join(records))

    for row, name in enumerate(NAMES):
        write(tmp_path / f"{name}.ncs", DATA[row], 2000)
    write(tmp_path / "LAu1.ncs", DATA[0], 32000)
    recording = read_recording(tmp_path)
    assert recording.montage.names == NAMES
    np.testing.assert_allclose(recording.read(0, 3584), DATA[:, :3584] / 4, rtol=1e-6)
    assert any("1 channels at 32000 Hz" in note for note in recording.notes)
    assert read_recording(tmp_path, stream="32000").montage.names == ("LAu1",)
    assert read_recording(tmp_path / "LA2.ncs").montage.names == ("LA2",)


@pytest.mark.parametrize("gain", ["0.195", "195nV"])
def test_bci2000_is_in_microvolts_with_its_labels_and_stimulus_codes(tmp_path, gain):
    signal = np.random.default_rng(0).integers(-3000, 3000, (2000, 3)).astype("<i2")
    codes = np.zeros((2000, 1), np.uint8)
    codes[500:700] = 2
    lines = [
        "[ State Vector Definition ]",
        "StimulusCode 8 0 0 0",
        "[ Parameter Definition ]",
        "Source int SourceCh= 3 4 1 %",
        f"Source floatlist SourceChGain= 3 {gain} {gain} {gain} 1 % % // in muV",
        "Source floatlist SourceChOffset= 3 0 10 0 0 % %",
        "Source list ChannelNames= 3 LA1 LA%202 LA3 // names",
        "Source float SamplingRate= 1000Hz 256Hz 1 %",
    ]
    text = "BCI2000V= 1.1 HeaderLen= 0000 SourceCh= 3 StatevectorLen= 1 DataFormat= int16\r\n"
    text += "\r\n".join([*lines, "", ""])
    text = text.replace("0000", f"{len(text):4d}", 1)
    frames = np.concatenate([signal.view(np.uint8).reshape(2000, 6), codes], axis=1)
    (tmp_path / "run.dat").write_bytes(text.encode() + frames.tobytes())
    recording = read_recording(tmp_path / "run.dat")
    assert recording.montage.names == ("LA1", "LA 2", "LA3", "STI 014")
    expected = (signal - [0, 10, 0]).T * 0.195
    got = recording.read(0, 2000)
    np.testing.assert_allclose(got[:3], expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(got[3], codes[:, 0])
    assert [(event.onset_s, event.text) for event in recording.events] == [(0.5, "2")]
    without = text.replace("SourceChGain", "SourceChGone").encode()
    for damaged, reason in (
        (without + frames.tobytes(), "SourceChGain and SourceChOffset of 3 channels"),
        (text.encode()[:-11], "HeaderLen, of up to"),
        (text.replace("HeaderLen", "Header").encode(), "got none: it is truncated or foreign"),
    ):
        (tmp_path / "run.dat").write_bytes(damaged)
        with pytest.raises(RecordingError, match=reason):
            read_recording(tmp_path / "run.dat")


def test_open_ephys_is_a_folder_with_pulses_as_events(tmp_path):
    signal = np.random.default_rng(0).integers(-3000, 3000, (2000, 2)).astype("<i2")
    folder = tmp_path / "Record Node 101" / "experiment1" / "recording1"
    files = {
        "continuous/A/sample_numbers": np.arange(2000),
        "continuous/A/timestamps": np.arange(2000) / 1000,
        "events/A/TTL/sample_numbers": np.array([500, 600]),
        "events/A/TTL/timestamps": np.array([0.5, 0.6]),
        "events/A/TTL/states": np.array([3, -3], np.int16),
        "events/A/TTL/full_words": np.array([4, 0], np.uint64),
    }
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", values)
    signal.tofile(folder / "continuous" / "A" / "continuous.dat")
    channels = [{"channel_name": f"LA{n}", "bit_volts": 0.195, "units": "uV"} for n in (1, 2)]
    common = {"sample_rate": 1000, "stream_name": "A", "source_processor": "Acq"}
    continuous = {"folder_name": "A/", "num_channels": 2, "channels": channels, **common}
    processors = {"source_processor_name": "Acq", "source_processor_id": 100}
    node = {"recorded_processor": "Record Node", "recorded_processor_id": 101}
    ttl = {"folder_name": "A/TTL/", "channel_name": "TTL", "type": "int16", **common}
    about = {"GUI version": "0.6.6", "continuous": [continuous | processors | node]}
    about |= {"events": [ttl | {"identifier": "", "description": "", "initial_state": 0}]}
    (folder / "structure.oebin").write_text(json.dumps(about | {"spikes": []}))
    recording = read_recording(tmp_path)
    assert recording.montage.names == ("LA1", "LA2")
    np.testing.assert_allclose(recording.read(0, 2000), signal.T * 0.195, rtol=1e-6)
    assert [(event.onset_s, event.text) for event in recording.events] == [(0.5, "3")]
