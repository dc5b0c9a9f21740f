import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbrain.errors import MontageError, SettingsError
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import ReplaySource, lost_before, play
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 500.0
N_SAMPLES = 700
DATA = brain_like(3, N_SAMPLES, SFREQ_HZ)
EVENTS = (
    Event(-0.2, 0.0, "before"),
    Event(0.0, 0.0, "first"),
    Event(0.5, 0.1, "middle"),
    Event(0.5009, 0.0, "between two samples"),
    Event((N_SAMPLES - 1) / SFREQ_HZ, 0.0, "last"),
    Event(N_SAMPLES / SFREQ_HZ, 0.0, "after"),
)


def recording_of(data=DATA, stamps=None, events=EVENTS):
    return Recording(
        montage_of(data.shape[0], SFREQ_HZ),
        data.shape[1],
        lambda start, stop: data[:, start:stop].copy(),
        stamps,
        events,
    )


def all_chunks(source):
    return list(iter(lambda: source.pull(0.0), None))


def whole(chunks):
    return np.concatenate([chunk.data for chunk in chunks], axis=1)


def stamps_of(chunks):
    return np.concatenate([chunk.timestamps for chunk in chunks])


def with_losses(losses, jitter_s=0.0, seed=0):
    """Stamps of N_SAMPLES samples, so many lost before each sample that is named."""
    numbers = np.arange(N_SAMPLES)
    for at, lost in losses.items():
        numbers[at:] += lost
    late = np.random.default_rng(seed).uniform(0, jitter_s, N_SAMPLES)
    return np.maximum.accumulate(numbers / SFREQ_HZ + late - late[0])


@given(
    chunk_samples=st.integers(1, 800),
    seed=st.none() | st.integers(0, 5),
    start=st.integers(0, 300),
    stop=st.integers(301, N_SAMPLES),
)
def test_a_stretch_is_played_sample_for_sample_whatever_the_chunks(
    chunk_samples, seed, start, stop
):
    source = ReplaySource(
        recording_of(),
        chunk_samples=chunk_samples,
        start_s=start / SFREQ_HZ,
        stop_s=stop / SFREQ_HZ,
        chunk_seed=seed,
    )
    chunks = all_chunks(source)
    np.testing.assert_array_equal(whole(chunks), DATA[:, start:stop])
    np.testing.assert_array_equal(stamps_of(chunks), np.arange(stop - start) / SFREQ_HZ)
    numbers = [(chunk.first_sample, chunk.n_samples) for chunk in chunks]
    assert [first for first, _ in numbers] == [0, *itertools.accumulate(n for _, n in numbers[:-1])]
    assert all(1 <= n <= chunk_samples for _, n in numbers)
    assert source.n_samples == stop - start
    assert source.pull(0.0) is None


def test_random_chunks_are_of_many_lengths_and_the_same_for_one_seed():
    lengths = [
        [
            chunk.n_samples
            for chunk in all_chunks(ReplaySource(recording_of(), chunk_samples=9, **seed))
        ]
        for seed in ({"chunk_seed": 1}, {"chunk_seed": 1}, {"chunk_seed": 2})
    ]
    assert lengths[0] == lengths[1] != lengths[2]
    assert set(lengths[0]) == set(range(1, 10))


def test_channels_come_in_the_order_asked_for_and_are_scaled():
    source = ReplaySource(recording_of(), chunk_samples=64, names=["A3", "A1"], scale=1e-3)
    assert source.montage.names == ("A3", "A1")
    expected = (DATA[[2, 0]].astype(np.float64) * 1e-3).astype(np.float32)
    np.testing.assert_array_equal(whole(all_chunks(source)), expected)


def test_missing_values_are_played_as_they_are():
    data = DATA.copy()
    data[1, 40:50] = np.nan
    np.testing.assert_array_equal(
        whole(all_chunks(ReplaySource(recording_of(data), chunk_samples=30))), data
    )


def test_a_loop_runs_on_one_period_after_the_end_of_a_pass():
    source = ReplaySource(
        recording_of(), chunk_samples=37, start_s=0.2, stop_s=0.8, loop=True, chunk_seed=3
    )
    chunks = []
    while sum(chunk.n_samples for chunk in chunks) < 1000:
        chunks.append(source.pull(0.0))
    expected = np.tile(DATA[:, 100:400], 4)
    played = whole(chunks)
    np.testing.assert_array_equal(played, expected[:, : played.shape[1]])
    np.testing.assert_array_equal(stamps_of(chunks), np.arange(played.shape[1]) / SFREQ_HZ)
    assert all(chunk.gap == 0 for chunk in chunks)


