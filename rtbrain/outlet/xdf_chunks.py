"""Chunks of an XDF file as bytes.

References
----------
XDF 1.0 specification, https://github.com/sccn/xdf/wiki/Specifications
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.types import Times

__all__ = [
    "FORMATS",
    "MAGIC",
    "boundary",
    "clock_offset",
    "file_header",
    "samples",
    "stream_footer",
    "stream_header",
]

MAGIC = b"XDF:"
# liblsl's name of a format, and how a value lies in the file; None for strings.
FORMATS: dict[str, str | None] = {
    "float32": "<f4",
    "double64": "<f8",
    "string": None,
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
}

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _BOUNDARY, _STREAM_FOOTER = range(1, 7)
# By these bytes a reader finds its way again after a damaged stretch.
_BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_XML = '<?xml version="1.0"?>'
_STAMP_BYTES = 8


def _variable_length(number: int) -> bytes:
    """Number with the count of its bytes, 1, 4 or 8, before it."""
    for n_bytes, code in ((1, "<B"), (4, "<I")):
        if number < 1 << 8 * n_bytes:
            return bytes([n_bytes]) + struct.pack(code, number)
    return b"\x08" + struct.pack("<Q", number)


def _chunk(tag: int, content: bytes) -> bytes:
    return _variable_length(len(content) + 2) + struct.pack("<H", tag) + content


def _of_stream(tag: int, stream_id: int, content: bytes) -> bytes:
    return _chunk(tag, struct.pack("<I", stream_id) + content)


def file_header() -> bytes:
    """FileHeader chunk; it holds no date."""
    return _chunk(_FILE_HEADER, f"{_XML}<info><version>1.0</version></info>".encode())


def boundary() -> bytes:
    """Boundary chunk."""
    return _chunk(_BOUNDARY, _BOUNDARY_UUID)


def stream_header(stream_id: int, header: bytes) -> bytes:
    """StreamHeader chunk of this XML, byte for byte."""
    return _of_stream(_STREAM_HEADER, stream_id, header)


def clock_offset(stream_id: int, time_s: float, offset_s: float) -> bytes:
    """ClockOffset chunk.

    Parameters
    ----------
    stream_id : int
        Of the stream.
    time_s : float
        When it was measured, s, on the clock of the stream's sender.
    offset_s : float
        What is to be added to the sender's stamps, s.
    """
    return _of_stream(_CLOCK_OFFSET, stream_id, struct.pack("<dd", time_s, offset_s))


def samples(stream_id: int, values: npt.NDArray[Any], stamps: Times) -> bytes:
    """Samples chunk, with the stamp of every sample.

    Parameters
    ----------
    stream_id : int
        Of the stream.
    values : ndarray [n_samples, n_channels]
        Numbers, written as they are, or objects: bytes, or text to be written as UTF-8.
    stamps : ndarray, float64 [n_samples]
        Seconds, clock of the sender.
    """
    count = _variable_length(len(stamps))
    written = _texts(values, stamps) if values.dtype == object else _numbers(values, stamps)
    return _of_stream(_SAMPLES, stream_id, count + written)


def _numbers(values: npt.NDArray[Any], stamps: Times) -> bytes:
    row = np.dtype(
        [
            ("n_stamp_bytes", "u1"),
            ("stamp", "<f8"),
            ("values", values.dtype.newbyteorder("<"), (values.shape[1],)),
        ]
    )
    rows = np.empty(len(stamps), row)
    rows["n_stamp_bytes"] = _STAMP_BYTES
    rows["stamp"] = stamps
    rows["values"] = values
    return rows.tobytes()


def _texts(values: npt.NDArray[Any], stamps: Times) -> bytes:
    pieces = []
    for stamp, row in zip(stamps.tolist(), values, strict=True):
        pieces.append(bytes([_STAMP_BYTES]) + struct.pack("<d", stamp))
        for value in row:
            text = value if isinstance(value, bytes) else str(value).encode()
            pieces.append(_variable_length(len(text)) + text)
    return b"".join(pieces)


def stream_footer(
    stream_id: int,
    n_samples: int,
    first_stamp: float,
    last_stamp: float,
    offsets: Sequence[tuple[float, float]],
) -> bytes:
    """StreamFooter chunk.

    Parameters
    ----------
    stream_id : int
        Of the stream.
    n_samples : int
        Samples that are in the file.
    first_stamp, last_stamp : float
        Stamps of the first and the last of them, s; left out where there are none.
    offsets : sequence of (seconds, seconds)
        Each clock offset: when it was measured, and its value.
    """
    stamps = ""
    if n_samples:
        stamps = (
            f"<first_timestamp>{first_stamp!r}</first_timestamp>"
            f"<last_timestamp>{last_stamp!r}</last_timestamp>"
        )
    measured = "".join(
        f"<offset><time>{time_s!r}</time><value>{offset_s!r}</value></offset>"
        for time_s, offset_s in offsets
    )
    text = (
        f"{_XML}<info>{stamps}<sample_count>{n_samples}</sample_count>"
        f"<clock_offsets>{measured}</clock_offsets></info>"
    )
    return _of_stream(_STREAM_FOOTER, stream_id, text.encode())
