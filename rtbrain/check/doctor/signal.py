"""What the signal itself shows: its size, mains, rate, bad contacts and trigger channels."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from rtbrain.check.doctor.checks import Check, Expected, State, Words, judge
from rtbrain.errors import SettingsError, list_words
from rtbrain.signal.mains import JUDGED_AFTER, Mains, MainsMeter
from rtbrain.signal.quality import ChannelQuality
from rtbrain.signal.reference import contact_rows
from rtbrain.stream.clock.rate import SampleCounterReport, effective_rate_verdict
from rtbrain.stream.triggers import TriggerEdges, parse_trigger
from rtbrain.stream_names import RATE_TOLERANCE, RATE_UNCHANGED
from rtbrain.types import TRIGGER_KIND, Chunk, Floats, Montage
from rtbrain.units import amplitude_uv, find_wrong_unit, microvolts_per, require_voltage
from rtbrain.view.texts import reason_text

_MOST_VALUES = 2**15  # that a typical size is measured on
_FEWEST_GOOD = 0.3  # share of the contacts, as decoders need
_RATE_AFTER_S = 10.0
_JUDGED_S = 3.0  # what a contact needs to be found bad, and a little
_MAX_CODES = 64
_LISTED = 3
_UNITS = {1e-6: "picovolts", 1e-3: "nanovolts", 1.0: "µV", 1e3: "millivolts", 1e6: "volts"}


@dataclass(frozen=True, slots=True, eq=False)
class SignalReading:
    """What was measured of a signal so far; sizes are in the unit that it states, as µV."""

    montage: Montage
    size_uv: float = math.nan
    mains: Mains | None = None  # None before 10 s
    bad: Mapping[str, str] | None = None  # None where contacts cannot be judged
    judged: bool = False  # whether contacts were seen for long enough
    report: SampleCounterReport | None = None
    lost: int = 0  # samples in the last minute
    clock_reason: str = ""  # what is wrong with its time stamps
    transport_s: float = math.nan  # from its time stamps to its arrival
    codes: Mapping[str, Mapping[str, int]] | None = None  # by trigger channel, how often each came
    silent_s: float = 0.0

    @property
    def n_contacts(self) -> int:
        """Number of contacts."""
        return len(contact_rows(self.montage))


class SignalMeter:
    """Measures the chunks of a signal as they come, in bounded memory.

    `trigger` names channels whose codes are counted, beside those that say that they are triggers.
    """

    def __init__(self, montage: Montage, trigger: str | None = None) -> None:
        self.montage = montage
        self._mains, self._n_segments, self._n_samples = MainsMeter(montage), 0, 0
        self._size_uv = math.nan
        self._quality: ChannelQuality | None = None
        if contact_rows(montage):
            with suppress(SettingsError):  # too low a rate to judge contacts
                self._quality = ChannelQuality(montage)
        pairs = zip(montage.names, montage.kinds, strict=True)
        names = [name for name, kind in pairs if kind == TRIGGER_KIND]
        self._edges: dict[str, TriggerEdges] = {}
        self._codes: dict[str, Counter[str]] = {}
        for text in dict.fromkeys([*names, *([trigger] if trigger else [])]):
            try:
                edges = TriggerEdges(parse_trigger(text, montage.names), montage.sfreq_hz)
            except SettingsError:
                continue
            self._edges[text], self._codes[text] = edges, Counter()

    def add(self, chunk: Chunk) -> list[tuple[str, float, str]]:
        """Take a chunk; trigger channel, time in s, and code of each event in it."""
        self._n_samples += chunk.n_samples
        for segment in self._mains.take(chunk):
            self._n_segments += 1
            self._size_uv = _typical_size(segment)
        if self._quality is not None:
            self._quality(chunk)
        return list(self._events(chunk))

    def _events(self, chunk: Chunk) -> Iterator[tuple[str, float, str]]:
        for text, edges in self._edges.items():
            rows = self.montage.rows(edges.trigger.names)
            events = edges(chunk.data[rows], chunk)
            counts = self._codes[text]
            for t, code in () if edges.is_noise else events:
                if code in counts or len(counts) < _MAX_CODES:
                    counts[code] += 1
                yield text, t, code

    def reading(self) -> SignalReading:
        """What was measured so far, of the samples alone."""
        enough = self._n_segments >= JUDGED_AFTER
        judged = self._n_samples >= _JUDGED_S * self.montage.sfreq_hz
        return SignalReading(
            self.montage,
            self._size_uv,
            self._mains.measured() if enough else None,
            None if self._quality is None else dict(self._quality.bad),
            judged,
            codes={text: dict(counts) for text, counts in self._codes.items()},
        )


def _typical_size(segment: Floats) -> float:
    every = max(1, segment.size // _MOST_VALUES)
    return amplitude_uv(segment[:, ::every])


def check_unit(reading: SignalReading, expected: Expected, stated: str) -> Check:
    """The unit that a stream states, empty for none, beside the size of its signal."""
    stated_uv = microvolts_per(stated) or 1.0  # what inlets take it for
    unit_uv = stated_uv if expected.unit is None else require_voltage(expected.unit)
    size_uv = reading.size_uv * unit_uv / stated_uv
    if math.isnan(size_uv):
        return judge("unit", "checking", "wait")
    if size_uv == 0:
        return judge("unit", "fix", "flat")
    wrong = find_wrong_unit(size_uv)
    if wrong is not None:
        factor = wrong[1]
        unit = _UNITS.get(float(f"{unit_uv * factor:.6g}"), "")
        times = f"{factor if factor > 1 else 1 / factor:,.0f}"
        case = f"{'small' if factor > 1 else 'large'}{'' if unit else '_unknown'}"
        return judge("unit", "fix", case, value=unit, times=times, unit=unit)
    unit = _UNITS.get(unit_uv, stated)
    case = "set" if expected.unit else "stated" if microvolts_per(stated) else "assumed"
    state: State = "look" if case == "assumed" else "fine"
    return judge("unit", state, case, value=unit, unit=unit, size=_figures(size_uv))


def check_mains(reading: SignalReading, expected: Expected) -> Check:
    """The mains hum of the signal beside the frequency that is removed."""
    mains, removed = reading.mains, expected.mains_hz
    if mains is None:
        return judge("mains", "checking", "wait")
    if mains.hz is None:
        case = "low_rate" if np.isnan([*mains.power_db.values()]).all() else "none"
        return judge("mains", "look" if case == "none" else "unchecked", case, found=str(mains))
    words: Words = {"hz": mains.hz, "removed": removed, "db": f"{mains.power_db[mains.hz]:.0f}"}
    if removed is None:
        return judge("mains", "fine", "measured", **words)
    if removed == mains.hz:
        return judge("mains", "fine", "agrees", **words)
    return judge("mains", "fix", "differs", value=mains.hz, **words)


def check_rate(reading: SignalReading) -> Check:
    """The rate that samples come at beside the one that is stated, and samples lost."""
    report = reading.report
    if report is None or report.delivered < _RATE_AFTER_S * report.nominal_rate_hz:
        return judge("rate", "checking", "wait")
    words: Words = {
        "measured": f"{report.effective_rate_hz:.2f}",
        "stated": f"{report.nominal_rate_hz:g}",
        "percent": f"{abs(report.drift_ppm) / 1e4:.2g}",
        "limit": f"{100 * RATE_TOLERANCE:g}",
        "lost": reading.lost,
    }
    if effective_rate_verdict(report):
        return judge("rate", "fix", "off", **words)
    if reading.lost:
        return judge("rate", "look", "lost", **words)
    unsure = 3 * math.sqrt(3) * report.uncertainty_s / _RATE_AFTER_S
    if abs(report.drift_ppm) / 1e6 > RATE_UNCHANGED + unsure:
        return judge("rate", "look", "drifts", **words)
    return judge("rate", "fine", "agrees", **words)


def list_contacts(bad: Mapping[str, str], most: int) -> str:
    """So many bad contacts, each with its reason in words."""
    return list_words([f"{name} {reason_text(why)}" for name, why in bad.items()], most)


def check_contacts(reading: SignalReading) -> Check:
    """How many contacts are good, and why others are not."""
    n_contacts, bad = reading.n_contacts, reading.bad
    if not n_contacts:
        return judge("contacts", "fix", "none", channels=reading.montage.n_channels)
    if bad is None:
        return judge("contacts", "unchecked", "low_rate")
    if not reading.judged:
        return judge("contacts", "checking", "wait")
    words: Words = {"bad": len(bad), "all": n_contacts, "listed": list_contacts(bad, _LISTED)}
    if n_contacts - len(bad) < _FEWEST_GOOD * n_contacts:
        return judge("contacts", "fix", "few", good=n_contacts - len(bad), **words)
    if bad:
        return judge("contacts", "look", "bad", **words)
    return judge("contacts", "fine", "good", **words)


def _figures(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1g}"
