"""Training an encoder: the corpus, what to hold out, how to optimise, what to learn."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from rtbrain.config.front_end import Settings

SizesSetting = str | dict[str, PositiveInt]
_MIN_ROWS = 4  # the debiased estimate of CKA needs as many


class SourceSettings(Settings):
    """A recording, and what its file does not say."""

    recording: str = Field(min_length=1)
    """File, BIDS folder or synthetic:SEED."""
    sfreq_hz: PositiveFloat | None = None
    """Sampling rate of a file that holds none, Hz, instead of the corpus's."""
    subject: str | None = Field(default=None, min_length=1)
    """Label instead of the one in the file's name; never a person's name."""
    session: str | None = Field(default=None, min_length=1)
    """Label instead of the one in the file's name."""
    start_s: float | None = Field(default=None, ge=0)
    """Start of the stretch to take, s."""
    stop_s: float | None = Field(default=None, gt=0)
    """End of the stretch to take, s."""
    channels: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Channels to take; by default all that are not marked as bad."""
    scale: float | None = None
    """Factor to microvolts; a file of unknown unit is left out without it."""

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("scale must not be 0")
        return scale


class CorpusSettings(Settings):
    """Recordings to windows on disk."""

    recipe: str | dict[str, Any] = "edge"
    """Recipe by name, file or value: its signal chain, window, spectrogram and pooled frames."""
    hop_s: PositiveFloat | None = None
    """Time from one window to the next, s, instead of the recipe's."""
    store: Literal["spectrogram", "patches", "waveform"] = "spectrogram"
    """What to keep of a window."""
    dtype: Literal["float16", "float32"] = "float16"
    """Numbers on disk."""
    sfreq_hz: PositiveFloat | None = None
    """Sampling rate of .npy arrays and synthetic patients, Hz."""
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    """Recordings, each by its settings or its name; synthetic:100..147 is one for each seed."""

    @field_validator("sources", mode="before")
    @classmethod
    def _name_recordings(cls, sources: object) -> object:
        if not isinstance(sources, list | tuple):
            return sources
        return [one for source in sources for one in _expand(source)]


def _expand(source: object) -> Iterator[object]:
    """Settings of the recordings that a text stands for; anything else unchanged."""
    if not isinstance(source, str):
        yield source
        return
    seeds = re.match(r"synthetic:(\d+)\.\.(\d+)(?=,|$)", source)
    if seeds is None:
        yield {"recording": source}
        return
    first, last = int(seeds[1]), int(seeds[2])
    if first > last:
        raise ValueError(f"{source}: expected the first seed, two dots and the last seed, in order")
    for seed in range(first, last + 1):
        yield {"recording": f"synthetic:{seed}{source[seeds.end() :]}"}


class OptimiserSettings(Settings):
    """How to optimise."""

    name: Literal["lamb", "adamw"] = "lamb"
    """LAMB or AdamW."""
    lr: PositiveFloat
    """Highest learning rate."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay."""


class DecaySettings(Settings):
    """How the learning rate falls after the warm-up."""

    factor: float = Field(default=0.99, gt=0, le=1)
    """Factor of each fall."""
    every: float = Field(default=0.01, gt=0, le=1)
    """Share of the steps from one fall to the next."""


class TrainingSettings(Settings):
    """How an encoder is trained on a corpus, whatever it learns."""

    held_out: NonNegativeInt | tuple[str, ...] = 1
    """Subjects to validate on, by label, or the number of the last subjects of the corpus."""
    optimiser: OptimiserSettings
    """Optimiser and its learning rate."""
    warm_up: float = Field(default=0.025, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    decay: DecaySettings = DecaySettings()
    """How the learning rate falls after that."""
    clip: PositiveFloat = 1.0
    """Largest norm of a gradient."""
    steps: PositiveInt
    """Number of optimiser steps."""
    batch: PositiveInt = 256
    """Number of items per step."""
    micro_batch: PositiveInt = 32
    """Number of items that go through the model at once; lower it to save memory."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products; bfloat16 helps GPUs, and CPUs that support it."""
    seed: NonNegativeInt = 0
    """Seed of everything random."""
    validate_every: PositiveInt = 1000
    """Steps from one validation to the next."""
    validate_items: PositiveInt = 1024
    """Most held-out items to score."""
    checkpoint_every: PositiveInt = 1000
    """Steps from one checkpoint to the next."""
    prefetch: NonNegativeInt = 2
    """Number of micro-batches to draw ahead."""

    @property
    def n_micro_batches(self) -> int:
        """Number of micro-batches per step."""
        return self.batch // self.micro_batch

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> "TrainingSettings":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        return self


class BrainBERTObjective(Settings):
    """Reconstruct masked spectrograms, from a corpus of spectrograms."""

    sizes: SizesSetting = "large"
    """Sizes of the encoder, by name or number."""
    n_frames: PositiveInt = 186
    """Number of frames per item."""
    masking: Literal["fixed", "adaptive"] = "fixed"
    """Masks of fixed width, or of a width that adapts to the frequency, for superlets."""
    upstream_mask_labels: bool = False
    """Label masked cells as the released code does, by mistake."""
    alpha: NonNegativeFloat = 2.0
    """Weight of the cells above gamma."""
    gamma: NonNegativeFloat = 1.0
    """Magnitude above which a cell counts as content, in standard deviations."""


class PopTObjective(Settings):
    """Recognise consecutive windows and replaced channels, from embeddings."""

    sizes: SizesSetting = "published"
    """Sizes of the Population Transformer, by name or number."""
    subset_sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        default=(10, 20, 30, 40, 50, 60, 70, 80, 90, 100), min_length=1
    )
    """Numbers of channels to show, drawn with equal probability."""
    replace_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the channels to ask about; half of them are replaced."""
    blur_voxels: float = Field(default=0.0, ge=0, lt=5000)
    """Standard deviation of the noise on positions, voxels."""
    upstream_negatives: bool = False
    """Draw the second window from the whole session, as the released code does."""
    standardise: bool = False
    """Turn embeddings into z-scores first."""


class NeuroBERTObjective(Settings):
    """Reconstruct masked waveforms through their spectrum, from a corpus of patches."""

    sizes: SizesSetting = "published"
    """Sizes of the encoder, by name or number."""
    n_frames: PositiveInt = 100
    """Number of patches per item."""
    mask_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the patches to mask."""


