"""LAMB against torch-optimizer's, and against the numbers of its equation."""

import pytest
import torch
import torch_optimizer

from rtbrain.learn.training.optimiser import Lamb

SHAPES = [(5, 4), (7,), (2, 3, 3)]


def weights_of(seed: int, scale: float = 1.0) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(scale * torch.randn(shape, generator=draw)) for shape in SHAPES]


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("scale", [0.1, 30.0])  # below and above the norm that is held to 10
def test_each_step_is_that_of_torch_optimizer(weight_decay: float, scale: float) -> None:
    ours, theirs = weights_of(1, scale), weights_of(1, scale)
    mine = Lamb(ours, lr=0.02, weight_decay=weight_decay)
    oracle = torch_optimizer.Lamb(theirs, lr=0.02, weight_decay=weight_decay)
    draw = torch.Generator().manual_seed(2)
    for step in range(60):
        for mine_at, theirs_at in zip(ours, theirs, strict=True):
            mine_at.grad = torch.randn(mine_at.shape, generator=draw) * 10 ** (step % 3 - 2)
            theirs_at.grad = mine_at.grad.clone()
        mine.step()
        oracle.step()
        for mine_at, theirs_at in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine_at, theirs_at, rtol=3e-6, atol=3e-6)


def test_the_first_step_is_as_long_as_the_rate_times_the_weights() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimiser = Lamb([weight], lr=0.1)
    weight.grad = torch.tensor([1e-3, -20.0])
    before = weight.detach().clone()
    optimiser.step()
    moved = weight.detach() - before
    assert float(moved.norm()) == pytest.approx(0.1 * 5.0, rel=1e-5)
    # Without correction of the bias: m / sqrt(v) = 0.1 g / (sqrt(0.001) |g|), the same for each.
    assert float(moved[1] / moved[0]) == pytest.approx(-1.0, rel=0.05)


def test_weights_of_zero_move_by_the_plain_update() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    optimiser = Lamb([weight], lr=0.1)
    weight.grad = torch.ones(3)
    optimiser.step()
    expected = -0.1 * 0.1 / (0.001**0.5 + 1e-6)
    torch.testing.assert_close(weight.detach(), torch.full((3,), expected))


def test_a_weight_without_a_gradient_stays() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    Lamb([weight], lr=0.1, weight_decay=0.1).step()
    assert weight.tolist() == [1, 1, 1]
