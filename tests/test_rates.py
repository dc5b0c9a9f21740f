"""Recordings and streams of any rate: every recipe runs, and nearly equal rates go together."""

import functools
from pathlib import Path

import mne
import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import encoder_of_recipe
from rtbrain.config import Recipe, parse_settings
from rtbrain.errors import RtbrainError
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.fit.inputs import common_rate_hz, open_recordings
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Floats
from tests.conftest import brain_like, cut, montage_of
from tests.stream.supervise.bedside import Bedside
from tests.test_wiring import RECIPES

RECIPE = {
    "mode": "linear",
    "signal": [{"reference": "car"}, {"resample_hz": 1024}],
    "window": {"length_s": 1.0, "hop_s": 0.244140625},
    "spectrogram": {"form": "running"},
    "encoder": {"n_pooled": 5},
}
QUICK = {"classes": ["rest", "go"], "recipe": RECIPE, "n_folds": 2, "n_permutations": 0}
SECONDS = 40.0
STATES = tuple(Event(2.0 * k, 0.0, ("rest", "go")[k % 2]) for k in range(20))


def analog(t: np.ndarray) -> Floats:
    """A signal known at every moment: rhythms below 150 Hz, one of which comes with the state."""
    rng = np.random.default_rng(5)
    data = np.zeros((6, t.size))
    for _ in range(40):  # of 1/f², as the spectrum of a brain
        freqs_hz = np.exp(rng.uniform(0, np.log(200), (6, 1)))
        data += 20 / freqs_hz**0.5 * np.sin(2 * np.pi * freqs_hz * t + rng.uniform(0, 6, (6, 1)))
    data[2] += 25 * (np.sin(np.pi / 2 * t) < 0) * np.sin(2 * np.pi * 83 * t)
    return data.astype(np.float32)


@functools.cache
def recording(sfreq_hz: float) -> Recording:
    data = analog(np.arange(round(SECONDS * sfreq_hz)) / sfreq_hz)
    return Recording(
        montage_of(6, sfreq_hz), data.shape[1], lambda a, b: data[:, a:b].copy(), events=STATES
    )


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("sfreq_hz", [160, 173.61, 399.609756, 30_000 / 31, 999.4121, 2046.3])
def test_every_recipe_runs_at_any_rate(mode: str, sfreq_hz: float) -> None:
    recipe = parse_settings(RECIPES[mode], Recipe, where="test")
    montage = montage_of(3, sfreq_hz)
    pipeline = build_feature_pipeline(recipe, montage, model=encoder_of_recipe(recipe))
    data = brain_like(3, round(5.6 * sfreq_hz), sfreq_hz)
    windows = (one for chunk in cut(data, [], sfreq_hz) for one in pipeline.cut(chunk))
    embeddings = [pipeline.encode(one) for one in windows]
    valid = [one for one in embeddings if one.quality.valid]
    assert len(valid) >= 2
    assert all(np.isfinite(one.population).all() for one in valid)


def test_a_rate_too_low_for_the_notch_leaves_it_out() -> None:
    steps = [{"notch": {"mains_hz": 60}}, {"published_laplacian": {"mains_hz": 60}}]
    for step in steps:
        recipe = parse_settings(RECIPE | {"signal": [step]}, Recipe, where="test")
        low = parse_settings(RECIPE | {"signal": [step, {"resample_hz": 1024}]}, Recipe, where="x")
        assert build_feature_pipeline(low, montage_of(3, 110.0)).n_features
        with pytest.raises(RtbrainError, match="add resample_hz: 1000"):
            build_feature_pipeline(recipe, montage_of(3, 999.4121))


@pytest.fixture(scope="module")
def decoder() -> FittedDecoder:
    return rtbrain.fit(recording(1000.0), **QUICK)


