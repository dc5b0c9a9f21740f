"""Labels of channels: places on shafts, labels of their own, rows of tables, patterns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from rtbrain.errors import SettingsError, list_words, plain_text

_CHARACTERS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\u0060\u00b4", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
)
_PREFIX = re.compile(r"(?:[si]?eeg|ecog|lfp|dbs|pol)[ _:.-]+(?=.*[^\W\d_])", re.IGNORECASE)
_SEPARATORS = "-/:_ "
_REFERENCE = re.compile(
    r"ref\d*|reference|avg?|average|aver|car|mean|common|com|org|gnd", re.IGNORECASE
)
# Inputs and places that serve as a reference: behind a hyphen, and of another shaft.
_SECOND = re.compile(r"[gm][12]|a1\W?a2|le", re.IGNORECASE)
_DIGITS = "0123456789"
_MAX_LABEL = 100
# So many labels with one second contact have it as their reference.
_SHARED = 3


class Place(NamedTuple):
    """Where a label says that a contact lies: ``A'3`` is number 3 of shaft ``A'``.

    `pair`: the label names a difference of two contacts, of which this is the first. `copy`: number
    of a label that is repeated, 0 for the first.
    """

    shaft: str
    number: int
    pair: bool = False
    copy: int = 0


def places_of(labels: Sequence[str]) -> list[Place | None]:
    """Place of each label, as clinics and amplifiers write them; None where it names none.

    ``EEG A1-Ref``, ``POL A1``, ``A01``, ``*A1`` and ``iEEG_A_1`` are number 1 of shaft A. What
    stands behind ``-`` is a reference where it has no number, is a usual one, or follows three
    labels or more; else the label is a pair. ``A2-1`` repeats ``A2-0``, as MNE-Python writes it.
    """
    plain = [plain_label(label) for label in labels]
    pairs = [_pair(text) for text in plain]
    shared = Counter(pair[1] for pair in pairs if pair)
    known = set(plain)
    places: list[Place | None] = []
    for text, pair in zip(plain, pairs, strict=True):
        first, _, number = text.rpartition("-")
        if pair:
            place = _place(pair[0])
            places.append(place and place._replace(pair=shared[pair[1]] < _SHARED))
        elif number.isdecimal() and len(number) < 3 and (place := _place(first)):
            again = f"{first}-0" in known
            places.append(place._replace(copy=int(number) if again else 0, pair=not again))
        else:
            places.append(_place(text))
    return _told_apart(labels, places)


def _told_apart(labels: Sequence[str], places: list[Place | None]) -> list[Place | None]:
    """Places with the type before the shaft, where two types have a contact in one place."""
    types = [
        found[0].strip(" _:.-") if (found := _PREFIX.match(label.translate(_CHARACTERS))) else ""
        for label in (label[:_MAX_LABEL] for label in labels)
    ]
    types_of: dict[tuple[str, int], set[str]] = {}
    for place, of in zip(places, types, strict=True):
        if place and not place.pair and not place.copy:
            types_of.setdefault(place[:2], set()).add(of)
    shared = {shaft for (shaft, _), of in types_of.items() if len(of) > 1}
    return [
        place._replace(shaft=f"{of} {place.shaft}".strip())
        if place and place.shaft in shared
        else place
        for place, of in zip(places, types, strict=True)
    ]


def place_of(label: str) -> Place | None:
    """Place of one label by itself; see `places_of`."""
    return places_of([label])[0]


@lru_cache(8192)
def plain_label(label: str) -> str:
    """Label without type, reference, marks and units: ``EEG A1-Ref`` is ``A1``."""
    label = label[:_MAX_LABEL]
    text = unicodedata.normalize("NFKC", label.translate(_CHARACTERS))
    text = "".join(c for c in text if not unicodedata.category(c).startswith("C"))
    text = re.sub(r"\s*[(\[][^()\[\]]*[)\]]\s*$", "", re.sub(r"[*#$]", "", text)).strip()
    for _ in range(2):
        text = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
    text = text.rstrip(".:+ ")
    body, again = text, ""
    head, hyphen, tail = text.rpartition("-")
    if hyphen and tail.isdecimal() and len(tail) < 3 and _without_reference(head) != head:
        body, again = head, f"-{tail}"  # 'A1-Ref-0'
    return _without_reference(body) + again or text


def _without_reference(text: str) -> str:
    """Label without its last part, where that is a reference: ``A1 - Ref``, ``A1_AVG``."""
    at = max(text.rfind(separator) for separator in _SEPARATORS)
    body, last = text[: at + 1].rstrip(_SEPARATORS), text[at + 1 :]
    if at < 0 or not body:
        return text
    if _REFERENCE.fullmatch(last):
        return body
    numbered = body.rstrip("'")[-1:] in _DIGITS
    if "-" not in text[len(body) : at + 1] or not numbered:
        return text
    if last.isalpha():
        return body
    place = _place(body)
    second = _SECOND.fullmatch(last)
    return body if second and place and not last.lower().startswith(place.shaft.lower()) else text


def _pair(text: str) -> tuple[str, str] | None:
    """Two contacts of a label such as ``A1-A2``."""
    parts = text.split("-")
    for n in range(1, len(parts)):
        first, second = "-".join(parts[:n]).rstrip(), "-".join(parts[n:]).lstrip()
        if second[:1].isalpha() and all(map(_is_numbered, (first, second))):
            return first, second
    return None


def _is_numbered(text: str) -> bool:
    return text.rstrip("'")[-1:] in _DIGITS and any(map(str.isalpha, text))


def _place(text: str) -> Place | None:
    body = text.rstrip("'")
    stem = body.rstrip(_DIGITS)
    number, prime = body[len(stem) :], text[len(body) :]
    if not 0 < len(number) < 7 or not any(map(str.isalpha, stem)):
        return None
    return Place(stem.strip("_ -.") + prime, int(number))


def complete_labels(labels: Sequence[str], n_channels: int) -> tuple[tuple[str, ...], list[str]]:
    """A label of its own for each channel, and notes on what had to be made up.

    Channels without a label are called by their number, repeated labels get a number behind them,
    ``A2-0`` and ``A2-1``, as MNE-Python writes them; labels too many are left out.
    """
    notes = []
    kept = [label.strip() for label in labels[:n_channels]]
    kept += [""] * (n_channels - len(kept))
    if not any(kept):
        notes.append(f"the header has no channel labels: channels are named 1 to {n_channels}")
    elif len(labels) > n_channels:
        extra = list_words([plain_text(label) for label in labels[n_channels:]])
        notes.append(f"the header labels more than its {n_channels} channels: {extra} left out")
    elif not all(kept):
        unnamed = [str(row) for row, label in enumerate(kept, 1) if not label]
        notes.append(f"channels without a label are named by number: {list_words(unnamed, 8)}")
    kept = [label or str(row) for row, label in enumerate(kept, 1)]
    counts = Counter(kept)
    repeated = [label for label, count in counts.items() if count > 1]
    if repeated:
        shown = list_words([plain_text(label) for label in repeated], 8)
        notes.append(f"labels repeat and are numbered, as {repeated[0]}-0: {shown}")
    taken = set(counts) - set(repeated)
    names, seen = [], Counter[str]()
    for label in kept:
        name = label
        while counts[label] > 1 and (name == label or name in taken):
            name = f"{label}-{seen[label]}"
            seen[label] += 1
        taken.add(name)
        names.append(name)
    return tuple(names), notes


class Matched(NamedTuple):
    """Label of a table by label of a recording, and notes on what differs."""

    rows: dict[str, str]
    notes: tuple[str, ...]


def match_labels(
    table: Iterable[str], labels: Sequence[str], what: str, needed: Collection[str] | None = None
) -> Matched:
    """Find the row of a table for each label of a recording: ``A02`` is ``A2``.

    Equal labels first, then those of one place or of one text without type, reference and marks,
    then without regard to case. What fits two is matched to neither. `what` is the table's name,
    `needed` are the labels that should have a row; by default all.
    """
    rows = dict.fromkeys(table)
    matched = {label: label for label in labels if label in rows}
    unclear: set[str] = set()
    for fold in (False, True):
        if matched.keys() >= set(labels):
            break
        used = set(matched.values())
        row_keys = zip(rows, label_keys(list(rows), fold=fold), strict=True)
        keys = zip(labels, label_keys(labels, fold=fold), strict=True)
        free = {row: key for row, key in row_keys if row not in used}
        open_ = {label: key for label, key in keys if label not in matched}
        n_rows, n_labels = Counter(free.values()), Counter(open_.values())
        row_of = {key: row for row, key in free.items()}
        for label, key in open_.items():
            if n_rows[key] == n_labels[key] == 1:
                matched[label] = row_of[key]
            elif n_rows[key]:
                unclear.add(label)
    unclear -= matched.keys()
    notes = []
    differ = [f"{row} is {label}" for label, row in matched.items() if row != label]
    used = set(matched.values())
    absent = [row for row in rows if row not in used]
    expected = labels if needed is None else [label for label in labels if label in needed]
    without = [label for label in expected if label not in matched]
    for found, text in (
        (differ, f"labels in {what} differ from the recording's and were matched"),
        (sorted(unclear), f"labels in {what} fit several channels and are matched to none"),
        (absent, f"rows of {what} that are no channel of the recording"),
        (without if used else [], f"channels without a row in {what}"),
    ):
        if found:
            notes.append(f"{text}: {list_words([plain_text(one) for one in found], 8)}")
    return Matched({label: matched[label] for label in labels if label in matched}, tuple(notes))


def label_keys(labels: Sequence[str], *, fold: bool = False) -> list[str]:
    """What labels of one channel share, however they are written; with `fold`, in lower case."""
    keys = []
    for label, place in zip(labels, places_of(labels), strict=True):
        key = re.sub(r"0*(\d+)", r"\1", re.sub(r"[ _.:]", "", plain_label(label)))
        if place and not place.pair and not place.copy:
            key = f"{place.shaft}{place.number}"
        keys.append(key.casefold() if fold else key)
    return keys


def find_labels(patterns: Sequence[str], labels: Sequence[str], what: str) -> list[str]:
    """Labels that patterns such as ``A*`` name; a SettingsError where a pattern names none.

    A pattern is compared with the label, then with the label without type, reference and marks, so
    that ``A1`` finds ``EEG A1-Ref``, without regard to case where nothing fits otherwise.
    """
    found: dict[str, None] = {}
    plain = dict(zip(labels, label_keys(labels), strict=True))
    for pattern in patterns:
        key = pattern if is_glob(pattern) else label_keys([pattern])[0]
        tries = (
            [label for label in labels if label == pattern],
            [label for label in labels if fnmatchcase(label, pattern)],
            [label for label in labels if fnmatchcase(plain[label], key)],
            [label for label in labels if fnmatchcase(label.casefold(), pattern.casefold())],
            [label for label in labels if fnmatchcase(plain[label].casefold(), key.casefold())],
        )
        fits = next(filter(None, tries), None)
        if fits is None:
            raise SettingsError(
                f"{what}: no channel fits {pattern!r}: the channels are {list_words(labels, 16)}"
            )
        found |= dict.fromkeys(fits)
    return [label for label in labels if label in found]


def is_glob(pattern: str) -> bool:
    """Whether a pattern names labels by ``*``, ``?`` or ``[...]``."""
    return any(letter in pattern for letter in "*?[")
