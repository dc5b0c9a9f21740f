"""The encoder as a stage: nothing remembered, nothing changed, worth and time carried on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    EncoderStage,
    FrameMean,
    PopTSizes,
    TorchScriptRuntime,
    compile_torchscript,
    random_encoder,
)
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.types import Chunk, Quality, Spectrogram
from tests.conftest import brain_like, montage_of

N_CHANNELS, N_FRAMES, N_FREQS = 4, 25, 40


def spectrogram(seed: int, good: tuple[bool, ...] = (True,) * N_CHANNELS) -> Spectrogram:
    data = np.random.default_rng(seed).standard_normal((N_CHANNELS, N_FRAMES, N_FREQS), np.float32)
    quality = Quality(np.array(good), lost_samples=seed, valid=seed % 2 == 0, reason="why")
    return Spectrogram(data, 100.0 + seed, quality)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptRuntime:
    model = EncoderModel(
        random_encoder(BrainBERTSizes(16, 24, 2, 2), 0),
        random_encoder(PopTSizes(16, 24, 32, 2, 1), 1),
        "last",
    )
    folder = tmp_path_factory.mktemp("cache")
    path = compile_torchscript(model, (N_CHANNELS, N_FRAMES, N_FREQS), cache_folder=folder)
    return TorchScriptRuntime(path, np.arange(12).reshape(4, 3))


@pytest.fixture(params=["encoder", "mean"])
def stage(request: pytest.FixtureRequest, runtime: TorchScriptRuntime) -> EncoderStage | FrameMean:
    if request.param == "encoder":
        return EncoderStage(runtime, neural_delay_s=0.4)
    return FrameMean(6, neural_delay_s=0.4)


def test_time_and_worth_are_carried_on(stage: EncoderStage | FrameMean) -> None:
    item = spectrogram(3)
    embedding = stage(item)
    assert embedding.t_stop == 103.0
    assert embedding.t_neural == pytest.approx(102.6)
    assert embedding.quality is item.quality


def test_windows_before_change_nothing_and_reset_equals_new(
    stage: EncoderStage | FrameMean,
) -> None:
    expected = stage(spectrogram(0))
    stage(spectrogram(1, (False, True, True, False)))
    again = stage(spectrogram(0))
    stage.reset()
    fresh = stage(spectrogram(0))
    for other in (again, fresh):
        assert np.array_equal(other.population, expected.population)
        assert np.array_equal(other.channels, expected.channels)


def test_an_embedding_outlives_the_next_window(stage: EncoderStage | FrameMean) -> None:
    first = stage(spectrogram(0))
    kept = first.population.copy(), first.channels.copy()
    stage(spectrogram(1))
    assert np.array_equal(first.population, kept[0])
    assert np.array_equal(first.channels, kept[1])


def test_the_input_is_not_changed(stage: EncoderStage | FrameMean) -> None:
    item = spectrogram(0, (True, False, True, True))
    before = item.data.copy()
    item.data.setflags(write=False)
    stage(item)
    assert np.array_equal(item.data, before)


def test_what_a_bad_channel_holds_reaches_nothing(stage: EncoderStage | FrameMean) -> None:
    item = spectrogram(0, (True, False, True, False))
    other = item.data.copy()
    other[~item.quality.good] = np.nan
    a, b = stage(item), stage(replace(item, data=other))
    assert np.isfinite(b.population).all()
    assert np.array_equal(a.population, b.population)
    assert not b.channels[[1, 3]].any()


def test_nan_in_a_good_channel_shows(stage: EncoderStage | FrameMean) -> None:
    item = spectrogram(0)
    data = item.data.copy()
    data[2] = np.nan
    embedding = stage(replace(item, data=data))
    assert np.isnan(embedding.channels[2]).all()
    assert np.isnan(embedding.population).any()


def test_a_spectrogram_without_frames_is_refused(stage: EncoderStage | FrameMean) -> None:
    item = spectrogram(0)
    with pytest.raises(CompiledModelError):
        stage(replace(item, data=item.data[:, :0]))


@settings(max_examples=30)
@given(seed=st.integers(0, 999), n_pooled=st.integers(1, N_FRAMES))
def test_frame_mean_is_numpys_mean_of_the_last_frames(seed: int, n_pooled: int) -> None:
    item = spectrogram(seed)
    embedding = FrameMean(n_pooled, neural_delay_s=0.0)(item)
    expected = item.data[:, -n_pooled:].astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(embedding.channels, expected, atol=1e-6)
    assert np.array_equal(embedding.population, embedding.channels.ravel())


def test_frame_mean_can_leave_the_newest_frames_out() -> None:
    item = spectrogram(0)
    embedding = FrameMean(5, neural_delay_s=0.0, n_newer_frames=10)(item)
    np.testing.assert_allclose(embedding.channels, item.data[:, 10:15].mean(axis=1), atol=1e-6)
    with pytest.raises(CompiledModelError, match="lengthen"):
        FrameMean(5, neural_delay_s=0.0, n_newer_frames=21)(item)


def test_frame_mean_refuses_what_it_cannot_average() -> None:
    with pytest.raises(CompiledModelError, match="1 or more, got 0"):
        FrameMean(0, neural_delay_s=0.0)
    with pytest.raises(CompiledModelError, match="26 frames of a spectrogram with 25"):
        FrameMean(26, neural_delay_s=0.0)(spectrogram(0))


def test_frame_mean_fills_bad_channels_with_their_training_mean() -> None:
    fill = np.random.default_rng(8).standard_normal((N_CHANNELS, N_FREQS), np.float32)
    item = spectrogram(0, (True, False, True, False))
    plain = FrameMean(6, neural_delay_s=0.0)(item)
    filled = FrameMean(6, neural_delay_s=0.0, fill=fill)(item)
    assert np.array_equal(filled.channels[[1, 3]], fill[[1, 3]])
    assert np.array_equal(filled.channels[[0, 2]], plain.channels[[0, 2]])
    assert np.array_equal(filled.population, filled.channels.ravel())


def test_a_fill_that_does_not_fit_is_refused() -> None:
    with pytest.raises(CompiledModelError, match=r"\(4, 39\).*\(4, 40\)"):
        FrameMean(6, neural_delay_s=0.0, fill=np.zeros((4, 39), np.float32))(spectrogram(0))
    with pytest.raises(CompiledModelError, match="NaN"):
        FrameMean(6, neural_delay_s=0.0, fill=np.full((4, 40), np.nan, np.float32))


def test_newer_frames_count_more_by_the_time_constant_and_the_decode_is_as_much_younger() -> None:
    values = load_settings("linear", Recipe).model_dump(mode="json", exclude_unset=True)
    values["encoder"]["pool_time_constant_s"] = 0.125
    recipe, montage = parse_settings(values, Recipe, where="test"), montage_of(4, 2048.0)
    features = build_feature_pipeline(recipe, montage)
    alike = build_feature_pipeline(load_settings("linear", Recipe), montage)
    weights = np.exp(np.arange(8) / 32 / 0.125)
    for window in features.cut(Chunk(brain_like(4, 4096, 2048.0), np.arange(4096) / 2048)):
        if window.quality.valid:
            item = features.spectrogram(window)
            expected = np.average(item.data, axis=1, weights=weights)
            assert np.allclose(features.encoder(item).channels, expected, atol=1e-5)
    younger_s = np.average(np.arange(8) / 32, weights=weights) - np.mean(np.arange(8) / 32)
    assert alike.neural_delay_s - features.neural_delay_s == pytest.approx(younger_s, abs=1e-9)
    streaming = {"mode": "streaming", "encoder": {"streaming": "compact"}}
    streaming["encoder"]["pool_time_constant_s"] = 0.125
    with pytest.raises(SettingsError, match="pool_time_constant_s is for mode linear"):
        parse_settings(values | {"spectrogram": {"form": "running"}} | streaming, Recipe, where="x")
