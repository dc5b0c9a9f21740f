"""How many bad blocks make a bad contact, how many clean ones a good one, and which count."""

from collections.abc import Sequence

import numpy as np
import pytest

from rtbrain.signal import ChannelQuality
from rtbrain.types import Chunk, Floats
from tests.signal.recording import whole
from tests.signal.test_quality import BLOCK, NAMES, PATIENT, SFREQ_HZ, healthy, hum

ROW, FIRST = 5, 8


def spoilt(blocks: Sequence[int], *, flat: bool) -> Floats:
    """Healthy signal with a contact that breaks a rule in these blocks alone."""
    data = healthy(14)
    for block in blocks:
        at = slice((FIRST + block) * BLOCK, (FIRST + block + 1) * BLOCK)
        data[ROW, at] = 12.5 if flat else data[ROW, at] + hum(BLOCK)
    return data


def bad_after(data: Floats) -> list[int]:
    """Numbers, counted from `FIRST`, of the blocks that end with the contact bad."""
    stage = ChannelQuality(PATIENT.montage, mains_hz=60.0)
    stamps = np.arange(BLOCK) / SFREQ_HZ
    found = []
    for block in range(data.shape[1] // BLOCK):
        at = block * BLOCK
        stage(Chunk(data[:, at : at + BLOCK], at / SFREQ_HZ + stamps, at))
        if stage.bad:
            assert list(stage.bad) == [NAMES[ROW]]
            found.append(block - FIRST)
    return found


@pytest.mark.parametrize(
    ("flat", "blocks", "bad_from"),
    [
        (False, [0, 1, 2], None),
        (False, [0, 1, 2, 3], 3),
        (False, [0, 2, 4, 7], 7),
        (False, [0, 3, 6, 8], None),  # four, but of nine
        (True, [0], None),
        (True, [0, 1], 1),
        (True, [0, 7], 7),
        (True, [0, 8], None),
    ],
)
def test_four_relative_or_two_absolute_of_eight_blocks_make_a_bad_contact(
    flat: bool, blocks: list[int], bad_from: int | None
) -> None:
    found = bad_after(spoilt(blocks, flat=flat))
    # Good again after 20 blocks without a fault.
    assert found == ([] if bad_from is None else list(range(bad_from, bad_from + 20)))


def test_a_block_that_lost_samples_judges_nobody() -> None:
    data = healthy(14)
    start = FIRST * BLOCK
    data[ROW, start + 50] = np.nan  # one bad block: one more would be two
    before, after = start + BLOCK + 20, start + BLOCK + 90
    stage = ChannelQuality(PATIENT.montage)
    chunk = whole(data, SFREQ_HZ)
    stage(Chunk(data[:, :before], chunk.timestamps[:before], 0))
    later = Chunk(data[:, after:], chunk.timestamps[after:], after, after - before)
    np.testing.assert_array_equal(stage(later).data, data[:, after:])
    assert stage.bad == {}


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("above_uv", "reason"), [(1, "saturated"), (-1, None)])
def test_only_a_stretch_at_the_extreme_of_a_block_is_a_rail(
    end: bool, sign: int, above_uv: float, reason: str | None
) -> None:
    data = healthy(14)
    for block in (FIRST, FIRST + 1):
        stretch, length = data[ROW, block * BLOCK : (block + 1) * BLOCK], round(0.3 * BLOCK)
        held, rest = (-length, slice(-length)) if end else (0, slice(length, None))
        extreme = (sign * stretch[rest]).max()
        stretch[held : held + length or None] = sign * (extreme + above_uv)
    stage = ChannelQuality(PATIENT.montage, mains_hz=60.0)
    stage(whole(data[:, : (FIRST + 2) * BLOCK], SFREQ_HZ))
    assert stage.bad == ({NAMES[ROW]: reason} if reason else {})
