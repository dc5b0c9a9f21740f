"""The synthetic patient: the same samples in whatever order, and brain-like ones."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.ndimage import uniform_filter1d

from rtbrain.errors import SettingsError
from rtbrain.synthetic.noise import RandomBumps, RandomStream
from rtbrain.synthetic.patient import BANDS_HZ, Patient
from rtbrain.synthetic.signal import SyntheticSignal, SyntheticSource
from rtbrain.types import Floats
from tests.synthetic.linear_control import scores

SFREQ_HZ = 1024.0


def patient(seed: int = 0, **settings: object) -> Patient:
    return Patient(seed, **{"sfreq_hz": SFREQ_HZ, **settings})  # type: ignore[arg-type]


def play(who: Patient, n_samples: int, chunk_samples: int, start_sample: int = 0) -> Floats:
    source = SyntheticSource(
        who,
        duration_s=n_samples / who.sfreq_hz,
        chunk_samples=chunk_samples,
        start_sample=start_sample,
    )
    chunks = []
    while (chunk := source.pull(0.0)) is not None:
        assert chunk.first_sample == start_sample + sum(c.n_samples for c in chunks)
        expected = (chunk.first_sample + np.arange(chunk.n_samples)) / who.sfreq_hz
        np.testing.assert_array_equal(chunk.timestamps, expected)
        chunks.append(chunk)
    return np.concatenate([chunk.data for chunk in chunks], axis=1)


@cache
def minute(seed: int = 0, family: int = 0) -> Floats:
    n_samples = round(60 * SFREQ_HZ)
    return play(patient(seed, family=family), n_samples, n_samples)


def band_power(data: Floats, band_hz: tuple[float, float]) -> Floats:
    sos = signal.butter(4, band_hz, "bandpass", fs=SFREQ_HZ, output="sos")
    return np.asarray(signal.sosfiltfilt(sos, data.astype(np.float64)) ** 2)


# The law


@settings(max_examples=15)
@given(chunk_samples=st.integers(1, 3000), start=st.integers(0, 9000), length=st.integers(1, 2600))
def test_samples_do_not_depend_on_chunking_or_start(
    chunk_samples: int, start: int, length: int
) -> None:
    who = patient(n_channels=6)
    whole = minute_of_six()
    pieces = play(who, length, chunk_samples, start)
    np.testing.assert_array_equal(pieces, whole[:, start : start + length])


@cache
def minute_of_six() -> Floats:
    return play(patient(n_channels=6), 12_000, 12_000)


def test_blocks_come_out_the_same_in_any_order() -> None:
    forwards, backwards = SyntheticSignal(patient()), SyntheticSignal(patient())
    ahead = [forwards.block(number) for number in range(4)]
    back = [backwards.block(number) for number in reversed(range(4))][::-1]
    np.testing.assert_array_equal(ahead, back)


def test_same_seed_gives_same_patient_and_another_seed_another() -> None:
    assert patient(3).montage.names == patient(3).montage.names
    np.testing.assert_array_equal(play(patient(3), 500, 500), play(patient(3), 500, 500))
    assert not np.allclose(play(patient(3), 500, 500), play(patient(4), 500, 500))


def test_source_ends_after_its_duration_and_when_closed() -> None:
    source = SyntheticSource(patient(), duration_s=1.0, chunk_samples=1000)
    lengths = []
    while (chunk := source.pull(0.0)) is not None:
        lengths.append(chunk.n_samples)
    assert lengths == [1000, 24]
    assert source.pull(0.0) is None
    endless = SyntheticSource(patient())
    assert endless.pull(0.0) is not None
    endless.close()
    endless.close()
    assert endless.pull(0.0) is None


# Signal


def test_background_falls_as_one_over_f() -> None:
    freqs_hz, power = signal.welch(minute(), SFREQ_HZ, nperseg=2048)
    quiet = np.ones(freqs_hz.size, bool)
    for band in ((0, 3), (7, 31), (57, 160), (235, 245), (200, 600)):
        quiet &= (freqs_hz < band[0]) | (freqs_hz > band[1])
    slopes = np.polyfit(np.log(freqs_hz[quiet]), np.log(power[:, quiet].T), 1)[0]
    assert np.all((slopes > -2.6) & (slopes < -1.5))


def test_amplitudes_are_those_of_intracranial_recordings() -> None:
    data = minute()
    assert data.dtype == np.float32
    assert 25 < np.median(data.std(axis=1)) < 110
    assert np.abs(data.mean(axis=1)).max() > 100
    high_gamma_uv = np.sqrt(band_power(data, (125, 150)).mean(axis=1))
    assert 0.3 < np.median(high_gamma_uv) < 10


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_and_harmonics_stand_out_and_differ_by_contact(mains_hz: float) -> None:
    data = play(patient(mains_hz=mains_hz), 20 * 1024, 4096)
    freqs_hz, power = signal.welch(data, SFREQ_HZ, nperseg=2048)
    for harmonic in (1, 2, 3):
        line = power[:, np.abs(freqs_hz - harmonic * mains_hz) < 1].max(axis=1)
        beside = np.abs(np.abs(freqs_hz - harmonic * mains_hz) - 6) < 2
        ratio = line / np.median(power[:, beside], axis=1)
        assert np.median(ratio) > 10
        assert line.max() > 4 * line.min()


def test_noise_does_not_repeat_from_block_to_block() -> None:
    length = SyntheticSignal(patient()).block_samples
    sos = signal.butter(4, (20, 50), "bandpass", fs=SFREQ_HZ, output="sos")
    row = signal.sosfiltfilt(sos, minute()[0])
    seconds = row[: 60 * length].reshape(60, length)
    correlation = np.corrcoef(seconds) - np.eye(60)
    assert np.abs(correlation).max() < 0.6


def test_correlation_falls_along_a_shaft() -> None:
    who = patient()
    clean = signal.sosfiltfilt(
        signal.butter(4, (4, 50), "bandpass", fs=SFREQ_HZ, output="sos"), minute()
    )
    correlation = np.corrcoef(clean)
    shafts = who.implant.shafts
    by_distance = [
        np.mean([correlation[i, i + k] for i in range(32 - k) if shafts[i] == shafts[i + k]])
        for k in range(1, 6)
    ]
    assert np.all(np.diff(by_distance) < 0)
    assert by_distance[0] > 0.5
    apart = np.mean(correlation[shafts[:, np.newaxis] != shafts])
    assert apart < by_distance[-1]


@pytest.mark.parametrize("family", [0, 1])
def test_speech_raises_high_gamma_and_lowers_beta_near_foci(family: int) -> None:
    who = patient(family=family)
    data = minute(family=family)
    speaks = who.state_at(np.arange(data.shape[1])) == 1
    settled = uniform_filter1d(speaks.astype(float), 800, origin=399)
    effect = sum(focus.effect(who.implant.positions_mm) for focus in who.foci)
    near, far = effect > 0.7, effect < 0.05

    def change_db(band: tuple[float, float]) -> Floats:
        power = band_power(data, band)
        speech, rest = settled > 0.999, settled < 0.001
        return 10 * np.log10(
            np.median(power[:, speech], axis=1) / np.median(power[:, rest], axis=1)
        )

    low, high = BANDS_HZ["high gamma"]
    rise, fall = change_db((low + 5, high - 35)), change_db((15, 28))
    assert np.all(rise[near] > 2.5)
    assert rise[near].max() < who.level.high_gamma_db + 1
    assert np.all(fall[near] < -1)
    assert np.all(np.abs(rise[far]) < 2)
    assert np.all(np.abs(fall[far]) < 2)


def test_bumps_come_at_their_rate_and_last_as_long_as_they_may() -> None:
    bumps = RandomBumps(
        RandomStream.BLINKS,
        0,
        rate_hz=0.05,
        length_s=(0.5, 1.0),
        n_rows=1,
        block_samples=100,
        sfreq_hz=100.0,
    )
    course = np.concatenate([bumps.block(number)[0] for number in range(4000)])
    inside = np.diff(np.concatenate([[False], course > 0, [False]]).astype(int))
    lengths = np.flatnonzero(inside < 0) - np.flatnonzero(inside > 0)
    assert abs(lengths.size / 4000 - 0.05) < 0.01
    # A Hann window is 0 at both ends; bumps that overlap look like a longer one.
    assert lengths.min() >= 48
    assert np.quantile(lengths, 0.9) <= 98


def test_blinks_rise_on_all_contacts_most_in_front() -> None:
    who = patient(1, sfreq_hz=400.0)
    synthesis = SyntheticSignal(who)
    n_blocks = 400
    data = np.concatenate([synthesis.block(number) for number in range(n_blocks)], axis=1)
    course = np.concatenate([synthesis.blinks.block(number)[0] for number in range(n_blocks)])
    sos = signal.butter(2, (2, 10), "bandpass", fs=400, output="sos")
    slow, expected = signal.sosfiltfilt(sos, data), signal.sosfiltfilt(sos, course)
    weight_uv = slow @ expected / (expected @ expected)
    distance_mm = np.linalg.norm(who.implant.positions_mm - (0.0, 85.0, -35.0), axis=1)
    assert weight_uv.mean() > 10
    assert np.corrcoef(weight_uv, distance_mm)[0, 1] < -0.6


def test_default_difficulty_leaves_the_linear_control_room() -> None:
    reached = scores(Patient(2, sfreq_hz=2048.0))
    assert 0.85 <= reached["linear"] <= 0.95
    assert reached["averaged"] >= 0.88


# Mistakes


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_samples": 0},
        {"start_sample": -1},
        {"duration_s": -1.0},
        {"duration_s": float("inf")},
    ],
)
def test_impossible_recordings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        SyntheticSource(patient(), **wrong)  # type: ignore[arg-type]
