"""What an export writes of a recording: units, kinds, and events by sample numbers."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from rtbrain.channels import complete_labels
from rtbrain.errors import list_words, plain_text
from rtbrain.recording.recording import Recording
from rtbrain.recording.replay import lost_before
from rtbrain.types import TRIGGER_KIND, Floats, Montage, Times

VOLTAGE_KINDS = {"seeg", "ecog", "dbs", "eeg", "emg", "ecg", "eog"}
_BLOCK_S = 10.0
_ASCII_CHARS = 16
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Mark(NamedTuple):
    """An event by the time of its sample: lost samples do not count."""

    onset_s: float
    duration_s: float
    text: str
    about: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A recording as it is written; `units` are ``µV``, others, or empty where there is none."""

    recording: Recording
    bad: tuple[str, ...]
    units: tuple[str, ...]
    marks: tuple[Mark, ...]
    notes: tuple[str, ...]

    @property
    def montage(self) -> Montage:
        """Channels of the recording."""
        return self.recording.montage

    def blocks(self) -> Iterator[Floats]:
        """All samples, block by block, float32 [n_channels, n_samples]."""
        n_samples = self.recording.n_samples
        length = max(1, round(_BLOCK_S * self.montage.sfreq_hz))
        for start in range(0, n_samples, length):
            yield self.recording.read(start, min(start + length, n_samples))


def content_of(
    recording: Recording, *, anonymize_events: bool, gaps: bool, triggers: bool = False
) -> Content:
    """Content of a recording; with `gaps`, each gap is an event ``BAD gap of N samples``.

    With `triggers`, so is each row of its trigger log. `anonymize_events` replaces texts by
    ``event-1``, ``event-2``, in the order in which they come, and leaves out why and where to
    triggers went, which may name labels and machines.
    """
    notes: list[str] = []
    if triggers:
        recording = replace(recording, events=(*recording.events, *recording.triggers))
    elif recording.triggers:
        notes.append(f"{len(recording.triggers)} rows of the trigger log: BIDS alone keeps them")
    names = recording.montage.names
    unit_of = dict.fromkeys(VOLTAGE_KINDS, "µV") | {TRIGGER_KIND: ""}
    units = tuple(
        unit_of.get(kind, recording.units.get(name, ""))
        for name, kind in zip(names, recording.montage.kinds, strict=True)
    )
    marks = _marks(recording, notes)
    if anonymize_events:
        numbers: dict[str, int] = {}

        def numbered(text: str) -> str:
            return f"event-{numbers.setdefault(text, len(numbers) + 1)}"

        anonymous: dict[str, Callable[[str], str]] = {
            "brain_state": numbered,
            **dict.fromkeys(("trigger_reason", "trigger_output"), lambda _: "n/a"),
        }
        marks = [
            mark._replace(
                text=numbered(mark.text),
                about=tuple(
                    (key, anonymous[key](text) if key in anonymous else text)
                    for key, text in mark.about
                ),
            )
            for mark in marks
        ]
        notes.append(f"{len(numbers)} different texts of events are replaced by numbers")
    if gaps:
        marks += _gap_marks(recording, notes)
    return Content(
        recording,
        tuple(name for name in names if name in recording.bad),
        units,
        tuple(sorted(marks, key=lambda mark: mark.onset_s)),
        tuple(notes),
    )


def _marks(recording: Recording, notes: list[str]) -> list[Mark]:
    sfreq_hz, stamps = recording.montage.sfreq_hz, recording.stamps
    marks, outside, changed = [], 0, []
    onsets_s = np.array([event.onset_s for event in recording.events])
    durations_s = np.array([event.duration_s for event in recording.events])
    onsets = _sample_numbers(recording, onsets_s).tolist()
    stops = _sample_numbers(recording, onsets_s + durations_s).tolist()
    for event, onset, stop in zip(recording.events, onsets, stops, strict=True):
        if not -0.5 <= onset <= recording.n_samples - 0.5:
            outside += 1
            continue
        duration_s = (stop - onset) / sfreq_hz if stamps is not None else event.duration_s
        text = _CONTROL.sub(" ", event.text)
        if text != event.text:
            changed.append(plain_text(event.text))
        onset_s = event.onset_s if stamps is None else onset / sfreq_hz
        marks.append(Mark(max(onset_s, 0.0), max(duration_s, 0.0), text, event.about))
    if outside:
        notes.append(f"{outside} events are outside the recording and are left out")
    if changed:
        notes.append(f"control characters became spaces in the events {list_words(changed)}")
    return marks


def _gap_marks(recording: Recording, notes: list[str]) -> list[Mark]:
    if recording.stamps is None:
        return []
    sfreq_hz = recording.montage.sfreq_hz
    lost = lost_before(recording.stamps, sfreq_hz)
    gaps = np.flatnonzero(lost)
    if gaps.size:
        notes.append(
            f"{int(lost.sum())} samples were lost in {gaps.size} gaps: samples follow each other "
            "without them, and events 'BAD gap of N samples' say where"
        )
    return [Mark(row / sfreq_hz, 0.0, f"BAD gap of {lost[row]} samples") for row in gaps.tolist()]


def _sample_numbers(recording: Recording, times_s: Times) -> Times:
    """Fractional sample numbers of seconds since the first sample, float64 [n]."""
    sfreq_hz, stamps = recording.montage.sfreq_hz, recording.stamps
    if stamps is None:
        return times_s * sfreq_hz
    beyond_s = times_s - times_s.clip(stamps[0], stamps[-1])
    numbers: Times = np.interp(times_s, stamps, np.arange(stamps.size)) + beyond_s * sfreq_hz
    return numbers


def with_ascii_labels(recording: Recording) -> tuple[Recording, tuple[str, ...]]:
    """Recording whose labels are ASCII of 16 characters at most, and a note on those changed."""
    names = recording.montage.names
    plain = [
        unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in names
    ]
    short = [text[:_ASCII_CHARS] for text in plain]
    if len(set(short)) < len(short):  # room for the number that tells them apart
        short = [text[: _ASCII_CHARS - 4] for text in plain]
    labels, _ = complete_labels(short, len(short))
    new = dict(zip(names, labels, strict=True))
    changed = [f"{old} is {label}" for old, label in new.items() if old != label]
    notes = (f"labels became ASCII: {list_words(changed, len(changed))}",) if changed else ()
    return replace(
        recording,
        montage=replace(recording.montage, names=labels),
        bad=tuple(new[name] for name in recording.bad),
        unitless=tuple(new[name] for name in recording.unitless),
        units={new[name]: unit for name, unit in recording.units.items()},
    ), notes
