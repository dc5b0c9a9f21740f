"""Which channels of the recordings a decoder is fitted on: contacts that all of them share."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from rtbrain.channels import (
    choose_labels,
    kind_of,
    left_out_note,
    list_kinds,
    match_labels,
    unlike_contacts,
)
from rtbrain.config import FitSettings, Recipe
from rtbrain.errors import RecordingError, list_words
from rtbrain.recording.recording import Recording
from rtbrain.signal.reference import shaft_places
from rtbrain.types import CONTACT_KINDS, Doubles, Montage

# Stretches to measure, all over a recording, but in step with nothing in it.
_PIECES, _PIECE_S, _STRIDE = 30, 1.0, 0.6180339887
_MIN_CHANNELS, _MOSTLY = 4, 0.5


def choose_channels(
    names: Sequence[str],
    recordings: Sequence[Recording],
    settings: FitSettings,
    recipe: Recipe,
    on_note: Callable[[str], None],
) -> tuple[list[Recording], Montage, list[str]]:
    """Recordings in one set of labels and kinds, the montage to fit on, and its labels.

    The targets are the last of the labels, and not in the montage.

    By default these are the contacts that no recording marks as bad, that measure what the others
    do, and that all recordings share, whatever their order. ``channels``, ``exclude`` and
    ``kinds`` of the settings decide otherwise.

    Raises
    ------
    SettingsError
        A pattern fits no channel.
    RecordingError
        No channel is left.
    """
    targets = settings.labels.channel or () if settings.labels else ()
    # The first by its labels, not by its place among the arguments.
    base = min(recordings, key=lambda one: (one.montage.positions is None, one.montage.names))
    recordings = [_renamed(one, base.montage.names, on_note) for one in recordings]
    labels = list(dict.fromkeys(label for one in recordings for label in one.montage.names))
    kinds = _kinds(recordings, labels)
    usable = CONTACT_KINDS | _kinds_of(recipe)
    choice = choose_labels(
        kinds,
        channels=settings.channels,
        exclude=settings.exclude,
        kinds=settings.kinds,
        usable=usable,
    )
    devices = [label for label in labels if kinds[label] not in usable]
    kinds, wanted = choice.kinds, [label for label in choice.labels if label not in targets]
    bad = {label for one in recordings for label in one.bad}
    if anyway := sorted(bad & choice.exact & set(wanted)):
        on_note(f"marked as bad, but used because --channels names them: {list_words(anyway, 16)}")
        bad -= choice.exact
    wanted = [label for label in wanted if label not in bad]
    wanted = _shared(names, recordings, wanted, on_note)
    if settings.channels is None and not choice.by_kind:
        wanted = _measured(recordings, wanted, choice.stated, on_note)
    if not wanted:
        raise RecordingError(
            f"no channel is left to fit on: {list_kinds(kinds)}; change channels, kinds or exclude"
        )
    devices = [label for label in devices if label in wanted]
    if devices:
        on_note(f"used as contacts, as the settings say: {list_words(devices, 16)}")
    kinds |= {label: "eeg" for label in devices if kinds[label] not in usable}
    same = [_with_kinds(one, kinds) for one in recordings]
    fitted = [label for label in base.montage.names if label in wanted]
    montage = _with_kinds(base, kinds).montage.pick(fitted)
    return same, montage, [*fitted, *targets]


def _renamed(
    recording: Recording, labels: Sequence[str], on_note: Callable[[str], None]
) -> Recording:
    """Recording with the labels of another one, where it writes them in another way."""
    own = recording.montage.names
    matched = match_labels(labels, own, "another session").rows
    differ = [f"{name} is {row}" for name, row in matched.items() if name != row]
    if not differ:
        return recording
    on_note(f"labels differ between sessions and were matched: {list_words(differ, 8)}")
    names = tuple(matched.get(name, name) for name in own)
    bad, unitless = (
        tuple(matched.get(name, name) for name in few)
        for few in (recording.bad, recording.unitless)
    )
    units = {matched.get(name, name): unit for name, unit in recording.units.items()}
    montage = replace(recording.montage, names=names)
    return replace(recording, montage=montage, bad=bad, unitless=unitless, units=units)


def _with_kinds(recording: Recording, kinds: dict[str, str]) -> Recording:
    montage = recording.montage
    new = tuple(kinds[name] for name in montage.names)
    return replace(recording, montage=replace(montage, kinds=new))


def _kinds(recordings: Sequence[Recording], labels: Sequence[str]) -> dict[str, str]:
    """Kind of each label; that of no contact, where any recording says so."""
    found: dict[str, list[str]] = {label: [] for label in labels}
    for one in recordings:
        for label, kind in zip(one.montage.names, one.montage.kinds, strict=True):
            found[label].append(kind)
    # What is more than EEG was said by somebody who looked.
    return {
        label: max(kinds, key=lambda kind: (kind not in CONTACT_KINDS, kind != "eeg", kind))
        for label, kinds in found.items()
    }


def _kinds_of(recipe: Recipe) -> set[str]:
    """Kinds that a recipe names."""
    picks = [step.pick for step in recipe.signal if step.pick is not None]
    return {kind_of(kind) for pick in picks for kind in pick.kinds or ()}


def _shared(
    names: Sequence[str],
    recordings: Sequence[Recording],
    wanted: list[str],
    on_note: Callable[[str], None],
) -> list[str]:
    """Labels that all recordings have; the others are noted."""
    lacking = []
    common = set(wanted)
    for name, one in zip(names, recordings, strict=True):
        missing = [label for label in wanted if label not in one.montage.names]
        common -= set(missing)
        if missing:
            lacking.append(f"{name} lacks {list_words(missing, 8)}")
    if wanted and not common:
        raise RecordingError(
            f"the sessions share no contact: {'; '.join(lacking)}; fit them apart, or correct "
            "their labels"
        )
    if lacking:
        on_note(
            f"sessions differ: {'; '.join(lacking)}; fitted on the {len(common)} contacts that "
            "they share"
        )
    return [label for label in wanted if label in common]


def _measured(
    recordings: Sequence[Recording],
    wanted: list[str],
    stated: Collection[str],
    on_note: Callable[[str], None],
) -> list[str]:
    """Labels but those that measure no brain in any recording, which are noted."""
    reasons: dict[str, str] = {}
    for one in recordings:
        length = min(round(_PIECE_S * one.montage.sfreq_hz), one.n_samples)
        places = np.sort(np.arange(_PIECES) * _STRIDE % 1)
        starts = (places * (one.n_samples - length)).astype(np.int64)
        rows = one.montage.rows(wanted)
        pieces = [one.read(start, start + length)[rows] for start in dict.fromkeys(starts.tolist())]
        for row, reason in unlike_contacts(pieces, one.montage.sfreq_hz).items():
            reasons.setdefault(wanted[row], reason)
    reasons = {label: reason for label, reason in reasons.items() if label not in stated}
    for label, reason in reasons.items():
        on_note(left_out_note([label], f"it {reason}"))
    return [label for label in wanted if label not in reasons]


def weight_warnings(
    recordings: Sequence[Recording], source: Montage, filtered: Montage, weights: Doubles
) -> list[str]:
    """Warnings where a decoder reads what is no contact, or one channel has most of its weight.

    `source` are the channels that it reads, `filtered` those after the references, `weights` of
    `contact_weights`, float64 [n_channels], belong to these.
    """
    share = weights / (weights.sum() or 1.0)
    said: set[str] = set()
    for one in recordings:  # as they are opened, with their own labels
        matched = match_labels(source.names, one.montage.names, "another session").rows
        labelled = zip(one.montage.names, one.montage.kinds, strict=True)
        said |= {matched.get(name, name) for name, kind in labelled if kind not in CONTACT_KINDS}
    devices = [name for name in source.names if name in said]
    warnings = []
    if devices:
        on_them = [any(_is_side(name, label) for name in devices) for label in filtered.names]
        warnings.append(
            f"the decoder reads channels that are not contacts: {list_words(devices, 8)}, with "
            f"{share[on_them].sum():.0%} of the weight; references spread their signal to the "
            "others"
        )
    top = int(share.argmax())
    if filtered.n_channels >= _MIN_CHANNELS and share[top] > _MOSTLY:
        warnings.append(
            f"{share[top]:.0%} of the weight lies on one channel, {filtered.names[top]}: make sure "
            "that it is a contact, not a trigger, a microphone or another device"
        )
    return warnings


def _is_side(name: str, label: str) -> bool:
    """Whether a channel is this one, or its difference to another."""
    return label == name or label.startswith(f"{name}-") or label.endswith(f"-{name}")


def neighbours_note(recipe: Recipe, montage: Montage, filtered: Montage) -> str | None:
    """Note about contacts that a reference to neighbours leaves out, for they have none."""
    steps = recipe.signal
    averages = {None, "car", "shaft_mean"}
    if all(step.reference in averages and not step.published_laplacian for step in steps):
        return None
    places = shaft_places(montage)
    near = {row for (of, n), row in places.items() if {(of, n - 1), (of, n + 1)} & places.keys()}
    alone = [
        name
        for row, name in enumerate(montage.names)
        if row not in near and name not in filtered.names
    ]
    if not alone:
        return None
    return f"without a neighbour on a shaft, and left out by the reference: {list_words(alone, 16)}"