@given(losses=st.dictionaries(st.integers(1, N_SAMPLES - 1), st.integers(1, 900), max_size=6))
def test_gaps_in_the_stamps_are_announced_and_counted(losses):
    stamps = with_losses(losses)
    chunks = all_chunks(ReplaySource(recording_of(stamps=stamps), chunk_samples=50))
    np.testing.assert_array_equal(whole(chunks), DATA)
    np.testing.assert_array_equal(stamps_of(chunks), stamps)
    numbers = np.concatenate([np.arange(c.n_samples) + c.first_sample for c in chunks])
    np.testing.assert_array_equal(numbers, np.round(stamps * SFREQ_HZ))
    assert [chunk.gap for chunk in chunks if chunk.gap] == [losses[at] for at in sorted(losses)]


@pytest.mark.parametrize("burst", [2, 20, 100])
def test_samples_that_are_stamped_in_bursts_are_not_taken_for_losses(burst):
    # A sender that stamps a packet when it arrives: the same stamp for all of its samples.
    stamps = np.repeat(np.arange(0, N_SAMPLES, burst), burst)[:N_SAMPLES] / SFREQ_HZ
    assert not lost_before(stamps, SFREQ_HZ).any()
    # The gap is still seen, right to within the length of a packet.
    stamps[600:] += 1.0
    lost = lost_before(stamps, SFREQ_HZ)
    assert lost.nonzero()[0].tolist() == [600]
    assert lost[600] == pytest.approx(500, abs=burst)


def test_jitter_of_many_periods_is_not_taken_for_losses():
    assert not lost_before(with_losses({}, jitter_s=0.05), SFREQ_HZ).any()
    lost = lost_before(with_losses({300: 2000}, jitter_s=0.05), SFREQ_HZ)
    assert lost.nonzero()[0].tolist() == [300]


def test_a_looped_recording_with_gaps_counts_and_stamps_on():
    stamps = with_losses({200: 80})
    source = ReplaySource(recording_of(stamps=stamps), chunk_samples=150, loop=True)
    chunks = [source.pull(0.0) for _ in range(12)]
    numbers = np.concatenate([np.arange(c.n_samples) + c.first_sample for c in chunks])
    np.testing.assert_allclose(stamps_of(chunks), numbers / SFREQ_HZ, rtol=0, atol=1e-9)
    assert [chunk.gap for chunk in chunks if chunk.gap] == [80, 80]
    assert numbers[N_SAMPLES] == N_SAMPLES + 80


def test_events_are_numbered_by_the_sample_nearest_to_them():
    source = ReplaySource(recording_of(), chunk_samples=50)
    assert [(number, event.text) for number, event in source.events()] == [
        (0, "first"),
        (250, "middle"),
        (250, "between two samples"),
        (N_SAMPLES - 1, "last"),
    ]
    later = ReplaySource(recording_of(), chunk_samples=50, start_s=0.4, stop_s=1.0)
    assert [number for number, _ in later.events()] == [50, 50]


def test_events_come_again_in_every_pass_counted_on():
    source = ReplaySource(recording_of(), chunk_samples=50, start_s=0.4, stop_s=1.0, loop=True)
    numbers = [number for number, _ in itertools.islice(source.events(), 6)]
    assert numbers == [50, 50, 350, 350, 650, 650]
    none = ReplaySource(recording_of(events=()), chunk_samples=50, loop=True)
    assert list(none.events()) == []


def test_events_of_a_recording_with_gaps_stay_with_their_samples():
    stamps = with_losses({200: 80})
    events = (Event(0.2, 0, "before"), Event(0.45, 0, "within"), Event(float(stamps[400]), 0, "x"))
    recording = recording_of(stamps=stamps, events=events)
    source = ReplaySource(recording, chunk_samples=50)
    assert [number for number, _ in source.events()] == [100, 280, 480]
    # One within the gap comes when it is over, and says for how long it was.
    assert [round(source.ahead_s(event), 6) for event in events] == [0, 0.11, 0]
    looped = ReplaySource(recording, chunk_samples=50, loop=True)
    again = [number for number, _ in itertools.islice(looped.events(), 6)]
    assert again[3:] == [number + N_SAMPLES + 80 for number in again[:3]]


