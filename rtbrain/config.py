"""Settings: YAML of plain values, validated before any data flow.

Two kinds of file: a `Recipe` says how signals become decodes (it travels inside a decoder
bundle), a `DecodeSettings` says where live samples come from and where decodes go. Durations are
seconds, frequencies Hz. A key that is not known is refused, with the nearest that is.
"""

import difflib
import inspect
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from rtbrain.errors import SettingsError

__all__ = [
    "DecodeSettings",
    "EncoderSettings",
    "OutletSettings",
    "PickSettings",
    "Recipe",
    "SignalStep",
    "SpectrogramSettings",
    "StreamSettings",
    "WindowSettings",
    "find_settings",
    "load_settings",
    "parse_settings",
]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PickSettings(_Settings):
    """Which channels to keep, by label or by kind."""

    names: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None


class NotchSettings(_Settings):
    """Mains frequency and how far its harmonics are removed."""

    mains_hz: Literal[50, 60]
    q: PositiveFloat = 30.0
    up_to_hz: PositiveFloat = 360.0


class QualitySettings(_Settings):
    """Masking of contacts that cannot be believed; first in the chain, on raw signals."""

    mains_hz: Literal[50, 60] | None = None


class SignalStep(_Settings):
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


class WindowSettings(_Settings):
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


class SpectrogramSettings(_Settings):
    """Form of the spectrogram and its frames, s."""

    form: Literal["published", "running", "superlet"]
    frame_s: PositiveFloat = 400 / 2048
    frame_hop_s: PositiveFloat = 50 / 2048
    n_freqs: PositiveInt = 40
    time_constant_s: PositiveFloat = 60.0
    frozen: bool = False


class EncoderSettings(_Settings):
    """Which frames are pooled, and the sizes of the encoder where it is not read from a file."""

    pool: Literal["centre", "last"] = "last"
    n_pooled: PositiveInt = 10
    brainbert: str | dict[str, PositiveInt] = "compact"
    popt: str | dict[str, PositiveInt] | None = "compact"
    seed: NonNegativeInt = 0


class Recipe(_Settings):
    """How samples become embeddings: the part of the settings that a bundle carries."""

    mode: Literal["linear", "published", "edge"]
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
        if self.mode == "published" and self.spectrogram.form == "running":
            raise ValueError("mode published takes spectrogram.form published or superlet")
        return self


class StreamSettings(_Settings):
    """Which live stream to decode: an LSL stream, or a FieldTrip buffer.

    Attributes
    ----------
    name, type, source_id : str or None
        Of the LSL stream; every one that is given must match.
    markers : str or None
        Name of the LSL marker stream, for windows of mode event.
    fieldtrip : str or None
        ``host:port`` of a FieldTrip buffer, instead of those.
    timeout_s : float
        How long to look for it at the start, s.
    scale : float
        Factor on top of the header's units.
    unit : str
        Unit of a FieldTrip buffer, whose header does not say.
    names : tuple of str or None
        Labels of a FieldTrip buffer whose header has none.
    """

    name: str | None = None
    type: str | None = None
    source_id: str | None = None
    markers: str | None = None
    fieldtrip: str | None = Field(default=None, pattern=r"^[^:\s]+:\d{1,5}$")
    timeout_s: PositiveFloat = 10.0
    scale: PositiveFloat = 1.0
    unit: str = "microvolts"
    names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_stream(self) -> "StreamSettings":
        lsl = bool(self.name or self.type or self.source_id)
        if lsl == bool(self.fieldtrip):
            raise ValueError("give at least one of name, type, source_id, or else fieldtrip")
        of_fieldtrip = {"unit", "names"} & self.model_fields_set
        if lsl and of_fieldtrip:
            raise ValueError(f"{', '.join(sorted(of_fieldtrip))} is for fieldtrip only")
        if self.fieldtrip and self.scale != 1:
            raise ValueError("scale is for LSL streams; a FieldTrip buffer has unit")
        return self


class OutletSettings(_Settings):
    """Name of the outgoing streams: NAME-decode and NAME-status."""

    name: str = Field(default="rtbrain", min_length=1)


class DecodeSettings(_Settings):
    """A live session: stream in, bundle, streams out."""

    stream: StreamSettings
    bundle: Path | None = None
    outlet: OutletSettings = OutletSettings()
    late: Literal["newest", "every"] = "newest"
    threads: PositiveInt = 1
    lsl_scope: Literal["machine", "link", "site"] = "machine"


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def find_settings(name_or_path: str) -> Path:
    """File of ready-made settings by name, or the path itself.

    Raises
    ------
    SettingsError
        Neither a ready-made name nor a file.
    """
    folder = resources.files("rtbrain.configs")
    ready = sorted(Path(str(item)).stem for item in folder.iterdir() if item.name.endswith("yaml"))
    if name_or_path in ready:
        return Path(str(folder / f"{name_or_path}.yaml"))
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise SettingsError(
        f"no settings {name_or_path!r}: give a file, or one of {', '.join(ready)}"
        f"{_nearest(name_or_path, ready)}"
    )


def load_settings(name_or_path: str, model: type[SettingsT]) -> SettingsT:
    """Read and validate a file of settings.

    Parameters
    ----------
    name_or_path : str
        Name of ready-made settings, or a YAML file.
    model : type
        `Recipe` or `DecodeSettings`.

    Raises
    ------
    SettingsError
        The file is absent, is not YAML, or holds a key or value that cannot work.
    """
    path = find_settings(name_or_path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise SettingsError(f"{path.name}: not readable as YAML: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path.name}: expected keys and values, got {type(values).__name__}")
    return parse_settings(values, model, where=path.name)


def parse_settings(values: Mapping[str, Any], model: type[SettingsT], *, where: str) -> SettingsT:
    """Validate settings that were read already.

    Raises
    ------
    SettingsError
        A key is not known or a value cannot work; the message names the first of them.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key also leaves the right one missing: tell of the misspelling.
        first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            names = _keys_beside(model, first["loc"])
            hint = _nearest(str(first["loc"][-1]), names)
            raise SettingsError(
                f"{where}: unknown key {key}{hint or '; known are ' + ', '.join(names)}"
            ) from error
        got = "" if first["type"] == "missing" else f", got {first['input']!r:.80}"
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}: {key or 'settings'}: {message}{got}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _keys_beside(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Keys known at the place of the last part of `loc`."""
    for part in loc[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Settings class inside an annotation such as ``tuple[SignalStep, ...]`` or ``X | None``."""
    if inspect.isclass(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found:
            return found
    return None
