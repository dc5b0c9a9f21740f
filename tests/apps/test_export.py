"""`rtbrain export`: what is read back is what was exported, and says nothing of anybody."""

import errno
import json
import re
from pathlib import Path

import mne
import numpy as np
import pytest

from apps import export
from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.recording.export.bids import BidsLabels
from rtbrain.recording.export.run import FORMATS, default_export_path, export_recording
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Montage
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, write_xdf

SFREQ_HZ = 256.0
N_SAMPLES = 1280
NAMES = ("A1", "A2", "B1", "FORCE")
KINDS = ("SEEG", "SEEG", "ECOG", "MISC")
DATA = brain_like(4, N_SAMPLES, SFREQ_HZ)
DATA[0] += 5000  # one contact drifts far off
POSITIONS = np.array([[10, -20, 30], [12, -20, 30], [40.5, 1, -2], [np.nan] * 3], np.float32)
EACH_FORMAT = pytest.mark.parametrize("to", FORMATS)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """An XDF file as the recorder writes it; the clock began somewhere."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.chdir(folder)
    channels = "".join(
        f"<channel><label>{name}</label><type>{kind}</type>"
        f"<unit>{'newton' if kind == 'MISC' else 'microvolts'}</unit></channel>"
        for name, kind in zip(NAMES, KINDS, strict=True)
    )
    stamps = 7000.0 + np.arange(N_SAMPLES) / SFREQ_HZ
    desc = f"<channels>{channels}</channels>"
    signal = XdfStream("amp", stamps, DATA.T, SFREQ_HZ, desc=desc)
    told = XdfStream("m", 7000 + np.array([0.5, 2.25]), ["go", "stop"], 0, "string", "Markers")
    write_xdf(tmp_path / "session.xdf", signal, told)
    return tmp_path / "session.xdf"


def recording_of(**changes):
    montage = Montage(NAMES, tuple(map(str.lower, KINDS)), SFREQ_HZ, POSITIONS, "MNI mm")
    events = (Event(0.5, 0.25, "go"), Event(2.25, 0.0, "stop"))
    properties = {"events": events, "bad": ("A2",), **changes}
    montage = properties.pop("montage", montage)
    return Recording(montage, N_SAMPLES, lambda a, b: DATA[:, a:b].copy(), **properties)


@EACH_FORMAT
def test_a_session_exported_by_command_reads_back(to, session, capsys):
    export.command(str(session), export.Format(to), bad="A2")
    out = default_export_path(session, to)
    assert out.exists()
    recording = read_recording(out)
    montage = recording.montage
    assert montage.names == NAMES
    assert montage.sfreq_hz == SFREQ_HZ
    # EDF holds 16 bits of each channel's range, the others single precision.
    atol = np.ptp(DATA, axis=1, keepdims=True) / 2**15 if to == "edf" else 1e-3
    assert (np.abs(recording.read(0, N_SAMPLES) - DATA) <= atol).all()
    assert recording.events == (Event(0.5, 0.0, "go"), Event(2.25, 0.0, "stop"))
    assert montage.kinds == ("seeg", "seeg", "ecog", "misc")
    if to in {"fif", "bids"}:
        assert recording.bad == ("A2",)
    recording.close()
    assert f"{len(NAMES)} channels, 256 Hz, 5.0 s, 2 events" in capsys.readouterr().err


@EACH_FORMAT
def test_nothing_is_written_over(to, session):
    out = default_export_path(session, to)
    export.command(str(session), export.Format(to))
    before = {path: path.read_bytes() for path in [out, *out.rglob("*")] if path.is_file()}
    with pytest.raises(SettingsError, match="already exists; nothing was overwritten"):
        export.command(str(session), export.Format(to))
    assert all(path.read_bytes() == content for path, content in before.items())


@EACH_FORMAT
def test_no_date_and_no_name_is_written(to, tmp_path):
    written, _ = export_recording(recording_of(), tmp_path / {"fif": "x_raw.fif"}.get(to, "x"), to)
    if to == "xdf":
        assert not re.search(rb"20[0-9]{2}-?[01][0-9]-?[0-3][0-9]|/home|/tmp", written.read_bytes())
        return
    if to == "edf":
        header = written.read_bytes()[:256].decode()
        assert header[8:168].split() == [*"XXXX", "Startdate", *"XXXX"]
        assert header[168:184] == "01.01.8500.00.00"
        return
    raw = mne.io.read_raw(written, verbose="ERROR")
    assert raw.info["meas_date"] is None
    assert raw.info["subject_info"] is None
    raw.close()
    for path in tmp_path.rglob("*.[vtj]*"):
        assert not re.search(r"20[0-9]{2}-?[01][0-9]-?[0-3][0-9]", path.read_text()), path


def test_microvolts_become_volts_and_other_numbers_stay(tmp_path):
    written, _ = export_recording(recording_of(), tmp_path / "x_raw.fif", "fif")
    raw = mne.io.read_raw(written, verbose="ERROR")
    factors = np.array([[1e-6], [1e-6], [1e-6], [1.0]])
    np.testing.assert_allclose(raw.get_data(), DATA * factors, rtol=1e-6)
    assert raw.info["bads"] == ["A2"]
    np.testing.assert_array_equal(raw.annotations.onset, [0.5, 2.25])
    np.testing.assert_array_equal(raw.annotations.duration, [0.25, 0.0])
    raw.close()


def test_mni_positions_in_fif_come_back_by_the_points_of_the_template(tmp_path):
    written, notes = export_recording(recording_of(), tmp_path / "x_raw.fif", "fif")
    raw = mne.io.read_raw(written, verbose="ERROR")
    native = mne.channels.make_dig_montage({"any": [0, 0, 0]}, coord_frame="mni_tal")
    native.add_mni_fiducials(verbose="ERROR")
    to_head = mne.channels.compute_native_head_t(native)
    placed = raw.get_montage().get_positions()["ch_pos"]
    heads = np.array([placed[name] for name in NAMES[:3]])
    found = mne.transforms.apply_trans(np.linalg.inv(to_head["trans"]), heads) * 1000
    np.testing.assert_allclose(found, POSITIONS[:3], rtol=0, atol=1e-3)
    assert any("MNI template" in note for note in notes)
    raw.close()
    back = read_recording(written).montage
    assert back.space == "MNI mm"
    np.testing.assert_allclose(back.positions, POSITIONS, rtol=0, atol=1e-4)
    voxels = Montage(NAMES, recording_of().montage.kinds, SFREQ_HZ, POSITIONS, "LIP voxels")
    _, notes = export_recording(recording_of(montage=voxels), tmp_path / "v_raw.fif", "fif")
    assert any("no place for positions in LIP voxels" in note for note in notes)


def test_positions_in_a_head_that_is_not_the_templates_stay_in_the_head(tmp_path):
    montage = Montage(NAMES, recording_of().montage.kinds, SFREQ_HZ, POSITIONS, "head mm")
    written, _ = export_recording(recording_of(montage=montage), tmp_path / "x_raw.fif", "fif")
    back = read_recording(written).montage
    assert back.space == "head mm"
    np.testing.assert_allclose(back.positions, POSITIONS, rtol=0, atol=1e-4)


def test_bids_keeps_positions_and_takes_more_recordings(tmp_path):
    for task in ("grip", "rest"):
        labels = BidsLabels(task=task, run="1")
        written, _ = export_recording(recording_of(), tmp_path / "set", "bids", labels=labels)
    assert written.name == "sub-01_task-rest_run-1_ieeg.vhdr"
    back = read_recording(written)
    np.testing.assert_array_equal(back.montage.positions, POSITIONS)
    assert back.montage.space == "MNI mm"
    (system,) = written.parent.glob("*_coordsystem.json")
    described_as = json.loads(system.read_text())
    assert described_as["iEEGCoordinateSystem"] == "Other"
    assert described_as["iEEGCoordinateUnits"] == "mm"
    assert "MNI mm" in described_as["iEEGCoordinateSystemDescription"]
    assert len(list(written.parent.glob("*_electrodes.tsv"))) == 1
    sidecar = json.loads(written.with_suffix(".json").read_text())
    assert sidecar["PowerLineFrequency"] == 60
    about = json.loads((tmp_path / "set" / "dataset_description.json").read_text())
    assert about["GeneratedBy"][0]["Name"] == "rtbrain"
    assert (tmp_path / "set" / "participants.tsv").read_text() == "participant_id\nsub-01\n"
    back.close()
    moved = Montage(NAMES, recording_of().montage.kinds, SFREQ_HZ, POSITIONS + 1, "MNI mm")
    labels = BidsLabels(task="third")
    with pytest.raises(SettingsError, match="other electrodes than this recording"):
        export_recording(recording_of(montage=moved), tmp_path / "set", "bids", labels=labels)
    labels = BidsLabels(task="a_b")
    with pytest.raises(SettingsError, match="--task: BIDS labels are letters and digits"):
        export_recording(recording_of(), tmp_path / "set", "bids", labels=labels)


def test_events_go_with_their_samples_and_gaps_are_marked(tmp_path):
    lost = 64
    stamps = np.arange(N_SAMPLES) / SFREQ_HZ
    stamps[700:] += lost / SFREQ_HZ
    events = (Event(1.0, 0.0, "before"), Event(4.0, 0.0, "after"), Event(90.0, 0.0, "late"))
    recording = recording_of(stamps=stamps, events=events)
    written, notes = export_recording(recording, tmp_path / "x_raw.fif", "fif")
    raw = mne.io.read_raw(written, verbose="ERROR")
    told = [(one["onset"] * SFREQ_HZ, one["description"]) for one in raw.annotations]
    assert told == [(256, "before"), (700, "BAD gap of 64 samples"), (1024 - lost, "after")]
    assert any("64 samples were lost in 1 gaps" in note for note in notes)
    assert any("1 events are outside" in note for note in notes)


def test_fif_is_written_block_by_block(tmp_path):
    longest = 0

    def read(start, stop):
        nonlocal longest
        longest = max(longest, stop - start)
        return DATA[:, start:stop].copy()

    recording = Recording(recording_of().montage, N_SAMPLES, read)
    export_recording(recording, tmp_path / "x_raw.fif", "fif")
    assert 0 < longest <= 10 * SFREQ_HZ


def test_what_a_format_cannot_hold_is_one_line(tmp_path):
    def missing(start, stop):
        data = DATA[:, start:stop].copy()
        data[1, :3] = np.nan
        return data

    recording = Recording(recording_of().montage, N_SAMPLES, missing)
    with pytest.raises(RecordingError, match=r"no missing values.*A2: export to fif"):
        export_recording(recording, tmp_path / "x.edf", "edf")
    assert not (tmp_path / "x.edf").exists()
    long = Montage(("electrode with a long name", *NAMES[1:]), KINDS, SFREQ_HZ)
    with pytest.raises(RecordingError, match=r"16 ASCII characters, got electrode with a .*export"):
        export_recording(recording_of(montage=long, bad=()), tmp_path / "x.edf", "edf")
    for to in ("edf", "fif"):
        accented = Montage(("癫1", *NAMES[1:]), KINDS, SFREQ_HZ)
        with pytest.raises(RecordingError, match=r"characters, got 癫1: export to bids"):
            export_recording(recording_of(montage=accented, bad=()), tmp_path / f"x.{to}", to)
    assert not list(tmp_path.iterdir())


def test_wrong_options_get_one_line(session, tmp_path):
    with pytest.raises(MontageError, match="no channel Z9"):
        export.command(str(session), export.Format.FIF, bad="A1, Z9")
    with pytest.raises(MontageError, match="no channel A2"):
        export.command(str(session), export.Format.FIF, bad="A2", kinds="ecog")
    with pytest.raises(SettingsError, match="no folder"):
        export.command(str(session), export.Format.FIF, tmp_path / "absent" / "x_raw.fif")
    with pytest.raises(RecordingError, match="no file"):
        export.command(str(tmp_path / "gone.xdf"), export.Format.EDF)
    with pytest.raises(SettingsError, match="bids, fif, edf, xdf, got 'mat'"):
        export_recording(recording_of(), tmp_path / "x", "mat")


def test_exports_go_into_the_folder_one_works_in_but_never_into_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_export_path(Path("a/one.xdf"), "fif") == tmp_path / "one_raw.fif"
    assert default_export_path(Path("a/one.xdf"), "edf") == tmp_path / "one.edf"
    assert default_export_path(Path("a/one.xdf"), "bids") == tmp_path / "one-bids"
    inner = tmp_path / "sub-01"
    inner.mkdir()
    (tmp_path / "dataset_description.json").write_text("{}")
    monkeypatch.chdir(inner)
    with pytest.raises(SettingsError, match=r"belongs to the BIDS dataset .*pass --out"):
        default_export_path(Path("one.xdf"), "fif")


@pytest.mark.parametrize(
    ("to", "writer"),
    [("edf", "rtbrain.recording.export.edf._header"), ("fif", "mne.io.BaseRaw.save")],
)
def test_a_file_that_a_full_disk_cut_off_is_not_left(tmp_path, monkeypatch, to, writer):
    out = tmp_path / f"x_raw.{to}"

    def full(*_, **__):
        with out.open("ab") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, full)
    with pytest.raises(RecordingError, match="No space left"):
        export_recording(recording_of(), out, to)
    assert not list(tmp_path.iterdir())


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bids_recording_that_a_full_disk_cut_off_is_not_left(tmp_path, monkeypatch):
    def full(_, header):
        assert header.parent.name.startswith(".")
        header.with_suffix(".eeg").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    root = tmp_path / "set"
    export_recording(recording_of(), root, "bids", labels=BidsLabels(task="b", run="2"))
    before = files_of(root)
    with monkeypatch.context() as patched:
        patched.setattr("rtbrain.recording.export.bids.write_brainvision", full)
        with pytest.raises(RecordingError, match="No space left"):
            export_recording(recording_of(), root, "bids", labels=BidsLabels(task="b"))
    assert files_of(root) == before
    killed = root / "sub-01" / "ieeg" / ".sub-01_task-b"  # where one is written until it is whole
    killed.mkdir()
    header = killed / "sub-01_task-b_ieeg.vhdr"
    header.write_text("half")
    export_recording(recording_of(), root, "bids", labels=BidsLabels(task="b"))
    assert not killed.exists()
    whole = root / "sub-01" / "ieeg" / header.name
    assert whole.with_suffix(".eeg").stat().st_size == next(
        len(data) for path, data in before.items() if path.suffix == ".eeg"
    )
    for path in files_of(root).keys() - before.keys():
        path.unlink()
    foreign = root / "sub-01" / "ieeg" / "sub-01_task-b_events.tsv"
    foreign.write_text("of somebody else")
    with pytest.raises(SettingsError, match=r"sub-01_task-b_events.tsv already exists"):
        export_recording(recording_of(), root, "bids", labels=BidsLabels(task="b"))
    assert foreign.read_text() == "of somebody else"


@EACH_FORMAT
def test_a_source_that_breaks_on_the_way_leaves_no_part(to, tmp_path):
    def broken(start, stop):
        raise RecordingError("x.edf is truncated or damaged")

    recording = Recording(recording_of().montage, N_SAMPLES, broken)
    with pytest.raises(RecordingError, match="truncated or damaged"):
        export_recording(recording, tmp_path / {"fif": "x_raw.fif"}.get(to, "x"), to, mains_hz=50.0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "x" in path.name[:6]]
    assert not list(tmp_path.rglob("*ieeg*.*"))
