"""A decoder that this machine cannot run in time is refused before it goes live, with numbers."""

import itertools
import re
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, bundle_parts
from rtbrain.config import DecodeSettings, Recipe, load_settings, parse_settings
from rtbrain.decoder import LinearReadout, write_bundle
from rtbrain.encoder import measure_peak_flops, require_precision
from rtbrain.encoder.runtimes.peak import _products
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.live import realtime_check
from rtbrain.live.realtime_check import (
    MAX_SHARE,
    StepTiming,
    explain_too_slow,
    faster_ways,
    keeps_up,
    measure_step,
    random_walk_windows,
    timing_fields,
)
from rtbrain.outlet import SignalOutlet
from rtbrain.types import Montage
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like, cut, montage_of
from tests.test_live_equals_offline import bundle_of

SFREQ_HZ = 2048.0
HOP_S = 50 / SFREQ_HZ
# Superlets make each window anew, 40 frequencies a channel: hundreds of ms, where there are 24.
SLOW = {
    "mode": "linear",
    "window": {"length_s": 3.0, "hop_s": HOP_S},
    "spectrogram": {"form": "superlet"},
    "encoder": {"n_pooled": 10},
}


def slow_bundle(folder: Path, montage: Montage) -> None:
    recipe = parse_settings(SLOW, Recipe, where="test")
    features = build_feature_pipeline(recipe, montage)
    readout = LinearReadout(
        np.zeros((2, features.n_features), np.float32), np.zeros(2, np.float32), "classification"
    )
    parts = bundle_parts(recipe, None, features, readout, ("no", "yes"), montage, "nothing")
    write_bundle(folder, parts[0], montage, parts[1], {})


@pytest.mark.lsl
def test_a_decoder_that_would_be_late_is_refused_with_numbers(tmp_path: Path) -> None:
    montage = montage_of(16, SFREQ_HZ)
    slow_bundle(tmp_path / "bundle", montage)
    name = f"late-{uuid4().hex}"
    outlet = SignalOutlet(name, montage, source_id=name, origin="replay")
    flags = ("--stream", name, "--bundle", tmp_path / "bundle", "--name", name)
    line = refused("decode", *flags)
    found = re.search(
        r"takes ([\d.]+) ms here \(16 channels, 1 thread.* hop of 24\.4 ms.* "
        r"window\.hop_s ([\d.]+)",
        line,
    )
    assert found, line
    step_ms, hop_s = map(float, found.groups())
    assert MAX_SHARE * 24.4 < step_ms <= 1000 * MAX_SHARE * hop_s + 0.1
    assert hop_s / HOP_S == pytest.approx(round(hop_s / HOP_S))
    assert "--allow-late" in line
    outlet.close()


@pytest.mark.lsl
def test_late_decoding_is_let_through_and_warned_of_once(tmp_path: Path) -> None:
    montage = montage_of(16, SFREQ_HZ)
    slow_bundle(tmp_path / "bundle", montage)
    name = f"late-{uuid4().hex}"
    outlet = SignalOutlet(name, montage, source_id=name, origin="replay")
    flags = ("--stream", name, "--bundle", tmp_path / "bundle", "--name", name)
    done = rtbrain("decode", *flags, "--allow-late", "--duration", "0.5")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    warnings = [line for line in lines if line.startswith("a step of this decoder takes")]
    assert len(warnings) == 1
    assert "--allow-late" not in warnings[0]
    assert any(line.startswith("one decode takes") for line in lines)
    outlet.close()


