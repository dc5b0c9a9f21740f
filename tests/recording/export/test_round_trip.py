"""What is exported reads back as it was, and as other programs read it."""

import edfio
import mne
import numpy as np
import pytest
import pyxdf

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.export.bids import BidsLabels, labels_of
from rtbrain.recording.export.edf import _record
from rtbrain.recording.export.run import FORMATS, export_recording
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Montage
from tests.conftest import brain_like

NAMES = ("A1", "A2", "B'1", "TRIG", "FORCE")
KINDS = ("seeg", "seeg", "ecog", "stim", "misc")
ENDINGS = {"bids": "set", "fif": "x_raw.fif", "edf": "x.edf", "xdf": "x.xdf"}
N_SAMPLES, GAP_AT, LOST = 3001, 1700, 23
EVENTS = (Event(0.5, 0.25, "début, à l'hôpital"), Event(1.0, 0.0, "癫痫"), Event(2.9, 0.0, "end"))


def data_of(rate_hz):
    data = brain_like(len(NAMES), N_SAMPLES, rate_hz).astype(np.float32)
    data[0] += 3000
    data[3] = 0
    for code, at in enumerate(range(100, N_SAMPLES - 20, 300), 1):
        data[3, at : at + 10] = code * 25
    data[4] = np.linspace(0, 2.5, N_SAMPLES)
    return data


def recording_of(rate_hz=512.0, space="MNI mm", **changes):
    data = data_of(rate_hz)
    stamps = np.arange(N_SAMPLES) / rate_hz
    stamps[GAP_AT:] += LOST / rate_hz
    places = np.random.default_rng(3).uniform(-70, 70, (len(NAMES), 3)).astype(np.float32)
    places[3:] = np.nan
    montage = Montage(NAMES, KINDS, rate_hz, places, space)
    values = {"stamps": stamps, "events": EVENTS, "bad": ("A2",), "units": {"FORCE": "newton"}}
    values |= {"montage": montage, "n_samples": N_SAMPLES, **changes}
    return Recording(reader=lambda a, b: data[:, a:b].copy(), **values)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("rate_hz", [512.0, 399.609756, 999.41])
def test_all_but_what_is_told_reads_back(to, rate_hz, tmp_path):
    original = recording_of(rate_hz)
    path, notes = export_recording(original, tmp_path / ENDINGS[to], to)
    back = read_recording(path)
    montage = back.montage
    assert montage.names == NAMES
    assert [kind.replace("trig", "stim") for kind in montage.kinds] == list(KINDS)
    assert montage.sfreq_hz == pytest.approx(rate_hz, rel=1e-9)
    expected, found = original.read(0, N_SAMPLES), back.read(0, back.n_samples)
    steps = np.ptp(expected, axis=1, keepdims=True) / 65535 if to == "edf" else 1e-3
    assert (np.abs(found - expected) <= steps).all()
    np.testing.assert_array_equal(found[3], expected[3])
    np.testing.assert_allclose(back.stamps, original.stamps, rtol=0, atol=1e-6)
    for one, other in zip(EVENTS, back.events, strict=True):
        assert other.text == one.text
        assert other.onset_s == pytest.approx(one.onset_s, abs=1e-6)
        assert other.duration_s == pytest.approx(one.duration_s, abs=1e-6)
    assert montage.space == "MNI mm"
    np.testing.assert_allclose(montage.positions, original.montage.positions, rtol=0, atol=1e-4)
    assert back.bad == ("A2",)
    assert not [note for note in notes if "left out" in note]
    assert back.units.get("FORCE") == "newton"
    back.close()


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_that_is_interrupted_leaves_no_file(to, tmp_path):
    def read(start, stop):
        if start and any(path.suffix in {".eeg", ".fif", ".edf", ".xdf"} for path in found()):
            raise KeyboardInterrupt
        return np.ones((1, stop - start), np.float32)

    def found():
        return [path for path in tmp_path.rglob("*") if path.is_file()]

    recording = Recording(Montage(("A1",), ("seeg",), 512.0), 512 * 60, read)
    with pytest.raises(KeyboardInterrupt):
        export_recording(recording, tmp_path / ENDINGS[to], to, mains_hz=50.0)
    about_all = {"README.md", "dataset_description.json", "participants.tsv"}  # of a dataset
    assert {path.name for path in found()} <= about_all


def test_edf_is_what_edfio_reads(tmp_path):
    path, _ = export_recording(recording_of(), tmp_path / "x.edf", "edf")
    edf = edfio.read_edf(path)
    assert edf.labels == NAMES
    assert edf.get_signal("A1").sampling_frequency == 512
    assert [signal.physical_dimension for signal in edf.signals] == ["uV", "uV", "uV", "", "newton"]
    np.testing.assert_array_equal(edf.get_signal("TRIG").data[:N_SAMPLES], data_of(512.0)[3])
    assert "癫痫" in [one.text for one in edf.annotations]


