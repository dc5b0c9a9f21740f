"""Debiased linear CKA against Gram matrices written out, and what it must not see."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.learn.objectives.distillation_scores import debiased_cka, debiased_hsic, gram

Array = np.ndarray


def cka(first: Array, second: Array) -> float:
    grams = (gram(torch.from_numpy(each.astype(np.float32))) for each in (first, second))
    return float(debiased_cka(*grams))


def hsic_over_quadruples(k: Array, m: Array) -> float:
    """The U-statistic itself: a mean over all ordered sets of four different rows."""
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        count += 1
    return total / count


@settings(max_examples=20)
@given(
    n=st.integers(4, 8), widths=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0)
)
def test_hsic_is_the_mean_over_all_quadruples_of_rows(
    n: int, widths: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((n, width)) for width in widths)
    k, m = x @ x.T, y @ y.T
    expected = hsic_over_quadruples(k, m)
    made = float(debiased_hsic(torch.from_numpy(k), torch.from_numpy(m)))
    assert made == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_cka_is_hsic_over_its_own_with_gram_matrices_written_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 12)) + 50  # a common offset, as activations have
    y = x[:, :7] @ rng.standard_normal((7, 5)) + rng.standard_normal((30, 5))

    def hsic(k: Array, m: Array) -> float:
        n = len(k)
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        one = np.ones(n)
        middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        last = 2 / (n - 2) * (one @ k @ m @ one)
        return (np.trace(k @ m) + middle - last) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    assert cka(x, y) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0), scale=st.floats(0.01, 100), n_features=st.integers(2, 20))
def test_rotation_scale_and_offset_change_nothing(seed: int, scale: float, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((24, n_features))
    y = rng.standard_normal((24, 3)) + x[:, :1]
    turn = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    offset = rng.standard_normal(n_features)
    assert cka(scale * x @ turn + offset, y) == pytest.approx(cka(x, y), abs=1e-3)
    assert cka(x @ turn, x) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("n_features", [4, 64, 2048])
def test_independent_activations_are_alike_by_nothing_at_any_width(n_features: int) -> None:
    rng = np.random.default_rng(1)
    drawn = [rng.standard_normal((2, 32, n_features)) for _ in range(200)]
    values = np.array([cka(x, y) for x, y in drawn])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(values.size) + 1e-3
    assert abs(values.mean()) < 0.02  # the usual estimator says 0.98 at the largest width


def test_several_pairs_at_once_are_each_alone() -> None:
    values = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0))
    others = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(1))
    together = debiased_cka(gram(values), gram(others))
    alone = [debiased_cka(gram(a), gram(b)) for a, b in zip(values, others, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_too_few_rows_are_refused_and_constant_ones_are_like_nothing() -> None:
    with pytest.raises(ValueError, match="4 rows or more, got 3"):
        debiased_hsic(torch.eye(3), torch.eye(3))
    same, other = gram(torch.ones(8, 3)), gram(torch.randn(8, 3))
    assert float(debiased_cka(same, other)) == 0
