"""A decoder fitted on a stretch of a synthetic patient, run faster than real time."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts, decode_delay_s, describe_encoder, encoder_of_recipe
from rtbrain.config import Recipe
from rtbrain.decoder import MOST_REMEMBERED, write_bundle
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.features import LEAST_EMBARGO_S, RandomChannelSubset, gather, windows_apart
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import (
    FittedReadout,
    InnerFolds,
    contributions_of,
    fit_classes,
    remember,
)
from rtbrain.learn.fit.splits import subsample
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Floats, Ints

_MOST, _N_FOLDS = 1000, 4  # windows and blocks to choose the penalty on


@dataclass(frozen=True, slots=True)
class QuickFit:
    """What a fit on a synthetic patient gave."""

    validation_score: float  # balanced accuracy over blocks of time held out of the calibration
    neural_delay_s: float  # algorithmic part of a decode's latency, s
    hop_s: float
    n_windows: int
    encoder: str


def quick_fit(recipe: Recipe, patient: Patient, seconds: float, folder: Path) -> QuickFit:
    """Fit a readout on the patient's first seconds and write the bundle."""
    hop_s = recipe.window.hop_s
    if hop_s is None:
        raise SettingsError("a patient is calibrated on sliding windows: give window.hop_s")
    model = encoder_of_recipe(recipe)
    montage = patient.montage
    pipeline = build_feature_pipeline(recipe, montage, model=model, whole_windows=True)
    source = SyntheticSource(patient, duration_s=seconds)
    encoders: dict[str, Any] = {"whole": pipeline.encoder}
    if model is not None and model.popt is not None:
        encoders["fewer"] = RandomChannelSubset(encoders["whole"].population)
    every = windows_apart(hop_s)
    found = gather(iter(lambda: source.pull(0.0), None), pipeline, encoders, every=every)
    n_rows = len(encoders)  # of each window, in the order of time
    features = np.stack(list(found.rows.values()), axis=1).reshape(n_rows * found.t_stop.size, -1)
    at = np.rint(found.t_neural * patient.sfreq_hz).astype(np.int64)
    labels = np.repeat(patient.state_at(at), n_rows)
    fitted = fit_logistic(
        features,
        labels,
        n_classes=len(patient.classes),
        embargo_windows=round(max(recipe.window.length_s, LEAST_EMBARGO_S) / (hop_s * every))
        * n_rows,
    )
    # Of the windows that it was fitted on: a minute is not split again for this.
    contributions = contributions_of(fitted.readout, features, np.arange(labels.size), labels)
    delay_s = decode_delay_s(recipe, pipeline, contributions)
    encoder_name = describe_encoder(recipe)
    moments = np.repeat(found.t_stop, n_rows)
    labelled = Labelled(np.arange(labels.size), labels, patient.classes, moments)
    report = {
        "encoder": encoder_name,
        "balanced_accuracy_blocked": fitted.validation_score,
        "windows": int(found.t_stop.size),
        "c": fitted.c,
    }
    manifest, tensors = bundle_parts(
        recipe,
        model,
        pipeline,
        fitted.readout,
        patient.classes,
        patient.montage,
        trained_on=f"synthetic patient {patient.seed} of family {patient.family}, {seconds:g} s",
        feature_mean=fitted.feature_mean,
        neural_delay_s=delay_s,
        memory=remember(features, labelled, fitted, MOST_REMEMBERED),
    )
    write_bundle(folder, manifest, patient.montage, tensors, report)
    return QuickFit(
        fitted.validation_score,
        delay_s,
        hop_s,
        int(found.t_stop.size),
        encoder_name,
    )


def fit_logistic(
    features: Floats, labels: Ints, *, n_classes: int, embargo_windows: int
) -> FittedReadout:
    """Multinomial logistic readout of consecutive windows, its penalty chosen on time blocks."""
    absent = sorted(set(range(n_classes)) - set(labels.tolist()))
    if absent:
        raise ValueError(f"no window is labelled {absent}: record more of these classes")
    inside = consecutive_blocks(labels, embargo_windows=embargo_windows)
    everything = np.arange(labels.size)
    return fit_classes(features, everything, labels, n_classes, inside, calibrate=False)


def blocked_folds(n_windows: int, *, n_folds: int, embargo_windows: int) -> list[tuple[Ints, Ints]]:
    """Contiguous test blocks, training rows kept an embargo away from them."""
    rows = np.arange(n_windows)
    folds = []
    for block in np.array_split(rows, n_folds):
        far = (rows < block[0] - embargo_windows) | (rows > block[-1] + embargo_windows)
        folds.append((rows[far], block))
    return folds


def consecutive_blocks(labels: Ints, *, embargo_windows: int) -> InnerFolds:
    """Blocks of consecutive windows; those that lack a class on one side are left out."""
    rows = subsample(np.arange(labels.size), _MOST)
    embargo = math.ceil(embargo_windows * rows.size / labels.size)
    folds = [
        (train, test)
        for train, test in blocked_folds(rows.size, n_folds=_N_FOLDS, embargo_windows=embargo)
        if min(np.unique(labels[rows[part]]).size for part in (train, test)) > 1
    ]
    return InnerFolds(rows, folds)
