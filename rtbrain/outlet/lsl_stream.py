"""Headers of rtbrain's LSL outlets: labels, units, positions, and no names, dates or paths."""

import ctypes
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pylsl

from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.types import Montage

# A listener that stopped reading holds at most this much of the signal in our memory. TCP needs it
# after a cut of the network: it tries again as late as the cut was long.
_HELD_S = 30
# In hundreds, as liblsl counts irregular streams: a burst of markers must not be cut.
_HELD_MARKERS = 360
# What was pushed last gets this long to leave; listeners that read are done in milliseconds.
_DRAIN_S = 0.05
_HUNG_UP_S = 0.5
_SETTLE_S = 0.01
_POLL_S = 0.002
_SO_ATTACH_FILTER = 26  # Linux
# Where Linux and macOS list the open files; elsewhere only the wait helps.
_OPEN_FILES = (Path("/proc/self/fd"), Path("/dev/fd"))


def new_info(
    name: str, stream_type: str, n_channels: int, sfreq_hz: float, fmt: str, source_id: str
) -> Any:
    """Empty header of a stream."""
    for what, text in (("name", name), ("source_id", source_id)):
        if not text.strip():
            raise SettingsError(f"LSL outlet: expected a {what}, got {text!r}: give it one")
        _check_private(what, text)
    return pylsl.StreamInfo(name, stream_type, n_channels, sfreq_hz, fmt, source_id)


class SentStream:
    """One LSL stream that is sent, until it is closed.

    It holds no more than 30 s for a listener that stopped reading.
    """

    def __init__(self, info: Any) -> None:
        held = _HELD_S if info.nominal_srate() > 0 else _HELD_MARKERS
        self._name: str = info.name()
        self._outlet: Any = pylsl.StreamOutlet(info, max_buffered=held)

    @property
    def outlet(self) -> Any:
        """The `pylsl.StreamOutlet`; a StreamError once closed."""
        if self._outlet is None:
            raise StreamError(f"outlet {self._name!r} is closed: make a new one")
        return self._outlet

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is connected."""
        return self._outlet is not None and bool(self._outlet.have_consumers())

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait until somebody is connected; False if nobody was in time."""
        return self._outlet is not None and bool(self._outlet.wait_for_consumers(timeout_s))

    def close(self, drain_s: float = _DRAIN_S) -> None:
        """Let the last samples leave, hang up on the listeners and wait until they are gone.

        Takes at most 0.51 s more than `drain_s`, whatever the listeners do; safe to call twice.
        """
        if self.has_listeners:
            time.sleep(drain_s)
        if self._outlet is not None:
            _hang_up(self._outlet)
            # A listener is signed off just before its samples are freed.
            time.sleep(_SETTLE_S)
        self._outlet = None


def describe_channels(
    info: Any, names: Sequence[str], kinds: Sequence[str], units: Sequence[str]
) -> list[Any]:
    """Write desc/channels/channel: label, unit, type; give back the nodes."""
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        raise MontageError(f"outlet labels repeat: {', '.join(twice)}; rename them")
    channels = info.desc().append_child("channels")
    nodes: list[Any] = []
    for name, kind, unit in zip(names, kinds, units, strict=True):
        node = channels.append_child("channel")
        node.append_child_value("label", name)
        node.append_child_value("unit", unit)
        node.append_child_value("type", kind.upper())
        nodes.append(node)
    return nodes


def describe_contacts(info: Any, montage: Montage, nodes: Sequence[Any] | None = None) -> None:
    """Write desc/montage, and the positions that are known into each channel's location."""
    about = info.desc().append_child("montage")
    if montage.positions is not None:
        about.append_child_value("space", str(montage.space))
    if nodes is None:
        nodes = _contact_nodes(about, montage)
    if montage.positions is None:
        return
    for node, position in zip(nodes, montage.positions, strict=True):
        if np.isfinite(position).all():
            location = node.append_child("location")
            for axis, value in zip("XYZ", position, strict=True):
                # Nine digits give every float32 back.
                location.append_child_value(axis, f"{value:.9g}")


def _contact_nodes(about: Any, montage: Montage) -> list[Any]:
    contacts = about.append_child("contacts")
    nodes = []
    for name, kind in zip(montage.names, montage.kinds, strict=True):
        node = contacts.append_child("contact")
        node.append_child_value("label", name)
        node.append_child_value("type", kind.upper())
        nodes.append(node)
    return nodes


def describe_origin(info: Any, **fields: str) -> None:
    """Write desc/rtbrain: these fields and rtbrain's version."""
    ours = info.desc().append_child("rtbrain")
    for key, text in fields.items():
        _check_private(key, text)
        ours.append_child_value(key, text)
    ours.append_child_value("version", version("rtbrain"))


def _check_private(what: str, text: str) -> None:
    """Refuse what would carry a path, and with it often a patient's name, onto the network."""
    if re.search(r"[/\\]", text):
        raise SettingsError(
            f"LSL outlet: {what} {text!r} looks like a path, which everyone on the network would "
            "read: give it a plain word"
        )


def _hang_up(outlet: Any) -> None:
    """Shut the outlet's connections, and wait until they are gone: to end under one is fatal.

    Nobody is let in meanwhile, for a listener that lost an outlet connects again at once.
    """
    header = outlet.get_info().as_xml()
    ports = {int(port) for port in re.findall(r"<v[46]data_port>(\d+)<", header)} - {0}
    end, n_open = time.monotonic() + _HUNG_UP_S, 1
    while (n_open or outlet.have_consumers()) and time.monotonic() < end:
        n_open = 0
        for one in _served(ports):
            with suppress(OSError):  # the other end has gone
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    _let_nobody_in(one)
                else:
                    n_open += 1
                    one.shutdown(socket.SHUT_RDWR)
        time.sleep(_POLL_S)


def _let_nobody_in(listening: socket.socket) -> None:
    """Drop what reaches a listening socket, where the system can."""
    if sys.platform == "linux":
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
        program = struct.pack("HL", 1, ctypes.addressof(drop_all))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _served(ports: set[int]) -> Iterator[socket.socket]:
    """Sockets of this process at these TCP ports."""
    listing = next((path for path in _OPEN_FILES if path.is_dir()), None)
    for name in os.listdir(listing) if listing else ():
        try:
            one = socket.socket(fileno=int(name))
        except OSError:
            continue  # no socket, or closed meanwhile
        try:
            internet = one.family in (socket.AF_INET, socket.AF_INET6)
            if internet and one.type == socket.SOCK_STREAM and one.getsockname()[1] in ports:
                yield one
        except OSError:
            continue  # closed meanwhile
        finally:
            # The file is liblsl's: only it may close it.
            one.detach()
