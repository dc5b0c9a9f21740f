import itertools
import subprocess
import sys

import edfio
import mne
import numpy as np
import pybv
import pytest

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.open import amplitude_note, missing_note, read_recording
from rtbrain.recording.recording import Event, Recording
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 512.0
NAMES = ("A1", "A2", "B'1")
DATA = brain_like(3, 2000, SFREQ_HZ)


def raw_of(data=DATA, kind="seeg"):
    info = mne.create_info(list(NAMES), SFREQ_HZ, kind, verbose="ERROR")
    raw = mne.io.RawArray(data * 1e-6, info, verbose="ERROR")
    raw.set_annotations(mne.Annotations([0.5, 1.0], [0.125, 0], ["go", "stop"]))
    return raw


def write_fif(path, raw=None, **kwargs):
    (raw or raw_of()).save(path, verbose="ERROR", **kwargs)
    return path


def write_vhdr(folder, unit="µV", resolution=0.1):
    events = [
        {"onset": 100, "duration": 5, "description": "hello", "type": "Comment"},
        {"onset": 300, "duration": 1, "description": 7, "type": "Stimulus"},
    ]
    pybv.write_brainvision(
        data=DATA * 1e-6,
        sfreq=SFREQ_HZ,
        ch_names=list(NAMES),
        fname_base="brain",
        folder_out=folder,
        events=events,
        unit=unit,
        resolution=resolution,
    )
    return folder / "brain.vhdr"


def edf_signal(row, label, rate=512, unit="uV"):
    values = np.resize(DATA[row].astype(float), rate * 3)
    return edfio.EdfSignal(values, rate, label=label, physical_dimension=unit)


def write_edf(path, signals):
    notes = [edfio.EdfAnnotation(0.5, None, "go"), edfio.EdfAnnotation(1.5, 0.25, "stop")]
    edfio.Edf(signals, annotations=notes).write(path)
    return path


def oracle(path, **kwargs):
    """What MNE-Python itself reads, in µV."""
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR", **kwargs)
    return (raw.get_data() * 1e6).astype(np.float32)


def assert_read_in_pieces(recording, expected):
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
    edges = [0, 1, 2, 257, 257, 1030, recording.n_samples]
    pieces = [recording.read(a, b) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), expected)
    assert recording.read(5, 9).dtype == np.float32
    assert recording.timestamps(0, 10) is None


@pytest.mark.filterwarnings("ignore:.*unsupported voltage units")
@pytest.mark.parametrize("unit", ["µV", "mV", "V", "nV"])
def test_brainvision_is_microvolts_whatever_its_unit_with_markers_as_events(unit, tmp_path):
    resolution = {"µV": 0.1, "mV": 1e-4, "V": 1e-7, "nV": 100}[unit]
    path = write_vhdr(tmp_path, unit, resolution)
    recording = read_recording(path)
    assert_read_in_pieces(recording, oracle(path))
    np.testing.assert_allclose(recording.read(0, 2000), DATA, atol=1e-3)
    assert recording.montage.names == NAMES
    assert recording.montage.sfreq_hz == SFREQ_HZ
    assert [(round(e.onset_s * SFREQ_HZ), e.text) for e in recording.events] == [
        (100, "Comment/hello"),
        (300, "Stimulus/S  7"),
    ]
    assert recording.notes == ()
    recording.close()
    recording.close()


