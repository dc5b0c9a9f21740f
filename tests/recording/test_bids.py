import json
import re

import mne
import numpy as np
import pybv
import pytest

from rtbrain.errors import RecordingError
from rtbrain.recording.open import amplitude_note, read, read_recording
from rtbrain.recording.recording import Event
from rtbrain.recording.triggers import state_units
from tests.conftest import brain_like

SFREQ_HZ = 500.0
NAMES = ("A1", "A2", "DBS1", "FORCE")
DATA = brain_like(4, 1000, SFREQ_HZ)

CHANNELS = (
    "\ufeffname\ttype\tunits\tstatus\n"
    "A1\tSEEG\tµV\tgood\nA2\tECOG\tµV\tbad\nDBS1\tDBS\tn/a\tgood\nFORCE\tMISC\tµV\tn/a\n"
)
ELECTRODES = (
    "\ufeffname\tx\ty\tz\tsize\nA1\t0.01\t-0.02\t0.03\t5\nDBS1\t1\tn/a\t2\t5\nZ9\t1\t1\t1\t5\n"
)
EVENTS = (
    "\ufeffonset\tduration\ttrial_type\tvalue\n"
    "1.5\t0.25\tspeech\t2\n0.5\tn/a\tn/a\t7\n0.75\t0\tn/a\tn/a\nn/a\t0\tlost\t1\n"
)


def coordsystem(system="Other", unit="m"):
    return json.dumps({"iEEGCoordinateSystem": system, "iEEGCoordinateUnits": unit})


class Tree:
    """A BIDS folder of one subject, written by hand."""

    def __init__(self, root):
        self.root = root
        self.ieeg = root / "sub-01" / "ses-a" / "ieeg"
        self.ieeg.mkdir(parents=True)
        (root / "dataset_description.json").write_text("{}")

    def record(self, run="1"):
        base = f"sub-01_ses-a_task-rest_run-{run}"
        events = [{"onset": 50, "duration": 1, "description": "vmrk", "type": "Comment"}]
        pybv.write_brainvision(
            data=DATA * 1e-6,
            sfreq=SFREQ_HZ,
            ch_names=list(NAMES),
            fname_base=f"{base}_ieeg",
            folder_out=self.ieeg,
            events=events,
        )
        return self.ieeg / f"{base}_ieeg.vhdr"

    def put(self, name, text, folder=None):
        path = (folder or self.ieeg) / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "dataset")


def with_sidecars(tree, system="Other", unit="m"):
    path = tree.record()
    tree.put("sub-01_ses-a_task-rest_run-1_channels.tsv", CHANNELS)
    tree.put("sub-01_ses-a_task-rest_run-1_events.tsv", EVENTS)
    tree.put("sub-01_ses-a_space-mni_electrodes.tsv", ELECTRODES)
    tree.put("sub-01_ses-a_space-mni_coordsystem.json", coordsystem(system, unit))
    return path


@pytest.mark.parametrize("named", ["root", "subject", "ieeg", "file"])
def test_the_one_recording_is_found_and_takes_its_sidecars(named, tree):
    path = with_sidecars(tree)
    derived = tree.root / "derivatives" / "sub-01" / "ieeg"
    derived.mkdir(parents=True)
    tree.put("sub-01_task-clean_ieeg.vhdr", "", derived)
    folder = {"root": tree.root, "subject": tree.root / "sub-01", "ieeg": tree.ieeg, "file": path}
    recording = read_recording(folder[named])
    assert recording.montage.names == NAMES
    assert recording.montage.kinds == ("seeg", "ecog", "dbs", "misc")
    np.testing.assert_allclose(recording.read(0, 1000), DATA, atol=1e-4)
    assert recording.events == (
        Event(0.5, 0.0, "7"),
        Event(0.75, 0.0, "event"),
        Event(1.5, 0.25, "speech"),
    )
    assert any("marked bad" in note and note.endswith("A2") for note in recording.notes)
    assert recording.bad == ("A2",)
    assert (recording.subject, recording.session) == ("01", "a")
    assert any("1 events" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("system", "unit", "space", "factor"),
    [
        ("Other", "m", "unnamed mm", 1e3),
        ("n/a", "mm", "unnamed mm", 1),
        ("MNI152NLin2009aSym", "cm", "MNI mm", 10),
        ("ACPC", "mm", "ACPC mm", 1),
        ("Pixels", "pixels", "Pixels pixels", 1),
        ("Other", "n/a", "unnamed, unit undeclared", 1),
    ],
)
def test_positions_are_in_the_declared_space_whatever_the_file_is_called(
    system, unit, space, factor, tree
):
    montage = read_recording(with_sidecars(tree, system, unit)).montage
    assert montage.space == space
    expected = np.full((4, 3), np.nan)
    expected[0] = np.array([0.01, -0.02, 0.03]) * factor
    np.testing.assert_allclose(montage.positions, expected, rtol=1e-6)


