"""How signals become decodes: the recipe that a decoder bundle carries."""

import math
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.front_end import (
    RUNNING,
    Settings,
    SignalStep,
    SpectrogramSettings,
    StimulationSettings,
    WindowSettings,
)
from rtbrain.errors import SettingsError

ChannelKind = Literal["brainbert", "neurobert", "biofame", "streaming"]


class EncoderSettings(Settings):
    """Which frames are pooled, and the encoder: trained weights, or sizes and a seed."""

    pool: Literal["centre", "last"] = "last"
    """Frames to average: at the centre of the window, or the last."""
    n_pooled: PositiveInt = 10
    """Number of frames to average."""
    pool_time_constant_s: PositiveFloat | None = None
    """With mode linear: weigh newer frames more, by this time, s; by default all alike."""
    weights: str | None = Field(default=None, min_length=1)
    """Trained encoder of the package (compact, streaming), a folder, or random.

    A folder holds brainbert/, neurobert/, biofame/ or streaming/, and popt/.
    """
    brainbert: str | dict[str, PositiveInt] = "compact"
    """Sizes of a random BrainBERT, by name or number."""
    neurobert: str | dict[str, PositiveInt] | None = None
    """Sizes of a random NeuroBERT, instead of BrainBERT."""
    biofame: str | dict[str, PositiveInt] | None = None
    """Sizes of a random bioFAME, instead of BrainBERT."""
    streaming: str | dict[str, NonNegativeInt] | None = None  # its delay may be 0
    """Sizes of a random streaming encoder, instead of BrainBERT."""
    popt: str | dict[str, PositiveInt] | None = "compact"
    """Sizes of the random Population Transformer; null leaves it out, of trained weights too."""
    seed: NonNegativeInt = 0
    """Seed of the random weights."""

    @model_validator(mode="after")
    def _weights_or_sizes(self) -> "EncoderSettings":
        kinds = {"brainbert", "neurobert", "biofame", "streaming"}
        chosen = (kinds | {"popt", "seed"}) & self.model_fields_set
        chosen = {name for name in chosen if getattr(self, name) is not None}
        if self.trained and chosen:
            names = ", ".join(sorted(chosen))
            raise ValueError(f"weights bring their sizes and need no seed: leave out {names}")
        channel = chosen & kinds
        if len(channel) > 1:
            raise ValueError(f"a channel has one encoder: keep one of {', '.join(sorted(channel))}")
        return self

    @property
    def trained(self) -> bool:
        """Whether trained weights are named."""
        return self.weights not in (None, "random")

    @property
    def channel_encoder(self) -> tuple[ChannelKind, str | dict[str, NonNegativeInt]]:
        """Kind and sizes of the encoder of a channel."""
        kinds: tuple[ChannelKind, ...] = ("neurobert", "biofame", "streaming")
        for kind in kinds:
            sizes = getattr(self, kind)
            if sizes is not None:
                return kind, sizes
        return "brainbert", self.brainbert


def require_signal_left(recipe: "Recipe", reads_s: float) -> None:
    """Refuse to blank so much around each pulse that no decode would be left near it."""
    settings = recipe.stimulation
    if settings is None or settings.after_s is None:
        return
    blanks_s = settings.after_s + (settings.before_s or 0.0)
    if settings.announced and blanks_s > settings.max_blanked * reads_s > 0:
        raise SettingsError(
            f"stimulation: {blanks_s:g} s are blanked around each pulse, a decode reads "
            f"{reads_s:g} s of which {settings.max_blanked:.0%} may be: nothing would be left; "
            "shorten before_s and after_s, lengthen the window, or raise max_blanked"
        )
    if settings.periodic_hz is not None and blanks_s * settings.periodic_hz >= 1:
        raise SettingsError(
            f"stimulation: {blanks_s:g} s are blanked around each pulse, longer than the "
            f"{1 / settings.periodic_hz:.3g} s from one to the next: nothing would be left; "
            "shorten before_s and after_s, or leave out texts and channel"
        )


# After so much signal since a gap, a streaming encoder costs a readout less than 0.01 AUC. On a
# synthetic patient, 585 restarts beside the decodes that had no gap: 0.001 after 0.29 s, its first
# patch, and none from 0.42 s, its second, on.
_WARM_S = 0.4


