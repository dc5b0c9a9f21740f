"""A recording as a live session, and the rows that are kept of it."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import drift_input
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.learn.fit.features import (
    FeatureRows,
    RandomChannelSubset,
    gather,
    join_features,
    windows_apart,
)
from rtbrain.learn.fit.inputs import chunks_of
from rtbrain.learn.snapshots import embedded_windows
from rtbrain.live.play import VirtualSession
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.spectrogram import RunningStft
from rtbrain.terminal import no_progress
from rtbrain.types import Chunk, Embedding, Floats, Mask, Quality, Spectrogram, Window
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(6, SFREQ_HZ)
DATA = brain_like(6, int(9 * SFREQ_HZ), SFREQ_HZ)


def session(events: tuple[Event, ...] = (), data: np.ndarray = DATA) -> VirtualSession:
    recording = Recording(MONTAGE, data.shape[1], lambda a, b: data[:, a:b].copy(), events=events)
    return VirtualSession(ReplaySource(recording, chunk_samples=400), events)


def chunks(data: np.ndarray = DATA) -> Iterator[Chunk]:
    return chunks_of(session(data=data), data.shape[1], no_progress, "gathering")


def recipe() -> Recipe:
    ready = load_settings("linear", Recipe)
    return ready.model_copy(
        update={"signal": tuple(step for step in ready.signal if step.quality is None)}
    )


def features(*, every: int = 1, data: np.ndarray = DATA) -> FeatureRows:
    encoding = build_feature_pipeline(recipe(), MONTAGE)
    return gather(
        chunks(data),
        encoding,
        {"main": encoding.encoder},
        raw={"power": lambda window: window.data.std(axis=1)},
        every=every,
        keep_channels="main",
    )


def test_the_rows_are_those_of_the_stages_one_after_the_other() -> None:
    encoding = build_feature_pipeline(recipe(), MONTAGE)
    windows = (window for chunk in chunks() for window in encoding.cut(chunk))
    embeddings = [
        encoding.encoder(encoding.spectrogram(window)) for window in windows if window.quality.valid
    ]
    got = features()
    np.testing.assert_array_equal(got.rows["main"], [item.population for item in embeddings])
    np.testing.assert_array_equal(got.channels, [item.channels for item in embeddings])
    np.testing.assert_array_equal(got.t_stop, [item.t_stop for item in embeddings])
    np.testing.assert_array_equal(got.t_neural, [item.t_neural for item in embeddings])
    n_laplacian = got.good.shape[1]
    assert got.rows["power"].shape == (got.t_stop.size, n_laplacian)
    assert n_laplacian < MONTAGE.n_channels


def test_progress_counts_the_samples_of_all_chunks() -> None:
    seen: list[tuple[float, float, str]] = []
    list(chunks_of(session(), DATA.shape[1], lambda *told: seen.append(told), "gathering"))
    assert seen[0] == (400, DATA.shape[1], "gathering")
    assert seen[-1] == (DATA.shape[1], DATA.shape[1], "gathering")


def test_spectrograms_are_kept_where_they_are_asked_for() -> None:
    encoding = build_feature_pipeline(recipe(), MONTAGE)
    got = gather(chunks(), encoding, {"": encoding.encoder}, keep_spectrograms=True)
    last = Spectrogram(got.spectrograms[-1], 0.0, Quality(got.good[-1]))
    np.testing.assert_array_equal(got.rows[""][-1], encoding.encoder(last).population)
    assert features().spectrograms.size == 0


def test_every_third_window_is_what_it_is_among_all() -> None:
    got, whole = features(every=3), features()
    np.testing.assert_array_equal(got.rows["main"], whole.rows["main"][::3])
    np.testing.assert_array_equal(got.t_stop, whole.t_stop[::3])


@pytest.mark.parametrize("n_frames", [8, 3])
def test_windows_that_are_left_out_feed_the_statistics_all_the_same(n_frames: int) -> None:
    broken = DATA.copy()
    broken[2, 9000:9700] = np.nan
    values = recipe().model_dump(mode="json", exclude_unset=True)
    values["window"] = {"length_s": 0.1953125 + 0.03125 * (n_frames - 1), "hop_s": 0.03125}
    values["spectrogram"] = {"form": "running", "frame_hop_s": 0.03125, "time_constant_s": 60.0}
    values["encoder"] = {"n_pooled": n_frames}
    often = parse_settings(values, Recipe, where="recipe")

    def pieces() -> Iterator[Chunk]:
        for first in range(0, broken.shape[1], 300):
            if first != 4800:
                data = broken[:, first : first + 300].copy()
                stamps = np.arange(first, first + data.shape[1]) / SFREQ_HZ
                yield Chunk(data, stamps, first, 300 if first == 5100 else 0)

    one_by_one, skipping = (build_feature_pipeline(often, MONTAGE) for _ in range(2))
    made = []
    for window in (window for chunk in pieces() for window in one_by_one.cut(chunk)):
        if window.quality.valid:
            made.append(one_by_one.encoder(one_by_one.spectrogram(window)).population)
    got = gather(pieces(), skipping, {"main": skipping.encoder}, every=8)
    np.testing.assert_array_equal(got.rows["main"], made[::8])
    assert isinstance(skipping.spectrogram, RunningStft)
    assert isinstance(one_by_one.spectrogram, RunningStft)
    for name in ("mean", "variance", "count"):
        np.testing.assert_array_equal(
            getattr(skipping.spectrogram.statistics, name),
            getattr(one_by_one.spectrogram.statistics, name),
        )


def test_what_a_live_decoder_calls_invalid_is_counted_and_left_out() -> None:
    broken = DATA.copy()
    broken[:, -200:] = np.nan
    quality = load_settings("linear", Recipe)
    encoding = build_feature_pipeline(quality, MONTAGE)
    got = gather(chunks(broken), encoding, {"main": encoding.encoder})
    assert np.isfinite(got.rows["main"]).all()
    assert got.n_invalid > 0


def test_a_recording_shorter_than_a_window_gives_no_row() -> None:
    got = features(data=DATA[:, : int(0.4 * SFREQ_HZ)])
    assert got.t_stop.size == 0
    assert len(got.good) == 0


def test_a_linear_decoder_that_pools_the_centre_reads_the_moment_that_it_is_stamped_with() -> None:
    ready = recipe()
    centred = ready.model_copy(
        update={
            "encoder": ready.encoder.model_copy(update={"pool": "centre"}),
            "window": ready.window.model_copy(update={"length_s": 5.0}),
        }
    )
    encoding = build_feature_pipeline(centred, MONTAGE)
    assert encoding.neural_delay_s == pytest.approx(2.5, abs=0.1)
    live = session()
    chunks = iter(lambda: live.pull(0.0), None)
    window = next(window for chunk in chunks for window in encoding.cut(chunk))
    spectrogram = encoding.spectrogram(window)
    middle = spectrogram.data.shape[1] // 2
    expected = spectrogram.data[:, middle - 5 : middle + 5].mean(axis=1)
    np.testing.assert_allclose(encoding.encoder(spectrogram).channels, expected, atol=1e-6)


def test_recordings_are_joined_one_after_the_other() -> None:
    one, two = features(), features(every=2)
    both = join_features([one, two])
    assert both.rows["main"].shape[0] == one.t_stop.size + two.t_stop.size
    np.testing.assert_array_equal(both.t_stop, np.concatenate([one.t_stop, two.t_stop]))
    assert join_features([one]) is one


def test_markers_come_when_their_time_has_come_and_once() -> None:
    events = (Event(2.0, 0, "b"), Event(0.5, 0, "a"), Event(8.9, 0, "c"))
    virtual = session(events)
    heard = []
    while virtual.pull(0.0) is not None:
        for t, text in virtual.markers(0.0):
            assert t <= virtual.clock() < t + 400 / SFREQ_HZ
            heard.append(text)
    assert heard == ["a", "b", "c"]
    assert virtual.n_read == DATA.shape[1]


def test_the_channels_to_decode_are_taken_out_of_the_signal_and_kept() -> None:
    recording = Recording(MONTAGE, DATA.shape[1], lambda a, b: DATA[:, a:b].copy())
    source = ReplaySource(recording, chunk_samples=1000)
    virtual = VirtualSession(source, targets=[MONTAGE.names[4], MONTAGE.names[2]])
    assert virtual.targets()[0].shape == (2, 0)
    others = [row for row in range(6) if row not in (2, 4)]
    assert virtual.montage.names == tuple(MONTAGE.names[row] for row in others)
    seen = []
    while (chunk := virtual.pull(0.0)) is not None:
        seen.append(chunk.data)
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), DATA[others])
    values, stamps = virtual.targets()
    np.testing.assert_array_equal(values, DATA[[4, 2]])
    np.testing.assert_allclose(stamps, np.arange(values.shape[1]) / SFREQ_HZ)


def test_windows_that_were_kept_do_not_change_later() -> None:
    seen: list[np.ndarray] = []

    def keep(window: Window) -> np.ndarray:
        seen.append(window.data.mean(axis=1))
        return seen[-1]

    encoding = build_feature_pipeline(recipe(), MONTAGE)
    got = gather(chunks(), encoding, {}, raw={"mean": keep})
    np.testing.assert_array_equal(got.rows["mean"], np.stack(seen))
    assert dataclasses.is_dataclass(got)
    assert got.channels.size == 0
    assert got.t_neural[0] == pytest.approx(got.t_stop[0])


def test_a_random_subset_leaves_out_a_share_of_the_good_channels_however_many_at_a_time() -> None:
    rng = np.random.default_rng(4)
    good = np.ones(20, np.bool_)
    good[0] = False
    channels = rng.normal(size=(200, 20, 5)).astype(np.float32)
    items = [
        Embedding(one, one.ravel(), float(t), float(t), Quality(good))
        for t, one in enumerate(channels)
    ]

    def population(channels: np.ndarray, kept: np.ndarray) -> np.ndarray:
        assert not channels[~kept].any()
        return np.asarray(channels.sum(axis=1))

    fewer = RandomChannelSubset(population, most=0.7, seed=1).of(items)
    left = np.array([embedding.quality.good.sum() for embedding in fewer])
    assert left.min() >= 19 - int(0.7 * 19)
    assert left.max() == 19
    assert abs(left.mean() - 19 * 0.65) < 1
    assert not any(embedding.quality.good[0] for embedding in fewer)
    for item, one in zip(items, fewer, strict=True):
        expected = item.channels[one.quality.good].sum(axis=0)
        np.testing.assert_allclose(one.population, expected, rtol=1e-4, atol=1e-5)
    again = RandomChannelSubset(population, most=0.7, seed=1)
    halves = again.of(items[:90]) + again.of(items[90:])
    for first, other in zip(fewer, halves, strict=True):
        np.testing.assert_array_equal(first.quality.good, other.quality.good)


@pytest.mark.parametrize(
    ("hop_s", "every"), [(0.0244140625, 10), (1 / 32, 8), (0.0625, 4), (0.1, 1), (0.25, 1)]
)
def test_windows_of_a_fit_are_about_a_quarter_of_a_second_apart(hop_s: float, every: int) -> None:
    assert windows_apart(hop_s) == every


def test_windows_for_drift_that_are_encoded_together_are_those_encoded_one_by_one() -> None:
    data = DATA.copy()
    data[:, 12_000:12_010] = np.nan  # after which windows are not valid
    front = build_feature_pipeline(recipe(), MONTAGE)
    inputs = drift_input(front)
    expected = [
        inputs(window, front.encode(window))
        for chunk in chunks(data)
        for window in front.cut(chunk)
        if inputs.due(window)
    ]
    front = build_feature_pipeline(recipe(), MONTAGE)
    inputs = drift_input(front)
    encoder, sizes = front.encoder, []

    class Many:
        def __call__(self, item: Spectrogram) -> Embedding:
            return encoder(item)

        def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
            sizes.append(len(items))
            return [encoder(item) for item in items]

        def population(self, channels: Floats, good: Mask) -> Floats:
            return channels

        def reset(self) -> None: ...

    windows = embedded_windows(chunks(data), dataclasses.replace(front, encoder=Many()), inputs)
    found = [inputs(window, embedding) for window, embedding in windows]
    assert max(sizes) > 1
    assert sum(sizes) < len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for value, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(value, same)
