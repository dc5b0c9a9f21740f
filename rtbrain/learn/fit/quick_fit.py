"""A decoder fitted on a stretch of a synthetic patient, run faster than real time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts, describe_encoder, encoder_of_recipe
from rtbrain.config import Recipe
from rtbrain.decoder import write_bundle
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.embed_recording import embed_recording
from rtbrain.learn.fit.features import ChannelDropout
from rtbrain.learn.fit.readout import fit_logistic
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource


@dataclass(frozen=True, slots=True)
class QuickFit:
    """What fitting gave.

    Attributes
    ----------
    validation_score : float
        Balanced accuracy over time blocks held out of the calibration.
    neural_delay_s : float
        Algorithmic part of a decode's age, s.
    hop_s : float
        Between decodes, s.
    n_windows : int
        Windows that it was fitted on.
    encoder : str
        Which one, as `rtbrain.bundling.describe_encoder` has it.
    """

    validation_score: float
    neural_delay_s: float
    hop_s: float
    n_windows: int
    encoder: str


def quick_fit(recipe: Recipe, patient: Patient, seconds: float, folder: Path) -> QuickFit:
    """Fit a readout on the patient's first seconds and write the bundle.

    Parameters
    ----------
    recipe : Recipe
        Front end and encoder.
    patient : Patient
        Whose signal.
    seconds : float
        How much of it.
    folder : Path
        The bundle; must not exist.
    """
    hop_s = recipe.window.hop_s
    if hop_s is None:
        raise SettingsError("a patient is calibrated on sliding windows: give window.hop_s")
    model = encoder_of_recipe(recipe)
    pipeline = build_feature_pipeline(recipe, patient.montage, model=model)
    source = SyntheticSource(patient, duration_s=seconds)
    thinning = ChannelDropout(pipeline.encoder)
    with_popt = model is not None and model.popt is not None
    encoder = thinning if with_popt else pipeline.encoder
    whole = embed_recording(source, pipeline.cut, pipeline.spectrogram, encoder).embeddings
    rows = thinning.rows(whole) if with_popt else whole
    at = np.rint(np.array([row.t_neural for row in rows]) * patient.sfreq_hz).astype(np.int64)
    n_shared = round(recipe.window.length_s / hop_s)
    fitted = fit_logistic(
        np.stack([row.population for row in rows]),
        patient.state_at(at),
        n_classes=len(patient.classes),
        embargo_windows=n_shared * len(rows) // len(whole),
    )
    encoder_name = describe_encoder(recipe)
    report = {
        "encoder": encoder_name,
        "balanced_accuracy_blocked": fitted.validation_score,
        "windows": len(whole),
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
    )
    write_bundle(folder, manifest, patient.montage, tensors, report)
    return QuickFit(
        fitted.validation_score,
        pipeline.neural_delay_s,
        hop_s,
        len(whole),
        encoder_name,
    )