def test_positions_without_a_coordinate_system_are_kept_unnamed(tree):
    path = tree.record()
    tree.put("sub-01_ses-a_space-MNI152_electrodes.tsv", ELECTRODES)
    recording = read_recording(path)
    assert recording.montage.space.startswith("unnamed")
    assert any("unnamed" in note for note in recording.notes)


def test_of_several_spaces_one_is_taken_and_the_others_are_named(tree):
    path = with_sidecars(tree)
    tree.put("sub-01_ses-a_space-ACPC_electrodes.tsv", ELECTRODES)
    tree.put("sub-01_ses-a_space-ACPC_coordsystem.json", coordsystem("ACPC", "mm"))
    recording = read_recording(path)
    assert recording.montage.space == "ACPC mm"
    assert recording.montage.positions[0, 0] == np.float32(0.01)
    assert any("not from sub-01_ses-a_space-mni" in note for note in recording.notes)


def test_several_recordings_are_listed_and_one_must_be_named(tree):
    paths = [tree.record(run) for run in ("1", "2")]
    with pytest.raises(RecordingError, match=r"2 recordings, name one: .*run-1.*run-2") as caught:
        read_recording(tree.root)
    assert "\n" not in str(caught.value)
    assert read_recording(paths[1]).n_samples == 1000


def test_a_sidecar_of_another_run_is_not_taken(tree):
    first, second = tree.record("1"), tree.record("2")
    tree.put("sub-01_ses-a_task-rest_run-2_channels.tsv", CHANNELS)
    assert set(read_recording(first).montage.kinds) == {"eeg"}
    assert set(read_recording(second).montage.kinds) == {"seeg", "ecog", "dbs", "misc"}


def test_a_sidecar_higher_up_is_inherited_but_a_closer_one_wins(tree):
    path = tree.record()
    tree.put("task-rest_channels.tsv", CHANNELS, tree.root)
    assert read_recording(path).montage.kinds[0] == "seeg"
    tree.put("sub-01_ses-a_channels.tsv", CHANNELS.replace("SEEG", "ECOG"))
    assert read_recording(path).montage.kinds[0] == "ecog"
    tree.put("channels.tsv", CHANNELS.replace("SEEG", "EOG"), tree.root.parent)
    assert read_recording(path).montage.kinds[0] == "ecog"


def test_where_units_disagree_the_header_is_believed_with_a_note(tree):
    path = tree.record()
    tree.put("sub-01_ses-a_channels.tsv", CHANNELS.replace("µV", "V"))
    recording = read_recording(path)
    np.testing.assert_allclose(recording.read(0, 1000), DATA, atol=1e-4)
    (note,) = [note for note in recording.notes if "disagree" in note]
    assert "A1 µV not V" in note


def test_a_level_counts_in_a_unit_that_only_the_sidecar_gives(tree):
    path = tree.record()
    path.write_text(re.sub(r"(?m)^(Ch4=.*),[^,]*$", r"\1,n/a", path.read_text(encoding="utf-8")))
    tree.put("sub-01_ses-a_channels.tsv", CHANNELS.replace("µV", "mV"))
    level = float(np.quantile(DATA[3], 0.9))
    recording = read(path, trigger=f"FORCE:{level}")
    expected = read((DATA, SFREQ_HZ, NAMES), trigger=f"FORCE:{level}").events
    assert [event.onset_s for event in recording.events if event.text == "FORCE"] == [
        event.onset_s for event in expected
    ]
    assert len(expected) > 3
    assert state_units("FORCE:2", [recording]) == "FORCE:2000uV"


