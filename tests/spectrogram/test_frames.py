import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Windows
from rtbrain.errors import MontageError, SettingsError
from rtbrain.spectrogram import Patches
from rtbrain.types import Floats
from tests.conftest import brain_like, cut, montage_of
from tests.spectrogram.windows import window_at

SFREQ_HZ, LENGTH, PATCH = 2048.0, 1000, 50
RECORDING = brain_like(3, 6000, SFREQ_HZ)


def by_numpy(data: Floats, patch: int) -> Floats:
    """Standard scores in float64, one patch after the other, counted back from the end."""
    scores = (data.astype(float) - data.mean(axis=1, keepdims=True, dtype=float)) / data.astype(
        float
    ).std(axis=1, keepdims=True)
    stops = range(data.shape[1] % patch + patch, data.shape[1] + 1, patch)
    return np.stack([scores[:, stop - patch : stop] for stop in stops], axis=1)


@settings(max_examples=40)
@given(length=st.integers(2, 900), share=st.floats(0.01, 1), start=st.integers(0, 5000))
def test_patches_are_the_standardised_window_cut_from_its_end(length, share, start):
    patch = max(2, int(share * length))
    stage = Patches(3, length, patch_samples=patch)
    window = window_at(RECORDING, start, length)
    out = stage(window)
    assert (
        out.data.shape
        == (3, stage.grid.n_frames, stage.grid.n_freqs)
        == (3, length // patch, patch)
    )
    np.testing.assert_allclose(out.data, by_numpy(window.data, patch), rtol=0, atol=1e-5)
    assert out.quality.good.all()
    assert out.t_stop == window.t_stop


def test_frame_centres_are_those_of_the_patches_before_the_windows_end():
    stage = Patches(1, 107, patch_samples=20)
    assert stage.grid.centres_samples.tolist() == [-90, -70, -50, -30, -10]
    ramp = np.arange(107, dtype=np.float32)[None]
    out = stage(window_at(ramp, 0, 107)).data[0]
    shown = np.interp(out[:, 10], (ramp[0] - 53) / ramp[0].std(), ramp[0])
    np.testing.assert_allclose(shown - 107, stage.grid.centres_samples, atol=1e-3)


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 700), max_size=30), seed=st.integers(0, 99))
def test_patches_do_not_depend_on_how_the_signal_arrives(sizes, seed):
    data = brain_like(3, 4000, SFREQ_HZ, seed)

    def run(pieces: list[int]) -> list[Floats]:
        windows = Windows(montage_of(3, SFREQ_HZ), length_samples=LENGTH, hop_samples=333)
        stage = Patches(3, LENGTH, patch_samples=PATCH)
        cuts = (item for chunk in cut(data, pieces, SFREQ_HZ) for item in windows(chunk))
        return [stage(item).data for item in cuts if item.quality.valid]

    whole, pieces = run([]), run(sizes)
    assert len(whole) == len(pieces) > 5
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_windows_before_and_reset_change_nothing_and_the_window_stays():
    stage = Patches(3, LENGTH, patch_samples=PATCH)
    recording = RECORDING.copy()
    first = stage(window_at(recording, 0, LENGTH))
    kept = first.data.copy()
    later = stage(window_at(recording, 77, LENGTH))
    stage.reset()
    for again in (stage, Patches(3, LENGTH, patch_samples=PATCH)):
        assert np.array_equal(again(window_at(recording, 77, LENGTH)).data, later.data)
    assert np.array_equal(first.data, kept)
    assert np.array_equal(recording, RECORDING)


def test_gain_and_offset_change_nothing():
    stage = Patches(3, LENGTH, patch_samples=PATCH)
    plain = stage(window_at(RECORDING, 0, LENGTH)).data
    moved = (RECORDING * 3 - 500).astype(np.float32)
    np.testing.assert_allclose(stage(window_at(moved, 0, LENGTH)).data, plain, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.1, -3276.7])
def test_a_flat_channel_gives_zeros_and_stays_good(level):
    recording = RECORDING.copy()
    recording[1] = level
    out = Patches(3, LENGTH, patch_samples=PATCH)(window_at(recording, 0, LENGTH))
    assert not out.data[1].any()
    assert out.quality.good.all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_channel_that_is_not_finite_or_not_good_is_blank_and_marked(wrong):
    recording = RECORDING.copy()
    recording[2, 3] = wrong
    good = np.array([False, True, True])
    stage = Patches(3, LENGTH - 1, patch_samples=PATCH)
    out = stage(window_at(recording, 0, LENGTH - 1, good=good))
    assert out.quality.good.tolist() == [False, True, False]
    assert not out.data[[0, 2]].any()
    expected = by_numpy(RECORDING[:, : LENGTH - 1], PATCH)[1]
    np.testing.assert_allclose(out.data[1], expected, atol=1e-5)


def test_many_channels_are_standardised_each_by_itself():
    recording = brain_like(37, LENGTH, SFREQ_HZ)
    out = Patches(37, LENGTH, patch_samples=PATCH)(window_at(recording, 0, LENGTH))
    np.testing.assert_allclose(out.data, by_numpy(recording, PATCH), atol=1e-5)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(SettingsError, match="shorter than a patch"):
        Patches(3, 49, patch_samples=50)
    with pytest.raises(SettingsError, match="at least 2"):
        Patches(3, 49, patch_samples=1)
    with pytest.raises(SettingsError, match="n_channels"):
        Patches(0, 49, patch_samples=5)
    stage = Patches(3, LENGTH, patch_samples=PATCH)
    with pytest.raises(MontageError, match="2 channels"):
        stage(window_at(RECORDING[:2], 0, LENGTH))
    with pytest.raises(SettingsError, match="999 samples"):
        stage(window_at(RECORDING, 0, 999))
