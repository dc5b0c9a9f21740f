"""Re-referencing within the signal chain: common average, bipolar pairs, shaft Laplacian.

Neighbours on a shaft are found by label, a stem and a number: ``LA3`` lies between ``LA2`` and
``LA4``. On a grid the last contact of one row and the first of the next have consecutive numbers
too; labels alone cannot tell them apart.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.signal import sosfilt

from rtbrain.errors import MontageError
from rtbrain.signal.filters import NotchComb
from rtbrain.signal.shafts import (
    CONTACT_KINDS,
    _places,
    contact_rows,
    neighbour_triples,
    no_neighbours_message,
    some_names,
)
from rtbrain.types import Chunk, Floats, Montage


class CommonAverage:
    """Subtracts the mean of all contacts from each of them, at every sample.

    The mean is over the contacts that are finite at that sample: a contact that is NaN stays NaN
    and leaves the others be, but for its share of the mean: no result is the same to the bit as
    with it. A sample at which none is finite stays as it is.

    Parameters
    ----------
    montage : Montage
        Channels of the chunks that come in.

    Attributes
    ----------
    dropped : tuple of str
        Channels that are no contacts (of another kind than seeg, ecog, dbs or eeg) and do not
        come out.

    Raises
    ------
    MontageError
        There are fewer than two contacts.
    """

    def __init__(self, montage: Montage) -> None:
        rows = contact_rows(montage)
        if len(rows) < 2:
            raise MontageError(
                f"common average: expected two or more contacts of kind "
                f"{', '.join(sorted(CONTACT_KINDS))}, got {len(rows)} of {some_names(montage.names)}: "
                f"set the kinds of the channels"
            )
        self.montage = montage.pick([montage.names[row] for row in rows])
        self.dropped = _without(montage, rows)
        self._rows = np.asarray(rows)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts against their mean."""
        data = chunk.data[self._rows]
        finite = np.isfinite(data)
        if finite.all():
            mean = data.mean(axis=0, dtype=np.float64)
        else:
            n_finite = finite.sum(axis=0)
            total = np.where(finite, data, 0).sum(axis=0, dtype=np.float64)
            mean = total / np.maximum(n_finite, 1)
        data -= mean.astype(np.float32)
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class Bipolar:
    """Differences of neighbours on a shaft: ``A1-A2`` is A1 minus A2, placed at their midpoint.

    Parameters
    ----------
    montage : Montage
        Channels of the chunks that come in.

    Attributes
    ----------
    dropped : tuple of str
        Channels that take part in no pair: no contacts, labels that are not a stem and a number,
        contacts without a neighbour.

    Raises
    ------
    MontageError
        No two contacts are neighbours, or two claim the same place on a shaft.
    """

    def __init__(self, montage: Montage) -> None:
        places = _places(montage)
        pairs = [
            (row, places[shaft, number + 1])
            for (shaft, number), row in places.items()
            if (shaft, number + 1) in places
        ]
        if not pairs:
            raise MontageError(no_neighbours_message("bipolar", "a neighbour", montage))
        self._first, self._second = np.asarray(pairs).T
        names = tuple(f"{montage.names[i]}-{montage.names[j]}" for i, j in pairs)
        positions = None
        if montage.positions is not None:
            # Halved before they are added, so that large coordinates cannot overflow.
            halves = montage.positions / np.float32(2)
            positions = halves[self._first] + halves[self._second]
        kinds = tuple(montage.kinds[i] for i, _ in pairs)
        self.montage = replace(montage, names=names, kinds=kinds, positions=positions)
        self.dropped = _without(montage, [row for pair in pairs for row in pair])

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the pairs' differences; NaN where either contact is NaN."""
        data: Floats = chunk.data[self._first]
        data -= chunk.data[self._second]
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class Laplacian:
    """Each contact against the mean of its two neighbours on the shaft.

    ``x[i] - (x[i-1] + x[i+1]) / 2``, the reference that the BrainBERT paper describes [1]_; what
    its released code does is `rtbrain.signal.PublishedLaplacian`. Contacts keep their labels,
    positions and order.

    Good neighbours only, sample by sample: where one of the two is not finite, the other stands
    alone, ``x[i] - x[i+1]``; where neither is, or the contact itself is not, the result is NaN.
    Contacts with three finite samples are not touched by it, to the bit.

    Parameters
    ----------
    montage : Montage
        Channels of the chunks that come in.

    Attributes
    ----------
    dropped : tuple of str
        Channels that do not come out: no contacts, labels that are not a stem and a number,
        contacts without both neighbours.

    Raises
    ------
    MontageError
        No contact has both neighbours, or two claim the same place on a shaft.

    References
    ----------
    .. [1] Wang et al., "BrainBERT: self-supervised representation learning for intracranial
       recordings", ICLR 2023, arXiv:2302.14367.
    """

    def __init__(self, montage: Montage) -> None:
        self._centre, self._below, self._above = neighbour_triples(montage)
        self.montage = montage.pick([montage.names[row] for row in self._centre])
        self.dropped = _without(montage, [int(row) for row in self._centre])

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts against their finite neighbours; NaN without any."""
        below, above = chunk.data[self._below], chunk.data[self._above]
        around = below + above
        around *= np.float32(0.5)
        if not np.isfinite(around).all():
            _fill_from_one(around, below, above)
        data: Floats = chunk.data[self._centre]
        # An infinite contact minus an infinite neighbour is NaN, and no cause to warn.
        with np.errstate(invalid="ignore"):
            data -= around
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


def _fill_from_one(around: Floats, below: Floats, above: Floats) -> None:
    """Where one neighbour alone is finite, put it in the place of the mean; NaN for neither."""
    has_below, has_above = np.isfinite(below), np.isfinite(above)
    np.copyto(around, below, where=has_below & ~has_above)
    np.copyto(around, above, where=has_above & ~has_below)
    around[~has_below & ~has_above] = np.nan


def _without(montage: Montage, rows: Sequence[int]) -> tuple[str, ...]:
    used = set(rows)
    return tuple(name for row, name in enumerate(montage.names) if row not in used)


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
        self._centre, self._below, self._above = neighbour_triples(montage)
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
