"""Channels of a stream, live or recorded, by what its header says of each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtbrain.channels.kinds import assign_kinds
from rtbrain.channels.labels import complete_labels
from rtbrain.errors import list_words, quote
from rtbrain.types import CONTACT_KINDS, Doubles
from rtbrain.units import keep_codes, microvolts_per


class ChannelTable(NamedTuple):
    """Labels, kinds, and factors to microvolts, float64 [n_channels].

    `unitless` are contacts without a unit of voltage, whose numbers are taken as microvolts.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    factors: Doubles
    unitless: tuple[str, ...]
    notes: tuple[str, ...]


def read_channels(
    n_channels: int,
    labels: Sequence[str],
    types: Sequence[str],
    units: Sequence[str],
    stream_type: str,
) -> ChannelTable:
    """Channels by the labels, types and units of a header, one per channel that it describes.

    A header may describe fewer channels than there are, or more; `stream_type` is for those of
    which it gives no type. Numbers of trigger channels are codes, whatever their unit.
    """
    names, notes = complete_labels(labels, n_channels)
    types, units = (
        [*texts[:n_channels], *[""] * (n_channels - len(texts))] for texts in (types, units)
    )
    kinds, of_kinds = assign_kinds(names, types, default=stream_type, units=units)
    factors = np.ones(n_channels)
    without: dict[str, list[str]] = {}
    for row, (name, kind, unit) in enumerate(zip(names, kinds, units, strict=True)):
        factor = microvolts_per(unit)
        if factor is not None:
            factors[row] = factor
        elif kind in CONTACT_KINDS:
            without.setdefault(unit.strip(), []).append(name)
    for unit, who in without.items():
        what = f"unit {quote(unit)} is not known" if unit else "the header gives no unit"
        notes.append(f"{what} for {list_words(who)}: taken as microvolts")
    unitless = tuple(name for who in without.values() for name in who)
    return ChannelTable(names, kinds, keep_codes(kinds, factors), unitless, (*notes, *of_kinds))
