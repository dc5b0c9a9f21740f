"""A Population Transformer learns a task from its training windows alone, the same each time."""

import numpy as np
import pytest
import torch

from rtbrain.encoder import PopT, PopTSizes
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.cross_validation import outputs_of
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.popt import ChannelEmbeddings, population_of, tune_popt
from rtbrain.learn.metrics import scores_of

EMBARGO_S, N_CHANNELS, N_FEATURES = 1.5, 5, 8


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def patient(n_windows: int = 400) -> tuple[PopT, ChannelEmbeddings, Labelled]:
    """One of four good channels tells the class, a fifth is bad; the model's weights are random."""
    rng = np.random.default_rng(0)
    targets = (np.arange(n_windows) // 10 % 2).astype(np.int64)
    channels = rng.normal(0, 1, (n_windows, N_CHANNELS, N_FEATURES)).astype(np.float32)
    channels[:, 2] += 4 * targets[:, np.newaxis] - 2
    good = np.ones((n_windows, N_CHANNELS), np.bool_)
    good[:, 4] = False
    channels[:, 4] = 0
    positions = np.arange(3 * N_CHANNELS).reshape(N_CHANNELS, 3) + 60
    torch.manual_seed(1)
    popt = PopT(PopTSizes(N_FEATURES, 16, 32, 2, 1))
    t_s = np.arange(n_windows) * 0.25
    labelled = Labelled(np.arange(n_windows), targets, ("rest", "speech"), t_s)
    return popt, ChannelEmbeddings(channels, positions, good), labelled


def test_tuning_tells_classes_in_windows_that_were_held_out_and_leaves_the_given_model() -> None:
    popt, embeddings, labelled = patient()
    before = {name: value.clone() for name, value in popt.state_dict().items()}
    train, test = np.arange(300), np.arange(320, 400)
    steps: list[int] = []
    tuned = tune_popt(
        popt,
        embeddings,
        labelled,
        train=train,
        embargo_s=EMBARGO_S,
        seed=0,
        n_steps=450,
        on_step=lambda: steps.append(1),
    )
    features = population_of(tuned.popt, embeddings, test)
    rows = np.arange(test.size)
    scores = scores_of(outputs_of(tuned.readout, features, rows), labelled.targets[test])
    assert scores["auc"] > 0.85
    assert 0 < len(steps) <= 450
    assert tuned.readout.weight.shape == (2, 16)
    for name, value in popt.state_dict().items():
        assert torch.equal(value, before[name])
    assert any(
        not torch.equal(value, before[name]) for name, value in tuned.popt.state_dict().items()
    )


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    popt, embeddings, labelled = patient(200)
    found = []
    for seed, state in ((3, 7), (3, 8), (4, 7)):
        torch.manual_seed(state)  # of the program, which must not matter
        found.append(
            tune_popt(popt, embeddings, labelled, embargo_s=EMBARGO_S, seed=seed, n_steps=8)
        )
    np.testing.assert_array_equal(found[0].readout.weight, found[1].readout.weight)
    np.testing.assert_array_equal(found[0].feature_mean, found[1].feature_mean)
    assert not np.array_equal(found[0].readout.weight, found[2].readout.weight)


def test_tuning_reads_its_training_windows_only_and_no_channel_that_is_not_good() -> None:
    popt, embeddings, labelled = patient(300)
    train = np.arange(200)
    spoilt = embeddings.channels.copy()
    spoilt[200:] = np.nan
    spoilt[:, 4] = 1e3
    targets = labelled.targets.copy()
    targets[200:] = 0
    others = Labelled(labelled.rows, targets, labelled.names, labelled.t_s)
    found = [
        tune_popt(popt, given, labels, train=train, embargo_s=EMBARGO_S, seed=0, n_steps=8)
        for given, labels in (
            (embeddings, labelled),
            (ChannelEmbeddings(spoilt, embeddings.positions, embeddings.good), others),
        )
    ]
    np.testing.assert_allclose(found[0].readout.weight, found[1].readout.weight, atol=1e-6)


def test_population_vectors_are_those_of_the_model_one_window_at_a_time() -> None:
    popt, embeddings, _ = patient(300)
    found = population_of(popt, embeddings, np.array([5, 250]))
    good = torch.tensor([[True] * 4 + [False]])
    positions = torch.from_numpy(embeddings.positions)[None]
    for row, at in enumerate((5, 250)):
        with torch.no_grad():
            alone = popt.population(
                torch.from_numpy(embeddings.channels[at : at + 1]), positions, good
            )
        np.testing.assert_allclose(found[row], alone[0].numpy(), atol=1e-5)


def test_training_windows_without_a_block_to_stop_on_are_refused() -> None:
    popt, embeddings, labelled = patient()
    with pytest.raises(SettingsError, match="a block of the training windows to stop on: 2 folds"):
        tune_popt(
            popt, embeddings, labelled.pick(np.arange(20)), embargo_s=EMBARGO_S, seed=0, n_steps=8
        )