@pytest.mark.parametrize("to", FORMATS)
def test_positions_keep_a_space_that_no_format_knows(to, tmp_path):
    recording = recording_of(space="LIP voxels")
    path, _ = export_recording(recording, tmp_path / ENDINGS[to], to)
    back = read_recording(path).montage
    assert back.space == "LIP voxels"
    np.testing.assert_array_equal(back.positions, recording.montage.positions)


def test_edf_says_where_it_has_no_room_for_positions(tmp_path):
    path, notes = export_recording(recording_of(space="x" * 60), tmp_path / "y.edf", "edf")
    assert read_recording(path).montage.positions is None
    assert any("no room for some positions" in note for note in notes)


def test_brainvision_is_what_mne_python_reads(tmp_path):
    path, _ = export_recording(recording_of(), tmp_path / "set", "bids")
    raw = mne.io.read_raw_brainvision(path, verbose="ERROR")
    np.testing.assert_allclose(raw.get_data(NAMES[:3]) * 1e6, data_of(512.0)[:3], rtol=1e-6)
    assert "Comment/début, à l'hôpital" in raw.annotations.description
    raw.close()


def test_xdf_is_what_pyxdf_reads(tmp_path):
    path, _ = export_recording(recording_of(), tmp_path / "x.xdf", "xdf")
    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    (signal,) = [one for one in streams if one["info"]["type"] != ["Markers"]]
    (markers,) = [one for one in streams if one["info"]["type"] == ["Markers"]]
    np.testing.assert_array_equal(signal["time_series"].T, data_of(512.0))
    assert [text for (text,) in markers["time_series"]] == [event.text for event in EVENTS]
    offset_s = markers["time_stamps"] - signal["time_stamps"][0]
    np.testing.assert_allclose(offset_s, [event.onset_s for event in EVENTS])


def test_a_bids_table_states_types_units_and_bad_channels(tmp_path):
    path, _ = export_recording(recording_of(), tmp_path / "set", "bids", mains_hz=50.0)
    rows = path.with_name("sub-01_task-decoding_channels.tsv").read_text("utf-8").splitlines()
    cells = [row.split("\t") for row in rows[1:]]
    assert [cell[1] for cell in cells] == ["SEEG", "SEEG", "ECOG", "TRIG", "MISC"]
    assert [cell[2] for cell in cells] == ["µV", "µV", "µV", "n/a", "newton"]
    assert [cell[5] for cell in cells] == ["good", "bad", "good", "good", "good"]
    assert '"PowerLineFrequency": 50.0' in path.with_suffix(".json").read_text("utf-8")


def test_mains_that_do_not_show_are_not_stated(tmp_path):
    noise = np.random.default_rng(1).normal(0, 30, (5, N_SAMPLES)).astype(np.float32)
    recording = recording_of(montage=Montage(NAMES, KINDS, 512.0), stamps=None)
    quiet = Recording(recording.montage, N_SAMPLES, lambda a, b: noise[:, a:b].copy())
    path, _ = export_recording(quiet, tmp_path / "set", "bids")
    assert '"PowerLineFrequency": "n/a"' in path.with_suffix(".json").read_text("utf-8")


