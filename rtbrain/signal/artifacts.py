"""Artifacts that nothing announces, behind the quality of contacts: no decode is made of them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rtbrain.errors import list_words
from rtbrain.marks import ARTIFACT, BLANKED
from rtbrain.signal.quality_rules import medians
from rtbrain.signal.reference import contact_rows
from rtbrain.types import Chunk, Floats, Ints, Mask, Montage

# No brain moves a contact by so much within 1 ms, nor so far from where it was 0.25 s before: sharp
# epileptic transients reach a fifth, blinks and movements a hundredth of the one.
_STEP_UV, _STEP_S = 500.0, 0.5e-3
_FAR_UV, _RAIL_UV, _RAIL_SAMPLES = 3000.0, 500.0, 8
# Whatever the unit: how many times the usual change, and the usual distance, of the contact.
_TIMES_USUAL = 20.0
# Half of all contacts at once do not change by this many times their usual, but by stimulation.
_TOGETHER = 12.0
_BLOCK_S = 0.25
# Blocks of artifacts, 2 s, after which they are what is usual. Where contacts change together it
# takes 30 s: shorter than a decoder should be blind for, longer than it takes to look at a report.
_MOST_SKIPPED, _MOST_TOGETHER = 8, 120
_AFTER_S = 0.05
_NEVER = -(2**62)
_PICKED = 64  # samples of a block, or up to twice as many, that show what is usual
_QUIET_S = 1.0  # without an artifact, before the next is reported
_FEWEST = 2  # contacts of an artifact that spoils all of them: one alone is a contact's own


class ArtifactGuard:
    """Finds steps, rails and jumps of many contacts at once that no brain makes.

    Such samples, and those 0.05 s after, become NaN in their contact; where there are two
    contacts or more, the samples are flagged `ARTIFACT`, since others may hold less of the same.
    Samples that are blanked are passed over: what remains of a pulse shows as a step across them.
    The change across a blank may be larger, by the square root of its length. What is usual is the
    median of the last 0.25 s without artifacts; for the first there is none. After 2 s of artifacts
    in a contact they are what is usual: it has another level, or is its own. Not so changes of two
    contacts or more: those above the limits that no brain reaches never are, as unannounced
    stimulation, and those below only after 30 s, as a seizure, whose decodes must not be invalid
    until it ends.

    ``on_event("artifact", channels=...)`` reports it, and again after 1 s without one;
    ``on_event("artifact_usual", channels=...)`` that such changes are taken as usual.
    """

    def __init__(self, montage: Montage, *, on_event: Callable[..., None] | None = None) -> None:
        self.montage = montage
        self._rows = np.asarray(contact_rows(montage), np.int64)
        self._all = self._rows.size == montage.n_channels
        self._on_event = on_event
        sfreq_hz = montage.sfreq_hz
        self._lag = max(1, round(_STEP_S * sfreq_hz))
        self._step_uv = np.float32(_STEP_UV * max(1.0, 1e3 * self._lag / sfreq_hz))
        self._block_samples = max(1, round(_BLOCK_S * sfreq_hz))
        self._thin = max(1, self._block_samples // _PICKED)
        self._after = round(_AFTER_S * sfreq_hz)
        self._quiet = round(_QUIET_S * sfreq_hz)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._usual: tuple[Floats, Floats, Floats] | None = None  # median, distance, change: [C, 1]
        self._skipped = np.zeros(self._rows.size, np.int64)
        self._reported_until = -self._quiet
        self._restart()

    def _restart(self) -> None:
        n = self._rows.size
        self._tail = np.empty((n, 0), np.float32)  # last clean samples
        self._tail_at = np.empty(0, np.int64)  # their numbers
        self._last = np.full((n, 1), _NEVER, np.int64)  # last sample of an artifact
        self._n_clean = 0  # samples of the block
        # Every so many of them, and the changes there: [2, n_contacts, n_picked].
        self._picked = np.empty((2, n, -(-self._block_samples // self._thin)), np.float32)
        # Contacts with an artifact in the block, with changes of several, and of no brain.
        self._spoilt, self._changed, self._leapt = np.zeros((3, n), np.bool_)

    def __call__(self, chunk: Chunk) -> Chunk:
        """The same chunk, or one with NaN and flags where there is an artifact."""
        if chunk.gap > 0:
            self._restart()
        data: Floats | None = None
        flags = np.zeros(chunk.n_samples, np.uint8) if chunk.flags is None else chunk.flags.copy()
        start = 0
        while start < chunk.n_samples:
            number = chunk.first_sample + start
            stop = min(start + self._block_samples - number % self._block_samples, chunk.n_samples)
            found = self._look(chunk, start, stop)
            if found is not None:
                if data is None:
                    data = chunk.data.copy()
                piece = data[self._rows, start:stop]
                piece[found] = np.nan
                data[self._rows, start:stop] = piece
                together = found.sum(axis=0) >= _FEWEST
                flags[start:stop][together] = np.maximum(flags[start:stop][together], ARTIFACT)
                self._report(found, number)
            start = stop
            if (chunk.first_sample + stop) % self._block_samples == 0:
                self._learn()
        return chunk if data is None else replace(chunk, data=data, flags=flags)

    def _look(self, chunk: Chunk, start: int, stop: int) -> Mask | None:
        """Where contacts have an artifact, [n_contacts, n_samples]; None: nowhere."""
        signal = chunk.data[:, start:stop]
        signal = signal if self._all else signal[self._rows]
        clean = None
        number = chunk.first_sample + start
        numbers = number + np.arange(stop - start)
        at = numbers
        if chunk.flags is not None:
            clean = np.flatnonzero(chunk.flags[start:stop] != BLANKED)
            signal, at = signal[:, clean], numbers[clean]
        found = self._hits(signal, at) if signal.size else None
        if found is None and self._last.max(initial=_NEVER) + self._after < number:
            return None
        hits = np.zeros((self._rows.size, stop - start), np.bool_)
        if found is not None:
            hits[:, slice(None) if clean is None else clean] = found
        last = np.maximum.accumulate(np.where(hits, numbers, self._last), axis=1)
        self._last = last[:, -1:]
        self._spoilt |= hits.any(axis=1)
        return np.asarray(numbers - last <= self._after)

    def _hits(self, signal: Floats, numbers: Ints) -> Mask | None:
        """Which of the next clean samples [n_contacts, n_samples] no brain makes; None: none."""
        n_new = signal.shape[1]
        joined = np.concatenate([self._tail, signal], axis=1)
        self._tail = joined[:, -max(self._lag, _RAIL_SAMPLES) :]
        with np.errstate(invalid="ignore"):
            changes = joined[:, self._lag :] - joined[:, : -self._lag]
        changes = np.abs(changes[:, -n_new:], out=changes[:, -n_new:])
        if changes.shape[1] < n_new:  # at the beginning
            changes = np.pad(changes, ((0, 0), (n_new - changes.shape[1], 0)))
        across = self._across(numbers)
        self._pick(signal, changes)
        if self._usual is None:
            return None
        median, distance, change = self._usual
        rail = np.maximum(_RAIL_UV, _TIMES_USUAL * distance)
        with np.errstate(invalid="ignore"):
            far = np.maximum(_highest(signal) - median[:, 0], median[:, 0] + _highest(-signal))
            least = np.where(np.isnan(change), self._step_uv, _TOGETHER * change)
            jumps = _highest(changes) > least[:, 0]
            if not jumps.any() and not (far > rail[:, 0]).any():
                return None
            hits: Mask = changes > across * np.fmax(self._step_uv, _TIMES_USUAL * change)
            above = (changes > _TOGETHER * change) & (across <= 1)
            together = np.count_nonzero(above, axis=0)
            n_alive = np.count_nonzero(np.isfinite(signal), axis=0)
            at_once = (2 * together > n_alive) & (n_alive >= 2 * _FEWEST)
            self._note(hits, hits | (at_once & above))
            hits |= at_once & above
            beyond = np.abs(signal - median)
            hits |= beyond > np.maximum(_FAR_UV, _TIMES_USUAL * distance)
            same = joined[:, 1:] == joined[:, :-1]
        missing = max(0, n_new + _RAIL_SAMPLES - 1 - same.shape[1])
        same = np.pad(same, ((0, 0), (missing, 0)))[:, -(n_new + _RAIL_SAMPLES - 1) :]
        runs = np.lib.stride_tricks.sliding_window_view(same, _RAIL_SAMPLES, axis=1)
        hits |= (beyond > rail) & runs.all(axis=2)
        return hits

    def _across(self, numbers: Ints) -> Floats:
        """How much larger than usual the change to each of these clean samples may be."""
        joined = np.concatenate([self._tail_at, numbers])
        self._tail_at = joined[-max(self._lag, _RAIL_SAMPLES) :]
        elapsed = (joined[self._lag :] - joined[: -self._lag])[-numbers.size :]
        elapsed = np.pad(elapsed, (numbers.size - elapsed.size, 0), constant_values=self._lag)
        return np.sqrt(elapsed / self._lag).astype(np.float32)

    def _note(self, leaps: Mask, changes: Mask) -> None:
        """Remember contacts whose changes spoil all of them."""
        for contacts, found in ((self._leapt, leaps), (self._changed, changes)):
            contacts |= found[:, found.sum(axis=0) >= _FEWEST].any(axis=1)

    def _pick(self, signal: Floats, changes: Floats) -> None:
        """Pick from the next clean samples of the block, [n_contacts, n_samples]."""
        first = -self._n_clean % self._thin
        begin = -(-self._n_clean // self._thin)
        self._n_clean += signal.shape[1]
        of_block = self._picked[:, :, begin : -(-self._n_clean // self._thin)]
        of_block[0], of_block[1] = signal[:, first :: self._thin], changes[:, first :: self._thin]

    def _learn(self) -> None:
        """At the end of a block: what is usual, of contacts without an artifact in it."""
        n_clean, self._n_clean = self._n_clean, 0
        spoilt, changed, leapt = self._spoilt, self._changed, self._leapt
        self._spoilt, self._changed, self._leapt = np.zeros((3, spoilt.size), np.bool_)
        if 2 * n_clean < self._block_samples:
            return
        signal, changes = self._picked[:, :, : -(-n_clean // self._thin)]
        median = medians(signal)
        distance = medians(np.abs(signal - median))
        change = medians(changes)
        change[change == 0] = np.nan  # a flat contact says nothing of what is usual
        if self._usual is None:
            self._usual = median, distance, change
        self._skipped = np.where(spoilt, self._skipped + 1, 0)
        is_usual = ~spoilt | (self._skipped > _MOST_SKIPPED)
        now = is_usual & changed & ~leapt & (self._skipped > _MOST_TOGETHER)
        known = np.isfinite(change) | ~np.isfinite(self._usual[2])
        take, take_change = is_usual[:, None] & known, (is_usual & ~changed | now)[:, None] & known
        self._usual = (
            np.where(take, median, self._usual[0]),
            np.where(take, distance, self._usual[1]),
            np.where(take_change, change, self._usual[2]),
        )
        if now.any() and self._on_event is not None:
            self._on_event("artifact_usual", channels=self._names(now))

    def _report(self, found: Mask, number: int) -> None:
        if self._on_event is not None and number >= self._reported_until:
            self._on_event("artifact", channels=self._names(np.asarray(found.any(axis=1))))
        self._reported_until = number + found.shape[1] + self._quiet

    def _names(self, contacts: Mask) -> str:
        rows = self._rows[np.flatnonzero(contacts)]
        return list_words([self.montage.names[row] for row in rows])


def _highest(values: Floats) -> Floats:
    """Highest value of each row, but for NaN."""
    highest: Floats = values.max(axis=1)
    # Twice as slow.
    return highest if np.isfinite(highest).all() else np.fmax.reduce(values, axis=1)
