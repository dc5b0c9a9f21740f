"""The learning rate of each step."""

__all__ = ["rate_factor"]


def rate_factor(
    step: int, n_steps: int, *, warm_up: float, decay_factor: float, decay_every: float
) -> float:
    """Factor on the learning rate: a linear rise, then a stair down.

    Step k of N gets (k + 1) / W up to W = warm_up N, and decay_factor ** floor((k - W) / E) from
    there, with E = decay_every N: as published W is 2.5 % of the steps, and each 1 % takes 1 % off.

    Parameters
    ----------
    step : int
        Steps that were done before this one.
    n_steps : int
        Of the whole training.
    warm_up : float
        Share of the steps in which the rate rises.
    decay_factor : float
        What each stair multiplies the rate by.
    decay_every : float
        Length of a stair, as a share of the steps.

    References
    ----------
    Wang et al. 2023, BrainBERT, arXiv:2302.14367.
    """
    n_warm = round(warm_up * n_steps)
    if step < n_warm:
        return (step + 1) / n_warm
    stairs = (step - n_warm) // max(1, round(decay_every * n_steps))
    return float(decay_factor**stairs)
