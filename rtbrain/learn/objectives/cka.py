"""Similarity of two sets of activations, whatever their rotation and scale: debiased linear CKA.

Legend: R rows (items), D features of either side, * axes of estimates made at once.
"""

import torch
from torch import Tensor

MIN_ROWS = 4  # with fewer, the debiased estimator does not exist


def gram(activations: Tensor) -> Tensor:
    """Products of all pairs of rows."""
    rows = activations.float()
    rows = rows - rows.mean(dim=-2, keepdim=True)
    # The scale is removed by CKA; here it keeps wide activations from large numbers.
    return rows @ rows.transpose(-1, -2) / rows.shape[-1]


def debiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    r"""Unbiased estimate of the Hilbert-Schmidt independence criterion.

    With K and L the Gram matrices whose diagonals are set to 0, of n rows:

    .. math::

        \mathrm{HSIC} = \frac{1}{n (n - 3)} \left( \mathrm{tr}(K L) + \frac{1^T K 1 \; 1^T L 1}
        {(n - 1)(n - 2)} - \frac{2}{n - 2} 1^T K L 1 \right)

    Its expectation for independent rows is 0, whatever the number of features; that of the usual
    estimator is not, which makes any two wide layers look alike.

    References
    ----------
    Song et al. 2012, Feature selection via dependence maximization, eq. 5. Nguyen et al. 2021,
    arXiv:2010.15327, eq. 3.
    """
    n = first.shape[-1]
    if n < MIN_ROWS:
        raise ValueError(f"expected {MIN_ROWS} rows or more, got {n}")
    diagonal = torch.eye(n, dtype=torch.bool, device=first.device)
    first, second = first.masked_fill(diagonal, 0.0), second.masked_fill(diagonal, 0.0)
    first_rows, second_rows = first.sum(dim=-1), second.sum(dim=-1)  # [*, R]
    trace = (first * second).sum(dim=(-1, -2))
    apart = first_rows.sum(dim=-1) * second_rows.sum(dim=-1) / ((n - 1) * (n - 2))
    shared = 2 / (n - 2) * (first_rows * second_rows).sum(dim=-1)
    return (trace + apart - shared) / (n * (n - 3))


def debiased_cka(first: Tensor, second: Tensor) -> Tensor:
    r"""Centred kernel alignment of two Gram matrices by the debiased estimator.

    .. math:: \mathrm{CKA} = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K) \mathrm{HSIC}(L, L)}

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327.
    """
    alike = debiased_hsic(first, first) * debiased_hsic(second, second)
    # An activation that never varies resembles nothing.
    tiny = torch.finfo(alike.dtype).tiny
    return debiased_hsic(first, second) / alike.clamp(min=tiny).sqrt()
