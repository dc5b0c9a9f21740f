import pytest
import torch

from rtbrain.encoder import require_precision
from rtbrain.errors import CompiledModelError
from rtbrain.live.step_timing import _products, measure_peak_flops


def has_bf16() -> bool:
    try:
        require_precision("bf16")
    except CompiledModelError:
        return False
    return True


BF16 = pytest.param(
    "bf16", marks=pytest.mark.skipif(not has_bf16(), reason="this CPU has no bfloat16")
)


@pytest.mark.parametrize("precision", ["fp32", BF16, "int8"])
def test_peak_is_a_number_of_operations_a_second(precision: str) -> None:
    peak = measure_peak_flops(precision, threads=1)
    assert 1e8 < peak < 1e15


def test_measuring_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    measure_peak_flops("fp32", threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("precision", ["fp32", BF16])
def test_each_way_gives_the_same_product(precision: str) -> None:
    first, *others = (product() for product in _products(precision))
    for other in others:
        torch.testing.assert_close(
            first, other, rtol=1e-2, atol=1e-1 if precision == "bf16" else 1e-2
        )


def test_precision_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of fp32, bf16, int8"):
        measure_peak_flops("fp8", threads=1)
