"""The learning rate against torch's own schedulers, and against the published end."""

import pytest
import torch

from rtbrain.learn.training.optimiser import rate_factor

PUBLISHED = {"warm_up": 0.025, "decay_factor": 0.99, "decay_every": 0.01}


def test_the_rate_is_that_of_a_linear_rise_then_steplr() -> None:
    n_steps, n_warm, every = 1000, 25, 10
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stair = torch.optim.lr_scheduler.StepLR(optimiser, every, 0.99)
    for step in range(n_steps):
        if step < n_warm:
            expected = (step + 1) / n_warm
        else:
            expected = stair.get_last_lr()[0]
            optimiser.step()
            stair.step()
        assert rate_factor(step, n_steps, **PUBLISHED) == pytest.approx(expected, rel=1e-12)


def test_the_published_rate_ends_at_the_published_share() -> None:
    assert rate_factor(499_999, 500_000, **PUBLISHED) == pytest.approx(0.99**97)
    assert rate_factor(12_499, 500_000, **PUBLISHED) == 1
    assert rate_factor(0, 500_000, **PUBLISHED) == pytest.approx(1 / 12_500)


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    assert rate_factor(0, 10, warm_up=0.0, decay_factor=0.5, decay_every=0.5) == 1
    assert rate_factor(9, 10, warm_up=0.0, decay_factor=0.5, decay_every=0.5) == 0.5