def test_rows_are_matched_by_zero_and_what_has_no_row_is_named(tree):
    path = tree.record()
    tree.put(
        "sub-01_ses-a_task-rest_channels.tsv",
        CHANNELS.replace("A2\tECOG", "A02\tECOG").replace("FORCE", "POWER"),
    )
    recording = read_recording(path)
    assert recording.bad == ("A2",)
    assert recording.montage.kinds == ("seeg", "ecog", "dbs", "eeg")
    notes = " | ".join(recording.notes)
    assert "were matched: A02 is A2" in notes
    assert "rows of sub-01_ses-a_task-rest_channels.tsv that are no channel" in notes
    assert "POWER" in notes
    assert "channels without a row in sub-01_ses-a_task-rest_channels.tsv: FORCE" in notes
    assert "channels marked bad: A2" in notes


def test_decimal_commas_are_read_and_what_is_no_number_is_named(tree):
    path = tree.record()
    table = ELECTRODES.replace("0.01\t-0.02\t0.03", "0,01\t-0,02\t0,03")
    tree.put("sub-01_ses-a_electrodes.tsv", table.replace("1\tn/a\t2", "1\tx2\t2"))
    recording = read_recording(path)
    np.testing.assert_allclose(recording.montage.positions[0], [0.01, -0.02, 0.03])
    assert np.isnan(recording.montage.positions[1:]).all()
    assert any("that are no numbers: DBS1 1 x2 2" in note for note in recording.notes)


def test_without_events_tsv_the_markers_of_the_file_are_the_events(tree):
    path = tree.record()
    assert [event.text for event in read_recording(path).events] == ["Comment/vmrk"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("channels.tsv", b"label\ttype\nA1\tSEEG\n", "no column name"),
        ("channels.tsv", b"name\ttype\n" + b"A" * 200_000, "cannot be read as a table"),
        ("events.tsv", b"", "no column onset"),
        ("electrodes.tsv", b"name\tx\ty\nA1\t1\t2\n", "no column z"),
        ("coordsystem.json", b"{", "cannot be read as JSON"),
        ("coordsystem.json", b"[1]", "cannot be read as JSON"),
    ],
)
def test_a_broken_sidecar_is_named_in_one_line(name, content, message, tree):
    path = with_sidecars(tree)
    for file in tree.ieeg.glob(f"*{name}"):
        file.write_bytes(content)
    with pytest.raises(RecordingError, match=message) as caught:
        read_recording(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_recording_says_what_is_looked_for(tmp_path):
    with pytest.raises(RecordingError, match=r"no recording \*_ieeg"):
        read_recording(tmp_path)


@pytest.mark.shared
def test_the_grip_force_recording_is_read_with_its_traps(shared):
    recording = read_recording(shared / "data" / "ecog-gripforce")
    montage = recording.montage
    assert montage.kinds == ("dbs",) * 3 + ("ecog",) * 6 + ("misc",)
    assert montage.space == "unnamed mm"
    np.testing.assert_allclose(montage.positions[3], [37.318174, -48.610127, 61.797655], rtol=1e-6)
    assert np.isnan(montage.positions[9]).all()
    assert amplitude_note(recording).endswith("try --scale 1e-06")
    assert amplitude_note(recording, scale=1e-6) is None


@pytest.mark.shared
def test_the_sleep_recording_is_read_with_its_traps(shared):
    folder = shared / "data" / "seeg-hfo"
    recording = read_recording(folder)
    (path,) = folder.glob("sub-*/**/*.vhdr")
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    expected = (raw.get_data() * 1e6).astype(np.float32)
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), expected)
    assert recording.montage.names[:2] == ("IAR1", "IAR2")
    assert any("disagree" in note and "IAR1 µV not V" in note for note in recording.notes)
    assert amplitude_note(recording) is None
    assert len(recording.events) == 68
    assert recording.events[0] == Event(0.0015, 0.016, "fr_PHR1-2")


@pytest.mark.shared
def test_the_dense_implant_keeps_its_kinds_and_positions(shared):
    path = shared / "data" / "ecog-montage" / "sample_ecog_ieeg.fif"
    montage = read_recording(path).montage
    assert (montage.kinds.count("ecog"), montage.kinds.count("seeg")) == (320, 74)
    assert montage.space == "head mm"
    assert not np.isnan(montage.positions).any()
    np.testing.assert_allclose(montage.positions[0], [33.45925, 66.5044, 39.24223], rtol=1e-5)
