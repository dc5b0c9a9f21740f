"""The loop on a virtual clock: what it decodes, what it skips, and where it books the time."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from rtbrain.buffer import Windows
from rtbrain.build import build_live
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.encoder import FrameMean
from rtbrain.pipeline import FeaturePipeline
from rtbrain.signal import Chain
from rtbrain.spectrogram import PublishedStft
from rtbrain.types import Chunk, Decode, Floats, Montage
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ, LENGTH, HOP = 2048.0, 4096, 500


class Time:
    def __init__(self) -> None:
        self.now = 103.0  # just after the last stamp of `session`

    def clock(self) -> float:
        return self.now


class SlowFilter:
    """Lets chunks through after a while."""

    def __init__(self, montage: Montage, time: Time, cost_s: float) -> None:
        self.montage, self._time, self._cost_s = montage, time, cost_s

    def __call__(self, chunk: Chunk) -> Chunk:
        self._time.now += self._cost_s
        return chunk

    def reset(self) -> None:
        pass


class Script:
    """A source that plays a script, with an empty chunk for None."""

    def __init__(self, montage: Montage, time: Time, chunks: list[Chunk | None]) -> None:
        self.montage, self._time, self._chunks = montage, time, iter(chunks)

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            return None
        if chunk is None:
            self._time.now += timeout_s
            return Chunk(np.zeros((self.montage.n_channels, 0), np.float32), np.zeros(0))
        return chunk

    def close(self) -> None:
        pass


class Heard:
    def __init__(self) -> None:
        self.decodes: list[Decode] = []

    def push(self, item: Decode) -> None:
        self.decodes.append(item)

    def close(self) -> None:
        pass


class Counts:
    def __init__(self, skipped: list[int]) -> None:
        self.skipped = skipped.append

    def lost(self, n_samples: int) -> None:
        raise AssertionError("nothing was lost")


def ran(
    chunks: list[Chunk | None],
    *,
    latest_only: bool,
    cost_s: float = 0.0,
    skipped: list[int],
    source: type[Script] = Script,
    stop: Callable[[list[Decode]], bool] = lambda decodes: False,
    max_latency_s: float = math.inf,
    hop: int = HOP,
    delay_s: float = 0.0,
) -> list[Decode]:
    montage, time, heard = montage_of(4, SFREQ_HZ), Time(), Heard()
    spectrogram = PublishedStft(4, LENGTH)
    weights = np.zeros((2, 160), np.float32)
    features = FeaturePipeline(
        Chain(montage, [SlowFilter(montage, time, cost_s)]),
        Windows(montage, length_samples=LENGTH, hop_samples=hop),
        spectrogram,
        FrameMean(10, neural_delay_s=0.2),
        0.2,
        delay_s,
        160,
    )
    readout = Readout(LinearReadout(weights, np.zeros(2, np.float32), "classification"))
    pipeline = build_live(
        (features, readout),
        source(montage, time, chunks),
        (heard,),
        Counts(skipped),
        max_latency_s=max_latency_s,
        latest_only=latest_only,
        coverage_floor=0.0,
        clock=time.clock,
    )
    pipeline.run(lambda: stop(heard.decodes))
    return heard.decodes


def session(data: Floats | None = None) -> Iterator[Chunk]:
    data = brain_like(4, LENGTH + 4 * HOP, SFREQ_HZ) if data is None else data
    return iter(cut(data, [LENGTH, HOP, HOP, HOP], SFREQ_HZ))


def test_the_time_of_the_filters_is_compute_not_transport() -> None:
    for latest_only in (False, True):
        chunks: list[Chunk | None] = []
        for chunk in session():
            chunks += [chunk, None]
        decodes = ran(chunks, latest_only=latest_only, cost_s=0.25, skipped=[])
        costs = {round(decode.compute_s, 6) for decode in decodes if decode.quality.valid}
        assert costs <= {0.25, 0.35}


def test_after_a_delay_the_newest_window_is_decoded_and_the_rest_counted() -> None:
    skipped: list[int] = []
    chunks = list(session())
    (decode,) = ran(chunks, latest_only=True, skipped=skipped)
    assert decode.t_stop == chunks[-1].timestamps[-1]
    assert skipped == [4]  # those of the 8 hops in which the first window fills are no loss


def test_every_window_is_decoded_where_every_one_is_asked_for() -> None:
    decodes = ran(list(session()), latest_only=False, skipped=[])
    assert [decode.quality.valid for decode in decodes] == [False] * 8 + [True] * 5


def test_without_a_good_channel_nothing_is_decoded() -> None:
    data = brain_like(4, LENGTH + 4 * HOP, SFREQ_HZ)
    data[:] = np.nan
    for decode in ran(list(session(data)), latest_only=False, skipped=[]):
        assert not decode.quality.valid
        assert np.isnan(decode.values).all()


def test_a_second_without_samples_withdraws_the_last_decode_once() -> None:
    chunks: list[Chunk | None] = [*session(), *[None] * 30]
    decodes = ran(chunks, latest_only=False, skipped=[])
    assert [decode.quality.valid for decode in decodes[-2:]] == [True, False]
    assert decodes[-1].quality.reason == "no samples for 1 s"
    assert np.isnan(decodes[-1].values).all()
    assert decodes[-1].age_s > 1.0
    # It is stamped with now, not with the window's end: a listener could not distinguish two
    # decodes of one stamp. The moment that it describes names the decode that it withdraws.
    assert decodes[-1].t_stop == decodes[-1].t_received > decodes[-2].t_stop + 1.0
    assert decodes[-1].t_neural == decodes[-2].t_neural


def test_windows_that_a_block_of_an_amplifier_completes_are_all_decoded() -> None:
    skipped: list[int] = []
    hop, size = 16, 48
    data = brain_like(4, LENGTH + 4 * size, SFREQ_HZ)
    blocks: list[Chunk | None] = []
    for chunk in cut(data, [size] * (data.shape[1] // size), SFREQ_HZ):
        half = size // 2 - 5  # a block may come in two pieces
        for a, b in ((0, half), (half, size)):
            if chunk.n_samples > a:
                blocks.append(
                    Chunk(chunk.data[:, a:b], chunk.timestamps[a:b], chunk.first_sample + a)
                )
        blocks.append(None)
    decodes = full(ran(blocks, latest_only=True, skipped=skipped, hop=hop))
    every = full(ran(list(cut(data, [], SFREQ_HZ)), latest_only=False, skipped=[], hop=hop))
    assert not skipped
    assert [one.t_stop for one in decodes] == [one.t_stop for one in every]


class Busy(Script):
    """A source whose chunks wait already, and take a while each to be fetched."""

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        self._time.now += 0.015625
        return super().pull(timeout_s)


def test_the_newest_window_was_received_with_its_own_chunk_not_with_the_backlogs_first() -> None:
    chunks: list[Chunk | None] = list(session())
    # Half a hop more: the last chunk of the backlog completes no window.
    (last,) = cut(brain_like(4, HOP // 2, SFREQ_HZ), [], SFREQ_HZ)
    first_sample = LENGTH + 4 * HOP
    late = Chunk(last.data, last.timestamps + first_sample / SFREQ_HZ, first_sample)
    (decode,) = ran([*chunks, late], latest_only=True, skipped=[], source=Busy)
    assert decode.t_received == 103.0 + 0.015625 * len(chunks)


class Endless(Script):
    """A source that always has more than was fetched."""

    n_pulls = 0

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        assert self.n_pulls < 5000, "stop() was never called"
        at = 20 * self.n_pulls
        self.n_pulls += 1
        stamps = 100.0 + np.arange(at, at + 20) / SFREQ_HZ
        return Chunk(np.ones((4, 20), np.float32), stamps, at)


class Slow(Endless):
    """A source whose every pull takes as long as the samples that it gives."""

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        self._time.now += 20 / SFREQ_HZ
        return super().pull(timeout_s)


def test_a_source_as_slow_as_its_signal_holds_up_a_decode_by_half_a_hop_at_most() -> None:
    skipped: list[int] = []
    decodes = ran([], latest_only=True, skipped=skipped, source=Slow, stop=lambda them: them[19:])
    assert not skipped
    np.testing.assert_allclose(np.diff([each.t_stop for each in decodes]), HOP / SFREQ_HZ)
    late_s = [each.t_received - decodes[0].t_received for each in decodes]
    np.testing.assert_allclose(late_s, np.arange(20) * HOP / SFREQ_HZ, atol=0.5 * HOP / SFREQ_HZ)


def test_a_drain_ends_when_the_loop_is_to_stop() -> None:
    asked: list[int] = []

    def stop(decodes: list[Decode]) -> bool:
        asked.append(len(decodes))
        return len(asked) > 3

    ran([], latest_only=True, skipped=[], source=Endless, stop=stop)
    assert len(asked) == 4 + 1  # the drain, and then the loop itself


def test_a_source_that_is_never_empty_cannot_keep_the_loop_from_decoding_and_stopping() -> None:
    (decode,) = ran([], latest_only=True, skipped=[], source=Endless, stop=bool)
    assert decode.quality.valid


class Late(Script):
    """A source whose chunks arrive some time after their last sample."""

    late_s: tuple[float, ...] = (0.2, 3.0, 0.2, 1.5)

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        chunk = next(self._chunks, None)
        if chunk is not None:
            late_s = self.late_s[chunk.first_sample // LENGTH % len(self.late_s)]
            self._time.now = float(chunk.timestamps[-1]) + late_s
        return chunk


def test_a_window_that_arrives_later_than_the_limit_is_stale_whatever_the_cause() -> None:
    chunks = list(cut(brain_like(4, 4 * LENGTH, SFREQ_HZ), [LENGTH] * 3, SFREQ_HZ))
    unlimited = full(ran([*chunks], latest_only=False, skipped=[], source=Late))
    assert all(one.quality.valid for one in unlimited)
    late = [one.t_received - one.t_stop > 1.0 for one in unlimited]
    assert 0 < sum(late) < len(late)
    limit = {"skipped": [], "source": Late, "max_latency_s": 1.0}
    limited = full(ran([*chunks], latest_only=False, **limit))
    waiting = full(ran([*chunks], latest_only=False, delay_s=10.0, **limit))  # in the chain
    assert all(one.quality.valid for one in waiting)
    assert [not one.quality.valid for one in limited] == late
    assert [one.quality.reason.startswith("stale: ") for one in limited] == late
    assert [bool(np.isnan(one.values).all()) for one in limited] == late


def full(decodes: list[Decode]) -> list[Decode]:
    return [one for one in decodes if not one.quality.reason.startswith("filling")]


class Trickle(Script):
    """A source whose samples come one by one, each later than the one before."""

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        chunk = next(self._chunks, None)
        if chunk is not None and chunk.n_samples == 1:
            self._time.now += 0.25
        elif chunk is not None:
            self._time.now = float(chunk.timestamps[-1])
        return chunk


def test_samples_that_trickle_withdraw_the_last_decode_once_the_newest_is_too_old() -> None:
    data = brain_like(4, LENGTH + 20, SFREQ_HZ)
    chunks: list[Chunk | None] = [*cut(data, [LENGTH] + [1] * 19, SFREQ_HZ)]
    decodes = ran(chunks, latest_only=False, skipped=[], source=Trickle, max_latency_s=1.0)
    last, withdrawn = decodes[-2:]
    assert last.quality.valid
    assert withdrawn.quality.reason.startswith("stale: ")
    assert 1.0 < withdrawn.t_received - last.t_stop < 1.6
    unlimited = ran(chunks, latest_only=False, skipped=[], source=Trickle)
    assert unlimited[-1].quality.valid


def test_a_short_limit_withdraws_the_last_decode_as_soon() -> None:
    chunks = [*session(), *([None] * 30)]
    decodes = ran(chunks, latest_only=False, skipped=[], max_latency_s=0.5)
    assert decodes[-1].quality.reason == "no samples for 0.5 s"
    assert decodes[-1].t_stop - decodes[-2].t_received < 0.75


class OneByOne(Script):
    """A source whose samples come one by one, in time; it waits for as many as it is asked for."""

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        chunks = [one for one in itertools.islice(self._chunks, at_least) if one and one.n_samples]
        if not chunks:
            return None
        self._time.now = float(chunks[-1].timestamps[-1])
        data = np.concatenate([chunk.data for chunk in chunks], axis=1)
        stamps = np.concatenate([chunk.timestamps for chunk in chunks])
        return Chunk(data, stamps, chunks[0].first_sample)


@pytest.mark.parametrize("source", [Script, OneByOne])
def test_samples_wait_for_those_that_complete_a_window_which_is_no_later(
    source: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Chunk] = []

    def noted(self: SlowFilter, chunk: Chunk) -> Chunk:
        passes.append(chunk)
        return chunk

    monkeypatch.setattr(SlowFilter, "__call__", noted)
    data = brain_like(4, LENGTH + 4 * HOP + 7, SFREQ_HZ)
    singles = cut(data, [1] * data.shape[1], SFREQ_HZ)
    decodes = ran([*singles], latest_only=False, skipped=[], source=source)
    assert 0 < len(passes) < 50 * data.shape[1] / SFREQ_HZ
    whole = ran([*cut(data, [], SFREQ_HZ)], latest_only=False, skipped=[])
    assert [one.t_stop for one in decodes] == [one.t_stop for one in whole]
    if source is OneByOne:
        assert max(one.t_received - one.t_stop for one in decodes) < 1.5 / SFREQ_HZ
