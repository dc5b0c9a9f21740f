"""What the rows of the fault matrix work on: a synthetic patient, and decoders fitted on it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from rtbrain.bundling import build_decoder
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.stage import SignalStage, Stage
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Chunk, Decode, Embedding, Floats, Montage, Window, to_samples

# What was observed, and whether that is what must hold.
Finding = tuple[str, bool]

_SEED, _N_CHANNELS, _SFREQ_HZ = 0, 12, 2048.0
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
class DecoderParts:
    """A decoder as the live loop runs it."""

    signal: SignalStage
    cut: Callable[[Chunk], Iterator[Window]]
    encode: Callable[[Window], Embedding]
    readout: Stage[Embedding, Decode]

    def decode(self, chunks: Sequence[Chunk]) -> list[Decode]:
        """Every decode of these chunks."""
        return [self.readout(self.encode(window)) for chunk in chunks for window in self.cut(chunk)]


@dataclass(frozen=True, slots=True)
class Rig:
    """What a case may use: a folder of its own, the patient, and decoders by kind.

    `signal` makes so many seconds of the patient, float32 [n_channels, n_samples], µV; kinds of
    decoders are ``linear``, ``car`` (linear, common average) and ``edge``.
    """

    folder: Path
    lsl: bool
    montage: Montage
    signal: Callable[[float], Floats]
    bundle: Callable[[str], Path]

    def decoder(self, kind: str) -> DecoderParts:
        """New decoder of a kind."""
        features, readout = build_decoder(read_bundle(self.bundle(kind)), self.montage)
        return DecoderParts(features.signal, features.cut, features.encode, readout)


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One check of one fault, in memory or over real LSL."""

    number: int
    check: Callable[[Rig], Finding]
    lsl: bool = False


def rig_maker(folder: Path) -> Callable[[FaultCase], Rig]:
    """Rigs of one patient, whose signals and decoders are made when first needed."""
    patient = Patient(_SEED, n_channels=_N_CHANNELS, sfreq_hz=_SFREQ_HZ, classes=("rest", "speech"))

    @cache
    def signal(duration_s: float) -> Floats:
        return _signal(patient, duration_s)

    @cache
    def bundle(kind: str) -> Path:
        return _fitted(kind, patient, folder / f"bundle-{kind}")

    def rig(case: FaultCase) -> Rig:
        own = folder / f"row-{case.number}{'-lsl' if case.lsl else ''}-{case.check.__name__}"
        own.mkdir()
        return Rig(own, case.lsl, patient.montage, signal, bundle)

    return rig


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


def cut_signal(
    data: Floats, n_samples: Sequence[int], sfreq_hz: float, *, start_s: float = 100.0
) -> list[Chunk]:
    """Cut a signal into chunks of these lengths, over and over."""
    chunks, first, turn = [], 0, 0
    stamps = start_s + np.arange(data.shape[1]) / sfreq_hz
    while first < data.shape[1]:
        stop = min(first + n_samples[turn % len(n_samples)], data.shape[1])
        chunks.append(Chunk(np.ascontiguousarray(data[:, first:stop]), stamps[first:stop], first))
        first, turn = stop, turn + 1
    return chunks
