"""What every training is asked: who is held out, how gradients become steps, how long."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rtbrain.config.base import Settings

SizesSetting = str | dict[str, PositiveInt]
_FEWEST_ROWS = 4  # the debiased estimate of CKA needs so many


class OptimiserSettings(Settings):
    """How a gradient becomes a step."""

    name: Literal["lamb", "adamw"] = "lamb"
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class DecaySettings(Settings):
    """The learning rate behind the warm-up: times `factor` every share `every` of the steps."""

    factor: float = Field(default=0.99, gt=0, le=1)
    every: float = Field(default=0.01, gt=0, le=1)


class TrainingSettings(Settings):
    """How an encoder is trained on a corpus, whatever it learns.

    Attributes
    ----------
    held_out : tuple of str, or int
        Subjects to validate on, by label, or how many of the corpus's last.
    optimiser : OptimiserSettings
        LAMB or AdamW.
    warm_up : float
        Share of the steps in which the learning rate rises.
    decay : DecaySettings
        How it falls from there.
    clip : float
        Longest gradient.
    steps, batch : int
        Steps of the optimiser, and items a step.
    micro_batch : int
        Items that go through the model at once: as many as the memory holds.
    precision : str
        Of the products of matrices; ``bfloat16`` helps GPUs, and CPUs that have it.
    seed : int
        Of everything that is random.
    validate_every, validate_items : int
        Steps between validations, and held-out items to score, at most.
    checkpoint_every : int
        Steps between checkpoints.
    prefetch : int
        Micro-batches that are drawn ahead.
    """

    held_out: NonNegativeInt | tuple[str, ...] = 1
    optimiser: OptimiserSettings
    warm_up: float = Field(default=0.025, ge=0, lt=1)
    decay: DecaySettings = DecaySettings()
    clip: PositiveFloat = 1.0
    steps: PositiveInt
    batch: PositiveInt = 256
    micro_batch: PositiveInt = 32
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: NonNegativeInt = 0
    validate_every: PositiveInt = 1000
    validate_items: PositiveInt = 1024
    checkpoint_every: PositiveInt = 1000
    prefetch: NonNegativeInt = 2

    @model_validator(mode="after")
    def _whole_grains(self) -> "TrainingSettings":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        return self


class BrainBERTObjective(Settings):
    """Masked spectrograms, from a corpus of form spectrogram."""

    sizes: SizesSetting = "large"
    n_frames: PositiveInt = 186
    masking: Literal["fixed", "adaptive"] = "fixed"
    upstream_mask_labels: bool = False
    alpha: NonNegativeFloat = 2.0
    gamma: NonNegativeFloat = 1.0


class PopTObjective(Settings):
    """Whether windows follow each other and channels were replaced, from embeddings."""

    sizes: SizesSetting = "published"
    subset_sizes: tuple[PositiveInt, ...] = Field(
        default=(10, 20, 30, 40, 50, 60, 70, 80, 90, 100), min_length=1
    )
    replace_share: float = Field(default=0.1, gt=0, lt=1)
    blur_voxels: NonNegativeFloat = 0.0
    upstream_negatives: bool = False
    standardise: bool = False


class NeuroBERTObjective(Settings):
    """Waveforms behind masked patches by way of their spectrum, from a corpus of form patches."""

    sizes: SizesSetting = "published"
    n_frames: PositiveInt = 100
    mask_share: float = Field(default=0.3, gt=0, lt=1)


class BioFAMEObjective(Settings):
    """Waveforms from latents of which half are hidden, from a corpus of form patches."""

    sizes: SizesSetting = "published"
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


class GuidanceSettings(Settings):
    """Layers of the student that are to be like layers of the guide."""

    weight: NonNegativeFloat = 1.0
    first_steps: PositiveInt | None = None
    tokenwise: bool = False


class MatchSettings(Settings):
    """What the student says of each patch, held against what the guide's last layer says."""

    weight: NonNegativeFloat = 1.0
    delay_s: NonNegativeFloat = 0.0
    loss: Literal["mse", "cosine"] = "mse"
    mapped: bool = True
    edge_share: float = Field(default=0.0, ge=0, le=1)


class NextPatchSettings(Settings):
    """The patch that comes next."""

    weight: NonNegativeFloat = 0.0
    alpha: NonNegativeFloat = 2.0
    gamma: NonNegativeFloat = 1.0


class DistillSettings(TrainingSettings):
    """A streaming encoder from a corpus of running spectrograms and a guide.

    Attributes
    ----------
    student : str or dict
        Sizes of the streaming encoder, by name or by number.
    guide : str
        ``trained``: the teacher; ``untrained``: one of its sizes with random weights; ``none``:
        neither guidance nor match, the next patch alone is learned.
    teacher_precision : str
        Of the guide's products of matrices; it is not trained, so ``bfloat16`` costs little.
    guidance, match, following
        The losses.
    context_s : float
        What a token must have seen, s, before match and following count it.
    """

    student: SizesSetting = "compact"
    guide: Literal["trained", "untrained", "none"] = "trained"
    teacher_precision: Literal["float32", "bfloat16"] = "float32"
    guidance: GuidanceSettings = GuidanceSettings()
    match: MatchSettings = MatchSettings()
    following: NextPatchSettings = NextPatchSettings()
    context_s: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _something_to_learn(self) -> "DistillSettings":
        guided = self.guide != "none"
        always = self.guidance.weight > 0 and self.guidance.first_steps is None
        if not (self.following.weight or (guided and (self.match.weight or always))):
            why = "guide none" if not guided else "no loss that lasts"
            raise ValueError(f"{why} leaves nothing to learn: set following.weight above 0")
        if guided and self.guidance.weight and self.micro_batch < _FEWEST_ROWS:
            raise ValueError(
                f"guidance compares the items of a micro_batch: expected {_FEWEST_ROWS} or more "
                f"(256 for a good estimate), got {self.micro_batch}"
            )
        return self
