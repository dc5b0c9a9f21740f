"""Where the detections of a live session act on the world: all of it off until it is armed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveInt

from rtbrain.config.front_end import Settings

MAX_PORT = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; an IPv6 address stands in brackets, as [::1]:9000."""
    host, colon, port = text.rpartition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known = colon and inner and (inner == host) == (":" not in inner)
    plain = inner.isascii() and inner.isprintable() and not set(inner) & set(" /@[]")
    if not (known and plain and port.isdecimal() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"expected HOST:PORT, as 127.0.0.1:9000, got {text!r}")
    return inner, int(port)


def _require_address(text: str) -> str:
    parse_address(text)
    return text


def _require_osc(text: str) -> str:
    plain = text.isascii() and text.isprintable() and not set(text) & set(" #*,?[]{}")
    if not (plain and text.startswith("/") and all(text[1:].split("/"))):
        raise ValueError(f"expected an OSC address, as /rtbrain/trigger, got {text!r}")
    return text


Address = Annotated[str, Field(max_length=300), AfterValidator(_require_address)]
Code = Annotated[int, Field(ge=1, le=255)]


class OscSettings(Settings):
    """A message of Open Sound Control per trigger: label, value, number, seconds since the brain's.

    They go out by UDP.
    """

    to: Address = "127.0.0.1:9000"
    """Receiver, HOST:PORT; another machine only where it is named."""
    address: Annotated[str, Field(max_length=200), AfterValidator(_require_osc)] = (
        "/rtbrain/trigger"
    )
    """OSC address of the messages."""


class UdpSettings(Settings):
    """A datagram of JSON per trigger."""

    to: Address = "127.0.0.1:9001"
    """Receiver, HOST:PORT; another machine only where it is named."""


class SerialSettings(Settings):
    """A byte or a pulse per trigger at a serial port."""

    port: str = Field(min_length=1)
    """Port, as /dev/ttyACM0 or COM3."""
    drives: Literal["device", "byte", "rts", "dtr"] = "device"
    """A device with rtbrain's watchdog, one of plain bytes, or a wire at line RTS or DTR."""
    codes: dict[str, Code] = Field(default_factory=dict)
    """Code of each label, 1 to 255; labels without one send nothing. {}: every label sends 1."""
    pulse_s: float = Field(default=0.01, gt=0, le=10)
    """How long the line is up, s; after a plain byte, when 0 follows."""
    baud: PositiveInt = 115_200
    """Bits a second."""


class OutputSettings(Settings):
    """Where triggers go while the session is armed."""

    osc: OscSettings | None = None
    """Open Sound Control."""
    udp: UdpSettings | None = None
    """Datagrams of JSON."""
    serial: SerialSettings | None = None
    """A serial port."""
    disarm_after_s: NonNegativeFloat = 5.0
    """Disarm once decodes were invalid for so long, s; nothing is sent while they are."""
    log: Path | None = None
    """File of JSON lines, one per decision; by default OUT.jsonl beside a recording OUT.xdf."""
