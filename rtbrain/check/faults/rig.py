"""What the rows of the matrix of faults work on: a synthetic patient and decoders fitted on it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rtbrain.bundling import build_decoder
from rtbrain.check.faults.matrix import DecoderParts, FaultCase, Rig
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Floats, Montage, to_samples

SEED = 0


N_CHANNELS = 12


_SFREQ_HZ = 2048.0


_CALIBRATION_S = 40.0


SMALL_SIZES = {
    "brainbert": {
        "hidden_dim": 32,
        "layer_dim_feedforward": 64,
        "nhead": 2,
        "encoder_num_layers": 2,
        "input_dim": 40,
    },
    "popt": {
        "input_dim": 32,
        "hidden_dim": 32,
        "layer_dim_feedforward": 64,
        "n_head": 2,
        "n_layers": 2,
    },
}


@dataclass(frozen=True, slots=True)
class RigFactory:
    """The rigs of a run, whose decoders are fitted when first asked for."""

    folder: Path
    rig: Callable[[FaultCase], Rig]


def new_rig_factory(folder: Path) -> RigFactory:
    """Patient, decoders and a folder a case."""
    patient = Patient(SEED, n_channels=N_CHANNELS, sfreq_hz=_SFREQ_HZ, classes=("rest", "speech"))

    @cache
    def signal(duration_s: float) -> Floats:
        return _signal(patient, duration_s)

    @cache
    def bundle(kind: str) -> Path:
        return _fitted(kind, patient, folder / f"bundle-{kind}")

    def decoder(kind: str, montage: Montage) -> DecoderParts:
        return _decoder(bundle(kind), montage)

    def rig(case: FaultCase) -> Rig:
        own = folder / f"row-{case.number}{'-lsl' if case.lsl else ''}-{case.check.__name__}"
        own.mkdir()
        return Rig(own, patient.montage, signal, bundle, decoder)

    return RigFactory(folder, rig)


def _signal(patient: Patient, duration_s: float) -> Floats:
    n_samples = to_samples(duration_s, patient.sfreq_hz)
    start = round(_CALIBRATION_S * patient.sfreq_hz)
    source = SyntheticSource(
        patient, duration_s=duration_s, chunk_samples=n_samples, start_sample=start
    )
    (chunk,) = iter(lambda: source.pull(0.0), None)
    chunk.data.flags.writeable = False
    return chunk.data


def _fitted(kind: str, patient: Patient, folder: Path) -> Path:
    recipe = load_settings("edge" if kind == "edge" else "linear", Recipe)
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    if kind == "edge":
        plain["encoder"] |= SMALL_SIZES
    if kind == "car":
        plain["signal"] = [
            {"reference": "car"} if "reference" in step else step for step in plain["signal"]
        ]
    quick_fit(parse_settings(plain, Recipe, where=kind), patient, _CALIBRATION_S, folder)
    return folder


def _decoder(bundle: Path, montage: Montage) -> DecoderParts:
    features, readout = build_decoder(read_bundle(bundle), montage)
    return DecoderParts(features.signal, features.cut, features.encode, readout)
