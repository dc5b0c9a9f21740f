"""Settings of the front end: signal chain, windows and spectrogram; and all settings' base."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

STIMULATION, STIMULATION_END = "stimulation", "stimulation end"  # texts of a channel's events
# Forms whose frames are z-scored once, by what came before.
RUNNING = ("running", "bands")


class Settings(BaseModel):
    """Plain values, frozen; an unknown key is refused. A string below a field describes it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class PickSettings(Settings):
    """Which channels to keep, by label or by kind."""

    names: tuple[str, ...] | None = None
    """Labels of the channels to keep, in this order."""
    kinds: tuple[str, ...] | None = None
    """Kinds to keep, such as seeg and ecog."""


class NotchSettings(Settings):
    """Mains frequency and how far its harmonics are removed."""

    mains_hz: Literal[50, 60]
    """Mains frequency, Hz."""
    q: PositiveFloat = 30.0
    """Quality factor of each notch: its frequency over its width."""
    up_to_hz: float = Field(default=360.0, gt=0, le=5000)
    """Highest harmonic to remove, Hz."""


class QualitySettings(Settings):
    """Masking of bad contacts; first in the chain, on raw signals."""

    mains_hz: Literal[50, 60] | None = None
    """Mains frequency, Hz; by default both are measured."""


class StimulationSettings(Settings):
    """Removal of stimulation artifacts; before quality, on raw signals."""

    texts: tuple[str, ...] = ()
    """Markers that each announce a pulse, or codes of the channel; by default all its codes."""
    stop_texts: tuple[str, ...] = ()
    """Markers that end a train, which those of texts begin; by default each is one pulse."""
    max_train_s: float = Field(default=600.0, gt=0)
    """Longest train, s: one without an end is then taken to be over, which is reported."""
    channel: str | None = Field(default=None, min_length=1)
    """Channel of the stream or recording whose codes announce pulses, as STIM or DC01:2500."""
    before_s: float | None = Field(default=None, ge=0, le=1)
    """Blanked before each pulse, s; by default measured by rtbrain fit."""
    after_s: float | None = Field(default=None, gt=0, le=60)
    """Blanked after each pulse, s; by default measured by rtbrain fit."""
    wait_s: float = Field(default=0.02, ge=0, le=10)
    """How much later than its samples a marker may arrive, s; decodes are so much later."""
    max_blanked: float = Field(default=0.5, ge=0, le=1)
    """Largest blanked share of what a decode reads; 0: no decode reads any blanked sample."""
    periodic_hz: PositiveFloat | None = None
    """About this rate, Hz: subtract the template of what repeats, instead of blanking it."""

    @property
    def announced(self) -> bool:
        """Whether pulses are announced."""
        return bool(self.texts or self.channel)

    def event_of(self, code: str) -> str:
        """Marker that a code of the channel is; empty for none."""
        if code in self.stop_texts:
            return STIMULATION_END
        return STIMULATION if code in self.texts or not self.texts else ""

    @property
    def markers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Markers of pulses, or of where trains begin; and of where trains end."""
        if self.channel is None:
            return self.texts, self.stop_texts
        return (STIMULATION,), (STIMULATION_END,) if self.stop_texts else ()

    @model_validator(mode="after")
    def _is_known(self) -> "StimulationSettings":
        if not self.announced and self.periodic_hz is None:
            raise ValueError("give texts or channel that announce pulses, or else periodic_hz")
        if self.stop_texts and not self.texts:
            raise ValueError("stop_texts end what texts begin: give texts as well")
        if both := set(self.texts) & set(self.stop_texts):
            raise ValueError(f"{', '.join(sorted(both))} cannot both begin and end a train")
        if not self.announced and {"before_s", "after_s", "wait_s"} & self.model_fields_set:
            raise ValueError("before_s, after_s and wait_s are for announced pulses: give texts")
        return self


class SignalStep(Settings):
    """One step of the signal chain: exactly one of its keys is set."""

    pick: PickSettings | None = None
    """Keep some of the channels."""
    stimulation: StimulationSettings | None = None
    """Blank stimulation pulses, or subtract periodic ones."""
    quality: QualitySettings | None = None
    """Mask bad contacts, and artifacts that nothing announces."""
    notch: NotchSettings | None = None
    """Remove mains and its harmonics."""
    highpass_hz: PositiveFloat | None = None
    """Remove drift below this frequency, Hz."""
    reference: Literal["car", "shaft_mean", "bipolar", "laplacian"] | None = None
    """Subtract the common average, the mean of the shaft, or the neighbours on it."""
    published_laplacian: NotchSettings | None = None
    """Laplacian reference and notches exactly as published for BrainBERT."""
    resample_hz: PositiveFloat | None = None
    """Change the sampling rate, Hz."""

    @model_validator(mode="after")
    def _one_step(self) -> "SignalStep":
        if len(self.model_fields_set) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"a step is exactly one of {known}")
        return self


class WindowSettings(Settings):
    """Windows that slide, or one window per marker."""

    length_s: PositiveFloat = 5.0
    """Length, s."""
    hop_s: PositiveFloat | None = None
    """Time from one sliding window to the next, s."""
    mode: Literal["sliding", "event"] = "sliding"
    """Slide over the signal, or cut at the markers of the marker stream."""
    offset_s: float = 0.0
    """With mode event: time from a marker to the start of its window, s."""
    texts: tuple[str, ...] | None = None
    """With mode event: markers to cut at; by default all."""

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


class BandSettings(Settings):
    """A band of frequencies, and the length of the frames that suits it."""

    frame_s: PositiveFloat
    """Length of a frame, s; its bins are ``1 / frame_s`` apart."""
    low_hz: PositiveFloat
    """Lowest frequency, to the nearest bin, Hz."""
    high_hz: float = Field(gt=0, le=5000)
    """Highest frequency, to the nearest bin, Hz."""

    @property
    def bins(self) -> range:
        """Numbers of its bins: multiples of ``1 / frame_s``, the same at every rate."""
        low, high = (math.floor(f_hz * self.frame_s + 0.5) for f_hz in (self.low_hz, self.high_hz))
        return range(max(low, 1), high + 1)

    @model_validator(mode="after")
    def _has_bins(self) -> "BandSettings":
        if self.frame_s > 60:
            raise ValueError(f"frames of at most 60 s are expected, got {self.frame_s:g}")
        if not self.bins:
            raise ValueError(
                f"no bin of frames of {self.frame_s:g} s, {1 / self.frame_s:g} Hz apart, lies in "
                f"{self.low_hz:g} to {self.high_hz:g} Hz: lengthen frame_s, or widen the band"
            )
        return self


# Long frames for slow rhythms, short ones for high gamma, 20 bins; a new frame of each 32 times a
# second (MAPA, arXiv:2609.13507).
_BANDS = ((0.5, 2.0, 14.0), (0.125, 16.0, 56.0), (0.0625, 64.0, 160.0))
_BANDS_HOP_S = 0.03125


class SpectrogramSettings(Settings):
    """Form of the spectrogram and its frames."""

    form: Literal["published", "running", "superlet", "patches", "bands"]
    """Z-scores in the window (published) or over time (running, bands); superlets; raw patches."""
    frame_s: PositiveFloat = 400 / 2048
    """Length of a frame, or of a patch, s."""
    frame_hop_s: PositiveFloat = 50 / 2048
    """Time from one frame to the next, s."""
    n_freqs: PositiveInt = 40
    """Number of frequency bins."""
    time_constant_s: PositiveFloat = 60.0
    """With form running or bands: memory of the statistics, s."""
    frozen: bool = False
    """With form running or bands: keep the statistics of the fit."""
    bands: tuple[BandSettings, ...] = Field(default=(), max_length=16)
    """With form bands: its bands; by default 2–14, 16–56 and 64–160 Hz."""
    log: bool = False
    """With form bands: take logarithms of the magnitudes."""
    robust: bool = False
    """With form bands: z-score by median and MAD, not by mean and deviation."""
    clip: PositiveFloat | None = None
    """With form bands: limit z-scores to this many deviations."""

    @model_validator(mode="before")
    @classmethod
    def _default_bands(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("form") != "bands":
            return values
        bands = [dict(zip(BandSettings.model_fields, band, strict=True)) for band in _BANDS]
        return {"frame_hop_s": _BANDS_HOP_S, "bands": bands} | values

    @model_validator(mode="after")
    def _fits_its_form(self) -> "SpectrogramSettings":
        given, of_bands = self.model_fields_set, {"bands", "log", "robust", "clip"}
        others = {"patches": given - {"form", "frame_s"}, "bands": given & {"frame_s", "n_freqs"}}
        wrong = others.get(self.form, given & of_bands)
        if wrong:
            raise ValueError(
                f"form {self.form} does not take {', '.join(sorted(wrong))}: leave it out"
            )
        if self.form == "bands" and not self.bands:
            raise ValueError("form bands needs one band or more: list them, or leave bands out")
        shortest_s = min((band.frame_s for band in self.bands), default=math.inf)
        if self.frame_hop_s > shortest_s:
            raise ValueError(
                f"frame_hop_s of {self.frame_hop_s:g} s is longer than the frames of "
                f"{shortest_s:g} s, so that samples would be left out: shorten it"
            )
        return self

    @property
    def longest_frame_s(self) -> float:
        """Signal that a frame reads, s."""
        return max((band.frame_s for band in self.bands), default=self.frame_s)

    @property
    def n_bins(self) -> int:
        """Frequency bins, of all bands."""
        return sum(len(band.bins) for band in self.bands) or self.n_freqs

    def count_frames(self, length_s: float) -> int:
        """Number of frames that lie wholly inside a window."""
        return int((length_s - self.longest_frame_s) / self.frame_hop_s + 1e-6) + 1
