"""Pauses inside files: stamps that jump by their exact length, and events mapped through them.

EDF+ and BDF+ state when each record began, BrainVision files when each segment did; other files
hold annotations where samples are missing. https://www.edfplus.info/specs/edfplus.html
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtbrain.errors import list_words
from rtbrain.files import decode_text
from rtbrain.recording.headers import ANNOTATIONS, read_edf_header
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Floats, Ints, Mask, Times

_MOST_DRIFT = 0.01  # of a record
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\x00]*)\x00")
_ONSET = re.compile(rb"\s*[+-]?\d+(?:\.(\d*))?[\x14\x15]")
# Samples of these spans are in the file, but were never recorded.
_SKIP = "bad_acq_skip"
_LOST = re.compile(r"bad gap of (\d{1,12}) samples", re.IGNORECASE)
# MNE-Python's words for a seam between files, and EEGLAB's, whose duration is what was cut out.
_SEAMS = {"bad boundary", "edge boundary", "boundary", "new segment/"}
_SEGMENT = re.compile(rb"^Mk\d+=New Segment,[^,\r\n]*,(\d+),[^\r\n]*", re.MULTILINE)
_DATE = re.compile(rb",(\d{20})\s*$")
_MARKER_FILE = re.compile(rb"^MarkerFile\s*=([^\r\n]*)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class EdfRecords:
    """When each record of an EDF+ or BDF+ file began, s, and the annotations, on the same clock."""

    starts_s: Times  # float64 [n_records], from the first one
    length_s: float
    resolution_s: float  # of the stated times
    events: tuple[Event, ...]


def read_records(path: Path, names: tuple[str, ...], notes: list[str]) -> EdfRecords | None:
    """Records of an EDF or BDF file with annotations; None where it states no times.

    `names` are the channels, which an annotation may name behind ``@@``.
    """
    header = read_edf_header(path)
    ends = np.cumsum(header.per_record, dtype=np.int64) * header.sample_bytes
    places = [
        (int(end) - count * header.sample_bytes, count * header.sample_bytes)
        for label, count, end in zip(header.labels, header.per_record, ends, strict=True)
        if label.startswith(ANNOTATIONS) and count > 0
    ]
    if not places or min(header.per_record) < 0 or not 0 < header.record_s < math.inf:
        return None
    first, n_bytes = header.n_bytes, int(ends[-1])
    with path.open("rb") as file:
        starts: list[float] = []
        found_at: list[tuple[float, float]] = []
        raw_texts: list[bytes] = []
        decimals = 0
        for record in range((path.stat().st_size - first) // n_bytes):
            for number, (at, length) in enumerate(places):
                file.seek(first + record * n_bytes + at)
                block = file.read(length) + b"\0"
                for at_s, lasts_s, raw_text in _annotations(block):
                    found_at.append((at_s, lasts_s))
                    raw_texts.append(raw_text)
                if number == 0:
                    found = _ONSET.match(block)
                    stated = float(found[0][:-1]) if found else math.nan
                    starts.append(stated if math.isfinite(stated) else math.nan)
                    decimals = max(decimals, len(found[1] or b"") if found else 0)
    if not starts or not math.isfinite(starts[0]):
        return None
    events = []
    texts = _decoded(path.name, raw_texts, notes)
    for (onset_s, duration_s), text in zip(found_at, texts, strict=True):
        before, _, channel = text.rpartition("@@")
        words = before if channel in names else text
        events.append(Event(onset_s - starts[0], duration_s, words))
    in_order = tuple(sorted(events, key=lambda event: event.onset_s))
    begun_s = np.array(starts) - starts[0]
    return EdfRecords(begun_s, header.record_s, 10.0**-decimals, in_order)


def _decoded(name: str, raw_texts: list[bytes], notes: list[str]) -> list[str]:
    """Texts, those that are no UTF-8 by the one encoding that fits them together."""
    odd = []
    for raw in raw_texts:
        try:
            raw.decode()
        except UnicodeDecodeError:
            odd.append(raw)
    _, encoding = decode_text(b"\n".join(odd))
    if odd:
        notes.append(f"{len(odd)} annotations of {name} are not UTF-8 and were read as {encoding}")
    others = set(odd)
    return [raw.decode(encoding if raw in others else "utf-8", "replace") for raw in raw_texts]


def _annotations(block: bytes) -> Iterator[tuple[float, float, bytes]]:
    for onset, duration, texts in _TAL.findall(block):
        onset_s, duration_s = float(onset), float(duration or 0)
        if math.isfinite(onset_s) and math.isfinite(duration_s):
            yield from ((onset_s, duration_s, text) for text in texts.split(b"\x14") if text)


def with_pauses(recording: Recording, path: Path, records: EdfRecords | None) -> Recording:
    """The recording with its pauses as gaps of its stamps; the very same where it has none.

    Its events are by the file's own time: samples over rate, or the clock of the records.
    """
    notes: list[str] = []
    rate_hz, n_samples = recording.montage.sfreq_hz, recording.n_samples
    pauses: dict[int, float] = {}
    kept: tuple[Event, ...] = recording.events
    skipped = np.zeros(0, np.bool_)
    if records is not None:
        pauses, to_samples = _between_records(path.name, records, rate_hz, notes)
        if pauses or kept is records.events:
            kept = tuple(replace(one, onset_s=to_samples(one.onset_s)) for one in kept)
    by_clock = bool(pauses)
    if not by_clock:
        pauses = _between_segments(path, rate_hz, notes) if path.suffix.lower() == ".vhdr" else {}
        kept, skipped = _annotated(kept, n_samples, rate_hz, pauses)
    # What is not above half a sample is none; a length that is not stated is NaN.
    pauses = {
        at: pause_s
        for at, pause_s in pauses.items()
        if 0 < at < n_samples and not pause_s <= 0.5 / rate_hz
    }
    if not pauses and not skipped.any():
        return replace(recording, events=kept, notes=(*recording.notes, *notes))
    firsts = np.array(sorted(pauses), np.int64)
    unstated = [at for at in firsts.tolist() if math.isnan(pauses[at])]
    # An unstated one is a sample long, so that nothing is taken for continuous.
    lengths_s = np.nan_to_num([pauses[at] for at in firsts.tolist()], nan=1 / rate_hz)
    paused_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    stamps = np.arange(n_samples) / rate_hz
    stamps += paused_s[np.searchsorted(firsts, np.arange(n_samples), side="right")]
    rows = np.flatnonzero(~skipped) if skipped.any() else None
    stamps = stamps if rows is None else stamps[rows]
    if not stamps.size:
        return recording
    origin_s = float(stamps[0])

    def moved(event: Event) -> Event:
        if by_clock:
            return event
        # An event half a sample before a pause's end is one of the sample after.
        at, end = event.onset_s * rate_hz + 0.5, (event.onset_s + event.duration_s) * rate_hz - 0.5
        onset_s = event.onset_s + paused_s[np.searchsorted(firsts, at, side="right")]
        stop_s = event.onset_s + event.duration_s + paused_s[np.searchsorted(firsts, end)]
        return Event(float(onset_s) - origin_s, max(0.0, float(stop_s - onset_s)), event.text)

    stamps -= origin_s
    paused = np.diff(stamps) - 1 / rate_hz
    paused = paused[paused > 0.5 / rate_hz]
    if paused.size:
        notes.append(
            f"{path.name} holds pauses: {paused.size}, {paused.sum():.6g} s in all, the longest "
            f"{paused.max():.6g} s: nothing was recorded in them, and no window crosses one"
        )
    if unstated:
        places = list_words([f"{at / rate_hz:.6g} s" for at in unstated])
        notes.append(
            f"{path.name} does not state the length of the pauses before {places} of its samples: "
            "each counts as one lost sample"
        )
    read = recording.reader if rows is None else partial(_read_rows, recording, rows)
    return replace(
        recording,
        n_samples=stamps.size,
        reader=read,
        stamps=stamps,
        events=tuple(map(moved, kept)),
        notes=(*recording.notes, *notes),
    )


def _between_records(
    name: str, records: EdfRecords, rate_hz: float, notes: list[str]
) -> tuple[dict[int, float], Callable[[float], float]]:
    """Pauses by the first sample after each, s, and what brings times of the clock to the samples.

    The clock may run at another speed than the samples: only what differs from most is a pause.
    """
    starts_s, length_s = records.starts_s, records.length_s
    stated = np.flatnonzero(np.isfinite(starts_s))
    steps = np.diff(stated)
    late_s = np.diff(starts_s[stated]) - steps * length_s
    drift_s = float(np.quantile(late_s / steps, 0.5, method="lower")) if steps.size else 0.0
    tolerance_s = 0.5 / rate_hz
    if steps.size and _are_rounded(late_s, length_s, records.resolution_s):
        tolerance_s += records.resolution_s
        # What is rounded is 0 or one last digit: their mean is the drift.
        per_record_s = late_s / steps
        drift_s = float(per_record_s[np.abs(per_record_s - drift_s) <= tolerance_s].mean())
    if abs(drift_s) < _MOST_DRIFT * length_s:
        late_s -= drift_s * steps
        if abs(drift_s) * steps.sum() > tolerance_s:
            notes.append(
                f"{name}: the clock of its records runs {100 * abs(drift_s) / length_s:.2g} % "
                f"{'slower' if drift_s < 0 else 'faster'} than its samples: this drift is not "
                "taken for pauses"
            )
    n_back = int((late_s < -tolerance_s).sum())
    if n_back:
        notes.append(
            f"{name}: {n_back} records began before the one in front of them had ended, by their "
            "own times: records are taken to follow one another, and pauses are not known"
        )
        return {}, float
    late_s[late_s <= tolerance_s] = 0
    begun_s = stated * length_s + np.append(0.0, np.cumsum(late_s))
    n_each = round(length_s * rate_hz)
    pauses = {int(stated[row + 1]) * n_each: float(late_s[row]) for row in np.flatnonzero(late_s)}

    def moved(time_s: float) -> float:
        record = max(0, int(np.searchsorted(starts_s[stated], time_s, side="right")) - 1)
        return float(begun_s[record] + time_s - starts_s[stated[record]])

    return pauses, moved


def _are_rounded(late_s: Times, length_s: float, resolution_s: float) -> bool:
    """Whether records may be late by the last digit of their times alone.

    One that is coarse beside a record is believed, unless it differs rarely, and also says that
    records came early or differs as regularly as only a drift does.
    """
    if abs(length_s / resolution_s - round(length_s / resolution_s)) > 1e-6:
        return True
    if resolution_s <= _MOST_DRIFT * length_s * (1 + 1e-6):
        return True
    by_a_digit = np.abs(np.abs(late_s) - resolution_s) < 1e-6
    apart = np.diff(np.flatnonzero(by_a_digit))
    regular = apart.size > 1 and bool((np.abs(apart - np.median(apart)) <= 1).mean() > 0.75)
    rare = resolution_s * (by_a_digit.sum() - 1) <= _MOST_DRIFT * length_s * late_s.size
    return bool(rare) and (regular or bool((by_a_digit & (late_s < 0)).any()))


def _between_segments(path: Path, rate_hz: float, notes: list[str]) -> dict[int, float]:
    """Pauses by the first sample after each, s; NaN where the dates do not say how long."""
    named = _MARKER_FILE.search(path.read_bytes())
    name = named[1].strip().replace(b"$b", path.stem.encode()) if named else b""
    markers = path.with_suffix(".vmrk")
    try:
        stated = path.with_name(name.decode(errors="surrogateescape"))
        content = (stated if stated.is_file() else markers).read_bytes()
    except (OSError, ValueError):
        return {}
    found = [(int(one[1][:12]) - 1, _date(one[0])) for one in _SEGMENT.finditer(content)]
    pauses: dict[int, float] = {}
    for (before, earlier), (at, later) in pairwise(found):
        pause_s = math.nan
        if earlier is not None and later is not None:
            pause_s = (later - earlier).total_seconds() - (at - before) / rate_hz
            if pause_s < -0.5 / rate_hz:
                notes.append(
                    f"{path.name}: the segment at sample {at} began before the one in front of it "
                    "had ended, by their dates"
                )
                pause_s = math.nan
        pauses[at] = pause_s
    return pauses


def _date(marker: bytes) -> datetime | None:
    found = _DATE.search(marker)
    try:
        return None if found is None else datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S%f")
    except ValueError:
        return None


def _annotated(
    events: Sequence[Event], n_samples: int, rate_hz: float, pauses: dict[int, float]
) -> tuple[tuple[Event, ...], Mask]:
    """Take pauses out of the events; bool [n_samples] is true where samples were not recorded."""
    kept = []
    skipped = np.zeros(0, np.bool_)
    for event in events:
        text = event.text.strip().lower()
        # EEGLAB puts a seam half a sample before the sample after it.
        at = math.ceil(max(-1.0, min(event.onset_s * rate_hz, n_samples)) - 0.25)
        lost = _LOST.fullmatch(text)
        if text == _SKIP:
            skipped = skipped if skipped.size else np.zeros(n_samples, np.bool_)
            stop = event.onset_s * rate_hz + event.duration_s * rate_hz
            skipped[max(at, 0) : max(0, round(max(-1.0, min(stop, n_samples))))] = True
        elif lost is not None and at > 0:
            pauses[at] = int(lost[1]) / rate_hz
        elif text in _SEAMS and 0 < at < n_samples:
            stated_s = event.duration_s if text == "boundary" and event.duration_s else math.nan
            pauses.setdefault(at, stated_s)
        else:
            kept.append(event)
    return tuple(kept), skipped


def _read_rows(recording: Recording, rows: Ints, start: int, stop: int) -> Floats:
    """Samples by their numbers among those that are kept."""
    wanted = rows[start:stop]
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    pieces = [recording.read(int(run[0]), int(run[-1]) + 1) for run in runs]
    return np.concatenate(pieces, axis=1)
