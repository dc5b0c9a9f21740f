"""Kinds of channels: contacts of the brain, and all others by type, label and unit."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rtbrain.channels.labels import Place, find_labels, is_glob, places_of, plain_label
from rtbrain.errors import SettingsError, list_words, plain_text
from rtbrain.types import CONTACT_KINDS
from rtbrain.units import microvolts_per

# Kinds by the words of LSL, BIDS, MNE-Python, NWB, EDF and amplifiers; others stay as they are.
_KINDS = {
    word: kind
    for kind, words in {
        "seeg": "seeg ieeg lfp depth intracranial",
        "ecog": "ecog grid strip subdural corticography",
        "dbs": "dbs",
        "eeg": "eeg signal signals exg",
        "ecg": "ecg ekg",
        "emg": "emg",
        "eog": "eog heog veog",
        "stim": "stim trig trigger triggers status digital",
        "ref": "ref ref_meg refl reference gnd ground",
    }.items()
    for word in words.split()
}
# These are believed; a file without a table calls every channel EEG.
_DECLARED = CONTACT_KINDS - {"eeg"}
_NOT_STATED = frozenset({"", "n/a", "none", "unknown", "other"})
# What is not a contact, by its label. MIC1 to MIC8 are a shaft all the same, DC1 to DC8 are inputs:
# four numbers or more make a shaft of the words of `_UNLESS_RUN`, and of no others.
_ALWAYS = {
    word: kind
    for kind, words in {
        "ecg": "ecg ekg cardio",
        "emg": "emg",
        "eog": "eog heog veog eogh eogv",
        "stim": "trig trigger triggers trg stim sti status digital dig din marker markers mark mkr "
        "mkidx event events annotation annotations ttl sync",
        "ref": "ref reference gnd ground",
        "misc": "dc aux bip misc analog ain adc audio microphone sound voice speech photo "
        "photocell photodiode photosensor diode light spo2 sao2 osat etco2 co2 pleth plet ppg resp "
        "respiration airflow nasal cannula snore gsr eda gyro gyrox gyroy gyroz accel accx accy "
        "accz joystick button keyboard ibi bpm",
    }.items()
    for word in words.split()
}
_UNLESS_RUN = {
    word: kind
    for kind, words in {
        "emg": "chin lat rat",
        "eog": "loc roc",
        "misc": "mic mike pd phd foto ph lux ple pulse pr hr beat flow thor thorax abd abdomen "
        "chest temp acc cal pos pp",
    }.items()
    for word in words.split()
}
_RUN = 4
# Nihon Kohden's polygraph inputs; elsewhere these are shafts.
_POLYGRAPH = re.compile(r"pol[ _:-]*(e|bp\d{1,2}|)", re.IGNORECASE)
_SUFFIX = re.compile(r"(?<![ _.:/-])[ _.:/-]*(?:\d{1,3}|[lrxyzv]|[lr][la])?[+-]?$")
_ANNOTATIONS = re.compile(r"^(?:edf|bdf)[ _]")
_SCALP = re.compile(r"(fp|af|fc|cp|po|[fcpoint])z", re.IGNORECASE)


def kind_of(text: str | None) -> str:
    """Kind by the name of a type, of a channel or of a whole stream; empty where it says nothing.

    Names of BIDS, LSL, MNE-Python and NWB become one: ``iEEG`` is ``seeg``, ``TRIG`` is ``stim``,
    ``signal`` is ``eeg``. Others are kept in lower case.
    """
    word = plain_text(text or "").strip().lower()
    return "" if word in _NOT_STATED else _KINDS.get(word, word)


def assign_kinds(
    labels: Sequence[str],
    types: Sequence[str | None],
    *,
    default: str | None = "",
    units: Sequence[str | None] | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Kind of each channel of a file or a stream, and notes.

    Parameters
    ----------
    labels : sequence of str
        One per channel.
    types : sequence of str or None
        What is said of each channel itself, in any of the words of `kind_of`; empty for nothing.
        seeg, ecog and dbs are believed; eeg is what everything is called that nobody looked at,
        so that label and unit decide between a contact and, say, a microphone.
    default : str, optional
        What is said of all channels at once, such as the type of an LSL stream.
    units : sequence of str or None, optional
        Unit of each channel. A contact has a unit of voltage.

    Returns
    -------
    kinds : tuple of str
    notes : tuple of str
        One line that names the channels that were recognised as other than contacts.
    """
    places = places_of(labels)
    common = kind_of(default) or "eeg"
    if common not in CONTACT_KINDS:
        return tuple(kind_of(text) or common for text in types), ()
    runs = Counter(place.shaft.casefold() for place in places if place)
    numbered = sum(place is not None for place in places)
    has_shafts = numbered >= 6 and numbered >= 0.6 * len(labels)
    foreign = _foreign_units(units or [None] * len(labels))
    kinds, found = [], []
    for label, place, text, is_foreign in zip(labels, places, types, foreign, strict=True):
        said = kind_of(text)
        kind = said or common
        if kind in CONTACT_KINDS and said not in _DECLARED:
            other = _kind_by_label(label, place, runs, has_shafts)
            other = other or ("misc" if is_foreign else "")
            if other:
                kind = other
                found.append(label)
        kinds.append(kind)
    if len(found) == len(labels):  # all of one sort: nothing tells them from contacts
        return tuple(kind_of(text) or common for text in types), ()
    return tuple(kinds), (left_out_note(found, "by label or unit"),) if found else ()


