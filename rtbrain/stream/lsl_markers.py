"""Markers in over LSL: strings at irregular times."""

import threading
from typing import Any

import pylsl
from pylsl.util import LostError

from rtbrain.errors import StreamError
from rtbrain.stream.lsl_connect import lost, new_inlet, open_inlet, resolve_one, shown, wanted

__all__ = ["MarkerSource"]

_MARKER_BUFFER = 360  # hundreds of markers, as liblsl counts irregular streams
_MARKERS_A_PULL = 1024


class MarkerSource:
    """A live LSL stream of one string a sample.

    The data connection opens at once, so no marker sent from then on is missed.

    Parameters
    ----------
    name, stream_type, source_id : str or None
        What the stream must be called; each one given must match.
    found : pylsl.StreamInfo, optional
        The stream itself, in place of what it must be called.
    timeout_s : float
        How long to wait for the stream and for its connection, s each.

    Attributes
    ----------
    name, source_id : str
        As its sender announces them.

    Raises
    ------
    StreamError
        No stream or several match, the stream is not one string a sample, or it does not open.
    StreamLostError
        The stream went away while it was opened.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stream_type: str | None = None,
        source_id: str | None = None,
        found: Any = None,
        timeout_s: float = 10.0,
    ) -> None:
        if found is None:
            found = resolve_one(wanted(name, stream_type, source_id), timeout_s)
        self.name: str = found.name()
        self.source_id: str = found.source_id()
        if found.channel_format() != pylsl.cf_string or found.channel_count() != 1:
            raise StreamError(
                f"stream {shown(self.name)} is not a marker stream, which has one channel of "
                "strings: name another stream"
            )
        self._inlet: Any = new_inlet(found, _MARKER_BUFFER)
        open_inlet(self._inlet, self.name, self.source_id, timeout_s)
        self._lock = threading.Lock()

    def pull(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that came: time stamp in s on this machine's LSL clock, and text.

        Bytes that are no UTF-8 are shown as backslash escapes.

        Parameters
        ----------
        timeout_s : float
            How long to wait for the first marker, s.

        Raises
        ------
        StreamLostError
            The stream was there and is gone.
        """
        with self._lock:
            if self._inlet is None:
                return []
            try:
                texts, stamps = self._inlet.pull_chunk(
                    timeout=timeout_s, max_samples=_MARKERS_A_PULL, min_samples=1, as_numpy=True
                )
            except LostError as error:
                raise lost(self.name, self.source_id) from error
        return [
            (float(stamp), text.decode("utf-8", errors="backslashreplace"))
            for stamp, text in zip(stamps, texts[:, 0], strict=True)
        ]

    def close(self) -> None:
        """Let go of the stream, after a pull under way in another thread; safe to call twice."""
        with self._lock:
            self._inlet = None
