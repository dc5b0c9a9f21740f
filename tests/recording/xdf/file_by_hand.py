"""Small XDF files, written from the specification: https://github.com/sccn/xdf/wiki."""

import struct
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import numpy as np

FORMATS = {"float32": "<f4", "double64": "<f8", "int8": "i1", "int16": "<i2"}
FORMATS |= {"int32": "<i4", "int64": "<i8"}


@dataclass
class XdfStream:
    """A stream; values [n_samples, n_channels], or strings, one a sample."""

    name: str
    stamps: np.ndarray
    values: np.ndarray | list[str]
    sfreq_hz: float
    value_format: str = "float32"
    content: str = "EEG"
    desc: str = ""
    source_id: str = ""
    offsets: list[tuple[float, float]] = field(default_factory=list)

    @property
    def n_channels(self) -> int:
        return 1 if isinstance(self.values, list) else self.values.shape[1]


def block(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content


def value_bytes(stream: XdfStream, row: int) -> bytes:
    if isinstance(stream.values, list):
        text = stream.values[row].encode()
        return b"\x04" + struct.pack("<I", len(text)) + text
    return stream.values[row].astype(FORMATS[stream.value_format]).tobytes()


def stream_blocks(number: int, stream: XdfStream) -> bytes:
    identity = struct.pack("<I", number)
    header = (
        f"<?xml version='1.0'?><info><name>{escape(stream.name)}</name>"
        f"<type>{stream.content}</type><channel_count>{stream.n_channels}</channel_count>"
        f"<nominal_srate>{stream.sfreq_hz}</nominal_srate>"
        f"<channel_format>{stream.value_format}</channel_format>"
        f"<source_id>{stream.source_id}</source_id><desc>{stream.desc}</desc></info>"
    )
    samples = b"".join(
        b"\x08" + struct.pack("<d", stamp) + value_bytes(stream, row)
        for row, stamp in enumerate(stream.stamps)
    )
    written = block(2, identity + header.encode())
    if len(stream.stamps):
        count = b"\x04" + struct.pack("<I", len(stream.stamps))
        written += block(3, identity + count + samples)
    for time, value in stream.offsets:
        written += block(4, identity + struct.pack("<dd", time, value))
    return written + block(6, identity + b"<?xml version='1.0'?><info></info>")


def write_xdf(path, *streams: XdfStream) -> None:
    head = b"<?xml version='1.0'?><info><version>1.0</version></info>"
    body = b"".join(stream_blocks(number, stream) for number, stream in enumerate(streams, 1))
    path.write_bytes(b"XDF:" + block(1, head) + body)


def described(names, *, unit="microvolts", kind="SEEG", positions=None, space="") -> str:
    """Content of <desc> as rtbrain's outlets write it."""
    channels = ""
    for row, name in enumerate(names):
        location = ""
        if positions is not None:
            at = zip("XYZ", positions[row], strict=True)
            location = f"<location>{''.join(f'<{axis}>{x}</{axis}>' for axis, x in at)}</location>"
        channels += (
            f"<channel><label>{escape(name)}</label><unit>{unit}</unit><type>{kind}</type>"
            f"{location}</channel>"
        )
    named = f"<montage><space>{space}</space></montage>" if space else ""
    return f"<channels>{channels}</channels>{named}"