def left_out_note(labels: Sequence[str], why: str) -> str:
    """Note about channels that are recognised as no contacts."""
    verb = "is not a contact" if len(labels) == 1 else "are not contacts"
    return (
        f"{list_words([plain_text(label) for label in labels], 16)} {verb} ({why}): left out of "
        "references and decoders; --channels or --kinds of `rtbrain fit` overrides this"
    )


def parse_kinds(
    texts: Sequence[str], labels: Sequence[str], what: str
) -> tuple[dict[str, str], list[str]]:
    """Kinds by label of ``PATTERN=KIND``, as ``A*=seeg``; and the texts without ``=``."""
    kinds: dict[str, str] = {}
    others = []
    for text in texts:
        pattern, equals, kind = (part.strip() for part in text.rpartition("="))
        if equals:
            kinds |= dict.fromkeys(find_labels([pattern], labels, what), kind_of(kind) or "eeg")
        else:
            others.append(text)
    return kinds, others


class ChannelChoice(NamedTuple):
    """Labels that were chosen, and the kind of every label.

    `stated`: labels whose kind the choice states; `exact`: labels that it names without a pattern;
    `by_kind`: whether it names a kind to use.
    """

    labels: list[str]
    kinds: dict[str, str]
    stated: frozenset[str]
    exact: frozenset[str]
    by_kind: bool


def choose_labels(
    kinds_by_label: Mapping[str, str],
    *,
    channels: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    kinds: Sequence[str] | None = None,
    usable: Collection[str] | None = None,
) -> ChannelChoice:
    """What --channels, --exclude and --kinds choose of some channels, in the order of `channels`.

    `usable` are the kinds to take where nothing names others; by default all. Raises a
    SettingsError where a pattern fits no channel, or no channel is of a kind.
    """
    labels = list(kinds_by_label)
    stated, others = parse_kinds(kinds or (), labels, "kinds")
    bare = {kind_of(text) for text in others}
    of = {**kinds_by_label, **stated}
    allowed = bare or usable
    found = [label for label in labels if allowed is None or of[label] in allowed]
    if bare and not found:
        raise SettingsError(f"kinds {', '.join(sorted(bare))}: {list_kinds(of)}")
    exact: set[str] = set()
    if channels is not None:
        named: dict[str, None] = {}
        for pattern in channels:
            fits = find_labels([pattern], labels, "channels")
            if is_glob(pattern):
                fits = [label for label in fits if label in found] or fits
            else:
                exact |= set(fits)
            named |= dict.fromkeys(fits)
        found = list(named)
    out = find_labels(exclude, labels, "exclude")
    found = [label for label in found if label not in out]
    return ChannelChoice(found, of, frozenset(stated), frozenset(exact), bool(bare))


def list_kinds(kinds: Mapping[str, str]) -> str:
    """Sentence about the channels that there are, by their kinds."""
    by_kind: dict[str, list[str]] = {}
    for label, kind in kinds.items():
        by_kind.setdefault(kind, []).append(label)
    listed = "; ".join(f"{kind}: {list_words(labels, 8)}" for kind, labels in by_kind.items())
    return f"the channels are {listed}"


def _foreign_units(units: Sequence[str | None]) -> list[bool]:
    """Which units are of another quantity, where those that are stated are mostly voltages."""
    volts = [microvolts_per(unit or "") is not None for unit in units]
    stated = [(unit or "").strip().lower() not in _NOT_STATED for unit in units]
    if sum(volts) * 2 < sum(stated) or not any(volts):
        return [False] * len(units)
    return [there and not volt for there, volt in zip(stated, volts, strict=True)]


def _kind_by_label(
    label: str, place: Place | None, runs: Mapping[str, int], has_shafts: bool
) -> str:
    """Kind of a channel that its label calls no contact; empty for a contact, or any other."""
    if _POLYGRAPH.fullmatch(label.strip()):
        return "misc"
    plain = plain_label(label).casefold()
    first = re.split(r"[ _:/]", re.sub(r"^pol[ _:-]+", "", plain), maxsplit=1)[0]
    for text in (plain, first, _ANNOTATIONS.sub("", plain)):
        stem = _SUFFIX.sub("", text)
        for word in (text, stem):
            if word in _ALWAYS:
                return _ALWAYS[word]
    stem = place.shaft.casefold() if place else plain
    if stem in _ALWAYS:  # of a pair
        return _ALWAYS[stem]
    if stem in _UNLESS_RUN and runs.get(stem, 0) < _RUN:
        return _UNLESS_RUN[stem]
    if has_shafts and place is None and not _SCALP.fullmatch(plain):
        return "misc"
    return ""
