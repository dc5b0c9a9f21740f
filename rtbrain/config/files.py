"""Settings from YAML: found by name or path, read, validated, refused in one line."""

import difflib
import inspect
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from rtbrain.config.fit import FitSettings
from rtbrain.config.live import DecodeSettings, DemoSettings
from rtbrain.config.recipe import Recipe, Settings
from rtbrain.config.training import CorpusSettings, DistillSettings, PretrainSettings
from rtbrain.errors import SettingsError, one_line

SettingsT = TypeVar("SettingsT", bound=Settings)
SETTINGS_KINDS: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "decode": DecodeSettings,
        "fit": FitSettings,
        "recipe": Recipe,
        "demo": DemoSettings,
        "corpus": CorpusSettings,
        "pretrain": PretrainSettings,
        "distill": DistillSettings,
    }
)


def find_settings(name_or_path: str) -> Path:
    """File of ready-made settings by name, or the path itself."""
    folder = resources.files("rtbrain.configs")
    ready = sorted(Path(str(item)).stem for item in folder.iterdir() if item.name.endswith("yaml"))
    if name_or_path in ready:
        return Path(str(folder / f"{name_or_path}.yaml"))
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise SettingsError(
        f"no settings {name_or_path!r}: name a file, or one of {', '.join(ready)}"
        f"{_nearest(name_or_path, ready)}"
    )


def load_settings(name_or_path: str, model: type[SettingsT]) -> SettingsT:
    """Read and validate ready-made settings by name, or a YAML file.

    Raises a SettingsError where it is absent, no YAML, or holds a key or value that cannot work.
    """
    values, where = read_settings(name_or_path)
    return parse_settings(values, model, where=where)


def read_settings(name_or_path: str) -> tuple[dict[str, Any], str]:
    """Keys and values of a file of settings, not validated, and its name for messages.

    Raises a SettingsError where the file is absent or is no YAML of keys and values.
    """
    path = find_settings(name_or_path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise SettingsError(f"{path.name}: not readable as YAML: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path.name}: expected keys and values, got {type(values).__name__}")
    return values, path.name


def parse_settings(values: Mapping[str, Any], model: type[SettingsT], *, where: str) -> SettingsT:
    """Validate keys and values; `where` names their file in messages.

    Raises a SettingsError that names the first key that is unknown or value that cannot work.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key also leaves the right one missing: report the misspelling.
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


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _keys_beside(model: type[Settings], loc: tuple[int | str, ...]) -> list[str]:
    """Keys known at the level of the last part of `loc`."""
    for part in loc[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = nested_settings(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def nested_settings(annotation: object) -> type[Settings] | None:
    """Settings class inside an annotation such as ``tuple[SignalStep, ...]`` or ``X | None``."""
    if inspect.isclass(annotation):
        return annotation if issubclass(annotation, Settings) else None
    for inner in typing.get_args(annotation):
        found = nested_settings(inner)
        if found:
            return found
    return None


def settings_kind(values: Mapping[str, Any]) -> str:
    """Kind that knows most of these keys; the first of `SETTINGS_KINDS` among equals."""
    return max(
        SETTINGS_KINDS, key=lambda kind: len(set(values) & set(SETTINGS_KINDS[kind].model_fields))
    )
