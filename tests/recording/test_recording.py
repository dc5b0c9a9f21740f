"""A selection of channels of a recording, as the commands' flags make it."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.errors import MontageError
from rtbrain.recording.recording import Recording, select
from rtbrain.types import Montage
from tests.conftest import brain_like


def test_a_selection_leaves_samples_positions_and_marks_with_their_channels():
    axes = np.arange(12, dtype=np.float32).reshape(4, 3)
    montage = Montage(("A1", "A2", "B1", "TRIG"), ("eeg",) * 3 + ("stim",), 250.0, axes, "head mm")
    data = brain_like(4, 100, 250.0)
    whole = Recording(montage, 100, lambda a, b: data[:, a:b], bad=("A1", "B1"), unitless=("A1",))
    chosen = select(whole, channels=["B*", "A?"], exclude=["A1"], kinds=["A*=seeg"], space="MNI mm")
    assert chosen.montage.names == ("B1", "A2")
    assert chosen.montage.kinds == ("eeg", "seeg")
    assert chosen.montage.space == "MNI mm"
    np.testing.assert_array_equal(chosen.montage.positions, axes[[2, 1]])
    np.testing.assert_array_equal(chosen.read(5, 50), data[[2, 1], 5:50])
    assert (chosen.bad, chosen.unitless) == (("B1",), ())
    assert select(whole, kinds=["stim"]).montage.names == ("TRIG",)
    unplaced = replace(whole, montage=replace(montage, positions=None, space=None))
    with pytest.raises(MontageError, match="no positions that --space could name"):
        select(unplaced, space="MNI mm")
