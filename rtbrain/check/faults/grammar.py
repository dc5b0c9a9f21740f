"""The language of faults on purpose: how a user writes what is to go wrong with a stream.

A fault is ``KIND[:WHAT][@WHEN]``. WHEN is in seconds of signal since its first sample: ``@10``
for a moment, ``@5-8`` for a span; ``@5`` alone, where a span is possible, lasts to the end.
Channels are labels with commas between them, or ``*`` for all.

Faults of the stream itself, except for ``vanish`` and ``duplicate-source``, take it away for 1 s,
its samples lost; it comes back changed, with its own name and source_id.
"""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from rtbrain.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    start_s: float = 0.0
    stop_s: float = math.inf
    channels: tuple[str, ...] = ()
    amount: float = math.nan
    new_name: str = ""


@dataclass(frozen=True, slots=True)
class _Form:
    """How a fault is written: an example of it, what WHAT looks like, and what WHEN may be."""

    example: str
    what: str  # a regular expression with the groups amount, channels, new
    when: str  # moment, span, or start (which may be left out)


_NUMBER = r"(?P<amount>\d*\.?\d+(?:e[+-]?\d+)?)"
_SIGNED = r"(?P<amount>[+-]?\d*\.?\d+(?:e[+-]?\d+)?)"
_COUNT = r"(?P<amount>\d+)"
_CHANNELS = r"(?P<channels>[^=]+)"
_FORMS = {
    "drop": _Form("drop:2s@10", f"{_NUMBER}s", "moment"),  # samples are lost
    "stall": _Form("stall:3s@10", f"{_NUMBER}s", "moment"),  # nothing is sent, then all at once
    "burst": _Form("burst:0.5s@5-8", f"{_NUMBER}s", "span"),  # samples are sent in bursts
    "dup": _Form("dup:64@10", _COUNT, "moment"),  # samples are sent twice, with the same stamps
    "reorder": _Form("reorder:64@10", f"(?:{_COUNT})?", "moment"),  # change places with the next 64
    "nan": _Form("nan:A3@5-8", _CHANNELS, "span"),
    "inf": _Form("inf:A3@5-8", _CHANNELS, "span"),
    "flat": _Form("flat:A3@5-8", _CHANNELS, "span"),  # a channel holds its value
    "saturate": _Form("saturate:A3@5-8", _CHANNELS, "span"),  # to its rails, 5000 µV up and down
    "mains": _Form("mains:A3,A4@5-8", _CHANNELS, "span"),  # 1000 µV of it on top
    "scale": _Form("scale:1e6@5", _SIGNED, "span"),  # all values are multiplied
    "clockstep": _Form("clockstep:+10s@10", f"{_SIGNED}s", "moment"),  # the sender's clock is set
    "drift": _Form("drift:200ppm", f"{_SIGNED}ppm", "start"),  # its clock runs fast, or slow
    "vanish": _Form("vanish:3s@10", f"{_NUMBER}s", "moment"),
    "permute": _Form("permute@12", "", "moment"),  # channels come in reverse order
    "rename": _Form("rename:A3=ZZ@12", r"(?P<channels>[^=,*]+)=(?P<new>[^=,*]+)", "moment"),
    "add": _Form("add:ZZ@12", r"(?P<new>[^=,*]+)", "moment"),  # a first channel, of zeros
    "remove": _Form("remove:A3@12", r"(?P<channels>[^=*]+)", "moment"),
    "rate": _Form("rate:1000@15", f"{_NUMBER}(?:Hz)?", "moment"),  # values are held or skipped
    # A second stream with the same name and source_id sends the same.
    "duplicate-source": _Form("duplicate-source@10", "", "span"),
}
# Each kind of fault, with an example of how it is written.
FAULT_KINDS: dict[str, str] = {kind: form.example for kind, form in _FORMS.items()}
# Kinds that change the stream itself and not its samples.
OUTLET_FAULT_KINDS = frozenset(
    {"vanish", "permute", "rename", "add", "remove", "rate", "duplicate-source"}
)
_WHEN = re.compile(r"(?P<start>\d*\.?\d+)(?:-(?P<stop>\d*\.?\d+))?")
_REORDERED_SAMPLES = 64.0
_MAY_BE_ANY = frozenset({"clockstep", "drift", "scale"})


def parse_fault(text: str) -> Fault:
    """Fault that a text names, such as ``drop:2s@10``; SettingsError if it names none."""
    head, _, when = text.strip().rpartition("@")
    if not head:
        head, when = when, ""
    kind, _, what = head.partition(":")
    form = _FORMS.get(kind)
    if form is None:
        near = difflib.get_close_matches(kind, _FORMS, 1, 0.5)
        hint = (
            f"did you mean {_FORMS[near[0]].example}?" if near else "there are " + ", ".join(_FORMS)
        )
        raise SettingsError(f"fault {text!r}: there is no fault {kind!r}, {hint}")

    def malformed(why: str) -> SettingsError:
        return SettingsError(f"fault {text!r}: {why}; write it like {form.example}")

    found = re.fullmatch(form.what, what)
    if found is None:
        raise malformed(f"cannot read {what!r}" if what else "it does not say what")
    groups = found.groupdict()
    start_s, stop_s = _when(form.when, when, malformed)
    default = _REORDERED_SAMPLES if kind == "reorder" else math.nan
    amount = default if groups.get("amount") is None else float(groups["amount"])
    if not math.isfinite(amount) and "amount" in groups:
        raise malformed(f"expected a finite number, got {amount:g}")
    if amount <= 0 and kind not in _MAY_BE_ANY:
        raise malformed(f"expected a number above 0, got {amount:g}")
    channels = tuple((groups.get("channels") or "").split(",")) if groups.get("channels") else ()
    if any(not name.strip() for name in channels):
        raise malformed("a label is empty")
    return Fault(
        kind=kind,
        start_s=start_s,
        stop_s=stop_s,
        channels=channels,
        amount=amount,
        new_name=groups.get("new") or "",
    )


def _when(
    allowed: str, when: str, malformed: Callable[[str], SettingsError]
) -> tuple[float, float]:
    """First and last second."""
    if not when:
        if allowed == "start":
            return 0.0, math.inf
        raise malformed("it does not say when")
    found = _WHEN.fullmatch(when)
    if found is None:
        raise malformed(f"cannot read the seconds {when!r}")
    start_s = float(found["start"])
    if found["stop"] is None:
        return start_s, math.inf
    stop_s = float(found["stop"])
    if allowed != "span":
        raise malformed("it begins at one second and has no span")
    if stop_s <= start_s:
        raise malformed(f"it ends at second {stop_s:g}, not after it begins")
    return start_s, stop_s
