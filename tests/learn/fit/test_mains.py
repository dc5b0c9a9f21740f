"""The mains frequency that a decoder removes is that of its recordings, and others are reported."""

import re

import numpy as np
import pytest

import rtbrain
from rtbrain.bundling import build_decoder
from rtbrain.config import Recipe, parse_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.inputs import at_mains
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Chunk
from tests.conftest import montage_of

SFREQ_HZ = 512.0
N_SAMPLES = round(30 * SFREQ_HZ)
RECIPE = {
    "mode": "linear",
    "signal": [{"quality": {"mains_hz": 60}}, {"notch": {"mains_hz": 60}}, {"reference": "car"}],
    "window": {"length_s": 1.0, "hop_s": 0.5},
    "spectrogram": {"form": "running", "frame_s": 0.25, "frame_hop_s": 0.125, "n_freqs": 20},
    "encoder": {"n_pooled": 4},
}
QUICK = {"classes": ["rest", "go"], "recipe": RECIPE, "n_folds": 2, "n_permutations": 0}


def recording(hum_hz: float | None, seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    data = np.cumsum(rng.normal(0, 2, (4, N_SAMPLES)), axis=1)
    if hum_hz:
        data += 8 * np.sin(2 * np.pi * hum_hz * np.arange(N_SAMPLES) / SFREQ_HZ)
    states = tuple(Event(1.5 * k, 0.0, ("rest", "go")[k % 2]) for k in range(20))
    return Recording(
        montage_of(4, SFREQ_HZ),
        N_SAMPLES,
        lambda start, stop: data[:, start:stop].astype(np.float32),
        events=states,
    )


@pytest.mark.parametrize(
    ("hum_hz", "mains", "removed_hz", "note"),
    [
        (50, "auto", 50, "the mains hum is at 50 Hz .*not the recipe's 60 Hz"),
        (60, "auto", 60, None),
        (None, "auto", 60, "no mains hum stands out .*the recipe's 60 Hz is kept; --mains"),
        (50, 60, 60, "the mains hum is at 50 Hz .*removes 60 Hz"),
        (None, 50, 50, None),
    ],
)
def test_the_recipes_frequency_gives_way_to_the_hum_of_the_recording(
    hum_hz, mains, removed_hz, note
):
    notes: list[str] = []
    recipe = parse_settings(RECIPE, Recipe, where="test")
    asked = recipe.adapt(mains_hz=None if mains == "auto" else mains)
    adapted, report = at_mains(asked, mains, [recording(hum_hz)], notes.append)
    assert [step.notch.mains_hz for step in adapted.signal if step.notch] == [removed_hz]
    assert adapted.mains_hz == report["mains"]["removed_hz"] == removed_hz
    powers = report["mains"]["power_db"]
    assert hum_hz is None or powers[str(hum_hz)] > 10 > powers[str(110 - hum_hz)]
    assert len(notes) == (note is not None)
    assert note is None or re.search(note, notes[0])


def test_recordings_of_both_hums_keep_the_recipes_and_say_so():
    notes: list[str] = []
    recipe = parse_settings(RECIPE, Recipe, where="test")
    adapted, _ = at_mains(recipe, "auto", [recording(50), recording(60)], notes.append)
    assert adapted.mains_hz == 60
    assert "differs between recordings" in notes[0]


def test_a_recipe_without_mains_is_left_alone():
    recipe = parse_settings(RECIPE | {"signal": [{"reference": "car"}]}, Recipe, where="test")
    assert at_mains(recipe, "auto", [recording(50)], pytest.fail) == (recipe, {})


def test_a_recording_or_a_stream_of_the_other_hum_is_reported_with_both_powers():
    steps = [{"quality": {"mains_hz": 50}}, {"notch": {"mains_hz": 50}}, {"reference": "car"}]
    of_50_hz = RECIPE | {"signal": steps}
    fitted = rtbrain.fit(recording(60), **QUICK | {"recipe": of_50_hz})
    assert fitted.bundle.recipe.mains_hz == 60
    assert fitted.report["mains"]["removed_hz"] == 60
    assert any("the mains hum is at 60 Hz" in note for note in fitted.notes)
    notes: list[str] = []
    told: list[str] = []
    rtbrain.evaluate(fitted, recording(50, seed=1), on_note=notes.append)
    (note,) = notes
    assert "the mains hum is at 50 Hz (50 Hz +" in note
    assert "the decoder removes 60 Hz: fit it with --mains 50" in note
    other = recording(50, seed=2)
    features, _ = build_decoder(
        fitted.bundle,
        other.montage,
        on_event=lambda event, **fields: told.append(f"{event}: {fields.get('reason')}"),
    )
    data = other.read(0, N_SAMPLES)
    list(features.cut(Chunk(data, np.arange(N_SAMPLES) / SFREQ_HZ, 0)))
    (line,) = [
        line for line in told if line.startswith("mains: the mains hum is at 50 Hz (50 Hz +")
    ]
    assert line.endswith("fit it with --mains 50")


def test_another_frequency_is_refused_in_one_line():
    with pytest.raises(SettingsError, match=r"mains_hz.*50, 60 or 'auto'"):
        rtbrain.fit(recording(None), mains_hz=55, **QUICK)
