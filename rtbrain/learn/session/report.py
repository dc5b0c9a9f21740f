"""A recorded session in figures and plain words: what a clinician reads after a run."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rtbrain
from rtbrain.decoder import Bundle, read_bundle
from rtbrain.errors import RecordingError, SettingsError, list_words
from rtbrain.files import sha256, strict_json
from rtbrain.learn.evaluate import (
    label_settings,
    score_decodes,
    wanted_detections,
)
from rtbrain.learn.recorded import recorded_decodes
from rtbrain.learn.session.happenings import ENDED, happenings
from rtbrain.learn.session.timeline import (
    RecordedDecodes,
    SessionTimeline,
    Span,
    read_timeline,
    runs_of,
    without_name,
)
from rtbrain.learn.session.words import describe_session
from rtbrain.types import Doubles, Floats

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_MAX_DRAWN = 5000
_OF_GATE = ("disarmed", "no valid decode", "no output is set")  # why outputs got no trigger
FLAG = 1.0  # drift at which a window is unlike calibration


@dataclass(frozen=True, slots=True, eq=False)
class SessionReport:
    """What happened in a session.

    Attributes
    ----------
    words : list of str
        The most important things first, one sentence each.
    figures : dict
        All of it as plain values.
    timeline : SessionTimeline
        What they were computed from.
    """

    words: list[str]
    figures: dict[str, Any]
    timeline: SessionTimeline

    def as_json(self) -> str:
        """Words and figures as JSON."""
        return strict_json({"words": self.words, **self.figures})


def session_report(
    recording: str | Path,
    *,
    bundle: str | Path | Bundle | None = None,
    stream: str | None = None,
    name: str | None = None,
) -> SessionReport:
    """Report what happened in a recorded run.

    Parameters
    ----------
    recording : str or Path
        XDF file of a run.
    bundle : str, Path or Bundle, optional
        The decoder: with it, decodes are scored where the run had cues.
    stream, name : str, optional
        Name of the signal and of the decoder, where the file holds several.

    Raises
    ------
    RecordingError
        The file cannot be read, or it is not clear which of its streams is meant.
    SettingsError
        The decodes are those of another bundle.

    Examples
    --------
    >>> import rtbrain
    >>> report = rtbrain.session_report("run.xdf")
    >>> report.figures["signal"]["missing"]
    512
    >>> print(report.words[0])
    2 min 0 s of amp were recorded: 3 channels at 256 Hz; 512 samples (2.0 s) are missing, in 1
    gap, at 0:40.
    """
    path = Path(recording)
    known = read_bundle(Path(bundle)) if isinstance(bundle, str | Path) else bundle
    timeline = read_timeline(path, stream=stream, name=name)
    decodes = timeline.decodes
    figures: dict[str, Any] = {
        "duration_s": timeline.duration_s,
        "signal": _signal(timeline),
        "contacts_bad": {
            contact: [[span.start_s, span.stop_s, span.text] for span in spans]
            for contact, spans in timeline.bad.items()
        },
        "markers": _markers(timeline),
        "along": _along(timeline),
        "happened": _happened(timeline),
    }
    if decodes is not None:
        figures["decodes"] = _decodes(timeline, decodes)
        figures["latency_s"] = {"whole": _quantiles(decodes.age_s[decodes.valid])}
        figures["latency_s"]["computing"] = _quantiles(decodes.compute_s[decodes.valid])
        figures["drift"] = _drift(decodes)
        figures["detections"] = _detections(timeline)
        figures["triggers"] = _triggers(timeline)
        figures["not_triggered"] = _not_triggered(timeline)
        figures["scores"] = _scores(path, known, timeline, decodes)
    figures["made_by"] = _versions(path, timeline, known)
    return SessionReport(describe_session(figures, timeline), figures, timeline)


def _signal(timeline: SessionTimeline) -> dict[str, Any]:
    signal = timeline.signal
    return {
        "name": signal.name,
        "channels": len(signal.labels),
        "sfreq_hz": signal.sfreq_hz,
        "samples": timeline.n_samples,
        "missing": max(0, timeline.n_expected - timeline.n_samples),
        "gaps_s": [[gap.start_s, gap.stop_s] for gap in timeline.gaps],
    }


def _markers(timeline: SessionTimeline) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for _, stream, text in timeline.markers:
        found.setdefault(stream, Counter())[text] += 1
    return {stream: dict(counts.most_common(50)) for stream, counts in found.items()}


def _along(timeline: SessionTimeline) -> dict[str, list[list[Any]]]:
    """What to draw along the time, in s since the begin."""
    decodes = timeline.decodes
    invalid = [] if decodes is None else invalid_spans(timeline, decodes)
    sent = timeline.of("detected")
    return {
        "invalid_s": [[span.start_s, span.stop_s, span.text] for span in invalid],
        "markers": [list(marker) for marker in timeline.markers[:_MAX_DRAWN]],
        "detected": [[one.t, str(one.fields.get("label", ""))] for one in sent[:_MAX_DRAWN]],
    }


def _happened(timeline: SessionTimeline) -> list[list[Any]]:
    """What to read after a run: from, to, text; in s since the begin."""
    decodes = timeline.decodes
    invalid = [] if decodes is None else invalid_spans(timeline, decodes)
    flagged = [] if decodes is None else _flagged(decodes)
    found = happenings(timeline, invalid, flagged)
    return [[one.start_s, one.stop_s, one.text] for one in found]


def _decodes(timeline: SessionTimeline, decodes: RecordedDecodes) -> dict[str, Any]:
    without = [span for span in invalid_spans(timeline, decodes) if span.stop_s > span.start_s]
    seconds: dict[str, float] = {}
    for span in without:
        why = span.text or "not stated"
        seconds[why] = seconds.get(why, 0.0) + span.stop_s - span.start_s
    longest = max(without, key=lambda span: span.stop_s - span.start_s, default=None)
    return {
        "name": decodes.name,
        "outputs": list(decodes.labels),
        "decodes": int(decodes.t_stop.size),
        "valid": int(decodes.valid.sum()),
        "valid_share": _valid_share(timeline, decodes),
        "thresholds": _thresholds(timeline),
        "invalid_s_by_reason": seconds,
        "longest_without": None
        if longest is None
        else [longest.start_s, longest.stop_s, longest.text],
    }


def _thresholds(timeline: SessionTimeline) -> dict[str, dict[str, Any]]:
    """By what was detected at the end of the run, as the decoder reported it."""
    for event in reversed(timeline.of("summary")):
        detections = event.fields.get("detections")
        found = detections.get("thresholds") if isinstance(detections, dict) else None
        if isinstance(found, dict):
            return {str(label): one for label, one in found.items() if isinstance(one, dict)}
    return {}


def _valid_share(timeline: SessionTimeline, decodes: RecordedDecodes) -> float:
    """Share of the time since the first decode in which a valid one held."""
    if not np.isfinite(decodes.hop_s):
        return float(decodes.valid.mean())
    lasts = np.minimum(np.append(np.diff(decodes.t_stop), decodes.hop_s), 1.5 * decodes.hop_s)
    whole = max(timeline.duration_s - float(decodes.t_stop[0]), decodes.hop_s)
    return min(1.0, float(lasts[decodes.valid].sum()) / whole)


def invalid_spans(timeline: SessionTimeline, decodes: RecordedDecodes) -> list[Span]:
    """Stretches since the first decode without a valid one, with the reason that was reported."""
    if not decodes.valid.any() or not np.isfinite(decodes.hop_s):
        return []
    t_valid = decodes.t_stop[decodes.valid].astype(np.float64)
    edges = np.concatenate((decodes.t_stop[:1], t_valid, [timeline.duration_s]))
    at = np.flatnonzero(np.diff(edges) > 2.5 * decodes.hop_s)
    why = [
        (event.t, str(event.fields.get("reason", "windows were skipped since decoding was late")))
        for event in timeline.of("invalid", "skipped")
    ]
    spans = []
    for i in at:
        holds_s = decodes.hop_s if i else 0.0  # before the first edge there was no decode
        begin_s, end_s = float(edges[i]) + holds_s, float(edges[i + 1])
        text = next((text.split(":")[0] for t, text in why if begin_s <= t <= end_s + 1), "")
        if not text and any(begin_s <= one.t <= end_s for one in timeline.of("stopped", "failed")):
            text = ENDED
        spans.append(Span(begin_s, end_s, text))
    return spans


def _quantiles(values: Floats | Doubles) -> dict[str, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return {}
    return {name: float(np.quantile(known, share)) for name, share in _QUANTILES.items()}


def _drift(decodes: RecordedDecodes) -> dict[str, Any]:
    known = np.isfinite(decodes.drift)
    if not known.any():
        return {}
    return {
        "share_over": float((decodes.drift[known] >= FLAG).mean()),
        "max": float(decodes.drift[known].max()),
        "flags_s": [[span.start_s, span.stop_s] for span in _flagged(decodes)],
    }


def _flagged(decodes: RecordedDecodes) -> list[Span]:
    """Stretches in which the signal was unlike calibration."""
    hop_s = decodes.hop_s if np.isfinite(decodes.hop_s) else 0.0
    return runs_of(decodes.drift >= FLAG, decodes.t_stop, hop_s)  # false where it is unknown


def _detections(timeline: SessionTimeline) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in timeline.of("detected", "suppressed"):
        label = str(event.fields.get("label", ""))
        one = found.setdefault(label, {"sent": 0, "suppressed": Counter(), "calibrated": True})
        if event.event == "detected":
            one["sent"] += 1
            one["calibrated"] &= bool(event.fields.get("calibrated", False))
        else:
            one["suppressed"][_kind_of(event.fields.get("reason"))] += 1
    return found


def _kind_of(reason: object) -> str:
    """A reason without the figures of the single case."""
    text = str(reason or "not stated").split(":")[0]
    return "it did not stay" if text.startswith("stayed for") else text


def _triggers(timeline: SessionTimeline) -> dict[str, dict[str, Any]]:
    """By output: what was sent, how fast, what the receiver said, and why the rest was not."""
    found: dict[str, dict[str, Any]] = {}
    latencies: dict[str, list[float]] = {}
    for _, fields in timeline.triggers:
        if not (name := str(fields.get("output") or "")):
            continue  # no output was set, or the detection itself was suppressed
        one = found.setdefault(name, {"sent": 0, "acknowledged": 0, "suppressed": Counter()})
        if fields.get("sent"):
            one["sent"] += 1
            one["acknowledged"] += fields.get("acknowledged") is True
            if isinstance(latency_s := fields.get("latency_s"), int | float):
                latencies.setdefault(name, []).append(latency_s)
        else:
            one["suppressed"][_kind_of(fields.get("suppressed"))] += 1
    for name, values in latencies.items():
        found[name]["latency_s"] = _quantiles(np.array(values))
    return found


def _not_triggered(timeline: SessionTimeline) -> dict[str, int]:
    """Detections that no output had a trigger of, by the reason; not those of the detector."""
    reasons = (
        _kind_of(fields.get("suppressed"))
        for _, fields in timeline.triggers
        if not fields.get("output")
    )
    return dict(Counter(reason for reason in reasons if reason in _OF_GATE))


def _scores(
    path: Path, bundle: Bundle | None, timeline: SessionTimeline, decodes: RecordedDecodes
) -> dict[str, Any]:
    """Scores as `rtbrain.evaluate` gives them, or why there are none."""
    if bundle is None:
        return {"none": "Not scored: name the decoder with --bundle."}
    if decodes.about.get("bundle_id") not in (None, "", bundle.id):  # empty: it was never saved
        raise SettingsError(
            f"{decodes.name} was sent by decoder {decodes.about['bundle_id']}, the one named is "
            f"{bundle.id}: name the decoder that was used, or leave --bundle out"
        )
    labels = label_settings(bundle, None)
    texts = {labels.names.get(text, text) for _, _, text in timeline.markers}
    if missing := [name for name in labels.classes or () if name not in texts]:
        if len(missing) == len(labels.classes or ()):
            return {"none": "No cues in this run: nothing to score."}
        return {"none": f"No cues of {list_words(missing)} in this run: nothing to score."}
    try:
        found = recorded_decodes(path, decodes.name, bundle, labels)
    except (RecordingError, SettingsError) as error:
        return {"none": f"Nothing to score: {without_name(str(error), path)}."}
    return score_decodes(found, bundle, wanted_detections(bundle))


def _versions(path: Path, timeline: SessionTimeline, bundle: Bundle | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "report": f"rtbrain {rtbrain.__version__}",
        "recording_sha256": sha256(path),
    }
    if timeline.decodes is not None:
        about = timeline.decodes.about
        found["decoder"] = f"rtbrain {about.get('version', 'of an unknown version')}"
        found["bundle"] = about.get("bundle_id", "unknown")
    if bundle is not None:
        manifest = bundle.manifest
        found["bundle"] = bundle.id
        found["bundle_mode"] = f"{manifest.mode}, {manifest.task}"
        found["trained_on"] = manifest.trained_on
        found["trained_by"] = manifest.trained_by
    return found
