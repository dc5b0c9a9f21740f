"""Events of a recording out of its trigger channels, as they are found live."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from rtbrain.config import StimulationSettings
from rtbrain.errors import SettingsError, list_words, plain_text, quote
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.stream.triggers import (
    Trigger,
    TriggerEdges,
    TriggerLine,
    noise_reason,
    parse_trigger,
    split_trigger,
)
from rtbrain.types import TRIGGER_KIND, Doubles, Floats

_BLOCK_S = 10.0
# Channels that hold what several others hold, or all bits: by Neuromag, EGI, BioSemi.
_SUMS = ("STI101", "STI 014", "STI014", "Status")
_NAMED = 8
_LOW_BITS = 0xFF
# What programs write of the recording itself, and not of the session.
_OF_THE_RECORDING = re.compile(
    r"bad|edge|boundary|new segment|(start |stop )?rec(ording)?\b", re.IGNORECASE
)
_Found = tuple[TriggerEdges, list[tuple[float, str]]]


def add_trigger_events(recording: Recording, trigger: str | None) -> Recording:
    """A recording with the events of its trigger channels, and a note that says so.

    Those of `trigger`, as `parse_trigger` reads it, replace its own events. By default channels of
    kind stim are taken where a recording has no other events.

    Raises
    ------
    SettingsError
        There is no such channel, or it holds noise instead of codes.
    """
    montage = recording.montage
    if trigger is None:
        labelled = zip(montage.names, montage.kinds, strict=True)
        names = [name for name, kind in labelled if kind == TRIGGER_KIND]
        return _by_default(recording, names) if names else recording
    chosen = parse_trigger(trigger, montage.names)
    rows = montage.rows(chosen.names)
    divisors = np.ones((montage.n_channels, 1))
    codes = {
        name
        for name, kind in zip(montage.names, montage.kinds, strict=True)
        if kind == TRIGGER_KIND
    }
    for row, (name, per) in zip(rows, chosen.per_level(recording.microvolts).items(), strict=True):
        divisors[row] = 1.0 if name in codes else per
    if not np.all(divisors == 1):
        recording = replace(recording, reader=partial(_divided, recording.reader, divisors))
    of_units = {name: per for name, per in recording.microvolts.items() if name not in codes}
    recording = replace(recording, microvolts=of_units)
    (found,) = _read(recording, [chosen])
    if found[0].is_noise:
        raise SettingsError(noise_reason(chosen))
    others = [event for event in recording.events if not _OF_THE_RECORDING.match(event.text)]
    notes = [f"{len(others)} other events are not used"] if others else []
    kinds = tuple(TRIGGER_KIND if r in rows else kind for r, kind in enumerate(montage.kinds))
    recording = replace(recording, montage=replace(montage, kinds=kinds))
    return _with(recording, chosen, found, notes)


def add_stimulation(recording: Recording, settings: StimulationSettings | None) -> Recording:
    """A recording whose events hold the pulses too that a channel of these settings announces.

    Raises a SettingsError where there is no such channel, or it holds noise instead of codes.
    """
    if settings is None or settings.channel is None:
        return recording
    coded = add_trigger_events(replace(recording, events=()), settings.channel)
    named = [replace(event, text=settings.event_of(event.text)) for event in coded.events]
    events = [*recording.events, *(event for event in named if event.text)]
    events.sort(key=lambda event: event.onset_s)
    return replace(recording, events=tuple(events), notes=coded.notes)


def state_units(trigger: str | None, recordings: Sequence[Recording]) -> str | None:
    """The trigger for streams and recordings of any unit: levels in µV, where a header has a unit.

    Raises a SettingsError where a level would be that of channels in several units.
    """
    if trigger is None:
        return None
    parts, shortest = split_trigger(trigger, recordings[0].montage.names)
    for number, part in enumerate(parts):
        levels = [
            (line.level, one.microvolts.get(line.name))
            for one in recordings
            for line in parse_trigger(part, one.montage.names).lines
            if line.level is not None and line.microvolts is None
        ]
        units = {per for _, per in levels}
        if len(units) > 1:
            raise SettingsError(
                f"trigger {quote(part)}: its channels have different units: give that of the "
                f"level, such as {plain_text(part)}uV"
            )
        for level, per in levels[:1]:
            if per is not None:
                text = np.format_float_positional(level * per, precision=10, trim="-")
                parts[number] = f"{part.rpartition(':')[0]}:{text}uV"
    return ",".join(parts) + shortest


def _divided(
    reader: Callable[[int, int], Floats], divisors: Doubles, start: int, stop: int
) -> Floats:
    return np.divide(reader(start, stop), divisors).astype(np.float32)


def _by_default(recording: Recording, names: Sequence[str]) -> Recording:
    listed = list_words([quote(name) for name in names], _NAMED)
    others = [event for event in recording.events if not _OF_THE_RECORDING.match(event.text)]
    if others:
        note = (
            f"the {len(others)} events are the recording's annotations or markers; "
            f"--trigger CHANNEL takes codes instead, of {listed}"
        )
        return replace(recording, notes=(*recording.notes, note))
    names = [name for name in _SUMS if name in names][:1] or names
    triggers = [parse_trigger(name, [name]) for name in names]
    coded, notes = [], []
    for one, found in zip(triggers, _read(recording, triggers), strict=True):
        if found[0].is_noise:
            notes.append(noise_reason(one))
        elif found[1]:
            coded.append((one, found))
    if not coded:
        notes = notes or [f"no events: the trigger channels {listed} hold no code"]
        return replace(recording, notes=(*recording.notes, *notes))
    if len(coded) > 1:
        # One with several codes has codes; of others, each is on or off.
        of_codes = [one for one in coded if len({text for _, text in one[1][1]}) > 1]
        lines = Trigger(tuple(TriggerLine(one.names[0]) for one, _ in coded))
        coded = of_codes if len(of_codes) == 1 else [(lines, _read(recording, [lines])[0])]
    return _with(recording, *coded[0], notes)


def _read(recording: Recording, triggers: Sequence[Trigger]) -> list[_Found]:
    """Events of each trigger, by seconds from the first sample, unless all hold noise."""
    names = list(dict.fromkeys(name for one in triggers for name in one.names))
    sfreq_hz = recording.montage.sfreq_hz
    found: list[_Found] = [(TriggerEdges(one, sfreq_hz), []) for one in triggers]
    # Not closed, for that would close the recording.
    source = ReplaySource(recording, chunk_samples=max(1, round(_BLOCK_S * sfreq_hz)), names=names)
    while (chunk := source.pull(0.0)) is not None:
        for one, (edges, events) in zip(triggers, found, strict=True):
            events += edges(chunk.data[[names.index(name) for name in one.names]], chunk)
        if all(edges.is_noise for edges, _ in found):
            break
    for edges, events in found:
        events += edges.finish()
    return found


def _with(recording: Recording, trigger: Trigger, found: _Found, notes: Sequence[str]) -> Recording:
    """The recording with these events, and what was ignored in its notes."""
    edges, events = found
    counts = Counter(text for _, text in events).most_common()
    channels = list_words([quote(name) for name in trigger.names], _NAMED)
    lines = [f"trigger channel {channels} holds no code: no events"]
    if events:
        shown = list_words([f"{quote(text)} ({n})" for text, n in counts], _NAMED)
        lines = [f"the events are the codes of trigger channel {channels}: {shown}"]
    coded = [(text, n) for text, n in counts if text.isdecimal()]
    if len(coded) > 2 and coded[0][1] > len(events) / 3 and int(coded[0][0]) > _LOW_BITS:
        lines.append(
            f"{coded[0][0]} may be the channel's idle level: --trigger "
            f"{plain_text(trigger.names[0])}:0xFF takes the lower bits"
        )
    if edges.n_unplaced:
        lines.append(f"{edges.n_unplaced} began before the first sample or in a gap: no event")
    if edges.n_ignored:
        lines.append(f"{edges.n_ignored} shorter ones are ignored")
    if 0 < edges.n_brief < len(events):
        first = plain_text(trigger.names[0])
        lines.append(f"{edges.n_brief} last one sample: --trigger {first}@5ms leaves them out")
    kept = [event for event in recording.events if _OF_THE_RECORDING.match(event.text)]
    of_codes = [*kept, *(Event(t, 0.0, text) for t, text in events)]
    return replace(
        recording,
        events=tuple(sorted(of_codes, key=lambda event: event.onset_s)),
        notes=(*recording.notes, "; ".join([*lines, *notes])),
    )
