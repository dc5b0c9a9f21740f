"""Samples in through any client of mne-realtime."""

import contextlib
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pylsl
import pylsl.lib

from rtbrain.config import StreamSettings
from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.mne_info import montage_from_info
from rtbrain.stream.clock.rate import ArrivalClock
from rtbrain.stream.lsl.header import require_plausible_stream
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.types import Chunk, empty_chunk
from rtbrain.units import require_voltage, to_microvolts

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "MNE-realtime is discontinued", FutureWarning)
    import mne_realtime as mne_realtime
    import mne_realtime.externals.FieldTrip

_POLL_S = 0.005
_MOCK_CHUNK_S = 0.25
_MOST_WAITING = 64
_MOST_OLD = 1000
_CLIENT_BUFFER_S = 10
# Samples lost just before a block, and the block [n_channels, n_samples].
ReceivedBlock = tuple[int, Any]
# Returns the next block, or None if there was none within the seconds passed.
Receive = Callable[[float], ReceivedBlock | None]


class MneClientSource:
    """A client of mne-realtime (`LSLClient`, `FieldTripClient`, `MockRtClient`) as a Source.

    For what only such a client can reach. `LslSource` and `FieldTripSource` read the same streams
    and see more: these clients (version 0.3.0) give neither sample numbers nor time stamps, and
    the first two neither convert units nor report that their stream is gone. Therefore samples
    are counted as they come and stamped on arrival, by `ArrivalClock`: what a client loses
    within itself shows only as a pause of 1 s or more.

    `MockRtClient` gives its recording once, as fast as it is pulled, and then ends.

    References
    ----------
    https://github.com/mne-tools/mne-realtime
    """

    def __init__(
        self, client: Any, *, unit: str, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._factor = require_voltage(unit)
        info = client.get_measurement_info()
        if info is None:
            raise StreamError(
                f"{type(client).__name__} has no measurement info: connect it before, in a with"
            )
        self.montage, self.notes = montage_from_info(info)
        self._client = client
        self._clock = ArrivalClock(self.montage.sfreq_hz)
        self._receive: Receive | None = None
        self._let_go: Callable[[], None] = lambda: None
        self._on_close = on_close
        self._waiting: deque[ReceivedBlock] = deque()
        self._ended = False
        self._n_arrived = 0
        self._next = 0
        self._gap = 0
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples, as they came from the client."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while not self._closed.is_set():
                left_s = max(0.0, min(0.1, deadline - time.monotonic()))
                chunk = self._try(left_s)
                if chunk is not None:
                    return chunk
                if self._ended:
                    return None
                if time.monotonic() >= deadline:
                    return empty_chunk(self.montage.n_channels, self._next)
        return None

    def close(self) -> None:
        """Stop reading; safe to call twice. The client stays connected, but for `open_source`'s."""
        self._closed.set()
        with self._lock:
            self._let_go()
            self._on_close()
            self._let_go = self._on_close = lambda: None

    def _try(self, timeout_s: float) -> Chunk | None:
        if self._receive is None:
            self._receive = self._begin()
        if not self._ended:
            block = self._receive(0.0 if self._waiting else timeout_s)
            if block is not None:
                self._take(block)
        now_s = lsl_clock()
        if self._n_arrived:
            self._clock.arrived(self._n_arrived, now_s)
        lost = self._clock.resume(now_s)
        if lost is None:
            self._closed.wait(min(timeout_s, _POLL_S))
            return None
        self._n_arrived += lost
        self._gap += lost
        if not self._waiting:
            return None
        n_lost, data = self._waiting.popleft()
        gap, self._gap = self._gap + n_lost, 0
        first_sample = self._next + gap
        self._next = first_sample + data.shape[1]
        stamps = self._clock.stamps(first_sample, data.shape[1])
        return Chunk(to_microvolts(data, self._factor), stamps, first_sample, gap)

    def _take(self, block: ReceivedBlock) -> None:
        n_lost, data = block
        if data.shape[0] != self.montage.n_channels:
            raise StreamError(
                f"the client gives {data.shape[0]} channels, its measurement info names "
                f"{self.montage.n_channels}: give it the info of this stream"
            )
        self._waiting.append(block)
        self._n_arrived += n_lost + data.shape[1]

    def _begin(self) -> Receive:
        if isinstance(self._client, mne_realtime.MockRtClient):
            for data in _recording_of(self._client):
                self._take((0, data))
            self._ended = True
            return lambda timeout_s: None
        if isinstance(self._client, mne_realtime.FieldTripClient):
            # Its iterator ends after one block in any thread but its own.
            received = _Received()
            self._client.register_receive_callback(received.push)
            self._client.start_receive_thread(self.montage.n_channels)
            self._let_go = lambda: _stop(self._client, received)
            return received.next
        return self._polled(self._client.iter_raw_buffers())

    def _polled(self, blocks: Iterator[Any]) -> Receive:
        # What waits there was sent before the first pull.
        for _ in range(_MOST_OLD):
            if not next(blocks, np.zeros((0, 0))).size:
                break

        def receive(timeout_s: float) -> ReceivedBlock | None:
            deadline = time.monotonic() + timeout_s
            while True:
                data = next(blocks, None)
                if data is None:
                    self._ended = True
                    return None
                if data.size:
                    return 0, data
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._closed.wait(min(_POLL_S, left_s)):
                    return None

        return receive


def open_source(
    address: str, stream: StreamSettings, on_event: Callable[..., None], stop: Callable[[], bool]
) -> MneClientSource:
    """Connect mne-realtime's `LSLClient` to the LSL stream of a source id."""
    found = resolve_one({"source_id": address}, stream.timeout_s, stop)
    require_plausible_stream(found)
    stack = contextlib.ExitStack()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Montage name", FutureWarning)
            client = stack.enter_context(_lsl_client(found, address, stream.timeout_s))
        return MneClientSource(client, unit=stream.unit, on_close=stack.close)
    except RuntimeError as error:
        raise StreamError(f"mne-realtime's LSLClient cannot read {address!r}: {error}") from error
    except (SettingsError, StreamError, MontageError):
        stack.close()
        raise


def _lsl_client(found: Any, source_id: str, timeout_s: float) -> Any:
    """Client of a stream that was found: it looks itself for 0.1 s only, too short for many."""

    class FoundStreamClient(mne_realtime.LSLClient):  # type: ignore[misc]
        def _connect(self) -> Any:
            self.client = pylsl.StreamInlet(found, _CLIENT_BUFFER_S)
            dtype = pylsl.lib.fmt2type[found.channel_format()]
            self.buffer = np.empty((self.buffer_size, found.channel_count()), dtype)
            return self

    return FoundStreamClient(host=source_id, wait_max=timeout_s)


class _Received:
    """Blocks that a client's own thread pushed; where too many wait, new ones are lost."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[ReceivedBlock] = queue.Queue(_MOST_WAITING)
        self._n_lost = 0

    def push(self, data: Any) -> None:
        try:
            self._blocks.put_nowait((self._n_lost, data))
            self._n_lost = 0
        except queue.Full:
            self._n_lost += data.shape[1]

    def next(self, timeout_s: float) -> ReceivedBlock | None:
        try:
            return self._blocks.get(timeout=max(timeout_s, 1e-3))
        except queue.Empty:
            return None


def _stop(client: Any, received: _Received) -> None:
    client.unregister_receive_callback(received.push)
    client.stop_receive_thread()


class _Epochs:
    """What `MockRtClient` sends to: it has no other way out of its recording."""

    def __init__(self) -> None:
        self.blocks: list[Any] = []

    def _process_raw_buffer(self, data: Any) -> None:
        self.blocks.append(data)


def _recording_of(client: Any) -> list[Any]:
    """All blocks of a `MockRtClient`, in volts, with its calibration put back in."""
    info = client.get_measurement_info()
    sfreq_hz = float(info["sfreq"])
    n_samples = int(client.raw.n_times)
    epochs = _Epochs()
    hop = min(n_samples, max(1, round(_MOCK_CHUNK_S * sfreq_hz)))
    client.send_data(epochs, "all", 0.0, n_samples / sfreq_hz, hop)
    scales = np.array([[channel["range"] * channel["cal"]] for channel in info["chs"]])
    return [data * scales for data in epochs.blocks]


def patch_pylsl_for_mne_realtime() -> None:
    """Give pylsl back its module ``pylsl.pylsl``, which 1.18 split into parts, if it has none.

    mne-realtime 0.3 reads ``pylsl.pylsl.fmt2type`` in ``lsl_client.py``, now in ``pylsl.lib``;
    without it `mne_realtime.LSLClient` never connects. Call this before the client is started.
    """
    if not hasattr(pylsl, "pylsl"):
        pylsl.pylsl = pylsl.lib
