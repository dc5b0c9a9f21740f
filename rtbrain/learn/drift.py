"""When a signal is unlike calibration: distances of held-out time, and the threshold of a flag."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.config import LabelSettings
from rtbrain.decoder import Bundle
from rtbrain.decoder.drift import (
    MEASURES,
    MEDIAN_S,
    DriftModel,
    lost_limit,
    median_distances,
)
from rtbrain.decoder.drift_input import Snapshot
from rtbrain.learn.snapshots import APART_S, snapshots_of
from rtbrain.recording.recording import Recording
from rtbrain.terminal import OnProgress
from rtbrain.types import Doubles, Floats, Ints, Mask, Times

# The Gumbel rule: maxima of blocks, at most one false flag an hour, and how sure.
BLOCK_S = 30.0
_RATE_PER_H = 1.0
_SURE = 1.645  # upper 95 %, one-sided
REDUCED = -math.log(-math.log(1 - BLOCK_S * _RATE_PER_H / 3600))  # y, 4.78
PROMISED_BLOCKS, FEWEST_BLOCKS = 40, 4  # 20 minutes; below 2 minutes nothing is calibrated
# Tails of several measures with artifacts are heavier than Gumbel's: by the rule alone simulated
# patients had one flag an hour, up to 1.04 times the threshold, and induced drifts 2.7 to 30 times.
_MARGIN = 1.15
_FOLDS = 5
_EMBARGO_S = 15.0
_COMPONENT_ROWS, _MOST_COMPONENTS, _ROWS_PER_COMPONENT = 600, 32, 8
_COMPONENTS_APART_S = 2.5
_COMPONENT_SHRINKAGE = 0.1
_LEAST_DB = 0.25  # a contact that varies by less is no more certain than this
_LEAST_SCALE = 0.01  # of the median feature: one that varies less says nothing
_KNOWN_SHARE = 0.9


def gumbel_threshold(maxima: Doubles) -> float:
    """Threshold that maxima of blocks pass at most once an hour, at the upper 95 % of its error.

    References
    ----------
    Coles 2001, An introduction to statistical modeling of extreme values,
    doi:10.1007/978-1-4471-3675-0: moments of the Gumbel distribution and the variance of a
    quantile.
    """
    scale = float(np.std(maxima, ddof=1)) * math.sqrt(6) / math.pi
    location, y = float(np.mean(maxima)) - 0.5772 * scale, REDUCED
    error = scale * math.sqrt((1.11 + 0.52 * y + 0.61 * y**2) / len(maxima))
    return location + y * scale + _SURE * error


def calibrate_drift(
    bundle: Bundle,
    recordings: Sequence[Recording],
    labels: LabelSettings | None,
    names: Sequence[str] | None,
    on_progress: OnProgress,
    kept: Sequence[Sequence[Snapshot]] | None = None,
) -> Bundle:
    """The bundle with its drift part, from recordings that are played through it.

    Each fifth of a recording is held out in turn; its distances are by what was fitted on the
    others. Recordings of less than two minutes in all leave the bundle as it is, but for a word in
    its report. `kept` are the snapshots of each recording, where they were taken before.
    """
    tensors = {key: it for key, it in bundle.tensors.items() if not key.startswith("drift.")}
    bundle = replace(bundle, tensors=tensors)
    if sum(one.duration_s for one in recordings) < FEWEST_BLOCKS * BLOCK_S:
        text = "Drift is not watched: that takes 2 minutes of recording to calibrate, better 20."
        return replace(bundle, report=bundle.report | {"drift": {"text": text}})
    snapshots: list[Snapshot] = []
    run: list[int] = []
    # On busy cores, threads that wait for each other cost small products far more than they save.
    with threadpool_limits(1, "blas"):
        for number, recording in enumerate(recordings):
            what = f"drift {number + 1} of {len(recordings)}"
            if kept is not None:
                found = list(kept[number])
                on_progress(recording.n_samples, recording.n_samples, what)
            else:
                of = recording, labels, names, len(recordings), what, on_progress
                found = list(snapshots_of(bundle, *of))
            snapshots += found
            run += [number] * len(found)
        model, report = fit_drift(snapshots, np.array(run, np.int64))
    if model is None:
        text = "Drift is not watched: too little of the recording is valid to calibrate it."
        return replace(bundle, report=bundle.report | {"drift": {"text": text}})
    return replace(
        bundle,
        tensors=bundle.tensors | model.as_tensors(),
        report=bundle.report | {"drift": report},
    )


def fit_drift(items: Sequence[Snapshot], run: Ints) -> tuple[DriftModel | None, dict[str, Any]]:
    """Model of snapshots of runs int64 [n_items], and what to report; None where they are few."""
    t_s = np.array([item.t_stop for item in items])
    blocks = _blocks(t_s, run)
    n_blocks = np.unique(blocks[blocks >= 0]).size
    if n_blocks < FEWEST_BLOCKS:
        return None, {}
    fold = np.concatenate(
        [np.arange(n) * _FOLDS // n for n in np.bincount(run).tolist() if n]
    )  # [n_items]
    held_out = np.full((len(items), len(MEASURES)), np.nan)
    for number in range(_FOLDS):
        test = fold == number
        far = ~test
        for one in np.unique(run[test]).tolist():
            inside = t_s[test & (run == one)]
            near = (t_s > inside[0] - _EMBARGO_S) & (t_s < inside[-1] + _EMBARGO_S)
            far &= ~(near & (run == one))
        fitted = _fit([items[row] for row in np.flatnonzero(far).tolist()], t_s[far])
        for row in np.flatnonzero(test).tolist():
            held_out[row] = fitted.distances(items[row])
    held_out = _medians(held_out, t_s, run)
    n_lost, held_out = held_out[:, -1], held_out[:, :-1]
    # Of each measure alone; then of the largest of them.
    by_measure = np.array([gumbel_threshold(_maxima(column, blocks)) for column in held_out.T])
    with np.errstate(invalid="ignore"):
        largest = np.nanmax(np.nan_to_num(held_out / by_measure, nan=0.0), axis=1)
    maxima = _maxima(largest, blocks)
    whole = _fit(items, t_s)
    max_lost = lost_limit(whole.contact_mean.shape[1], float(n_lost.max()))
    all_of_them = _MARGIN * gumbel_threshold(maxima)
    thresholds = np.append(by_measure * all_of_them, max_lost)
    model = replace(whole, thresholds=thresholds)
    values = largest / all_of_them
    flags = [_n_flags(t_s[run == one], values[run == one]) for one in np.unique(run).tolist()]
    return model, _report(n_blocks, flags, thresholds)


def _report(n_blocks: int, flags: Sequence[int], thresholds: Doubles) -> dict[str, Any]:
    minutes = n_blocks * BLOCK_S / 60
    text = (
        f"Drift: flagged where the signal is unlike these {minutes:.0f} min, about one false flag "
        "an hour or fewer"
    )
    if n_blocks < PROMISED_BLOCKS:
        text = (
            f"Drift is shown without a promise: it was calibrated on {minutes:.0f} min, and below "
            f"{PROMISED_BLOCKS * BLOCK_S / 60:.0f} min no rate of false flags can be stated"
        )
    text += f". On held-out time it flagged {', '.join(map(str, flags))} times"
    text += " (by recording)." if len(flags) > 1 else "."
    return {
        "text": text,
        "blocks": n_blocks,
        "promise": n_blocks >= PROMISED_BLOCKS,
        "held_out_flags_by_recording": list(flags),
        "thresholds": [
            None if value != value else [name, float(value)]
            for name, value in zip(MEASURES, thresholds.tolist(), strict=True)
        ],
    }


def _blocks(t_s: Times, run: Ints) -> Ints:
    """Block of 30 s of each item, int64 [n_items]; -1 where less than half of it is known."""
    if not t_s.size:
        return np.zeros(0, np.int64)
    block = np.floor(t_s / BLOCK_S).astype(np.int64)
    _, number, count = np.unique(
        np.stack((run, block)), axis=1, return_inverse=True, return_counts=True
    )
    usual = float(np.median(count))
    return np.where(count[number] >= usual / 2, number, -1)


def _maxima(values: Doubles, blocks: Ints) -> Doubles:
    """Largest of each block; of those alone that have one."""
    of = [values[blocks == one] for one in np.unique(blocks[blocks >= 0]).tolist()]
    found = np.array([np.nanmax(one) for one in of if np.isfinite(one).any()])
    return found if found.size > 1 else np.full(2, np.nan)


def _medians(distances: Doubles, t_s: Times, run: Ints) -> Doubles:
    """Medians over the last 15 s of a run, as `DriftMonitor` takes them."""
    out = np.empty_like(distances)
    first = 0
    for row in range(len(distances)):
        while run[first] != run[row] or t_s[first] <= t_s[row] - MEDIAN_S:
            first += 1
        out[row] = median_distances(distances[first : row + 1], t_s[row] - t_s[first])
    return out


def _n_flags(t_s: Times, values: Doubles) -> int:
    """How often values reach 1, a flag 30 s or more after the last."""
    last_s, n = -math.inf, 0
    for t in t_s[values >= 1].tolist():
        n += t - last_s >= BLOCK_S
        last_s = t
    return n


def _fit(items: Sequence[Snapshot], t_s: Times) -> DriftModel:
    """Model of these snapshots, its thresholds not yet set."""
    features = np.stack([item.features for item in items])
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = features.std(axis=0, dtype=np.float64).astype(np.float32)
    varies = deviation > _LEAST_SCALE * np.median(deviation)
    scale = np.where(varies, deviation, np.inf).astype(np.float32)
    components, variance = _components(features, mean, scale, t_s)
    contacts = np.stack([item.contacts for item in items])  # [T, 2, C]
    known = np.isfinite(contacts)
    enough = known.mean(axis=0) >= 1 - _KNOWN_SHARE / 2
    count = np.maximum(known.sum(axis=0), 1)
    level = np.where(known, contacts, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (contacts - level) ** 2, 0).sum(axis=0) / count)
    return DriftModel(
        mean,
        scale,
        components,
        variance,
        _mean_covariance(np.stack([item.covariance for item in items])),
        np.where(enough, level, np.nan),
        np.maximum(spread, _LEAST_DB),
        np.full(len(MEASURES), np.nan),
    )


def _components(
    features: Floats, mean: Floats, scale: Floats, t_s: Times
) -> tuple[Floats, Doubles]:
    """Principal components float32 [n_components, n_features] and their shrunk variances."""
    apart_s = max(_COMPONENTS_APART_S, len(t_s) * APART_S / _COMPONENT_ROWS)
    rows = np.unique(np.floor(t_s / apart_s), return_index=True)[1][:_COMPONENT_ROWS]
    z = ((features[rows] - mean) / scale).astype(np.float32)
    n = min(_MOST_COMPONENTS, len(rows) // _ROWS_PER_COMPONENT, z.shape[1] // 2)
    power, left = np.linalg.eigh((z @ z.T).astype(np.float64) / len(rows))
    power, left = power[::-1][:n], left[:, ::-1][:, :n]
    positive = power > 1e-6 * max(power[:1].max(initial=0.0), 1e-12)
    power, left = power[positive], left[:, positive]
    components = (left.T.astype(np.float32) @ z) / np.sqrt(len(rows) * power)[:, None]
    mean_power = power.mean() if power.size else 0.0
    shrunk = (1 - _COMPONENT_SHRINKAGE) * power + _COMPONENT_SHRINKAGE * mean_power
    return components.astype(np.float32), shrunk


def _mean_covariance(covariances: Doubles) -> Doubles:
    """Log-Euclidean mean of covariances [T, C, C]; NaN for channels that were often bad."""
    finite = np.isfinite(np.diagonal(covariances, axis1=1, axis2=2))  # [T, C]
    used: Mask = finite.mean(axis=0) >= _KNOWN_SHARE
    out = np.full(covariances.shape[1:], np.nan)
    rows = np.isfinite(covariances[:, used][:, :, used]).all(axis=(1, 2))
    if np.count_nonzero(used) < 2 or not rows.any():
        return out
    some = covariances[rows][:: max(1, np.count_nonzero(rows) // _COMPONENT_ROWS)]
    some = some[:, used][:, :, used]
    scale = np.diagonal(some, axis1=1, axis2=2).mean(axis=0)
    floor = 1e-6 * np.diag(scale)
    values, vectors = np.linalg.eigh(some + floor)
    values = np.maximum(values, 1e-9 * values[:, -1:])  # a common average leaves a rank out
    logs = (vectors * np.log(values)[:, None]) @ np.swapaxes(vectors, 1, 2)
    values, axes = np.linalg.eigh(logs.mean(axis=0))
    out[np.ix_(used, used)] = (axes * np.exp(values)) @ axes.T
    return out
