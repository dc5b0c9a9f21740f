"""Decodes and detections of a live session: by which thresholds, and where they go."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import ValidationError

from rtbrain.buffer import Windows
from rtbrain.config import DecodeSettings, DetectSettings, parse_settings
from rtbrain.decoder import Bundle
from rtbrain.detect import Detector
from rtbrain.errors import SettingsError, plain_problem
from rtbrain.outlet import DecodeOutlet, DetectionOutlet, MarkerOutlet, Triggers, open_triggers
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Sink
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name, events_name, manual_marks_name
from rtbrain.types import Decode, Detection


def open_decodes(
    settings: DecodeSettings, bundle: Bundle, features: FeaturePipeline, inputs: dict[str, str]
) -> DecodeOutlet:
    """Outlet of the decodes, which names what is decoded."""
    name, windows = settings.outlet.name, features.windows
    about = inputs | {"mode": bundle.manifest.mode}
    if isinstance(windows, Windows):
        about["window_s"] = f"{windows.used_s:.9g}"
    return DecodeOutlet(
        name,
        bundle.manifest.labels,
        hop_s=windows.hop_s if isinstance(windows, Windows) else None,
        montage=bundle.montage,
        bundle_id=bundle.id,
        source_id=decode_name(name),
        unit="probability" if bundle.manifest.task == "classification" else "value",
        delay_s=features.neural_delay_s,
        about=about,
    )


def bundle_presets(bundle: Bundle) -> dict[str, dict[str, DetectSettings]]:
    """Thresholds that a fit proposed from held-out time, by output and name of the preset."""
    return {
        label: {
            name: parse_settings(one["settings"], DetectSettings, where=f"{label}, {name}")
            for name, one in found["presets"].items()
        }
        for label, found in bundle.report.get("detections", {}).items()
        if found["calibrated"]
    }


def detect_settings(
    bundle: Bundle,
    preset: str | None = None,
    detect: Mapping[str, DetectSettings] | None = None,
) -> Mapping[str, DetectSettings]:
    """What is detected, by output: `detect`, or a preset of the bundle, or its own settings.

    Raises
    ------
    SettingsError
        The bundle has no such preset.
    """
    if detect is not None or preset is None:
        return bundle.manifest.detect if detect is None else detect
    presets = bundle_presets(bundle)
    if not presets:
        raise SettingsError(
            f"preset {preset}: the decoder proposes no thresholds: fit it with --detect LABEL, "
            "or set detect"
        )
    if preset not in (names := next(iter(presets.values()))):
        raise SettingsError(f"preset {preset}: expected {', '.join(names)}")
    return {label: by_name[preset] for label, by_name in presets.items()}


def build_detector(bundle: Bundle, settings: Mapping[str, DetectSettings]) -> Detector:
    """Detector of a bundle; what is as one of the bundle's presets is calibrated, all else is not.

    Raises
    ------
    SettingsError
        The settings do not fit the bundle.
    """
    return Detector(
        settings,
        bundle.manifest.labels,
        bundle.recipe.window.hop_s,
        task=bundle.manifest.task,
        presets=bundle_presets(bundle),
    )


def session_detector(settings: DecodeSettings, bundle: Bundle) -> Detector:
    """Detector of a live session; a SettingsError as of `detect_settings` or `build_detector`.

    Of a readout that adapts no threshold is calibrated.
    """
    wanted = detect_settings(bundle, settings.preset, settings.detect)
    adapts = settings.adapt == "supervised"
    return build_detector(replace(bundle, report={}) if adapts else bundle, wanted)


class DetectionSink:
    """Sink of decodes that passes every detection, suppressed ones too, to its outputs.

    It reports each as an event, ``detected`` or ``suppressed``, and keeps count of those sent.
    `triggers` learn of each decode's quality first. A change of a threshold is reported, logged,
    and sent to `marks` as ``threshold FROM TO``, with the output's name where several are detected.

    Attributes
    ----------
    sending : bool
        Whether detections go to `outlet`; triggers are armed apart from that.
    """

    def __init__(
        self,
        detector: Detector,
        outlet: Sink[Detection] | None,
        on_event: Callable[..., None],
        triggers: Triggers | None = None,
        marks: MarkerOutlet | None = None,
        sending: bool = True,
    ) -> None:
        self._detector, self._outlet, self._on_event = detector, outlet, on_event
        self._triggers, self._marks = triggers, marks
        self.sending, self.n_sent = sending, 0

    def push(self, item: Decode) -> None:
        """Take a decode of the loop."""
        if self._triggers is not None:
            self._triggers.observe(item.quality)
        for found in self._detector(item):
            if self._outlet is not None and self.sending:
                self._outlet.push(found)
                self.n_sent += not found.suppressed
            if self._triggers is not None:
                self._triggers.push(found)
            about = asdict(found)
            if reason := about.pop("suppressed"):
                self._on_event("suppressed", **about, reason=reason)
            else:
                self._on_event("detected", **about)

    def close(self) -> None:
        """Close the outputs."""
        for output in (self._outlet, self._triggers, self._marks):
            if output is not None:
                output.close()

    def status(self) -> dict[str, object]:
        """By which thresholds it detects, whether that is sent, and how many were; for JSON."""
        calibrated = self._detector.calibrated
        thresholds = {
            label: one.model_dump() | {"calibrated": calibrated[label]}
            for label, one in self._detector.settings.items()
        }
        sending = self.sending and self._outlet is not None
        return {"sending": sending, "sent": self.n_sent, "thresholds": thresholds}

    def move(self, words: Sequence[str], by: str) -> None:
        """Change a threshold by the words ``UP [DOWN] [LABEL]``, or ``PRESET [LABEL]``.

        Raises
        ------
        SettingsError
            The words say no threshold that can be, or it is not known of which output.
        """
        now, presets = self._detector.settings, self._detector.presets
        numbers: list[float] = []
        rest = list(words)
        ends = [" ".join(words[at:]) for at in range(1, len(words))]  # a name may be a number
        named = [label for label in ends if label in now][:1]
        if named:
            rest = rest[: ends.index(named[0]) + 1]
        while rest and len(numbers) < 2 and _is_number(rest[0]):
            numbers.append(float(rest.pop(0)))
        preset = rest.pop(0) if not numbers and rest else None
        labels = named or ([" ".join(rest)] if rest else list(now))
        if not now:
            raise SettingsError("threshold: this decoder detects nothing: set detect at its start")
        if (rest and (named or labels[0] not in now)) or (preset is None and len(labels) > 1):
            raise SettingsError(f"threshold: of which output: expected one of {', '.join(now)}")
        if preset is None and not numbers:
            raise SettingsError("threshold: expected UP [DOWN] [LABEL] or PRESET, got nothing")
        wanted = {}
        for label in labels:
            if preset is None:
                wanted[label] = _moved(now[label], numbers, label)
            elif preset in (of := presets.get(label, {})):
                wanted[label] = of[preset]
            else:
                raise SettingsError(
                    f"threshold {preset}: expected a number or a preset of this decoder: "
                    f"{', '.join(of) or 'it has none'}"
                )
        for label, one in wanted.items():
            self._move(label, now[label], one, by)

    def _move(self, label: str, was: DetectSettings, one: DetectSettings, by: str) -> None:
        self._detector.change(label, one)
        about: dict[str, object] = {
            "label": label,
            "was": was.up,
            **one.model_dump(include={"up", "hold_s", "refractory_s"}),
            "down": one.low,
            "calibrated": self._detector.calibrated[label],
            "by": by,
        }
        if self._marks is not None:
            name = f" {label}" if len(self._detector.settings) > 1 else ""
            self._marks.push(f"threshold {was.up:.4g} {one.up:.4g}{name}", lsl_clock())
        if self._triggers is not None:
            self._triggers.note({"threshold": about})
        self._on_event("threshold", **about)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _moved(now: DetectSettings, numbers: Sequence[float], label: str) -> DetectSettings:
    try:
        return now.moved_to(*numbers)
    except ValidationError as error:
        raise SettingsError(f"threshold of {label}: {plain_problem(error.errors()[0])}") from error


def no_detections(on_event: Callable[..., None]) -> DetectionSink:
    """Sink that detects nothing."""
    return DetectionSink(Detector({}, ()), None, on_event)


class Gate:
    """Sink that passes items on until a stop is asked for: what comes later goes nowhere."""

    def __init__(self, sink: Sink[Decode], stopped: Callable[[], bool]) -> None:
        self._sink, self._stopped = sink, stopped

    def push(self, item: Decode) -> None:
        """Hand a decode on."""
        if not self._stopped():
            self._sink.push(item)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def open_detections(
    detector: Detector,
    settings: DecodeSettings,
    bundle: Bundle,
    on_event: Callable[..., None],
    triggers: Triggers,
) -> DetectionSink:
    """Sink that detects, and opens where detections go; nothing where none are wanted."""
    name, calibrated = settings.outlet.name, detector.calibrated
    if not calibrated:
        return DetectionSink(detector, None, on_event, triggers)
    to, marks = events_name(name), manual_marks_name(name)
    outlet = DetectionOutlet(name, source_id=to, bundle_id=bundle.id)
    changes = MarkerOutlet(marks, source_id=marks)
    sending = settings.outlet.detections
    on_event("detecting", calibrated=calibrated, to=to, sending=sending)
    return DetectionSink(detector, outlet, on_event, triggers, changes, sending)


def trigger_log_path(settings: DecodeSettings, record: Path | None) -> Path | None:
    """Where decisions are logged: ``outputs.log``, or beside the recording; None for nowhere."""
    beside = None if record is None else record.with_suffix(".jsonl")
    return settings.outputs.log or beside


@contextmanager
def session_triggers(
    detector: Detector,
    settings: DecodeSettings,
    bundle: Bundle,
    record: Path | None,
    on_event: Callable[..., None],
    *,
    arm: bool,
) -> Iterator[Triggers]:
    """Outputs and log of what a session detects, disarmed, while the block runs.

    With `arm` they are armed at the first valid decode. Raises an RtbrainError where an output
    cannot be opened, or nothing would ever reach it.
    """
    wanted, name = settings.outputs, settings.outlet.name
    acting = wanted.osc or wanted.udp or wanted.serial
    if (acting or wanted.log) and not detector.calibrated:
        raise SettingsError(
            "outputs: this decoder detects nothing, so that nothing would be sent: fit it with "
            "--detect LABEL, or set detect"
        )
    if arm and not acting:
        raise SettingsError("--arm: there is nothing to arm: set outputs.osc, udp or serial")
    if not detector.calibrated:
        yield Triggers((), None, on_event)
        return
    with closing(
        open_triggers(
            wanted,
            name,
            bundle.manifest.labels,
            on_event,
            log=trigger_log_path(settings, record),
            bundle_id=bundle.id,
            at_events=bundle.recipe.window.hop_s is None,
        )
    ) as triggers:
        if arm:
            triggers.arm_when_valid("--arm")
        if acting:
            on_event("outputs", outputs=list(triggers.outputs))
        yield triggers
