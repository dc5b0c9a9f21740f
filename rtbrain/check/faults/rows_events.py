"""Rows of the matrix about events that are numbers: trigger channels, integer markers."""

import time
from contextlib import closing
from pathlib import Path

import mne
import numpy as np
import pylsl

from rtbrain.check.faults.live import new_stream_name
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.learn.fit.labels import states_from_markers
from rtbrain.outlet import SignalOutlet
from rtbrain.recording.export.run import export_recording
from rtbrain.recording.open import read, read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.stream.supervise.query import LslStreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Floats, Ints, Montage, Times

_SFREQ_HZ, _N_SAMPLES = 500.0, 4000
_EVERY, _PULSE, _FIRST = 500, 25, 100
_WITHIN_S = 20.0
_MONTAGE = Montage(("A1", "A2", "Status"), ("seeg", "seeg", "stim"), _SFREQ_HZ)


def _codes() -> Ints:
    """Pulses of 1 and 2 by turns, a second apart."""
    codes = np.zeros(_N_SAMPLES, np.int64)
    for number, start in enumerate(range(_FIRST, _N_SAMPLES, _EVERY)):
        codes[start : start + _PULSE] = 1 + number % 2
    return codes


def _data() -> Floats:
    noise = np.random.default_rng(36).normal(0, 50, (2, _N_SAMPLES))
    return np.vstack([noise, _codes()]).astype(np.float32)


def _recording(events: tuple[Event, ...] = ()) -> Recording:
    data = _data()
    return Recording(_MONTAGE, _N_SAMPLES, lambda a, b: data[:, a:b].copy(), events=events)


def _expected() -> list[tuple[int, str]]:
    """Sample and text of each event, as MNE-Python finds them."""
    info = mne.create_info(["Status"], _SFREQ_HZ, "stim")
    raw = mne.io.RawArray(_codes()[np.newaxis].astype(float), info, verbose="ERROR")
    return [(int(at), str(code)) for at, _, code in mne.find_events(raw, verbose="ERROR")]


def _samples(recording: Recording) -> list[tuple[int, str]]:
    return [(round(event.onset_s * _SFREQ_HZ), event.text) for event in recording.events]


def numbered_events(rig: Rig) -> Finding:
    """Read codes of EDF and FIF, integers of XDF, and BrainVision's markers of one sample."""
    findings: list[Finding] = []
    for to, name in (("edf", "x.edf"), ("fif", "x_raw.fif")):
        path = export_recording(_recording(), rig.folder / name, to)[0]  # type: ignore[arg-type]
        with closing(read_recording(path)) as found:
            same = _samples(found) == _expected()
            kept = np.array_equal(found.read(0, _N_SAMPLES)[-1], _codes())
            noted = any("codes of trigger channel 'Status'" in note for note in found.notes)
        what = f"{to}: {len(found.events)} codes, scaled: {not kept}, noted: {noted}"
        findings.append((what, same and kept and noted))
    found = read_recording(_integers(rig.folder / "int32.xdf"))
    findings.append((f"int32: {len(found.events)} markers", _samples(found) == _expected()))
    events = tuple(Event(at / _SFREQ_HZ, 0.0, text) for at, text in _expected())
    path = export_recording(_recording(events), rig.folder / "set", "bids")[0]
    # Not the table beside it: MNE-Python gives markers of size 1 the duration of a sample.
    marked = read(mne.io.read_raw(path, verbose="ERROR")).events
    classes = sorted({event.text for event in marked if event.text.endswith(("1", "2"))})
    labelled = states_from_markers(np.arange(1, 80) / 10, marked, classes)
    lasts = max(event.duration_s for event in marked)
    observed = f"markers of {lasts:g} s: windows {labelled.counts}"
    findings.append((observed, min(labelled.counts.values()) > 30))
    return joined(findings)


def _integers(path: Path) -> Path:
    header = (
        '<?xml version="1.0"?><info><name>{}</name><type>{}</type><channel_count>{}</channel_count>'
        "<channel_format>{}</channel_format><nominal_srate>{:g}</nominal_srate><desc/></info>"
    )
    writer = open_xdf(path)
    signal = writer.add_stream(header.format("amp", "EEG", 2, "float32", _SFREQ_HZ).encode())
    stamps: Times = 100 + np.arange(_N_SAMPLES) / _SFREQ_HZ
    writer.samples(signal, _data()[:2].T, stamps)
    marks = writer.add_stream(header.format("trig", "Markers", 1, "int32", 0.0).encode())
    codes = np.array([[int(text)] for _, text in _expected()], np.int32)
    writer.samples(marks, codes, stamps[[at for at, _ in _expected()]])
    writer.close()
    return path


def numbered_events_live(rig: Rig) -> Finding:
    """Receive integers as markers, and the codes of a channel of the signal, over LSL."""
    name = new_stream_name()
    info = pylsl.StreamInfo(f"{name}-trig", "Markers", 1, 0, "int32", f"{name}-trig")
    integers = pylsl.StreamOutlet(info)
    outlet = SignalOutlet(name, _MONTAGE, source_id=name, origin="synthetic")
    requirements = StreamRequirements(_SFREQ_HZ, _MONTAGE.names[:2], trigger="Status:0xFF")
    source = SupervisedSource(
        query=LslStreamQuery(source_id=name),
        requirements=requirements,
        montage=_MONTAGE.pick(_MONTAGE.names[:2]),
        on_event=lambda event, **fields: None,
    )
    with closing(outlet), closing(source):
        source.connect(_WITHIN_S)
        markers = MarkerSource(resolve_one({"source_id": f"{name}-trig"}, _WITHIN_S))
        integers.push_sample([7])
        texts: list[str] = []
        found: list[tuple[float, str]] = []
        end = time.monotonic() + _WITHIN_S
        while not outlet.has_listeners and time.monotonic() < end:
            source.pull(0.02)
        start_s, n_sent, data = lsl_clock(), 0, _data()
        n_wanted = len(_expected())
        while (len(found) < n_wanted or not texts) and time.monotonic() < end:
            n_due = min(int((lsl_clock() - start_s) * _SFREQ_HZ), _N_SAMPLES)
            stamps = start_s + np.arange(n_sent, n_due) / _SFREQ_HZ
            outlet.push(Chunk(data[:, n_sent:n_due], stamps))
            n_sent = n_due
            source.pull(0.02)
            found += source.markers(0.0)
            texts += [text for _, text in markers.pull(0.0)]
        markers.close()
    del integers
    at = [(round((t - start_s) * _SFREQ_HZ), text) for t, text in found]
    off = max(
        (abs(one[0] - other[0]) for one, other in zip(at, _expected(), strict=False)), default=0
    )
    same = [text for _, text in at] == [text for _, text in _expected()]
    return (
        f"int32 markers {texts}; {len(found)} codes, at most {off} samples off",
        texts == ["7"] and same and off <= 1,
    )


EVENT_CASES = (
    FaultCase(36, numbered_events),
    FaultCase(36, numbered_events_live, lsl=True),
)
