"""Decodes and detections of a live session: by which thresholds, and where they go."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rtbrain.buffer import Windows
from rtbrain.config import DecodeSettings, DetectSettings, parse_settings
from rtbrain.decoder import Bundle
from rtbrain.detect import Detector
from rtbrain.errors import SettingsError
from rtbrain.outlet import DecodeOutlet, DetectionOutlet, Triggers, open_triggers
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Sink
from rtbrain.stream_names import decode_name, events_name
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
            f"preset {preset}: the bundle proposes no thresholds: fit it with --detect LABEL, "
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
    manifest, presets = bundle.manifest, bundle_presets(bundle)
    return Detector(
        settings,
        manifest.labels,
        bundle.recipe.window.hop_s,
        task=manifest.task,
        calibrated={
            label for label, one in settings.items() if one in presets.get(label, {}).values()
        },
    )


def session_detector(settings: DecodeSettings, bundle: Bundle) -> Detector:
    """Detector of a live session; a SettingsError as of `detect_settings` or `build_detector`.

    Of a readout that adapts no threshold is calibrated.
    """
    wanted = detect_settings(bundle, settings.preset, settings.detect)
    adapts = settings.adapt == "supervised"
    return build_detector(replace(bundle, report={}) if adapts else bundle, wanted)


class DetectionSink:
    """Sink of decodes that hands every detection, suppressed ones too, to its outputs.

    It reports each as an event, ``detected`` or ``suppressed``, and keeps count of those sent.
    `triggers`, one of the outputs, learns of each decode's quality first.
    """

    def __init__(
        self,
        detector: Detector,
        outputs: Sequence[Sink[Detection]],
        on_event: Callable[..., None],
        triggers: Triggers | None = None,
    ) -> None:
        self._detector, self._outputs, self._on_event = detector, tuple(outputs), on_event
        self._triggers = triggers
        self.n_sent = 0

    def status(self) -> dict[str, object]:
        """What is detected, by which thresholds, and how many were sent; for JSON."""
        keys = ("up", "down", "hold_s", "refractory_s", "max_per_min")
        thresholds = {
            label: {key: getattr(one, key) for key in keys}
            | {"calibrated": self._detector.calibrated[label]}
            for label, one in self._detector.settings.items()
        }
        return {"thresholds": thresholds, "sent": self.n_sent}

    def push(self, item: Decode) -> None:
        """Take a decode of the loop."""
        if self._triggers is not None:
            self._triggers.observe(item.quality)
        for found in self._detector(item):
            for output in self._outputs:
                output.push(found)
            self.n_sent += not found.suppressed
            about = asdict(found)
            if reason := about.pop("suppressed"):
                self._on_event("suppressed", **about, reason=reason)
            else:
                self._on_event("detected", **about)

    def close(self) -> None:
        """Close the outputs."""
        for output in self._outputs:
            output.close()


def open_detections(
    detector: Detector,
    settings: DecodeSettings,
    bundle: Bundle,
    on_event: Callable[..., None],
    triggers: Triggers,
) -> DetectionSink:
    """Sink that detects, and opens where detections go; nothing where none are wanted."""
    name, calibrated = settings.outlet.name, detector.calibrated
    outputs: list[Sink[Detection]] = []
    if calibrated:
        to = events_name(name)
        outputs += [DetectionOutlet(name, source_id=to, bundle_id=bundle.id), triggers]
        on_event("detecting", calibrated=calibrated, to=to)
    return DetectionSink(detector, outputs, on_event, triggers)


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
            log=None if record is None else record.with_suffix(".jsonl"),
            bundle_id=bundle.id,
            at_events=bundle.recipe.window.hop_s is None,
        )
    ) as triggers:
        if arm:
            triggers.arm_when_valid("--arm")
        if acting:
            on_event("outputs", outputs=list(triggers.outputs))
        yield triggers
