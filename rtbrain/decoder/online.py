"""A readout that follows labels while it decodes: recursive least squares, with forgetting.

What it learned in the fit stays its prior: without labels it is the readout of the bundle.
Legend: K outputs, D features, R axes.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from rtbrain.decoder.memory import Memory
from rtbrain.decoder.readout import LinearReadout, Readout
from rtbrain.errors import quote
from rtbrain.types import Decode, Doubles, Embedding, Floats

Markers = Callable[[float], list[tuple[float, str]]]
GRACE_S = 0.5  # after which a marker has arrived, so that labels do not depend on how fast
APART_S = 0.25  # between windows to learn from: closer ones overlap
_BATCH = 8  # windows, of each class, between two updates
_MOST_WAITING = 500  # of a class, for windows of the others
_MOST_AXES = 256
_NOISE = 1e-6  # of the largest eigenvalue
_PRIOR = 0.5  # weight of a window of the fit, beside one that was just labelled
_HALF_LIFE = 2400  # labelled windows until one counts for half, as 10 min of states
_LARGEST_STEP = 0.5  # of the outputs at one update: logits, or deviations of the target
_LARGEST_CHANGE = 4.0  # of the outputs in all, the same
_MEMORY = 480  # labelled windows over which the two are compared, by half-life
_MARGIN = 0.05  # of balanced accuracy, or of R², that is not lost
_FEWEST = 40  # labelled windows of a class before it counts
_MOST_MARKERS = 1000  # kept: that no window has used yet, or that nobody else asked for
_LONGEST_S = 30.0  # that a label lasts; less where the last ones came in quicker succession
_PAUSES = 3.0  # longest of the last pauses between labels that the next one lasts
_N_PAUSES = 20
_SHORTEST_S = 1.0
_BEYOND = 3.0  # ranges of the fit outside which a value is no label
_NEAR_S = 0.01  # between a marker and the event of its window
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A decode whose label is not known yet."""

    moment_s: float
    features: Floats
    adapted: Floats
    frozen: Floats


