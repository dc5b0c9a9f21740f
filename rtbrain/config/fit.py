"""A fit: from recordings and labels to a decoder bundle."""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from rtbrain.config.front_end import Settings


class LabelSettings(Settings):
    """What a window is labelled with: exactly one of `classes`, `events`, `channel`, `task`."""

    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    """Markers that begin a state, which lasts until the next of them; windows slide."""
    events: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Markers to cut a window at; each text is a class."""
    trigger: str | None = Field(default=None, min_length=1)
    """Channel whose codes are the markers: TRIG, Status:0xFF (bits), DC01:2.5mV (above a level)."""
    rest: bool = False
    """With events: add a class "rest" of windows away from all events."""
    channel: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Channel of the recording to predict, or several; they are left out of the signals."""
    threshold: float | Literal["half"] | None = None
    """With channel: split it into classes "on" and "off" at this value, or at half its range."""
    task: str | None = None
    """Task of the Brain Treebank, such as onset or volume."""
    plan: str | None = Field(default=None, min_length=1)
    """With classes: file of the plan that the cues were drawn from; it is drawn again for p."""
    names: dict[str, str] = Field(default_factory=dict)
    """The class, or the event, that a marker stands for, as {"1": rest, "2": speech}."""
    marker_stream: str | None = Field(default=None, min_length=1)
    """Name of the one marker stream that labels, where a recording holds several; a screen of cues,
    which announces its plan, labels besides."""
    rules: Literal["neuroprobe", "published"] = "neuroprobe"
    """With task: windows of 1 s after a word (neuroprobe), or of 5 s around it (published)."""

    @field_validator("channel", mode="before")
    @classmethod
    def _one_channel(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> "LabelSettings":
        kinds = ("classes", "events", "channel", "task")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}")
        for kind in ("classes", "events", "channel"):
            texts = getattr(self, kind) or ()
            if len(set(texts)) < len(texts):
                raise ValueError(f"{kind}: a text is repeated")
        if self.rest and self.events is None:
            raise ValueError("rest is for events")
        if self.trigger is not None and self.classes is None and self.events is None:
            raise ValueError("trigger is for classes and events")
        if self.plan is not None and self.classes is None:
            raise ValueError("plan is for classes")
        if self.threshold is not None and len(self.channel or ()) != 1:
            raise ValueError("threshold is for one channel")
        if self.events is not None and len(self.events) + self.rest < 2:
            raise ValueError("one event is one class: name two, or set rest")
        return self


class SplitSettings(Settings):
    """What is held out of training, to be scored."""

    kind: Literal["blocks", "sessions", "subjects"] = "blocks"
    """Hold out blocks of time, whole sessions, or whole subjects."""
    n_folds: int = Field(default=5, ge=2)
    """Number of folds, for blocks of time."""
    embargo_s: PositiveFloat | None = None
    """Gap between training and test, s; by default the window, at least 5 s, plus 1 s."""
    unsafe_random: bool = False
    """Split windows at random. Neighbours overlap, so scores are too high; the report warns."""


class FitSettings(Settings):
    """How a decoder is fitted and scored."""

    recordings: tuple[str, ...] = ()
    """Files, BIDS folders or synthetic:SEED; several are separate sessions."""
    stream: str | None = None
    """Stream of a file that has several: name, source id, number, type; of EDF its rate."""
    scale: float = 1.0
    """Factor that multiplies the signals, where their unit is wrong."""
    sfreq_hz: PositiveFloat | None = None
    """Sampling rate of .npy arrays and synthetic patients, Hz."""
    channels: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Channels to use, by label or pattern (A*); by default fit takes contacts that are not bad."""
    exclude: tuple[str, ...] = ()
    """Channels to leave out, by label or pattern."""
    kinds: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Kinds to use, such as seeg; or what channels are: DC*=seeg makes contacts of DC1, DC2, ..."""
    space: str | None = Field(default=None, min_length=1)
    """Axes and unit of the positions, such as MNI mm, in place of what the recording says."""
    recipe: str | dict[str, Any] = "linear"
    """Ready-made recipe (linear, edge, published, streaming), a YAML file, or the recipe itself."""
    front_end: str = Field(default="auto", min_length=1)
    """With recipe linear: frames, scale, pooling and reference, as bands-log-0.25s-laplacian.

    auto chooses them inside the training windows, recipe keeps those of the recipe; a recipe of
    your own, or with an encoder, keeps its own.
    """
    mains_hz: Literal[50, 60, "auto"] = "auto"
    """Mains frequency to remove, 50 or 60 Hz; auto measures it, and else keeps the recipe's."""
    hop_s: PositiveFloat | None = None
    """Time from one sliding window to the next, s, instead of the recipe's."""
    window: tuple[float, float] | None = None
    """For events and tasks: start and end of the window relative to each event, s."""
    labels: LabelSettings | None = None
    """What to decode."""
    splits: SplitSettings = SplitSettings()
    """What to hold out."""
    encoder: Path | None = None
    """Folder with the weights of the channel encoder, instead of the recipe's."""
    popt: Path | None = None
    """With encoder: folder with the weights of the Population Transformer (PopT)."""
    population: Literal["popt", "none"] = "popt"
    """How contacts are joined: by the recipe's PopT, or none: the readout reads them in a row."""
    tune: Literal["readout", "popt"] = "readout"
    """Fit the readout alone, or PopT as well."""
    tune_steps: PositiveInt = 2000
    """Most optimiser steps to tune PopT."""
    detect: tuple[str, ...] = ()
    """Classes that are events to detect: proposes thresholds, and their rates on held-out time."""
    seeds: PositiveInt = 3
    """Number of random seeds, which give the spread of the scores."""
    n_permutations: NonNegativeInt = 199
    """Number of fits with labels shifted in time, which give the null distribution."""
    max_windows: PositiveInt = 20_000
    """Most sliding windows to fit on; more are subsampled evenly."""
    remembered_windows: NonNegativeInt = 1000
    """Most windows whose features the bundle keeps, for refit and adapt; 0: none."""

    @model_validator(mode="after")
    def _tunable(self) -> "FitSettings":
        if self.tune == "popt" and self.recipe == "linear":
            raise ValueError("tune popt needs a recipe with PopT, such as edge")
        if self.popt is not None and (self.encoder is None or self.population == "none"):
            raise ValueError("popt is for encoder, without population none")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        both = sorted(set(self.channels or ()) & set(self.exclude))
        if both:
            raise ValueError(f"channels and exclude both name {', '.join(both)}")
        labels = self.labels
        if self.detect and labels is not None:
            self._require_detectable(labels)
        if self.hop_s and labels and (labels.events is not None or labels.task is not None):
            raise ValueError("hop_s is for sliding windows; events and tasks have one window each")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("window: expected its end after its start")
        return self

    def _require_detectable(self, labels: LabelSettings) -> None:
        classes = labels.classes
        if labels.channel is not None and labels.threshold is not None:
            classes = ("off", "on")
        if classes is None:
            raise ValueError(
                "detect is for classes in time: name classes, or a channel with a threshold; "
                "events and tasks have one window each"
            )
        if unknown := [name for name in self.detect if name not in classes]:
            raise ValueError(f"detect: {', '.join(unknown)} is none of {', '.join(classes)}")
        if self.tune == "popt":
            raise ValueError("detect needs tune readout")
