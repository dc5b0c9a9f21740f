"""Headers of rtbrain's LSL outlets: labels, units, positions, and no names, dates or paths."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pylsl

from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.types import Montage

__all__ = [
    "describe_channels",
    "describe_contacts",
    "describe_origin",
    "make_outlet",
    "new_info",
    "opened",
]

# A listener that stopped reading holds at most this much of the signal in our memory.
_HELD_S = 10
# In hundreds, as liblsl counts irregular streams: a burst of markers must not be cut.
_HELD_MARKERS = 360


def new_info(
    name: str, stream_type: str, n_channels: int, sfreq_hz: float, fmt: str, source_id: str
) -> Any:
    """Empty header of a stream.

    Raises
    ------
    SettingsError
        A stream without a name or a source_id: nobody could tell it from another.
    """
    for what, text in (("name", name), ("source_id", source_id)):
        if not text.strip():
            raise SettingsError(f"LSL outlet: expected a {what}, got {text!r}: give it one")
        _check_private(what, text)
    return pylsl.StreamInfo(name, stream_type, n_channels, sfreq_hz, fmt, source_id)


def make_outlet(info: Any) -> Any:
    """Outlet that holds no more than 10 s for a listener that stopped reading."""
    held = _HELD_S if info.nominal_srate() > 0 else _HELD_MARKERS
    return pylsl.StreamOutlet(info, max_buffered=held)


def opened(outlet: Any, name: str) -> Any:
    """Outlet itself, while it is one.

    Raises
    ------
    StreamError
        It is closed.
    """
    if outlet is None:
        raise StreamError(f"outlet {name!r} is closed: make a new one")
    return outlet


def describe_channels(
    info: Any, names: Sequence[str], kinds: Sequence[str], units: Sequence[str]
) -> list[Any]:
    """Write desc/channels/channel: label, unit, type; give back the nodes.

    Raises
    ------
    MontageError
        Labels repeat.
    """
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
    """Write desc/montage, and the positions that are known into each channel's location.

    Parameters
    ----------
    info : pylsl.StreamInfo
        Header to write into.
    montage : Montage
        The contacts.
    nodes : sequence of XMLElement, or None
        Where each contact is described; None writes desc/montage/contacts/contact, for streams
        whose own channels are no contacts.
    """
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
    """Write desc/rtbrain: these fields and rtbrain's version.

    Raises
    ------
    SettingsError
        A field looks like a path.
    """
    ours = info.desc().append_child("rtbrain")
    for key, text in fields.items():
        _check_private(key, text)
        ours.append_child_value(key, text)
    ours.append_child_value("version", version("rtbrain"))


def _check_private(what: str, text: str) -> None:
    """Refuse what would carry a path, and with it often a patient's name, onto the network.

    Raises
    ------
    SettingsError
        The text has a slash or a backslash.
    """
    if re.search(r"[/\\]", text):
        raise SettingsError(
            f"LSL outlet: {what} {text!r} looks like a path, which everyone on the network would "
            "read: give it a plain word"
        )