class BioFAMEObjective(Settings):
    """Reconstruct waveforms from partly masked latents, from a corpus of patches."""

    sizes: SizesSetting = "published"
    """Sizes of the encoder, by name or number."""
    n_frames: PositiveInt = 100
    """Number of patches per item."""
    mask_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the latents to mask."""


class ObjectiveSettings(Settings):
    """What to learn: exactly one of these keys."""

    brainbert: BrainBERTObjective | None = None
    """Reconstruct masked spectrograms."""
    popt: PopTObjective | None = None
    """Recognise consecutive windows and replaced channels."""
    neurobert: NeuroBERTObjective | None = None
    """Reconstruct masked waveforms through their spectrum."""
    biofame: BioFAMEObjective | None = None
    """Reconstruct waveforms from partly masked latents."""

    @model_validator(mode="after")
    def _one_objective(self) -> "ObjectiveSettings":
        if sum(chosen is not None for _, chosen in self) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        return self


class PretrainSettings(TrainingSettings):
    """An encoder from a corpus."""

    objective: ObjectiveSettings
    """What to learn."""
    upstream_layer_norm_bias: bool = False
    """Start the biases of LayerNorm at 1, as the released code does by mistake."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout; by default as published: 0.1, and 0.2 in the frequency layers of bioFAME.

    With 0 a small model trains three times as fast on a CPU, and does not overfit as long as it
    sees each item a few times only.
    """


class GuidanceSettings(Settings):
    """Make layers of the student similar to layers of the teacher, by CKA."""

    weight: NonNegativeFloat = 1.0
    """Weight of this loss."""
    first_steps: PositiveInt | None = None
    """Number of steps to use it for; by default all."""
    tokenwise: bool = False
    """Compare tokens rather than their means."""


class MatchSettings(Settings):
    """Make the student's output for each patch similar to that of the teacher's last layer."""

    weight: NonNegativeFloat = 1.0
    """Weight of this loss."""
    delay_s: NonNegativeFloat = 0.0
    """Time by which the student may lag, s; it adds to the latency of decodes."""
    loss: Literal["mse", "cosine"] = "mse"
    """Error of z-scores, or cosine distance."""
    projection: bool = True
    """Compare through a linear projection, which other widths need."""
    edge_share: float = Field(default=0.0, ge=0, le=1)
    """Share of this loss that comes from the newest patch alone, which a decoder reads."""


class NextPatchSettings(Settings):
    """Predict the next patch."""

    weight: NonNegativeFloat = 0.0
    """Weight of this loss; 0 leaves it out."""
    alpha: NonNegativeFloat = 2.0
    """Weight of the cells above gamma."""
    gamma: NonNegativeFloat = 1.0
    """Magnitude above which a cell counts as content, in standard deviations."""


class DistillSettings(TrainingSettings):
    """A streaming encoder from a corpus of running spectrograms and a teacher."""

    student: SizesSetting = "compact"
    """Sizes of the streaming encoder, by name or number."""
    teacher: Literal["trained", "untrained", "none"] = "trained"
    """The trained teacher, one with random weights, or none: learn the next patch alone."""
    teacher_precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the teacher's matrix products."""
    guidance: GuidanceSettings = GuidanceSettings()
    """Loss between layers of the student and of the teacher."""
    match: MatchSettings = MatchSettings()
    """Loss between the student's output and the teacher's last layer."""
    next_patch: NextPatchSettings = NextPatchSettings()
    """Loss of the prediction of the next patch."""
    context_s: PositiveFloat = 1.0
    """Time that a token must have seen before match and next patch count it, s."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> "DistillSettings":
        taught = self.teacher != "none"
        always = self.guidance.weight > 0 and self.guidance.first_steps is None
        if not (self.next_patch.weight or (taught and (self.match.weight or always))):
            why = "teacher none" if not taught else "no loss that lasts"
            raise ValueError(f"{why} leaves nothing to learn: set next_patch.weight above 0")
        if taught and self.guidance.weight and self.micro_batch < _MIN_ROWS:
            raise ValueError(
                f"guidance compares the items of a micro_batch: expected {_MIN_ROWS} or more "
                f"(256 for a good estimate), got {self.micro_batch}"
            )
        return self
