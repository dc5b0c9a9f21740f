"""Results out over LSL: signals, markers, decodes and status.

Pushing leaves samples to liblsl's own threads and returns; a listener that stopped reading costs
a bounded queue and never the caller's time.
"""

import json
import math
import re
from collections.abc import Mapping
from threading import Lock
from typing import Any, Protocol

import numpy as np
import pylsl

from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.files import finite
from rtbrain.outlet.lsl_stream import (
    SentStream,
    describe_channels,
    describe_contacts,
    describe_origin,
    new_info,
)
from rtbrain.stream_names import DECODE_CHANNELS, STATUS_TYPE, decode_name, events_name, status_name
from rtbrain.types import Chunk, Decode, Detection, Montage


class SignalOutlet:
    """A signal as a float32 LSL stream of type EEG in microvolts; each sample has its time stamp.

    `source_id` is the same at every start of its sender; `origin` is one word for where the signal
    comes from: ``synthetic``, ``replay``, ``amplifier``. Raises a SettingsError where one of them
    or the name cannot be published.
    """

    def __init__(self, name: str, montage: Montage, *, source_id: str, origin: str) -> None:
        n_channels = montage.n_channels
        info = new_info(name, "EEG", n_channels, montage.sfreq_hz, "float32", source_id)
        units = ("microvolts",) * n_channels
        nodes = describe_channels(info, montage.names, montage.kinds, units)
        describe_contacts(info, montage, nodes)
        describe_origin(info, origin=origin)
        self._name = name
        self._n_channels = n_channels
        self._stream = SentStream(info)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is connected."""
        return self._stream.has_listeners

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until somebody is connected; False if nobody was in time."""
        return self._stream.wait_for_listeners(timeout_s)

    def push(self, item: Chunk) -> None:
        """Send a chunk; never waits for a listener.

        Raises a MontageError for another number of channels, a StreamError once closed.
        """
        outlet = self._stream.outlet
        if item.data.shape[0] != self._n_channels:
            raise MontageError(
                f"outlet {self._name!r} has {self._n_channels} channels, the chunk has "
                f"{item.data.shape[0]}: make the outlet from the chunk's montage"
            )
        if not item.n_samples:
            return
        values = np.ascontiguousarray(item.data.T)  # [T, C]
        # A list: pylsl takes an array of one stamp for a single number.
        outlet.push_chunk(values, item.timestamps.tolist())

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