@pytest.mark.parametrize("unit", ["uV", "mV", "V", "nV"])
def test_edf_is_microvolts_whatever_its_unit_with_annotations_as_events(unit, tmp_path):
    path = write_edf(tmp_path / "brain.edf", [edf_signal(0, "A1", unit=unit)])
    recording = read_recording(path)
    factor = {"uV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3}[unit]
    expected = edfio.read_edf(path).signals[0].data * factor
    np.testing.assert_allclose(recording.read(0, 1536)[0], expected, rtol=1e-6)
    assert recording.events == (Event(0.5, 0.0, "go"), Event(1.5, 0.25, "stop"))
    assert recording.notes == ()


def test_edf_channels_of_another_rate_are_left_out_named_and_can_be_taken(tmp_path):
    signals = [edf_signal(0, "A1"), edf_signal(2, "A2")]
    signals += [edf_signal(1, "SpO2", rate=8, unit="%"), edf_signal(1, "Pleth", rate=8, unit="")]
    signals += [edf_signal(0, "Resp", rate=8, unit=""), edf_signal(1, "Sync", rate=2048)]
    path = write_edf(tmp_path / "mixed.edf", signals)
    recording = read_recording(path)
    assert recording.montage.names == ("A1", "A2")
    assert recording.montage.sfreq_hz == SFREQ_HZ
    assert any(
        "at 8 Hz are left out, --stream 8 takes them: SpO2, Pleth" in n for n in recording.notes
    )
    others = ["SpO2", "Pleth", "Resp", "Sync"]
    assert_read_in_pieces(recording, oracle(path, exclude=others))
    slow = read_recording(path, stream="8 Hz")
    assert slow.montage.names == ("SpO2", "Pleth", "Resp")
    assert slow.montage.sfreq_hz == 8
    expected = [edfio.read_edf(path).get_signal(name).data for name in slow.montage.names]
    np.testing.assert_allclose(slow.read(0, slow.n_samples), expected, rtol=1e-6)
    with pytest.raises(RecordingError, match=r"no channels at '7': expected 512 or 8 or 2048 Hz"):
        read_recording(path, stream="7")


def test_a_label_at_two_rates_is_taken_at_the_rate_of_the_contacts(tmp_path):
    signals = [edf_signal(1, "A1", rate=8), edf_signal(0, "A1"), edf_signal(2, "A2")]
    path = write_edf(tmp_path / "twice.edf", signals)
    recording = read_recording(path)
    assert recording.montage.names == ("A1", "A2")
    expected = edfio.read_edf(path).signals[1].data
    np.testing.assert_allclose(recording.read(0, 1536)[0], expected, rtol=1e-6)


def test_values_without_a_unit_of_voltage_are_kept_and_noted(tmp_path):
    signals = [
        edf_signal(0, "A1"),
        edf_signal(1, "Temp", unit="degC"),
        edf_signal(2, "B1", unit=""),
        edf_signal(0, "A2"),
        edf_signal(1, "B7", unit="mmHg"),
    ]
    recording = read_recording(write_edf(tmp_path / "units.edf", signals))
    assert recording.montage.kinds == ("eeg", "misc", "eeg", "eeg", "misc")
    assert recording.units["B7"] == "mmHg"
    assert any(note.startswith("Temp, B7 are not contacts") for note in recording.notes)
    np.testing.assert_allclose(recording.read(0, 1536)[1], DATA[1, :1536], atol=0.05)
    assert any("no unit of voltage for Temp, B1" in note for note in recording.notes)


def test_fif_keeps_kinds_and_events_count_from_its_first_sample(tmp_path):
    path = write_fif(tmp_path / "brain_ieeg.fif")
    recording = read_recording(path)
    assert_read_in_pieces(recording, oracle(path))
    assert recording.montage.kinds == ("seeg",) * 3
    assert [(event.onset_s, event.text) for event in recording.events] == [(0.5, "go"), (1, "stop")]
    assert recording.notes == ()
    cropped = read_recording(write_fif(tmp_path / "later_raw.fif", tmin=0.25))
    assert [event.onset_s for event in cropped.events] == [0.25, 0.75]
    np.testing.assert_array_equal(cropped.read(0, 100), recording.read(128, 228))


@pytest.mark.parametrize(
    ("frame", "space"),
    [
        ("FIFFV_MNE_COORD_MNI_TAL", "MNI mm"),
        ("FIFFV_COORD_HEAD", "head mm"),
        ("FIFFV_COORD_MRI", "MRI mm"),
        ("FIFFV_COORD_UNKNOWN", "unnamed mm"),
    ],
)
def test_fif_positions_are_millimetres_in_the_space_of_their_frame(
    frame, space, tmp_path, monkeypatch
):
    raw = raw_of()
    for channel, position in zip(
        raw.info["chs"], ([0.01, 0.02, 0.03], [0, 0, 0], [-0.04, 0.05, 0.06]), strict=True
    ):
        channel["loc"][:3] = position
        channel["coord_frame"] = mne.io.constants.FIFF[frame]
    path = write_fif(tmp_path / "placed_raw.fif", raw)
    if frame != "FIFFV_COORD_HEAD":
        # MNE-Python's own writer and reader know the head's frame alone.
        monkeypatch.setattr(mne.io, "read_raw_fif", lambda *args, **kwargs: raw)
    recording = read_recording(path)
    assert recording.montage.space == space
    expected = np.array([[10, 20, 30], [np.nan] * 3, [-40, 50, 60]], np.float32)
    np.testing.assert_allclose(recording.montage.positions, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1500,), (3, 500)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_an_array_is_microvolts_at_the_rate_that_is_given(shape, dtype, tmp_path):
    array = DATA.ravel()[:1500].reshape(shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    recording = read_recording(tmp_path / "a.npy", sfreq_hz=2048)
    expected = np.atleast_2d(array).astype(np.float32)
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
    assert recording.montage.sfreq_hz == 2048
    assert recording.montage.names == ("1", "2", "3")[: len(expected)]
    recording.read(0, 5)[:] = 0
    np.testing.assert_array_equal(recording.read(0, 5), expected[:, :5])


def test_an_array_needs_its_rate_and_nothing_else_takes_one(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    with pytest.raises(SettingsError, match=r"a\.npy .* pass --sfreq"):
        read_recording(tmp_path / "a.npy")
    with pytest.raises(SettingsError, match="above 0 Hz, got -1"):
        read_recording(tmp_path / "a.npy", sfreq_hz=-1)
    with pytest.raises(SettingsError, match="leave --sfreq out"):
        read_recording(write_fif(tmp_path / "b_raw.fif"), sfreq_hz=512)
    with pytest.raises(SettingsError, match="leave --stream out"):
        read_recording(tmp_path / "a.npy", sfreq_hz=512, stream="x")


def test_an_array_that_is_none_of_numbers_is_refused_unread(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordingError, match="pickle"):
        read_recording(tmp_path / "o.npy", sfreq_hz=512)
    for name, array in (("3d", np.zeros((2, 2, 2))), ("complex", np.zeros(4, complex))):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(RecordingError, match="expected real numbers"):
            read_recording(tmp_path / f"{name}.npy", sfreq_hz=512)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3000000000, 9000000000000), }"
    start = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little")
    (tmp_path / "huge.npy").write_bytes(start + header + b"\n" + b"\0" * 4096)
    with pytest.raises(RecordingError, match=r"huge\.npy is no array of numbers"):
        read_recording(tmp_path / "huge.npy", sfreq_hz=1000.0)
    np.save(tmp_path / "none.npy", np.zeros((3, 0)))
    with pytest.raises(RecordingError, match="3 channels of 0 samples"):
        read_recording(tmp_path / "none.npy", sfreq_hz=512)


def test_axes_that_look_turned_are_noted(tmp_path):
    np.save(tmp_path / "turned.npy", DATA.T)
    assert "channels, samples" in read_recording(tmp_path / "turned.npy", sfreq_hz=512).notes[1]


@pytest.mark.parametrize("suffix", [".vhdr", ".edf", ".bdf", ".fif", ".npy", ".xdf", ".mat", ""])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20])
def test_a_foreign_file_is_one_line_and_silence(suffix, content, tmp_path, capfd):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="foreign") as caught:
        read_recording(path, sfreq_hz=512 if suffix == ".npy" else None)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kept", [100, 600, 2000, 20_000, -100])
