"""What drift is calibrated on: the frames that a fit keeps give what playing a recording gives."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts, drift_input, statistics_of_bundle
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import Bundle, LinearReadout
from rtbrain.decoder.drift_input import DriftInput
from rtbrain.learn.fit.front_end.passes import SharedPass
from rtbrain.learn.fit.inputs import virtual_session
from rtbrain.learn.snapshots import (
    frames_job,
    keeps_frames,
    snapshots_of,
    snapshots_of_frames,
)
from rtbrain.recording.recording import Recording
from rtbrain.signal import ChannelQuality
from rtbrain.types import Chunk
from tests.conftest import brain_like, montage_of
from tests.learn.test_drift import RECIPE

SFREQ_HZ, SECONDS = 256.0, 40
MONTAGE = montage_of(8, SFREQ_HZ)
LINEAR = parse_settings(RECIPE, Recipe, where="test")


def recorded() -> Recording:
    """A recording with a loss of 3 s, and a contact that dies for a while."""
    data = brain_like(8, round(SECONDS * SFREQ_HZ), SFREQ_HZ)
    data[2, 6000:7000] = 7.0
    found = rtbrain.read((data, SFREQ_HZ, MONTAGE.names))
    stamps = np.arange(data.shape[1]) / SFREQ_HZ
    stamps[5000:] += 3.0
    return replace(found, stamps=stamps)


@pytest.mark.parametrize("robust", [False, True])
def test_snapshots_of_kept_frames_are_those_of_the_recording_played(robust: bool) -> None:
    recording, spectrogram = recorded(), RECIPE["spectrogram"]
    recipe = parse_settings(
        RECIPE | {"spectrogram": spectrogram | {"robust": robust}},  # type: ignore[operator]
        Recipe,
        where="test",
    )
    fitted = build_feature_pipeline(recipe, MONTAGE, whole_windows=True)
    keeping = keeps_frames(recipe, MONTAGE, [recording], MONTAGE.names)
    assert keeping is not None
    shared = SharedPass(MONTAGE, [recipe.signal, recipe.signal])
    of_contacts = shared.find(ChannelQuality, -1)
    assert of_contacts is not None
    inputs = DriftInput(keeping.signal.montage, keeping.n_features, of_contacts)
    session = virtual_session(recording, None, recipe.window, MONTAGE.names)

    def chunks() -> Iterator[Chunk]:
        while (chunk := session.pull(0.0)) is not None:
            yield chunk

    own = shared.within(fitted, 0)
    _, windows = shared.run(
        chunks(),
        session.markers,
        [
            lambda all_of, _: [own.encode(window) for one in all_of for window in own.cut(one)],
            frames_job(shared.within(keeping, 1), inputs, recipe.coverage_floor),
        ],
    )
    mean = np.linspace(-1, 1, fitted.n_features).astype(np.float32)
    readout = LinearReadout(
        np.zeros((2, mean.size), np.float32), np.zeros(2, np.float32), "regression"
    )
    manifest, tensors = bundle_parts(
        recipe, None, fitted, readout, ("x", "y"), MONTAGE, "test", feature_mean=mean
    )
    bundle = Bundle(manifest, recipe, MONTAGE, tensors, {}, "")
    statistics = statistics_of_bundle(bundle)
    fresh = build_feature_pipeline(recipe, MONTAGE, statistics=statistics, feature_mean=mean)
    found = snapshots_of_frames(windows, fresh, SECONDS)
    of = recording, None, MONTAGE.names, 1, "drift", lambda *progress: None
    expected = list(snapshots_of(bundle, *of))
    assert len(found) == len(expected) > 20
    for one, other in zip(found, expected, strict=True):
        for value, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(value, same)
    assert any(one.lost.any() for one in found)
    assert drift_input(fresh).n_features == found[0].features.size


def test_frames_are_kept_of_linear_recipes_and_of_contacts_that_nobody_masks() -> None:
    recording, names = recorded(), MONTAGE.names
    assert keeps_frames(LINEAR, MONTAGE, [recording], names) is not None
    marked = replace(recording, bad=(names[3],))
    assert keeps_frames(LINEAR, MONTAGE, [recording, marked], names) is None
    assert keeps_frames(LINEAR, MONTAGE, [marked], names[:3]) is not None
    assert keeps_frames(load_settings("edge", Recipe), MONTAGE, [recording], names) is None
    long = [recording] * 20_000  # 9 days: they are played instead
    assert keeps_frames(LINEAR, MONTAGE, long, names) is None
