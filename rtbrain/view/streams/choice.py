"""Which of the streams on the network the window shows, and why it shows none."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pylsl

from rtbrain.channels import kind_of, match_labels
from rtbrain.errors import list_words, plain_text, quote
from rtbrain.stream.lsl.inlet import is_marker_stream
from rtbrain.stream_names import (
    events_name,
    is_manual_marks,
    is_recorder_status,
    is_status,
    markers_name,
    recorder_name,
    sender_of,
    status_name,
)
from rtbrain.types import CONTACT_KINDS

# Share of its contacts that a decoder needs in a signal, unless its recipe says otherwise.
_MIN_SHARE = 0.3


def choose_streams(
    infos: Sequence[Any],
    stream: str | None,
    decode: str | None,
    foreign: Mapping[str, str] = MappingProxyType({}),
    source_id: str | None = None,
    markers: str | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Stream of each role, and why a role has none; ``foreign`` maps refused decodes to reasons.

    `stream`, `decode` and `markers` are names, `source_id` that of the signal; None leaves them
    open. Markers are those of the signal's sender too.
    """
    texts = [info for info in infos if info.channel_format() == pylsl.cf_string]
    decodes = [info for info in infos if info.type() == "Decode" and info not in texts]
    refused = frozenset[str]().union(*map(status_stream_names, foreign))
    texts = [info for info in texts if info.channel_count() == 1 and info.name() not in refused]
    decoder = None if decode is None else sender_of(decode)
    if decoder is not None:
        decodes = [info for info in decodes if sender_of(info.name()) == decoder]
    refusals = [foreign[info.name()] for info in decodes if info.name() in foreign]
    decodes = [info for info in decodes if info.name() not in foreign]
    if len(decodes) == 1:
        decoder = sender_of(decodes[0].name())
    signals = find_signals(infos, stream, source_id)
    candidates = {"signal": signals, "decode": decodes, **_status_streams(texts, decoder)}
    signal = signals[0].name() if len(signals) == 1 else stream
    named = {markers, None if signal is None else markers_name(signal)} - {None}
    for info in infos:
        if is_manual_marks(info.name()) and info in texts:
            # Several windows send under one name, those of one user under one source_id.
            key = f"markers:{info.name()}:{info.source_id()}:{info.uid()}"
            candidates.setdefault(key, []).append(info)
        elif info.name() in named and is_marker_stream(info) and info.type() != "Decode":
            candidates.setdefault(f"markers:{info.name()}", []).append(info)
    chosen = {key: found[0] for key, found in candidates.items() if len(found) == 1}
    problems = {
        key: f"{len(found)} streams: {list_words(sorted(plain_text(i.name()) for i in found))}"
        for key, found in candidates.items()
        if len(found) > 1
    }
    if stream is not None and not signals:
        same = [info for info in infos if info.name() == stream]
        if same:
            problems["signal"] = _why_no_signal(same[0])
    elif not signals and (others := [info for info in infos if _has_no_rate(info)]):
        problems["signal"] = _why_no_signal(others[0])
    if markers is not None and f"markers:{markers}" not in candidates:
        same = [info for info in infos if info.name() == markers]
        if same:
            problems[f"markers:{markers}"] = (
                f"stream {quote(markers)} has numbers at {same[0].nominal_srate():g} Hz, markers "
                "are strings or have no regular rate"
            )
    if refusals and not decodes:
        problems["decode"] = "; ".join(sorted(refusals))
    return chosen, problems


def find_signals(infos: Sequence[Any], stream: str | None, source_id: str | None) -> list[Any]:
    """Signals of this name and source id, where they are given, of those that a sender may mean."""
    numeric = [
        info
        for info in infos
        if info.channel_format() != pylsl.cf_string
        and info.nominal_srate() > 0
        and info.type() not in {"Decode", "Markers"}
    ]
    if source_id is not None:
        numeric = [info for info in numeric if info.source_id() == source_id]
    if stream is not None:
        return [info for info in numeric if info.name() == stream]
    return [info for info in numeric if kind_of(info.type()) in CONTACT_KINDS] or numeric


def _has_no_rate(info: Any) -> bool:
    """Whether a stream would be a signal, were its rate regular."""
    is_text = info.channel_format() == pylsl.cf_string
    return not (is_text or info.nominal_srate() > 0 or info.type() in {"Decode", "Markers"})


def _why_no_signal(info: Any) -> str:
    name = quote(info.name())
    if info.channel_format() == pylsl.cf_string:
        return f"stream {name} carries texts, not a signal"
    if not info.nominal_srate() > 0:
        return f"stream {name} has no regular rate (nominal rate {info.nominal_srate():g} Hz)"
    if info.type() in {"Decode", "Markers"}:
        return f"stream {name} is of type {quote(info.type())}, not a signal"
    return f"stream {name} has the source id {quote(info.source_id())}"


def _status_streams(texts: Sequence[Any], decoder: str | None) -> dict[str, list[Any]]:
    found = [info for info in texts if is_status(info.type())]
    found = [info for info in found if info.name() == status_name(sender_of(info.name()))]
    records = [info for info in found if is_recorder_status(info.name(), info.source_id())]
    statuses = [info for info in found if info not in records]
    if decoder is not None:
        statuses = [info for info in statuses if info.name() == status_name(decoder)]
    found_by_role = {"status": statuses}
    for info in records:  # of any number, each says what it records
        found_by_role.setdefault(f"record:{info.name()}", []).append(info)
    if decoder is not None:
        found_by_role["events"] = [info for info in texts if info.name() == events_name(decoder)]
    return found_by_role


def status_stream_names(name: str) -> frozenset[str]:
    """Names of a decoder's status and events, and of the status of the recorder it starts."""
    decoder = sender_of(name)
    return frozenset(
        (status_name(decoder), status_name(recorder_name(decoder)), events_name(decoder))
    )


@lru_cache(maxsize=32)  # asked several times a second of the same streams
def explain_mismatch(
    name: str, contacts: tuple[str, ...], signal: tuple[str, ...], named: bool
) -> str:
    """Why a decoder does not read a signal; empty if it does, or if either is unknown.

    Every contact must be in the signal; of a decoder that was named, 30 % must. A pair such as
    ``A1-A2`` is in the signal if both of its contacts are.
    """
    if not contacts or not signal:
        return ""
    channels = set(signal)
    matched = match_labels(signal, contacts, name).rows
    absent = [
        contact
        for contact in contacts
        if contact not in matched and not any(channels.issuperset(p) for p in pairs_in(contact))
    ]
    if not absent or (named and len(absent) <= (1 - _MIN_SHARE) * len(contacts)):
        return ""
    are = "are" if len(absent) > 1 else "is"
    return f"{name} reads other channels: {list_words(absent)} {are} not in this signal"


def pairs_in(label: str) -> list[tuple[str, str]]:
    """Two contacts that a label such as ``A1-A2`` may name, by each of its hyphens."""
    parts = label.split("-")
    return [("-".join(parts[:cut]), "-".join(parts[cut:])) for cut in range(1, len(parts))]