def test_a_truncated_fif_file_is_refused_before_it_is_played(kept, tmp_path):
    path = write_fif(tmp_path / "cut_raw.fif")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordingError, match="truncated") as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [100, 300, 800])
def test_a_truncated_edf_header_is_refused(kept, tmp_path):
    path = write_edf(tmp_path / "cut.edf", [edf_signal(0, "A1"), edf_signal(1, "A2")])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordingError, match="truncated"):
        read_recording(path)


def test_data_that_were_cut_off_are_played_as_far_as_they_go_with_a_note(tmp_path):
    path = write_edf(tmp_path / "cut.edf", [edf_signal(0, "A1")])
    path.write_bytes(path.read_bytes()[:-1500])
    recording = read_recording(path)
    assert 0 < recording.n_samples < 1536
    assert any("does not match the file size" in note for note in recording.notes)
    vhdr = write_vhdr(tmp_path)
    data = vhdr.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:6005])
    recording = read_recording(vhdr)
    assert recording.n_samples == 500
    assert any("cut off" in note for note in recording.notes)


def test_a_part_of_a_brainvision_recording_names_its_header(tmp_path):
    path = write_vhdr(tmp_path)
    with pytest.raises(RecordingError, match=r"name .*brain\.vhdr"):
        read_recording(path.with_suffix(".eeg"))
    path.with_suffix(".eeg").unlink()
    with pytest.raises(RecordingError, match=r"brain\.eeg"):
        read_recording(path)


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"no file or folder .*nowhere"):
        read_recording(tmp_path / "nowhere.edf")


