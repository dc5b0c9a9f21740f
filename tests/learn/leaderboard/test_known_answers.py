"""Films, ceilings and folds of the leaderboard, each beside an independent answer."""

import numpy as np
import pytest
from scipy import signal
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from rtbrain.learn.leaderboard.ceiling import (
    EnergyPosterior,
    contacts_auc,
    energy_auc,
    mean_energy_auc,
)
from rtbrain.learn.leaderboard.cells import (
    Items,
    Ridge,
    best_outputs,
    independent_error,
    nearest_mean,
    score,
    task_items,
    within_folds,
)
from rtbrain.learn.leaderboard.film import QUANTITIES, QUARTERS, TASKS, VALUES, draw_film
from rtbrain.learn.leaderboard.rows import _floor_frames, _robust
from rtbrain.learn.leaderboard.sessions import SFREQ_HZ, Session, draw_participants
from rtbrain.types import Doubles, Ints, Quality, Window

FILM = draw_film(3, 600.0)


def area(scores: Doubles, labels: Ints) -> float:
    return score(scores[:, np.newaxis], labels)


@pytest.fixture(scope="module")
def session() -> Session:
    nothing = np.zeros((5, FILM.kinds.size))
    clean = np.ones(FILM.kinds.size, bool)
    return Session(draw_participants(1)[0], 0, FILM, nothing, clean, np.eye(10))


# Ceilings


@pytest.mark.parametrize(("db", "expected"), [(0.5, 0.766), (1.0, 0.927), (2.0, 0.998)])
def test_an_energy_detector_of_80_hz_and_1_s_reaches_what_is_known(
    db: float, expected: float
) -> None:
    assert abs(float(energy_auc(10 ** (db / 10), 160)) - expected) < 5e-4
    # As simulated: energy of white noise in a band, 1 s at a time.
    rng = np.random.default_rng(0)
    sos = signal.butter(8, (70, 150), "bandpass", fs=1000, output="sos")
    energy = np.square(signal.sosfilt(sos, rng.standard_normal(4_000_000))).reshape(-1, 1000).sum(1)
    found = area(
        np.concatenate([energy[:2000] * 10 ** (db / 10), energy[2000:]]),
        np.repeat([1, 0], 2000),
    )
    assert abs(found - expected) < 0.015


def test_a_mean_over_pairs_of_windows_is_that_of_every_pair() -> None:
    on, off = np.array([1.2, 1.2, 1.5]), np.array([1.0, 1.1])
    every = [float(energy_auc(a / b, 40)) for a in on for b in off]
    assert mean_energy_auc(on, off, 40) == pytest.approx(np.mean(every))


def test_the_likelihood_ratio_of_contacts_is_that_of_one_or_of_so_many_more_degrees() -> None:
    gain = 10 ** (0.5 / 20)
    for n in (1, 3):
        found = contacts_auc(np.eye(n), np.full(n, gain), np.ones(n), 160.0)
        assert abs(found - float(energy_auc(gain**2, 160 * n))) < 0.005
    assert contacts_auc(np.eye(2), np.ones(2), np.ones(2), 160.0) == 0.5


def test_the_likelihood_ratio_of_correlated_contacts_agrees_with_one_made_of_samples() -> None:
    correlation = np.array([[1, 0.7, 0.2], [0.7, 1, 0.2], [0.2, 0.2, 1]])
    on, off = np.array([1.1, 1.0, 1.05]), np.ones(3)
    rng = np.random.default_rng(1)
    covariances = [gain[:, None] * correlation * gain for gain in (on, off)]

    def log_ratio(x: Doubles) -> Doubles:
        found = np.zeros(x.shape[0])
        for covariance, sign in zip(covariances, (-0.5, 0.5), strict=True):
            found += sign * np.einsum("nti,ij,ntj->n", x, np.linalg.inv(covariance), x)
        return found

    scores = [
        log_ratio(rng.standard_normal((4000, 40, 3)) @ np.linalg.cholesky(covariance).T)
        for covariance in covariances
    ]
    expected = area(np.concatenate(scores), np.repeat([1, 0], 4000))
    found = contacts_auc(correlation, on, off, 40.0)
    assert abs(found - expected) < 0.02
    # A neighbour that is not driven hears the same noise: better than the contacts alone.
    assert found > contacts_auc(np.eye(3), on, off, 40.0) + 0.02


