"""Flags of samples become the quality of the windows that use them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from rtbrain.buffer import EventWindows, Windows
from rtbrain.marks import ARTIFACT, BLANKED, LATE
from rtbrain.signal import Resample
from rtbrain.spectrogram import RunningStft
from rtbrain.types import Chunk
from tests.conftest import brain_like, cut, montage_of
from tests.signal.recording import cut_sizes, pieces

SFREQ_HZ = 1000.0
MONTAGE = montage_of(3, SFREQ_HZ)
SIGNAL = brain_like(3, 3000, SFREQ_HZ)


def flagged(spans):
    (chunk,) = cut(SIGNAL, [], SFREQ_HZ)
    flags = np.zeros(3000, np.uint8)
    for start, stop, flag in spans:
        flags[start:stop] = flag
    return Chunk(chunk.data, chunk.timestamps, 0, 0, flags)


def with_flags(chunk, sizes):
    at = 0
    for piece in pieces(chunk, sizes):
        stop = at + piece.n_samples
        yield Chunk(piece.data, piece.timestamps, at, 0, chunk.flags[at:stop])
        at = stop


@given(sizes=cut_sizes())
@settings(max_examples=10)
def test_a_window_counts_the_blanked_samples_that_it_uses(sizes):
    chunk = flagged([(1000, 1060, BLANKED), (2000, 2001, ARTIFACT)])
    windows = Windows(
        MONTAGE, length_samples=500, hop_samples=100, used_samples=200, max_blanked=0.25
    )
    made = []
    for piece in with_flags(chunk, sizes):
        made += [(w.first_sample + 500, w.quality, w.flags) for w in windows(piece)]
    assert len(made) == 30
    for stop, quality, flags in made[5:]:
        used = chunk.flags[stop - 200 : stop]
        assert quality.blanked == pytest.approx(np.mean(used == BLANKED))
        worst = used.max()
        reasons = {0: "", BLANKED: "stimulation: 30% of", ARTIFACT: "an artifact on several"}
        expected = "" if worst == BLANKED and quality.blanked <= 0.25 else reasons[worst]
        assert quality.reason.startswith(expected)
        assert quality.valid == (not expected)
        held = chunk.flags[max(0, stop - 500) : stop]
        np.testing.assert_array_equal(flags if flags is not None else np.zeros_like(held), held)


def test_a_window_at_an_event_counts_them_too():
    windows = EventWindows(MONTAGE, length_samples=100, offset_samples=0, max_blanked=0.2)
    for at in (950, 1100, 1500, 1990):
        windows.mark(100 + at / SFREQ_HZ, "go")
    chunk = flagged([(1000, 1010, BLANKED), (1500, 1550, BLANKED), (2000, 2001, ARTIFACT)])
    made = [window for piece in with_flags(chunk, [77]) for window in windows(piece)]
    assert [window.quality.blanked for window in made] == [0.1, 0.0, 0.5, 0.0]
    assert [window.quality.valid for window in made] == [True, True, False, False]


def test_no_window_is_cut_from_before_a_sample_that_a_late_marker_spoilt():
    windows = EventWindows(MONTAGE, length_samples=100, offset_samples=0)
    made = []
    for piece in with_flags(flagged([(1500, 1501, LATE)]), [100]):
        for at in (1000, 1600):
            if piece.first_sample == at + 1000:
                windows.mark(100 + at / SFREQ_HZ, "go")
        made += windows(piece)
    assert [window.quality.valid for window in made] == [False, True]
    assert "came too late" in made[0].quality.reason


@pytest.mark.parametrize("ratio", [0.5, 0.4, 1.5, 0.40975601])
def test_no_flag_is_lost_between_rates(ratio):
    chunk = flagged([(1000, 1001, ARTIFACT), (1500, 1520, BLANKED)])
    stage = Resample(MONTAGE, SFREQ_HZ * ratio)
    made = [stage(piece) for piece in with_flags(chunk, [61])]
    flags = np.concatenate(
        [np.zeros(c.n_samples, np.uint8) if c.flags is None else c.flags for c in made]
    )
    at = np.flatnonzero(flags == ARTIFACT)
    assert 1 <= at.size <= 4
    assert np.abs(at / ratio - 1000).max() < 1.01 / min(ratio, 1) + 1
    blanked = np.flatnonzero(flags == BLANKED)
    assert np.abs(np.array([blanked[0], blanked[-1] + 1]) / ratio - [1500, 1520]).max() < 6


def test_a_blanked_frame_after_one_that_was_not_finite_is_not_good_either():
    data = SIGNAL.copy()
    data[1, 1420:1450] = np.nan
    stft = RunningStft(
        3, 500, frame_samples=100, hop_samples=50, n_freqs=5, time_constant_frames=100
    )
    windows = Windows(MONTAGE, length_samples=500, hop_samples=50)
    chunk = replace(flagged([(1460, 1530, BLANKED)]), data=data)
    made = {w.first_sample + 500: stft(w) for w in windows(chunk)}
    # What was not finite has left the window at 1950, the frame that copies it has not.
    assert [bool(made[stop].quality.good[1]) for stop in (1400, 1950, 2000)] == [True, False, True]
    assert all(np.isfinite(one.data[one.quality.good]).all() for one in made.values())


def test_a_frame_that_is_blanked_for_the_most_part_keeps_the_frame_before():
    (plain,) = cut(SIGNAL, [], SFREQ_HZ)
    blanked = flagged([(1460, 1530, BLANKED)])
    rows = []
    for chunk in (plain, blanked):
        stft = RunningStft(
            3, 500, frame_samples=100, hop_samples=50, n_freqs=5, time_constant_frames=100
        )
        windows = Windows(MONTAGE, length_samples=500, hop_samples=50)
        rows.append([stft(window).data[:, -1].copy() for window in windows(chunk)][9:])
    stops = 500 + 50 * np.arange(len(rows[0]))
    (lost,) = np.flatnonzero(stops == 1550)
    assert not np.array_equal(rows[1][lost], rows[0][lost])
    np.testing.assert_array_equal(rows[1][lost], rows[1][lost - 1])
    np.testing.assert_array_equal(rows[1][:lost], rows[0][:lost])
    assert not np.array_equal(rows[1][lost + 1], rows[1][lost])
