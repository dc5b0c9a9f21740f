"""Contacts and their neighbours on a shaft, found by label: a stem and a number.

``LA3`` lies between ``LA2`` and ``LA4``. On a grid the last contact of one row and the first of
the next have consecutive numbers too; labels alone cannot distinguish them.
"""

import re

import numpy as np

from rtbrain.errors import MontageError, list_words
from rtbrain.types import CONTACT_KINDS, Ints, Montage

_LONGEST_SHAFT = 18  # contacts of the longest depth electrodes on the market
_LABEL = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]+)")


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
    """Rows of the channels that are contacts."""
    return [row for row, kind in enumerate(montage.kinds) if kind in CONTACT_KINDS]


def _parsed(label: str) -> tuple[str, int] | None:
    """Stem and number of a label, such as ``("LT1Ha", 4)``; None for any other label.

    ``*`` and ``#``, with which clinics mark contacts, and separators are left out of the stem.
    Primes stay: ``A'3`` and ``A3`` are on opposite sides.
    """
    found = _LABEL.fullmatch(re.sub(r"[*#]", "", label).strip())
    if found is None:
        return None
    stem = found["stem"].rstrip("_ -")
    if not any(letter.isalpha() for letter in stem):
        return None
    return stem, int(found["number"])


def shaft_places(montage: Montage) -> dict[tuple[tuple[str, str], int], int]:
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


def no_neighbours_message(reference: str, neighbours: str, montage: Montage) -> str:
    """Message of a reference that finds no contact with neighbours."""
    return (
        f"{reference} reference: no contact has {neighbours}, got "
        f"{list_words(montage.names) or 'no channels'}: expected kinds "
        f"{', '.join(sorted(CONTACT_KINDS))} and labels such as A1, A2, A3"
    )