class SupervisedReadout:
    """Stage from Embedding to Decode whose weights follow the labels of a marker stream.

    A state lasts from its marker to the next of any of the labels; of values, markers are numbers
    that hold until the next. No label lasts longer than three of the last pauses between them, nor
    30 s, so that none outlives its task; values beyond three times the range of the fit are none,
    which is reported once. A window is labelled `GRACE_S` after the moment that it describes,
    and scored before it is learned from, beside the readout of the bundle. Where that one has been
    better by more than 0.05 of balanced accuracy (of values, of R²), it is returned to.

    The readout changes along the principal axes of what it was fitted on. With forgetting, what
    was learned fades and what was fitted stays. Of classes the curvature of the loss is bounded
    [1]_, so that no step goes too far; the change of the outputs, in one step and in all, is
    limited as well.

    Parameters
    ----------
    stage, memory
        Of the bundle; the stage's readout is replaced.
    labels : sequence of str
        Texts of the markers, in the order of the outputs.
    markers : callable
        ``markers(timeout_s)`` gives those that arrived, as (s, text).
    event_s : float, optional
        For windows at events: from the event to the end of its window; otherwise windows slide.
    settle_s : float
        How long nothing is learned at first, s: while the normaliser forgets another session.
    on_event : callable
        Called with ``rolled_back`` or ``label_ignored``, and the ``reason``.

    References
    ----------
    .. [1] Böhning 1992, Multinomial logistic regression algorithm, doi:10.1007/BF00048682.
    .. [2] Haykin 2002, Adaptive filter theory, chapter 9 (least squares, exponential weighting).
    .. [3] Dawid 1984, Prequential analysis, doi:10.2307/2981683 (tested before it is learned).
    """

    def __init__(
        self,
        stage: Readout,
        memory: Memory,
        labels: Sequence[str],
        markers: Markers,
        *,
        event_s: float | None = None,
        settle_s: float = 0.0,
        on_event: Callable[..., None] = lambda event, **fields: None,
        prior: float = _PRIOR,
        half_life: float = _HALF_LIFE,
    ) -> None:
        self.frozen = readout = stage.readout
        self._stage, self._memory = stage, memory
        self._labels, self._markers = tuple(labels), markers
        self._event_s, self._settle_s, self._on_event = event_s, settle_s, on_event
        self._forget = 0.5 ** (1 / half_life)
        self._classes = readout.task == "classification"
        z, weights = memory.z.astype(np.float64), prior * memory.weights.astype(np.float64)
        self._spread = 1.0
        if self._classes:  # all classes weigh the same
            sums = np.maximum(weights @ memory.targets, 1e-9)
            weights = weights * (memory.targets @ (weights.sum() / (sums.size * sums)))
        else:
            self._spread = float(memory.targets.std()) or 1.0
        self._range = memory.targets.min(axis=0), memory.targets.max(axis=0)  # [K] each
        self._axes = _principal_axes(z * np.sqrt(weights)[:, np.newaxis])
        x = self._coordinates(z)
        self._curvature = 0.5 if self._classes else 1.0
        n_outputs = len(readout.bias)
        # Of two classes the penalty is that of the one logit between them, as in the fit.
        penalty = (2.0 if self._classes and n_outputs == 2 else 1.0) / memory.c.item()
        self._metric = (x * weights[:, np.newaxis]).T @ x  # [R + 1, R + 1]
        self._prior = self._curvature * self._metric
        self._prior.flat[: -1 : len(self._prior) + 1] += penalty
        self._metric /= weights.sum()
        # What is learned is what was fitted: the readout before its outputs were calibrated.
        self._temperature = memory.temperature.item()
        self.reset()

    @property
    def about(self) -> str:
        """What was learned from, and what came of it."""
        score = "balanced accuracy" if self._classes else "R²"
        back = f", back to the bundle's {self.n_rolled_back} times" if self.n_rolled_back else ""
        none = f", {self.n_ignored} values out of range ignored" if self.n_ignored else ""
        return f"{self.n_labelled} labelled windows, {self.better:+.2f} of {score}{back}{none}"

    @property
    def n_outputs(self) -> int:
        """Values of one decode."""
        return self._stage.n_outputs

    def reset(self) -> None:
        """Return to the readout of the bundle, without markers."""
        self._heard: list[tuple[float, str]] = []
        self._unheard: list[tuple[float, str]] = []
        self._waiting: deque[_Waiting] = deque()
        self._pauses: deque[float] = deque(maxlen=_N_PAUSES)
        self._last_s, self._from_s = -np.inf, np.nan
        self._stage.reset()
        self.n_labelled = self.n_rolled_back = self.n_ignored = 0
        self._roll_back()

    def _roll_back(self) -> None:
        self.readout = self._stage.readout = self.frozen
        self._information = self._prior.copy()
        self._change = np.zeros((self.n_outputs, len(self._prior)))  # [K, R + 1]
        self._seen = np.zeros(self.n_outputs if self._classes else 1)  # labelled windows
        # Of each class, so that none moves the bias before the others have come.
        self._batch: list[deque[tuple[Floats, Doubles]]] = [
            deque(maxlen=_MOST_WAITING) for _ in self._seen
        ]
        self._gain = np.zeros_like(self._seen)  # hits, or squared error, better than the frozen one
        self._square = self._mean = 0.0  # of the targets

    def pull_labels(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers that arrived since the last call: for whoever else needs them."""
        self._listen(timeout_s)
        found, self._unheard = self._unheard, []
        return found

    def forget_labels(self) -> None:
        """Label nothing more until the next marker: its stream is gone."""
        self._heard.clear()

    def _listen(self, timeout_s: float) -> None:
        found = self._markers(timeout_s)
        self._unheard = [*self._unheard, *found][-_MOST_MARKERS:]
        for marker in found:
            value = self._value_of(marker[1])
            if value is not None and (self._classes or self._is_likely(value, marker[1])):
                insort(self._heard, marker)
        del self._heard[:-_MOST_MARKERS]

    def _is_likely(self, value: Doubles, text: str) -> bool:
        """Whether a value is near the range of the fit; the first that is not is reported."""
        low, high = self._range
        reach = _BEYOND * np.maximum((high - low) / 2, self._spread)
        if (np.abs(value - (low + high) / 2) <= reach).all():
            return True
        self.n_ignored += 1
        if self.n_ignored == 1:
            reason = f"{quote(text)} is beyond {_BEYOND:g} times the range of the fit, "
            reason += f"{low.min():.3g} to {high.max():.3g}: such values are ignored"
            self._on_event("label_ignored", reason=reason)
        return False

    def __call__(self, item: Embedding) -> Decode:
        """Learn what is due, then decode one embedding."""
        self._listen(0.0)
        self._learn(item.t_stop - GRACE_S)
        decode = self._stage(item)
        moment_s = item.t_neural if self._event_s is None else item.t_stop - self._event_s
        apart = self._event_s is not None or moment_s - self._last_s > APART_S - _TOLERANCE_S
        if item.quality.valid and apart:
            self._last_s = moment_s
            if np.isnan(self._from_s):
                self._from_s = moment_s + self._settle_s
            features = item.population
            adapted, frozen = (one(features) for one in (self.readout, self.frozen))
            self._waiting.append(_Waiting(moment_s, features, adapted, frozen))
        return decode

    def _learn(self, until_s: float) -> None:
        """Label the windows whose moments are over, score them, and learn from them."""
        while self._waiting and self._waiting[0].moment_s <= until_s:
            window = self._waiting.popleft()
            target = self._label(window.moment_s)
            if target is None:
                continue
            self.n_labelled += 1
            self._score(window, target)
            if window.moment_s < self._from_s:
                continue
            kind = int(target.argmax()) if self._classes else 0
            self._batch[kind].append((window.features, target))
            if min(map(len, self._batch)) == _BATCH:
                self._update()

    def _label(self, moment_s: float) -> Doubles | None:
        """Target [K] of a moment: of the last marker, or of the event that a window is cut at."""
        while len(self._heard) > 1 and self._heard[1][0] <= moment_s + _TOLERANCE_S:
            before_s, _ = self._heard.pop(0)
            self._pauses.append(self._heard[0][0] - before_s)
        if not self._heard:
            return None
        at_s, text = self._heard[0]
        if self._event_s is not None:
            at_s, text = min(self._heard, key=lambda one: abs(one[0] - moment_s))
            return self._value_of(text) if abs(at_s - moment_s) <= _NEAR_S else None
        lasts_s = _LONGEST_S
        if self._pauses:
            lasts_s = min(lasts_s, max(_SHORTEST_S, _PAUSES * max(self._pauses)))
        is_on = at_s <= moment_s + _TOLERANCE_S and moment_s <= at_s + lasts_s
        return self._value_of(text) if is_on else None

    def _value_of(self, text: str) -> Doubles | None:
        if self._classes:
            is_class = text in self._labels
            return np.eye(self.n_outputs)[self._labels.index(text)] if is_class else None
        try:
            values = np.array([float(part) for part in text.split(",")])
        except ValueError:
            return None
        return values if values.size == self.n_outputs and np.isfinite(values).all() else None

    def _score(self, window: _Waiting, target: Doubles) -> None:
        """Compare the two on a window that neither has learned from."""
        fade = 0.5 ** (1 / _MEMORY)
        if self._classes:
            row = target.argmax()
            hits = [int(one.argmax() == row) for one in (window.adapted, window.frozen)]
            gain, seen = (hits[0] - hits[1]) * target, target
        else:
            errors = [np.square(one - target).mean() for one in (window.adapted, window.frozen)]
            gain, seen = errors[1] - errors[0], np.ones(1)
            self._mean = fade * self._mean + float(target.mean())
            self._square = fade * self._square + float(np.square(target).mean())
        self._gain, self._seen = fade * self._gain + gain, fade * self._seen + seen
        lost = -self.better
        if lost > _MARGIN:
            self.n_rolled_back += 1
            score = "balanced accuracy" if self._classes else "R²"
            self._on_event(
                "rolled_back",
                reason=f"adapted to the labels, the decoder was worse by {lost:.2f} of {score}: "
                "back to the one of the bundle",
            )
            self._roll_back()

    @property
    def better(self) -> float:
        """Balanced accuracy, or R², less that of the readout of the bundle, on the last windows."""
        if (self._seen < _FEWEST).any():
            return 0.0
        gain = self._gain / self._seen
        if self._classes:
            return float(gain.mean())
        n = float(self._seen[0])
        variance = self._square / n - (self._mean / n) ** 2
        return float(gain[0] / variance) if variance > 0 else 0.0

    def _update(self) -> None:
        """One step on the windows of the batch, in which all classes weigh the same."""
        raw = np.stack([features for part in self._batch for features, _ in part])
        targets = np.stack([target for part in self._batch for _, target in part])
        counts = [len(part) for part in self._batch]
        weights = np.repeat([_BATCH / count for count in counts], counts)[:, np.newaxis]
        for part in self._batch:
            part.clear()
        x = self._coordinates(self._memory.standardise(raw).astype(np.float64))
        fade = self._forget ** weights.sum()
        before = fade * self._information @ self._change.T
        self._information = self._prior + fade * (self._information - self._prior)
        added = self._curvature * (x * weights).T @ x
        self._information += added
        outputs = raw.astype(np.float64) @ self.frozen.weight.T + self.frozen.bias
        outputs = self._temperature * outputs + x @ self._change.T  # with what was learned so far
        outputs = scipy.special.softmax(outputs, axis=1) if self._classes else outputs
        slope = (weights * (targets - outputs)).T @ x  # [K, R + 1]
        found = scipy.linalg.solve(
            self._information, before + added @ self._change.T + slope.T, assume_a="pos"
        ).T
        change = self._change + self._within(found - self._change, _LARGEST_STEP)
        self._change = self._within(change, _LARGEST_CHANGE)
        change = self._change / self._temperature
        weight = (change[:, :-1] @ self._axes.T) / self._memory.scale
        bias = change[:, -1] - weight @ self._memory.mean
        self.readout = self._stage.readout = LinearReadout(
            (self.frozen.weight + weight).astype(np.float32),
            (self.frozen.bias + bias).astype(np.float32),
            self.frozen.task,
        )

    def _within(self, change: Doubles, largest: float) -> Doubles:
        """A change of the outputs, no larger than this on the windows of the fit."""
        lengths = np.sqrt(np.einsum("kr,rs,ks->k", change, self._metric, change))
        lengths /= self._temperature * self._spread
        limited: Doubles = change / max(1.0, lengths.max() / largest)
        return limited

    def _coordinates(self, z: Doubles) -> Doubles:
        return np.concatenate((z @ self._axes, np.ones((len(z), 1))), axis=1)  # [N, R + 1]


def _principal_axes(z: npt.NDArray[Any]) -> Doubles:
    """Orthonormal axes [D, R] along which windows [N, D] differ most."""
    wide = z.shape[1] > z.shape[0]
    values, vectors = scipy.linalg.eigh(z @ z.T if wide else z.T @ z)
    kept = np.flatnonzero(values > _NOISE * values[-1])[-_MOST_AXES:]
    axes: Doubles = vectors[:, kept]
    return z.T @ (axes / np.sqrt(values[kept])) if wide else axes
