"""Settings and the command line: flags made from fields, and `--set key=value` for the rest."""

import copy
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, overload

import typer

from rtbrain.config.files import nested_settings, parse_yaml
from rtbrain.config.fit import FitSettings
from rtbrain.config.front_end import Settings
from rtbrain.errors import SettingsError


def flag(settings: type[Settings], field: str, *names: str) -> Any:
    """Option of a command, whose help is that of a field, such as ``splits.embargo_s``."""
    *path, name = field.split(".")
    for part in path:
        inner = nested_settings(settings.model_fields[part].annotation)
        if inner is None:
            raise ValueError(f"{field}: {part} holds no settings")
        settings = inner
    return typer.Option(*names, help=settings.model_fields[name].description)


# Flags that several commands share.
Config = Annotated[
    str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Number of CPU threads; by default all.")
]
RecordingStream = Annotated[str | None, flag(FitSettings, "stream", "--stream")]
Trigger = Annotated[str | None, flag(FitSettings, "labels.trigger", "--trigger")]
RecordingRate = Annotated[float | None, flag(FitSettings, "sfreq_hz", "--sfreq")]
Channels = Annotated[str | None, flag(FitSettings, "channels", "--channels")]
Exclude = Annotated[str | None, flag(FitSettings, "exclude", "--exclude")]
Kinds = Annotated[str | None, flag(FitSettings, "kinds", "--kinds")]
Space = Annotated[str | None, flag(FitSettings, "space", "--space")]


@overload
def names_of(text: str, flag: str) -> tuple[str, ...]: ...
@overload
def names_of(text: str | None, flag: str) -> tuple[str, ...] | None: ...
def names_of(text: str | None, flag: str) -> tuple[str, ...] | None:
    """Names separated by commas, each once, or SettingsError; None for a flag that is not used.

    A name with a comma stands in quotes, as in CSV: ``rest,"speech, loud"``.
    """
    if text is None:
        return None
    rows = list(csv.reader([text], skipinitialspace=True))
    names = tuple(part.strip() for row in rows for part in row)
    if not names or not all(names) or len(set(names)) < len(names):
        raise SettingsError(
            f'{flag} {text}: expected names separated by commas, each once, and "in, quotes" what '
            "has a comma itself"
        )
    return names


def join_names(names: Sequence[str]) -> str:
    """Names as one text, from which `names_of` reads them again: one with a comma is in quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def range_of(text: str | None, flag: str) -> tuple[float, float] | None:
    """A range such as 4.8:11.2, or SettingsError; None for a flag that is not used."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise SettingsError(f"{flag} {text}: expected two numbers, as {flag} 2:3") from None
    return low, high


def override(values: Mapping[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Values of settings with ``key=value`` pairs put in, as ``--set splits.n_folds=4``.

    The values are read as YAML; `parse_settings` checks them with all others. Keys are joined by
    dots; a number counts from 0 in a list.

    Raises a SettingsError where a pair has no ``=``, its value is not YAML, or its key leads
    through a plain value.
    """
    fields: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (equals and key.strip()):
            raise SettingsError(f"--set {pair}: expected key=value, such as splits.n_folds=4")
        try:
            fields[key.strip()] = parse_yaml(text)
        except ValueError as error:
            raise SettingsError(
                f"--set {pair}: the value is not readable as YAML: {' '.join(str(error).split())}"
            ) from error
    return replace_fields(values, fields)


def replace_fields(values: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values of settings with these fields replaced, named as ``splits.n_folds``.

    Raises a SettingsError where a key leads through a plain value or past the end of a list.
    """
    changed = copy.deepcopy(dict(values))
    for field, value in fields.items():
        inner: Any = changed
        *path, last = field.split(".")
        for depth, part in enumerate(path):
            key = _key(inner, part, field)
            if isinstance(inner, dict) and inner.get(key) is None:
                inner[key] = {}
            inner = inner[key]
            if not isinstance(inner, dict | list):
                where = ".".join(path[: depth + 1])
                raise SettingsError(f"{field}: {where} is {inner!r:.80}, which has no keys")
        inner[_key(inner, last, field)] = value
    return changed


def _key(inner: dict[str, Any] | list[Any], part: str, field: str) -> Any:
    if isinstance(inner, dict):
        return part
    if not (part.isdecimal() and int(part) < len(inner)):
        raise SettingsError(f"{field}: expected a number from 0 to {len(inner) - 1}, got {part!r}")
    return int(part)
