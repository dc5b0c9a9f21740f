"""In which order, colour and scale the channels of a montage are drawn."""

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtbrain.types import Floats, Montage

# µV from one trace to the next.
SCALES_UV = tuple(float(digit * 10**power) for power in range(-1, 6) for digit in (1, 2, 5))
# A contact, or a pair or a contact with its reference, which go by the first: A1, A1-A2, A1-REF.
_NUMBERED = re.compile(r"^(.*?)\d+(?:-.*)?$")


@dataclass(frozen=True, slots=True)
class Lanes:
    """Channels from top to bottom, shaft by shaft."""

    rows: tuple[int, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    shafts: tuple[str, ...]
    colours: tuple[int, ...]

    @classmethod
    def of(cls, montage: Montage) -> "Lanes":
        """Lanes of a montage: shafts in the order of their first contact."""
        shafts = [_shaft_of(name, kind) for name, kind in _channels(montage)]
        keys = list(zip(montage.kinds, shafts, strict=True))
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        rows = sorted(range(montage.n_channels), key=lambda row: (numbers[keys[row]], row))
        return cls(
            tuple(rows),
            tuple(montage.names[row] for row in rows),
            tuple(montage.kinds[row] for row in rows),
            tuple(shafts[row] for row in rows),
            tuple(numbers[keys[row]] for row in rows),
        )

    def find(self, text: str) -> int | None:
        """Lane of the label that is meant: equal, else begins so, else contains it."""
        wanted = text.strip().casefold()
        if not wanted:
            return None
        names = [name.casefold() for name in self.names]
        for fits in (str.__eq__, str.startswith, str.__contains__):
            for lane, name in enumerate(names):
                if fits(name, wanted):
                    return lane
        return None


def _channels(montage: Montage) -> list[tuple[str, str]]:
    return list(zip(montage.names, montage.kinds, strict=True))


def _shaft_of(name: str, kind: str) -> str:
    """What stands before the number; channels without a number go by their kind."""
    match = _NUMBERED.match(name)
    return match.group(1) if match and match.group(1) else kind


def bad_reason(name: str, bad: Mapping[str, str]) -> str:
    """Why a trace is not to be believed; empty if it is. A pair is as bad as either contact."""
    if name in bad or not bad:
        return bad.get(name, "")
    parts = name.split("-")
    for cut in range(1, len(parts)):
        for contact in ("-".join(parts[:cut]), "-".join(parts[cut:])):
            if contact in bad:
                return f"{contact}: {bad[contact]}"
    return ""


def step_scale_uv(scale_uv: float, steps: int) -> float:
    """Scale that many steps of 1, 2, 5 on; it stops at the ends."""
    at = bisect.bisect_left(SCALES_UV, scale_uv * 0.999)
    return SCALES_UV[min(max(at + steps, 0), len(SCALES_UV) - 1)]


def fit_scale_uv(low: Floats, high: Floats) -> float | None:
    """Scale at which most traces of a page just fit their lanes; None without a sample."""
    there = np.isfinite(low).any(axis=1)
    if not there.any():
        return None
    low, high = low[there], high[there]
    spans = np.nanpercentile(high, 95, axis=1) - np.nanpercentile(low, 5, axis=1)
    return SCALES_UV[
        min(bisect.bisect_left(SCALES_UV, float(np.median(spans))), len(SCALES_UV) - 1)
    ]
