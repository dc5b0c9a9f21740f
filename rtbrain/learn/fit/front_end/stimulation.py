"""How long stimulation artifacts last, measured around the pulses of recordings."""

from collections.abc import Callable, Sequence

import numpy as np

from rtbrain.config import Recipe
from rtbrain.errors import SettingsError, list_words, quote
from rtbrain.recording.recording import Recording
from rtbrain.signal import find_rate
from rtbrain.types import CONTACT_KINDS, Doubles, Times

_MOST_PULSES = 200
_BEFORE_S, _AFTER_S = 0.05, 1.0  # looked at, or less where pulses are closer
# An artifact is what changes in a quarter of the pulses by more than what is usual there, times
# 2 and what chance adds with so many pulses.
_QUANTILE, _TIMES, _TIMES_OF_FEW = 0.75, 2.0, 6.0
_FEWEST_PULSES = 5
_QUIET_S = 0.005  # after which an artifact is over
_PERIOD_S = 4.0


def at_stimulation(
    recipe: Recipe, recordings: Sequence[Recording], on_note: Callable[[str], None]
) -> Recipe:
    """The recipe with what it leaves open of its stimulation, as these recordings show it.

    Raises
    ------
    SettingsError
        No pulse is announced, the artifact does not end before the next, or the recordings hold
        no stimulation of about the rate that is to be subtracted.
    """
    settings = recipe.stimulation
    if settings is None:
        return recipe
    if settings.periodic_hz is not None:
        found = [_rate_of(one, settings.periodic_hz) for one in recordings]
        rates = [f"{hz:.6g} Hz" for hz in found if hz is not None]
        if not rates:
            raise SettingsError(
                f"stimulation.periodic_hz {settings.periodic_hz:g}: no recording holds what "
                "repeats within 2 % of that rate: give the rate of the stimulator, or leave it out"
            )
        on_note(f"the stimulation repeats at {list_words(rates)}: its template is subtracted")
    if not settings.announced:
        return recipe
    texts, stop_texts = settings.markers
    if not any(event.text in texts for one in recordings for event in one.events):
        what = quote(settings.channel or list_words(texts))
        raise SettingsError(
            f"stimulation: nothing in the recordings is announced by {what}: name the markers, or "
            "the channel, that announce the pulses"
        )
    if settings.before_s is not None and settings.after_s is not None:
        return recipe
    before_s = after_s = 0.0
    for one in recordings:
        onsets = np.array([event.onset_s for event in one.events if event.text in texts])
        ends = np.array([event.onset_s for event in one.events if event.text in stop_texts])
        measured = [edges_s(one, onsets), edges_s(one, ends) if stop_texts else (0.0, 0.0)]
        before_s = max(before_s, measured[0][0])
        after_s = max(after_s, measured[1 if stop_texts else 0][1])
    before_s = before_s if settings.before_s is None else settings.before_s
    after_s = after_s if settings.after_s is None else settings.after_s
    on_note(
        f"stimulation: blanked from {before_s * 1e3:.3g} ms before to {after_s * 1e3:.3g} ms "
        "after each pulse, as measured; stimulation.before_s and after_s set other times"
    )
    values = recipe.model_dump(exclude_unset=True)
    for step in values["signal"]:
        if "stimulation" in step:
            step["stimulation"] |= {"before_s": before_s, "after_s": after_s}
    return Recipe.model_validate(values)


def _rate_of(recording: Recording, near_hz: float) -> float | None:
    """Rate of periodic stimulation in the middle of a recording; None without."""
    sfreq_hz, middle = recording.montage.sfreq_hz, recording.n_samples // 2
    half = min(round(_PERIOD_S / 2 * sfreq_hz), middle)
    samples = recording.read(middle - half, middle + half)
    return find_rate(np.nan_to_num(samples[_contacts(recording)]), sfreq_hz, near_hz)


def _contacts(recording: Recording) -> list[int]:
    kinds = recording.montage.kinds
    return [row for row, kind in enumerate(kinds) if kind in CONTACT_KINDS]


def edges_s(recording: Recording, onsets_s: Times) -> tuple[float, float]:
    """How long before and after its markers the artifact of pulses lasts, s.

    The change from sample to sample, in each contact and at each time from the marker, beside what
    is usual in that contact.

    Raises a SettingsError where there are too few pulses, or it does not end before the next one.
    """
    sfreq_hz = recording.montage.sfreq_hz
    between_s = float(np.median(np.diff(onsets_s))) if onsets_s.size > 1 else np.inf
    n_before = round(min(_BEFORE_S, between_s / 4) * sfreq_hz)
    n_after = round(min(_AFTER_S, between_s * 3 / 4) * sfreq_hz)
    places = np.rint(onsets_s * sfreq_hz).astype(np.int64)
    if recording.stamps is not None:
        places = np.searchsorted(recording.stamps, onsets_s)
    inside = places[(places > n_before) & (places + n_after < recording.n_samples)]
    if inside.size < _FEWEST_PULSES:
        raise SettingsError(
            f"stimulation: {inside.size} pulses are too few to measure how long their artifact "
            f"lasts, {_FEWEST_PULSES} are needed: set before_s and after_s"
        )
    chosen = inside[np.linspace(0, inside.size - 1, min(_MOST_PULSES, inside.size)).astype(int)]
    rows = _contacts(recording)
    changes = np.stack(
        [
            np.abs(np.diff(recording.read(at - n_before - 1, at + n_after)[rows], axis=1))
            for at in chosen
        ]
    )  # [n_pulses, n_contacts, n_before + n_after]
    high: Doubles = np.quantile(changes, _QUANTILE, axis=0)
    usual = np.quantile(high, 0.25, axis=1, keepdims=True)
    limit = _TIMES + _TIMES_OF_FEW / np.sqrt(len(chosen))
    with np.errstate(invalid="ignore", divide="ignore"):
        active = np.flatnonzero((high > limit * usual).any(axis=0)) - n_before
    n_quiet = max(2, round(min(_QUIET_S, between_s / 8) * sfreq_hz))
    first = last = 0
    for at in active[active >= 0]:
        if at > last + n_quiet:
            break
        last = int(at)
    for at in active[active < 0][::-1]:
        if at < first - n_quiet:
            break
        first = int(at)
    if last + n_quiet >= n_after:
        raise SettingsError(
            f"stimulation: the artifact does not end within {n_after / sfreq_hz:.3g} s after a "
            "pulse, before the next one: set before_s and after_s, or subtract its template by "
            "periodic_hz"
        )
    return (2 - first) / sfreq_hz, (last + 3) / sfreq_hz