def test_what_an_energy_says_of_a_quantity_is_as_good_as_simulated() -> None:
    rng = np.random.default_rng(0)
    levels = rng.uniform(size=20_000)

    def power(level: Doubles) -> Doubles:
        return (1 + 0.23 * level) ** 2

    posterior = EnergyPosterior(power((np.arange(200) + 0.5) / 200), 140.0)
    energies = power(levels) * rng.chisquare(140, levels.size) / 140
    r = np.corrcoef(posterior.values(energies)[:, 0], levels)[0, 1]
    assert abs(r - posterior.expected_r(levels)) < 0.01
    # No other reading is better: neither the energy nor its logarithm.
    assert r >= max(np.corrcoef(x, levels)[0, 1] for x in (energies, np.log(energies))) - 1e-3
    quarters = np.minimum((4 * levels).astype(np.int64), 3)
    outputs = posterior.quarters(energies)
    np.testing.assert_allclose(outputs.sum(axis=1), 1)
    found = roc_auc_score(quarters, outputs, multi_class="ovr")
    assert abs(found - posterior.expected_auc(levels, quarters)) < 0.01
    assert found == pytest.approx(score(outputs, quarters))


@pytest.mark.parametrize("n", [10, 100])
def test_the_error_of_no_information_is_that_of_mann_and_whitney(n: int) -> None:
    assert independent_error(0.5, np.repeat([0, 1], n)) == pytest.approx(
        np.sqrt((2 * n + 1) / (12 * n**2))
    )


# Films


def test_nothing_changes_within_a_window() -> None:
    for start_s in FILM.times_s:
        levels = FILM.levels(start_s + np.linspace(1e-6, 1 - 1e-6, 40))
        # A word soon after the first of its sentence sees the drive of its beginning end.
        assert np.ptp(levels[1:], axis=1).max() == 0
    onsets = FILM.times_s[FILM.kinds == 2]
    assert all((FILM.levels(t + np.array([1e-6, 0.5, 0.999]))[0] == 1).all() for t in onsets)
    silence = FILM.times_s[FILM.kinds == 0]
    assert (FILM.levels(silence + 0.5)[:2] == 0).all()


def test_words_come_every_third_to_half_of_a_second_and_silence_two_after_the_last() -> None:
    words = FILM.times_s[FILM.kinds > 0]
    gaps = np.diff(words)[FILM.kinds[FILM.kinds > 0][1:] == 1]
    assert gaps.min() >= 0.3
    assert gaps.max() <= 0.5
    for start_s in FILM.times_s[FILM.kinds == 0]:
        assert start_s - words[words < start_s].max() >= 2 - 1e-9
        later = words[words > start_s]
        assert later.size == 0 or later.min() >= start_s + 1 - 1e-6


def test_quantities_label_the_highest_and_lowest_quarter_of_the_words() -> None:
    words = np.flatnonzero(FILM.kinds > 0)
    rows, values = FILM.labels("volume, value")
    np.testing.assert_array_equal(rows, words)
    same, quarters = FILM.labels("volume, quarters")
    np.testing.assert_array_equal(same, words)
    for k in range(4):
        share = (values[:, None] > values).mean(axis=1)[quarters == k]
        assert ((share >= k / 4) & (share < (k + 1) / 4)).all()
    for number, task in enumerate(QUANTITIES):
        values = FILM.quantities[FILM.part[words], number]
        rows, labels = FILM.labels(task)
        share = np.array([(values < FILM.quantities[FILM.part[r], number]).mean() for r in rows])
        np.testing.assert_array_equal(labels, share > 0.75)
        assert ((share > 0.75) | (share < 0.25)).all()
        assert 0.2 < (labels == 1).sum() / words.size <= 0.25


# Folds


