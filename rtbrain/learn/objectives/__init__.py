"""Pretraining objectives, one a file, the equation in its docstring."""

from rtbrain.learn.objectives.biofame import FrequencyMaintain, WaveformPatches
from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.learn.objectives.distillation import Distillation, WholeSpectrograms
from rtbrain.learn.objectives.neurobert import FourierInversion, MaskedPatches
from rtbrain.learn.objectives.objective import Batch, Examples, Objective
from rtbrain.learn.objectives.popt import PopulationObjective, PopulationPairs
from rtbrain.learn.objectives.popt_inputs import standardise_inputs
from rtbrain.learn.objectives.teacher import Teacher

__all__ = [
    "Batch",
    "Distillation",
    "Examples",
    "FourierInversion",
    "FrequencyMaintain",
    "MaskedPatches",
    "MaskedSpectrogram",
    "MaskedSpectrograms",
    "Objective",
    "PopulationObjective",
    "PopulationPairs",
    "Teacher",
    "WaveformPatches",
    "WholeSpectrograms",
    "standardise_inputs",
]
