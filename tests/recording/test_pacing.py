import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbrain.errors import SettingsError, StreamError
from rtbrain.recording.playing import iterate_chunks
from rtbrain.recording.replay import play
from rtbrain.types import Chunk
from tests.conftest import brain_like, cut, montage_of

START_S = 5000.0


class VirtualTime:
    """A clock that only moves when somebody waits or works."""

    def __init__(self) -> None:
        self.now = START_S

    def clock(self) -> float:
        return self.now

    def wait(self, duration_s: float) -> None:
        assert duration_s > 0
        self.now += duration_s


def played(chunks, *, work_s=0.0, stop=lambda: False, speed=1.0):
    time = VirtualTime()
    out: list[tuple[float, Chunk]] = []

    def push(chunk: Chunk) -> None:
        out.append((time.now, chunk))
        time.now += work_s

    n_pushed = play(
        chunks,
        push,
        speed=speed,
        clock=time.clock,
        wait=time.wait,
        stop=stop,
    )
    return n_pushed, out


@given(
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=20),
    speed=st.sampled_from([0.5, 1.0, 3.0, 20.0]),
)
def test_each_chunk_leaves_when_its_last_sample_is_due_whatever_the_lengths(lengths, speed):
    sfreq_hz = 512.0
    data = brain_like(2, 10_000, sfreq_hz)[:, : sum(lengths) + 1]
    n_pushed, out = played(cut(data, lengths, sfreq_hz), speed=speed)
    assert n_pushed == data.shape[1]
    stamps = np.concatenate([chunk.timestamps for _, chunk in out])
    expected = START_S + np.arange(data.shape[1]) / (sfreq_hz * speed)
    np.testing.assert_allclose(stamps, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.concatenate([chunk.data for _, chunk in out], 1), data)
    for at, chunk in out:
        if chunk.n_samples:
            assert at == pytest.approx(chunk.timestamps[-1], abs=1e-8)


def numbered(first: int, n_samples: int, sfreq_hz: float, gap: int = 0) -> Chunk:
    stamps = 70 + np.arange(first, first + n_samples) / sfreq_hz
    return Chunk(np.zeros((1, n_samples), np.float32), stamps, first, gap)


def test_the_pace_does_not_drift_in_an_hour():
    sfreq_hz = 2046.3
    n_chunks = round(3600 * sfreq_hz / 100)
    _, out = played(numbered(100 * k, 100, sfreq_hz) for k in range(n_chunks))
    last_at, _ = out[-1]
    assert last_at - START_S == pytest.approx((n_chunks * 100 - 1) / sfreq_hz, abs=1e-6)


def test_a_late_push_is_caught_up_and_does_not_shift_the_stamps():
    sfreq_hz = 1000.0
    chunks = cut(brain_like(1, 1000, sfreq_hz), [100] * 10, sfreq_hz)
    late = iter([0.5] + [0.0] * 20)
    time = VirtualTime()
    out = []

    def push(chunk: Chunk) -> None:
        out.append((time.now, chunk))
        time.now += next(late)

    play(chunks, push, clock=time.clock, wait=time.wait, stop=lambda: False)
    delays = [at - float(chunk.timestamps[-1]) for at, chunk in out if chunk.n_samples]
    assert delays[1] == pytest.approx(0.4, abs=1e-6)
    assert delays[5:] == pytest.approx([0.0] * 5, abs=1e-6)
    assert min(delays) > -1e-8


def test_stamps_jump_over_the_samples_that_a_chunk_announces_as_lost():
    sfreq_hz = 500.0
    chunks = [numbered(700, 100, sfreq_hz, gap=30), numbered(1050, 100, sfreq_hz, gap=250)]
    _, out = played(chunks)
    assert [(chunk.first_sample, chunk.gap) for _, chunk in out] == [(0, 0), (350, 250)]
    jump = out[1][1].timestamps[0] - out[0][1].timestamps[-1]
    assert jump == pytest.approx(251 / sfreq_hz)


def test_a_long_wait_is_announced_and_a_short_one_is_not():
    time, waits = VirtualTime(), []
    chunks = [numbered(0, 100, 500.0), numbered(200, 100, 500.0, 100)]
    chunks.append(numbered(500_300, 100, 500.0, gap=500_000))
    play(
        chunks,
        lambda chunk: None,
        clock=time.clock,
        wait=time.wait,
        stop=lambda: False,
        on_wait=waits.append,
    )
    assert waits == [pytest.approx(1000, abs=0.01)]


def test_irregular_stamps_stay_as_irregular_as_they_were():
    rng = np.random.default_rng(6)
    stamps = 900 + np.cumsum(rng.uniform(0.0005, 0.0035, 1000))
    data = brain_like(1, 1000, 500.0)
    chunks = [
        Chunk(np.ascontiguousarray(data[:, a : a + 100]), stamps[a : a + 100], a)
        for a in range(0, 1000, 100)
    ]
    _, out = played(chunks, speed=2.0)
    got = np.concatenate([chunk.timestamps for _, chunk in out])
    np.testing.assert_allclose(got - START_S, (stamps - stamps[0]) / 2, atol=1e-9)


def test_playing_changes_no_chunk_it_was_given():
    chunks = cut(brain_like(1, 300, 500.0), [100], 500.0)
    before = [(chunk.data.copy(), chunk.timestamps.copy()) for chunk in chunks]
    played(chunks)
    for chunk, (data, stamps) in zip(chunks, before, strict=True):
        np.testing.assert_array_equal(chunk.data, data)
        np.testing.assert_array_equal(chunk.timestamps, stamps)


def test_a_stop_is_heeded_within_a_tenth_of_a_second():
    asked = iter([False] * 5 + [True] * 99)
    waits = []
    n_pushed = play(
        cut(brain_like(1, 5000, 500.0), [5000], 500.0),
        lambda chunk: pytest.fail("pushed after the stop"),
        clock=lambda: START_S,
        wait=waits.append,
        stop=lambda: next(asked),
    )
    assert n_pushed == 0
    assert len(waits) == 5
    assert max(waits) <= 0.1


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_is_refused(speed):
    with pytest.raises(SettingsError, match=r"speed: expected a finite number above 0, got"):
        played([], speed=speed)


def test_chunks_are_made_ahead_in_order_up_to_the_end_of_their_source() -> None:
    made = cut(brain_like(2, 3000, 512.0), [30] * 99, 512.0)
    pulled: list[Chunk | None] = []
    many = threading.Event()

    class Slow:
        montage = montage_of(2, 512.0)

        def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
            pulled.append(made[len(pulled)] if len(pulled) < len(made) else None)
            if len(pulled) > 20:
                many.set()
            return pulled[-1]

    chunks = iterate_chunks(Slow())
    taken = [next(chunks)]
    assert many.wait(10)  # while one was taken
    taken += chunks
    assert all(one is other for one, other in zip(taken, made, strict=True))


def test_a_source_that_fails_fails_where_its_chunk_would_be_taken() -> None:
    class Broken:
        montage = montage_of(2, 512.0)

        def __init__(self) -> None:
            self.left = cut(brain_like(2, 90, 512.0), [30, 30], 512.0)

        def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
            if not self.left:
                raise StreamError("the disk is gone")
            return self.left.pop(0)

    chunks = iterate_chunks(Broken())
    assert [next(chunks).first_sample for _ in range(3)] == [0, 30, 60]
    with pytest.raises(StreamError, match="disk is gone"):
        next(chunks)
