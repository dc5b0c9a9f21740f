"""Re-referencing: averages, bipolar pairs, Laplacians; and the shafts that labels name.

Contacts are found by label, a stem and a number: ``LA3`` lies between ``LA2`` and ``LA4``. On a
grid the last contact of one row and the first of the next have consecutive numbers too; labels
alone cannot distinguish them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from rtbrain.channels import places_of
from rtbrain.errors import MontageError, list_words
from rtbrain.signal.filters import NotchComb
from rtbrain.types import CONTACT_KINDS, Chunk, Floats, Ints, Montage

_LONGEST_SHAFT = 18  # contacts of the longest depth electrodes on the market


class CommonAverage:
    """Subtracts the mean of all contacts from each of them, at every sample.

    The mean is over the contacts that are finite at that sample; a NaN stays NaN. Channels of
    other kinds than seeg, ecog, dbs and eeg do not come out. MontageError if there are fewer than
    two contacts.
    """

    def __init__(self, montage: Montage) -> None:
        rows = contact_rows(montage)
        if len(rows) < 2:
            raise MontageError(
                f"common average: expected two or more contacts of kind "
                f"{', '.join(sorted(CONTACT_KINDS))}, got {len(rows)} among "
                f"{list_words(montage.names) or 'no channels'}: set the kinds of the channels"
            )
        self.montage = montage.pick([montage.names[row] for row in rows])
        self._rows = np.asarray(rows)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts minus their mean."""
        data = chunk.data[self._rows]
        finite = np.isfinite(data)
        total = np.where(finite, data, 0).sum(axis=0, dtype=np.float64)
        data -= (total / np.maximum(finite.sum(axis=0), 1)).astype(np.float32)
        return replace(chunk, data=data)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class ShaftMean:
    """Subtracts the mean of each shaft from its contacts, at every sample.

    The mean is over the contacts of the shaft that are finite at that sample; where fewer than two
    are, the result is NaN, since one contact minus itself is no signal. Contacts of one stem and
    kind are a shaft, and so is a grid. MontageError where a contact is alone on its shaft, or its
    label names none.
    """

    def __init__(self, montage: Montage) -> None:
        shafts: dict[tuple[str, str], list[int]] = {}
        for row, shaft, _ in _labelled(montage):
            shafts.setdefault(shaft, []).append(row)
        grouped = [rows for rows in shafts.values() if len(rows) > 1]
        rows = sorted(row for shaft in grouped for row in shaft)
        alone = [montage.names[row] for row in contact_rows(montage) if row not in set(rows)]
        if alone or not rows:
            raise MontageError(
                f"shaft_mean reference: expected two or more contacts on each shaft, labelled as "
                f"A1, A2; alone or on no shaft by its label: {list_words(alone) or 'no channels'}: "
                "leave it out (--exclude), or set reference: car"
            )
        self.montage = montage.pick([montage.names[row] for row in rows])
        self._rows = np.concatenate(grouped)  # shaft by shaft
        sizes = [len(shaft) for shaft in grouped]
        self._shafts = list(itertools.pairwise(np.cumsum([0, *sizes]).tolist()))
        self._sizes = np.array(sizes)[:, np.newaxis]
        self._shaft_of = np.repeat(np.arange(len(sizes)), sizes)
        self._back = np.argsort(self._rows)  # to the montage's order

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts minus the mean of their shaft."""
        data = chunk.data[self._rows]
        finite = np.isfinite(data)
        if finite.all():
            mean = (self._sum(data, np.float64) / self._sizes).astype(np.float32)
        else:
            n_finite = self._sum(finite, np.int64)
            total = self._sum(np.where(finite, data, 0), np.float64)
            mean = (total / np.maximum(n_finite, 1)).astype(np.float32)  # [shafts, n_samples]
            mean[n_finite < 2] = np.nan
        data -= mean[self._shaft_of]
        return replace(chunk, data=data[self._back])

    def _sum(self, data: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
        # The same sums as those of reduceat, in a third of the time.
        return np.stack([data[a:b].sum(axis=0, dtype=dtype) for a, b in self._shafts])

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class Bipolar:
    """Differences of neighbours on a shaft: ``A1-A2`` is A1 minus A2, placed at their midpoint.

    It is in the region of both, and in none that is known where they differ.

    MontageError if no two contacts are neighbours, or two claim the same place on a shaft.
    """

    def __init__(self, montage: Montage) -> None:
        places = shaft_places(montage)
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
        regions = montage.regions
        if regions is not None:
            regions = tuple(regions[i] if regions[i] == regions[j] else "" for i, j in pairs)
        self.montage = replace(
            montage, names=names, kinds=kinds, positions=positions, regions=regions
        )

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the pairs' differences; NaN where either contact is NaN."""
        data: Floats = chunk.data[self._first]
        data -= chunk.data[self._second]
        return replace(chunk, data=data)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class Laplacian:
    """Each contact minus the mean of its two neighbours on the shaft.

    ``x[i] - (x[i-1] + x[i+1]) / 2``, as the BrainBERT paper describes it (Wang et al., ICLR 2023,
    arXiv:2302.14367); its released code computes `PublishedLaplacian`. Contacts with both
    neighbours come out. Where one neighbour is not finite at a sample, the other is used alone,
    ``x[i] - x[i+1]``; where neither is, or the contact itself is not, the result is NaN.
    MontageError if no contact has both neighbours, or two claim the same place on a shaft.
    """

    def __init__(self, montage: Montage) -> None:
        self._centre, self._below, self._above = neighbour_triples(montage)
        self.montage = montage.pick([montage.names[row] for row in self._centre])

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts minus the mean of their finite neighbours; NaN without any."""
        below, above = chunk.data[self._below], chunk.data[self._above]
        around = below + above
        around *= np.float32(0.5)
        if not np.isfinite(around).all():
            _fill_from_one(around, below, above)
        data: Floats = chunk.data[self._centre]
        # An infinite contact minus an infinite neighbour is NaN.
        with np.errstate(invalid="ignore"):
            data -= around
        return replace(chunk, data=data)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


def _fill_from_one(around: Floats, below: Floats, above: Floats) -> None:
    """Use the only finite neighbour in place of the mean; NaN for none."""
    has_below, has_above = np.isfinite(below), np.isfinite(above)
    np.copyto(around, below, where=has_below & ~has_above)
    np.copyto(around, above, where=has_above & ~has_below)
    around[~has_below & ~has_above] = np.nan


class PublishedLaplacian:
    """Notched contact minus its neighbours as the released code filters them: not over time.

    The published code (BrainBERT, arXiv:2302.14367; PopT, arXiv:2406.03044) notches each contact
    over time. Then it stacks its two raw neighbours, the higher number first, and runs the same
    notches along *that* axis, as if the pair were a signal of two samples. With ``h`` the impulse
    response of the notches, it subtracts ``h[0] / 2 * below + (h[0] + h[1]) / 2 * above``, which is
    ``0.469 * below + 0.429 * above`` at 2048 Hz and 60 to 360 Hz: the neighbours keep their mains
    hum, which enters the output, and a tenth of what both share remains. It is reproduced for
    parity with released weights and replaces both notch and Laplacian; use those two for anything
    trained anew. Errors are those of `Laplacian` and `NotchComb`.
    """

    def __init__(
        self, montage: Montage, mains_hz: float, *, q: float = 30.0, up_to_hz: float = 360.0
    ) -> None:
        self._centre, self._below, self._above = neighbour_triples(montage)
        self.montage = montage.pick([montage.names[row] for row in self._centre])
        self._notch = NotchComb(self.montage, mains_hz, q=q, up_to_hz=up_to_hz)
        sos = self._notch.sos
        first, second = scipy.signal.sosfilt(sos, [1.0, 0.0]) if len(sos) else (1.0, 0.0)
        self._of_below = first / 2
        self._of_above = (first + second) / 2

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the contacts minus their neighbours; NaN where any of the three is NaN."""
        centres = replace(chunk, data=chunk.data[self._centre])
        around = self._of_below * chunk.data[self._below].astype(np.float64)
        around += self._of_above * chunk.data[self._above].astype(np.float64)
        data: Floats = (self._notch(centres).data - around).astype(np.float32)
        return replace(chunk, data=data)

    def reset(self) -> None:
        """Start the notches again from zero state."""
        self._notch.reset()


