"""Read LSL headers: the montage, each channel's unit, where the signal comes from."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pylsl

from rtbrain.channels import read_channels
from rtbrain.errors import MontageError, StreamError, list_words, plain_text, quote
from rtbrain.stream.triggers import Trigger
from rtbrain.stream_names import require_plausible
from rtbrain.types import TRIGGER_KIND, Doubles, Floats, Montage, Times
from rtbrain.units import parse_position

_MAX_LABEL = 100
# 800 channels at 30 kHz; and triggers as text.
_MAX_VALUES_HZ, _MAX_TEXTS_HZ = 2.5e7, 1e4


@dataclass(frozen=True, slots=True, eq=False)
class StreamHeader:
    """A header: montage, factors to µV, its origin by rtbrain's outlet, and what was assumed."""

    montage: Montage
    factors: Times  # float64 [n_channels]
    origin: str
    notes: tuple[str, ...]


def read_header(info: Any) -> StreamHeader:
    """Read the full header, a `pylsl.StreamInfo`, of a numeric, regular stream.

    The XML is parsed by liblsl, which expands no entities, and walked no further than one channel
    past the announced count: a hostile header costs its transfer and no more.

    Labels that are missing or repeated are made up, and noted. Raises a StreamError where the
    stream is of strings, irregular, without channels, or its labels cannot be used.
    """
    name = quote(info.name())
    n_channels = _checked_count(info, name)
    channels = _channel_nodes(info.desc(), n_channels)
    labels, types, units = (
        [node.child_value(key).strip() for node in channels] for key in ("label", "type", "unit")
    )
    require_plain_labels([label for label in labels if label], f"stream {name}")
    table = read_channels(n_channels, labels, types, units, info.type())
    names, notes = table.names, list(table.notes)
    space = plain_text(info.desc().child("montage").child_value("space").strip())
    positions = _positions(channels, names, space, notes)
    try:
        montage = Montage(
            names,
            table.kinds,
            float(info.nominal_srate()),
            positions,
            space if positions is not None else None,
        )
    except MontageError as error:
        raise MontageError(f"stream {name}: {error}") from error
    origin = plain_text(info.desc().child("rtbrain").child_value("origin"))
    return StreamHeader(montage, table.factors, origin, tuple(notes))


def require_plausible_stream(info: Any) -> None:
    """Refuse, by a StreamError, what no sender sends, before liblsl makes room for it.

    At the first look liblsl takes memory for 5 s of samples, and for a pointer to each that may
    wait: what a header claims decides how much.
    """
    n_channels, sfreq_hz = int(info.channel_count()), float(info.nominal_srate())
    is_text = info.channel_format() == pylsl.cf_string
    try:
        require_plausible(n_channels, sfreq_hz or 1.0)  # irregular: 0
        limit_hz = _MAX_TEXTS_HZ if is_text else _MAX_VALUES_HZ
        if n_channels * sfreq_hz > limit_hz:
            what = "texts" if is_text else "values"
            raise MontageError(
                f"{n_channels} channels at {sfreq_hz:g} Hz: expected at most {limit_hz:g} {what} a "
                "second; correct its sender"
            )
    except MontageError as error:
        raise StreamError(f"stream {quote(info.name())} announces {error}") from error


def _checked_count(info: Any, name: str) -> int:
    if info.channel_format() == pylsl.cf_string:
        raise StreamError(f"stream {name} carries strings, not a signal: name another stream")
    rate = info.nominal_srate()
    if not (math.isfinite(rate) and rate > 0):
        raise StreamError(
            f"stream {name} has no regular rate (nominal rate {rate:g} Hz), a signal needs one: "
            "name another stream"
        )
    require_plausible_stream(info)
    n_channels = int(info.channel_count())
    if n_channels < 1:
        raise StreamError(f"stream {name} has {n_channels} channels, a signal needs one or more")
    return n_channels


def _channel_nodes(desc: Any, n_channels: int) -> list[Any]:
    nodes: list[Any] = []
    node = desc.child("channels").child("channel")
    while not node.empty() and len(nodes) <= n_channels:
        nodes.append(node)
        node = node.next_sibling("channel")
    return nodes


def channel_texts(info: Any, what: str) -> tuple[str, ...]:
    """A text of each channel of a full header, such as its ``label``; no more than one too many."""
    nodes = _channel_nodes(info.desc(), int(info.channel_count()))
    return tuple(node.child_value(what) for node in nodes)


def require_plain_labels(labels: Sequence[str], where: str) -> None:
    """Refuse channel labels that are empty, endless, or hold control characters."""
    for number, label in enumerate(labels, 1):
        if not 0 < len(label) <= _MAX_LABEL:
            raise StreamError(
                f"{where}: the label of channel {number} has {len(label)} characters, expected 1 "
                f"to {_MAX_LABEL}: correct the sender's header"
            )
        if any(unicodedata.category(letter).startswith("C") for letter in label):
            raise StreamError(
                f"{where}: the label of channel {number}, {quote(label)}, has control characters: "
                "correct the sender's header"
            )


def _positions(
    nodes: list[Any], names: Sequence[str], space: str, notes: list[str]
) -> Floats | None:
    if len(nodes) != len(names):
        return None
    locations = [node.child("location") for node in nodes]
    positions = np.stack(
        [parse_position([at.child_value(axis) for axis in "XYZ"]) for at in locations]
    )
    unplaced = [name for name, at in zip(names, positions, strict=True) if np.isnan(at[0])]
    if len(unplaced) == len(names):
        return None
    if not space:
        notes.append(
            "the header gives channel locations without naming their space (desc/montage/space): "
            "positions are not used"
        )
        return None
    if unplaced:
        notes.append(f"no usable location for {list_words(unplaced)}: their position is unknown")
    return positions


def code_factors(
    trigger: Trigger, montage: Montage, factors: Doubles, level_uv: float | None = None
) -> tuple[list[int], Doubles]:
    """Rows of the trigger channels, and what makes numbers of them into codes, or levels.

    `factors`, float64 [n_channels], make the numbers of all channels into microvolts; a level is in
    that unit, or in one of `level_uv` microvolts.
    """
    rows = montage.rows(trigger.names)
    own = {
        line.name: float(factors[row]) if level_uv is None or line.level is None else level_uv
        for line, row in zip(trigger.lines, rows, strict=True)
    }
    per_level = list(trigger.per_level(own).values())
    is_code = [montage.kinds[row] == TRIGGER_KIND for row in rows]
    return rows, np.where(is_code, 1.0, factors[rows] / per_level)
