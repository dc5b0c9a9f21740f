"""What a new readout is judged by, from the session that it was fitted on: thresholds and drift."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rtbrain.config import LabelSettings
from rtbrain.decoder import Bundle, LinearReadout
from rtbrain.errors import list_words
from rtbrain.learn.drift import calibrate_drift
from rtbrain.learn.held_out import FoldDecoder, HeldOut
from rtbrain.learn.presets import LEAST_EVENTS, default_detections
from rtbrain.learn.refit.session_rows import SessionReader, SessionRows
from rtbrain.live.play import bind_session
from rtbrain.recording.recording import Recording
from rtbrain.terminal import OnProgress
from rtbrain.types import Ints


def with_thresholds(
    version: Bundle,
    bundle: Bundle,
    read: SessionReader,
    session: tuple[Sequence[Recording], LabelSettings],
    after: SessionRows,
    fold: Ints,
    readouts: Sequence[LinearReadout],
) -> Bundle:
    """The version with presets of what `bundle` detects, from readouts that held the session out.

    `fold` int64 [n_labelled] is the number of the readout that did not see a window. Where there is
    no preset, the thresholds stay, and count as not calibrated.
    """
    outputs = tuple(dict.fromkeys((*bundle.report.get("detections", ()), *bundle.manifest.detect)))
    if not outputs:
        return version
    found: dict[str, Any] = {}
    recipe, labelled = version.recipe, after.labelled
    if recipe.window.hop_s is not None and labelled.task == "classification":
        found = HeldOut(
            *session,
            labelled,
            after.label_delay_s,
            after.embargo_s,
            fold,
            (FoldDecoder(recipe, read.pipeline, dict(enumerate(readouts))),),
            bind=partial(bind_session, version),
        ).propose(outputs, read.on_progress)
    chosen = default_detections({"detections": found})
    version = replace(
        version,
        manifest=version.manifest.model_copy(update={"detect": version.manifest.detect | chosen}),
        report=version.report | {"detections": found},
    )
    said = []
    if chosen:
        said.append(f"thresholds of {list_words(list(chosen))} are chosen anew on held-out time")
    if lost := [one for one in outputs if one not in chosen]:
        why = f": that takes {LEAST_EVENTS} events of each in the new session" if found else ""
        said.append(f"thresholds of {list_words(lost)} are no longer calibrated{why}")
    return _saying(version, "; ".join(said))


def with_drift(
    version: Bundle,
    session: tuple[Sequence[Recording], LabelSettings],
    on_progress: OnProgress,
) -> Bundle:
    """The version with drift as it is judged by the session; else as it was, and it says so."""
    fresh = calibrate_drift(version, *session, None, on_progress)
    watched = [any(key.startswith("drift.") for key in one.tensors) for one in (fresh, version)]
    if watched[1] and not watched[0]:
        return _saying(
            version,
            "drift is still judged by the first calibration: too little of the session is valid, "
            "or it is shorter than 2 minutes",
        )
    return _saying(fresh, "drift is judged by the new session") if watched[0] else fresh


def _saying(version: Bundle, text: str) -> Bundle:
    """The version, whose report says this of the refit as well."""
    refitted = version.report["refit"]
    refitted = refitted | {"text": f"{refitted['text']}; {text}"}
    return replace(version, report=version.report | {"refit": refitted})
