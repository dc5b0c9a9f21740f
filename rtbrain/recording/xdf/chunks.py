"""The XDF format: its chunks as bytes, and the header of a stream, for reader and writer.

XDF 1.0: https://github.com/sccn/xdf/wiki/Specifications
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np
import numpy.typing as npt

from rtbrain.errors import StreamError
from rtbrain.types import Times

MAGIC = b"XDF:"
# liblsl's name of a format, and the dtype in the file; None for strings.
VALUE_FORMATS: dict[str, str | None] = {
    "float32": "<f4",
    "double64": "<f8",
    "string": None,
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
}
FILE_HEADER, STREAM_HEADER, SAMPLES, CLOCK_OFFSET, BOUNDARY, STREAM_FOOTER = range(1, 7)
# Readers look for these bytes after a damaged stretch.
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_XML = '<?xml version="1.0"?>'
STAMP_BYTES = 8
# What liblsl writes anew each time a sender starts.
_OF_ONE_RUN = {"uid", "created_at"} | {
    f"{net}{what}" for net in ("v4", "v6") for what in ("address", "data_port", "service_port")
}
# Characters that XML 1.0 forbids; liblsl writes those below 32 as &#01;, which no reader takes.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|&#0*(?:[0-8]|1[124-9]|2[0-9]|3[01]);"
)
_MAX_HEADER_BYTES = 2**21  # of XML, an element of 4 bytes takes 100 in memory
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def length_bytes(number: int) -> bytes:
    """Number preceded by the count of its bytes: 1, 4 or 8."""
    for n_bytes, code in ((1, "<B"), (4, "<I")):
        if number < 1 << 8 * n_bytes:
            return bytes([n_bytes]) + struct.pack(code, number)
    return b"\x08" + struct.pack("<Q", number)


def read_length(file: BinaryIO) -> int | None:
    """Integer preceded by the count of its bytes; None if there is none."""
    n_bytes = int.from_bytes(file.read(1))
    read = file.read(n_bytes) if n_bytes in {1, 4, 8} else b""
    return int.from_bytes(read, "little") if read and len(read) == n_bytes else None


def _chunk(tag: int, content: bytes) -> bytes:
    return length_bytes(len(content) + 2) + struct.pack("<H", tag) + content


def of_stream(tag: int, stream_id: int, content: bytes) -> bytes:
    """Chunk of a stream."""
    return _chunk(tag, struct.pack("<I", stream_id) + content)


def file_header() -> bytes:
    """FileHeader chunk; it holds no date."""
    return _chunk(FILE_HEADER, f"{_XML}<info><version>1.0</version></info>".encode())


def boundary() -> bytes:
    """Boundary chunk."""
    return _chunk(BOUNDARY, BOUNDARY_UUID)


def samples(stream_id: int, values: npt.NDArray[Any], stamps: Times) -> bytes:
    """Samples chunk, with the stamp of every sample."""
    count = length_bytes(len(stamps))
    written = _texts(values, stamps) if values.dtype == object else _numbers(values, stamps)
    return of_stream(SAMPLES, stream_id, count + written)


def _numbers(values: npt.NDArray[Any], stamps: Times) -> bytes:
    row = np.dtype(
        [
            ("n_stamp_bytes", "u1"),
            ("stamp", "<f8"),
            ("values", values.dtype.newbyteorder("<"), (values.shape[1],)),
        ]
    )
    rows = np.empty(len(stamps), row)
    rows["n_stamp_bytes"] = STAMP_BYTES
    rows["stamp"] = stamps
    rows["values"] = values
    return rows.tobytes()


def _texts(values: npt.NDArray[Any], stamps: Times) -> bytes:
    pieces = []
    for stamp, row in zip(stamps.tolist(), values, strict=True):
        pieces.append(bytes([STAMP_BYTES]) + struct.pack("<d", stamp))
        for value in row:
            text = value if isinstance(value, bytes) else str(value).encode()
            pieces.append(length_bytes(len(text)) + text)
    return b"".join(pieces)


def stream_footer(
    stream_id: int,
    n_samples: int,
    first_stamp: float,
    last_stamp: float,
    offsets: Sequence[tuple[float, float]],
) -> bytes:
    """StreamFooter chunk."""
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
    return of_stream(STREAM_FOOTER, stream_id, text.encode())


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the header of a stream says about its samples."""

    name: str
    n_channels: int
    value_format: str
    sfreq_hz: float


def parse_stream_header(header: bytes) -> HeaderFacts:
    """Read what a recording needs of a header, XML as liblsl gives it.

    StreamError if readers do not accept the XML, or a file cannot hold the samples.
    """
    try:
        root = parse_xml(header)
    except ParseError as error:
        raise StreamError(
            f"a stream's header is no XML that readers of XDF take ({error}): the stream cannot "
            "be recorded; correct it in its sender"
        ) from error
    name = root.findtext("name") or ""
    value_format = root.findtext("channel_format") or ""
    try:
        n_channels = int(root.findtext("channel_count") or "")
        sfreq_hz = float(root.findtext("nominal_srate") or "")
    except ValueError as error:
        raise StreamError(
            f"the header of stream {name!r} lacks its channel_count or nominal_srate: the stream "
            "cannot be recorded"
        ) from error
    if n_channels < 1:
        raise StreamError(
            f"stream {name!r} has {n_channels} channels: there is nothing in it to record"
        )
    if value_format not in VALUE_FORMATS:
        raise StreamError(
            f"stream {name!r} has values of format {value_format!r}, an XDF file can hold "
            f"{', '.join(VALUE_FORMATS)}"
        )
    return HeaderFacts(name, n_channels, value_format, sfreq_hz)


def repair_header(header: bytes) -> bytes:
    """Header itself where readers take it; else with forbidden characters replaced.

    One control character in a label makes the whole file unreadable to pyxdf.
    """
    try:
        parse_xml(header)
    except ParseError:
        return _FORBIDDEN.sub(_REPLACEMENT, header.decode("utf-8", "replace")).encode()
    return header


def header_identity(header: bytes) -> str:
    """What stays the same of a header when its sender is started anew."""
    root = parse_xml(header)
    return "\n".join(
        f"{each.tag}:{(each.text or '').strip()}"
        for node in root
        if node.tag not in _OF_ONE_RUN
        for each in node.iter()
    )


def parse_xml(header: bytes) -> Element:
    """Root of a header, read as every reader of the file reads it."""
    if len(header) > _MAX_HEADER_BYTES:
        raise ParseError(f"it is longer than {_MAX_HEADER_BYTES} bytes")
    # expat refuses entities that grow without bound.
    return fromstring(header.decode("utf-8", "replace"))  # noqa: S314
