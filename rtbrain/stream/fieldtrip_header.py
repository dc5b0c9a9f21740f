"""What the header of a FieldTrip buffer says: labels and rate, and little else."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtbrain.errors import MontageError, StreamError
from rtbrain.stream.lsl_connect import shown
from rtbrain.types import Montage, Times

__all__ = ["BufferHeader", "read_buffer_header"]

_LABEL_LIMIT = 100
# Numbers of the protocol's data types: 0 is text; 1 to 8 are integers, 9 and 10 floats.
_INTEGERS = range(1, 9)
_NUMBERS = range(1, 11)
_CHUNK_LABELS = 1
_CHUNK_RESOLUTIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class BufferHeader:
    """A buffer's header, read and judged.

    Attributes
    ----------
    montage : Montage
        Labels, kinds, nominal rate; positions where they were given.
    factors : ndarray, float64 [n_channels]
        What a value is multiplied by to be in the unit.
    labelled : bool
        Whether the labels are the buffer's own.
    notes : tuple of str
        What had to be assumed, one sentence each.
    """

    montage: Montage
    factors: Times
    labelled: bool
    notes: tuple[str, ...]


def read_buffer_header(
    header: Any,
    where: str,
    *,
    names: Sequence[str] | None,
    kinds: Sequence[str] | None,
    given: Montage | None,
) -> BufferHeader:
    """Judge a buffer's header.

    Parameters
    ----------
    header : mne_realtime.externals.FieldTrip.Header
        As the buffer gave it.
    where : str
        Which buffer, for messages.
    names : sequence of str or None
        Labels for a buffer that has none.
    kinds : sequence of str or None
        Kind of each channel, in the buffer's order.
    given : Montage or None
        What is known of the channels from elsewhere: found by label.

    Raises
    ------
    StreamError
        There is no channel or rate, the data are text, the rate is not the given montage's, or
        a label cannot be used.
    MontageError
        Labels repeat, are not as many as the channels, or are not in the given montage.
    """
    n_channels = int(header.nChannels)
    if n_channels < 1:
        raise StreamError(f"{where} has no channels, a signal needs one or more: name another")
    if header.dataType not in _NUMBERS:
        raise StreamError(f"{where} holds no numbers (data type {header.dataType}): name another")
    notes: list[str] = []
    labels = tuple(label.strip() for label in header.labels)
    _check_labels(labels, where)
    labelled = bool(labels)
    if not labelled and header.chunks.get(_CHUNK_LABELS, b"").strip(b"\0"):
        raise StreamError(
            f"{where} has {n_channels} channels, but its header labels fewer: correct the "
            "sender's header"
        )
    if not labelled:
        labels = _labels_given(names, given, n_channels, notes)
    for what, words in (("names", labels), ("kinds", kinds)):
        if words is not None and len(words) != n_channels:
            raise MontageError(f"{where} has {n_channels} channels, got {len(words)} {what}")
    if kinds is None and given is None:
        notes.append("the buffer does not say what kind its channels are: taken as misc")
    lower = tuple(kind.lower() for kind in kinds or ("misc",) * n_channels)
    try:
        montage = Montage(labels, lower, float(header.fSample))
        if given is not None:
            montage = _with(montage, given)
            montage = replace(montage, kinds=montage.kinds if kinds is None else lower)
    except MontageError as error:
        raise MontageError(f"{where}: {error}") from error
    return BufferHeader(montage, _factors(header, notes), labelled, tuple(notes))


def _check_labels(labels: tuple[str, ...], where: str) -> None:
    for number, label in enumerate(labels, 1):
        if not label or len(label) > _LABEL_LIMIT:
            raise StreamError(
                f"{where}: the label of channel {number} has {len(label)} characters, expected 1 "
                f"to {_LABEL_LIMIT}: correct the sender's header"
            )
        if any(unicodedata.category(letter).startswith("C") for letter in label):
            raise StreamError(
                f"{where}: the label of channel {number}, {shown(label)}, has control characters: "
                "correct the sender's header"
            )


def _labels_given(
    names: Sequence[str] | None, given: Montage | None, n_channels: int, notes: list[str]
) -> tuple[str, ...]:
    if names is not None:
        return tuple(names)
    if given is not None:
        return given.names
    notes.append(f"the header has no channel labels: channels are named 1 to {n_channels}")
    return tuple(str(number) for number in range(1, n_channels + 1))


def _with(montage: Montage, given: Montage) -> Montage:
    # The buffer's rate is a float32.
    if abs(given.sfreq_hz - montage.sfreq_hz) > 1e-6 * given.sfreq_hz:
        raise MontageError(
            f"it has {montage.sfreq_hz:g} Hz, info has {given.sfreq_hz:g}: correct either"
        )
    return given.pick(montage.names)


def _factors(header: Any, notes: list[str]) -> Times:
    if header.dataType not in _INTEGERS:
        return np.ones(header.nChannels)
    chunk = header.chunks.get(_CHUNK_RESOLUTIONS, b"")
    if len(chunk) == 8 * header.nChannels:
        return np.frombuffer(chunk, np.float64)
    notes.append("the samples are integers without a resolution: one step is taken as one unit")
    return np.ones(header.nChannels)
