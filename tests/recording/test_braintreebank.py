"""The Brain Treebank's layout: the golden subject, and every part that can be wrong."""

import h5py
import numpy as np
import pytest

from rtbrain.errors import RecordingError
from rtbrain.recording.braintreebank import open_trial
from rtbrain.recording.open import read_recording
from rtbrain.signal import PublishedLaplacian
from rtbrain.types import Chunk
from tests.conftest import brain_like
from tests.recording.treebank import LABELS, write_json, write_table, write_trial

RATE_HZ = 1019.0
DATA = brain_like(5, 4000, RATE_HZ)
# The film starts 300 samples into the recording and was paused between 1 s and 2 s of it.
TRIGGERS = [(0.0, 300), (1.0, 1319), (2.0, 2900), (3.0, 3919), (2.5, 3410)]
WORDS = [("early", -0.1, 0.0), ("one", 0.25, 0.5), ("two", 1.25, 1.5), ("three, four", 1.75, 2.0)]


@pytest.fixture
def trial_path(tmp_path):
    return write_trial(tmp_path, DATA, TRIGGERS, WORDS)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "braintreebank_golden.npz") as file:
        expected = dict(file)
    path = shared / "golden" / "braintreebank" / "all_subject_data" / "sub_1_trial000.h5"
    trial = open_trial(path)
    yield trial, expected
    trial.recording.close()


@pytest.mark.shared
def test_words_of_the_golden_subject_are_at_the_golden_samples(golden):
    trial, expected = golden
    np.testing.assert_array_equal(trial.words.start_sample, expected["word_start_sample"])
    np.testing.assert_array_equal(trial.words.end_sample, expected["word_end_sample"])
    onsets = [event.onset_s * trial.recording.montage.sfreq_hz for event in trial.recording.events]
    np.testing.assert_array_equal(onsets, expected["word_start_sample"])
    assert trial.rate_hz == 2048


@pytest.mark.shared
@pytest.mark.parametrize("length", [49152, 5000])
def test_the_laplacian_of_the_golden_subject_is_the_golden_one(golden, length):
    trial, expected = golden
    recording = trial.recording
    stage = PublishedLaplacian(recording.montage, 60)
    parts = []
    for start in range(0, recording.n_samples, length):
        data = recording.read(start, min(start + length, recording.n_samples))
        stamps = np.arange(start, start + data.shape[1]) / recording.montage.sfreq_hz
        parts.append(stage(Chunk(data, stamps, start)).data)
    got = np.concatenate(parts, axis=1)[:, :: int(expected["every"])]
    assert stage.montage.names == tuple(expected["electrodes"])
    np.testing.assert_allclose(got, expected["laplacian"], rtol=0, atol=1e-3)


def test_electrodes_are_cleaned_placed_and_told_from_triggers(tmp_path):
    path = write_trial(tmp_path, DATA, TRIGGERS, WORDS, in_root=True)
    write_json(tmp_path / "corrupted_elec.json", {"sub_3": ["LT1a*3", "gone7"], "sub_1": ["DC1"]})
    recording = read_recording(path)
    montage = recording.montage
    assert montage.names == ("LT1a1", "LT1a2", "LT1a3", "LT1a4", "DC1")
    assert montage.kinds == ("seeg",) * 4 + ("misc",)
    assert montage.space == "LIP voxels"
    np.testing.assert_array_equal(montage.positions[:4, 0], [70, 71, 72, 73])
    np.testing.assert_array_equal(montage.positions[1], np.float32([71, 110, 96.5]))
    assert np.isnan(montage.positions[4]).all()
    assert recording.bad == ("LT1a3",)
    assert (recording.subject, recording.session) == ("3", "001")
    np.testing.assert_array_equal(recording.read(17, 1017), DATA[:, 17:1017])
    recording.close()
    recording.close()


def test_words_count_from_the_nearest_trigger_and_run_on_outside_the_range(trial_path):
    trial = open_trial(trial_path)
    assert trial.rate_hz == pytest.approx(1019, abs=1)
    wanted = [300 - 102, 300 + 255, 1319 + 255, 2900 - 255]
    np.testing.assert_allclose(trial.words.start_sample, wanted, rtol=0, atol=1)
    late = trial.triggers.samples_at(np.array([3.0, 4.0, 6.0]))
    np.testing.assert_allclose(np.diff(late), [1019, 2038], rtol=0, atol=3)
    assert trial.recording.montage.sfreq_hz == 1024
    assert any("1019" in note and "1024" in note for note in trial.recording.notes)


