"""What a check says: its state, one sentence, what to do, and the one button that does it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rtbrain.view.texts import say, texts

# Most urgent first, by the names of the icons.
State = Literal["fix", "look", "checking", "unchecked", "fine", "know"]
_ORDER = ("fix", "look", "checking", "unchecked", "fine", "know")
_KEYS = (
    *("signal", "unit", "mains", "rate", "contacts", "markers", "disk", "clocks", "delay"),
    *("reach", "computer", "names", "ports", "time", "versions", "lsl", "gpu"),
)

Words = dict[str, Any]  # what fills a text


class Fix(NamedTuple):
    """What mends it: the text of its button, what is done, and with which value."""

    text: str
    do: str
    value: str | float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `finding` says what was found, `advice` what follows or helps."""

    key: str
    state: State
    finding: str
    advice: str = ""
    fix: Fix | None = None

    @property
    def name(self) -> str:
        """What is checked, in a word."""
        return say(f"doctor.{self.key}.name")

    def as_json(self) -> dict[str, object]:
        """Plain values of all that it says."""
        return {"name": self.name, **asdict(self), "fix": self.fix and self.fix._asdict()}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a session is meant to be, which checks are judged by.

    Attributes
    ----------
    stream, source_id : str, optional
        The signal; by default the only one there is.
    markers, markers_id : str, optional
        The stream of markers.
    trigger : str, optional
        Channel of the signal whose codes are events, as `parse_trigger` reads it.
    mains_hz : int, optional
        The mains frequency that is removed; None where it is measured when a decoder is fitted.
    unit : str, optional
        Unit of the signal, where its stream states none or a wrong one.
    mode : str
        Ready-made recipe whose delay is measured.
    folder : Path
        Where recordings go.
    hours : float
        Length of what is to be recorded, h.
    """

    stream: str | None = None
    source_id: str | None = None
    markers: str | None = None
    markers_id: str | None = None
    trigger: str | None = None
    mains_hz: int | None = None
    unit: str | None = None
    mode: str = "linear"
    folder: Path = Path(".")
    hours: float = 0.0


def judge(
    key: str,
    state: State,
    case: str,
    *,
    do: str | None = None,
    value: str | float | None = None,
    **words: Any,
) -> Check:
    """Check with the texts ``doctor.KEY.CASE``: its finding and, where there are any, the rest."""
    at = f"doctor.{key}.{case}"
    advice = say(f"{at}.advice", **words) if f"{at}.advice" in texts() else ""
    fix = None
    if f"{at}.fix" in texts():
        fix = Fix(say(f"{at}.fix", **words), do or key, value)
    return Check(key, state, say(f"{at}.finding", **words), advice, fix)


def in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The most urgent first, then in their usual order."""
    return tuple(sorted(checks, key=lambda one: (_ORDER.index(one.state), _KEYS.index(one.key))))
