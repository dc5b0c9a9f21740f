"""NWB files: against pynwb where it is installed, and one line where it is not."""

import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from rtbrain.errors import RecordingError, RtbrainError
from rtbrain.recording.open import read, read_recording
from tests.conftest import brain_like

SFREQ_HZ = 500.0
DATA = brain_like(4, 1000, SFREQ_HZ)


def write_nwb(path, *, names=("ecog",), regular=True, labels=("E1", "E2", "E3", "E4")):
    pynwb = pytest.importorskip(
        "pynwb", reason="pynwb is an extra: pip install 'rtbrain[datasets]'"
    )
    began = datetime(2000, 1, 1, tzinfo=UTC)
    nwb = pynwb.NWBFile(
        session_description="a test",
        identifier="one",
        session_start_time=began,
        session_id="s2",
    )
    nwb.subject = pynwb.file.Subject(subject_id="p7", species="Homo sapiens")
    device = nwb.create_device(name="amplifier")
    grid, depth = (
        nwb.create_electrode_group(
            name=name, description=description, location="temporal", device=device
        )
        for name, description in (("G", "ECoG grid"), ("D", "depth electrode"))
    )
    if labels:
        nwb.add_electrode_column(name="label", description="as on the headbox")
    nwb.add_electrode_column(name="good", description="no artefacts")
    for row in range(4):
        extra = {"label": labels[row]} if labels else {}
        group = grid if row < 3 else depth
        place = {"x": 1.0 * row, "y": 2.0, "z": 3.0}
        nwb.add_electrode(group=group, location="here", good=row != 2, **place, **extra)
    region = nwb.create_electrode_table_region(region=[0, 1, 2, 3], description="all")
    timing = {"rate": SFREQ_HZ, "starting_time": 10.0}
    if not regular:
        timing = {"timestamps": 10.0 + np.arange(1000) / SFREQ_HZ}
    for name in names:
        # As stored by amplifiers: integers of 0.5 µV, one channel with twice the gain.
        nwb.add_acquisition(
            pynwb.ecephys.ElectricalSeries(
                name=name,
                data=np.rint(DATA.T / 0.5).astype(np.int16),
                electrodes=region,
                conversion=0.5e-6,
                channel_conversion=np.array([1.0, 2.0, 1.0, 1.0]),
                **timing,
            )
        )
    nwb.add_trial_column(name="condition", description="what was done")
    nwb.add_trial(start_time=10.5, stop_time=11.0, condition="reach")
    nwb.add_trial(start_time=11.5, stop_time=11.75, condition="rest")
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


@pytest.mark.parametrize("regular", [True, False])
def test_a_series_becomes_microvolts_labels_kinds_and_events(regular, tmp_path):
    write_nwb(tmp_path / "one.nwb", regular=regular)
    recording = read_recording(tmp_path / "one.nwb")
    wanted = np.rint(DATA / 0.5) * 0.5 * np.array([[1], [2], [1], [1]])
    np.testing.assert_allclose(recording.read(100, 900), wanted[:, 100:900], rtol=1e-6)
    montage = recording.montage
    assert montage.names == ("E1", "E2", "E3", "E4")
    assert montage.kinds == ("ecog", "ecog", "ecog", "seeg")
    assert montage.sfreq_hz == SFREQ_HZ
    np.testing.assert_array_equal(montage.positions[:, 0], [0, 1, 2, 3])
    assert recording.bad == ("E3",)
    assert (recording.subject, recording.session) == ("p7", "s2")
    spans = [(event.onset_s, event.duration_s, event.text) for event in recording.events]
    assert spans == [(0.5, 0.5, "reach"), (1.5, 0.25, "rest")]
    stamps = recording.timestamps(0, 1000)
    assert (stamps is None) == regular
    if not regular:
        np.testing.assert_allclose(stamps, np.arange(1000) / SFREQ_HZ, rtol=0, atol=1e-9)
    recording.close()


def test_codes_and_levels_of_a_channel_are_numbers_as_they_are_stored(tmp_path):
    write_nwb(tmp_path / "one.nwb")
    stored = np.rint(DATA[1] / 0.5)
    level = float(np.quantile(stored, 0.9)) + 0.5  # of 1 µV each
    for text in (f"E2:{level}", f"E2:{level}uV"):
        recording = read(tmp_path / "one.nwb", trigger=text)
        found = sum(event.text == "E2" for event in recording.events)
        expected = read((stored[np.newaxis], SFREQ_HZ, ["E2"]), trigger=f"E2:{level}")
        assert found == len(expected.events) > 3
        recording.close()
    write_nwb(tmp_path / "codes.nwb", labels=("E1", "E2", "E3", "TRIG"))
    recording = read_recording(tmp_path / "codes.nwb")
    assert recording.montage.kinds[3] == "stim"
    np.testing.assert_array_equal(recording.read(0, 1000)[3], np.rint(DATA[3] / 0.5))
    recording.close()


def test_of_several_series_one_must_be_named(tmp_path):
    write_nwb(tmp_path / "two.nwb", names=("left", "right"), labels=())
    with pytest.raises(RecordingError, match="2 ElectricalSeries, choose with --stream: left, ri"):
        read_recording(tmp_path / "two.nwb")
    with pytest.raises(RecordingError, match="no ElectricalSeries 'up': there is left, right"):
        read_recording(tmp_path / "two.nwb", stream="up")
    recording = read_recording(tmp_path / "two.nwb", stream="right")
    assert recording.montage.names == ("0", "1", "2", "3")
    assert any("no distinct labels" in note for note in recording.notes)
    recording.close()


def test_a_foreign_file_gets_one_line(tmp_path):
    pytest.importorskip("pynwb", reason="pynwb is an extra: pip install 'rtbrain[datasets]'")
    (tmp_path / "foreign.nwb").write_bytes(b"RIFF")
    with pytest.raises(RecordingError, match=r"foreign\.nwb cannot be read as NWB") as caught:
        read_recording(tmp_path / "foreign.nwb")
    assert "\n" not in str(caught.value)


def test_without_pynwb_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    (tmp_path / "one.nwb").write_bytes(b"")
    with pytest.raises(RtbrainError, match=r"needs pynwb: pip install 'rtbrain\[datasets\]'"):
        read_recording(tmp_path / "one.nwb")
