"""A recorded run of two minutes, written from the specification of XDF: what happened is known."""

import json
from pathlib import Path

import numpy as np

from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ, HOP_S, DURATION_S, BEGIN_S = 256.0, 0.125, 120.0, 5000.0
LOST = (40.0, 42.0)  # s, samples that were never recorded
INVALID = (40.0, 43.0)
QUALITY = {"valid": "bool", "coverage": "fraction", "age_s": "seconds", "compute_s": "seconds"}
CUES = [(6.0 * k, ("rest", "speech")[k % 2]) for k in range(20)]


def signal() -> XdfStream:
    times = np.arange(round(DURATION_S * SFREQ_HZ)) / SFREQ_HZ
    times = times[(times < LOST[0]) | (times >= LOST[1])]
    values = np.random.default_rng(0).normal(0, 20, (times.size, 3))
    desc = described(("A1", "A2", "A3"))
    return XdfStream("amp", BEGIN_S + times, values, SFREQ_HZ, desc=desc, source_id="amp")


def decodes(name: str = "ward", drift: bool = True) -> XdfStream:
    t_stop = np.arange(1.0, DURATION_S, HOP_S)
    phase = np.array([[time for time, _ in CUES].index(6.0 * (t // 6)) % 2 for t in t_stop])
    noise = np.random.default_rng(1).uniform(-0.2, 0.2, t_stop.size)
    speech = 0.5 + 0.25 * (2 * phase - 1) + noise
    valid = (t_stop < INVALID[0]) | (t_stop >= INVALID[1])
    rows = [1 - speech, speech, valid, np.ones(t_stop.size), np.full(t_stop.size, 0.18)]
    rows.append(np.full(t_stop.size, 0.004))
    labels = {"rest": "probability", "speech": "probability", **QUALITY}
    if drift:
        labels["drift"] = "ratio"
        rows.append(np.where((t_stop >= 100) & (t_stop < 105), 1.5, 0.4))
    values = np.stack(rows, axis=1)
    values[~valid, :2] = np.nan
    nodes = "".join(
        f"<channel><label>{label}</label><unit>{unit}</unit><type>misc</type></channel>"
        for label, unit in labels.items()
    )
    desc = (
        f"<channels>{nodes}</channels><rtbrain><origin>decoder</origin><bundle_id>b1</bundle_id>"
        "<stream>amp</stream><version>0.1.0</version></rtbrain>"
    )
    return XdfStream(
        f"{name}-decode", BEGIN_S + t_stop, values, 1 / HOP_S, content="Decode", desc=desc
    )


def status() -> XdfStream:
    lines = [
        (0.2, {"event": "live"}),
        (1.0, {"event": "valid", "reason": ""}),
        (20.0, {"event": "channel_bad", "channel": "A2", "reason": "flat"}),
        (41.0, {"event": "invalid", "reason": "no samples for 1 s"}),
        (41.4, {"event": "lost"}),
        (42.0, {"event": "live"}),
        (43.0, {"event": "valid", "reason": ""}),
        (45.0, {"event": "disarmed", "reason": "no valid decode for 5 s"}),
        (50.0, {"event": "channel_good", "channel": "A2"}),
        (61.0, {"event": "detected", "label": "speech", "value": 0.9, "calibrated": False}),
        (61.4, {"event": "suppressed", "label": "speech", "reason": "refractory: 1 s"}),
        (90.0, {"event": "channel_bad", "channel": "A3", "reason": "mains"}),
        (100.1, {"event": "drift", "measure": "level", "contacts": ["A1", "A3"]}),
    ]
    stamps = BEGIN_S + np.array([t for t, _ in lines])
    texts = [json.dumps(fields) for _, fields in lines]
    return XdfStream("ward-status", stamps, texts, 0.0, "string", content="Status")


def markers(name: str, events: list[tuple[float, str]]) -> XdfStream:
    stamps = BEGIN_S + np.array([t for t, _ in events])
    return XdfStream(name, stamps, [text for _, text in events], 0.0, "string", content="Markers")


def write_run(path: Path, *more: XdfStream, drift: bool = True) -> Path:
    detected = [(60.8, json.dumps({"label": "speech", "value": 0.9, "t_ready": BEGIN_S + 61.0}))]
    streams = [signal(), decodes(drift=drift), status(), markers("task", CUES)]
    write_xdf(path, *streams, markers("ward-events", detected), *more)
    return path
