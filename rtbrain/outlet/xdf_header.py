"""What an XDF file must know of a stream's header before it may hold it."""

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, fromstring

from rtbrain.errors import StreamError
from rtbrain.outlet.xdf_chunks import FORMATS

__all__ = ["HeaderFacts", "facts_of", "identity_of", "readable"]

# What liblsl writes anew each time that a sender starts.
_OF_ONE_RUN = {
    "uid",
    "created_at",
    "v4address",
    "v4data_port",
    "v4service_port",
    "v6address",
    "v6data_port",
    "v6service_port",
}
# Characters that XML 1.0 forbids; liblsl writes those below 32 as &#01;, which no reader takes.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|&#0*(?:[0-8]|1[124-9]|2[0-9]|3[01]);"
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the header of a stream says of its samples.

    Attributes
    ----------
    name : str
        Of the stream.
    n_channels : int
        Values a sample.
    value_format : str
        liblsl's name of their format.
    sfreq_hz : float
        Nominal rate, Hz; 0 for an irregular stream.
    """

    name: str
    n_channels: int
    value_format: str
    sfreq_hz: float


def facts_of(header: bytes) -> HeaderFacts:
    """Read what a recording needs of a header.

    Parameters
    ----------
    header : bytes
        XML, as liblsl gives it.

    Raises
    ------
    StreamError
        It is no XML that a reader takes, or its samples could not be written.
    """
    try:
        root = _parsed(header)
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
    if value_format not in FORMATS:
        raise StreamError(
            f"stream {name!r} has values of format {value_format!r}, an XDF file can hold "
            f"{', '.join(FORMATS)}"
        )
    return HeaderFacts(name, n_channels, value_format, sfreq_hz)


def readable(header: bytes) -> bytes:
    """Header itself where readers take it; else with forbidden characters replaced.

    One control character in a label makes the whole file unreadable to pyxdf.
    """
    try:
        _parsed(header)
    except ParseError:
        return _FORBIDDEN.sub(_REPLACEMENT, header.decode("utf-8", "replace")).encode()
    return header


def identity_of(header: bytes) -> str:
    """What stays the same of a header when its sender is started anew."""
    root = _parsed(header)
    return "\n".join(
        f"{node.tag}={' '.join(_flat(node))}" for node in root if node.tag not in _OF_ONE_RUN
    )


def _flat(node: Element) -> list[str]:
    return [f"{each.tag}:{(each.text or '').strip()}" for each in node.iter()]


def _parsed(header: bytes) -> Element:
    # As every reader of the file will; expat refuses entities that grow without bound.
    return fromstring(header.decode("utf-8", "replace"))  # noqa: S314
