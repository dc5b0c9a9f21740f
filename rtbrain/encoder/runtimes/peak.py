"""The peak of this machine: how fast torch multiplies matrices at each precision."""

import math
import time
from collections.abc import Callable
from typing import get_args

import torch

from rtbrain.encoder.runtimes.choice import Precision
from rtbrain.encoder.runtimes.window_runtime import on_threads

# Large enough to leave the cores no excuse, small enough for their caches.
_N = 1024
_PEAK_S = 0.3


def measure_peak_flops(precision: str, *, threads: int) -> float:
    """Best rate of torch's ways to multiply two matrices of 1024 x 1024, operations per second.

    `precision` is ``fp32``, ``bf16``, or ``int8`` with sums of 32 bits; each multiply and add are
    two operations. On CPUs torch multiplies float32 by MKL, which is at half the speed of oneDNN
    on those of another maker than its own: both are tried, and the better counts.
    """
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ValueError(f"precision: expected one of {known}, got {precision!r}")
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
    """Shortest call of a while: other work slows a call, and nothing makes one faster."""
    product()
    fastest_s, end_s = math.inf, time.perf_counter() + _PEAK_S
    while (start_s := time.perf_counter()) < end_s:
        product()
        fastest_s = min(fastest_s, time.perf_counter() - start_s)
    return fastest_s
