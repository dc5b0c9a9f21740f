"""How unlike its calibration the signal is: beside every decode, from window and embedding.

Measures of what was smoothed over 5 s, each the median over 15 s, so that what passes (a movement)
is no drift. *Features*: distance of the population embedding
in the space of its principal components, and outside it. *Covariance*: affine-invariant distance
of the covariance of up to 32 channels, the Riemannian potato [1]_. *Level* and *mains*: of the raw
contacts, the largest deviation of one. *Lost contacts*: how many are bad that were good.

.. [1] Barachant, Andreev, Congedo (2013). The Riemannian potato. hal-00781701
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from rtbrain.decoder.drift_input import PERIOD_S, DriftInput, Snapshot
from rtbrain.errors import BundleError, list_words
from rtbrain.types import Doubles, Embedding, Floats, Mask, Window

MEDIAN_S = 15.0
_TREND_S = 10.0
_SHRINKAGE = 0.1
MEASURES = ("features", "features", "covariance", "level", "mains", "lost contacts")
# One contact that is lost is no drift: the decoder leaves it out. Two are, and 5 % of many.
_FEWEST_LOST, _SHARE_LOST = 1.5, 0.05
_OVER = 0.8  # of the threshold: below, a flag ends
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class DriftModel:
    """Calibration of the distances, as a bundle stores it under ``drift.``.

    Features are scaled by `feature_mean` and `feature_scale` (infinite where one says nothing),
    `components` float32 [n_components, n_features] are their principal ones, of which
    `component_variance`; `covariance` is the mean over calibration; `contact_mean` and
    `contact_scale`, float64 [2, n_contacts], are in dB. `thresholds`, one per measure, are where a
    flag begins.
    """

    feature_mean: Floats
    feature_scale: Floats
    components: Floats
    component_variance: Doubles
    covariance: Doubles
    contact_mean: Doubles
    contact_scale: Doubles
    thresholds: Doubles

    @classmethod
    def from_tensors(cls, part: Mapping[str, npt.NDArray[Any]]) -> "DriftModel | None":
        """Model of a bundle's arrays; None where it has none, a BundleError where some lack."""
        if not part:
            return None
        missing = set(cls.__slots__) - set(part)
        if missing or part["thresholds"].shape != (len(MEASURES),):
            raise BundleError(f"drift: {list_words(sorted(missing)) or 'thresholds'} do not fit")
        return cls(**{name: part[name] for name in cls.__slots__})

    def as_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by the names that a bundle stores them under."""
        return {f"drift.{name}": array for name, array in asdict(self).items()}

    def distances(self, item: Snapshot) -> Doubles:
        """Distance by each measure, float64 [n_measures]; NaN where unknown."""
        with np.errstate(invalid="ignore"):
            z = self.scaled_features(item)
            along = self.components @ z
            n_outside = max(1, np.isfinite(self.feature_scale).sum() - len(along))
            outside = max(0.0, float(z @ z - along @ along)) / n_outside
            inside = (np.square(along, dtype=np.float64) / self.component_variance).sum()
            deviations = np.abs(self.scaled_contacts(item))
            largest = np.fmax.reduce(deviations, axis=1, initial=-1.0)
            of_contacts = np.where(largest < 0, np.nan, largest)
        of_features = [math.nan, math.nan]
        if np.isfinite(item.features[0]):
            of_features = [math.sqrt(outside), math.sqrt(inside / max(1, len(along)))]
        found = [*of_features, self._covariance_distance(item), *of_contacts]
        n_lost = float(np.count_nonzero(self.lost(item)))
        return np.array([*(item.certainty * value for value in found), n_lost])

    def scaled_features(self, item: Snapshot) -> Floats:
        """Deviations of the features, float32 [n_features]."""
        return np.asarray((item.features - self.feature_mean) / self.feature_scale, np.float32)

    def scaled_contacts(self, item: Snapshot) -> Doubles:
        """Deviations of level and mains of the raw contacts, float64 [2, n_contacts]."""
        return np.asarray((item.contacts - self.contact_mean) / self.contact_scale)

    def lost(self, item: Snapshot) -> Mask:
        """Contacts that are bad and were not in calibration."""
        return np.asarray(item.lost & np.isfinite(self.contact_mean[0]))

    def _covariance_distance(self, item: Snapshot) -> float:
        known = np.isfinite(np.diag(item.covariance)) & np.isfinite(np.diag(self.covariance))
        if np.count_nonzero(known) < 2:
            return math.nan
        whole = known.all()
        pick = np.ix_(known, known)
        mean = self.covariance if whole else self.covariance[pick]
        scale = np.sqrt(np.diag(mean))
        now = (item.covariance if whole else item.covariance[pick]) / (scale[:, None] * scale)
        if not np.isfinite(now).all():  # two that were bad in turn
            return math.nan
        return riemannian_distance(shrunk(now), shrunk(mean / (scale[:, None] * scale)))


def shrunk(covariance: Doubles) -> Doubles:
    """Covariance in units of calibration, shrunk towards the identity."""
    return (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(len(covariance))


def riemannian_distance(one: Doubles, other: Doubles) -> float:
    """Affine-invariant distance of two covariances, per channel: root of the mean square."""
    values = scipy.linalg.eigh(one, other, eigvals_only=True, check_finite=False)
    return float(np.sqrt(np.square(np.log(np.maximum(values, 1e-12))).mean()))


def lost_limit(n_contacts: int, most_lost: float) -> float:
    """Contacts to lose at once for a flag, of so many, where calibration lost `most_lost`."""
    return max(_FEWEST_LOST, _SHARE_LOST * n_contacts, most_lost + 0.5)


def median_distances(recent: Doubles, span_s: float) -> Doubles:
    """What distances [n_times, n_measures] of so long exceeded for 7.5 s: float64 [n_measures].

    Of 15 s that is the median, of 7.5 s the minimum; NaN of less, or where nothing is known.
    """
    share = 1 - MEDIAN_S / 2 / max(span_s, PERIOD_S)
    if share < 0:
        return np.full(recent.shape[1], np.nan)
    ordered = np.sort(recent, axis=0)  # NaN come last
    n_more = np.maximum(np.isfinite(recent).sum(axis=0), 1) - 1
    row = (np.minimum(share, 0.5) * n_more).astype(np.int64)
    return np.asarray(ordered[row, np.arange(recent.shape[1])])


class DriftMonitor:
    """Distance of a window from calibration over the threshold of a flag, 1 and more is one.

    Between updates the last value holds; NaN in the first 16 s, and after a gap. `on_event` is
    called with ``("drift", drift=…, measure=…, contacts=…, reason=…)`` where a flag begins,
    ``("drift_over", …)`` where it ends, and every 10 s with ``trend``: what the contacts changed
    since calibration, `gain_db` and `mains_db`, in whole dB, None where a contact is bad.
    """

    def __init__(
        self, inputs: DriftInput, model: DriftModel, on_event: Callable[..., None] | None = None
    ) -> None:
        shapes = (model.feature_mean.size, *model.contact_mean.shape, len(model.covariance))
        expected = (inputs.n_features, 2, len(inputs.contacts), inputs.channels.size)
        if shapes != expected:
            raise BundleError(f"drift: arrays of {shapes} do not fit {expected}: fit it again")
        self._inputs, self._model, self._on_event = inputs, model, on_event
        self.reset()

    def reset(self) -> None:
        """Forget everything; a flag ends without an event."""
        self._inputs.reset()
        self._recent: deque[tuple[float, Doubles]] = deque()  # s, distances
        self._value, self._flagged, self._t_trend = math.nan, False, -math.inf

    def __call__(self, window: Window, embedding: Embedding) -> float:
        """Distance over threshold by the measure that is largest."""
        if not self._inputs.due(window):
            return self._value
        item = self._inputs(window, embedding)
        if not np.isfinite(item.features[:1]).any():
            self._recent.clear()
        else:
            self._recent.append((item.t_stop, self._model.distances(item)))
        while self._recent and self._recent[0][0] <= item.t_stop - MEDIAN_S:
            self._recent.popleft()
        ratios = np.full(len(MEASURES), np.nan)
        if self._recent:
            found = np.stack([distances for _, distances in self._recent])
            ratios = median_distances(found, item.t_stop - self._recent[0][0])
            ratios /= self._model.thresholds
        self._value = float(np.fmax.reduce(ratios))
        if self._on_event is not None:
            self._report(self._on_event, item, ratios)
        return self._value

    def _report(self, on_event: Callable[..., None], item: Snapshot, ratios: Doubles) -> None:
        if self._value >= 1 and not self._flagged:
            self._flagged = True
            number = int(np.nanargmax(ratios))
            measure = MEASURES[number]
            contacts = self._contributors(item, number)
            reason = f"{measure} {self._value:.2g} times the threshold"
            reason += f": {list_words(contacts)}" if contacts else ""
            about = {"measure": measure, "contacts": contacts, "reason": reason}
            on_event("drift", drift=self._value, **about)
        elif self._flagged and not self._value >= _OVER:
            self._flagged = False
            on_event("drift_over", drift=self._value)
        if not item.t_stop - self._t_trend < _TREND_S:
            changes = item.contacts - self._model.contact_mean
            if self._inputs.contacts and np.isfinite(changes).any():
                self._t_trend = item.t_stop
                gain_db, mains_db = (
                    [round(value) if math.isfinite(value) else None for value in row]
                    for row in changes.tolist()
                )
                on_event("trend", gain_db=gain_db, mains_db=mains_db)

    def _contributors(self, item: Snapshot, number: int) -> list[str]:
        """Contacts that are lost, and those that contribute most to a measure that knows them."""
        names, model = self._inputs.contacts, self._model
        lost = [names[row] for row in np.flatnonzero(model.lost(item)).tolist()]
        if MEASURES[number] == "lost contacts":
            return lost[:_MAX_NAMED]
        if MEASURES[number] in ("level", "mains"):
            share = np.abs(model.scaled_contacts(item)[number - 3])
        elif MEASURES[number] == "covariance":
            names = tuple(self._inputs.montage.names[row] for row in self._inputs.channels)
            with np.errstate(invalid="ignore"):
                share = np.abs(np.log(np.diag(item.covariance) / np.diag(model.covariance)))
        else:
            names, z = self._inputs.montage.names, model.scaled_features(item)
            if z.size % len(names) or z.size == len(names):
                return lost[:_MAX_NAMED]
            share = np.square(z).reshape(len(names), -1).mean(axis=1)
        share = np.nan_to_num(share, nan=0.0)
        largest = [row for row in np.argsort(-share).tolist() if share[row] >= share.max() / 2 > 0]
        return list(dict.fromkeys([*lost, *(names[row] for row in largest)]))[:_MAX_NAMED]
