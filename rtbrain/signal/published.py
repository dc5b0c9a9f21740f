"""The reference that the released BrainBERT and PopT code gives, for models trained on it.

The paper's method is `NotchComb` followed by `Laplacian`; the code does something else, and its
checkpoints have seen nothing but that.
"""

import numpy as np
from scipy.signal import sosfilt

from rtbrain.signal.filters import NotchComb
from rtbrain.signal.reference import between_neighbours
from rtbrain.types import Chunk, Floats, Montage

__all__ = ["PublishedLaplacian"]


class PublishedLaplacian:
    """Notched contact minus its neighbours as the released code filters them: not in time.

    The published code [1]_ [2]_ notches each contact along time. Then it stacks its two raw
    neighbours, the higher number first, and runs the same notches along *that* axis, as if the
    pair were a signal of two samples. With ``h`` the impulse response of the notches,
    it subtracts::

        h[0] / 2 * below + (h[0] + h[1]) / 2 * above

    at 2048 Hz and 60 to 360 Hz ``0.469 * below + 0.429 * above``: the neighbours keep their mains
    hum, which so comes into the output, and a tenth of what both share stays in. It is
    reproduced for parity with released weights and takes the place of notch and Laplacian both;
    for anything trained anew use those two.

    Parameters
    ----------
    montage : Montage
        Channels and rate of the chunks that come in, not notched.
    mains_hz, q, up_to_hz : float
        As for `NotchComb`; the published values are 60, 30 and 360.

    Attributes
    ----------
    montage : Montage
        Contacts that come out: those with both neighbours on their shaft.
    dropped : tuple of str
        Channels that do not come out, as of `Laplacian`.

    Raises
    ------
    MontageError
        No contact has both neighbours, or two claim the same place on a shaft.
    SettingsError
        The notches cannot be, as for `NotchComb`.

    References
    ----------
    .. [1] Wang et al., "BrainBERT: self-supervised representation learning for intracranial
       recordings", ICLR 2023, arXiv:2302.14367.
    .. [2] Chau et al., "Population Transformer: learning population-level representations of
       neural activity", ICLR 2025, arXiv:2406.03044.
    """

    def __init__(
        self, montage: Montage, mains_hz: float, *, q: float = 30.0, up_to_hz: float = 360.0
    ) -> None:
        self._centre, self._below, self._above = between_neighbours(montage)
        self.montage = montage.pick([montage.names[row] for row in self._centre])
        kept = set(self.montage.names)
        self.dropped = tuple(name for name in montage.names if name not in kept)
        self._notch = NotchComb(self.montage, mains_hz, q=q, up_to_hz=up_to_hz)
        first, second = sosfilt(self._notch.sos, [1.0, 0.0])
        self._of_below = first / 2
        self._of_above = (first + second) / 2

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts against their neighbours; NaN where any of the three is NaN."""
        centres = Chunk(chunk.data[self._centre], chunk.timestamps, chunk.first_sample, chunk.gap)
        around = self._of_below * chunk.data[self._below].astype(np.float64)
        around += self._of_above * chunk.data[self._above].astype(np.float64)
        data: Floats = (self._notch(centres).data - around).astype(np.float32)
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Start the notches again from zero state."""
        self._notch.reset()
