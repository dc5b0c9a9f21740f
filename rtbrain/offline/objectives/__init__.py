"""Pretraining objectives, one a file, the equation in its docstring."""

from rtbrain.offline.objectives.biofame import FrequencyMaintain, Patches
from rtbrain.offline.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.offline.objectives.neurobert import FourierInversion, MaskedPatches
from rtbrain.offline.objectives.objective import Batch, Examples, Objective
from rtbrain.offline.objectives.popt import Population, PopulationPairs
from rtbrain.offline.objectives.standardise import standardise_inputs

__all__ = [
    "Batch",
    "Examples",
    "FourierInversion",
    "FrequencyMaintain",
    "MaskedPatches",
    "MaskedSpectrogram",
    "MaskedSpectrograms",
    "Objective",
    "Patches",
    "Population",
    "PopulationPairs",
    "standardise_inputs",
]
