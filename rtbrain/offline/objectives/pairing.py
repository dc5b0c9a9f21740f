"""Which two windows of a session are shown together, and where a false token comes from."""

import numpy as np
import numpy.typing as npt

from rtbrain.offline.corpus.corpus import CorpusSession

__all__ = ["Pairing"]

Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

# Of the hop: by how much two windows in a row may miss it. Stamps are those of samples, which
# jitter by milliseconds and drift from the nominal rate; a window that is left out makes it two.
_SLACK = 0.25


class Pairing:
    """Windows of one session that can be paired.

    A window counts where more than half of the channels that the session ever has are good, so
    that any two windows share two channels or more. It begins an item where the next window
    counts too and ends one hop later, but for the jitter of the stamps.

    Parameters
    ----------
    session : CorpusSession
        Of any form.
    hop_s : float
        From one window to the next, s.

    Attributes
    ----------
    windows : ndarray, int64 [n]
        Windows that count, in the order of time.
    items : ndarray, int64 [n_items]
        Places in `windows` of those that begin an item. None are there with fewer than 4
        windows: the three about an item's first leave nothing to draw.
    """

    def __init__(self, session: CorpusSession, hop_s: float) -> None:
        n_ever_good = np.count_nonzero(session.good.any(axis=0))
        n_good = session.good.sum(axis=1)
        # a + b - n is what two windows share at least: 2 or more where 2 a >= n + 2.
        self.windows = np.flatnonzero((2 * n_good >= n_ever_good + 2) & (n_ever_good > 1))
        rises_s = np.diff(session.t_stop[self.windows])
        follows = (np.diff(self.windows) == 1) & (np.abs(rises_s - hop_s) <= _SLACK * hop_s)
        self.items = np.flatnonzero(follows) if self.windows.size > 3 else np.empty(0, np.int64)

    def apart(self, places: Numbers, dice: Doubles) -> Numbers:
        """Places of other windows, never a first itself nor those before and after it.

        Parameters
        ----------
        places : ndarray, int64 [B]
            Places in `windows` of the first of each pair.
        dice : ndarray, float64 [B]
            Uniform, 0 up to 1.
        """
        number = self.windows[places]
        lowest = np.searchsorted(self.windows, number - 1)
        n_shut = np.searchsorted(self.windows, number + 1, side="right") - lowest
        drawn = (dice * (self.windows.size - n_shut)).astype(np.int64)
        return drawn + np.where(drawn >= lowest, n_shut, 0)

    def anywhere(self, dice: Doubles) -> Numbers:
        """Places of windows of the session, the first itself among them: as published."""
        return (dice * self.windows.size).astype(np.int64)

    def third(self, places: Numbers, partners: Numbers, dice: Doubles) -> Numbers:
        """Places of windows that are neither of a pair.

        Parameters
        ----------
        places, partners : ndarray, int64 [B]
            Places in `windows` of the two of each pair.
        dice : ndarray, float64 [B]
            Uniform, 0 up to 1.
        """
        low, high = np.minimum(places, partners), np.maximum(places, partners)
        differ = (low != high).astype(np.int64)
        drawn: Numbers = (dice * (self.windows.size - 1 - differ)).astype(np.int64)
        drawn += drawn >= low
        drawn += differ * (drawn >= high)
        return drawn
