"""All streams of an XDF file as they were recorded, side by side on the recorder's clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtbrain.errors import plain_text
from rtbrain.recording.xdf.chunks import VALUE_FORMATS
from rtbrain.recording.xdf.index import Stream, index_chunks
from rtbrain.recording.xdf.read import plain_file, read_numbers, read_stamped_texts
from rtbrain.types import Times

_MAX_FIELD_CHARS = 200


@dataclass(frozen=True, slots=True, eq=False)
class FileStream:
    """One stream of a file.

    Attributes
    ----------
    name, content, source_id : str
        As its header says; `content` is its type.
    labels : tuple of str
        Of its channels, as far as the header has them.
    unit : str
        Of its first channel.
    contacts : tuple of str
        Of a stream of decodes: the contacts that the decoder reads.
    sfreq_hz : float
        Nominal rate; 0 for an irregular stream.
    stamps : ndarray, float64 [n_samples]
        Seconds on the clock of the recorder.
    texts : tuple of str
        Of a stream of texts, one per stamp; else empty.
    about : dict of str to str
        What rtbrain wrote into the header of its own streams.
    values : callable
        Numbers of a numeric stream: [n_samples, n_channels].
    """

    name: str
    content: str
    source_id: str
    labels: tuple[str, ...]
    unit: str
    contacts: tuple[str, ...]
    sfreq_hz: float
    stamps: Times
    texts: tuple[str, ...]
    about: dict[str, str]
    values: Callable[[], npt.NDArray[np.generic]] = field(repr=False)


@contextmanager
def open_streams(path: Path) -> Iterator[tuple[list[FileStream], list[str]]]:
    """Streams of a file that hold a sample, in its order, and what is wrong in it.

    Only stamps and texts are read at once; numbers when `values` is called, before the end of the
    block. A RecordingError where it is no XDF file.
    """
    with plain_file(path) as plain:
        index = index_chunks(plain)
        notes = index.notes(path.name)
        found = [_read(plain, stream, notes) for stream in index.streams.values()]
        yield [stream for stream in found if stream is not None], notes


def _read(path: Path, stream: Stream, notes: list[str]) -> FileStream | None:
    texts: tuple[str, ...] = ()
    if stream.is_text:
        found = read_stamped_texts(path, stream, notes)
        stamps = np.array([stamp for stamp, _ in found], np.float64)
        texts = tuple(text for _, text in found)
        values: Callable[[], npt.NDArray[np.generic]] = lambda: np.zeros((0, 0))  # noqa: E731
    elif VALUE_FORMATS.get(stream.text("channel_format")) is not None:
        samples = read_numbers(path, stream, notes)
        stamps, values = samples.stamps, lambda: samples.read(0, samples.stamps.size)
    else:
        return None
    if not stamps.size:
        return None
    ours = stream.header.find("desc/rtbrain")
    return FileStream(
        plain_text(stream.text("name"), _MAX_FIELD_CHARS),
        plain_text(stream.text("type"), _MAX_FIELD_CHARS),
        plain_text(stream.text("source_id"), _MAX_FIELD_CHARS),
        _labels(stream, "desc/channels/channel"),
        plain_text(stream.text("desc/channels/channel/unit")),
        _labels(stream, "desc/montage/contacts/contact"),
        stream.sfreq_hz,
        stamps,
        texts,
        {}
        if ours is None
        else {
            plain_text(node.tag): plain_text((node.text or "").strip(), _MAX_FIELD_CHARS)
            for node in ours
        },
        values,
    )


def _labels(stream: Stream, path: str) -> tuple[str, ...]:
    nodes = stream.header.findall(path)
    return tuple(plain_text(node.findtext("label", "").strip()) for node in nodes)