class Recipe(Settings):
    """How samples become embeddings: the part of the settings that a bundle carries."""

    mode: Literal["linear", "published", "edge", "streaming"]
    """No encoder (linear), or how the encoder sees time."""
    signal: tuple[SignalStep, ...] = ()
    """Steps of the signal chain, in order."""
    window: WindowSettings
    """Which windows to cut."""
    spectrogram: SpectrogramSettings
    """What to compute from a window."""
    encoder: EncoderSettings = EncoderSettings()
    """What to make of the spectrogram."""
    smoothing_s: float = Field(default=0.0, ge=0)
    """Time constant that smooths decodes, s; 0 does not."""
    coverage_floor: float = Field(default=0.3, gt=0, le=1)
    """Lowest share of good channels for a decode to be valid."""

    def adapt(
        self,
        *,
        mains_hz: Literal[50, 60] | None = None,
        hop_s: float | None = None,
        population: bool = True,
    ) -> "Recipe":
        """Copy of the recipe with another mains frequency or hop; None keeps the recipe's.

        Without `population` the Population Transformer is left out.

        Raises a SettingsError where no step depends on the mains, or the windows do not slide.
        """
        values = self.model_dump(exclude_unset=True)
        if mains_hz is not None:
            names = "quality", "notch", "published_laplacian"
            mains = [step[n] for step in values.get("signal", ()) for n in names if n in step]
            if not mains:
                raise SettingsError(f"mains_hz {mains_hz}: the recipe has no notch to change")
            for step in mains:
                step["mains_hz"] = mains_hz
        if hop_s is not None:
            if self.window.hop_s is None:
                raise SettingsError(f"hop_s {hop_s:g}: the recipe cuts windows at events")
            values["window"]["hop_s"] = hop_s
        if not population and self.mode != "linear":
            values.setdefault("encoder", {})["popt"] = None
        return Recipe.model_validate(values)

    @property
    def mains_hz(self) -> Literal[50, 60] | None:
        """Mains frequency that is removed or looked for, Hz; None where no step has one."""
        for step in self.signal:
            for settings in (step.notch, step.published_laplacian, step.quality):
                if settings is not None and settings.mains_hz is not None:
                    return settings.mains_hz
        return None

    @property
    def stimulation(self) -> StimulationSettings | None:
        """How stimulation is removed; None where no step does."""
        return next((step.stimulation for step in self.signal if step.stimulation), None)

    def pooled_frames(self, n_frames: int) -> slice:
        """Frames that are averaged, of a window that holds so many."""
        n_pooled, n_listed = self.encoder.n_pooled, n_frames
        if self.spectrogram.form == "bands":  # rounding its hop leaves fewer than these, or more
            n_listed = self.spectrogram.count_frames(self.window.length_s)
        if n_pooled > n_listed:
            raise SettingsError(
                f"encoder.n_pooled is {n_pooled} but the window has {n_listed} frames: "
                "lengthen the window, or pool fewer"
            )
        n_pooled = n_frames if n_pooled == n_listed else min(n_pooled, n_frames)
        start = n_frames - n_pooled
        if self.encoder.pool == "centre":
            start = n_frames // 2 - n_pooled // 2
        return slice(start, start + n_pooled)

    def used_frames(self, n_frames: int, cycle: int) -> int | None:
        """Newest of so many frames that are enough after a gap; None for all of them.

        A streaming encoder reads `cycle` frames at a time.
        """
        frames = self.spectrogram
        if self.window.hop_s is None or self.mode not in ("linear", "streaming"):
            return None
        if frames.form not in RUNNING:
            return None
        n_used = n_frames - self.pooled_frames(n_frames).start
        if self.mode == "streaming":
            n_warm = (_WARM_S - frames.frame_s) / frames.frame_hop_s + 1
            n_used = math.ceil(max(n_warm, n_used) / cycle) * cycle
        return n_used if n_used < n_frames else None

    @model_validator(mode="after")
    def _mode_fits(self) -> "Recipe":
        if sum(step.stimulation is not None for step in self.signal) > 1:
            raise ValueError("two steps of stimulation: keep one")
        if self.mode == "published" and self.encoder.pool != "centre":
            raise ValueError("mode published pools the centre: set encoder.pool to centre")
        if self.window.mode == "event" and self.smoothing_s:
            raise ValueError("smoothing_s is for sliding windows: leave it out in mode event")
        if self.mode == "published" and self.spectrogram.form in ("running", "patches"):
            raise ValueError("mode published takes spectrogram.form published or superlet")
        if self.mode != "linear" and self.encoder.pool_time_constant_s is not None:
            raise ValueError("encoder.pool_time_constant_s is for mode linear: leave it out")
        if self.mode != "linear" and self.spectrogram.form == "bands":
            raise ValueError("spectrogram.form bands is for mode linear: set it, or form running")
        return self

    @model_validator(mode="after")
    def _streaming_fits(self) -> "Recipe":
        encoder = self.encoder
        if self.mode != "streaming":
            if encoder.streaming is not None and self.mode != "linear":
                raise ValueError(
                    "encoder.streaming is for mode streaming: set mode streaming, or leave it out"
                )
            return self
        if encoder.streaming is None and not encoder.trained:
            raise ValueError(
                "mode streaming takes a causal encoder: set encoder.streaming, or encoder.weights"
            )
        if self.spectrogram.form != "running":
            raise ValueError(
                "mode streaming takes spectrogram.form running: z-scores of what came before"
            )
        if encoder.pool != "last":
            raise ValueError("mode streaming pools the newest frames: set encoder.pool to last")
        return self
