"""What opens what: synthetic patients, files by suffix, and what none of them is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.open import read_recording
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource

SFREQ_HZ = 500.0
WORDS = "synthetic:5,duration_s=4,n_channels=8,difficulty=easy"


@pytest.fixture(scope="module")
def synthetic():
    return read_recording(WORDS, sfreq_hz=SFREQ_HZ)


@pytest.fixture(scope="module")
def whole(synthetic):
    return synthetic.read(0, synthetic.n_samples)


def test_a_synthetic_recording_is_what_the_patient_would_stream(synthetic, whole):
    patient = Patient(5, n_channels=8, difficulty="easy", sfreq_hz=SFREQ_HZ)
    chunk = SyntheticSource(patient, duration_s=4, chunk_samples=2000).pull()
    np.testing.assert_array_equal(whole, chunk.data)
    assert synthetic.montage.names == patient.montage.names
    assert synthetic.subject == "synthetic-5"
    starts = [(round(event.onset_s * SFREQ_HZ), event.text) for event in synthetic.events]
    assert starts == patient.markers(0, 2000)
    ends_s = [event.onset_s + event.duration_s for event in synthetic.events]
    np.testing.assert_allclose(ends_s, [*[event.onset_s for event in synthetic.events][1:], 4])


def test_a_recording_may_start_late_and_have_other_classes():
    words = "synthetic:5,task=beta,classes=rest/move/speech,n_channels=8"
    whole = read_recording(words + ",duration_s=14", sfreq_hz=SFREQ_HZ)
    late = read_recording(words + ",duration_s=4,start_s=10", sfreq_hz=SFREQ_HZ)
    np.testing.assert_array_equal(late.read(0, 2000), whole.read(5000, 7000))
    assert [(round(one.onset_s + 10, 6), one.text) for one in late.events] == [
        (round(one.onset_s, 6), one.text) for one in whole.events if one.onset_s >= 10
    ]
    assert {one.text for one in whole.events} == {"rest", "move", "speech"}


@settings(max_examples=25)
@given(st.integers(0, 2000), st.integers(0, 2000))
def test_any_stretch_is_that_of_the_whole(synthetic, whole, a, b):
    start, stop = sorted((a, b))
    np.testing.assert_array_equal(synthetic.read(start, stop), whole[:, start:stop])


def test_what_is_read_is_the_callers_own(synthetic, whole):
    synthetic.read(0, 100)[:] = 0
    np.testing.assert_array_equal(synthetic.read(0, 100), whole[:, :100])


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("synthetic:", "expected synthetic:SEED"),
        ("synthetic:five", "expected synthetic:SEED"),
        ("synthetic:5,duration_s=long", "expected synthetic:SEED"),
        ("synthetic:5,duration_s=0", "duration_s must be above 0"),
        ("synthetic:5,colour=red", "no property 'colour', there are family.*duration_s"),
        ("synthetic:5,task=gamma", "task must be one of mixed, high_gamma, beta, .*got 'gamma'"),
        ("synthetic:5,mix_drift=0.6", "mix_drift must be 0 to 0.45, got 0.6"),
        ("synthetic:5,task=beta,task=slow", "task twice"),
        ("synthetic:5,start_s=-1", "start_s must be 0 or more"),
        ("synthetic:5,difficulty=absurd", "difficulty must be one of"),
        ("synthetic:-1", "seed must be 0 or more"),
    ],
)
def test_a_patient_that_cannot_be_gets_one_line(words, match):
    with pytest.raises(SettingsError, match=match):
        read_recording(words, sfreq_hz=SFREQ_HZ)


def test_rates_and_streams_are_given_where_they_are_needed_and_only_there(tmp_path):
    with pytest.raises(SettingsError, match="pass --sfreq"):
        read_recording("synthetic:5")
    with pytest.raises(SettingsError, match="no streams to choose"):
        read_recording("synthetic:5", sfreq_hz=SFREQ_HZ, stream="a")
    for name in ("sub_1_trial000.h5", "one.nwb"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(SettingsError, match="holds its own sampling rate"):
            read_recording(tmp_path / name, sfreq_hz=SFREQ_HZ)
    with pytest.raises(SettingsError, match="no streams to choose"):
        read_recording(tmp_path / "sub_1_trial000.h5", stream="a")


def test_other_files_are_opened_as_recordings(tmp_path):
    data = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.save(tmp_path / "a.npy", data)
    np.testing.assert_array_equal(
        read_recording(tmp_path / "a.npy", sfreq_hz=SFREQ_HZ).read(1, 5), data[:, 1:5]
    )
    (tmp_path / "a.mat").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"a recording is one of .*got \.mat"):
        read_recording(tmp_path / "a.mat")
    with pytest.raises(RecordingError, match="no file"):
        read_recording(tmp_path / "absent.nwb")
