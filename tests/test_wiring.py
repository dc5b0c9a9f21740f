"""Every ready-made recipe is wired: each of its stages, taken out, changes what is decoded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch

from rtbrain.build import build_feature_pipeline, build_live
from rtbrain.bundling import build_decoder, bundle_parts, encoder_of_recipe
from rtbrain.config import Recipe, find_settings, parse_settings, read_settings, settings_kind
from rtbrain.decoder import Bundle, LinearReadout, Readout
from rtbrain.errors import SettingsError
from rtbrain.marks import Mark
from rtbrain.pipeline import FeaturePipeline, cut_at_markers
from rtbrain.types import Chunk, Decode, Spectrogram
from tests.conftest import brain_like, cut, montage_of
from tests.test_pipeline import Counts, Heard, Script, Time

torch.set_num_threads(1)

# Another rate than the recipes' 2048 Hz, and a channel that is no contact: each step has work.
SFREQ_HZ = 1024.0
MONTAGE = replace(montage_of(9, SFREQ_HZ), kinds=("seeg",) * 8 + ("misc",))
SIGNAL = brain_like(9, round(6.3 * SFREQ_HZ), SFREQ_HZ, seed=3)
SIGNAL[2] = 12.5  # a dead contact
CALIBRATION = brain_like(9, round(5.5 * SFREQ_HZ), SFREQ_HZ, seed=4)
TRUE_HZ = 1.004 * SFREQ_HZ
SMOOTHING_S = 0.5
MIN_CHANGE = 2e-4

LAYERS = {"hidden_dim": 8, "layer_dim_feedforward": 8, "nhead": 2, "encoder_num_layers": 1}
SMALL: dict[str, dict[str, int]] = {
    "brainbert": LAYERS | {"input_dim": 40},
    "streaming": LAYERS | {"patch_frames": 5, "context_patches": 41},
    "popt": {
        "input_dim": 8,
        "hidden_dim": 8,
        "layer_dim_feedforward": 8,
        "n_head": 2,
        "n_layers": 1,
    },
}


def ready_made() -> dict[str, dict[str, Any]]:
    """Every recipe that ships, with encoders of a few hundred weights, and smoothed."""
    names = sorted(path.stem for path in find_settings("linear").parent.glob("*.yaml"))
    files = {name: read_settings(name)[0] for name in names}
    recipes = {name: values for name, values in files.items() if settings_kind(values) == "recipe"}
    for values in recipes.values():
        encoder = values["encoder"]
        if values["mode"] != "linear":
            kind = "streaming" if values["mode"] == "streaming" else "brainbert"
            encoder |= {"weights": "random", kind: SMALL[kind], "popt": SMALL["popt"]}
        values["smoothing_s"] = SMOOTHING_S
    return recipes


RECIPES = ready_made()


def fitted(values: dict[str, Any]) -> Bundle:
    """Decoder of a recipe: its normaliser calibrated, its readout random."""
    recipe = parse_settings(values, Recipe, where="test")
    model = encoder_of_recipe(recipe)
    front = build_feature_pipeline(recipe, MONTAGE)
    for window in front.cut(*cut(CALIBRATION, [], SFREQ_HZ)):
        front.encode(window)
    n_features = front.n_features
    if model is not None:
        n_features = model.n_population_features(front.signal.montage.n_channels)
    rng = np.random.default_rng(5)
    # Feature by feature, so that a channel more leaves the weights of the others as they are.
    weight = rng.normal(0, 3 * n_features**-0.5, (n_features, 2)).astype(np.float32).T
    readout = LinearReadout(weight, np.zeros(2, np.float32), "regression")
    mean = rng.normal(0, 1, n_features).astype(np.float32)
    manifest, tensors = bundle_parts(
        recipe, model, front, readout, ("rest", "speech"), MONTAGE, "nothing", mean
    )
    return Bundle(manifest, recipe, MONTAGE, tensors, {}, "test")


def chunks(true_hz: float, size: int) -> Iterator[Chunk]:
    """The signal, stamped by a sender of this true rate."""
    for chunk in cut(SIGNAL, [size] * (SIGNAL.shape[1] // size), SFREQ_HZ):
        since_start_s = chunk.timestamps - 100.0
        yield replace(chunk, timestamps=100.0 + since_start_s * SFREQ_HZ / true_hz)


class Silent:
    """A stage whose output is zeros."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage

    def __call__(self, item: Any) -> Any:
        made = self._stage(item)
        if isinstance(made, Spectrogram):
            return replace(made, data=np.zeros_like(made.data))
        return replace(made, population=np.zeros_like(made.population))

    def reset(self) -> None:
        self._stage.reset()


