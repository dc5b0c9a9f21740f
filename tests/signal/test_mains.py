"""The mains hum is found where it is, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.signal import Mains, MainsCheck, MainsMeter, contradiction
from rtbrain.types import Chunk, Floats
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0
RAIL = {50 / 3: 20, 100 / 3: 4, 50: 5}


def hum_free(n_channels: int, seconds: float, sfreq_hz: float = SFREQ_HZ, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 2, (n_channels, round(seconds * sfreq_hz))), axis=1)
    return (walk + rng.normal(0, 1, walk.shape)).astype(np.float32)


def lines(amplitudes_uv: dict[float, float], n_samples: int, sfreq_hz: float) -> np.ndarray:
    t = np.arange(n_samples) / sfreq_hz
    return sum(uv * np.sin(2 * np.pi * hz * t + hz) for hz, uv in amplitudes_uv.items())


def keep_in(told):
    return lambda event, **fields: told.append((event, fields))


def measured(data: Floats, sfreq_hz: float = SFREQ_HZ) -> Mains:
    meter = MainsMeter(montage_of(data.shape[0], sfreq_hz))
    for start in range(0, data.shape[1] - meter.n_samples + 1, meter.n_samples):
        segment = data[meter.rows, start : start + meter.n_samples]
        meter.add(segment.astype(np.float32))
    return meter.measured()


@pytest.mark.parametrize(
    ("amplitudes_uv", "found"),
    [
        ({60: 5}, 60),
        ({50: 5, 100: 1}, 50),
        ({50.2: 5}, 50),
        ({59.8: 5}, 60),
        ({150: 2, 200: 2}, 50),  # an amplifier with a filter at 50 Hz
        ({120: 5}, None),  # a lamp, a screen
        ({50: 20, 60: 4}, 50),
        ({50: 5, 60: 5}, None),
        ({50 / 3: 20}, None),
        (RAIL, None),
        ({50 / 3: 20, 50: 15}, 50),
        (RAIL | {60: 4}, 60),
        ({25: 20, 50: 4, 60: 4}, 60),
        ({130: 300, 4: 50}, None),
        ({}, None),
    ],
)
def test_the_frequency_is_that_of_the_hum_and_no_railways(amplitudes_uv, found):
    data = hum_free(6, 20)
    mains = measured(data + lines(amplitudes_uv, data.shape[1], SFREQ_HZ))
    assert mains.hz == found


@pytest.mark.parametrize("sfreq_hz", [160.0, 399.609756, 2048.0])
@pytest.mark.parametrize(("n_channels", "seconds"), [(1, 4), (2, 10), (16, 4), (16, 30)])
def test_no_hum_is_found_where_there_is_none(sfreq_hz, n_channels, seconds):
    for seed in range(8):
        assert measured(hum_free(n_channels, seconds, sfreq_hz, seed), sfreq_hz).hz is None


def test_its_power_is_that_over_the_frequencies_beside():
    rng = np.random.default_rng(1)
    white = rng.normal(0, 1, (8, 30 * 512))
    mains = measured(white + lines({60: 0.5}, white.shape[1], SFREQ_HZ))
    # A sine of amplitude a in white noise of density 2 s²/fs, through the noise bandwidth of Hann.
    expected_db = 10 * np.log10(0.5**2 / 2 / (2 / 512 * 1.5 / 2) + 1)
    assert mains.power_db[60] == pytest.approx(expected_db, abs=2.5)
    assert abs(mains.power_db[50]) < 3


def test_hum_in_a_third_of_the_contacts_is_hum_and_broken_contacts_count_for_nothing():
    data = hum_free(9, 20)
    data[:3] += lines({50: 20}, data.shape[1], SFREQ_HZ).astype(np.float32)
    data[3, 700:] = np.nan
    data[4] = np.inf
    data[5] = 7
    assert measured(data).hz == 50


@pytest.mark.parametrize(("sfreq_hz", "hz"), [(160, 60), (173.61, 50), (110, 50)])
def test_low_rates_show_what_they_hold(sfreq_hz, hz):
    data = hum_free(4, 20, sfreq_hz)
    assert measured(data + lines({hz: 9}, data.shape[1], sfreq_hz), sfreq_hz).hz == hz
    assert measured(hum_free(4, 20, 80.0), 80.0).hz is None


def test_nothing_measured_is_no_hum_in_words():
    mains = MainsMeter(montage_of(2, SFREQ_HZ)).measured()
    assert mains.hz is None
    assert "too short" in str(mains)
    assert contradiction(mains, 60) == ""


def test_a_check_lets_chunks_through_and_reports_the_other_hum_once_whatever_their_size():
    data = brain_like(4, 30 * 512, SFREQ_HZ)  # with 60 Hz
    for sizes in ([50] * 400, [7000, 0, 1, 3000], []):
        told: list[tuple[str, dict[str, str]]] = []
        check = MainsCheck(montage_of(4, SFREQ_HZ), 50, keep_in(told))
        chunks = cut(data, sizes, SFREQ_HZ)
        assert all(check(chunk) is chunk for chunk in chunks)
        ((event, fields),) = told
        assert event == "mains"
        assert fields["reason"].startswith("the mains hum is at 60 Hz (50 Hz ")
        assert fields["reason"].endswith("the decoder removes 50 Hz: fit it with --mains 60")
        check(replace(chunks[-1], gap=5000))
        assert len(told) == 1


@pytest.mark.parametrize("removed_hz", [60, None])
def test_a_check_is_silent_where_nothing_contradicts(removed_hz):
    told = []
    check = MainsCheck(montage_of(4, SFREQ_HZ), removed_hz, lambda event, **_: told.append(event))
    for chunk in cut(brain_like(4, 15 * 512, SFREQ_HZ), [900] * 9, SFREQ_HZ):
        check(chunk)
    assert told == []


def test_a_check_measures_anew_after_a_gap():
    told = []
    check = MainsCheck(montage_of(4, SFREQ_HZ), 60, lambda event, **_: told.append(event))
    data = brain_like(4, 70 * 512, SFREQ_HZ)
    check(Chunk(data, np.arange(data.shape[1]) / SFREQ_HZ, 0))
    other = hum_free(4, 12) + lines({50: 9}, 12 * 512, SFREQ_HZ).astype(np.float32)
    check(Chunk(other, np.arange(other.shape[1]) / SFREQ_HZ, data.shape[1] + 2000, 2000))
    assert told == ["mains"]
