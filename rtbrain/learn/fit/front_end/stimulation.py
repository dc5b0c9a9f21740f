"""How long stimulation artifacts last, measured around the pulses of recordings."""

from collections.abc import Callable, Sequence

import numpy as np

from rtbrain.config import Recipe
from rtbrain.errors import SettingsError, list_words, quote
from rtbrain.recording.recording import Recording
from rtbrain.signal import find_rate
from rtbrain.types import CONTACT_KINDS, Doubles, Ints, Times

_MOST_PULSES = 200
_BEFORE_S, _AFTER_S = 0.05, 1.0  # looked at, or less where pulses are closer
# An artifact is what changes in a quarter of the pulses by more than what is usual there, times
# 2 and what chance adds with so many pulses.
_QUANTILE, _TIMES, _TIMES_OF_FEW = 0.75, 2.0, 6.0
_FEWEST_PULSES = 5
_QUIET_S = 0.005  # after which an artifact is over
_TRAIN_S = 0.01  # looked at of a train, after it begins
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
    before_s, after_s = edges_s(recordings, texts, stop_texts)
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


def _onsets_s(recording: Recording, texts: Sequence[str]) -> Times:
    return np.array([event.onset_s for event in recording.events if event.text in texts])


def _until_next_s(onsets_s: Times, next_s: Times) -> Times:
    """Time from each onset to the next of the others, where there is one."""
    places = np.searchsorted(next_s, onsets_s, side="right")
    there = places < next_s.size
    return np.asarray(next_s[places[there]] - onsets_s[there])


def _places(recording: Recording, onsets_s: Times) -> Ints:
    """Samples of these onsets."""
    if recording.stamps is not None:
        return np.searchsorted(recording.stamps, onsets_s)
    return np.rint(onsets_s * recording.montage.sfreq_hz).astype(np.int64)


def _contacts(recording: Recording) -> list[int]:
    kinds = recording.montage.kinds
    return [row for row, kind in enumerate(kinds) if kind in CONTACT_KINDS]


def edges_s(
    recordings: Sequence[Recording], texts: Sequence[str], stop_texts: Sequence[str] = ()
) -> tuple[float, float]:
    """How long before and after its markers the artifact of pulses, or of trains, lasts, s.

    The change from sample to sample, in each contact and at each time from the marker, beside what
    is usual in that contact; over the pulses of all recordings together.

    Raises a SettingsError where there are too few pulses, no artifact is found, or it does not end
    before the next one.
    """
    if not stop_texts:
        return _edges_s(recordings, texts, texts, _AFTER_S)
    before_s = _edges_s(recordings, texts, stop_texts, _TRAIN_S)[0]
    return before_s, _edges_s(recordings, stop_texts, texts, _AFTER_S)[1]


def _edges_s(
    recordings: Sequence[Recording], texts: Sequence[str], next_texts: Sequence[str], most_s: float
) -> tuple[float, float]:
    """The same for one kind of marker, up to the next of another; within `_TRAIN_S` none ends."""
    sfreq_hz = recordings[0].montage.sfreq_hz
    onsets = [_onsets_s(one, texts) for one in recordings]
    between = np.concatenate(
        [
            _until_next_s(onsets_s, _onsets_s(one, next_texts))
            for one, onsets_s in zip(recordings, onsets, strict=True)
        ]
    )
    between_s = float(np.median(between)) if between.size else np.inf
    n_before = round(min(_BEFORE_S, between_s / 4) * sfreq_hz)
    n_after = round(min(most_s, between_s * 3 / 4) * sfreq_hz)
    inside = [
        (one, int(at))
        for one, onsets_s in zip(recordings, onsets, strict=True)
        for at in _places(one, onsets_s)
        if n_before < at < one.n_samples - n_after
    ]
    if len(inside) < _FEWEST_PULSES:
        raise SettingsError(
            f"stimulation: {len(inside)} pulses are too few to measure how long their artifact "
            f"lasts, {_FEWEST_PULSES} are needed: set before_s and after_s"
        )
    n_chosen = min(_MOST_PULSES, len(inside))
    chosen = [inside[int(at)] for at in np.linspace(0, len(inside) - 1, n_chosen)]
    changes = np.stack(
        [
            np.abs(np.diff(one.read(at - n_before - 1, at + n_after)[_contacts(one)], axis=1))
            for one, at in chosen
        ]
    )  # [n_pulses, n_contacts, n_before + n_after]
    high: Doubles = np.quantile(changes, _QUANTILE, axis=0)
    usual = np.quantile(high, 0.25, axis=1, keepdims=True)
    limit = _TIMES + _TIMES_OF_FEW / np.sqrt(len(chosen))
    with np.errstate(invalid="ignore", divide="ignore"):
        active = np.flatnonzero((high > limit * usual).any(axis=0)) - n_before
    n_quiet = max(2, round(min(_QUIET_S, between_s / 8) * sfreq_hz))
    if not active.size:
        raise SettingsError(
            f"stimulation: no artifact is found from {n_before / sfreq_hz:.3g} s before to "
            f"{n_after / sfreq_hz:.3g} s after {list_words([quote(text) for text in texts])}: set "
            "before_s and after_s, or leave the step out where there is none"
        )
    first, last = min(0, int(active[0])), max(0, int(active[-1]))  # it may lead or lag its marker
    if last + n_quiet >= n_after and most_s > _TRAIN_S:
        raise SettingsError(
            f"stimulation: the artifact does not end within {n_after / sfreq_hz:.3g} s after a "
            "pulse, before the next one: set before_s and after_s, or subtract its template by "
            "periodic_hz"
        )
    return (2 - first) / sfreq_hz, (last + 3) / sfreq_hz
