"""Triggers as datagrams: Open Sound Control, and JSON."""

import json
import os
import socket
from collections.abc import Callable, Collection
from threading import Event

import pylsl

from rtbrain.config.outputs import OscSettings, UdpSettings, parse_address
from rtbrain.errors import OutputError, one_line
from rtbrain.extras import load_extra
from rtbrain.files import finite
from rtbrain.outlet.trigger_worker import Sent
from rtbrain.types import Detection

Encode = Callable[[Detection, int], bytes]


class DatagramOutput:
    """Sends each trigger to one receiver as one datagram.

    UDP confirms nothing. A receiver on this machine, or the last router, may say that nobody is
    there: the trigger then counts as sent and not received.
    """

    def __init__(self, kind: str, to: str, encode: Encode) -> None:
        self.name = f"{kind} {to}"
        self.labels: Collection[str] | None = None
        self.t_free = 0.0
        self._encode = encode
        host, port = parse_address(to)
        try:
            # Resolved once: a name server must not hold a trigger up.
            family, form, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, form)
            try:
                self._socket.setblocking(False)
                self._socket.connect(where)
            except OSError:
                self._socket.close()
                raise
        except (OSError, UnicodeError) as error:
            raise OutputError(
                f"outputs.{kind}.to {to!r} cannot be sent to: {one_line(error)}: name a host and "
                "port that there are"
            ) from error

    def arm(self) -> None:
        """Do nothing: a socket is always ready."""

    def send(self, item: Detection, number: int, cut: Event) -> Sent:
        """Send a trigger, whether or not somebody receives it; an OutputError where it stays."""
        data = self._encode(item, number)
        self._refusal()  # of the one before, which would be taken for this one's
        try:
            self._socket.send(data)
        except OSError as error:
            raise OutputError(f"{self.name}: {one_line(error)}") from error
        return Sent(float(pylsl.local_clock()), False if self._refusal() else None)

    def beat(self) -> None:
        """Do nothing: no receiver waits for a sign of life."""

    def rest(self) -> None:
        """Do nothing: a datagram is over once it is sent."""

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def _refusal(self) -> str:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return os.strerror(number) if number else ""


def open_udp(settings: UdpSettings) -> DatagramOutput:
    """Output of JSON: what the trigger log holds of a decision, by the same keys."""
    return DatagramOutput("udp", settings.to, _json)


def open_osc(settings: OscSettings) -> DatagramOutput:
    """Output of OSC messages: label, value, number, and seconds since the moment of the brain.

    Raises an RtbrainError where python-osc is not installed.
    """
    building = load_extra("pythonosc.osc_message_builder", "outputs", "outputs.osc")

    def encode(item: Detection, number: int) -> bytes:
        message = building.OscMessageBuilder(settings.address)
        age_s = float(pylsl.local_clock()) - item.t_neural
        for value, kind in ((item.label, "s"), (item.value, "f"), (number, "i"), (age_s, "f")):
            message.add_arg(value, kind)
        return bytes(message.build().dgram)

    return DatagramOutput("osc", settings.to, encode)


def _json(item: Detection, number: int) -> bytes:
    return json.dumps(finite(describe(item, number)), allow_nan=False).encode()


def describe(item: Detection, number: int) -> dict[str, object]:
    """What is known of a decision; times are s on the LSL clock of this machine."""
    keys = ("label", "value", "t_neural", "t_stop", "t_ready", "coverage", "drift", "calibrated")
    return {"number": number} | {key: getattr(item, key) for key in keys}