class DecodeOutlet:
    """Decodes as the LSL stream ``NAME-decode``, stamped with the end of their window.

    One float32 channel per output, then ``valid`` (1 or 0), ``coverage`` (share of good channels),
    ``age_s``, ``compute_s`` and ``drift``; NaN where a decode has no value, no age or no drift.

    Parameters
    ----------
    labels, unit
        Labels of the outputs, and their unit.
    hop_s : float or None
        Time between decodes, s; None where they come with events: the stream is then irregular.
    montage : Montage
        The contacts that the decoder reads.
    bundle_id, source_id : str
        Which decoder it is; identity of the stream, the same at every start.
    delay_s : float
        From the moment that a decode describes to the end of its window, s.
    about : mapping of str to str, optional
        More for the header: ``stream`` that is decoded, its ``stream_id``, ``mode`` of the decoder,
        and ``window_s``, the signal that a decode needs after a gap.

    Raises
    ------
    SettingsError
        The hop is not a finite time above 0, or a name or id cannot be published.
    MontageError
        Labels repeat, or one is a label that every decode stream has.
    """

    def __init__(
        self,
        name: str,
        labels: tuple[str, ...],
        *,
        hop_s: float | None,
        montage: Montage,
        bundle_id: str,
        source_id: str,
        unit: str = "probability",
        delay_s: float = 0.0,
        about: Mapping[str, str] | None = None,
    ) -> None:
        if hop_s is not None and not (math.isfinite(hop_s) and hop_s > 0):
            raise SettingsError(f"hop_s: expected a finite time above 0 s, got {hop_s}")
        names = (*labels, *DECODE_CHANNELS)
        units = (*(unit for _ in labels), *DECODE_CHANNELS.values())
        self._name = decode_name(name)
        rate_hz = 0.0 if hop_s is None else 1 / hop_s
        info = new_info(self._name, "Decode", len(names), rate_hz, "float32", source_id)
        # MISC is the one type of channel that every reader of LSL takes for what is no voltage.
        describe_channels(info, names, ("misc",) * len(names), units)
        describe_contacts(info, montage)
        plain = {key: re.sub(r"[/\\]", "_", text) for key, text in (about or {}).items()}
        describe_origin(
            info, origin="decoder", bundle_id=bundle_id, delay_s=f"{delay_s:.9g}", **plain
        )
        self._n_outputs = len(labels)
        self._stream = SentStream(info)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is connected."""
        return self._stream.has_listeners

    def push(self, item: Decode) -> None:
        """Send a decode; never waits; a StreamError for another number of outputs."""
        outlet = self._stream.outlet
        if item.values.size != self._n_outputs:
            raise StreamError(
                f"outlet {self._name!r} has {self._n_outputs} outputs, the decode has "
                f"{item.values.size}: make the outlet from the decoder's labels"
            )
        quality = item.quality
        about = (float(quality.valid), quality.coverage, item.age_s, item.compute_s, item.drift)
        outlet.push_sample([*item.values.tolist(), *about], item.t_stop)

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


class MarkerOutlet:
    """Markers as an LSL stream of one string a sample.

    `source_id` is the same at every start of a sender. Raises a SettingsError where the name or the
    source_id cannot be published.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._stream = SentStream(text_info(name, "Markers", source_id))

    def push(self, text: str, timestamp: float) -> None:
        """Send a marker of a moment, s on the LSL clock; a StreamError once closed."""
        self._stream.outlet.push_sample([text], timestamp)

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until somebody is connected; False if nobody was in time."""
        return self._stream.wait_for_listeners(timeout_s)

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


class DetectionOutlet:
    """Detections that are sent, as the LSL stream ``NAME-events`` of type ``Markers``.

    Each is a text of JSON: ``label``, ``value``, ``t_ready`` (when it was decided, s on the LSL
    clock), ``calibrated`` and ``n``, its number; stamped with the moment of the brain that it
    describes. The header names the bundle. It is made as a `MarkerOutlet`.
    """

    def __init__(self, name: str, *, source_id: str, bundle_id: str) -> None:
        about = {"origin": "decoder", "bundle_id": bundle_id}
        self._stream = SentStream(text_info(events_name(name), "Markers", source_id, **about))
        self._n_sent = 0

    def push(self, item: Detection) -> None:
        """Send a detection, unless it is suppressed; a StreamError once closed."""
        if item.suppressed:
            return
        self._n_sent += 1
        fields = {key: getattr(item, key) for key in ("label", "value", "t_ready", "calibrated")}
        line = json.dumps(finite(fields | {"n": self._n_sent}), allow_nan=False)
        self._stream.outlet.push_sample([line], item.t_neural)

    def close(self) -> None:
        """End the stream once listeners had time to read the last event; safe to call twice."""
        self._stream.close(_LAST_LINE_S)


# An inlet that has lost its stream drops what nobody has pulled from it. The last line says that
# the end was a proper one, and a window on a busy machine polls ten times a second or less.
_LAST_LINE_S = 0.3


class StatusOutlet:
    """Events as the LSL stream ``NAME-status``, type ``Status``: one line of JSON each.

    It is made as a `MarkerOutlet`. Any thread may push; liblsl itself takes one at a time. Once it
    is closed, what threads still push is dropped.
    """

    def __init__(self, name: str, *, source_id: str) -> None:
        self._stream = SentStream(text_info(status_name(name), STATUS_TYPE, source_id))
        self._lock, self._closed = Lock(), False

    def emit(self, event: str, **fields: object) -> None:
        """Send an event, stamped now: ``emit("gap", lost=512)``; fields may be numpy arrays."""
        self.push({"event": event, **fields})

    def push(self, item: dict[str, object]) -> None:
        """Send an event, stamped now, with null for numbers that are not finite."""
        line = json.dumps(finite(item), allow_nan=False)
        with self._lock:
            if not self._closed:
                self._stream.outlet.push_sample([line], pylsl.local_clock())

    def close(self) -> None:
        """End the stream once listeners had time to read the last line, in under 0.9 s.

        Safe to call twice.
        """
        with self._lock:
            self._closed = True
        self._stream.close(_LAST_LINE_S)


def text_info(name: str, stream_type: str, source_id: str, **about: str) -> Any:
    """Header of a stream of one text a sample."""
    info = new_info(name, stream_type, 1, pylsl.IRREGULAR_RATE, "string", source_id)
    label = "status" if stream_type == STATUS_TYPE else "marker"
    describe_channels(info, (label,), (label,), ("text",))
    describe_origin(info, **about)
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
