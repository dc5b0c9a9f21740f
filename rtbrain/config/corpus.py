"""A corpus: which recordings become windows on disk, by which front end."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator

from rtbrain.config.base import Settings


class SourceSettings(Settings):
    """A recording and what its file does not tell.

    Attributes
    ----------
    recording : str
        File, BIDS folder or ``synthetic:SEED``.
    sfreq_hz : float or None
        Sampling rate of what does not hold it, instead of the corpus's, Hz.
    subject, session : str or None
        Labels instead of those in the file's name; never names of people.
    start_s, stop_s : float or None
        Stretch to take, s.
    channels : tuple of str or None
        Which to take; all that are not marked bad otherwise.
    scale : float or None
        Factor to microvolts. A file whose unit is not known is left out without it.
    """

    recording: str = Field(min_length=1)
    sfreq_hz: PositiveFloat | None = None
    subject: str | None = Field(default=None, min_length=1)
    session: str | None = Field(default=None, min_length=1)
    start_s: float | None = Field(default=None, ge=0)
    stop_s: float | None = Field(default=None, gt=0)
    channels: tuple[str, ...] | None = Field(default=None, min_length=1)
    scale: float | None = None

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("scale must not be 0")
        return scale


class CorpusSettings(Settings):
    """Recordings to windows on disk.

    Attributes
    ----------
    recipe : str or dict
        Ready-made settings by name, a file, or the settings themselves; their signal chain,
        window and spectrogram make the windows, and say which frames an encoder will pool.
    hop_s : float or None
        From one window to the next, s, instead of the recipe's.
    store : str
        What of a window is kept: ``spectrogram``, ``patches`` or ``waveform``.
    dtype : str
        Of the numbers on disk.
    sfreq_hz : float or None
        Sampling rate of .npy arrays and synthetic patients, Hz.
    sources : tuple
        Recordings; a text alone is short for ``{recording: text}``, and ``synthetic:100..147``
        for a patient of each seed from the first to the last.
    """

    recipe: str | dict[str, Any] = "edge"
    hop_s: PositiveFloat | None = None
    store: Literal["spectrogram", "patches", "waveform"] = "spectrogram"
    dtype: Literal["float16", "float32"] = "float16"
    sfreq_hz: PositiveFloat | None = None
    sources: tuple[SourceSettings, ...] = Field(min_length=1)

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
