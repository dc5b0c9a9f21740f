"""The stimulator of the synthetic patient: what it adds is known, how long it lasts is found."""

from dataclasses import replace

import numpy as np
import pytest

import rtbrain
from rtbrain.config import Recipe, load_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.front_end.stimulation import at_stimulation, edges_s
from rtbrain.recording.open import read
from rtbrain.recording.recording import Event
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSignal

CLEAN = Patient(3, sfreq_hz=1024.0, n_channels=8)
PULSED = replace(CLEAN, stim_hz=5.0, stim_tail_s=0.002, rail_uv=3000.0)
RECORDING = "synthetic:3,n_channels=8,duration_s=12,stim_hz=5,stim_tail_s=0.002"


def test_without_its_pulses_the_signal_is_the_same():
    n = 4 * 1024
    artifact = SyntheticSignal(PULSED).samples(0, n) - SyntheticSignal(CLEAN).samples(0, n)
    peaks = [sample for sample, text in PULSED.markers(0, n) if text == "stimulation"]
    assert len(peaks) == 18  # from 0.5 s on
    near = np.zeros(n, bool)
    for at in peaks:
        near[at - 2 : at + 30] = True
    assert not artifact[:, ~near].any()
    assert artifact.max() > 2000
    by_contact = np.sort(np.abs(artifact).max(axis=1))
    assert by_contact[0] < by_contact[-1] / 2
    assert np.abs(SyntheticSignal(PULSED).samples(0, n)).max() <= PULSED.rail_uv


def test_blocks_of_the_stimulator_join():
    whole = SyntheticSignal(replace(PULSED, stim_tail_s=0.1))
    other = SyntheticSignal(replace(PULSED, stim_tail_s=0.1))
    np.testing.assert_array_equal(whole.samples(0, 2500)[:, 900:1300], other.samples(900, 1300))


def test_how_long_an_artifact_lasts_is_measured():
    recording = read(RECORDING, sfreq_hz=1024.0)
    before_s, after_s = edges_s([recording], ["stimulation"])
    assert before_s <= 0.004
    # The pulse of 5 mV falls to a microvolt or two after 10 time constants.
    assert 0.006 < after_s < 0.026


def recipe(**step):
    values = load_settings("linear", Recipe).model_dump(exclude_unset=True)
    values["signal"] = [{"stimulation": step}, *values["signal"]]
    return Recipe.model_validate(values)


def test_a_fit_measures_what_the_recipe_leaves_open_and_refuses_what_is_not_there():
    recording, notes = read(RECORDING, sfreq_hz=1024.0), []
    found = at_stimulation(recipe(texts=["stimulation"]), [recording], notes.append).stimulation
    assert found.after_s > found.before_s > 0
    assert "as measured" in notes[0]
    given = recipe(texts=["stimulation"], before_s=0.001, after_s=0.02)
    assert at_stimulation(given, [recording], notes.append) == given
    with pytest.raises(SettingsError, match="nothing in the recordings is announced by 'pulse'"):
        at_stimulation(recipe(texts=["pulse"]), [recording], notes.append)
    clean = read("synthetic:3,n_channels=8,duration_s=6", sfreq_hz=1024.0)
    with pytest.raises(SettingsError, match="no recording holds what repeats"):
        at_stimulation(recipe(periodic_hz=130.0), [clean], notes.append)
    long = "synthetic:3,n_channels=8,duration_s=3,stim_hz=130,stim_tail_s=0.02"
    fast = read(long, sfreq_hz=1024.0)
    with pytest.raises(SettingsError, match="does not end within"):
        edges_s([fast], ["stimulation"])
    nothing = tuple(replace(event, onset_s=event.onset_s + 0.1) for event in recording.events)
    with pytest.raises(SettingsError, match="no artifact is found from"):
        edges_s([replace(clean, events=nothing)], ["stimulation"])


def moved(recording, by_s):
    events = tuple(replace(event, onset_s=event.onset_s + by_s) for event in recording.events)
    return replace(recording, events=events)


@pytest.mark.parametrize("by_s", [-0.02, 0.02])
def test_an_artifact_that_leads_or_lags_its_marker_is_measured_over_all_recordings(by_s):
    recording = read(RECORDING, sfreq_hz=1024.0)
    without = replace(recording, events=())
    at_marker = edges_s([recording], ["stimulation"])
    found = edges_s([without, moved(recording, by_s)], ["stimulation"])
    # To a sample beside the marker, where the artifact does not reach it.
    assert found[by_s < 0] == pytest.approx(0.02 + at_marker[by_s < 0], abs=0.003)
    assert found[by_s > 0] < 0.004


def test_where_trains_begin_and_end_is_measured_from_their_markers():
    clean = read("synthetic:3,n_channels=8,duration_s=12", sfreq_hz=1024.0)
    begins_s = np.arange(1.0, 11.0, 2.0)
    data = clean.read(0, clean.n_samples)
    for begin in (begins_s * 1024).astype(int):
        on = slice(begin - 10, begin + 1024 + 20)  # from 10 samples before to 20 after its markers
        data[:, on] += 1000.0 * (-1.0) ** np.arange(1054)
    times = [(t, "on") for t in begins_s] + [(t + 1, "off") for t in begins_s]
    events = tuple(Event(t, 0.0, text) for t, text in sorted(times))
    trains = replace(clean, reader=lambda start, stop: data[:, start:stop], events=events)
    before_s, after_s = edges_s([trains], ["on"], ["off"])
    assert before_s == pytest.approx(10 / 1024, abs=0.004)
    assert after_s == pytest.approx(20 / 1024, abs=0.004)


def test_a_patient_whose_stimulator_is_out_of_range_is_refused():
    with pytest.raises(SettingsError, match="stim_hz must be 0 to 300"):
        Patient(3, sfreq_hz=1024.0, stim_hz=1000.0)
    assert rtbrain.read("synthetic:3,duration_s=2", sfreq_hz=2048).events
