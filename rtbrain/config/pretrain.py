"""Pretraining: what is learned from a corpus without labels, and how."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from rtbrain.config.base import Settings
from rtbrain.config.training import Sizes, TrainingSettings

__all__ = [
    "BioFAMEObjective",
    "BrainBERTObjective",
    "NeuroBERTObjective",
    "ObjectiveSettings",
    "PopTObjective",
    "PretrainSettings",
]


class BrainBERTObjective(Settings):
    """Masked spectrograms, from a corpus of form spectrogram.

    Attributes
    ----------
    sizes : str or dict
        Of the encoder, by name or by number.
    n_frames : int
        Frames of a window that --dry-run prices without a corpus.
    masking : str
        ``fixed``, or ``adaptive`` for superlets.
    upstream_mask_labels : bool
        Labels of masked cells as the released code has them, by a slip.
    alpha, gamma : float
        Weight of the cells that stand out, and by how much they do, in z-scores.
    """

    sizes: Sizes = "large"
    n_frames: PositiveInt = 186
    masking: Literal["fixed", "adaptive"] = "fixed"
    upstream_mask_labels: bool = False
    alpha: NonNegativeFloat = 2.0
    gamma: NonNegativeFloat = 1.0


class PopTObjective(Settings):
    """Whether windows follow each other and channels were replaced, from embeddings.

    Attributes
    ----------
    sizes : str or dict
        Of the encoder, by name or by number.
    subset_sizes : tuple of int
        How many channels an example has, drawn evenly.
    replace_share : float
        Of the channels, that are asked about; half of them are replaced.
    blur_voxels : float
        Standard deviation of noise on positions.
    upstream_negatives : bool
        Pairs that do not follow may be the same window, as in the released code.
    standardise : bool
        Begin with a projection that takes each feature to its z-score over the subjects that are
        trained on; as published it begins with weights that know nothing of the features.
    """

    sizes: Sizes = "published"
    subset_sizes: tuple[PositiveInt, ...] = Field(
        default=(10, 20, 30, 40, 50, 60, 70, 80, 90, 100), min_length=1
    )
    replace_share: float = Field(default=0.1, gt=0, lt=1)
    blur_voxels: NonNegativeFloat = 0.0
    upstream_negatives: bool = False
    standardise: bool = False


class NeuroBERTObjective(Settings):
    """Waveforms behind masked patches by way of their spectrum, from a corpus of form patches.

    Attributes
    ----------
    sizes : str or dict
        Of the encoder, by name or by number.
    n_frames : int
        Patches of a window that --dry-run prices without a corpus.
    mask_share : float
        Share of the patches that is hidden.
    """

    sizes: Sizes = "published"
    n_frames: PositiveInt = 100
    mask_share: float = Field(default=0.3, gt=0, lt=1)


class BioFAMEObjective(Settings):
    """Waveforms from latents of which half are hidden, from a corpus of form patches.

    Attributes
    ----------
    sizes : str or dict
        Of the encoder, by name or by number.
    n_frames : int
        Patches of a window that --dry-run prices without a corpus.
    mask_share : float
        Share of the patches that is hidden.
    """

    sizes: Sizes = "published"
    n_frames: PositiveInt = 100
    mask_share: float = Field(default=0.5, gt=0, lt=1)


class ObjectiveSettings(Settings):
    """What is learned: exactly one of its keys is set."""

    brainbert: BrainBERTObjective | None = None
    popt: PopTObjective | None = None
    neurobert: NeuroBERTObjective | None = None
    biofame: BioFAMEObjective | None = None

    @model_validator(mode="after")
    def _one_objective(self) -> "ObjectiveSettings":
        if sum(chosen is not None for _, chosen in self) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self


class PretrainSettings(TrainingSettings):
    """An encoder from a corpus.

    Attributes
    ----------
    objective : ObjectiveSettings
        What is learned.
    upstream_layer_norm_bias : bool
        Biases of LayerNorm start at 1, as in the released code, by a slip; else at 0.
    dropout : float or None
        Share of what layers and attention make that is dropped; None: as published, which is 0.1,
        and 0.2 in the frequency layers of bioFAME. 0 trains a small model on a CPU three times as
        fast, and one that sees each item a few times does not overfit without it.
    """

    objective: ObjectiveSettings
    upstream_layer_norm_bias: bool = False
    dropout: float | None = Field(default=None, ge=0, lt=1)
