"""Which windows are paired, against lists of those that may be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.learn.objectives.popt import Pairing
from tests.learn.objectives.sessions import numbered, session_of

HOP_S = 0.5


def test_upstream_negatives_are_as_noisy_as_a_uniform_draw() -> None:
    # Over n windows a uniform partner is the item itself once in n draws, and the window that
    # follows it once in n. Of 40,000 draws over 10 windows: 10.0 +- 0.15 % each.
    pairing = Pairing(session_of(numbered(10, 4, (8,))), HOP_S)
    rng = np.random.default_rng(1)
    first = rng.choice(pairing.items, 40_000)
    partner = pairing.anywhere(rng.random(first.size))
    spread = 4 * np.sqrt(0.1 * 0.9 / first.size)
    assert np.mean(partner == first) == pytest.approx(1 / 10, abs=spread)
    assert np.mean(partner == first + 1) == pytest.approx(1 / 10, abs=spread)
    right = pairing.apart(first, rng.random(first.size))
    assert not np.isin(right - first, (-1, 0, 1)).any()


def test_jitter_and_drift_of_stamps_part_no_windows_but_one_that_is_missing_does() -> None:
    session = session_of(numbered(10, 4, (8,)))
    # 2038 Hz of a nominal 2048, and the jitter of a sender that hands on 32 samples at a time.
    stamps_s = 1.0049 * session.t_stop + 0.016 * np.random.default_rng(0).random(10)
    stamps_s[6:] += HOP_S
    pairing = Pairing(replace(session, t_stop=stamps_s), HOP_S)
    assert pairing.items.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]


@given(st.integers(0, 10**6), st.integers(4, 12), st.floats(0.2, 1))
@settings(max_examples=60)
def test_negatives_are_uniform_over_the_windows_that_may_be_drawn(
    seed: int, n_windows: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    session = session_of(numbered(n_windows, 4, (8,)))
    session.good[:] = (rng.random(n_windows) < share)[:, None]
    pairing = Pairing(session, HOP_S)
    kept = [window for window in range(n_windows) if session.good[window].all()]
    assert pairing.windows.tolist() == kept
    expected_items = [
        place for place, window in enumerate(kept) if window + 1 in kept and len(kept) > 3
    ]
    assert pairing.items.tolist() == expected_items
    for place in expected_items:
        allowed = [p for p, w in enumerate(kept) if abs(w - kept[place]) > 1]
        dice = (np.arange(len(allowed)) + 0.5) / len(allowed)
        assert pairing.apart(np.full(len(allowed), place), dice).tolist() == allowed
        for partner in (place, place + 1, allowed[0]):
            rest = [p for p in range(len(kept)) if p not in (place, partner)]
            dice = (np.arange(len(rest)) + 0.5) / len(rest)
            drawn = pairing.third(np.full(len(rest), place), np.full(len(rest), partner), dice)
            assert drawn.tolist() == rest


def test_no_item_spans_a_gap() -> None:
    session = session_of(numbered(8, 12, (8,)))
    t_stop = session.t_stop.copy()
    t_stop[4:] += 0.25
    gap = replace(session, t_stop=t_stop)
    assert Pairing(gap, HOP_S).items.tolist() == [0, 1, 2, 4, 5, 6]
    assert Pairing(session, HOP_S).items.tolist() == [0, 1, 2, 3, 4, 5, 6]
