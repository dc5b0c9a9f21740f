"""Contacts whose position nobody knows: the Population Transformer is never shown them."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.encoder import lip_positions
from rtbrain.errors import MontageError
from tests.learn.objectives.test_popt import pairs, read_back, two_sessions


def test_contacts_without_a_position_are_never_shown_and_counted() -> None:
    first, second = two_sessions()
    positions = first.montage.positions.copy()
    positions[[2, 7]] = np.nan
    first = replace(first, montage=replace(first.montage, positions=positions))
    first.good[:, 7] = False  # never read, hence not missed
    sessions = [first, second]
    examples = pairs(sessions)
    assert examples.n_unplaced == 1
    seen = set()
    for seed in range(20):
        items = np.random.default_rng(seed).permutation(len(examples))
        batch = examples.draw(items, np.random.default_rng(seed))
        for row, (shown, session, _, channel, *_, false) in enumerate(read_back(batch, sessions)):
            number = session[0]
            seen |= {(number, c) for c in channel[shown].tolist()}
            expected = lip_positions(second.montage) if number else positions
            true = shown & ~false
            found = batch["positions"][row].numpy()[true]
            np.testing.assert_array_equal(found, expected[channel[true]])
    assert {c for number, c in seen if number == 0} == set(range(12)) - {2, 7}
    nowhere = replace(first.montage, positions=np.full_like(positions, np.nan))
    with pytest.raises(MontageError, match="no position for A1"):
        pairs([replace(first, montage=nowhere)])