def test_measuring_leaves_no_trace(tmp_path: Path) -> None:
    montage = montage_of(8, SFREQ_HZ)
    bundle = bundle_of("edge", montage, tmp_path / "bundle")
    recipe = load_settings("edge", Recipe)
    chunks = cut(brain_like(8, int(6 * SFREQ_HZ), SFREQ_HZ), [700] * 16, SFREQ_HZ)
    decoded = []
    for measured in (False, True):
        features, readout = build_decoder(bundle, montage)
        if measured:
            pace = measure_step(features, readout, recipe)
            assert pace.n_steps >= 1
            assert pace.hop_s == recipe.window.hop_s
            assert 0 < pace.step_s < 5
        windows = (window for chunk in chunks for window in features.cut(chunk))
        decoded.append([readout(features.encode(window)).values for window in windows])
    np.testing.assert_array_equal(*decoded)
    assert np.isfinite(decoded[1][-1]).all()


def test_windows_that_it_measures_on_follow_each_other() -> None:
    recipe, montage = load_settings("edge", Recipe), montage_of(3, SFREQ_HZ)
    windows = [
        (w.first_sample, w.data.copy(), w.t_stop) for w in random_walk_windows(montage, recipe, 4)
    ]
    assert windows[0][1].shape == (3, 10240)
    for (first, older, t), (following, newer, t_next) in itertools.pairwise(windows):
        assert following - first == 500
        assert t_next - t == pytest.approx(recipe.window.hop_s)
        np.testing.assert_array_equal(older[:, 500:], newer[:, :-500])


def test_event_windows_have_no_hop_and_are_never_refused() -> None:
    recipe = load_settings("linear", Recipe)
    event = recipe.window.model_copy(update={"mode": "event", "hop_s": None, "length_s": 1.0})
    recipe = recipe.model_copy(update={"window": event})
    windows = list(random_walk_windows(montage_of(3, SFREQ_HZ), recipe, 2))
    assert [window.first_sample for window in windows] == [0, 2048]
    pace = StepTiming(100.0, None, 1)
    assert keeps_up(pace)
    assert timing_fields(pace) == {"step_ms": 100_000.0, "steps": 1}


def test_what_would_fit_is_named_by_the_measured_cost() -> None:
    recipe = load_settings("published", Recipe)
    hop_s = recipe.window.hop_s
    assert keeps_up(StepTiming(MAX_SHARE * hop_s, hop_s, 3))
    assert not keeps_up(StepTiming(1.001 * MAX_SHARE * hop_s, hop_s, 3))
    line = explain_too_slow(
        StepTiming(2.0, hop_s, 3), recipe, 32, "1 thread", [("threads: 2", 2.0)]
    )
    assert "\n" not in line
    assert "takes 2000 ms here (32 channels, 1 thread)" in line
    assert "80% of its hop of 244.1 ms" in line
    assert "about 3 channels, or window.hop_s 2.5146484375, or" in line  # 103 frames
    assert "mode streaming, or mode linear" in line
    assert "threads" not in line
    slightly = explain_too_slow(
        StepTiming(0.25, hop_s, 3), recipe, 32, "1 thread", [("threads: 2", 2.0)]
    )
    assert slightly.endswith("mode linear, or threads: 2")


def test_hop_longer_than_the_window_is_no_way_out() -> None:
    recipe = load_settings("published", Recipe)
    line = explain_too_slow(StepTiming(9.0, recipe.window.hop_s, 1), recipe, 10, "1 thread", [])
    assert "window.hop_s" not in line
    assert "about" not in line  # less than one channel
    assert line.endswith("what would fit: mode streaming, or mode linear")
    hopeless = parse_settings(SLOW, Recipe, where="test")
    assert explain_too_slow(StepTiming(9.0, HOP_S, 1), hopeless, 2, "1 thread", []).endswith(
        "fit: nothing here"
    )