def neighbour_triples(montage: Montage) -> tuple[Ints, Ints, Ints]:
    """Rows of the contacts with both neighbours on their shaft, and rows of those neighbours."""
    places = shaft_places(montage)
    triples = [
        (row, places[shaft, number - 1], places[shaft, number + 1])
        for (shaft, number), row in places.items()
        if (shaft, number - 1) in places and (shaft, number + 1) in places
    ]
    if not triples:
        raise MontageError(
            no_neighbours_message("laplacian", "a neighbour on either side", montage)
        )
    centre, below, above = np.asarray(triples, np.int64).T
    return centre, below, above


def shaft_pairs(montage: Montage, reach: int) -> tuple[Ints, Ints]:
    """Rows of contacts that lie on one shaft within `reach` places of each other.

    Contacts with other labels, or in the same place, form no pair; nor do more than 18 contacts
    with one stem, which are a grid: neighbours in number are not neighbours in place.
    """
    shafts: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row, shaft, number in _labelled(montage):
        shafts.setdefault(shaft, []).append((row, number))
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
    """Rows of the channels that are contacts."""
    return [row for row, kind in enumerate(montage.kinds) if kind in CONTACT_KINDS]


def _labelled(montage: Montage) -> Iterator[tuple[int, tuple[str, str], int]]:
    """Row, shaft (kind and stem) and number of each contact labelled so, as ``LT1Ha4``.

    Labels that repeat others count for the first one alone, pairs of contacts for none.
    """
    rows = contact_rows(montage)
    for row, place in zip(rows, places_of([montage.names[row] for row in rows]), strict=True):
        if place and not place.pair and not place.copy:
            yield row, (montage.kinds[row], place.shaft), place.number


def shaft_places(montage: Montage) -> dict[tuple[tuple[str, str], int], int]:
    """Row of each contact by its shaft (kind and stem) and number, in the montage's order."""
    places: dict[tuple[tuple[str, str], int], int] = {}
    for row, shaft, number in _labelled(montage):
        other = places.get((shaft, number))
        if other is not None:
            raise MontageError(
                f"contacts {montage.names[other]} and {montage.names[row]} are both number "
                f"{number} of shaft {shaft[1]}: rename one, or leave one out (--exclude)"
            )
        places[shaft, number] = row
    return places


def no_neighbours_message(reference: str, neighbours: str, montage: Montage) -> str:
    """Message of a reference that finds no contact with neighbours."""
    return (
        f"{reference} reference: no contact has {neighbours}, got "
        f"{list_words(montage.names) or 'no channels'}: expected kinds "
        f"{', '.join(sorted(CONTACT_KINDS))} and labels such as A1, A2, A3: relabel the channels, "
        "or set reference: car"
    )
