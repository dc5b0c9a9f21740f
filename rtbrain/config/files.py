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
from rtbrain.config.front_end import Settings
from rtbrain.config.live import DecodeSettings, DemoSettings
from rtbrain.config.recipe import Recipe
from rtbrain.config.training import CorpusSettings, DistillSettings, PretrainSettings
from rtbrain.errors import SettingsError, one_line, plain_problem

SettingsT = TypeVar("SettingsT", bound=Settings)
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# PyYAML takes 0.1 ms for each value, and memory without end for what is nested or repeated.
_MAX_BYTES, _MAX_VALUES, _MAX_DEPTH, _MAX_NUMBER_CHARS = 2**18, 2000, 20, 40
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


def find_settings(name_or_path: str, kind: type[Settings] | None = None) -> Path:
    """File of ready-made settings by name, or the path itself; `kind`: those that are meant."""
    folder = resources.files("rtbrain.configs")
    ready = sorted(Path(str(item)).stem for item in folder.iterdir() if item.name.endswith("yaml"))
    if name_or_path in ready:
        return Path(str(folder / f"{name_or_path}.yaml"))
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.is_dir():
        raise SettingsError(f"{path} is a folder: expected a YAML file")
    if path.suffix or len(path.parts) > 1:
        raise SettingsError(f"there is no file {path}: check the path")
    if kind is not None:
        ready = [name for name in ready if SETTINGS_KINDS[_kind_of_file(name)] is kind]
    names = _nearest(name_or_path, ready) or f": name a file, or {_one_of(ready)}"
    raise SettingsError(f"there are no ready-made settings {name_or_path!r}{names}")


def load_settings(name_or_path: str, model: type[SettingsT]) -> SettingsT:
    """Read and validate ready-made settings by name, or a YAML file.

    Raises a SettingsError where it is absent, no YAML, or holds a key or value that cannot work.
    """
    values, where = read_settings(name_or_path, model)
    return parse_settings(values, model, where=where)


def read_settings(
    name_or_path: str, kind: type[Settings] | None = None
) -> tuple[dict[str, Any], str]:
    """Keys and values of a file of settings, not validated, and its name for messages.

    Of what is wrong beside ready-made settings, options are the cause: these are named.
    Raises a SettingsError where the file is absent or is no YAML of keys and values.
    """
    path = find_settings(name_or_path, kind)
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        values = parse_yaml(text)
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path.name}: not readable as YAML: {one_line(error)}") from error
    if not isinstance(values, dict):
        got = "nothing" if values is None else "a list" if isinstance(values, list) else "a text"
        raise SettingsError(f"{path.name}: expected keys and values (key: value), got {got}")
    return values, path.name if path.name == Path(name_or_path).name else "these options"


def parse_yaml(text: str | bytes) -> Any:
    """Plain values; a ValueError for what is no YAML, or too much for settings."""
    if len(text) > _MAX_BYTES:
        raise ValueError(f"longer than {_MAX_BYTES} bytes")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = "a tab, where blanks indent" if "'\\t'" in str(error.problem) else error.problem
        raise ValueError(f"{where}{what}") from error
    except yaml.reader.ReaderError as error:
        raise ValueError("it is not plain text") from error
    except (yaml.YAMLError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(one_line(error)) from error


class _Loader(yaml.SafeLoader):
    """SafeLoader with limits: few lines of YAML can stand for more than any memory holds."""

    _depth = 0
    _n_values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a value and what is in it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias (*{event.anchor:.20}): write the value itself")
        self._n_values += 1
        self._depth += 1
        if self._n_values > _MAX_VALUES or self._depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_VALUES} values, or {_MAX_DEPTH} inside one another")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_scalar(self, node: Any) -> Any:
        """Value of a node, as text."""
        value = super().construct_scalar(node)
        if node.tag in _NUMBER_TAGS and len(value) > _MAX_NUMBER_CHARS:
            line = node.start_mark.line + 1
            raise ValueError(f"line {line}: a number of {len(value)} characters")
        return value


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
        if first["type"] == "extra_forbidden":
            key = ".".join(str(part) for part in first["loc"])
            names = _keys_beside(model, first["loc"])
            hint = _nearest(str(first["loc"][-1]), names)
            raise SettingsError(
                f"{where}: unknown key {key}{hint or '; known are ' + ', '.join(names)}"
            ) from error
        raise SettingsError(f"{where}: {plain_problem(first)}") from error


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _one_of(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


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


def _kind_of_file(name: str) -> str:
    return settings_kind(read_settings(name)[0])


def settings_kind(values: Mapping[str, Any]) -> str:
    """Kind that knows most of these keys; the first of `SETTINGS_KINDS` among equals."""
    return max(
        SETTINGS_KINDS, key=lambda kind: len(set(values) & set(SETTINGS_KINDS[kind].model_fields))
    )