@pytest.mark.parametrize("sfreq_hz", [999.99, 999.4121, 995.5])
def test_a_decoder_reads_a_recording_of_nearly_its_rate_as_one_of_its_own(
    decoder: FittedDecoder, sfreq_hz: float
) -> None:
    own, other = decoder.decode(recording(1000.0)), decoder.decode(recording(sfreq_hz))
    # From when the rate is known; before, samples of 5 s stray by up to 0.5 % of it.
    own_from, other_from = own.t_stop_s > 7, other.t_stop_s > 7
    at = other.t_stop_s[other_from]
    wanted = np.interp(at, own.t_stop_s[own_from], own.values[own_from, 1])
    got = other.values[other_from, 1]
    inside = at <= own.t_stop_s[-1]
    assert np.corrcoef(wanted[inside], got[inside])[0, 1] > 0.99
    hop_s = np.diff(at)
    np.testing.assert_allclose(hop_s, 0.244140625, atol=1e-6 if sfreq_hz < 999.9 else 1e-5)


def test_evaluating_says_that_a_rate_was_brought_to_the_decoders(decoder: FittedDecoder) -> None:
    notes: list[str] = []
    scores = rtbrain.evaluate(decoder, recording(999.4121), on_note=notes.append)
    assert scores["decoder"]["auc"] > 0.95
    assert [note for note in notes if "999.4121 Hz, which is resampled to 1000 Hz" in note]


def test_a_stream_of_nearly_the_rate_is_taken_and_reported() -> None:
    bedside = Bedside()
    try:
        bedside.world.put("a", montage_of(4, 511.0))
        assert bedside.source.connect(5.0)
        notes = bedside.fields("connected")["notes"]
        assert "it has 511 Hz, which is resampled to 512 Hz" in notes
    finally:
        bedside.world.go.set()
        bedside.source.close()


def test_a_rate_that_is_another_one_is_refused_with_what_to_do(decoder: FittedDecoder) -> None:
    with pytest.raises(RtbrainError, match=r"994 Hz, .* 1000 Hz to within 0.5%: .*refit"):
        decoder.decode(recording(994.0))


@pytest.mark.parametrize("rates_hz", [(1000, 999.99, 996), (996, 1000, 999.99)])
def test_sessions_of_nearly_one_rate_go_to_the_middle_one_in_any_order(
    rates_hz: tuple[float, ...],
) -> None:
    notes: list[str] = []
    sources = [recording(one) for one in rates_hz]
    with open_recordings(sources, stream=None, sfreq_hz=None, scale=1, on_note=notes.append) as got:
        assert common_rate_hz(got) == 999.99
    assert sorted(note.partition(" has ")[2] for note in notes) == [
        "1000 Hz, which counts as 999.99 Hz",
        "996 Hz, which is resampled to 999.99 Hz",
    ]


def test_sessions_of_nearly_one_rate_are_fitted_together() -> None:
    sources = [recording(996), recording(999.99)]
    fitted = rtbrain.fit(sources, **QUICK | {"split": "sessions"})
    assert fitted.bundle.montage.sfreq_hz == 999.99
    assert fitted.scores["decoder"]["auc"] > 0.95


def test_sessions_of_two_rates_are_refused_by_name() -> None:
    with pytest.raises(RtbrainError, match=r"recording 1 has 512 Hz, recording 2 1000 Hz"):
        rtbrain.fit([recording(512), recording(1000)], **QUICK)


@pytest.mark.shared
def test_seizures_of_a_dog_are_decoded_at_the_true_rate_of_its_implant(shared: Path) -> None:
    file = shared / "data" / "canine-seizures" / "train_raw.fif"
    raw = mne.io.read_raw_fif(file, preload=True, verbose="ERROR")
    assert raw.info["sfreq"] == pytest.approx(399.609756, abs=2e-5)
    # Whole seizures, each with what came before it.
    sessions = [raw.copy().crop(*span) for span in ((18, 69), (125.2, 180.1))]
    fitted = rtbrain.fit(
        sessions,
        classes=["interictal", "ictal"],
        split="sessions",
        n_permutations=0,
        max_windows=300,
        front_end="recipe",
    )
    assert fitted.bundle.montage.sfreq_hz == raw.info["sfreq"]
    assert any("no mains hum stands out" in note for note in fitted.notes)
    assert fitted.scores["decoder"]["auc"] > 0.9
