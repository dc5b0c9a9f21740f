"""The released code's reference against the golden, and what sets it apart from the paper's."""

import json

import h5py
import numpy as np
import pytest
from scipy.signal import iirnotch, lfilter

from rtbrain.errors import MontageError
from rtbrain.signal import Chain, Laplacian, NotchComb, PublishedLaplacian
from rtbrain.types import Montage
from tests.conftest import brain_like, montage_of
from tests.signal.recording import whole


def notched(data, axis, sfreq_hz, mains_hz=60):
    for harmonic_hz in range(mains_hz, 361, mains_hz):
        b, a = iirnotch(harmonic_hz, 30, sfreq_hz)
        data = lfilter(b, a, data, axis=axis)
    return data


@pytest.fixture(scope="module")
def tree_bank(shared):
    folder = shared / "golden" / "braintreebank"
    labels = json.loads((folder / "electrode_labels/sub_1/electrode_labels.json").read_text())
    with h5py.File(folder / "all_subject_data/sub_1_trial000.h5") as file:
        data = np.stack([file[f"data/electrode_{k}"][:] for k in range(len(labels))])
    montage = Montage(tuple(labels), ("seeg",) * len(labels), 2048.0)
    with np.load(shared / "golden" / "braintreebank_golden.npz") as golden:
        return montage, data, dict(golden)


@pytest.mark.shared
def test_the_golden_laplacian_is_met(tree_bank):
    montage, data, golden = tree_bank
    stage = PublishedLaplacian(montage, 60)
    got = stage(whole(data, montage.sfreq_hz)).data[:, :: int(golden["every"])]
    assert [name.strip("*#") for name in stage.montage.names] == list(golden["electrodes"])
    np.testing.assert_allclose(got, golden["laplacian"], rtol=0, atol=1e-3)


@pytest.mark.shared
def test_the_papers_laplacian_is_not_the_golden_one(tree_bank):
    montage, data, golden = tree_bank
    notch = NotchComb(montage, 60)
    paper = Chain(montage, [notch, Laplacian(notch.montage)])(whole(data, montage.sfreq_hz))
    every = int(golden["every"])
    wanted = notched(data.astype(np.float64), 1, montage.sfreq_hz)
    rows = np.array([1, 2, 3, 4, 7, 8, 9])
    wanted = wanted[rows] - (wanted[rows - 1] + wanted[rows + 1]) / 2
    np.testing.assert_allclose(paper.data, wanted, rtol=0, atol=1e-3)
    assert np.abs(paper.data[:, ::every] - golden["laplacian"]).max() > 1


@pytest.mark.parametrize(("sfreq_hz", "mains_hz"), [(2048.0, 60), (1000.0, 50)])
def test_neighbours_are_notched_across_their_pair_and_not_in_time(sfreq_hz, mains_hz):
    data = brain_like(5, 1500, sfreq_hz)
    got = PublishedLaplacian(montage_of(5, sfreq_hz), mains_hz)(whole(data, sfreq_hz)).data
    exact = data.astype(np.float64)
    pairs = np.stack([exact[2:], exact[:-2]], axis=1)  # [3, (above, below), n_samples]
    wanted = notched(exact[1:-1], 1, sfreq_hz, mains_hz)
    wanted = wanted - notched(pairs, 1, sfreq_hz, mains_hz).mean(axis=1)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


def test_contacts_without_both_neighbours_do_not_come_out():
    montage = Montage(("A1", "A2", "A3", "B1"), ("seeg",) * 4, 2048.0)
    assert PublishedLaplacian(montage, 60).montage.names == ("A2",)
    with pytest.raises(MontageError, match="a neighbour on either side"):
        PublishedLaplacian(montage.pick(["A1", "A3"]), 60)