def decoded(
    decoder: tuple[FeaturePipeline, Readout], *, true_hz: float = TRUE_HZ, size: int = 300
) -> list[Decode]:
    """Valid decodes of the signal."""
    features, readout = decoder
    features.reset()
    readout.reset()
    windows = (window for chunk in chunks(true_hz, size) for window in features.cut(chunk))
    decodes = [readout(features.encode(window)) for window in windows]
    return [decode for decode in decodes if decode.quality.valid]


@cache
def shipped(recipe: str) -> tuple[Bundle, tuple[FeaturePipeline, Readout]]:
    bundle = fitted(RECIPES[recipe])
    return bundle, build_decoder(bundle, MONTAGE)


@cache
def whole(recipe: str) -> list[Decode]:
    return decoded(shipped(recipe)[1])


def changed(recipe: str, **change: Any) -> list[Decode]:
    """What the recipe with other values decodes."""
    return decoded(build_decoder(fitted(RECIPES[recipe] | change), MONTAGE))


@cache
def without_steps(recipe: str, *names: str) -> list[Decode]:
    steps = RECIPES[recipe]["signal"]
    return changed(recipe, signal=[step for step in steps if not set(step) & set(names)])


def without_tensors(recipe: str, prefix: str) -> list[Decode]:
    """What the decoder decodes whose bundle lacks some."""
    bundle, _ = shipped(recipe)
    kept = {name: array for name, array in bundle.tensors.items() if not name.startswith(prefix)}
    assert len(kept) < len(bundle.tensors)
    return decoded(build_decoder(replace(bundle, tensors=kept), MONTAGE))


def silenced(recipe: str, stage: str) -> list[Decode]:
    features, readout = shipped(recipe)[1]
    silent = Silent(getattr(features, stage))
    return decoded((replace(features, **{stage: silent}), readout))


def marked(recipe: str) -> list[Decode]:
    bundle, _ = shipped(recipe)
    return decoded(build_decoder(bundle, MONTAGE, manual_marks=lambda: [Mark("bad A8")]))


def at_nominal_rate(recipe: str) -> list[Decode]:
    """What is decoded of a stream whose drift needs no correction."""
    return decoded(shipped(recipe)[1], true_hz=SFREQ_HZ)


Decoding = Callable[[], list[Decode]]


def changes(recipe: str) -> Iterator[tuple[str, Decoding, Decoding]]:
    """What is taken out of a decoder, what it decodes, and what the rest of it decodes."""
    values, all_of_it = RECIPES[recipe], partial(whole, recipe)
    names = [next(iter(step)) for step in values["signal"]]
    (reference,) = {"reference", "published_laplacian"} & set(names)
    for name in set(names) - {"pick"}:
        yield name, all_of_it, partial(without_steps, recipe, name)
    # The Laplacian too leaves out what is no contact.
    without_reference = partial(without_steps, recipe, reference)
    yield "pick", without_reference, partial(without_steps, recipe, reference, "pick")
    yield "drift correction", all_of_it, partial(at_nominal_rate, recipe)
    yield "marks by hand", all_of_it, partial(marked, recipe)
    yield "spectrogram", all_of_it, partial(silenced, recipe, "spectrogram")
    yield "encoder", all_of_it, partial(silenced, recipe, "encoder")
    yield "smoothing", all_of_it, partial(changed, recipe, smoothing_s=0.0)
    if values["spectrogram"]["form"] == "running":
        yield "calibrated normaliser", all_of_it, partial(without_tensors, recipe, "normaliser.")
    if values["mode"] == "linear":
        mean = partial(without_tensors, recipe, "readout.feature_mean")
        yield "mean of the training features", all_of_it, mean
    else:
        encoder = values["encoder"] | {"popt": None}
        yield "PopT", all_of_it, partial(changed, recipe, encoder=encoder)