def test_ways_to_be_faster_are_those_of_this_machine_and_mode(monkeypatch) -> None:
    peaks = {"fp32": 50.0, "bf16": 100.0, "int8": 150.0}
    monkeypatch.setattr(
        "rtbrain.encoder.measure_peak_flops",
        lambda precision, threads: peaks[precision],
    )
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    threads = ("threads: 4", 4.0)
    linear, streaming, large = (
        load_settings(mode, Recipe) for mode in ("linear", "streaming", "published")
    )
    assert faster_ways(linear, 1, "fp32") == []  # both are the encoder's
    assert faster_ways(streaming, 1, "fp32") == [threads]
    first, *others = faster_ways(large, 1, "fp32")
    assert first == threads
    bf16, int8 = ("precision: bf16", 2.0), ("int8, by rtbrain compile", 3.0)
    assert int8 in others
    assert set(others) <= {bf16, int8}  # not every CPU has bfloat16
    assert faster_ways(large, 4, "bf16") == []


class Looks:
    """Steps of these durations, one a measurement; and what was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps_s: float) -> None:
        self.left = list(steps_s)
        self.told: list[str] = []
        monkeypatch.setattr(realtime_check, "_PAUSE_S", 0.0)
        monkeypatch.setattr(realtime_check, "measure_step", self.measured)

    def measured(self, *decoder: object) -> StepTiming:
        return StepTiming(self.left.pop(0), HOP_S, 15)

    def refuse(self, montage: Montage, **settings: object) -> None:
        recipe = parse_settings(SLOW, Recipe, where="test")
        bedside = load_settings("bedside", DecodeSettings).model_copy(update=settings)
        decoder = (build_feature_pipeline(recipe, montage), None)

        def tell(event: str, **_: object) -> None:
            self.told.append(event)

        realtime_check.require_realtime(decoder, recipe, bedside, 4, tell, False)  # type: ignore[arg-type]


def test_a_busy_second_at_the_start_refuses_nobody(monkeypatch) -> None:
    looks = Looks(monkeypatch, 2 * HOP_S, 3 * HOP_S, 0.5 * HOP_S)
    looks.refuse(montage_of(4, SFREQ_HZ))
    assert (looks.left, looks.told) == ([], ["pace"])


def test_a_decoder_that_is_always_too_slow_is_refused_by_its_fastest_look(monkeypatch) -> None:
    looks = Looks(monkeypatch, 3 * HOP_S, 2 * HOP_S, 3.5 * HOP_S)
    with pytest.raises(SettingsError, match=r"takes 48\.8 ms here .*kept this machine busy, try"):
        looks.refuse(montage_of(4, SFREQ_HZ))
    assert (looks.left, looks.told) == ([], ["pace"])


def test_a_hopeless_decoder_is_measured_once(monkeypatch) -> None:
    looks = Looks(monkeypatch, 5 * HOP_S, 0.0)
    with pytest.raises(SettingsError, match="takes"):
        looks.refuse(montage_of(4, SFREQ_HZ))
    assert looks.left == [0.0]


def test_the_refusal_tells_what_runs_and_not_what_the_settings_say(tmp_path: Path) -> None:
    bundle = bundle_of("edge", montage_of(8, SFREQ_HZ), tmp_path / "bundle")
    features, _ = build_decoder(bundle, bundle.montage)
    assert realtime_check._runtime_of(features) == (", torchscript fp32", "fp32")


def has_bf16() -> bool:
    try:
        require_precision("bf16")
    except CompiledModelError:
        return False
    return True


BF16 = pytest.param(
    "bf16", marks=pytest.mark.skipif(not has_bf16(), reason="this CPU has no bfloat16")
)


@pytest.mark.parametrize("precision", ["fp32", BF16, "int8"])
def test_peak_is_a_number_of_operations_a_second(precision: str) -> None:
    peak = measure_peak_flops(precision, threads=1)
    assert 1e8 < peak < 1e15


def test_measuring_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    measure_peak_flops("fp32", threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("precision", ["fp32", BF16])
def test_each_way_gives_the_same_product(precision: str) -> None:
    first, *others = (product() for product in _products(precision))
    for other in others:
        torch.testing.assert_close(
            first, other, rtol=1e-2, atol=1e-1 if precision == "bf16" else 1e-2
        )


def test_precision_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of fp32, bf16, int8"):
        measure_peak_flops("fp8", threads=1)
