"""What this machine can do at most: products of large matrices, at a precision."""

import time
from collections.abc import Callable

import torch

from rtbrain.encoder.runtime import on_threads
from rtbrain.offline.timing import measure

__all__ = ["PRECISIONS", "measured_peak"]

PRECISIONS = ("fp32", "bf16", "int8")
"""Precisions in which encoders run."""

# Large enough to leave the cores no excuse, small enough for their caches.
_N = 1024
_LONGEST_S = 0.3


def measured_peak(precision: str, *, threads: int) -> float:
    """Best of torch's own ways to multiply two matrices of 1024 x 1024, in operations a second.

    Parameters
    ----------
    precision : str
        ``fp32``, ``bf16``, or ``int8`` with sums of 32 bits.
    threads : int
        Threads of torch meanwhile.

    Returns
    -------
    float
        Operations a second, two for each multiply and add.

    Raises
    ------
    ValueError
        There is no such precision.

    Notes
    -----
    On CPUs torch multiplies float32 by MKL, which is at half the speed of oneDNN on those of
    another maker than its own: both are tried, and the better counts.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    with on_threads(threads), torch.inference_mode():
        fastest_s = min(_fastest_s(product) for product in _products(precision))
    return 2 * _N**3 / fastest_s


def _products(precision: str) -> list[Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    if precision == "int8":
        a, b = (
            torch.randint(-127, 128, (_N, _N), dtype=torch.int8, generator=generator)
            for _ in range(2)
        )
        return [lambda: torch._int_mm(a, b)]
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    x, y = (torch.randn(_N, _N, generator=generator).to(dtype) for _ in range(2))
    products: list[Callable[[], object]] = [lambda: x @ y.T]
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        packed = torch.ops.mkldnn._reorder_linear_weight(y, _N)  # as of a linear map: transposed
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""))
    return products


def _fastest_s(product: Callable[[], object]) -> float:
    """Shortest of calls for a while: others slow a call, nothing makes it faster than it is."""
    fastest_s = measure(product, repeats=1, warmup=1).median_ms / 1e3
    end_s = time.perf_counter() + _LONGEST_S
    while time.perf_counter() < end_s:
        fastest_s = min(fastest_s, measure(product, repeats=1, warmup=0).median_ms / 1e3)
    return fastest_s
