"""Form bands as it is wired: from settings through a decoder's bundle to decodes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, bundle_parts
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import LinearReadout, read_bundle, write_bundle
from rtbrain.errors import SettingsError
from rtbrain.spectrogram import Bands
from rtbrain.types import Floats
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 1024.0
SIGNAL = brain_like(6, 6000, SFREQ_HZ)
MONTAGE = montage_of(6, SFREQ_HZ)


def recipe_of(hop_s: float = 1 / 32, **spectrogram: Any) -> Recipe:
    values = {
        "mode": "linear",
        "signal": [{"highpass_hz": 0.5}, {"reference": "shaft_mean"}],
        "window": {"length_s": 1.0, "hop_s": hop_s},
        "spectrogram": {"form": "bands"} | spectrogram,
        "encoder": {"n_pooled": 6},
    }
    return parse_settings(values, Recipe, where="test")


def features_of(pipeline: Any, signal: Floats, sizes: list[int]) -> list[Floats]:
    made = []
    for chunk in cut(signal, sizes, SFREQ_HZ):
        for window in pipeline.cut(chunk):
            embedding = pipeline.encode(window)
            if embedding.quality.valid:
                made.append(embedding.population)
    return made


@cache
def plain() -> list[Floats]:
    return features_of(build_feature_pipeline(recipe_of(), MONTAGE), SIGNAL, [999] * 3)


@pytest.mark.parametrize(
    "spectrogram",
    [
        {"log": True},
        {"robust": True},
        {"clip": 0.5},
        {"time_constant_s": 1.0},
        {"bands": [{"frame_s": 0.25, "low_hz": 8, "high_hz": 80}]},
    ],
)
def test_every_setting_of_bands_changes_the_features(spectrogram: dict[str, Any]) -> None:
    got = features_of(build_feature_pipeline(recipe_of(**spectrogram), MONTAGE), SIGNAL, [999] * 3)
    assert len(got) == len(plain()) > 100
    assert got[-1].shape != plain()[-1].shape or np.abs(got[-1] - plain()[-1]).max() > 0.01


@pytest.mark.parametrize("robust", [False, True])
def test_a_bundle_keeps_what_the_normaliser_of_bands_had_seen(robust: bool, tmp_path: Path) -> None:
    recipe = recipe_of(robust=robust, frozen=True)
    pipeline = build_feature_pipeline(recipe, MONTAGE)
    features_of(pipeline, SIGNAL, [])
    readout = LinearReadout(np.eye(1, 120, dtype=np.float32), np.zeros(1, np.float32), "regression")
    manifest, tensors = bundle_parts(recipe, None, pipeline, readout, ["y"], MONTAGE, "nothing")
    write_bundle(tmp_path / "bundle", manifest, MONTAGE, tensors, {})
    fitted, _ = build_decoder(read_bundle(tmp_path / "bundle"), MONTAGE)
    got = features_of(fitted, SIGNAL, [777] * 5)
    known = pipeline.spectrogram.statistics  # type: ignore[attr-defined]
    frozen = build_feature_pipeline(recipe, MONTAGE, statistics=known)
    assert np.array_equal(got, features_of(frozen, SIGNAL, [100] * 50))
    new = features_of(build_feature_pipeline(recipe, MONTAGE), SIGNAL, [])
    assert np.abs(got[0] - new[0]).max() > 0.1


def test_a_decode_of_bands_describes_the_mean_of_the_middles_of_what_it_reads() -> None:
    pipeline = build_feature_pipeline(recipe_of(), MONTAGE)
    # 7, 6 and 7 bins of frames of 0.5, 0.125 and 0.0625 s, of the newest 6, 1/32 s apart.
    middle_s = (7 * 0.25 + 6 * 0.0625 + 7 * 0.03125) / 20 + 2.5 / 32
    assert pipeline.neural_delay_s == pytest.approx(middle_s - 1 / SFREQ_HZ)


def test_bands_take_rates_at_which_their_hop_is_no_whole_number_of_samples() -> None:
    pipeline = build_feature_pipeline(recipe_of(hop_s=2 / 32), montage_of(6, 1000.0))
    assert pipeline.windows.hop_s == 0.062  # type: ignore[attr-defined]
    assert len(features_of(pipeline, SIGNAL, [])) == (6000 - 1000) // 62 + 1


@pytest.mark.parametrize("sfreq_hz", [250.0, 500.0, 1000.0])
def test_all_frames_of_a_window_are_read_at_any_rate(sfreq_hz: float) -> None:
    values = recipe_of().model_dump(mode="json", exclude_unset=True)
    values["window"] = {"length_s": 5.0, "mode": "event"}
    values["encoder"] = {"n_pooled": recipe_of().spectrogram.count_frames(5.0)}
    recipe = parse_settings(values, Recipe, where="test")
    pipeline = build_feature_pipeline(recipe, montage_of(6, sfreq_hz))
    assert pipeline.neural_delay_s == pytest.approx(2.5 - 0.1, abs=0.1)
    # All but one too, live as well, though rounding leaves fewer than the settings say.
    values["encoder"] = {"n_pooled": values["encoder"]["n_pooled"] - 1}
    for window in (values["window"], {"length_s": 5.0, "hop_s": 0.25}):
        recipe = parse_settings(values | {"window": window}, Recipe, where="test")
        pipeline = build_feature_pipeline(recipe, montage_of(6, sfreq_hz))
        assert pipeline.neural_delay_s == pytest.approx(2.5 - 0.1, abs=0.1)
    values["encoder"] = {"n_pooled": 200}
    with pytest.raises(SettingsError, match="n_pooled is 200 but the window has"):
        build_feature_pipeline(
            parse_settings(values, Recipe, where="test"), montage_of(6, sfreq_hz)
        )


@pytest.mark.parametrize(("hop_s", "nearest"), [(0.02, "0.03125 s"), (0.05, "0.0625 s")])
def test_a_hop_of_no_whole_number_of_frames_is_refused(hop_s: float, nearest: str) -> None:
    recipe = recipe_of().adapt(hop_s=hop_s)
    with pytest.raises(SettingsError, match=f"the nearest that fits is {nearest}") as caught:
        build_feature_pipeline(recipe, MONTAGE)
    assert "\n" not in str(caught.value)


def test_bands_above_half_the_rate_are_left_out_or_refused() -> None:
    pipeline = build_feature_pipeline(recipe_of(), montage_of(6, 256.0))
    assert isinstance(pipeline.spectrogram, Bands)
    assert "64 to 112 Hz are left" in pipeline.spectrogram.note
    assert pipeline.n_features == 6 * 17
    with pytest.raises(SettingsError, match="64 to 160 Hz lies above half the rate of 128 Hz"):
        build_feature_pipeline(recipe_of(), montage_of(6, 128.0))
