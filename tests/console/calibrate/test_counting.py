"""Usable blocks are counted as they come, from any kind of marker, and each other one says why."""

import math

import numpy as np
import pytest

from rtbrain.console.calibrate.counting import (
    BlockCounter,
    collected,
    last_markers,
    load_blocks,
)
from rtbrain.marks import BREAK, DROPPED, PAUSED, RESUMED
from rtbrain.types import Chunk, Montage
from tests.conftest import montage_of

SFREQ_HZ = 100.0
CLASSES = ("rest", "speech")


def signal(start_s: float, stop_s: float, first: int, gap: int = 0, montage: Montage | None = None):
    n = round((stop_s - start_s) * SFREQ_HZ)
    stamps = start_s + np.arange(n) / SFREQ_HZ
    n_channels = 2 if montage is None else montage.n_channels
    return Chunk(np.zeros((n_channels, n), np.float32), stamps, first, gap)


def counter(**options) -> BlockCounter:
    made = BlockCounter(**options)
    made.classes, made.names = CLASSES, {}
    made.look(0.0, recording=True)
    return made


def reasons(made: BlockCounter, now: float = 1000.0) -> list[str]:
    made.count(now, 0.0)
    return [block.reason for block in made.done]


def test_cues_of_the_screen_are_counted_and_those_dropped_or_paused_are_left_out() -> None:
    made = counter(settle_s=1.0)
    made.take(0.0, [signal(0, 100, 0)], [])
    markers = [
        (1.0, "rtbrain cues {}"), (5.0, "rest"), (13.0, BREAK), (15.0, "speech"), (21.0, BREAK),
        (22.0, DROPPED), (24.0, "speech"), (26.0, PAUSED), (60.0, RESUMED), (63.0, "rest"),
        (70.0, BREAK), (72.0, "speech"),
    ]  # fmt: skip
    for marker in markers:
        made.take(0.0, [], [marker])
    assert reasons(made) == ["", "dropped", "paused", ""]
    assert not made.unknown
    found = collected(made.done, CLASSES, settle_s=1.0)
    assert (found["rest"].usable, found["rest"].left_out) == (2, 0)
    assert found["rest"].usable_s == pytest.approx(7.0 + 6.0)
    assert (found["speech"].usable, found["speech"].left_out) == (0, 2)
    assert [text for _, text in last_markers(made, 3)] == ["speech", BREAK, "rest"]


def test_a_block_with_a_gap_without_signal_short_or_not_recorded_is_left_out_and_says_why() -> None:
    made = counter()
    made.take(0.0, [signal(0, 12, 0), signal(12.4, 30, 1240, gap=40)], [])
    made.take(0.0, [], [(5, "rest"), (10, "speech"), (20, "rest"), (20.6, "speech"), (25, "rest")])
    made.take(0.0, [], [(45, "speech"), (50, "rest")])
    assert reasons(made) == ["", "gap", "short", "", "silent", "silent"]
    assert made.done[1].lost_s == pytest.approx(0.4, abs=0.02)
    made.look(60.0, recording=False)
    made.take(0.0, [signal(30, 100, 3000)], [(70, "speech"), (80, "rest")])
    made.look(75.0, recording=True)
    made.take(0.0, [signal(100, 120, 10_000)], [(90, "speech"), (95, "rest")])
    assert reasons(made)[-4:] == ["unrecorded", "unrecorded", "", ""]


def test_a_block_while_too_few_contacts_were_good_is_left_out() -> None:
    made = counter()
    made.take(0.0, [signal(0, 100, 0)], [(10, "rest"), (20, "speech"), (30, "rest"), (40, "rest")])
    made.look(21.0, recording=True, good=0.2)
    made.look(22.0, recording=True, good=0.9)
    assert reasons(made) == ["", "contacts", ""]


def test_whole_numbers_count_by_their_names_and_those_without_one_are_said() -> None:
    made = counter()
    made.names = {"1": "rest", "2": "speech", "9": "ignore"}
    made.take(0.0, [signal(0, 100, 0)], [])
    made.take(0.0, [], [(5, "1"), (9, "9"), (15, "2"), (16, "7"), (25, "1"), (26, "7")])
    assert reasons(made) == ["", ""]
    assert [block.text for block in made.done] == ["rest", "speech"]
    assert made.unknown == {"7": 2}
    made.names = {**made.names, "7": "speech"}
    made.forget("7")
    assert reasons(made) == [""] * 4, "a name counts for what came before too"
    assert not made.unknown


def test_codes_of_a_trigger_channel_are_counted_wherever_chunks_end() -> None:
    montage = Montage(("A1", "TRIG"), ("seeg", "trigger"), SFREQ_HZ)
    made = counter()
    made.names = {"1": "rest", "2": "speech"}
    made.use_trigger("TRIG", montage)
    codes = np.zeros(6000, np.float32)
    for at, code in ((500, 1), (1500, 2), (2500, 1), (3500, 2)):
        codes[at : at + 20] = code
    for first in range(0, 6000, 70):
        n = min(70, 6000 - first)
        data = np.stack((np.zeros(n, np.float32), codes[first : first + n]))
        made.take(0.0, [Chunk(data, (first + np.arange(n)) / SFREQ_HZ, first)], [])
    assert reasons(made) == ["", "", ""]
    assert [block.text for block in made.done] == ["rest", "speech", "rest"]
    np.testing.assert_allclose([block.start_s for block in made.done], [5.0, 15.0, 25.0])
    made.use_trigger("none", montage_of(2, SFREQ_HZ))
    made.take(0.0, [signal(60, 61, 6000)], [])


def test_counts_are_kept_beside_the_recording(tmp_path) -> None:
    path = tmp_path / "calib-01.blocks.json"
    made = counter(path=path)
    made.take(0.0, [signal(0, 100, 0)], [(5, "rest"), (15, "speech"), (25, "rest")])
    assert made.count(100.0, 1.8e9)
    assert not made.count(101.0, 1.8e9), "nothing has changed"
    made.save()
    assert load_blocks(path) == made.done
    assert made.done[0].t_wall == 1.8e9 + 5
    assert load_blocks(tmp_path / "none.json") == []
    path.write_text('{"blocks": [1]}')
    assert load_blocks(path) == []


def test_a_long_calibration_keeps_its_first_blocks() -> None:
    made = counter()
    made.take(0.0, [signal(0, 10, 0)], [])
    for number in range(1500):
        t = 10.0 + 2 * number
        made.take(0.0, [signal(t, t + 2, round(100 * t))], [(t, CLASSES[number % 2])])
        if number % 100 == 0:
            made.count(t + 2, 0.0)
    made.count(math.inf, 0.0)
    assert len(made.done) == 1499
    assert not any(block.reason for block in made.done)
