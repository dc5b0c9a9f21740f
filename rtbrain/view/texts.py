"""The texts of the windows, from one file, so that they can be translated; loads no Qt."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rtbrain.marks import MANUAL_MARK

_PATH = Path(__file__).with_name("texts.yaml")


@cache
def texts() -> dict[str, str]:
    """Texts by their dotted keys, as ``alarms.signal_lost.title``."""
    found: dict[str, str] = {}
    _collect(yaml.safe_load(_PATH.read_text(encoding="utf-8")), "", found)
    return found


def say(key: str, **values: object) -> str:
    """The text of a key, its ``{names}`` filled in; a KeyError where it or a value is missing."""
    return texts()[key].format_map(values)


def is_by_hand(reason: str) -> bool:
    """Whether a person marked the contact; of a pair, either of its contacts."""
    return reason.split(": ")[-1].startswith(MANUAL_MARK)


def reason_text(reason: str) -> str:
    """Reason of a bad contact in words."""
    contact, _, why = reason.rpartition(": ")
    if is_by_hand(reason):
        said = say("signal.reason.by_hand")
    else:
        said = texts().get(f"signal.reason.{why.replace(' ', '_')}", why)
    return f"{contact}: {said}" if contact else said


def _collect(node: Any, prefix: str, found: dict[str, str]) -> None:
    for name, value in node.items():
        if isinstance(value, dict):
            _collect(value, f"{prefix}{name}.", found)
        else:
            found[f"{prefix}{name}"] = str(value)
