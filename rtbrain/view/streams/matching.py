"""Whose decodes a stream carries: those of the signal that is shown, or of other channels."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from rtbrain.errors import StreamLostError, list_words
from rtbrain.stream.lsl.decodes import decoder_contacts
from rtbrain.stream.lsl.resolve import fetch_full_info, make_inlet
from rtbrain.stream_names import recorder_name, sender_of, status_name

_ANSWER_S = 3.0
_KEPT_S = 60.0
# The share of its channels that a decoder must find in a stream, unless its recipe says otherwise.
_MIN_SHARE = 0.3


def explain_mismatch(name: str, contacts: Sequence[str], signal: Sequence[str], asked: bool) -> str:
    """Why decodes are not those of a signal; empty where they are, or where nobody can know.

    A pair, as ``A1-A2``, is of the signal where both of its contacts are.
    """
    if not contacts or not signal:
        return ""
    there = set(signal)
    absent = [contact for contact in contacts if not _is_of(contact, there)]
    if not absent or (asked and len(absent) <= (1 - _MIN_SHARE) * len(contacts)):
        return ""
    are = "are" if len(absent) > 1 else "is"
    return f"{name} is of other channels: {list_words(absent)} {are} not in this signal"


def status_stream_names(name: str) -> frozenset[str]:
    """Names of the status streams of a decoder, and of the recorder that it starts."""
    base = sender_of(name)
    return frozenset((status_name(base), status_name(recorder_name(base))))


def _is_of(contact: str, there: set[str]) -> bool:
    if contact in there:
        return True
    parts = contact.split("-")
    cuts = (("-".join(parts[:cut]), "-".join(parts[cut:])) for cut in range(1, len(parts)))
    return any(first in there and second in there for first, second in cuts)


class DecodeHeaders:
    """Contacts that the decoders read, by the full header of each decode stream.

    Each header is fetched in a daemon thread of its own: one sender that does not answer holds up
    nobody but who waits for `complete`, and him for 3 s.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contacts: dict[str, tuple[str, ...]] = {}
        self._reading: set[str] = set()
        self._seen: dict[str, float] = {}

    def look(self, decodes: Sequence[Any]) -> None:
        """Fetch the headers of those that are new, and forget those long gone."""
        now = time.monotonic()
        self._seen |= {info.uid(): now for info in decodes}
        self._seen = {uid: t for uid, t in self._seen.items() if now - t < _KEPT_S}
        with self._lock:
            self._contacts = {uid: it for uid, it in self._contacts.items() if uid in self._seen}
            new = [i for i in decodes if i.uid() not in self._contacts.keys() | self._reading]
            self._reading |= {info.uid() for info in new}
        for info in new:
            threading.Thread(target=self._read, args=(info,), daemon=True).start()

    def complete(self, decodes: Sequence[Any]) -> bool:
        """Whether all of these have answered, or will not."""
        with self._lock:
            return all(info.uid() in self._contacts for info in decodes)

    def foreign(self, decodes: Sequence[Any], signal: Sequence[str], asked: bool) -> dict[str, str]:
        """Names of those that are of other channels, and why; as `misfit`."""
        with self._lock:
            known = [(info.name(), self._contacts.get(info.uid(), ())) for info in decodes]
        whys = [(name, explain_mismatch(name, contacts, signal, asked)) for name, contacts in known]
        # A decoder that was ended is announced for a while beside its successor of the same name.
        fitting = {name for name, why in whys if not why}
        return {name: why for name, why in whys if name not in fitting}

    def _read(self, found: Any) -> None:
        contacts: tuple[str, ...] = ()
        try:
            contacts = decoder_contacts(fetch_full_info(make_inlet(found, 1), found, _ANSWER_S))
        except StreamLostError:
            # Whoever opens it says why not; what he then learns is looked at again.
            contacts = ()
        with self._lock:
            self._contacts[found.uid()] = contacts
            self._reading.discard(found.uid())
