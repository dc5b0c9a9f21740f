"""Markers and status out over LSL: strings at irregular times."""

import json
from typing import Any, Protocol

import pylsl

from rtbrain.files import finite
from rtbrain.outlet.lsl_stream import (
    SentStream,
    describe_channels,
    describe_origin,
    new_info,
)
from rtbrain.stream_names import status_name
from rtbrain.types import Decode


class MarkerOutlet:
    """Markers as an LSL stream of one string a sample.

    Parameters
    ----------
    name : str
        Name of the stream.
    source_id : str
        Identity of the stream, the same at every start of its sender.

    Raises
    ------
    SettingsError
        The name or source_id cannot be published.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._stream = SentStream(_text_info(name, "marker", source_id))

    def push(self, text: str, timestamp: float) -> None:
        """Send a marker.

        Parameters
        ----------
        text : str
            The marker.
        timestamp : float
            Its moment, s, LSL clock.

        Raises
        ------
        StreamError
            The outlet is closed.
        """
        self._stream.outlet.push_sample([text], timestamp)

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until somebody is connected; False if nobody was in time."""
        return self._stream.wait_for_listeners(timeout_s)

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


class StatusOutlet:
    """Events as the LSL marker stream ``NAME-status``: one line of JSON each.

    Parameters
    ----------
    name : str
        Name of the stream, less ``-status``.
    source_id : str
        Identity of the stream, the same at every start of its sender.

    Raises
    ------
    SettingsError
        The name or source_id cannot be published.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._stream = SentStream(_text_info(status_name(name), "status", source_id))

    def emit(self, event: str, **fields: object) -> None:
        """Send an event, stamped now: ``emit("gap", lost=512)``.

        Parameters
        ----------
        event : str
            What happened.
        **fields : object
            Details: what JSON can hold, and numpy numbers and arrays.

        Raises
        ------
        StreamError
            The outlet is closed.
        """
        self.push({"event": event, **fields})

    def push(self, item: dict[str, object]) -> None:
        """Send an event, stamped now; a number that is not finite is sent as null.

        Raises
        ------
        StreamError
            The outlet is closed.
        """
        line = json.dumps(finite(item), allow_nan=False)
        self._stream.outlet.push_sample([line], pylsl.local_clock())

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


def _text_info(name: str, label: str, source_id: str) -> Any:
    info = new_info(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", source_id)
    describe_channels(info, (label,), ("marker",), ("text",))
    describe_origin(info)
    return info


class _Events(Protocol):
    def emit(self, event: str, **fields: object) -> None:
        """Send one event."""
        ...


class StatusReport:
    """Sink that turns changes of quality into events, and counts.

    Its events are ``valid`` and ``invalid`` with the reason, ``gap`` with the samples lost,
    ``skipped`` with the windows skipped, and ``stopped`` with what was counted.
    """

    def __init__(self, events: _Events) -> None:
        self._events = events
        self._reported: tuple[bool, str] | None = None
        self.n_lost = 0
        self.n_skipped = 0
        self.n_decodes = 0

    def push(self, item: Decode) -> None:
        """Report what changed in the quality of a decode."""
        quality = item.quality
        self.n_decodes += quality.valid
        # While a window fills, its reason counts up: that it fills is reported once.
        state = (quality.valid, quality.reason.split(":")[0])
        if state != self._reported:
            self._reported = state
            self._events.emit("valid" if quality.valid else "invalid", reason=quality.reason)

    def lost(self, n_samples: int) -> None:
        """Report that samples of the stream were lost."""
        self.n_lost += n_samples
        self._events.emit("gap", lost=n_samples)

    def skipped(self, n_windows: int) -> None:
        """Report that windows were skipped because decoding was late."""
        self.n_skipped += n_windows
        self._events.emit("skipped", windows=n_windows)

    def report_totals(self) -> None:
        """Report the end, and what was counted."""
        self._events.emit(
            "stopped", decodes=self.n_decodes, lost=self.n_lost, skipped=self.n_skipped
        )

    def close(self) -> None:
        """Do nothing: its owner reports the totals at the very end."""