def test_words_are_events_and_keep_their_columns(tmp_path):
    words = [(*word, rms) for word, rms in zip(WORDS, ("0.5", "", "n/a", "2"), strict=True)]
    words += [("untimed", "", "", "1"), ("after", 30, 30.5, "1")]
    trial = open_trial(write_trial(tmp_path, DATA, TRIGGERS, words, columns=["rms"]))
    assert trial.words.text == ("early", "one", "two", "three, four", "after")
    np.testing.assert_array_equal(trial.words.numbers("rms"), [0.5, np.nan, np.nan, 2, 1])
    assert [event.text for event in trial.recording.events] == [
        "early",
        "one",
        "two",
        "three, four",
    ]
    rate_hz = trial.recording.montage.sfreq_hz
    for event, start, stop in zip(
        trial.recording.events, trial.words.start_sample, trial.words.end_sample, strict=False
    ):
        assert event.onset_s * rate_hz == start
        assert event.duration_s * rate_hz == stop - start
    notes = " / ".join(trial.recording.notes)
    assert "1 words of a-film have no times" in notes
    assert "1 of 5 words are outside the recording" in notes
    with pytest.raises(RecordingError, match="no column 'pitch': there are text, start, end, rms"):
        trial.words.numbers("pitch")


def test_regions_are_those_of_the_atlas_and_others_are_noted(tmp_path, trial_path):
    assert open_trial(trial_path).recording.montage.regions is None
    columns = ["Electrode", "L", "I", "P", "DKT"]
    names = ("ctx-lh-insula", "Left-Thalamus", "Left-Cerebral-White-Matter", "n/a")
    rows = [[label, 70, 110, 96.5, name] for label, name in zip(LABELS, names, strict=False)]
    write_table(tmp_path / "localization/sub_3/depth-wm.csv", columns, rows)
    recording = open_trial(trial_path).recording
    assert recording.montage.regions == ("ctx-lh-insula", "Left-Thalamus-Proper", "", "", "")
    noted = [note for note in recording.notes if "regions in depth-wm.csv" in note]
    assert len(noted) == 1
    assert "left empty: Left-Cerebral-White-Matter" in noted[0]


def test_a_trial_without_film_or_positions_is_still_a_recording(tmp_path, trial_path):
    (tmp_path / "transcripts/a-film/features.csv").unlink()
    (tmp_path / "localization/sub_3/depth-wm.csv").unlink()
    trial = open_trial(trial_path)
    assert trial.words is None
    assert trial.recording.events == ()
    assert trial.recording.montage.positions is None
    notes = " / ".join(trial.recording.notes)
    assert "no transcript of a-film" in notes
    assert "depth-wm.csv" in notes


def one_line(path, match):
    with pytest.raises(RecordingError, match=match) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_trial_gets_one_line(tmp_path, trial_path):
    one_line(tmp_path / "sub_3_trial009.h5", "no file")
    other = trial_path.with_name("recording.h5")
    other.write_bytes(b"")
    one_line(other, r"named sub_S_trialTTT\.h5")
    trial_path.write_bytes(trial_path.read_bytes()[:600])
    one_line(trial_path, "no HDF5 file")
    with h5py.File(trial_path, "w") as file:
        file["signals/electrode_0"] = DATA[0]
    one_line(trial_path, r"no group 'data'.*only signals")


def test_electrodes_that_do_not_fit_get_one_line(trial_path):
    with h5py.File(trial_path, "a") as file:
        del file["data/electrode_3"]
        file["data/electrode_3"] = DATA[3, :100]
    one_line(trial_path, "electrode_3 has 100 samples, electrode_0 has 4000")
    with h5py.File(trial_path, "a") as file:
        del file["data/electrode_3"]
        file["data/electrode_3"] = DATA
    one_line(trial_path, "electrode_3 should be one row of numbers")
    with h5py.File(trial_path, "a") as file:
        del file["data/electrode_3"]
    one_line(trial_path, "has 4 electrodes, electrode_labels.json has 5 labels: no electrode_3")
    with h5py.File(trial_path, "a") as file:
        file["data/electrode_3"] = DATA[3]
        file["data/electrode_5"] = DATA[3]
    recording = read_recording(trial_path)
    assert any("1 electrodes have no label" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("electrode_labels/sub_3/electrode_labels.json", r"no electrode_labels/sub_3/.* in "),
        ("subject_timings/sub_3_trial001_timings.csv", "no file .*timings.csv"),
    ],
)
def test_a_file_that_is_absent_is_named(file, match, tmp_path, trial_path):
    (tmp_path / file).unlink()
    one_line(trial_path, match)


def test_tables_and_lists_that_are_broken_get_one_line(tmp_path, trial_path):
    timings = tmp_path / "subject_timings/sub_3_trial001_timings.csv"
    write_table(timings, ["type", "movie_time", "index"], [["trigger", 0, 300], ["end", 9, 4000]])
    one_line(trial_path, "1 usable triggers, at least 2")
    timings.write_text("type,movie_time,index\ntrigger,0.0\n")
    one_line(trial_path, "line 2 has another number of columns")
    write_table(timings, ["type", "time"], [])
    one_line(trial_path, "no column movie_time, index")
    labels = tmp_path / "electrode_labels/sub_3/electrode_labels.json"
    labels.write_text("[")
    one_line(trial_path, "cannot be read as JSON")
    write_json(labels, {"a": 1})
    one_line(trial_path, "expected a list of electrode labels")


def test_labels_that_are_one_after_cleaning_get_one_line(tmp_path):
    path = write_trial(tmp_path, DATA, TRIGGERS, WORDS, labels=("*A1", "A1", "A2", "A3", "A4"))
    one_line(path, "repeat: A1")
