"""Recordings with gaps, cut into pieces, for the tests of the law."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from rtbrain.signal import (
    ArtifactGuard,
    Bipolar,
    Blanking,
    Chain,
    CommonAverage,
    HighPass,
    Laplacian,
    NotchComb,
    Pick,
    PublishedLaplacian,
    Resample,
    ShaftMean,
)
from rtbrain.stage import SignalStage
from rtbrain.types import Chunk, Floats, Montage, Times
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 1000.0
MONTAGE = montage_of(11, SFREQ_HZ)

Maker = Callable[[Montage], SignalStage]

STAGES: dict[str, Maker] = {
    "notch": lambda m: NotchComb(m, 60),
    "high-pass": lambda m: HighPass(m, 1.0),
    "notch with high-pass": lambda m: HighPass(m, 1.0, notch=NotchComb(m, 60)),
    "common average": CommonAverage,
    "shaft mean": ShaftMean,
    "bipolar": Bipolar,
    "laplacian": Laplacian,
    "published laplacian": lambda m: PublishedLaplacian(m, 60),
    "down to 2/5": lambda m: Resample(m, m.sfreq_hz * 2 / 5),
    "down to half": lambda m: Resample(m, m.sfreq_hz / 2),
    "up by 3/2": lambda m: Resample(m, m.sfreq_hz * 3 / 2),
    "up by no simple ratio": lambda m: Resample(m, m.sfreq_hz * 1.0246027),
    "down by no simple ratio": lambda m: Resample(m, m.sfreq_hz * 0.40975601),
    "same rate": lambda m: Resample(m, m.sfreq_hz),
    "pick": lambda m: Pick(m, names=m.names[::-1]),
    "empty chain": lambda m: Chain(m, []),
    "blanking": lambda m: Blanking(m, texts=("stim",), before_s=0.01, after_s=0.02),
    "guard": ArtifactGuard,
}


def chain_of(names: Sequence[str], montage: Montage = MONTAGE) -> Chain:
    """Chain of stages by name, each made for the one before."""
    stages: list[SignalStage] = []
    at = montage
    for name in names:
        stages.append(STAGES[name](at))
        at = stages[-1].montage
    return Chain(montage, stages)


def segments(with_nan: bool = False, start: int = 1000) -> list[Chunk]:
    """Three stretches of one recording, 37 and 150 samples lost between them."""
    data = brain_like(MONTAGE.n_channels, 1200, SFREQ_HZ, seed=3)
    if with_nan:
        data[2, 100:140] = np.nan
        data[4, 399] = np.inf
        data[5, :3] = np.nan
        data[7, 900:] = np.nan
    stamps = 50 + np.arange(data.shape[1]) / SFREQ_HZ
    spans = [(0, 400, 0), (437, 800, 37), (950, 1200, 150)]
    return [Chunk(data[:, a:b].copy(), stamps[a:b], start + a, gap) for a, b, gap in spans]


def pieces(chunk: Chunk, sizes: Sequence[int]) -> list[Chunk]:
    """The chunk in pieces, the sizes taken round and round; its gap on the first of them."""
    made = []
    at = 0
    for size in itertools.cycle(sizes):
        stop = min(at + size, chunk.n_samples)
        made.append(
            Chunk(
                chunk.data[:, at:stop].copy(),
                chunk.timestamps[at:stop],
                chunk.first_sample + at,
                0 if made else chunk.gap,
            )
        )
        at = stop
        if at == chunk.n_samples:
            return made
    raise AssertionError("itertools.cycle ended")


def cut_sizes() -> st.SearchStrategy[list[int]]:
    """Sizes of pieces, empty ones too, not all empty."""
    return st.lists(st.integers(0, 90), min_size=1, max_size=8).filter(any)


def joined(chunks: Sequence[Chunk]) -> list[Chunk]:
    """One chunk per stretch without gap; checks that the counters continue and count every loss."""
    stretches: list[list[Chunk]] = []
    expected: int | None = None
    for chunk in chunks:
        if expected is not None:
            assert chunk.first_sample == expected + chunk.gap
        expected = chunk.first_sample + chunk.n_samples
        if chunk.gap or not stretches:
            stretches.append([])
        stretches[-1].append(chunk)
    return [_one(stretch) for stretch in stretches]


def _one(stretch: list[Chunk]) -> Chunk:
    data: Floats = np.concatenate([chunk.data for chunk in stretch], axis=1)
    stamps: Times = np.concatenate([chunk.timestamps for chunk in stretch])
    return replace(stretch[0], data=data, timestamps=stamps)


def same(got: Sequence[Chunk], wanted: Sequence[Chunk]) -> None:
    """Assert that the stretches are equal, bit for bit."""
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert (one.first_sample, one.gap) == (other.first_sample, other.gap)
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.timestamps, other.timestamps)


def whole(data: Floats, sfreq_hz: float) -> Chunk:
    """All of a signal as one chunk."""
    return cut(data, [], sfreq_hz)[0]
