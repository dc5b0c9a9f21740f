"""The streaming encoder as a stage: each frame once, and always what one shot would have given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    PopTSizes,
    StreamingBERTSizes,
    StreamingModel,
    compile_torchscript,
    on_threads,
    random_encoder,
    streaming_stage,
)
from rtbrain.encoder.runtimes.streaming_runtime import StreamingRuntime, compile_streaming
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.stage import Stage
from rtbrain.types import Embedding, Floats, Mask, Quality, Spectrogram

torch.set_num_threads(1)

N_CHANNELS, N_FREQS, PATCH = 5, 8, 3
N_FRAMES, WHOLE = 22, 21  # a window, and its whole patches
HOP_FRAMES, FRAME_HOP_SAMPLES = 6, 10
HOP_SAMPLES = HOP_FRAMES * FRAME_HOP_SAMPLES
SIZES = StreamingBERTSizes(16, 24, 4, 2, PATCH, context_patches=8, input_dim=N_FREQS)
POSITIONS = np.arange(3 * N_CHANNELS).reshape(-1, 3)
FRAMES = np.random.default_rng(7).standard_normal((N_CHANNELS, 1200, N_FREQS), np.float32)


def model(*, popt: bool = True, n_pooled: int = 6) -> EncoderModel:
    population = random_encoder(PopTSizes(16, 24, 32, 2, 2), 1) if popt else None
    return EncoderModel(random_encoder(SIZES, 0), population, "last", n_pooled)


MODEL = model()


def stage_of(
    given: EncoderModel = MODEL, hop_frames: int = HOP_FRAMES
) -> Stage[Spectrogram, Embedding]:
    return streaming_stage(
        given,
        (N_CHANNELS, N_FRAMES, N_FREQS),
        POSITIONS,
        hop_frames=hop_frames,
        hop_samples=hop_frames * FRAME_HOP_SAMPLES,
        neural_delay_s=0.2,
    )


STAGE = stage_of()


def window(
    frame: int, good: Mask | None = None, *, lost_samples: int = 0, shift_samples: int = 0
) -> Spectrogram:
    """Of the frames from this one on; a bad channel holds zeros, as the spectrogram leaves it."""
    mask = np.ones(N_CHANNELS, bool) if good is None else good
    data = FRAMES[:, frame : frame + N_FRAMES] * mask[:, None, None]
    first_sample = frame * FRAME_HOP_SAMPLES + shift_samples
    return Spectrogram(data, 100.0 + frame, Quality(mask, lost_samples), first_sample)


def one_shot(
    starts: list[int | None], stop: int, given: EncoderModel = MODEL
) -> tuple[Floats, Floats]:
    """Each channel in one shot over its frames from its start, then the population."""
    good = torch.tensor([start is not None for start in starts])
    channels = torch.zeros(N_CHANNELS, 16)
    with torch.inference_mode():
        for row, start in enumerate(starts):
            if start is not None:
                frames = torch.from_numpy(FRAMES[row, None, start:stop])
                channels[row] = given.channel_encoder.embed(frames, "last", given.n_pooled)[0]
        if given.popt is None:
            return channels.numpy(), channels.flatten().numpy()
        population = given.popt.population(
            channels[None], torch.from_numpy(POSITIONS)[None], good[None]
        )
    return channels.numpy(), population[0].numpy()


OFFLINE = streaming_stage(
    MODEL,
    (N_CHANNELS, N_FRAMES, N_FREQS),
    POSITIONS,
    hop_frames=HOP_FRAMES,
    hop_samples=HOP_SAMPLES,
    neural_delay_s=0.2,
    live=False,
)
EVENTS = st.lists(
    st.tuples(
        # Hops to the next window: mostly one, some skipped, more than a window holds.
        st.sampled_from([1, 1, 1, 1, 2, 3, 4, 9]),
        st.sampled_from(["", "", "", "", "lost", "off grid"]),
        # Channels that are bad.
        st.sets(st.integers(0, N_CHANNELS - 1), max_size=N_CHANNELS - 1),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=30)
@given(events=EVENTS, n_at_once=st.integers(1, 7))
def test_many_windows_at_once_give_what_they_give_one_by_one(
    events: list[tuple[int, str, set[int]]], n_at_once: int
) -> None:
    frame = lost = 0
    windows = []
    for n_hops, event, bad in events:
        frame += n_hops * HOP_FRAMES
        lost += event == "lost"
        good = ~np.isin(np.arange(N_CHANNELS), list(bad) if event else [])
        shift = 5 if event == "off grid" else 0
        windows.append(window(frame, good, lost_samples=lost, shift_samples=shift))
    STAGE.reset()
    OFFLINE.reset()
    many = []
    for first in range(0, len(windows), n_at_once):
        many += OFFLINE.many(windows[first : first + n_at_once])
    for one, got in zip(map(STAGE, windows), many, strict=True):
        np.testing.assert_allclose(got.channels, one.channels, atol=1e-5)
        np.testing.assert_allclose(got.population, one.population, atol=1e-5)
        assert (got.t_stop, got.t_neural, got.quality) == (one.t_stop, one.t_neural, one.quality)
        some = one.quality.good[None] & (np.arange(N_CHANNELS) != 1)
        alone = OFFLINE.population(one.channels[None] * some[0, :, None], some)[0]
        expected = MODEL.popt.population(  # type: ignore[union-attr]
            *(torch.from_numpy(x) for x in (one.channels[None], POSITIONS[None], some))
        )
        np.testing.assert_allclose(alone, expected[0].detach().numpy(), atol=1e-5)


@settings(max_examples=30)
@given(events=EVENTS)
def test_each_channel_gives_one_shot_over_its_frames_since_it_began_or_came_back(
    events: list[tuple[int, str, set[int]]],
) -> None:
    STAGE.reset()
    frame, lost, shift = 0, 0, 0
    starts: list[int | None] = [None] * N_CHANNELS
    for hops, event, bad in [(0, "", set()), *events]:
        frame += hops * HOP_FRAMES
        lost += event == "lost"
        shift += event == "off grid"
        good = np.array([row not in bad for row in range(N_CHANNELS)])
        follows = not event and hops * HOP_FRAMES <= N_FRAMES
        stop = frame + N_FRAMES
        starts = [
            (start if follows and start is not None else stop - WHOLE) if is_good else None
            for start, is_good in zip(starts, good, strict=True)
        ]
        got = STAGE(window(frame, good, lost_samples=lost, shift_samples=shift))
        channels, population = one_shot(starts, stop)
        np.testing.assert_allclose(got.channels, channels, atol=1e-5)
        np.testing.assert_allclose(got.population, population, atol=1e-5)
        assert not got.channels[~good].any()


@pytest.mark.parametrize("hop_frames", [1, 2])
def test_a_hop_that_is_no_whole_patch_gives_at_each_window_what_patches_that_end_there_give(
    hop_frames: int,
) -> None:
    stage = stage_of(hop_frames=hop_frames)
    for number in [*range(9), 11, 12, 16]:  # others are skipped
        got = stage(window(number * hop_frames))
        begun = number % PATCH * hop_frames  # the first window of its phase
        stop = number * hop_frames + N_FRAMES
        channels, population = one_shot([begun + N_FRAMES - WHOLE] * N_CHANNELS, stop)
        np.testing.assert_allclose(got.channels, channels, atol=1e-5)
        np.testing.assert_allclose(got.population, population, atol=1e-5)
    stage.reset()
    again = stage(window(0))
    np.testing.assert_allclose(again.channels, stage_of()(window(0)).channels, atol=1e-5)


def test_without_a_population_transformer_the_channels_come_in_a_row() -> None:
    plain = model(popt=False)
    stage = stage_of(plain)
    for number in range(4):
        got = stage(window(number * HOP_FRAMES))
    channels, population = one_shot([1] * N_CHANNELS, N_FRAMES + 3 * HOP_FRAMES, plain)
    np.testing.assert_allclose(got.channels, channels, atol=1e-5)
    np.testing.assert_allclose(got.population, population, atol=1e-5)


@pytest.mark.parametrize(("n_pooled", "hop_frames"), [(3, 6), (12, 3), (21, 6), (6, 12)])
def test_pools_and_hops_of_several_patches_are_those_of_one_shot(
    n_pooled: int, hop_frames: int
) -> None:
    given = model(n_pooled=n_pooled)
    stage = stage_of(given, hop_frames)
    for number in range(20):
        got = stage(window(number * hop_frames))
    channels, _ = one_shot([1] * N_CHANNELS, N_FRAMES + 19 * hop_frames, given)
    np.testing.assert_allclose(got.channels, channels, atol=1e-5)


def test_windows_that_were_skipped_change_nothing() -> None:
    every, some = stage_of(), stage_of()
    for number in range(13):
        whole = every(window(number * HOP_FRAMES))
        if number in {0, 1, 4, 6, 7, 10, 12}:
            part = some(window(number * HOP_FRAMES))
    assert np.array_equal(whole.population, part.population)


def test_the_same_window_with_fewer_channels_forgets_and_adds_nothing() -> None:
    plain, asked_twice = stage_of(), stage_of()
    fewer = np.array([True, False, True, False, False])
    for number in range(5):
        item = window(number * HOP_FRAMES)
        expected = plain(item)
        got = asked_twice(item)
        some = asked_twice(replace(item, quality=Quality(fewer)))
        assert np.array_equal(got.population, expected.population)
        assert np.array_equal(some.channels[fewer], got.channels[fewer])
        assert not some.channels[~fewer].any()
        assert not np.allclose(some.population, got.population)


def test_reset_equals_new_and_the_input_is_not_changed() -> None:
    fresh = stage_of()
    STAGE(window(300))
    STAGE.reset()
    for number in range(3):
        item = window(number * HOP_FRAMES, np.array([True, True, False, True, True]))
        before = item.data.copy()
        item.data.setflags(write=False)
        a, b = STAGE(item), fresh(item)
        assert np.array_equal(a.population, b.population)
        assert np.array_equal(a.channels, b.channels)
        assert np.array_equal(item.data, before)


def test_an_embedding_outlives_the_next_window() -> None:
    first = STAGE(window(0))
    kept = first.population.copy(), first.channels.copy()
    STAGE(window(HOP_FRAMES))
    assert np.array_equal(first.population, kept[0])
    assert np.array_equal(first.channels, kept[1])


def test_time_and_worth_are_carried_on() -> None:
    item = window(12)
    embedding = STAGE(item)
    assert embedding.t_stop == 112.0
    assert embedding.t_neural == pytest.approx(111.8)
    assert embedding.quality is item.quality


def test_what_a_bad_channel_holds_reaches_nothing() -> None:
    good = np.array([True, False, True, True, False])
    a, b = stage_of(), stage_of()
    for number in range(3):
        item = window(number * HOP_FRAMES, good)
        spoilt = item.data.copy()
        spoilt[~good] = np.nan
        expected, got = a(item), b(replace(item, data=spoilt))
        assert np.array_equal(expected.population, got.population)
    again = window(3 * HOP_FRAMES)
    assert np.array_equal(a(again).population, b(again).population)


def test_nan_in_a_good_channel_shows_and_is_not_remembered() -> None:
    STAGE.reset()
    STAGE(window(0))
    item = window(HOP_FRAMES)
    spoilt = item.data.copy()
    spoilt[2, -1] = np.nan
    embedding = STAGE(replace(item, data=spoilt))
    assert np.isnan(embedding.channels[2]).all()
    assert np.isnan(embedding.population).any()
    for number in (2, 3):
        after = STAGE(window(number * HOP_FRAMES))
    begins = [1, 1, 2 * HOP_FRAMES + 1, 1, 1]
    expected, _ = one_shot(list(begins), N_FRAMES + 3 * HOP_FRAMES)
    np.testing.assert_allclose(after.channels, expected, atol=1e-5)


def test_shapes_and_encoders_that_do_not_fit_are_refused_in_one_line() -> None:
    item = window(0)
    with pytest.raises(CompiledModelError, match=r"\(5, 21, 8\).*\(5, 22, 8\)"):
        STAGE(replace(item, data=item.data[:, 1:]))
    with pytest.raises(SettingsError, match="nearest that fits is 6 frames"):
        StreamingModel(MODEL, 7)
    bidirectional = EncoderModel(random_encoder(BrainBERTSizes(16, 24, 2, 1), 0), None)
    with pytest.raises(SettingsError, match="expected a StreamingBERT, got a BrainBERT"):
        StreamingModel(bidirectional, 6)
    with pytest.raises(SettingsError, match="nearest that fits is 6"):
        model(n_pooled=7)
    with pytest.raises(SettingsError, match="set pool to last"):
        EncoderModel(MODEL.channel_encoder, None, "centre", 6)
    with pytest.raises(CompiledModelError, match="pools 24 frames"):
        stage_of(model(n_pooled=24))
    with pytest.raises(CompiledModelError, match="window has 22 frames, the hop 24"):
        stage_of(hop_frames=24)
    with pytest.raises(CompiledModelError, match="reads 8 frequencies, the spectrogram has 9"):
        streaming_stage(
            MODEL, (5, 22, 9), POSITIONS, hop_frames=6, hop_samples=60, neural_delay_s=0.0
        )
    for positions, message in ((None, "positions, got none"), (POSITIONS[:4], r"\(4, 3\)")):
        with pytest.raises(CompiledModelError, match=message):
            streaming_stage(
                MODEL, (5, 22, 8), positions, hop_frames=6, hop_samples=60, neural_delay_s=0.0
            )


def test_a_compiled_encoder_of_whole_windows_is_not_run_hop_by_hop(tmp_path: Path) -> None:
    path = compile_torchscript(MODEL, (N_CHANNELS, N_FRAMES, N_FREQS), cache_folder=tmp_path)
    with pytest.raises(CompiledModelError, match="compile the streaming form"):
        StreamingRuntime(path, POSITIONS)


def test_it_is_compiled_once_for_its_shape_and_hop(tmp_path: Path) -> None:
    def compiled(hop_frames: int, n_channels: int = N_CHANNELS) -> Path:
        return compile_streaming(
            MODEL, (n_channels, N_FRAMES, N_FREQS), hop_frames=hop_frames, cache_folder=tmp_path
        )

    first = compiled(6)
    made_ns = first.stat().st_mtime_ns
    assert compiled(6) == first
    assert first.stat().st_mtime_ns == made_ns
    assert len({first, compiled(3), compiled(6, 4)}) == 3
    first.write_bytes(b"damaged")
    assert compiled(6) == first
    assert StreamingRuntime(first, POSITIONS).contract.hop_frames == 6


def test_training_after_a_stage_was_made_has_the_threads_of_before() -> None:
    with on_threads(3):
        stage_of()
        assert torch.get_num_threads() == 3
