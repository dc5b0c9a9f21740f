"""What the rows of the matrix of faults work on: a synthetic patient and decoders fitted on it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .calibration import calibrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtbrain.offline.fault_matrix import Case, Decoder, Rig
    from rtbrain.stream.patient import Patient
    from rtbrain.types import Floats, Montage

SEED = 0
N_CHANNELS = 12
_SFREQ_HZ = 2048.0
_CALIBRATION_S = 40.0
SMALL = {
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
class Bench:
    """The rigs of a run, whose decoders are fitted when first asked for.

    Attributes
    ----------
    folder : Path
        Scratch.
    rig : callable
        Gives a case its rig.
    """

    folder: Path
    rig: "Callable[[Case], Rig]"


def new_bench(folder: Path) -> Bench:
    """Patient, decoders and a folder a case.

    Parameters
    ----------
    folder : Path
        Scratch; its content is left to the caller.
    """
    from rtbrain.offline.fault_matrix import Rig
    from rtbrain.stream.patient import Patient

    patient = Patient(SEED, n_channels=N_CHANNELS, sfreq_hz=_SFREQ_HZ, classes=("rest", "speech"))

    @cache
    def signal(duration_s: float) -> "Floats":
        return _signal(patient, duration_s)

    @cache
    def bundle(kind: str) -> Path:
        return _fitted(kind, patient, folder / f"bundle-{kind}")

    def decoder(kind: str, montage: "Montage") -> "Decoder":
        return _decoder(bundle(kind), montage)

    def rig(case: "Case") -> Rig:
        own = folder / f"row-{case.number}{'-lsl' if case.lsl else ''}-{case.check.__name__}"
        own.mkdir()
        return Rig(own, patient.montage, signal, bundle, decoder)

    return Bench(folder, rig)


def _signal(patient: "Patient", duration_s: float) -> "Floats":
    from rtbrain.stream.synthetic import SyntheticSource
    from rtbrain.types import samples

    n_samples = samples(duration_s, patient.sfreq_hz)
    start = round(_CALIBRATION_S * patient.sfreq_hz)
    source = SyntheticSource(
        patient, duration_s=duration_s, chunk_samples=n_samples, start_sample=start
    )
    (chunk,) = iter(lambda: source.pull(0.0), None)
    chunk.data.flags.writeable = False
    return chunk.data


def _fitted(kind: str, patient: "Patient", folder: Path) -> Path:
    from rtbrain.config import Recipe, load_settings, parse_settings

    recipe = load_settings("edge" if kind == "edge" else "linear", Recipe)
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    if kind == "edge":
        plain["encoder"] |= SMALL
    if kind == "car":
        plain["signal"] = [
            {"reference": "car"} if "reference" in step else step for step in plain["signal"]
        ]
    calibrate(parse_settings(plain, Recipe, where=kind), patient, _CALIBRATION_S, folder)
    return folder


def _decoder(bundle: Path, montage: "Montage") -> "Decoder":
    from rtbrain.build import build_decoder
    from rtbrain.decoder import read_bundle
    from rtbrain.offline.fault_matrix import Decoder

    encoding, readout = build_decoder(read_bundle(bundle), montage)
    return Decoder(encoding.signal, encoding.cut, encoding.encode, readout)
