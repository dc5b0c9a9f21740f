"""Markers and status out over LSL: strings at irregular times."""

import json
import math
from typing import Any, Protocol

import numpy as np
import pylsl

from rtbrain.outlet.lsl_stream import (
    close_outlet,
    describe_channels,
    describe_origin,
    make_outlet,
    new_info,
    require_open,
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
        What tells it from every other stream.

    Raises
    ------
    SettingsError
        The name or source_id cannot be published.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._name = name
        self._outlet: Any = make_outlet(_marker_info(name, "marker", source_id))

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
        require_open(self._outlet, self._name).push_sample([text], timestamp)

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait until somebody is connected; False if nobody was in time.

        Parameters
        ----------
        timeout_s : float
            How long to wait, s.
        """
        return self._outlet is not None and bool(self._outlet.wait_for_consumers(timeout_s))

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        close_outlet(self._outlet)
        self._outlet = None


class StatusOutlet:
    """Events as the LSL marker stream ``NAME-status``: one line of JSON each.

    Parameters
    ----------
    name : str
        Name of the stream, less ``-status``.
    source_id : str
        What tells it from every other stream.

    Raises
    ------
    SettingsError
        The name or source_id cannot be published.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._name = status_name(name)
        self._outlet: Any = make_outlet(_marker_info(self._name, "status", source_id))

    def emit(self, event: str, **fields: object) -> None:
        """Send an event, stamped now: ``emit("gap", lost=512)``.

        Parameters
        ----------
        event : str
            What happened.
        **fields : object
            What there is to say of it: what JSON can hold, and numpy numbers.

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
        outlet = require_open(self._outlet, self._name)
        outlet.push_sample([json.dumps(_plain(item), allow_nan=False)], pylsl.local_clock())

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        close_outlet(self._outlet)
        self._outlet = None


def _marker_info(name: str, label: str, source_id: str) -> Any:
    info = new_info(name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", source_id)
    describe_channels(info, (label,), ("marker",), ("text",))
    describe_origin(info)
    return info


def _plain(value: object) -> object:
    """Value as strict JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class _Events(Protocol):
    def emit(self, event: str, **fields: object) -> None:
        """Send one event."""
        ...


class StatusReport:
    """Sink that turns changes of quality into events, and counts.

    ``valid`` and ``invalid`` with the reason; the loop tells it of gaps (``gap`` with the samples
    lost) and of windows that were skipped (``skipped``).

    Parameters
    ----------
    events : StatusOutlet
        Where the events go.

    Attributes
    ----------
    n_decodes, n_lost, n_skipped : int
        Valid decodes, samples lost, windows skipped.
    """

    def __init__(self, events: _Events) -> None:
        self._events = events
        self._said: tuple[bool, str] | None = None
        self.n_lost = 0
        self.n_skipped = 0
        self.n_decodes = 0

    def push(self, item: Decode) -> None:
        """Look at a decode and tell what changed."""
        quality = item.quality
        self.n_decodes += quality.valid
        # While a window fills, its reason counts up: that it fills is told once.
        said = (quality.valid, quality.reason.split(":")[0])
        if said != self._said:
            self._said = said
            self._events.emit("valid" if quality.valid else "invalid", reason=quality.reason)

    def lost(self, n_samples: int) -> None:
        """Tell that samples of the stream were lost."""
        self.n_lost += n_samples
        self._events.emit("gap", lost=n_samples)

    def skipped(self, n_windows: int) -> None:
        """Tell that windows were skipped because decoding was late."""
        self.n_skipped += n_windows
        self._events.emit("skipped", windows=n_windows)

    def report_totals(self) -> None:
        """Tell the end, and what was counted."""
        self._events.emit(
            "stopped", decodes=self.n_decodes, lost=self.n_lost, skipped=self.n_skipped
        )

    def close(self) -> None:
        """Do nothing: whoever made it tells the totals at the very end."""
