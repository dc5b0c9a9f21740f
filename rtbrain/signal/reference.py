"""Re-referencing within the signal chain: common average, bipolar pairs, shaft Laplacian.

Neighbours on a shaft are found by label, a stem and a number: ``LA3`` lies between ``LA2`` and
``LA4``. On a grid the last contact of one row and the first of the next have consecutive numbers
too; labels alone cannot tell them apart.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rtbrain.errors import MontageError
from rtbrain.types import Chunk, Floats, Montage

__all__ = [
    "Bipolar",
    "CommonAverage",
    "Laplacian",
    "between_neighbours",
    "contact_rows",
    "shaft_pairs",
]

Rows = npt.NDArray[np.int64]

_CONTACT_KINDS = frozenset({"dbs", "ecog", "eeg", "seeg"})
_LONGEST_SHAFT = 18  # contacts, of the depth electrodes that are made
_LABEL = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]+)")


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
                f"{', '.join(sorted(_CONTACT_KINDS))}, got {len(rows)} of {_some(montage.names)}: "
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
            raise MontageError(_nobody("bipolar", "a neighbour", montage))
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
        self._centre, self._below, self._above = between_neighbours(montage)
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


def between_neighbours(montage: Montage) -> tuple[Rows, Rows, Rows]:
    """Rows of the contacts with both neighbours on their shaft, and rows of those neighbours.

    Parameters
    ----------
    montage : Montage
        Channels to look among.

    Returns
    -------
    centre, below, above : ndarray, int64 [n_centres]
        In the montage's order; below has the lower number.

    Raises
    ------
    MontageError
        No contact has both neighbours, or two claim the same place on a shaft.
    """
    places = _places(montage)
    triples = [
        (row, places[shaft, number - 1], places[shaft, number + 1])
        for (shaft, number), row in places.items()
        if (shaft, number - 1) in places and (shaft, number + 1) in places
    ]
    if not triples:
        raise MontageError(_nobody("Laplacian", "a neighbour on either side", montage))
    centre, below, above = np.asarray(triples, np.int64).T
    return centre, below, above


def shaft_pairs(montage: Montage, reach: int) -> tuple[Rows, Rows]:
    """Rows of contacts that lie on one shaft within `reach` places of each other.

    Contacts whose labels cannot be read, or that claim one place, form no pair; nor do those of
    more than 18 contacts with one stem, which are a grid: next in number is not next in place.

    Parameters
    ----------
    montage : Montage
        Channels to look among.
    reach : int
        Largest difference of their numbers, 1 for neighbours only.

    Returns
    -------
    first, second : ndarray, int64 [n_pairs]
        Each pair once.
    """
    shafts: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in contact_rows(montage):
        label = _parsed(montage.names[row])
        if label is not None:
            shafts.setdefault((montage.kinds[row], label[0]), []).append((row, label[1]))
    pairs = [
        (row, other)
        for shaft in shafts.values()
        if len(shaft) <= _LONGEST_SHAFT
        for row, number in shaft
        for other, other_number in shaft
        if 1 <= other_number - number <= reach
    ]
    first, second = np.asarray(pairs, np.int64).reshape(-1, 2).T
    return first, second


def contact_rows(montage: Montage) -> list[int]:
    """Rows of the channels that are contacts in the brain or on the head.

    Parameters
    ----------
    montage : Montage
        Channels to look among.
    """
    return [row for row, kind in enumerate(montage.kinds) if kind in _CONTACT_KINDS]


def _parsed(label: str) -> tuple[str, int] | None:
    """Stem and number of a label, such as ``("LT1Ha", 4)``; None where it is not of that form.

    ``*`` and ``#``, with which clinics mark contacts, are no part of a stem; nor is what only
    separates it from the number. Primes stay: ``A'3`` and ``A3`` are on opposite sides.
    """
    found = _LABEL.fullmatch(re.sub(r"[*#]", "", label).strip())
    if found is None:
        return None
    stem = found["stem"].rstrip("_ -")
    if not any(letter.isalpha() for letter in stem):
        return None
    return stem, int(found["number"])


def _places(montage: Montage) -> dict[tuple[tuple[str, str], int], int]:
    """Row of each contact by its shaft (kind and stem) and number, in the montage's order."""
    places: dict[tuple[tuple[str, str], int], int] = {}
    for row in contact_rows(montage):
        parsed = _parsed(montage.names[row])
        if parsed is None:
            continue
        stem, number = parsed
        place = ((montage.kinds[row], stem), number)
        if place in places:
            raise MontageError(
                f"contacts {montage.names[places[place]]} and {montage.names[row]} are both "
                f"number {number} of shaft {stem}: rename one or pick the channels"
            )
        places[place] = row
    return places


def _without(montage: Montage, rows: Sequence[int]) -> tuple[str, ...]:
    used = set(rows)
    return tuple(name for row, name in enumerate(montage.names) if row not in used)


def _nobody(reference: str, neighbours: str, montage: Montage) -> str:
    return (
        f"{reference} reference: no contact has {neighbours}, got {_some(montage.names)}: "
        f"expected kinds {', '.join(sorted(_CONTACT_KINDS))} and labels such as A1, A2, A3"
    )


def _some(names: Sequence[str]) -> str:
    if not names:
        return "no channels"
    return ", ".join(names[:6]) + (f", ... ({len(names)} channels)" if len(names) > 6 else "")
