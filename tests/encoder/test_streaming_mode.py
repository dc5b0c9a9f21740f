"""The streaming mode: its recipes, the same for any chunking, after gaps, in and out of bundles."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import EventWindows, LiveEventWindows
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, bundle_parts, encoder_of_recipe, model_of_bundle
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import LinearReadout, read_bundle, write_bundle
from rtbrain.encoder import EncoderModel, StreamingBERT, random_encoder, save_encoder
from rtbrain.encoder.models.streaming import StreamingBERTSizes
from rtbrain.errors import SettingsError
from rtbrain.pipeline import FeaturePipeline
from rtbrain.spectrogram import RunningStatistics
from rtbrain.types import Chunk, Embedding, Floats, Quality, Spectrogram
from tests.conftest import brain_like, cut, montage_of

torch.set_num_threads(1)

SFREQ_HZ, N_CHANNELS, HOP = 2048.0, 4, 250
MONTAGE = montage_of(N_CHANNELS, SFREQ_HZ)
STREAMING = {
    "hidden_dim": 16,
    "layer_dim_feedforward": 32,
    "nhead": 2,
    "encoder_num_layers": 2,
    "patch_frames": 5,
    "context_patches": 41,
}
POPT = {"input_dim": 16, "hidden_dim": 24, "layer_dim_feedforward": 32, "n_head": 2, "n_layers": 1}
ENCODER = {"pool": "last", "n_pooled": 5, "weights": "random"}
ENCODER |= {"streaming": STREAMING, "popt": POPT}


def recipe_of(**change: Any) -> Recipe:
    values = load_settings("streaming", Recipe).model_dump(mode="json", exclude_unset=True)
    values["signal"] = [{"notch": {"mains_hz": 60}}]
    values["window"] = {"length_s": 1.0, "hop_s": HOP / SFREQ_HZ}
    return parse_settings(values | {"encoder": ENCODER} | change, Recipe, where="test")


def embedded(features: FeaturePipeline, chunks: list[Chunk]) -> list[Embedding]:
    features.reset()
    windows = (window for chunk in chunks for window in features.cut(chunk))
    return [features.encode(window) for window in windows if window.quality.valid]


RECIPE = recipe_of()
MODEL = encoder_of_recipe(RECIPE)
ENCODING = build_feature_pipeline(RECIPE, MONTAGE, model=MODEL)
DATA = brain_like(N_CHANNELS, 9000, SFREQ_HZ, seed=4)
DATA[1, 3000:3001] = np.nan  # a channel that drops out and returns


def with_gap(sizes: list[int], before: int, lost: int) -> list[Chunk]:
    """Chunks of these sizes, the ones from `before` on after a gap."""
    chunks: list[Chunk] = []
    for chunk in cut(DATA, sizes, SFREQ_HZ):
        told = any(other.gap for other in chunks)
        gap = lost if chunk.first_sample == before and not told else 0
        late = lost if chunk.first_sample >= before else 0
        chunks.append(
            Chunk(chunk.data, chunk.timestamps + late / SFREQ_HZ, chunk.first_sample + late, gap)
        )
    return chunks


@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(0, 1500), max_size=12),
    more=st.lists(st.integers(0, 900), max_size=6),
    gap_at=st.integers(3400, 6000),
    lost=st.integers(1, 3000),
)
def test_embeddings_do_not_depend_on_chunks_with_gaps_and_channels_that_return(
    sizes: list[int], more: list[int], gap_at: int, lost: int
) -> None:
    edges = sorted({min(edge, gap_at) for edge in np.cumsum([0, *sizes])} | {0, gap_at})
    first = [int(size) for size in np.diff(edges)]
    whole = embedded(ENCODING, with_gap([gap_at], gap_at, lost))
    pieces = embedded(ENCODING, with_gap([*first, *more], gap_at, lost))
    assert len(whole) == len(pieces) > 10
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one.quality.good, other.quality.good)
        assert one.quality.lost_samples == other.quality.lost_samples
        assert one.t_neural == other.t_neural
        np.testing.assert_allclose(one.population, other.population, atol=1e-5)
    good = np.stack([one.quality.good for one in whole])
    assert not good[:, 1].all(), "a channel drops out"
    assert good[-1].all(), "and returns"


@pytest.mark.parametrize(("hop_frames", "n_used"), [(1, 10), (3, 15), (4, 20), (5, 10)])
def test_after_a_gap_whole_cycles_of_patches_are_waited_for(hop_frames: int, n_used: int) -> None:
    # 10 frames hold the 0.4 s that warm the encoder; a hop of 3 ends a patch every 15, one of 4
    # every 20.
    recipe = recipe_of(window={"length_s": 1.0, "hop_s": hop_frames * 50 / SFREQ_HZ})
    features = build_feature_pipeline(recipe, MONTAGE, model=MODEL)
    assert features.windows.used_s == pytest.approx((400 + (n_used - 1) * 50) / SFREQ_HZ)


def test_after_a_gap_no_decode_counts_before_its_channels_were_read_again() -> None:
    recipe = recipe_of(window={"length_s": 1.0, "hop_s": 4 * 50 / SFREQ_HZ})
    features = build_feature_pipeline(recipe, MONTAGE, model=MODEL)
    after = [
        one for one in embedded(features, with_gap([5000], 5000, 777)) if one.quality.lost_samples
    ]
    assert len(after) > 10
    assert all(one.channels[one.quality.good].any(axis=1).all() for one in after)


def test_continuous_windows_give_one_shot_over_all_frames_so_far() -> None:
    assert MODEL is not None
    ENCODING.reset()
    clean = np.nan_to_num(DATA, nan=0.0)
    frames: Floats | None = None
    n_windows = 0
    for chunk in cut(clean, [], SFREQ_HZ):
        for window in ENCODING.cut(chunk):
            if not window.quality.valid:
                continue
            item = ENCODING.spectrogram(window)
            new = item.data if frames is None else item.data[:, -5:]
            frames = new if frames is None else np.concatenate((frames, new), axis=1)
            with torch.inference_mode():
                expected = MODEL.channel_encoder.embed(torch.from_numpy(frames), "last", 5).numpy()
            np.testing.assert_allclose(ENCODING.encoder(item).channels, expected, atol=1e-5)
            n_windows += 1
    assert n_windows > 20


def test_the_decode_describes_the_middle_of_the_newest_patch() -> None:
    # Five frames of 400 samples, 50 apart, the newest of them ending with the window.
    assert ENCODING.neural_delay_s == pytest.approx((200 + 2 * 50 - 1) / SFREQ_HZ)
    (first, *_) = embedded(ENCODING, cut(DATA, [], SFREQ_HZ))
    assert first.t_stop - first.t_neural == pytest.approx(ENCODING.neural_delay_s)
    assert ENCODING.n_features == first.population.size == 24


@pytest.mark.parametrize("window", [{"hop_s": HOP / SFREQ_HZ}, {"mode": "event"}], ids=str)
def test_what_an_encoder_was_taught_to_say_later_describes_an_earlier_moment(
    window: dict[str, Any],
) -> None:
    assert MODEL is not None
    late = StreamingBERTSizes(**STREAMING, delay_patches=2)
    model = EncoderModel(random_encoder(late, 0), MODEL.popt, "last", 5)
    features = build_feature_pipeline(
        recipe_of(window={"length_s": 1.0} | window), MONTAGE, model=model
    )
    two_patches_s = 2 * 5 * 50 / SFREQ_HZ
    assert features.neural_delay_s == pytest.approx(ENCODING.neural_delay_s + two_patches_s)
    quality = Quality(np.ones(N_CHANNELS, bool))
    item = Spectrogram(np.zeros((N_CHANNELS, 33, 40), np.float32), 9.0, quality)
    assert features.encoder(item).t_neural == pytest.approx(9.0 - features.neural_delay_s)


def test_a_decoder_comes_back_from_its_bundle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 24)).astype(np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    ENCODING.reset()
    assert MODEL is not None
    late = StreamingBERT(StreamingBERTSizes(**STREAMING, delay_patches=3)).eval()
    late.load_state_dict(MODEL.channel_encoder.state_dict())
    taught = EncoderModel(late, MODEL.popt, "last", 5)
    manifest, tensors = bundle_parts(
        RECIPE, taught, ENCODING, readout, ("rest", "speech"), MONTAGE, "nothing"
    )
    tensors = {name: array for name, array in tensors.items() if "normaliser" not in name}
    write_bundle(tmp_path / "bundle", manifest, MONTAGE, tensors, {})
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.manifest.mode == "streaming"
    again = model_of_bundle(bundle)
    assert again is not None
    assert isinstance(again.channel_encoder, StreamingBERT)
    assert again.delay_frames() == 15
    told: list[tuple[str, dict[str, str]]] = []
    decoder, read = build_decoder(
        bundle, MONTAGE, on_event=lambda event, **fields: told.append((event, fields))
    )
    assert told == [("runtime", {"runtime": "torchscript", "precision": "fp32", "note": ""})]
    decodes = [read(item).values for item in embedded(decoder, cut(DATA, [700], SFREQ_HZ))]
    expected = np.stack([item.population for item in embedded(ENCODING, cut(DATA, [], SFREQ_HZ))])
    np.testing.assert_allclose(
        decodes, torch.softmax(torch.from_numpy(expected @ weight.T), 1), atol=1e-5
    )
    assert np.std(decodes, axis=0).min() > 1e-4, "a constant would prove nothing"


def test_windows_at_events_are_each_one_shot() -> None:
    assert MODEL is not None
    features = build_feature_pipeline(
        recipe_of(window={"length_s": 1.0, "mode": "event"}), MONTAGE, model=MODEL
    )
    assert isinstance(features.windows, EventWindows)
    told = [[(100.5, "go"), (101.7, "go")]]
    windows = LiveEventWindows(
        features.windows, lambda timeout_s: told.pop() if told else [], coverage_floor=0.3
    )
    n_windows = 0
    for chunk in cut(np.nan_to_num(DATA, nan=0.0), [], SFREQ_HZ):
        for window in windows(features.signal(chunk)):
            item = features.spectrogram(window)
            with torch.inference_mode():
                expected = MODEL.channel_encoder.embed(
                    torch.from_numpy(item.data), "last", 5
                ).numpy()
            np.testing.assert_allclose(features.encoder(item).channels, expected, atol=1e-5)
            n_windows += 1
    assert n_windows == 2


def test_trained_weights_are_taken_from_a_folder_named_streaming(tmp_path: Path) -> None:
    trained = random_encoder(StreamingBERTSizes(**STREAMING), 9)
    save_encoder(trained, tmp_path / "streaming")
    recipe = recipe_of(encoder={"n_pooled": 5, "weights": str(tmp_path), "popt": None})
    model = encoder_of_recipe(recipe)
    assert model is not None
    assert isinstance(model.channel_encoder, StreamingBERT)
    assert torch.equal(model.channel_encoder.in_proj.weight, trained.in_proj.weight)
    edge = recipe_of(mode="edge", encoder=dict(recipe.encoder.model_dump(exclude_unset=True)))
    with pytest.raises(SettingsError, match="mode edge got a StreamingBERT"):
        build_feature_pipeline(edge, MONTAGE, model=model)


WRONG = {
    "encoder.streaming is for mode streaming": {"mode": "edge"},
    "takes a causal encoder: set encoder.streaming": {"encoder": {"brainbert": "compact"}},
    "spectrogram.form running": {"spectrogram": {"form": "published"}},
    "set encoder.pool to last": {"encoder": ENCODER | {"pool": "centre"}},
    "keep one of brainbert, streaming": {"encoder": ENCODER | {"brainbert": "compact"}},
}


@pytest.mark.parametrize("message", WRONG)
def test_recipes_that_cannot_be_are_refused_in_one_line(message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        recipe_of(**WRONG[message])
    assert "\n" not in str(caught.value)


def test_hops_and_pools_that_are_no_whole_patches_are_refused_in_one_line() -> None:
    seven = recipe_of(window={"length_s": 1.0, "hop_s": 350 / SFREQ_HZ})
    with pytest.raises(
        SettingsError, match=r"7 frames, .* a whole patch only every 35 frames, and"
    ):
        build_feature_pipeline(seven, MONTAGE, model=MODEL)
    with pytest.raises(SettingsError, match="whole patches of 5 frames, got 7"):
        encoder_of_recipe(recipe_of(encoder=ENCODER | {"n_pooled": 7}))
    with pytest.raises(SettingsError, match=r"encoder.streaming: no sizes 'huge'; known are small"):
        encoder_of_recipe(recipe_of(encoder=ENCODER | {"streaming": "huge"}))


def five_seconds() -> FeaturePipeline:
    """Windows of 5 s, their statistics frozen: a channel that is bad would not feed them."""
    shape = (N_CHANNELS, 40)
    statistics = RunningStatistics(
        np.full(shape, 1.0), np.full(shape, 2.0), np.full(N_CHANNELS, 900)
    )
    recipe = recipe_of(
        window={"length_s": 5.0, "hop_s": HOP / SFREQ_HZ},
        spectrogram={"form": "running", "frozen": True},
    )
    return build_feature_pipeline(recipe, MONTAGE, model=MODEL, statistics=statistics)


LONG = brain_like(N_CHANNELS, 21_000, SFREQ_HZ, seed=5)
GAP_AT = 12_000


def restarted(features: FeaturePipeline, data: Floats, *, every: int = 1) -> list[Embedding]:
    """Embeddings after a gap, of every so many windows, with the frames that each has read."""
    features.reset()
    before, after = data[:, :GAP_AT], data[:, GAP_AT:]
    chunks = [
        Chunk(before, np.arange(GAP_AT) / SFREQ_HZ, 0),
        Chunk(after, np.arange(GAP_AT, data.shape[1]) / SFREQ_HZ + 1, GAP_AT + 2048, 2048),
    ]
    embeddings = []
    for window in features.cut(chunks[0]):
        if window.quality.valid:
            features.encode(window)
    for number, window in enumerate(features.cut(chunks[1])):
        if window.quality.valid and number % every == 0:
            embeddings.append(features.encode(window))
        elif not window.quality.valid:
            assert window.quality.reason.startswith("warming")
    return embeddings


def test_after_a_gap_each_decode_is_one_shot_over_the_frames_since() -> None:
    assert MODEL is not None
    features = five_seconds()
    features.reset()
    for window in features.cut(Chunk(LONG[:, :GAP_AT], np.arange(GAP_AT) / SFREQ_HZ, 0)):
        if window.quality.valid:
            features.encode(window)
    after = LONG[:, GAP_AT : GAP_AT + 9000]
    stamps = np.arange(after.shape[1]) / SFREQ_HZ + 7
    chunk = Chunk(after, stamps, GAP_AT + 50, 50)
    n_decodes = 0
    for window in features.cut(chunk):
        if not window.quality.valid:
            continue
        item = features.spectrogram(window)
        there = np.isfinite(item.data).all(axis=(0, 2))
        frames = item.data[:, there][:, -(there.sum() // 5 * 5) :]
        with torch.inference_mode():
            expected = MODEL.channel_encoder.embed(torch.from_numpy(frames), "last", 5).numpy()
        np.testing.assert_allclose(features.encoder(item).channels, expected, atol=1e-5)
        if n_decodes == 0:
            assert 0.4 < window.t_stop - stamps[0] < 0.6, "far less than the window of 5 s"
        n_decodes += 1
    assert n_decodes > 10


@pytest.mark.parametrize("every", [2, 3, 7])
def test_after_a_gap_windows_may_be_skipped(every: int) -> None:
    features, data = five_seconds(), LONG[:, : GAP_AT + 9000]
    each, some = restarted(features, data), restarted(features, data, every=every)
    by_time = {one.t_stop: one for one in each}
    assert len(some) > 2
    for one in some:
        np.testing.assert_allclose(one.population, by_time[one.t_stop].population, atol=1e-5)
