"""Pretraining objectives, each with its equation in the docstring."""

from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.learn.objectives.distillation import Distillation, Teacher, WholeSpectrograms
from rtbrain.learn.objectives.objective import Batch, Examples, Objective
from rtbrain.learn.objectives.patches import FourierInversion, FrequencyMaintain, MaskedPatches
from rtbrain.learn.objectives.popt import PopulationObjective, PopulationPairs, standardise_inputs

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
    "WholeSpectrograms",
    "standardise_inputs",
]