CASES = {
    f"{recipe} {what}": (before, after)
    for recipe in RECIPES
    for what, before, after in sorted(changes(recipe), key=lambda case: case[0])
}


def test_the_ready_made_recipes_are_all_here() -> None:
    assert {"edge", "linear", "published", "streaming"} <= set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_whole_recipe_decodes_each_hop_the_same_however_samples_arrive(recipe: str) -> None:
    window, decodes = RECIPES[recipe]["window"], whole(recipe)
    assert len(decodes) >= 5
    stamps = [decode.t_stop for decode in decodes]
    np.testing.assert_allclose(np.diff(stamps), window["hop_s"], rtol=0.005)
    values = np.stack([decode.values for decode in decodes])
    assert values.std(axis=0).min() > 1e-3, "a constant would prove nothing"
    again = decoded(shipped(recipe)[1], size=71)
    np.testing.assert_allclose(np.stack([d.values for d in again]), values, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_taken_out_of_a_recipe_changes_a_decode(case: str) -> None:
    before, after = (run()[-1] for run in CASES[case])
    # A spectrogram is the same at every rate, but the filters of a resampler take time.
    change = abs(after.t_stop - before.t_stop) if case.endswith("resample_hz") else 0.0
    assert max(change, np.abs(after.values - before.values).max()) > MIN_CHANGE


def test_smoothing_is_over_seconds_whatever_the_hop() -> None:
    values = [
        np.stack([decode.values for decode in decodes])
        for decodes in (whole("linear"), changed("linear", smoothing_s=0.0))
    ]
    smooth, plain = values
    kept = np.exp(-RECIPES["linear"]["window"]["hop_s"] / SMOOTHING_S)
    expected = [plain[0]]
    for new in plain[1:]:
        expected.append(kept * expected[-1] + (1 - kept) * new)
    np.testing.assert_allclose(smooth, expected, atol=1e-5, rtol=0)


def live(bundle: Bundle, **wires: Any) -> list[Decode]:
    """All that a live session decodes of the signal, which waits for it as a whole."""
    time, heard = Time(), Heard()
    pipeline = build_live(
        build_decoder(bundle, MONTAGE),
        Script(MONTAGE, time, list(chunks(SFREQ_HZ, 300))),
        (heard,),
        Counts([]),
        coverage_floor=0.3,
        clock=time.clock,
        **wires,
    )
    pipeline.run(lambda: False)
    return heard.decodes


def test_what_refuses_the_stream_takes_every_decode_back_and_says_why() -> None:
    bundle, _ = shipped("linear")
    assert [decode.quality.valid for decode in live(bundle, latest_only=False)][-3:] == [True] * 3
    for decode in live(bundle, latest_only=False, refusal=lambda: "off its rate")[-3:]:
        assert not decode.quality.valid
        assert decode.quality.reason == "off its rate"
        assert np.isnan(decode.values).all()


def test_a_limit_of_latency_takes_back_the_decodes_that_arrive_later() -> None:
    bundle, _ = shipped("linear")
    valid = [decode for decode in live(bundle, latest_only=False) if decode.quality.valid]
    latencies_s = [decode.t_received - decode.t_stop for decode in valid]
    limit_s = float(np.median(latencies_s))
    late = [latency_s > limit_s for latency_s in latencies_s]
    assert set(late) == {False, True}
    decodes = live(bundle, latest_only=False, max_latency_s=limit_s)[-len(late) :]
    assert [decode.quality.reason.startswith("stale") for decode in decodes] == late
    assert [not decode.quality.valid for decode in decodes] == late


def test_of_windows_at_events_none_is_skipped_where_sliding_ones_are() -> None:
    assert len(live(shipped("linear")[0], latest_only=True)) == 1
    events = {
        "mode": "linear",
        "window": {"mode": "event", "length_s": 1.0},
        "spectrogram": {"form": "published"},
    }
    cues = [[(101.0, "go"), (102.5, "go"), (103.0, "go")]]
    decodes = live(
        fitted(events), latest_only=True, markers=lambda timeout_s: cues.pop() if cues else []
    )
    stops = [decode.t_stop for decode in decodes]
    np.testing.assert_allclose(stops, np.array([102.0, 103.5, 104.0]) - 1 / SFREQ_HZ)


def stimulated(
    step: dict[str, Any] | None, markers: list[tuple[float, str]], *, missed: bool = False
) -> list[Decode]:
    """All decodes of the signal with pulses; with a step, blanked where markers announce them."""
    values = RECIPES["linear"]
    if step is not None:
        pick, *others = values["signal"]
        values = values | {"signal": [pick, {"stimulation": step}, *others]}
    decoder = build_decoder(fitted(values), MONTAGE)
    features, readout = decoder
    arrived = markers.copy()

    def due(timeout_s: float) -> list[tuple[float, str]]:
        new, arrived[:] = arrived.copy(), []
        return new

    features = cut_at_markers(features, due, 0.3, lambda: missed)
    pulsed = SIGNAL.copy()
    pulsed[:8, PULSES] += 5000
    chunks = cut(pulsed, [300] * (SIGNAL.shape[1] // 300), SFREQ_HZ)
    windows = (window for chunk in chunks for window in features.cut(chunk))
    return [readout(features.encode(window)) for window in windows]


PULSES = np.arange(1500, SIGNAL.shape[1], 1024)
STEP = {"texts": ["stim"], "before_s": 0.002, "after_s": 0.01, "wait_s": 0.0}


def test_pulses_are_blanked_where_they_are_announced_and_else_no_decode_is_valid() -> None:
    announced = [(100 + at / SFREQ_HZ, "stim") for at in PULSES]
    without = {d.t_stop: d for d in stimulated(None, announced)}
    blanked = stimulated(STEP, announced)
    silent = {d.t_stop: d for d in stimulated(STEP, [])}
    clean = {d.t_stop: d for d in decoded(shipped("linear")[1], true_hz=SFREQ_HZ)}
    pulses_s = 100 + PULSES / SFREQ_HZ
    near = [((d.t_stop - 0.25 < pulses_s) & (pulses_s < d.t_stop)).any() for d in blanked]
    ready = [d.t_stop > 103 for d in blanked]
    for decode, is_near in zip(blanked, near, strict=True):
        if decode.t_stop < 103 or decode.t_stop not in clean:
            continue
        assert decode.quality.valid
        if is_near:
            assert decode.quality.blanked > 0
            assert without[decode.t_stop].quality.reason == "an artifact on several contacts"
            assert not silent[decode.t_stop].quality.valid
        change = np.abs(decode.values - clean[decode.t_stop].values).max()
        assert change < np.std([d.values for d in clean.values()], axis=0).max()
    assert sum(np.logical_and(near, ready)) > 10


def test_what_a_blank_leaves_over_decides_whether_a_decode_is_valid() -> None:
    announced = [(100 + at / SFREQ_HZ, "stim") for at in PULSES]
    strict = stimulated(STEP | {"max_blanked": 0.0, "wait_s": 0.1}, announced)
    reasons = {d.quality.reason for d in strict if d.quality.blanked}
    assert any("is blanked, expected 0% at most" in reason for reason in reasons)
    with pytest.raises(SettingsError, match="nothing would be left"):
        stimulated(STEP | {"after_s": 0.4}, announced)
    lost = {d.quality.reason for d in stimulated(STEP, announced, missed=True)}
    assert {reason.split()[0] for reason in lost} == {"filling:", "settling:", "what"}
