"""A fit: recordings and labels to a decoder bundle."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.base import Settings


class LabelSettings(Settings):
    """What a window is labelled with, by exactly one of `classes`, `events`, `channel`, `task`.

    Attributes
    ----------
    classes : tuple of str or None
        Markers that begin a state, which holds until the next of them: sliding windows.
    events : tuple of str or None
        Markers that a window is cut at; each text is a class.
    rest : bool
        With `events`: windows away from all events are a class of their own, ``rest``.
    channel : str or None
        Channel of the recording that is the target; it is left out of the signal.
    threshold : float, "half" or None
        With `channel`: above it is class ``on``, else ``off``; half is the middle of its range.
        Without it the channel's value is predicted.
    task : str or None
        A task of the Brain Treebank, whose events follow from its transcripts.
    rules : str
        Whose rules the events and windows of a task follow: ``neuroprobe``, [0, 1] s after a
        word, or ``published``, 5 s around it.
    """

    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    events: tuple[str, ...] | None = Field(default=None, min_length=1)
    rest: bool = False
    channel: str | None = None
    threshold: float | Literal["half"] | None = None
    task: str | None = None
    rules: Literal["neuroprobe", "published"] = "neuroprobe"

    @model_validator(mode="after")
    def _one_kind(self) -> "LabelSettings":
        kinds = ("classes", "events", "channel", "task")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(kinds)}")
        for kind in ("classes", "events"):
            texts = getattr(self, kind) or ()
            if len(set(texts)) < len(texts):
                raise ValueError(f"{kind}: one text comes twice")
        if self.rest and self.events is None:
            raise ValueError("rest is for events")
        if self.threshold is not None and self.channel is None:
            raise ValueError("threshold is for channel")
        if self.events is not None and len(self.events) + self.rest < 2:
            raise ValueError("one event is one class: name two, or set rest")
        return self


class SplitSettings(Settings):
    """What is held out of training to be scored.

    Attributes
    ----------
    kind : str
        ``blocks`` of time within each recording; ``sessions``: a recording at a time;
        ``subjects``: a subject at a time.
    n_folds : int
        Folds of blocks.
    embargo_s : float or None
        Kept free between training and test, s; None takes the window and the filters' settling.
    unsafe_random : bool
        Windows at random, as in much published work: scores leak, and the report says so.
    """

    kind: Literal["blocks", "sessions", "subjects"] = "blocks"
    n_folds: int = Field(default=5, ge=2)
    embargo_s: PositiveFloat | None = None
    unsafe_random: bool = False


class FitSettings(Settings):
    """How a decoder is fitted and scored.

    Attributes
    ----------
    recordings : tuple of str
        Files, BIDS folders or ``synthetic:SEED``; may be given by command instead.
    stream : str or None
        Stream of an XDF file that has several.
    scale : float
        Factor on the signals.
    sfreq_hz : float or None
        Sampling rate of what does not hold it: .npy arrays, synthetic patients.
    recipe : str or dict
        Ready-made settings by name, a file, or the settings themselves.
    window : tuple of float or None
        From and to, s from each event, instead of the recipe's window; for `labels.events` and
        `labels.task`.
    labels : LabelSettings
        What to decode.
    splits : SplitSettings
        What to hold out.
    encoder, popt : Path or None
        Folders of imported weights; None: seeded random ones.
    tune : str
        ``readout`` alone, or ``popt`` as well.
    tune_steps : int
        At most, of tuning PopT.
    seeds : int
        Runs of what is random, for the spread.
    n_permutations : int
        Runs with labels shifted in time, for the interval that chance gives.
    max_windows : int
        More are thinned evenly: neighbours overlap and tell little.
    """

    recordings: tuple[str, ...] = ()
    stream: str | None = None
    scale: float = 1.0
    sfreq_hz: PositiveFloat | None = None
    recipe: str | dict[str, Any] = "linear"
    window: tuple[float, float] | None = None
    labels: LabelSettings | None = None
    splits: SplitSettings = SplitSettings()
    encoder: Path | None = None
    popt: Path | None = None
    tune: Literal["readout", "popt"] = "readout"
    tune_steps: PositiveInt = 2000
    seeds: PositiveInt = 3
    n_permutations: NonNegativeInt = 100
    max_windows: PositiveInt = 20_000

    @model_validator(mode="after")
    def _tunable(self) -> "FitSettings":
        if self.tune == "popt" and self.recipe == "linear":
            raise ValueError("tune popt needs a recipe with PopT, such as edge")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("window: expected its end after its start")
        return self
