"""What moment a decode describes: the centre of what its readout reads."""

from functools import cache

import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import decode_delay_s
from rtbrain.config import Recipe, parse_settings
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.recording.recording import Recording
from tests.conftest import montage_of

SFREQ_HZ, SECONDS, STATE_S, HOP_S, N_POOLED = 500.0, 60, 2.0, 1 / 32, 4
FRAMES_S = {6.0: 0.5, 36.0: 0.125, 100.0: 0.0625}  # by a frequency of their band
MEAN_S = float(np.mean(np.repeat([*FRAMES_S.values()], [7, 6, 7])))  # of 20 bins
RECIPE = {
    "mode": "linear",
    "window": {"length_s": 0.6, "hop_s": 0.25},
    "spectrogram": {"form": "bands"},
    "encoder": {"n_pooled": N_POOLED},
}
HOP_SAMPLES = round(HOP_S * SFREQ_HZ)


def centre_s(frame_s: float) -> float:
    """From the middle of pooled frames of this length to the stamp of the newest sample."""
    frame_samples = round(frame_s * SFREQ_HZ)
    return (frame_samples / 2 + (N_POOLED - 1) / 2 * HOP_SAMPLES - 1) / SFREQ_HZ


def recording_of(*carriers_hz: float) -> Recording:
    """Rhythms that are twice as strong in every second state, in noise."""
    rng = np.random.default_rng(3)
    t_s = np.arange(int(SECONDS * SFREQ_HZ)) / SFREQ_HZ
    strong = (t_s // STATE_S) % 2
    data = rng.normal(0, 10.0, (4, t_s.size))
    for carrier_hz in carriers_hz:
        # A rhythm, not a tone: its phase wanders.
        phase = np.cumsum(rng.normal(0, 0.05, t_s.size)) + 2 * np.pi * carrier_hz * t_s
        data += 3.0 * (1 + strong) * np.sqrt(FRAMES_S[6.0] / FRAMES_S[carrier_hz]) * np.sin(phase)
    marks = [(STATE_S * n, ("rest", "speech")[n % 2]) for n in range(int(SECONDS / STATE_S))]
    names = list(montage_of(4, SFREQ_HZ).names)
    return rtbrain.read(data.astype(np.float32), sfreq_hz=SFREQ_HZ, names=names, events=marks)


@cache
def fitted(*carriers_hz: float) -> FittedDecoder:
    return rtbrain.fit(
        recording_of(*carriers_hz), classes=["rest", "speech"], recipe=RECIPE, n_folds=2,
        n_permutations=0,
    )  # fmt: skip


@pytest.mark.parametrize("carrier_hz", [6.0, 100.0])
def test_a_decode_describes_the_centre_of_the_frames_that_tell_the_state(carrier_hz: float) -> None:
    decoder = fitted(carrier_hz)
    frame_s = FRAMES_S[carrier_hz]
    assert decoder.scores["decoder"]["auc"] > 0.9
    assert decoder.bundle.manifest.neural_delay_s == pytest.approx(centre_s(frame_s), abs=0.01)
    lag = decoder.report["lag"]
    assert lag["fitted_s"] == pytest.approx(centre_s(MEAN_S), abs=1e-3)
    assert lag["described_s"] == decoder.bundle.manifest.neural_delay_s
    # An independent measure of the same: the labels that decodes match best.
    assert lag["best_s"] == pytest.approx(centre_s(frame_s), abs=0.05)


def test_decodes_of_a_saved_decoder_are_dated_and_scored_by_that_moment(tmp_path) -> None:
    decoder = rtbrain.load(fitted(100.0).save(tmp_path / "bundle"))
    delay_s = decoder.bundle.manifest.neural_delay_s
    recording = recording_of(100.0)
    decodes = decoder.decode(recording)
    np.testing.assert_allclose(decodes.latency_s, delay_s, atol=1e-9)
    states = ((decodes.times_s + 1e-6) // STATE_S).astype(int) % 2
    speech, rest = (decodes.values[decodes.valid & (states == n), 1] for n in (1, 0))
    auc = np.mean(speech[:, None] > rest) + np.mean(speech[:, None] == rest) / 2
    assert rtbrain.evaluate(decoder, recording)["decoder"]["auc"] == pytest.approx(auc, abs=1e-6)


def delay_of(weights: list[float], recipe: dict | None = None) -> float:
    """Latency where a bin of each band contributes so much."""
    checked = parse_settings(RECIPE | (recipe or {}), Recipe, where="test")
    features = build_feature_pipeline(checked, montage_of(4, SFREQ_HZ))
    contributions = np.zeros((4, features.n_features // 4))
    contributions[1:3, [0, 8, -1][: len(weights)]] = weights
    return decode_delay_s(checked, features, contributions.reshape(-1))


def test_frames_of_several_lengths_count_by_what_they_contribute() -> None:
    slow, middle, fast = (centre_s(frame_s) for frame_s in FRAMES_S.values())
    assert delay_of([2, 0, 0]) == pytest.approx(slow)
    assert delay_of([1, 0, 1]) == pytest.approx((slow + fast) / 2)
    assert delay_of([1, 3, 0]) == pytest.approx((slow + 3 * middle) / 4)
    assert delay_of([0, 0, 0]) == pytest.approx(centre_s(MEAN_S), abs=1e-3)
    assert delay_of([-1, 0, 2]) == pytest.approx(fast), "what harms has no moment"
    assert delay_of([-2, 0, 1]) == delay_of([0, 0, 0]), "nothing is decoded"


def test_frames_of_one_length_have_the_centre_that_they_had_to_the_bit() -> None:
    of_one = {
        "spectrogram": {"form": "running", "frame_s": 0.1, "frame_hop_s": 0.03, "n_freqs": 20}
    } | {"window": {"length_s": 0.6, "hop_s": 0.24}}
    checked = parse_settings(RECIPE | of_one, Recipe, where="test")
    features = build_feature_pipeline(checked, montage_of(4, SFREQ_HZ))
    assert delay_of([3, 2, 1], of_one) == features.neural_delay_s


def test_smoothing_makes_decodes_older_by_the_mean_age_of_what_it_averages() -> None:
    ages_s = 8 * HOP_SAMPLES / SFREQ_HZ * np.arange(200)
    weights = np.exp(-ages_s / 0.5)
    older_s = weights @ ages_s / weights.sum()
    smoothed = delay_of([0, 0, 1], {"smoothing_s": 0.5})
    assert smoothed == pytest.approx(delay_of([0, 0, 1]) + older_s, rel=1e-3)
