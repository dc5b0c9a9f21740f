"""A fit that proposes detections: decoded as if live, by readouts that did not see the windows."""

import numpy as np
import pytest

import rtbrain
from rtbrain.config import DecodeSettings, DetectSettings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import SettingsError
from rtbrain.learn.fit import run
from rtbrain.learn.fit.gather import MAIN
from rtbrain.learn.held_out import held_out_of_fit
from rtbrain.live.detections import build_detector, detect_settings
from rtbrain.terminal import no_progress
from tests.conftest import montage_of

SFREQ_HZ, HOP_S = 512.0, 1 / 16
RECIPE = {
    "mode": "linear",
    "window": {"length_s": 0.625, "hop_s": HOP_S},
    "spectrogram": {"form": "bands"},
    "encoder": {"n_pooled": 4},
}


def recording(seed: int, seconds: float):
    """A rhythm of 90 Hz that is stronger while somebody speaks, in noise."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(1, 2.5, int(seconds)))
    edges = np.append(0.0, edges[edges < seconds - 1])
    t_s = np.arange(int(seconds * SFREQ_HZ)) / SFREQ_HZ
    speech = (np.searchsorted(edges, t_s, "right") - 1) % 2
    phase = 2 * np.pi * 90 * t_s + np.cumsum(rng.normal(0, 0.05, t_s.size))
    data = rng.normal(0, 10, (4, t_s.size)) + 4 * (1 + speech) * np.sin(phase)
    marks = [(edge, ("rest", "speech")[n % 2]) for n, edge in enumerate(edges.tolist())]
    names = list(montage_of(4, SFREQ_HZ).names)
    return rtbrain.read(data.astype(np.float32), sfreq_hz=SFREQ_HZ, names=names, events=marks)


@pytest.fixture(scope="module")
def fitted():
    """A decoder, and what its presets were proposed from."""
    seen = []

    def kept(gathered, scored, *of):
        seen.append((gathered, scored))
        return held_out_of_fit(gathered, scored, *of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "held_out_of_fit", kept)
        decoder = rtbrain.fit(
            [recording(0, 35), recording(1, 65)],
            classes=["rest", "speech"],
            recipe=RECIPE,
            n_folds=2,
            n_permutations=0,
            detect=["speech"],
        )
    return decoder, *seen[0]


def test_windows_are_decoded_by_the_readout_that_held_them_out_and_at_every_hop(fitted):
    _, gathered, scored = fitted
    timeline = held_out_of_fit(gathered, scored, None).timeline(no_progress)
    assert np.median(np.diff(timeline.times)) == pytest.approx(HOP_S)
    assert np.median(np.diff(gathered.labelled.t_s)) > 3 * HOP_S, "a fit keeps fewer"
    values = np.array([one.values for one in timeline.decodes if one.quality.valid])
    firsts = [timeline.times[0], timeline.times[np.diff(timeline.times).argmax() + 1]]
    for part, first_s in zip(gathered.labelled.parts, firsts, strict=True):
        t_s = gathered.labelled.t_s[part]
        at = np.searchsorted(timeline.times, first_s + t_s - t_s[0] - HOP_S / 2)
        near = np.abs(timeline.times[at] - first_s - (t_s - t_s[0])) < 1e-6
        assert near.mean() > 0.99
        expected = scored.validated[MAIN].outputs[part]
        np.testing.assert_allclose(values[at[near]], expected[near], atol=1e-4)


def test_a_fit_proposes_presets_and_its_bundle_detects_by_the_balanced_one(fitted, tmp_path):
    decoder = fitted[0]
    found = decoder.report["detections"]["speech"]
    assert (found["calibrated"], found["of"]) == (True, "2 recordings")
    balanced = DetectSettings(**found["presets"]["balanced"]["settings"])
    decoder.save(tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    assert detect_settings(bundle) == {"speech": balanced}
    few = detect_settings(bundle, "few_misses")
    for settings, calibrated in ((few, True), ({"speech": DetectSettings(up=0.123)}, False)):
        assert build_detector(bundle, settings).calibrated == {"speech": calibrated}
    live = parse_settings({"stream": {"name": "x"}, "detect": {}}, DecodeSettings, where="live")
    assert build_detector(bundle, detect_settings(bundle, None, live.detect)).calibrated == {}
    page = (tmp_path / "bundle" / "report.html").read_text(encoding="utf-8")
    assert "Detections of speech, counted on" in page
    assert "since alarms come in groups" in page
    with pytest.raises(SettingsError, match="preset many: expected few_misses, balanced"):
        detect_settings(bundle, "many")


def test_an_evaluation_detects_as_the_bundle_does(fitted):
    decoder, held_out = fitted[0], recording(2, 40)
    presets = decoder.report["detections"]["speech"]["presets"]
    for preset in (None, "few_alarms"):
        events = rtbrain.evaluate(decoder, held_out, preset=preset)["decoder"]["events"]["speech"]
        assert events["settings"] == presets[preset or "balanced"]["settings"]
        assert events["hit_rate"] > 0.6
    own = rtbrain.evaluate(decoder, held_out, threshold=0.7)["decoder"]["events"]["speech"]
    assert own["settings"] == {"up": 0.7, "refractory_s": 0.0, "max_per_min": 1_000_000}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"classes": ["rest", "speech"], "detect": ["speach"]}, "speach is none of rest, speech"),
        ({"events": ["a", "b"], "detect": ["a"]}, "detect is for classes in time"),
        ({"channel": "GRIP", "detect": ["on"]}, "or a channel with a threshold"),
    ],
)
def test_what_cannot_be_detected_is_refused(values, says):
    with pytest.raises(SettingsError, match=says):
        rtbrain.fit("synthetic:3", sfreq_hz=2048, **values)
