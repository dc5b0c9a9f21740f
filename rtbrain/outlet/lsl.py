"""Results out over LSL: signals, markers, decodes and status.

Pushing leaves samples to liblsl's own threads and returns; a listener that stopped reading costs
a bounded queue and never the caller's time.
"""

import math
import re
from collections.abc import Mapping

import numpy as np

from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.outlet.lsl_stream import (
    SentStream,
    describe_channels,
    describe_contacts,
    describe_origin,
    new_info,
)
from rtbrain.stream_names import decode_name
from rtbrain.types import DECODE_CHANNELS, Chunk, Decode, Montage

# What a microvolt is multiplied by to be in the unit.
_FROM_MICROVOLTS = {"nanovolts": 1e3, "microvolts": 1.0, "millivolts": 1e-3, "volts": 1e-6}


class SignalOutlet:
    """A signal as a float32 LSL stream, each sample with its own time stamp.

    Parameters
    ----------
    name : str
        Name of the stream.
    montage : Montage
        Its channels and rate.
    source_id : str
        Identity of the stream, the same at every start of its sender.
    origin : str
        Where the signal comes from, one word: ``synthetic``, ``replay``, ``amplifier``.
    stream_type : str
        LSL content type.
    unit : str
        Unit of the values on the wire: nanovolts, microvolts, millivolts, volts.

    Raises
    ------
    SettingsError
        The unit is unknown, or the name, source_id or origin cannot be published.
    """

    def __init__(
        self,
        name: str,
        montage: Montage,
        *,
        source_id: str,
        origin: str,
        stream_type: str = "EEG",
        unit: str = "microvolts",
    ) -> None:
        if unit not in _FROM_MICROVOLTS:
            known = ", ".join(_FROM_MICROVOLTS)
            raise SettingsError(f"unit: expected one of {known}, got {unit!r}")
        info = new_info(
            name, stream_type, montage.n_channels, montage.sfreq_hz, "float32", source_id
        )
        n_channels = montage.n_channels
        nodes = describe_channels(info, montage.names, montage.kinds, (unit,) * n_channels)
        describe_contacts(info, montage, nodes)
        describe_origin(info, origin=origin)
        self._name = name
        self._n_channels = n_channels
        self._factor = _FROM_MICROVOLTS[unit]
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

        Raises
        ------
        MontageError
            The chunk has another number of channels.
        StreamError
            The outlet is closed.
        """
        outlet = self._stream.outlet
        if item.data.shape[0] != self._n_channels:
            raise MontageError(
                f"outlet {self._name!r} has {self._n_channels} channels, the chunk has "
                f"{item.data.shape[0]}: make the outlet from the chunk's montage"
            )
        if not item.n_samples:
            return
        values = item.data.T  # [T, C]
        if self._factor != 1:
            values = np.multiply(values, self._factor, dtype=np.float64).astype(np.float32)
        # A list: pylsl takes an array of one stamp for a single number.
        outlet.push_chunk(np.ascontiguousarray(values), item.timestamps.tolist())

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()


class DecodeOutlet:
    """Decodes as the LSL stream ``NAME-decode``, stamped with the end of their window.

    One float32 channel per output, then ``valid`` (1 or 0), ``coverage`` (share of good channels),
    ``age_s`` and ``compute_s``; NaN where a decode has no value or no age.

    Parameters
    ----------
    name : str
        Name of the stream, less ``-decode``.
    labels : tuple of str
        Labels of the outputs.
    hop_s : float or None
        Time between decodes, s; the nominal rate is 1 / `hop_s`. None where they come with
        events: the stream is then irregular.
    montage : Montage
        The contacts that the decoder reads.
    bundle_id : str
        Which decoder it is.
    source_id : str
        Identity of the stream, the same at every start of its sender.
    unit : str
        Unit of the outputs.
    delay_s : float
        From the moment that a decode describes to the end of its window, s.
    inputs : mapping of str to str, optional
        What is decoded, for the header: ``stream`` and its ``stream_id``.

    Raises
    ------
    SettingsError
        The hop is not a finite time above 0, or the name, source_id or bundle_id cannot be
        published.
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
        inputs: Mapping[str, str] | None = None,
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
        plain = {key: re.sub(r"[/\\]", "_", text) for key, text in (inputs or {}).items()}
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
        """Send a decode; never waits for a listener.

        Raises
        ------
        StreamError
            The decode has another number of outputs, or the outlet is closed.
        """
        outlet = self._stream.outlet
        if item.values.size != self._n_outputs:
            raise StreamError(
                f"outlet {self._name!r} has {self._n_outputs} outputs, the decode has "
                f"{item.values.size}: make the outlet from the decoder's labels"
            )
        quality = item.quality
        about = (float(quality.valid), quality.coverage, item.age_s, item.compute_s)
        outlet.push_sample([*item.values.tolist(), *about], item.t_stop)

    def close(self) -> None:
        """End the stream, in under 0.6 s; safe to call twice."""
        self._stream.close()
