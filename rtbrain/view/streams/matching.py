"""Which stream is which, and whether a decoder reads the signal that is shown."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pylsl

from rtbrain.errors import StreamLostError, list_words
from rtbrain.stream.lsl.decodes import decoder_contacts
from rtbrain.stream.lsl.inlet import ANSWER_S, fetch_full_info, make_inlet
from rtbrain.stream_names import (
    is_manual_marks,
    is_recorder_status,
    is_status,
    markers_name,
    recorder_name,
    sender_of,
    status_name,
)

_FORGET_S = 60.0
_BRAIN_TYPES = frozenset({"eeg", "ieeg", "seeg", "ecog", "dbs", "lfp"})
# Share of its contacts that a decoder needs in a signal, unless its recipe says otherwise.
_MIN_SHARE = 0.3


def choose_streams(
    infos: Sequence[Any],
    stream: str | None,
    decode: str | None,
    foreign: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Stream of each role, and why a role has none; ``foreign`` maps refused decodes to reasons."""
    texts = [info for info in infos if info.channel_format() == pylsl.cf_string]
    refused_texts = frozenset[str]().union(*map(status_stream_names, foreign))
    decodes = [info for info in infos if info.type() == "Decode" and info not in texts]
    texts = [
        info for info in texts if info.channel_count() == 1 and info.name() not in refused_texts
    ]
    decoder = None if decode is None else sender_of(decode)
    if decoder is not None:
        decodes = [info for info in decodes if sender_of(info.name()) == decoder]
    refusals = [foreign[info.name()] for info in decodes if info.name() in foreign]
    decodes = [info for info in decodes if info.name() not in foreign]
    if len(decodes) == 1:
        decoder = sender_of(decodes[0].name())
    signals = _signals(infos, stream)
    candidates = {"signal": signals, "decode": decodes, **_status_streams(texts, decoder)}
    signal = signals[0].name() if len(signals) == 1 else stream
    for info in texts:
        if is_manual_marks(info.name()):
            # Several windows send under one name; their source_id tells them apart.
            key = f"markers:{info.name()}:{info.source_id()}"
            candidates.setdefault(key, []).append(info)
        elif signal is not None and info.name() == markers_name(signal):
            candidates.setdefault(f"markers:{info.name()}", []).append(info)
    chosen = {key: found[0] for key, found in candidates.items() if len(found) == 1}
    problems = {
        key: f"{len(found)} streams: {', '.join(sorted(info.name() for info in found)[:4])}"
        for key, found in candidates.items()
        if len(found) > 1
    }
    if refusals and not decodes:
        problems["decode"] = "; ".join(sorted(refusals))
    return chosen, problems


def _signals(infos: Sequence[Any], stream: str | None) -> list[Any]:
    numeric = [
        info
        for info in infos
        if info.channel_format() != pylsl.cf_string
        and info.nominal_srate() > 0
        and info.type() not in {"Decode", "Markers"}
    ]
    if stream is not None:
        return [info for info in numeric if info.name() == stream]
    return [info for info in numeric if info.type().lower() in _BRAIN_TYPES] or numeric


def _status_streams(texts: Sequence[Any], decoder: str | None) -> dict[str, list[Any]]:
    records = [info for info in texts if is_recorder_status(info.name())]
    statuses = [info for info in texts if is_status(info.name()) and info not in records]
    if decoder is not None:
        statuses = [info for info in statuses if info.name() == status_name(decoder)]
    return {"status": statuses, "record": records}


def status_stream_names(name: str) -> frozenset[str]:
    """Names of the status streams of a decoder and of the recorder it starts."""
    decoder = sender_of(name)
    return frozenset((status_name(decoder), status_name(recorder_name(decoder))))


def explain_mismatch(name: str, contacts: Sequence[str], signal: Sequence[str], named: bool) -> str:
    """Why a decoder does not read a signal; empty if it does, or if either is unknown.

    Every contact must be in the signal; of a decoder that was named, 30 % must. A pair such as
    ``A1-A2`` is in the signal if both of its contacts are.
    """
    if not contacts or not signal:
        return ""
    channels = set(signal)
    absent = [contact for contact in contacts if not _is_in(contact, channels)]
    if not absent or (named and len(absent) <= (1 - _MIN_SHARE) * len(contacts)):
        return ""
    are = "are" if len(absent) > 1 else "is"
    return f"{name} reads other channels: {list_words(absent)} {are} not in this signal"


def _is_in(contact: str, channels: set[str]) -> bool:
    if contact in channels:
        return True
    parts = contact.split("-")
    cuts = (("-".join(parts[:cut]), "-".join(parts[cut:])) for cut in range(1, len(parts)))
    return any(first in channels and second in channels for first, second in cuts)


class DecoderContacts:
    """Contacts that each decoder reads, from the full header of its decode stream.

    Each header is fetched in a daemon thread of its own, so that a sender that does not answer
    delays only those who wait for `complete`, and by 3 s at most.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contacts: dict[str, tuple[str, ...]] = {}
        self._fetching: set[str] = set()
        self._t_seen: dict[str, float] = {}

    def look(self, decodes: Sequence[Any]) -> None:
        """Fetch the headers of new streams, and forget streams that are long gone."""
        now = time.monotonic()
        self._t_seen |= {info.uid(): now for info in decodes}
        self._t_seen = {uid: t for uid, t in self._t_seen.items() if now - t < _FORGET_S}
        with self._lock:
            self._contacts = {uid: it for uid, it in self._contacts.items() if uid in self._t_seen}
            new = [i for i in decodes if i.uid() not in self._contacts.keys() | self._fetching]
            self._fetching |= {info.uid() for info in new}
        for info in new:
            threading.Thread(target=self._fetch, args=(info,), daemon=True).start()

    def complete(self, decodes: Sequence[Any]) -> bool:
        """Whether every one of these streams has answered or failed to."""
        with self._lock:
            return all(info.uid() in self._contacts for info in decodes)

    def foreign(self, decodes: Sequence[Any], signal: Sequence[str], named: bool) -> dict[str, str]:
        """Names of the decodes of other channels, and why, as `explain_mismatch`."""
        with self._lock:
            known = [(info.name(), self._contacts.get(info.uid(), ())) for info in decodes]
        reasons = [(name, explain_mismatch(name, them, signal, named)) for name, them in known]
        # A decoder that ended is announced for a while beside its successor of the same name.
        fitting = {name for name, reason in reasons if not reason}
        return {name: reason for name, reason in reasons if name not in fitting}

    def _fetch(self, found: Any) -> None:
        contacts: tuple[str, ...] = ()
        with suppress(StreamLostError):  # opening the stream fails likewise, and reports it
            contacts = decoder_contacts(fetch_full_info(make_inlet(found, 1), found, ANSWER_S))
        with self._lock:
            self._contacts[found.uid()] = contacts
            self._fetching.discard(found.uid())
