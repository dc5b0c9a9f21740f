"""Drift: the threshold by known answers, and a decoder that is calibrated and then disturbed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.stats
from threadpoolctl import threadpool_info, threadpool_limits

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, bundle_parts
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import Bundle, LinearReadout, read_bundle, write_bundle
from rtbrain.decoder.drift import lost_limit, riemannian_distance
from rtbrain.decoder.drift_input import DriftInput, Snapshot
from rtbrain.errors import BundleError
from rtbrain.learn.drift import REDUCED, calibrate_drift, fit_drift, gumbel_threshold
from rtbrain.types import Embedding, Floats, Quality, Window
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ, CALIBRATION_S = 256.0, 130
MONTAGE = montage_of(8, SFREQ_HZ)
RECIPE = {
    "mode": "linear",
    "signal": [{"quality": {"mains_hz": 60}}, {"highpass_hz": 0.5}, {"reference": "car"}],
    "window": {"length_s": 0.5, "hop_s": 0.125},
    "spectrogram": {
        "form": "bands",
        "log": True,
        "bands": [
            {"frame_s": 0.25, "low_hz": 4, "high_hz": 12},
            {"frame_s": 0.125, "low_hz": 16, "high_hz": 56},
        ],
    },
    "encoder": {"n_pooled": 4},
}


def signal(seconds: float, seed: int) -> Floats:
    """The patient of seed 1 is calibrated; 2 is the same one later."""
    if seed == 2:
        return signal(CALIBRATION_S + seconds, 1)[:, -round(seconds * SFREQ_HZ) :]
    data = brain_like(8, round(200 * SFREQ_HZ), SFREQ_HZ, seed=seed)
    data -= data.mean(axis=1, keepdims=True)
    return data[:, : round(seconds * SFREQ_HZ)]


def test_the_reduced_variate_of_one_flag_an_hour_is_4_78() -> None:
    assert pytest.approx(4.78, abs=0.005) == REDUCED


def test_the_threshold_of_40_maxima_is_that_of_the_rule_and_mostly_above_the_true_one() -> None:
    maxima = np.arange(40.0)
    maxima = 1 + (maxima - maxima.mean()) / maxima.std(ddof=1) * np.pi / np.sqrt(6)
    assert gumbel_threshold(maxima) == pytest.approx(6.296, abs=0.002)  # scale 1, mean 1
    drawn = scipy.stats.gumbel_r(loc=2.0, scale=0.3)
    thresholds = [gumbel_threshold(one) for one in drawn.rvs((500, 40), random_state=1)]
    # The error is that of a fit by likelihood, the scale is by moments: 86 rather than 95 of 100.
    assert 0.8 < np.mean(np.array(thresholds) > drawn.ppf(1 - 30 / 3600)) < 0.92


def test_the_distance_of_covariances_is_that_of_logarithms_of_gains_and_blind_to_a_mixing() -> None:
    rng = np.random.default_rng(0)
    square = rng.standard_normal((6, 6))
    mean = square @ square.T + np.eye(6)
    gain = np.diag([2.0, 2.0, 1, 1, 1, 1])
    found = riemannian_distance(gain @ mean @ gain, mean)
    mixing = rng.standard_normal((6, 6))
    assert riemannian_distance(
        mixing @ gain @ mean @ gain @ mixing.T, mixing @ mean @ mixing.T
    ) == pytest.approx(found)
    diagonal = riemannian_distance(gain @ gain, np.eye(6))
    assert diagonal == pytest.approx(np.sqrt(2 * np.log(4) ** 2 / 6))


def snapshots(n_blocks: int) -> list[Snapshot]:
    rng = np.random.default_rng(2)
    return [
        Snapshot(
            3.0 * number,
            rng.standard_normal(12).astype(np.float32),
            np.diag(np.exp(0.1 * rng.standard_normal(4))),
            rng.standard_normal((2, 4)),
            np.zeros(4, bool),
            1.0,
        )
        for number in range(10 * n_blocks)
    ]


def test_a_rate_is_promised_from_20_minutes_on_and_nothing_is_calibrated_on_less_than_2() -> None:
    for n_blocks, promised in ((3, None), (39, False), (40, True)):
        items = snapshots(n_blocks)
        model, report = fit_drift(items, np.zeros(len(items), np.int64))
        assert (model is None) == (promised is None)
        assert report.get("promise") == promised
        if promised is not None:
            assert report["blocks"] == n_blocks
            assert ("without a promise" in report["text"]) != promised


class Calibrated(NamedTuple):
    bundle: Bundle
    play: Callable[..., tuple[list[float], list[tuple[str, dict[str, Any]]]]]
    blas_threads: set[int]  # while it was calibrated


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    recipe = parse_settings(RECIPE, Recipe, where="test")
    front = build_feature_pipeline(recipe, MONTAGE)
    rows = [
        front.encode(window).population
        for chunk in cut(signal(30, 1), [64] * 200, SFREQ_HZ)
        for window in front.cut(chunk)
        if window.quality.valid
    ]
    mean = np.mean(rows[80:], axis=0).astype(np.float32)
    readout = LinearReadout(
        np.zeros((2, mean.size), np.float32), np.zeros(2, np.float32), "regression"
    )
    manifest, tensors = bundle_parts(
        recipe, None, front, readout, ("x", "y"), MONTAGE, "test", feature_mean=mean
    )
    bundle = Bundle(manifest, recipe, MONTAGE, tensors, {}, "")
    recording = rtbrain.read((signal(CALIBRATION_S, 1), SFREQ_HZ, MONTAGE.names))
    seen: set[int] = set()

    def see(*progress: Any) -> None:
        libraries = [] if seen else threadpool_info()
        seen.update(one["num_threads"] for one in libraries if one["user_api"] == "blas")

    with threadpool_limits(2, "blas"):
        return Calibrated(calibrate_drift(bundle, [recording], None, None, see), play, seen)


def play(
    bundle: Bundle, data: Floats, sizes: list[int] | None = None, gap_at_s: float | None = None
) -> tuple[list[float], list[tuple[str, dict[str, Any]]]]:
    """Drift of every decode of a signal, and the events."""
    events: list[tuple[str, dict[str, Any]]] = []
    features, readout = build_decoder(
        bundle, MONTAGE, on_event=lambda event, **fields: events.append((event, fields))
    )
    chunks = cut(data, sizes or [32] * (data.shape[1] // 32), SFREQ_HZ)
    if gap_at_s is not None:
        n = round(2 * SFREQ_HZ)
        chunks = [
            one
            if one.first_sample < gap_at_s * SFREQ_HZ
            else replace(
                one,
                first_sample=one.first_sample + n,
                timestamps=one.timestamps + 2,
                gap=n * (one.first_sample == gap_at_s * SFREQ_HZ),
            )
            for one in chunks
        ]
    drift = [
        readout(features.encode(window)).drift for chunk in chunks for window in features.cut(chunk)
    ]
    return drift, [one for one in events if one[0] in ("drift", "drift_over", "trend")]


def disturbed(change: Callable[[Floats], object], seconds: float = 40, at_s: float = 20) -> Floats:
    data = signal(seconds, 2)
    change(data[:, round(at_s * SFREQ_HZ) :])
    return data


def test_a_stable_signal_has_no_flag_and_reports_its_trend_every_10_s(
    calibrated: Calibrated,
) -> None:
    drift, events = play(calibrated.bundle, signal(50, 2))
    known = np.array(drift)[np.isfinite(drift)]
    assert known.size > 8 * 30
    assert known.max() < 1
    assert {event for event, _ in events} == {"trend"}
    assert 4 <= len(events) <= 6
    gain_db = events[-1][1]["gain_db"]
    assert len(gain_db) == 8
    assert max(map(abs, gain_db)) <= 1


def gain(factor: float) -> Callable[[Floats], object]:
    def change(data: Floats) -> None:
        data[[1, 4, 6]] *= factor

    return change


def lose(data: Floats) -> None:
    data[[1, 4, 6]] = 3.0


def other_patient(data: Floats) -> None:
    mixing = np.random.default_rng(9).standard_normal((8, 8))
    data[:] = (mixing @ signal(30, 8)).astype(np.float32)[:, : data.shape[1]]


def hum(data: Floats) -> None:
    data += 60 * np.sin(2 * np.pi * 60 * np.arange(data.shape[1]) / SFREQ_HZ).astype(np.float32)


def test_drift_is_calibrated_on_one_blas_thread(calibrated: Calibrated) -> None:
    assert calibrated.blas_threads == {1}


@pytest.mark.parametrize("change", [gain(2), gain(0.5), lose, other_patient, hum])
def test_an_induced_drift_is_flagged_within_30_s_and_says_where(
    calibrated: Calibrated, change: Callable[[Floats], object]
) -> None:
    drift, events = play(calibrated.bundle, disturbed(change))
    first_s = 40 - 0.125 * len(drift)
    t_s = first_s + 0.125 * np.arange(len(drift))  # about when each window ends
    assert np.nanmax(np.array(drift)[t_s < 19.5]) < 1
    assert np.nanmax(np.array(drift)[t_s >= 20]) >= 1
    (flag,) = [fields for event, fields in events if event == "drift"][:1]
    assert flag["measure"] in ("features", "covariance", "level", "mains", "lost contacts")
    if change not in (other_patient, hum):
        assert set(flag["contacts"]) & {"A2", "A5", "A7"}


def test_what_passes_is_no_flag_and_a_flag_ends_when_the_signal_is_as_before(
    calibrated: Calibrated,
) -> None:
    data = signal(75, 2)
    data[[1, 4, 6], round(18 * SFREQ_HZ) : round(19 * SFREQ_HZ)] *= 1.5
    data[[0, 2, 3, 5], round(24 * SFREQ_HZ) : round(33 * SFREQ_HZ)] = 2.0
    drift, events = play(calibrated.bundle, data)
    assert [event for event, _ in events if event != "trend"] == ["drift", "drift_over"]
    assert "A1" in events[[event for event, _ in events].index("drift")][1]["contacts"]
    at_24_s = len(drift) - round((75 - 24) / 0.125)
    assert np.nanmax(drift[:at_24_s]) < 1
    assert drift[-1] < 0.8


def test_one_lost_contact_is_no_flag_by_itself_and_two_are(calibrated: Calibrated) -> None:
    limit = calibrated.bundle.tensors["drift.thresholds"][-1]
    assert 1 < limit < 2
    assert lost_limit(8, 0) == limit
    assert lost_limit(128, 0) == pytest.approx(6.4)
    assert lost_limit(8, 3) == 3.5


def test_drift_does_not_depend_on_chunking_and_reset_equals_new(calibrated: Calibrated) -> None:
    data = disturbed(gain(2), 30, 15)
    whole = play(calibrated.bundle, data, sizes=[data.shape[1]])
    rng = np.random.default_rng(4)
    pieces = play(calibrated.bundle, data, sizes=rng.integers(1, 900, 60).tolist())
    np.testing.assert_array_equal(whole[0], pieces[0])
    assert [event for event, _ in whole[1]] == [event for event, _ in pieces[1]]
    features, _ = build_decoder(calibrated.bundle, MONTAGE)
    twice = []
    for _ in range(2):
        features.reset()
        twice.append(
            [
                features.encode(w).drift
                for c in cut(data, [999] * 7, SFREQ_HZ)
                for w in features.cut(c)
            ]
        )
    np.testing.assert_array_equal(twice[0], twice[1])


def test_a_gap_restarts_the_smoothing_and_is_no_drift(calibrated: Calibrated) -> None:
    drift, events = play(calibrated.bundle, signal(40, 2), gap_at_s=20.0)
    known = np.isfinite(drift)
    begins = np.flatnonzero(known[1:] & ~known[:-1]) + 1
    assert begins.size == 2  # unknown again after the gap
    assert np.nanmax(drift) < 1
    assert {event for event, _ in events} == {"trend"}


def test_a_decoder_without_a_drift_part_says_nothing_and_a_bundle_carries_one(
    calibrated: Calibrated, tmp_path: Path
) -> None:
    bundle = calibrated.bundle
    plain = {key: it for key, it in bundle.tensors.items() if not key.startswith("drift.")}
    drift, events = play(replace(bundle, tensors=plain), signal(10, 2))
    assert np.isnan(drift).all()
    assert not events
    write_bundle(tmp_path / "b", bundle.manifest, MONTAGE, bundle.tensors, bundle.report)
    read = read_bundle(tmp_path / "b")
    assert read.report["drift"]["blocks"] == 4
    np.testing.assert_array_equal(play(read, signal(20, 2))[0], play(bundle, signal(20, 2))[0])
    del read.tensors["drift.covariance"]
    with pytest.raises(BundleError, match="drift: covariance"):
        build_decoder(read, MONTAGE)


def test_an_input_without_a_quality_step_knows_features_and_covariance_only() -> None:
    inputs = DriftInput(MONTAGE, 3)
    good = Quality(np.ones(8, bool))
    data = signal(1, 5)
    for number in range(60):
        window = Window(data, number / 4, 64 * number, good)
        embedding = Embedding(np.zeros((8, 1), np.float32), np.ones(3, np.float32), 0.0, 0.0, good)
        item = inputs(window, embedding)
    np.testing.assert_allclose(item.features, 1, rtol=1e-6)
    assert np.isfinite(item.covariance).all()
    assert item.contacts.shape == (2, 0)
    busy = SimpleNamespace(names=("A1",), blocks=[])
    assert np.isnan(DriftInput(MONTAGE, 3, busy)(window, embedding).contacts).all()


def test_channels_that_add_up_to_nothing_have_a_mean_covariance() -> None:
    common = np.eye(4) - 0.25
    items = [
        item._replace(covariance=(1 + 1e-3 * n) * common - 1e-7)
        for n, item in enumerate(snapshots(5))
    ]
    model, _ = fit_drift(items, np.zeros(len(items), np.int64))
    assert model is not None
    assert np.isfinite(model.covariance).all()
