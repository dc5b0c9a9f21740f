"""A corpus: which recordings become windows on disk, by which front end."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator

from rtbrain.config.base import Settings


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
    def _texts(cls, sources: object) -> object:
        if not isinstance(sources, list | tuple):
            return sources
        return [one for source in sources for one in _spelled_out(source)]


def _spelled_out(source: object) -> Iterator[object]:
    """What a text is short for; anything else as it is."""
    if not isinstance(source, str):
        yield source
        return
    seeds = re.match(r"synthetic:(\d+)\.\.(\d+)(?=,|$)", source)
    if seeds is None:
        yield {"recording": source}
        return
    first, last = int(seeds[1]), int(seeds[2])
    if first > last:
        raise ValueError(f"{source}: expected the first seed, two dots and the last, in order")
    for seed in range(first, last + 1):
        yield {"recording": f"synthetic:{seed}{source[seeds.end() :]}"}