def test_items_are_balanced_and_interleaved_by_rank_in_their_class(session: Session) -> None:
    for task in TASKS:
        items = task_items(session, task)
        assert items.labels.tolist() == [1, 0] * (items.labels.size // 2)
        for label in (0, 1):
            assert (np.diff(items.times_s[items.labels == label]) > 0).all()
    items = task_items(session, "volume, quarters")
    assert items.labels.tolist() == [0, 1, 2, 3] * (items.labels.size // 4)
    assert items.targets[:4].tolist() == np.eye(4).tolist()


def test_upstream_folds_are_halves_by_rank_and_strict_ones_are_far_apart_in_time(
    session: Session,
) -> None:
    for task in (*TASKS, *QUARTERS, *VALUES):
        items = task_items(session, task)
        n = items.rows.size
        for fold in within_folds(items):
            parts = [part.rows.tolist() for part in (fold.train, fold.validation, fold.test)]
            assert not set(parts[0]) & set(parts[1] + parts[2])
            assert not set(parts[1]) & set(parts[2])
            if fold.split == "upstream":
                half = items.rows.tolist()[: n // 2], items.rows.tolist()[n // 2 :]
                assert parts[0] == half[1 - fold.number]
                assert parts[1] + parts[2] == half[fold.number]
                continue
            for one, other in ((0, 1), (0, 2), (1, 2)):
                gap_s = np.abs(FILM.times_s[parts[one]][:, None] - FILM.times_s[parts[other]])
                assert gap_s.min() >= 2.25  # a window, what is read before it, and settling
            assert fold.test.times_s.min() > fold.validation.times_s.max()


# Readouts


def test_ridges_are_those_of_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 90)).astype(np.float32) * np.logspace(-1, 1, 90, dtype=np.float32)
    y = (x[:, 0] + rng.normal(size=60) > 0).astype(np.int64)
    test = rng.normal(size=(7, 90)).astype(np.float32)
    found = Ridge(x, y[:, np.newaxis]).outputs(test)[..., 0]
    z = (x - x.mean(0)) / x.std(0)
    gram = (z.T @ z).astype(float)
    for column, share in zip(found, np.logspace(4, -4, 25), strict=True):
        penalty = share * np.trace(gram) / 60
        weights = np.linalg.solve(gram + penalty * np.eye(90), z.T @ (y - y.mean()))
        expected = (test - x.mean(0)) / x.std(0) @ weights
        np.testing.assert_allclose(column, expected, rtol=2e-3, atol=3e-3)


def test_the_penalty_with_the_best_score_on_other_items_is_taken_of_equal_ones_the_weakest(
    session: Session,
) -> None:
    others = task_items(session, "volume")
    right, wrong = others.labels[:, np.newaxis].astype(float), 1.0 - others.labels[:, np.newaxis]
    test = np.arange(4.0)[:, np.newaxis, np.newaxis]  # [n_penalties, n_items, n_outputs]
    for candidates, best in (((wrong, right, wrong, wrong), 1), ((wrong, right, right, wrong), 2)):
        assert best_outputs(np.stack(candidates), others, test) == best


def test_the_clock_is_the_share_of_the_nearest_in_time() -> None:
    rng = np.random.default_rng(0)
    train_s, labels = rng.uniform(0, 100, 200), rng.integers(0, 2, 200)
    for at, share in zip(
        *(times := rng.uniform(0, 100, 9), nearest_mean(times, train_s, labels[:, None])[:, 0]),
        strict=True,
    ):
        nearest = sorted(range(200), key=lambda i: abs(train_s[i] - at))[:51]
        assert share == pytest.approx(labels[nearest].mean())
    assert (
        nearest_mean(np.array([5.0]), train_s[:20], labels[:20, None])[0, 0] == labels[:20].mean()
    )


def test_the_floor_reads_348_values_and_its_last_frames_end_with_the_window() -> None:
    n = round(1.25 * SFREQ_HZ)
    t = np.arange(n) / SFREQ_HZ
    data = np.stack([5 * np.sin(2 * np.pi * 112 * t), 3 * np.sin(2 * np.pi * 24 * t)])
    good = Quality(np.ones(2, bool))
    values = _floor_frames(Window(data.astype(np.float32), 1.0, 0, good)).reshape(2, 348)
    # |rfft| of a sine of amplitude a on a bin of a Hann frame of N samples: a N / 4.
    fast, mid = values[0, 28 + 96 :].reshape(32, 7), values[1, 28 : 28 + 96].reshape(16, 6)
    np.testing.assert_allclose(fast[:, 3], 5 * 64 / 4, rtol=1e-3)
    np.testing.assert_allclose(mid[:, 1], 3 * 128 / 4, rtol=1e-3)
    click = np.zeros((2, n), np.float32)
    click[:, -20] = 1
    values = _floor_frames(Window(click, 1.0, 0, good)).reshape(2, 348)
    for part, n_bins in ((values[0, :28], 7), (values[0, 28:124], 6), (values[0, 124:], 7)):
        assert (part.reshape(-1, n_bins)[-1] > 0).all()
        assert (part.reshape(-1, n_bins)[:-3] == 0).all()
    z = _robust(np.random.default_rng(0).rayleigh(3, (400, 2, 348)).astype(np.float32))
    assert abs(np.median(z)) < 0.02
    assert abs(norm.ppf(0.75) - np.quantile(np.abs(z), 0.5)) < 0.03


def test_picked_items_keep_their_labels(session: Session) -> None:
    items = task_items(session, "volume")
    some = items.pick(np.array([4, 1]))
    assert isinstance(some, Items)
    np.testing.assert_array_equal(some.rows, items.rows[[4, 1]])
    assert some.labels.tolist() == [1, 0]