def recording_of(data, kinds=None):
    montage = montage_of(data.shape[0], SFREQ_HZ)
    if kinds:
        montage = type(montage)(montage.names, kinds, SFREQ_HZ)
    return Recording(montage, data.shape[1], lambda a, b: data[:, a:b].copy())


def test_samples_beyond_the_recording_are_an_error_of_the_caller():
    for start, stop in ((-1, 5), (0, 2001), (7, 6)):
        with pytest.raises(ValueError, match="of a recording of 2000"):
            recording_of(DATA).read(start, stop)


@pytest.mark.parametrize(("factor", "scale"), [(1e6, "1e-06"), (1e-3, "1000"), (1e-6, "1e+06")])
def test_a_size_that_no_brain_makes_is_warned_of_with_the_scale_to_try(factor, scale):
    data = (DATA.astype(np.float64) * factor).astype(np.float32)
    note = amplitude_note(recording_of(data))
    assert note is not None
    assert note.endswith(f"try --scale {scale}")
    assert amplitude_note(recording_of(data), scale=float(scale)) is None


def test_offsets_artefacts_and_other_kinds_do_not_move_the_measured_size():
    data = DATA.copy()
    data[0] += 1e6
    data[1, 300:400] = 1e9
    data[1, 500] = np.nan
    assert amplitude_note(recording_of(data)) is None
    data[2] *= 1e6
    assert amplitude_note(recording_of(data, ("seeg", "seeg", "misc"))) is None
    assert "flat" in amplitude_note(recording_of(np.zeros_like(DATA)))


def test_missing_values_are_noted_by_channel():
    data = DATA.copy()
    assert missing_note(recording_of(data)) is None
    data[[0, 2], 77] = np.nan
    assert missing_note(recording_of(data)).endswith("A1, A3")


def test_importing_what_opens_recordings_loads_neither_mne_nor_pyxdf():
    modules = ("recording", "replay", "open", "bids")
    code = (
        "import sys, importlib\n"
        f"for name in {modules}: importlib.import_module(f'rtbrain.recording.{{name}}')\n"
        "sys.exit(bool({'mne', 'pyxdf', 'pylsl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
