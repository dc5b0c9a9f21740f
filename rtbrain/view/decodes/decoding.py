"""What a running decoder says: decodes, thresholds, detections, cues and outputs; loads no Qt."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rtbrain.stream.lsl.decodes import DecodeHeader, StatusEvent
from rtbrain.types import Montage
from rtbrain.view.decodes.history import KEPT_S, DecodeHistory
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate

MAX_SHOWN = 4  # outputs; of more, the strongest
_MAX_KEPT = 512
_MAX_CUE_S = 30.0
_SAME_S = 0.05  # between the times that two streams give for one detection
# How much stronger, in units of the page's range, an output must be to be shown instead.
_STRONGER = 0.05
_IDLE = frozenset({"rest", "idle", "none", "baseline", "background", "silence", "pause", "end"})
_GONE = frozenset({"lost", "ended"})
_STATES = frozenset({"waiting", "connecting", "warming", "live", "stalled", "lost", "refused"})
_STATES |= {"stopping", "stopped", "failed"}
_BEGINS, _OVER = frozenset({"waiting", "connecting"}), frozenset({"stopped", "failed"})


class SessionView(Protocol):
    """A session's streams, as far as decodes need them."""

    decode: DecodeHeader | None
    montage: Montage | None
    feeds: tuple[StreamHealth, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """When an output is detected."""

    up: float
    down: float  # what it must fall below before it can be detected again
    refractory_s: float = 0.0
    calibrated: bool = True  # whether held-out time says how often it is wrong
    hold_s: float = 0.0  # how long it must be reached


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue of a class, s; `stop` is NaN until the next one."""

    start: float
    stop: float
    label: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A detection at the end of its window, s."""

    t: float
    label: str
    value: float
    calibrated: bool
    sent: bool  # whether it went out as a marker


class Decoding:
    """What the decode plot and the panel Now show; both may pass it the same update.

    Attributes
    ----------
    page_s : float
        Time that the plot shows, 120 s at most.
    info, history : DecodeHeader and DecodeHistory, or None
        Of the decoder that runs or ran last.
    thresholds : dict of str to Threshold, or None
        By output, as the decoder reports them; None until it does.
    detections, cues : deque
        Of the last two minutes; times of detections are the ends of their windows, s.
    n_detected : int
        Detections sent in this run.
    outputs, armed, sends
        Outputs that act on the world, whether they do, and whether detections are sent at all.
    names : mapping of str to str
        Classes by the texts of markers, where these are not the names of classes.
    """

    def __init__(self, session: SessionView, names: Mapping[str, str] | None = None) -> None:
        self.session, self.names, self.page_s = session, dict(names or {}), 60.0
        self.cues: deque[Cue] = deque(maxlen=_MAX_KEPT)
        self.gaps: deque[tuple[float, int]] = deque(maxlen=_MAX_KEPT)  # when, s, and samples lost
        self._update: SessionUpdate | None = None
        self.info: DecodeHeader | None = None
        self.history: DecodeHistory | None = None
        self._was_gone = self._told_early = False
        self._forget()

    def _forget(self) -> None:
        """Forget the decoder."""
        self.thresholds: dict[str, Threshold] | None = None
        self.detections: deque[Pin] = deque(maxlen=_MAX_KEPT)
        self.n_detected = 0
        self.outputs: tuple[str, ...] = ()
        self.armed, self.sends, self.state = False, True, ""
        self._shown: list[int] = []

    def take(self, update: SessionUpdate) -> None:
        """Take the result of a poll, once."""
        if update is self._update:
            return
        self._update = update
        info, new = self.session.decode, update.new_senders
        if update.other_decoder or info is None:
            self.info = self.history = None
        if update.other_decoder or "status" in new:
            self._forget()
            self._told_early = "status" in new
        if info is not None and (info != self.info or "decode" in new):
            # What the status stream of this run reported before its header came stays.
            if not self._told_early and self.info is not None:
                self._forget()
            self._told_early = False
            self.info, self.history = info, DecodeHistory(info)
        for event in update.events:
            self._begin_again(event)
            self._note(event)
        self._was_gone = self.gone
        for t, text in update.markers:
            self._cue(t, text)
        for found in update.detections:
            self.n_detected = max(found.number, self.n_detected + (not found.number))
            delay_s = self.info.delay_s if self.info is not None else 0.0
            t = found.t + (delay_s if math.isfinite(delay_s) else 0.0)
            self._pin(Pin(t, found.label, found.value, found.calibrated, sent=True))
        if self.history is None or self.info is None:
            return
        for decode in update.decodes:
            # Decodes of the previous sender may come in one poll with the new header.
            if decode.values.size == len(self.info.labels):
                self.history.push(decode)

    @property
    def feed(self) -> StreamHealth:
        """Health of the decode stream."""
        return feed_of(self.session.feeds, "decode")

    @property
    def signal_lost(self) -> bool:
        """Whether nothing comes from the signal."""
        return feed_of(self.session.feeds, "signal").state in {"lost", "stalled", "ended"}

    @property
    def gone(self) -> bool:
        """Whether the decoder has ended or is lost, and no other run of it has begun."""
        fresh = self.history is not None and self.history.last is None
        begins = fresh and feed_of(self.session.feeds, "status").state == "live"
        return self.feed.state in _GONE and not begins

    @property
    def is_probability(self) -> bool:
        """Whether the outputs are probabilities of classes."""
        return self.info is not None and self.info.unit == "probability"

    @property
    def target(self) -> int:
        """Output shown in the accent: the first that is detected, else the first but rest."""
        labels = self.info.labels if self.info is not None else ()
        for label in self.thresholds or ():
            if label in labels:
                return labels.index(label)
        return next((i for i, label in enumerate(labels) if label.casefold() not in _IDLE), 0)

    @property
    def target_label(self) -> str:
        """Its label; empty where no decoder is known."""
        return self.info.labels[self.target] if self.info is not None else ""

    @property
    def threshold(self) -> Threshold | None:
        """That of the target."""
        return (self.thresholds or {}).get(self.target_label)

    def shown(self, now: float) -> list[int]:
        """Outputs to show, the target first: all, or those that were strongest over the page.

        Their order does not change while they are shown, so that nothing jumps.
        """
        if self.info is None or self.history is None:
            return []
        n, target = len(self.info.labels), self.target
        if n <= MAX_SHOWN:
            return [target, *(i for i in range(n) if i != target)]
        _, values, _ = self.history.page(now, self.page_s)
        finite = np.isfinite(values)
        sums = np.where(finite, values, 0.0).sum(axis=0)
        means = sums / np.maximum(1, finite.sum(axis=0))
        shown = [i for i in self._shown if i != target][: MAX_SHOWN - 1]
        ranked = [i for i in np.argsort(-means).tolist() if i != target]
        shown += [i for i in ranked if i not in shown][: MAX_SHOWN - 1 - len(shown)]
        for i in ranked[: MAX_SHOWN - 1]:
            weakest = min(range(len(shown)), key=lambda slot: means[shown[slot]])
            if i not in shown and means[i] > means[shown[weakest]] + _STRONGER:
                shown[weakest] = i
        self._shown = shown
        return [target, *shown]

    def last_detection(self) -> Pin | None:
        """The newest detection, of any output."""
        return self.detections[-1] if self.detections else None

    def ready_in_s(self, now: float) -> float:
        """Until the target can be detected again, s; 0 if it can; NaN until it falls below down."""
        threshold = self.threshold
        if threshold is None or self.info is None or self.history is None:
            return 0.0
        label = self.info.labels[self.target]
        last = next((one for one in reversed(self.detections) if one.label == label), None)
        if last is None:
            return 0.0
        left_s = last.t + threshold.refractory_s - now
        if left_s > 0:
            return left_s
        armed_again = self.history.fell_below(self.target, threshold.down, last.t)
        return 0.0 if armed_again or now - last.t > KEPT_S else math.nan

    def _begin_again(self, event: StatusEvent) -> None:
        """Begin another run of the decoder: what the last one sent is none of its decodes."""
        over = self.state in _OVER or (self._was_gone and self.info is not None)
        if event.event in _BEGINS and over:
            self._forget()
            self._was_gone, self._told_early = False, True
            self.history = DecodeHistory(self.info) if self.info is not None else None

    def _note(self, event: StatusEvent) -> None:
        name, fields = event.event, event.fields
        if self.history is not None:
            self.history.note(event)
        if name == "gap" and isinstance(fields.get("lost"), int):
            self.gaps.append((event.t, fields["lost"]))
        elif name == "detecting":
            self.n_detected = 0  # another run
            self.sends = fields.get("sending") is not False
        elif name == "detected":
            self._note_detected(event)
        elif name in ("armed", "disarmed"):
            self.armed = name == "armed"
        elif name == "outputs":
            self.outputs = _texts(fields.get("outputs"))
        elif name == "threshold":
            self._change(fields)
        elif name == "summary":
            self._summary(fields)
        if name in _STATES:
            self.state = name

    def _summary(self, fields: Mapping[str, Any]) -> None:
        self.state = str(fields.get("state") or self.state)
        triggers, found = fields.get("triggers"), fields.get("detections")
        if isinstance(triggers, dict):
            self.armed = triggers.get("armed") is True
            self.outputs = _texts(triggers.get("outputs"))
        if isinstance(found, dict):
            self.sends = found.get("sending") is not False
            sent, thresholds = found.get("sent"), found.get("thresholds")
            self.n_detected = max(self.n_detected, sent if isinstance(sent, int) else 0)
            pairs = thresholds.items() if isinstance(thresholds, dict) else ()
            read = {label: threshold_of(one) for label, one in pairs}
            self.thresholds = {label: one for label, one in read.items() if one is not None}

    def _change(self, fields: Mapping[str, Any]) -> None:
        label, changed = fields.get("label"), threshold_of(fields)
        if isinstance(label, str) and changed is not None:
            self.thresholds = {**(self.thresholds or {}), label: changed}

    def _note_detected(self, event: StatusEvent) -> None:
        """Take a detection of the status stream, which has those too that are not sent."""
        keys = ("t_stop", "t_ready", "value")
        times = [event.fields.get(key) for key in keys]
        if all(isinstance(one, int | float) for one in times):
            t_stop, t_ready, value = map(float, times)  # type: ignore[arg-type]
            # By the sender's clock, which the stamp of the line is not.
            t, label = event.t - (t_ready - t_stop), str(event.fields.get("label", ""))
            calibrated = event.fields.get("calibrated") is True
            self._pin(Pin(t, label, value, calibrated, sent=False))

    def _pin(self, new: Pin) -> None:
        """Keep a detection, in order of time; both streams may have it."""
        for place, old in enumerate(self.detections):
            if old.label == new.label and abs(old.t - new.t) < _SAME_S:
                self.detections[place] = new if new.sent else old
                return
        self.detections.append(new)
        if len(self.detections) > 1 and self.detections[-2].t > new.t:
            self.detections = deque(sorted(self.detections, key=lambda pin: pin.t), _MAX_KEPT)

    def _cue(self, t: float, text: str) -> None:
        label = self.names.get(text, text)
        labels = self.info.labels if self.info is not None else ()
        if label not in labels and label.casefold() not in _IDLE:
            return
        if self.cues and math.isnan(self.cues[-1].stop):
            self.cues[-1] = replace(self.cues[-1], stop=min(t, self.cues[-1].start + _MAX_CUE_S))
        if label in labels and label.casefold() not in _IDLE:
            self.cues.append(Cue(t, math.nan, label))

    def cue_spans(self, now: float) -> list[Cue]:
        """Cues of a page, each with an end, s: now for the one that is on."""
        spans = [
            replace(cue, stop=min(now, cue.start + _MAX_CUE_S)) if math.isnan(cue.stop) else cue
            for cue in self.cues
        ]
        return [cue for cue in spans if now - self.page_s < cue.stop and cue.start < now]

    def gap_s(self, start: float, stop: float) -> float:
        """Length of the gap in the signal that began a span without decodes, s; 0 without one."""
        montage = self.session.montage
        lost = [n for t, n in self.gaps if start - 1.0 <= t <= stop + 1.0]
        return lost[-1] / montage.sfreq_hz if lost and montage is not None else 0.0


def threshold_of(fields: object) -> Threshold | None:
    """Threshold as a decoder reports it; None if it is none."""
    if not isinstance(fields, dict) or not isinstance(up := fields.get("up"), int | float):
        return None
    down, refractory_s, hold_s = (fields.get(key) for key in ("down", "refractory_s", "hold_s"))
    return Threshold(
        float(up),
        float(down) if isinstance(down, int | float) else float(up),
        float(refractory_s) if isinstance(refractory_s, int | float) else 0.0,
        fields.get("calibrated") is True,
        float(hold_s) if isinstance(hold_s, int | float) else 0.0,
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
