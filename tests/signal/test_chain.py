"""Choice of channels, and chains."""

import numpy as np
import pytest

from rtbrain.config import SignalStep
from rtbrain.errors import MontageError
from rtbrain.signal import (
    Bipolar,
    Chain,
    CommonAverage,
    Laplacian,
    Pick,
    Resample,
    ShaftMean,
    build_signal,
)
from rtbrain.types import Montage
from tests.conftest import brain_like, montage_of
from tests.signal.recording import whole

MIXED = Montage(("A1", "F", "A2", "D1"), ("seeg", "misc", "seeg", "dbs"), 1000.0)


def test_names_are_given_in_the_order_wished_for():
    stage = Pick(MIXED, names=["D1", "A1"])
    data = brain_like(4, 10, 1000)
    assert stage.montage.names == ("D1", "A1")
    assert stage.montage.kinds == ("dbs", "seeg")
    np.testing.assert_array_equal(stage(whole(data, 1000)).data, data[[3, 0]])


def test_kinds_choose_among_the_names():
    assert Pick(MIXED, kinds=["seeg", "dbs"]).montage.names == ("A1", "A2", "D1")
    assert Pick(MIXED, names=["A2", "F"], kinds=["seeg"]).montage.names == ("A2",)
    assert Pick(MIXED).montage.names == MIXED.names


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(MontageError, match="the montage has kinds dbs, misc, seeg"):
        Pick(MIXED, kinds=["ecog"])
    with pytest.raises(MontageError, match="no channel Z9"):
        Pick(MIXED, names=["Z9"])


def test_a_chain_has_the_montage_of_its_last_stage():
    montage = montage_of(8, 1000)
    laplacian = Laplacian(montage)
    chain = Chain(montage, [laplacian, Resample(laplacian.montage, 500)])
    assert chain.montage.n_channels == 6
    assert chain.montage.sfreq_hz == 500
    assert Chain(montage, []).montage is montage


def test_an_empty_chain_lets_chunks_through():
    chunk = whole(brain_like(3, 10, 1000), 1000)
    assert Chain(montage_of(3, 1000), [])(chunk) is chunk


@pytest.mark.parametrize(
    ("reference", "stage"),
    [
        ("car", CommonAverage),
        ("shaft_mean", ShaftMean),
        ("bipolar", Bipolar),
        ("laplacian", Laplacian),
    ],
)
def test_a_reference_of_the_settings_is_the_stage_of_that_name(reference, stage):
    chunk = whole(brain_like(10, 20, 1000), 1000)
    chain = build_signal([SignalStep(reference=reference)], montage_of(10, 1000))
    wanted = stage(montage_of(10, 1000))
    assert chain.montage.names == wanted.montage.names
    np.testing.assert_array_equal(chain(chunk).data, wanted(chunk).data)
