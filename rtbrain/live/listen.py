"""Decodes of a running decoder as a program reads them, one at a time."""

import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from rtbrain.errors import StreamLostError
from rtbrain.processes import default_lsl_scope
from rtbrain.stream.lsl.decodes import DecodeListener, ReceivedDecode
from rtbrain.types import Decode, Detection

_PULL_S = 0.1
_END_S = 3.0
_POLL_S = 0.02
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LiveDecode:
    """A decode of a live session; times in s on the LSL clock.

    The latency, from the moment described to the decode, is the sum of its three parts.

    Attributes
    ----------
    values : dict of str to float
        Probability or value by label; NaN where the window could not be decoded.
    valid : bool
        Whether the decoder vouches for the values.
    reason : str
        Why the decode is invalid, as far as the decoder reported it; empty if valid.
    coverage : float
        Share of good channels.
    t_stop : float
        End of the window, s.
    latency_s, algorithmic_s, transport_s, compute_s : float
        The latency and its parts: where the encoder looks in the window, until the samples were
        here, and computing, s; NaN if unknown.
    drift : float
        How unlike calibration the signal is: 1 at the threshold of a flag; NaN if unknown.
    """

    values: dict[str, float]
    valid: bool
    reason: str
    coverage: float
    t_stop: float
    latency_s: float
    algorithmic_s: float
    transport_s: float
    compute_s: float
    drift: float = math.nan


def live_decode(decode: Decode, labels: tuple[str, ...]) -> LiveDecode:
    """A decode of this process as a listener would receive it."""
    quality = decode.quality
    return LiveDecode(
        dict(zip(labels, decode.values.tolist(), strict=True)),
        quality.valid,
        "" if quality.valid else quality.reason,
        quality.coverage,
        decode.t_stop,
        decode.age_s,
        decode.t_stop - decode.t_neural,
        decode.t_received - decode.t_stop,
        decode.compute_s,
        decode.drift,
    )


class LiveFeed(Generic[Item]):
    """What one decoder sends, an iterator; ends when the decoder does, or with `close`.

    A thread receives it, so that nothing is lost while the caller is busy. `wanted` is what of it.
    """

    def __init__(self, name: str, timeout_s: float, wanted: type[Item]) -> None:
        self._wanted = wanted
        self._listener = DecodeListener(name)
        self._listener.wait(timeout_s)
        header = self._listener.header
        self.labels: tuple[str, ...] = () if header is None else header.labels
        self._delay_s = math.nan if header is None else header.delay_s
        self._closed = threading.Event()
        # Items; then None at the decoder's end, or the error that ended it.
        self._received: queue.Queue[Item | StreamLostError | None] = queue.Queue()
        self._reason = ""
        self._stopped = False
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = None if self._closed.is_set() else self._received.get()
        if isinstance(item, self._wanted):
            return item
        self.close()
        if isinstance(item, StreamLostError):
            raise item
        raise StopIteration

    def close(self) -> None:
        """End the iteration, from any thread; safe to call twice."""
        self._closed.set()
        self._received.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join()

    def _receive(self) -> None:
        try:
            while not self._closed.is_set():
                decodes = self._listener.pull(_PULL_S)
                self._take_events()
                for decode in decodes:
                    self._put(self._live(decode))
        except StreamLostError as error:
            self._received.put(None if self._ended_in_order() else error)
        finally:
            self._listener.close()

    def _put(self, item: object) -> None:
        if isinstance(item, self._wanted):
            self._received.put(item)

    def _ended_in_order(self) -> bool:
        """Whether the decoder reports its end, which it does a little after its last decode."""
        deadline = time.monotonic() + _END_S
        while not (self._stopped or self._closed.is_set() or time.monotonic() > deadline):
            self._take_events()
            self._closed.wait(_POLL_S)
        return self._stopped or self._closed.is_set()

    def _take_events(self) -> None:
        for one in self._listener.pull_events():
            self._stopped |= one.event in ("stopped", "failed")
            if one.event in ("invalid", "summary") and "reason" in one.fields:
                self._reason = str(one.fields["reason"])
            elif one.event == "detected":
                self._put(_detection(one.fields))

    def _live(self, decode: ReceivedDecode) -> LiveDecode:
        return LiveDecode(
            dict(zip(self.labels, decode.values.tolist(), strict=True)),
            decode.valid,
            "" if decode.valid else self._reason,
            decode.coverage,
            decode.t_stop,
            decode.age_s,
            self._delay_s,
            decode.age_s - self._delay_s - decode.compute_s,
            decode.compute_s,
            decode.drift,
        )


def _detection(fields: Mapping[str, Any]) -> Detection:
    """A detection as its decoder reports it; what is no number there is NaN here."""

    def number(key: str) -> float:
        value = fields.get(key)
        return float(value) if isinstance(value, int | float) else math.nan

    return Detection(
        str(fields.get("label", "")),
        number("value"),
        number("t_neural"),
        number("t_stop"),
        number("t_ready"),
        number("coverage"),
        number("drift"),
        calibrated=fields.get("calibrated") is True,
    )


def detections(name: str = "rtbrain", *, timeout_s: float = 10.0) -> LiveFeed[Detection]:
    """Listen to the events that a running decoder detects and sends.

    Parameters
    ----------
    name, timeout_s
        As for `listen`.

    Returns
    -------
    iterator of Detection
        Ends as that of `listen`. Detections that were suppressed are not among them.

    Raises
    ------
    StreamError
        As for `listen`.

    Examples
    --------
    ::

        for event in rtbrain.detections("rtbrain"):
            print(event.label, event.value, event.t_neural, event.calibrated)
    """
    default_lsl_scope()
    return LiveFeed(name, timeout_s, Detection)


def listen(name: str = "rtbrain", *, timeout_s: float = 10.0) -> LiveFeed[LiveDecode]:
    """Listen to the decodes of a running decoder.

    Parameters
    ----------
    name : str
        Name of the decoder, as `rtbrain decode --name`.
    timeout_s : float
        How long to wait for it, s.

    Returns
    -------
    iterator of LiveDecode
        Ends when the decoder ends, or with its `close`, which any thread may call.

    Raises
    ------
    StreamError
        No such decoder is there in time. While iterating: it vanished without a word.

    Examples
    --------
    ::

        for decode in rtbrain.listen("rtbrain"):
            if decode.valid and decode.values["speech"] > 0.8:
                print(decode.t_stop)

    What acts on the world is set in ``outputs`` instead: armed by a person, watched and logged.
    """
    default_lsl_scope()
    return LiveFeed(name, timeout_s, LiveDecode)
