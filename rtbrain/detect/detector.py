"""Decodes to events; the same live, offline, and where thresholds are chosen."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Lock

from rtbrain.config import DetectSettings
from rtbrain.errors import SettingsError
from rtbrain.types import Decode, Detection

_GAP = 1.5  # hops between decodes above which something is missing
_NEAR = 0.25  # hops by which stamps of decodes may differ from what the settings count in
_MINUTE_S = 60.0


class Detector:
    """Stage from a decode to the detections that it decides: those to send, and those suppressed.

    A crossing of a threshold that is not sent is given once for each reason, in ``suppressed``:
    the output did not stay, the refractory time, the cap, the coverage or the drift. Where the
    output is still above its threshold when the reason has passed, it is sent then.

    Parameters
    ----------
    settings : mapping of str to DetectSettings
        By output.
    labels : sequence of str
        The decoder's outputs.
    hop_s : float or None
        Time from one decode to the next, s; None where each belongs to an event of its own.
    presets : mapping of str to mapping of str to DetectSettings
        By output and name, thresholds that come from held-out time: what equals one is calibrated.
    task : str
        ``classification``, whose outputs are probabilities, or ``regression``.

    Raises
    ------
    SettingsError
        There is no such output, a threshold is no probability, or windows at events should hold.
    """

    def __init__(
        self,
        settings: Mapping[str, DetectSettings],
        labels: Sequence[str],
        hop_s: float | None = None,
        *,
        presets: Mapping[str, Mapping[str, DetectSettings]] | None = None,
        task: str = "classification",
    ) -> None:
        self._labels, self._hop_s, self._task = labels, hop_s, task
        self.presets = presets or {}
        for label, one in settings.items():
            self._check(label, one)
        self._lock = Lock()  # a threshold may change while decodes come
        self._outputs = [
            _Output(label, labels.index(label), one, hop_s, self._is_calibrated(label, one))
            for label, one in settings.items()
        ]

    def change(self, label: str, settings: DetectSettings) -> None:
        """Detect an output by other settings from now on; a SettingsError as of a new detector."""
        self._check(label, settings)
        with self._lock:
            for output in self._outputs:
                if output.label == label:
                    output.settings = settings
                    output.calibrated = self._is_calibrated(label, settings)

    @property
    def calibrated(self) -> dict[str, bool]:
        """Outputs that are detected, and whether their thresholds come from held-out time."""
        return {output.label: output.calibrated for output in self._outputs}

    @property
    def settings(self) -> dict[str, DetectSettings]:
        """Thresholds and times by output."""
        return {output.label: output.settings for output in self._outputs}

    def __call__(self, item: Decode) -> tuple[Detection, ...]:
        """The detections that this decode decides."""
        with self._lock:
            return tuple(found for output in self._outputs if (found := output.take(item)))

    def reset(self) -> None:
        """Forget everything, the last events too."""
        for output in self._outputs:
            output.reset()

    def _is_calibrated(self, label: str, settings: DetectSettings) -> bool:
        return settings in self.presets.get(label, {}).values()

    def _check(self, label: str, one: DetectSettings) -> None:
        if label not in self._labels:
            raise SettingsError(
                f"detect: no output {label!r}: the decoder has {', '.join(self._labels)}"
            )
        low = one.low
        if self._task == "classification" and not 0 < low <= one.up <= 1:
            raise SettingsError(
                f"detect.{label}: expected thresholds above 0 and at most 1, since "
                f"{label} is a probability, got up {one.up:g}, down {low:g}"
            )
        if self._hop_s is None and one.hold_s:
            raise SettingsError(
                f"detect.{label}: hold_s of {one.hold_s:g} s: the decoder has one window per "
                "event, which cannot hold; set it to 0"
            )


class _Output:
    """One output, and where it stands."""

    def __init__(
        self, label: str, row: int, settings: DetectSettings, hop_s: float | None, calibrated: bool
    ) -> None:
        self.label, self.settings, self.calibrated = label, settings, calibrated
        self._row, self._hop_s = row, hop_s
        self._near_s = _NEAR * (hop_s or 0.0)
        self.reset()

    def reset(self) -> None:
        self._last_s = -math.inf  # of decodes
        self._sent_s: deque[float] = deque()  # when events were sent, as far as it matters
        self._since_s = math.nan  # of the crossing that was not sent; NaN without one
        self._reason = ""  # why it was suppressed, as was reported
        self._ready = True  # it was below down since the last event

    def take(self, item: Decode) -> Detection | None:
        value, now_s = float(item.values[self._row]), item.t_stop
        passed_s, self._last_s = now_s - self._last_s, now_s
        if passed_s < 0:  # time has stepped back: what was sent counts as sent just now
            self._sent_s = deque(min(at_s, now_s) for at_s in self._sent_s)
        valid = item.quality.valid and math.isfinite(value)
        lost = self._hop_s is None or not 0 < passed_s <= _GAP * self._hop_s
        ended = None
        if not valid or lost or value < self.settings.up:
            ended = self._end_crossing(item, value, valid, lost)
            self._ready |= not valid or lost or value < self.settings.low
        if not valid or not value >= self.settings.up or not self._ready:
            return ended
        if math.isnan(self._since_s):
            self._since_s = now_s
        if not self._passed(self._since_s, now_s, self.settings.hold_s):
            return ended
        why = self._obstacle(item, now_s)
        if why and why == self._reason:
            return ended
        self._reason = why
        if not why:
            self._sent_s.append(now_s)
            self._since_s, self._ready = math.nan, False
        return self._found(item, value, why)

    def _end_crossing(
        self, item: Decode, value: float, valid: bool, lost: bool
    ) -> Detection | None:
        """Forget the crossing; one that was neither sent nor suppressed is suppressed now."""
        since_s, reason = self._since_s, self._reason
        self._since_s, self._reason = math.nan, ""
        if math.isnan(since_s) or reason:
            return None
        if not valid:
            return self._found(item, value, f"invalid: {item.quality.reason}")
        if lost:
            return self._found(item, value, "a gap between decodes")
        lasted_s, hold_s = item.t_stop - since_s, self.settings.hold_s
        return self._found(item, value, f"stayed for {lasted_s:.3g} s of {hold_s:g} s")

    def _passed(self, since_s: float, now_s: float, seconds: float) -> bool:
        return now_s - since_s >= seconds - self._near_s

    def _obstacle(self, item: Decode, now_s: float) -> str:
        """Why nothing is sent now; else empty."""
        one, coverage = self.settings, item.quality.coverage
        if one.min_coverage is not None and coverage < one.min_coverage:
            return f"coverage below {one.min_coverage:g}"
        if one.max_drift is not None and not item.drift <= one.max_drift:  # NaN neither
            return f"drift above {one.max_drift:g}, or unknown"
        sent_s = self._sent_s
        while sent_s and self._passed(sent_s[0], now_s, max(_MINUTE_S, one.refractory_s)):
            sent_s.popleft()
        if sent_s and not self._passed(sent_s[-1], now_s, one.refractory_s):
            return f"within {one.refractory_s:g} s after the last one"
        n_sent = sum(not self._passed(at_s, now_s, _MINUTE_S) for at_s in sent_s)
        if n_sent >= one.max_per_min:
            return f"more than {one.max_per_min} a minute"
        return ""

    def _found(self, item: Decode, value: float, suppressed: str = "") -> Detection:
        return Detection(
            self.label,
            value,
            item.t_neural,
            item.t_stop,
            item.t_ready,
            item.quality.coverage,
            item.drift,
            suppressed,
            self.calibrated,
        )
