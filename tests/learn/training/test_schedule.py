"""The learning rate against torch's own schedulers, and against the published end."""

import pytest
import torch

from rtbrain.learn.training.optimiser import learning_rate
from tests.learn.training.tiny import settings_of


def rate(step: int, n_steps: int, **changed: object) -> float:
    published = {"warm_up": 0.025, "decay": {"factor": 0.99, "every": 0.01}}
    optimiser = {"name": "adamw", "lr": 1.0}
    return learning_rate(
        settings_of(steps=n_steps, optimiser=optimiser, **(published | changed)), step
    )


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
        assert rate(step, n_steps) == pytest.approx(expected, rel=1e-12)


def test_the_published_rate_ends_at_the_published_share() -> None:
    assert rate(499_999, 500_000) == pytest.approx(0.99**97)
    assert rate(12_499, 500_000) == 1
    assert rate(0, 500_000) == pytest.approx(1 / 12_500)


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    half = {"warm_up": 0.0, "decay": {"factor": 0.5, "every": 0.5}}
    assert rate(0, 10, **half) == 1
    assert rate(9, 10, **half) == 0.5
