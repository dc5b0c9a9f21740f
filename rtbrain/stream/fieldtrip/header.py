"""What a FieldTrip buffer says of its signal: channels, rate, and the step of its integers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtbrain.channels import assign_kinds
from rtbrain.errors import MontageError, StreamError
from rtbrain.stream.fieldtrip.connection import BufferHeader
from rtbrain.stream.lsl.header import require_plain_labels
from rtbrain.stream_names import MAX_CHANNELS
from rtbrain.types import Montage, Times
from rtbrain.units import keep_codes

# Numbers of the protocol's data types: 0 is text; 1 to 8 are integers, 9 and 10 floats.
_INTEGERS = range(1, 9)
_NUMBERS = range(1, 11)
_CHUNK_LABELS = 1
_CHUNK_RESOLUTIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class BufferSignal:
    """A buffer's montage, factors to its unit, and what was assumed."""

    montage: Montage
    factors: Times  # float64 [n_channels]
    notes: tuple[str, ...]


def read_signal(header: BufferHeader, where: str, names: Sequence[str] | None) -> BufferSignal:
    """Signal of a header; `names` are its channels' where it does not label them all."""
    n_channels = header.n_channels
    if n_channels < 1:
        raise StreamError(f"{where} has no channels, a signal needs one or more: name another")
    if n_channels > MAX_CHANNELS:
        raise StreamError(
            f"{where} claims {n_channels} channels, expected at most {MAX_CHANNELS}: name another"
        )
    if header.data_type not in _NUMBERS:
        raise StreamError(f"{where} holds no numbers (data type {header.data_type}): name another")
    notes: list[str] = []
    labels = _labels(header, where, names, notes)
    if len(labels) != n_channels:
        raise MontageError(f"{where} has {n_channels} channels, got {len(labels)} names")
    kinds, of_kinds = assign_kinds(labels, [""] * n_channels)
    notes += ["the buffer does not say what kind its channels are: taken as EEG", *of_kinds]
    try:
        montage = Montage(labels, kinds, float(header.sfreq_hz))
    except MontageError as error:
        raise MontageError(f"{where}: {error}") from error
    return BufferSignal(montage, keep_codes(kinds, _factors(header, notes)), tuple(notes))


def _labels(
    header: BufferHeader, where: str, names: Sequence[str] | None, notes: list[str]
) -> tuple[str, ...]:
    n_channels = header.n_channels
    said = header.chunks.get(_CHUNK_LABELS, b"").rstrip(b"\0")
    parts = said.split(b"\0")[:n_channels] if said else []
    if len(parts) == n_channels:
        try:
            labels = tuple(part.decode("utf-8").strip() for part in parts)
        except UnicodeDecodeError as error:
            raise StreamError(f"{where}: the channel labels are no UTF-8 text: {error}") from error
        require_plain_labels(labels, where)
        return labels
    if names is not None:
        if parts:
            notes.append(f"the header labels only {len(parts)} of {n_channels} channels: not used")
        return tuple(names)
    if parts:
        raise StreamError(
            f"{where} has {n_channels} channels, but its header labels fewer: correct the "
            "sender's header, or name all of them (stream.names, --names)"
        )
    notes.append(
        f"the header has no channel labels: channels are named 1 to {n_channels} (stream.names, "
        "--names give others)"
    )
    return tuple(str(number) for number in range(1, n_channels + 1))


def _factors(header: BufferHeader, notes: list[str]) -> Times:
    n_channels = header.n_channels
    if header.data_type not in _INTEGERS:
        return np.ones(n_channels)
    chunk = header.chunks.get(_CHUNK_RESOLUTIONS, b"")
    if len(chunk) == 8 * n_channels:
        factors = np.frombuffer(chunk, "<f8").astype(np.float64)
        if (np.isfinite(factors) & (factors != 0)).all():
            return factors
        notes.append("a resolution in the header is 0 or not finite: one step is taken as one unit")
    else:
        notes.append("the samples are integers without a resolution: one step is taken as one unit")
    return np.ones(n_channels)