def test_contacts_without_positions_are_listed_as_bids_demands(tmp_path):
    montage = Montage(NAMES, KINDS, 512.0)
    recording = recording_of()
    unplaced = Recording(montage, N_SAMPLES, recording.reader)
    path, _ = export_recording(unplaced, tmp_path / "set", "bids")
    table = path.with_name("sub-01_electrodes.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in table] == ["name", "A1", "A2", "B'1"]
    back = read_recording(path)
    assert back.montage.positions is None
    assert not [note for note in back.notes if "positions" in note]


def test_regions_come_back_and_what_another_program_calls_otherwise_is_noted(tmp_path):
    some = ("ctx-lh-insula", "", "Left-Thalamus-Proper", "", "")
    for number, regions in enumerate((some, None)):
        montage = Montage(NAMES, KINDS, 512.0, regions=regions)
        recording = Recording(montage, N_SAMPLES, recording_of().reader)
        path, _ = export_recording(recording, tmp_path / f"set{number}", "bids")
        assert read_recording(path).montage.regions == regions
    path = tmp_path / "set0" / path.relative_to(tmp_path / "set1")
    table = path.with_name("sub-01_electrodes.tsv")
    table.write_text(table.read_text().replace("ctx-lh-insula", "Insel"))
    back = read_recording(path)
    assert back.montage.regions == ("", "", "Left-Thalamus-Proper", "", "")
    assert any("left empty: Insel" in note for note in back.notes)


def test_events_are_made_anonymous_only_on_request(tmp_path):
    events = (Event(0.1, 0.0, "Mr Smith moves"), Event(0.2, 0.0, "b"), Event(0.3, 0.0, "b"))
    recording = recording_of(events=events, stamps=None)
    path, notes = export_recording(recording, tmp_path / "x.edf", "edf", anonymize_events=True)
    assert [event.text for event in read_recording(path).events] == [
        "event-1",
        "event-2",
        "event-2",
    ]
    assert b"Smith" not in path.read_bytes()
    assert any("2 different texts" in note for note in notes)


def test_labels_become_ascii_only_on_request_and_each_change_is_told(tmp_path):
    names = ("Hé1", "He1", "Hippocampus gauche 1", "Hippocampus gauche 2", "A'5")
    original = recording_of()
    recording = recording_of(
        montage=Montage(names, KINDS, 512.0), bad=("Hé1",), units={}, stamps=None
    )
    path, notes = export_recording(recording, tmp_path / "x.edf", "edf", ascii_labels=True)
    back = read_recording(path)
    expected = ("He1-0", "He1-1", "Hippocampus-0", "Hippocampus-1", "A'5")
    assert back.montage.names == expected
    assert any("Hé1 is He1-0" in note and "gauche 2 is Hippocampus-1" in note for note in notes)
    steps = np.ptp(original.read(0, N_SAMPLES), axis=1, keepdims=True) / 65535
    assert (np.abs(back.read(0, N_SAMPLES) - original.read(0, N_SAMPLES)) <= steps).all()


def test_kinds_are_those_that_are_given(tmp_path):
    recording = recording_of(montage=Montage(NAMES, ("eeg",) * 5, 512.0))
    kinds = ["A*=seeg", "B'1=ECoG", "TRIG=stim", "FORCE=misc"]
    path, _ = export_recording(recording, tmp_path / "set", "bids", kinds=kinds)
    assert path.parent.name == "ieeg"
    assert read_recording(path).montage.kinds == KINDS
    with pytest.raises(SettingsError, match="kinds seeg: the channels are eeg: A1"):
        export_recording(recording, tmp_path / "other", "bids", kinds=["seeg"])


def test_labels_of_bids_are_those_of_the_source_unless_given(tmp_path):
    named = BidsLabels("p7", "night", "sleep", "02")
    export_recording(recording_of(), tmp_path / "set", "bids", labels=named)
    source = read_recording(tmp_path / "set")
    assert labels_of(source) == named
    assert labels_of(source, session="", task="rest") == BidsLabels("p7", "", "rest", "02")
    assert labels_of(recording_of()) == BidsLabels("01", "", "decoding", "")


@pytest.mark.parametrize("n_samples", [512, 513, 3001])
@pytest.mark.parametrize("rate_hz", [256.0, 999.41, 399.609756, 2046.3, 1e6 / 3, 0.5])
def test_records_of_edf_give_the_rate(rate_hz, n_samples):
    length, duration = _record(rate_hz, n_samples)
    assert len(duration) <= 8
    assert length / float(duration) == pytest.approx(rate_hz, rel=1e-9)


@pytest.mark.parametrize("codes", [(0, 65281), (65280, 65281, 130815), (-32768, 7, 32767)])
def test_edf_keeps_codes_of_16_bits_wherever_they_begin(codes, tmp_path):
    data = np.resize(codes, N_SAMPLES).astype(np.float32)[np.newaxis]
    recording = Recording(
        Montage(("TRIG",), ("stim",), 512.0), N_SAMPLES, lambda a, b: data[:, a:b]
    )
    path, _ = export_recording(recording, tmp_path / "x.edf", "edf")
    np.testing.assert_array_equal(read_recording(path).read(0, N_SAMPLES), data)
    np.testing.assert_array_equal(np.unique(edfio.read_edf(path).signals[0].data), np.unique(codes))


def test_edf_refuses_codes_of_more_bits_and_events_that_take_more_room_than_the_signal(tmp_path):
    data = np.resize([0, 70000], N_SAMPLES).astype(np.float32)[np.newaxis]
    recording = Recording(
        Montage(("TRIG",), ("stim",), 512.0), N_SAMPLES, lambda a, b: data[:, a:b]
    )
    with pytest.raises(
        RecordingError, match=r"codes of TRIG range from 0 to 70000: export to bids"
    ):
        export_recording(recording, tmp_path / "x.edf", "edf")
    n_long = 512 * 120
    long = Recording(
        Montage(("A1",), ("seeg",), 512.0),
        n_long,
        lambda a, b: np.zeros((1, b - a), np.float32),
        events=(Event(1.0, 0.0, "x" * 60_000),),
    )
    with pytest.raises(RecordingError, match=r"7 MiB would be wasted: export to bids"):
        export_recording(long, tmp_path / "y.edf", "edf")
    assert not list(tmp_path.iterdir())
