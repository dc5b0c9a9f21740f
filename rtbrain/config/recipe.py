"""A recipe: how signals become decodes. It travels inside a decoder bundle."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.base import Settings


class PickSettings(Settings):
    """Which channels to keep, by label or by kind."""

    names: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None


class NotchSettings(Settings):
    """Mains frequency and how far its harmonics are removed."""

    mains_hz: Literal[50, 60]
    q: PositiveFloat = 30.0
    up_to_hz: PositiveFloat = 360.0


class QualitySettings(Settings):
    """Masking of contacts that cannot be believed; first in the chain, on raw signals."""

    mains_hz: Literal[50, 60] | None = None


class SignalStep(Settings):
    """One step of the signal chain: exactly one of its keys is set."""

    pick: PickSettings | None = None
    quality: QualitySettings | None = None
    notch: NotchSettings | None = None
    highpass_hz: PositiveFloat | None = None
    reference: Literal["car", "bipolar", "laplacian"] | None = None
    published_laplacian: NotchSettings | None = None
    resample_hz: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one_step(self) -> "SignalStep":
        if len(self.model_fields_set) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"a step is exactly one of {known}")
        return self


class WindowSettings(Settings):
    """Windows that slide, or one window a marker.

    Attributes
    ----------
    length_s : float
        Length, s.
    hop_s : float or None
        From one sliding window to the next, s.
    mode : str
        ``sliding``, or ``event``: cut relative to the markers of the stream's marker stream.
    offset_s : float
        From a marker to the start of its window, s.
    texts : tuple of str or None
        Markers that cut a window; None takes all.
    """

    length_s: PositiveFloat = 5.0
    hop_s: PositiveFloat | None = None
    mode: Literal["sliding", "event"] = "sliding"
    offset_s: float = 0.0
    texts: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_mode(self) -> "WindowSettings":
        if self.mode == "sliding" and self.hop_s is None:
            raise ValueError("sliding windows need hop_s")
        of_events = {"offset_s", "texts"} & self.model_fields_set
        if self.mode == "sliding" and of_events:
            raise ValueError(f"{', '.join(sorted(of_events))} is for mode event only")
        if self.mode == "event" and self.hop_s is not None:
            raise ValueError("mode event cuts at markers: leave hop_s out")
        return self


class SpectrogramSettings(Settings):
    """Form of the spectrogram and its frames, s; of form patches, `frame_s` is a patch."""

    form: Literal["published", "running", "superlet", "patches"]
    frame_s: PositiveFloat = 400 / 2048
    frame_hop_s: PositiveFloat = 50 / 2048
    n_freqs: PositiveInt = 40
    time_constant_s: PositiveFloat = 60.0
    frozen: bool = False

    @model_validator(mode="after")
    def _patches_have_a_length_alone(self) -> "SpectrogramSettings":
        others = sorted(self.model_fields_set - {"form", "frame_s"})
        if self.form == "patches" and others:
            raise ValueError(f"form patches takes frame_s alone: leave out {', '.join(others)}")
        return self


class EncoderSettings(Settings):
    """Which frames are pooled, and the encoder: its trained weights, or sizes and a seed.

    Attributes
    ----------
    pool, n_pooled : str, int
        Which frames are averaged, and how many.
    weights : str or None
        ``compact`` or, in mode streaming, ``streaming``: the trained encoders that ship in the
        package; or a folder that holds ``brainbert/`` (``neurobert/``, ``biofame/``,
        ``streaming/``) and ``popt/``. None: random weights.
    brainbert, neurobert, biofame, streaming : str, dict or None
        Sizes of the random encoder of a channel, by name or number: one of the four.
    popt : str, dict or None
        Sizes of the random Population Transformer; None leaves it out, of trained weights too.
    seed : int
        Of the random weights.
    """

    pool: Literal["centre", "last"] = "last"
    n_pooled: PositiveInt = 10
    weights: str | None = Field(default=None, min_length=1)
    brainbert: str | dict[str, PositiveInt] = "compact"
    neurobert: str | dict[str, PositiveInt] | None = None
    biofame: str | dict[str, PositiveInt] | None = None
    streaming: str | dict[str, NonNegativeInt] | None = None  # its delay may be 0
    popt: str | dict[str, PositiveInt] | None = "compact"
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _weights_or_sizes(self) -> "EncoderSettings":
        kinds = {"brainbert", "neurobert", "biofame", "streaming"}
        given = (kinds | {"popt", "seed"}) & self.model_fields_set
        given = {name for name in given if getattr(self, name) is not None}
        if self.weights is not None and given:
            told = ", ".join(sorted(given))
            raise ValueError(f"weights bring their sizes and need no seed: leave out {told}")
        channel = given & kinds
        if len(channel) > 1:
            raise ValueError(f"a channel has one encoder: keep one of {', '.join(sorted(channel))}")
        return self

    @property
    def channel_encoder(self) -> tuple[str, str | dict[str, NonNegativeInt]]:
        """Kind and sizes of the encoder of a channel."""
        for kind, sizes in (
            ("neurobert", self.neurobert),
            ("biofame", self.biofame),
            ("streaming", self.streaming),
        ):
            if sizes is not None:
                return kind, sizes
        return "brainbert", self.brainbert


class Recipe(Settings):
    """How samples become embeddings: the part of the settings that a bundle carries."""

    mode: Literal["linear", "published", "edge", "streaming"]
    signal: tuple[SignalStep, ...] = ()
    window: WindowSettings
    spectrogram: SpectrogramSettings
    encoder: EncoderSettings = EncoderSettings()
    smoothing_s: float = Field(default=0.0, ge=0)
    coverage_floor: float = Field(default=0.3, gt=0, le=1)

    @model_validator(mode="after")
    def _mode_fits(self) -> "Recipe":
        if self.mode == "published" and self.encoder.pool != "centre":
            raise ValueError("mode published pools the centre: set encoder.pool to centre")
        if self.window.mode == "event" and self.smoothing_s:
            raise ValueError("smoothing_s is for sliding windows: leave it out in mode event")
        if self.mode == "published" and self.spectrogram.form in ("running", "patches"):
            raise ValueError("mode published takes spectrogram.form published or superlet")
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
        if encoder.streaming is None and encoder.weights is None:
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