def test_what_is_not_played_is_named_and_gaps_are():
    stamps = with_losses({200: 80, 500: 900})
    events = (Event(-3.0, 0, "early"), Event(0.2, 0, "go"), Event(99.0, 0, "late"))
    recording = recording_of(stamps=stamps, events=events)
    source = ReplaySource(recording, chunk_samples=50, names=["A3", "A1"])
    assert source.not_played() == [
        "1 channels are not played: A2",
        "2 of 3 events lie outside the samples that are played: early at -3 s, late at 99 s",
        "2 gaps, 1.96 s in all, in which nothing is sent: the longest, 1.8 s, comes after 1.158 s",
    ]
    # Wherever one begins, and however short gaps become, times are those of the recording.
    later = ReplaySource(recording, chunk_samples=50, start_s=0.4, max_gap_s=0.01)
    assert later.not_played()[-1].endswith("0.01 s, comes after 1.158 s")
    assert ReplaySource(recording_of(events=()), chunk_samples=50).not_played() == []


@pytest.mark.parametrize("swapped", [False, True])
def test_events_of_a_long_recording_find_the_nearest_stamp_without_a_search_of_all(swapped):
    stamps = with_losses({200: 80}, jitter_s=0.01)
    if swapped:
        stamps[100:300:2], stamps[101:300:2] = stamps[101:300:2], stamps[100:300:2].copy()
    onsets_s = np.random.default_rng(0).uniform(stamps.min(), stamps.max(), 200)
    onsets_s = onsets_s[np.abs(stamps - onsets_s[:, np.newaxis]).min(axis=1) < 1 / SFREQ_HZ]
    events = tuple(Event(float(at_s), 0, str(k)) for k, at_s in enumerate(onsets_s))
    source = ReplaySource(recording_of(stamps=stamps, events=events), chunk_samples=50)
    lost = np.cumsum(lost_before(stamps, SFREQ_HZ))
    nearest = np.abs(stamps - onsets_s[:, np.newaxis]).argmin(axis=1)
    numbers = {int(event.text): number for number, event in source.events()}
    assert numbers == dict(enumerate((nearest + lost[nearest]).tolist()))


def test_gaps_can_be_shortened_and_stay_gaps():
    stamps = with_losses({200: 80, 500: 1_800_000})
    events = (Event(2000.0, 0, "within"), Event(float(stamps[600]), 0, "after"))
    recording = recording_of(stamps=stamps, events=events)
    source = ReplaySource(recording, chunk_samples=50, max_gap_s=0.5)
    chunks = all_chunks(source)
    assert [chunk.gap for chunk in chunks if chunk.gap] == [80, 250]
    np.testing.assert_allclose(stamps_of(chunks), with_losses({200: 80, 500: 250}), atol=1e-6)
    assert [number for number, _ in source.events()] == [500 + 330, 600 + 330]
    assert [source.ahead_s(event) for event in events] == [0.5, 0]
    with pytest.raises(SettingsError, match="--max-gap: expected a number of seconds above 0"):
        ReplaySource(recording, chunk_samples=50, max_gap_s=0.0)


def test_a_looped_recording_keeps_its_pace_on_a_virtual_clock():
    now, late, passes = [100.0], [], 20
    source = ReplaySource(recording_of(), chunk_samples=33, loop=True, chunk_seed=0)

    def push(chunk):
        late.append(now[0] - chunk.timestamps[-1])
        now[0] += 0.001

    def wait(duration_s):
        now[0] += duration_s + 0.0005

    play(
        iter(lambda: source.pull(0.0), None),
        push,
        clock=lambda: now[0],
        wait=wait,
        stop=lambda: now[0] > 100 + passes * N_SAMPLES / SFREQ_HZ,
    )
    assert len(late) > passes * N_SAMPLES / 33
    # Each wait ends 0.5 ms late, each push takes 1 ms: nothing of it is carried on.
    assert min(late) >= 0
    assert max(late) < 0.005


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chunk_samples": 0}, "chunk length"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"start_s": 1.5}, "lasts 1.4 s"),
        ({"start_s": 1.0, "stop_s": 1.0}, "no sample between"),
        ({"start_s": -1.0}, "--start"),
        ({"stop_s": float("nan")}, "--stop"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(wrong, message):
    with pytest.raises(SettingsError, match=message) as caught:
        ReplaySource(recording_of(), **{"chunk_samples": 10, **wrong})
    assert "\n" not in str(caught.value)


def test_a_channel_that_is_not_there_is_named():
    with pytest.raises(MontageError, match="no channel B7"):
        ReplaySource(recording_of(), chunk_samples=10, names=["A1", "B7"])


def test_closing_closes_the_recording_as_often_as_one_likes():
    closed = []
    recording = Recording(
        montage_of(1, SFREQ_HZ), 10, lambda a, b: DATA[:1, a:b], closer=lambda: closed.append(1)
    )
    source = ReplaySource(recording, chunk_samples=5)
    source.close()
    source.close()
    assert closed
