"""Pretraining objectives, one a file, the equation in its docstring."""

from rtbrain.offline.objectives.biofame import FrequencyMaintain, Patches
from rtbrain.offline.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.offline.objectives.distillation import Distillation, WholeSpectrograms
from rtbrain.offline.objectives.guide import Guide
from rtbrain.offline.objectives.neurobert import FourierInversion, MaskedPatches
from rtbrain.offline.objectives.objective import Batch, Examples, Objective
from rtbrain.offline.objectives.popt import Population, PopulationPairs
from rtbrain.offline.objectives.standardise import standardise_inputs

__all__ = [
    "Batch",
    "Distillation",
    "Examples",
    "FourierInversion",
    "FrequencyMaintain",
    "Guide",
    "MaskedPatches",
    "MaskedSpectrogram",
    "MaskedSpectrograms",
    "Objective",
    "Patches",
    "Population",
    "PopulationPairs",
    "WholeSpectrograms",
    "standardise_inputs",
]
