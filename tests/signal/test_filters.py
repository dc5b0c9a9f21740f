"""Notch comb, high-pass and change of rate against scipy."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, iirnotch, lfilter, resample_poly, sosfilt, sosfilt_zi

from rtbrain.errors import SettingsError
from rtbrain.signal import HighPass, NotchComb, Resample
from rtbrain.types import Chunk
from tests.conftest import brain_like, cut, montage_of
from tests.signal.recording import whole

RATES = pytest.mark.parametrize("sfreq_hz", [512.0, 2048.0, 4096.0])
RATIOS = pytest.mark.parametrize(
    ("from_hz", "to_hz", "up", "down"),
    [
        (2048.0, 1024.0, 1, 2),
        (2048.0, 2000.0, 125, 128),
        (500.0, 2048.0, 512, 125),
        (1000.0, 400.0, 2, 5),
        (30000.0, 1000.0, 1, 30),
        (512.5, 2050.0, 4, 1),
    ],
)


@RATES
@pytest.mark.parametrize("mains_hz", [50, 60])
def test_the_notch_equals_chained_published_filters(sfreq_hz, mains_hz):
    data = brain_like(4, 3000, sfreq_hz)
    wanted = data.astype(np.float64)
    for harmonic_hz in np.arange(mains_hz, min(361, sfreq_hz / 2), mains_hz):
        b, a = iirnotch(harmonic_hz, 30, sfreq_hz)
        wanted = lfilter(b, a, wanted, axis=1)
    got = NotchComb(montage_of(4, sfreq_hz), mains_hz)(whole(data, sfreq_hz))
    np.testing.assert_allclose(got.data, wanted, atol=1e-4)


def test_the_notch_removes_the_mains_and_keeps_the_rest():
    sfreq_hz = 2048.0
    t = np.arange(6 * 2048) / sfreq_hz
    rhythm = np.sin(2 * np.pi * 21 * t)
    data = (rhythm + 30 * np.sin(2 * np.pi * 60 * t) + 9 * np.sin(2 * np.pi * 180 * t))[None]
    notch = NotchComb(montage_of(1, sfreq_hz), 60)
    settled = notch(whole(data.astype(np.float32), sfreq_hz)).data[0, 4096:]
    spectrum = np.abs(np.fft.rfft(settled)) * 2 / settled.size
    at = {f: spectrum[round(f * settled.size / sfreq_hz)] for f in (21, 60, 180)}
    assert at[21] == pytest.approx(1, rel=0.01)
    assert at[60] < 0.01
    assert at[180] < 0.01


def test_harmonics_stop_below_the_nyquist_rate_and_at_the_limit():
    assert NotchComb(montage_of(1, 2048), 60).frequencies_hz == (60, 120, 180, 240, 300, 360)
    assert NotchComb(montage_of(1, 240), 60).frequencies_hz == (60,)
    chunk = whole(brain_like(1, 50, 110), 110)
    assert NotchComb(montage_of(1, 110), 60)(chunk) is chunk
    assert NotchComb(montage_of(1, 2048), 50, up_to_hz=100).frequencies_hz == (50, 100)


@RATES
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_high_pass_equals_scipy_from_the_first_samples_steady_state(sfreq_hz, order):
    data = brain_like(3, 3000, sfreq_hz)
    sos = butter(order, 0.5, "highpass", fs=sfreq_hz, output="sos")
    state = sosfilt_zi(sos)[:, None] * data[:, :1].astype(np.float64)[None]
    wanted, _ = sosfilt(sos, data.astype(np.float64), axis=1, zi=state)
    got = HighPass(montage_of(3, sfreq_hz), 0.5, order=order)(whole(data, sfreq_hz))
    np.testing.assert_allclose(got.data, wanted, atol=1e-3)


def test_notches_in_the_pass_of_the_high_pass_change_nothing():
    montage, data = montage_of(4, 1000), brain_like(4, 4000, 1000) + np.float32(5000)
    data[1, :700] = np.nan  # an electrode that is plugged in later, and one that never is
    data[2] = np.nan
    apart = HighPass(montage, 0.5)(NotchComb(montage, 60)(whole(data, 1000)))
    stage = HighPass(montage, 0.5, notch=NotchComb(montage, 60))
    joined = stage(whole(data, 1000))
    np.testing.assert_allclose(joined.data, apart.data, atol=2e-3)
    again = stage(Chunk(data, whole(data, 1000).timestamps, 9000, 5000))  # a gap: from the start
    np.testing.assert_array_equal(again.data, joined.data)
    pieces = HighPass(montage, 0.5, notch=NotchComb(montage, 60))
    stamps = whole(data, 1000).timestamps
    cut = [
        pieces(Chunk(data[:, at : at + 301], stamps[at : at + 301], at)).data
        for at in range(0, 4000, 301)
    ]
    np.testing.assert_array_equal(np.concatenate(cut, axis=1), joined.data)


def test_an_offset_of_millivolts_leaves_no_transient_in_the_high_pass():
    data = np.full((2, 500), 8000, np.float32)
    data[1] = -3000
    got = HighPass(montage_of(2, 1000), 0.1)(whole(data, 1000))
    np.testing.assert_allclose(got.data, 0, atol=1e-3)


@pytest.mark.parametrize("make", [lambda m: NotchComb(m, 60), lambda m: HighPass(m, 1.0)])
def test_a_lost_sample_is_nan_and_does_not_silence_its_channel(make):
    data = brain_like(3, 8000, 1000)
    holed = data.copy()
    holed[1, 2000] = np.nan
    holed[1, 2001] = np.inf
    montage = montage_of(3, 1000)
    clean, got = make(montage)(whole(data, 1000)).data, make(montage)(whole(holed, 1000)).data
    assert list(np.flatnonzero(np.isnan(got[1]))) == [2000, 2001]
    np.testing.assert_array_equal(got[[0, 2]], clean[[0, 2]])
    np.testing.assert_array_equal(got[1, :2000], clean[1, :2000])
    np.testing.assert_allclose(got[1, -100:], clean[1, -100:], atol=0.5)


def test_a_channel_that_is_always_nan_stays_nan():
    data = np.full((1, 300), np.nan, np.float32)
    assert np.isnan(HighPass(montage_of(1, 1000), 1.0)(whole(data, 1000)).data).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: NotchComb(m, 0), "mains_hz"),
        (lambda m: NotchComb(m, 60, q=0), "q 0"),
        (lambda m: NotchComb(m, 60, up_to_hz=50), "no harmonic"),
        (lambda m: HighPass(m, 0), "cutoff_hz"),
        (lambda m: HighPass(m, 500), "got 500"),
        (lambda m: HighPass(m, 1, order=0), "order"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises(SettingsError, match=words) as caught:
        make(montage_of(1, 1000))
    assert "\n" not in str(caught.value)


@RATIOS
def test_the_values_are_scipys_away_from_the_start(from_hz, to_hz, up, down):
    data = brain_like(3, 4000, from_hz)
    got = Resample(montage_of(3, from_hz), to_hz)(whole(data, from_hz))
    wanted = resample_poly(data.astype(np.float64), up, down, axis=1)
    edge = 10 * max(up, down) // down + 2
    np.testing.assert_allclose(
        got.data[:, edge:], wanted[:, edge : got.n_samples], rtol=0, atol=1e-3
    )


@RATIOS
def test_the_first_sample_is_taken_to_have_lasted_for_ever(from_hz, to_hz, up, down):
    data = brain_like(2, 2000, from_hz)
    got = Resample(montage_of(2, from_hz), to_hz)(whole(data, from_hz))
    n_before = 20 * down  # a whole number of outputs
    held = np.concatenate([np.repeat(data[:, :1], n_before, axis=1), data], axis=1)
    wanted = resample_poly(held.astype(np.float64), up, down, axis=1)[:, 20 * up :]
    np.testing.assert_allclose(got.data, wanted[:, : got.n_samples], rtol=0, atol=1e-3)


@RATIOS
def test_stamps_tell_the_moment_described_and_delay_the_wait(from_hz, to_hz, up, down):
    data = brain_like(1, 3000, from_hz)
    stage = Resample(montage_of(1, from_hz), to_hz)
    assert stage.delay_s == pytest.approx(10 * max(up, down) / up / from_hz)
    for chunk in cut(data, [50] * 60, from_hz):
        got = stage(chunk)
        if got.n_samples:
            moments = 100 + (got.first_sample + np.arange(got.n_samples)) / to_hz
            np.testing.assert_allclose(got.timestamps, moments, rtol=0, atol=1e-9)
            waited = chunk.timestamps[-1] - got.timestamps[-1]
            assert stage.delay_s - 1 / from_hz < waited < stage.delay_s + 1 / to_hz + 1e-9


def test_an_output_comes_with_the_very_sample_that_completes_it():
    stage = Resample(montage_of(1, 1000), 500)  # output m needs input up to 2 m + 20
    data = brain_like(1, 60, 1000)
    came = [stage(chunk).n_samples for chunk in cut(data, [1] * 59, 1000)]
    assert np.flatnonzero(came).tolist() == list(range(20, 60, 2))


def test_a_slow_rhythm_keeps_its_phase():
    t = np.arange(4000) / 2048
    rhythm = np.sin(2 * np.pi * 9 * t)[None].astype(np.float32)
    got = Resample(montage_of(1, 2048), 500)(whole(rhythm, 2048))
    wanted = np.sin(2 * np.pi * 9 * (got.timestamps - 100))
    np.testing.assert_allclose(got.data[0, 20:], wanted[20:], atol=2e-3)


@given(
    gaps=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 300)), min_size=1, max_size=30),
    start=st.integers(0, 10**12),
)
@settings(max_examples=25)
def test_counters_stay_exact_over_many_gaps(gaps, start):
    stage = Resample(montage_of(1, 2048), 2000)
    at = start
    lost = n_given = 0
    first = -(start * 125 // -128)
    for n_samples, gap in itertools.chain([(500, 0)], gaps, [(500, 7)]):
        at += gap
        stamps = np.arange(at, at + n_samples) / 2048
        got = stage(Chunk(np.ones((1, n_samples), np.float32), stamps, at, gap))
        at += n_samples
        lost += got.gap
        if got.n_samples:
            assert got.first_sample == first + n_given + lost
            assert got.first_sample / 2000 == pytest.approx(got.timestamps[0], rel=1e-12)
        n_given += got.n_samples
    # The last stretch is long enough for an output: everything before came out or was lost.
    assert first + n_given + lost == (at * 125 - 1 - 1280) // 128 + 1


def test_losses_before_the_first_sample_are_counted_at_the_output_rate():
    stage = Resample(montage_of(1, 1000), 500)
    data = brain_like(1, 100, 1000)
    got = stage(Chunk(data, np.arange(100) / 1000, first_sample=60, gap=60))
    assert (got.first_sample, got.gap) == (30, 30)


def test_nan_spreads_no_further_than_the_filter_reaches():
    data = brain_like(2, 400, 1000)
    data[1, 200] = np.nan
    got = Resample(montage_of(2, 1000), 500)(whole(data, 1000)).data
    assert np.isfinite(got[0]).all()
    assert np.flatnonzero(np.isnan(got[1])).tolist() == list(range(90, 111))


def test_the_same_rate_lets_chunks_through_without_delay():
    stage = Resample(montage_of(2, 1000), 1000)
    chunk = whole(brain_like(2, 10, 1000), 1000)
    assert stage(chunk) is chunk
    assert stage.delay_s == 0


ODD = pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [
        (999.4121, 1024.0),
        (999.99, 1000.0),
        (399.6097412109375, 2048.0),
        (173.61, 2048.0),
        (2046.3, 2048.0),
        (2046.3, 500.0),
        (30000.7, 2048.0),
        (2048.0, 999.4121),
    ],
)


@ODD
def test_any_ratio_gives_the_signal_at_the_moments_of_the_new_rate(from_hz, to_hz):
    freqs_hz = np.array([0.03, 0.11, 0.2, 0.3]) * min(from_hz, to_hz)

    def signal(t):
        return np.sin(2 * np.pi * freqs_hz[:, None] * t + np.arange(4)[:, None])

    t = np.arange(round(5 * from_hz)) / from_hz
    got = Resample(montage_of(4, from_hz), to_hz)(whole(signal(t).astype(np.float32), from_hz))
    moments = np.arange(got.n_samples) / to_hz
    np.testing.assert_allclose(got.timestamps - 100, moments, rtol=0, atol=1e-9)
    settled = moments > 12 / min(from_hz, to_hz)
    # The ripple of the filter, SciPy's too, is 0.3 %.
    np.testing.assert_allclose(got.data[:, settled], signal(moments)[:, settled], atol=3e-3)


def test_an_offset_stays_exact_in_any_ratio():
    got = Resample(montage_of(1, 999.4121), 1024)(whole(np.full((1, 3000), 7e3, "f4"), 999.4121))
    np.testing.assert_allclose(got.data, 7e3, rtol=1e-3)


def test_interpolated_taps_are_those_of_scipy():
    data = brain_like(2, 3000, 1000)
    got = Resample(montage_of(2, 1000), 1024 + 1e-4)(whole(data, 1000))
    wanted = resample_poly(data.astype(np.float64), 128, 125, axis=1)[:, : got.n_samples]
    scale = np.abs(wanted).max()
    # Outputs stray by a third of a thousandth of a sample in 3 s.
    np.testing.assert_allclose(got.data[:, 12:], wanted[:, 12:], rtol=0, atol=1e-3 * scale)


def test_what_the_new_rate_cannot_hold_is_taken_out():
    t = np.arange(9000) / 2046.3
    high = np.sin(2 * np.pi * 400 * t)[None].astype(np.float32)
    got = Resample(montage_of(1, 2046.3), 500)(whole(high, 2046.3))
    assert np.abs(got.data[0, 30:]).max() < 0.01


def test_after_days_an_odd_ratio_is_as_exact_as_at_first():
    start, rate_hz = 10**12, 999.4121
    stage = Resample(montage_of(1, rate_hz), 1024)
    got = stage(Chunk(brain_like(1, 500, 1000), np.arange(500) / rate_hz, start))
    exact = Fraction(1024) / Fraction(rate_hz) * start
    assert got.first_sample == math.ceil(exact)
    beyond_s = float((got.first_sample - exact) / 1024)
    assert got.timestamps[0] == pytest.approx(beyond_s, abs=1e-7)


@pytest.mark.parametrize("to_hz", [0.1, 5e7, 0, -5, float("nan")])
def test_rates_that_are_thousands_of_times_apart_are_refused(to_hz):
    with pytest.raises(SettingsError, match=r"resample: .*(ratio|above 0)") as caught:
        Resample(montage_of(1, 1000), to_hz)
    assert "\n" not in str(caught.value)
