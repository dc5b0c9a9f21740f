"""A live session: where samples come from and where decodes go; and the demo."""

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from rtbrain.config.detect import DetectSettings, Preset
from rtbrain.config.front_end import Settings
from rtbrain.config.outputs import MAX_PORT, OutputSettings


class StreamSettings(Settings):
    """Which live stream to decode: LSL, a FieldTrip buffer or a client of mne-realtime."""

    name: str | None = None
    """Name of the LSL stream."""
    type: str | None = None
    """Type of the LSL stream, such as EEG."""
    source_id: str | None = None
    """Source id of the LSL stream, which distinguishes amplifiers of one name."""
    accept_other_source: bool = False
    """After a loss, continue with a sender that has another source id."""
    markers: str | None = None
    """Name of the LSL marker stream, of texts or numbers, for decoders with windows at events."""
    trigger: str | None = Field(default=None, min_length=1)
    """Instead: channel of the stream whose codes are events, as TRIG, Status:0xFF, DC01:2500."""
    stimulation: str | None = Field(default=None, min_length=1)
    """Name of the LSL marker stream that announces stimulation; by default that of markers."""
    manual_marks: str | None = Field(default="rtbrain-view-marks", min_length=1)
    """Name of the streams in which live windows send contacts marked bad manually; null: none."""
    mark_senders: tuple[str, ...] | None = None
    """Source ids or hosts whose manual marks count, each as the operator's; null: everybody's."""
    fieldtrip: str | None = None
    """Address of a FieldTrip buffer, as host:port, instead of an LSL stream."""
    mne_client: str | None = Field(default=None, min_length=1)
    """Source id of an LSL stream to read by mne-realtime's LSLClient instead."""
    timeout_s: float = Field(default=10.0, gt=0, le=86_400)
    """How long to look for the stream at the start, s."""
    scale: PositiveFloat = 1.0
    """Factor that multiplies the signals, on top of the unit in the stream's header."""
    unit: str = "microvolts"
    """Unit of a FieldTrip buffer or of an mne-realtime client, which report none."""
    names: tuple[str, ...] | None = None
    """Channel labels of a FieldTrip buffer whose header has none."""

    @field_validator("fieldtrip")
    @classmethod
    def _host_and_port(cls, address: str | None) -> str | None:
        if address is not None:
            host, _, port = address.partition(":")
            if not (host.split() == [host] and port.isdecimal() and int(port) <= MAX_PORT):
                raise ValueError("expected HOST:PORT, such as 127.0.0.1:1972")
        return address

    @model_validator(mode="after")
    def _one_stream(self) -> "StreamSettings":
        lsl = bool(self.name or self.type or self.source_id)
        others = [key for key in ("fieldtrip", "mne_client") if getattr(self, key)]
        if lsl + len(others) != 1:
            raise ValueError(
                "give at least one of name, type, source_id, or else fieldtrip, or else mne_client"
            )
        if lsl and (foreign := {"unit", "names"} & self.model_fields_set):
            raise ValueError(
                f"{', '.join(sorted(foreign))} is for fieldtrip only, and unit for mne_client"
            )
        if self.trigger and (self.mne_client or self.markers):
            other = "mne_client" if self.mne_client else "markers"
            raise ValueError(f"trigger and {other}: give one of them")
        if self.mne_client and self.names is not None:
            raise ValueError("names is for fieldtrip only")
        if others and self.scale != 1:
            raise ValueError(f"scale is for LSL streams; {others[0]} has unit")
        if others and self.accept_other_source:
            raise ValueError(f"accept_other_source is for LSL streams; {others[0]} has none")
        return self


class OutletSettings(Settings):
    """Names of the outgoing streams."""

    name: str = Field(default="rtbrain", min_length=1)
    """The decoder sends NAME-decode, NAME-status and, where it detects, NAME-events."""
    detections: bool = True
    """Send detections from the start; else once `rtbrain control NAME detections on` says so."""


class DecodeSettings(Settings):
    """A live session: a stream in, a decoder bundle, decodes out."""

    stream: StreamSettings
    """What to decode."""
    bundle: Path | None = None
    """Folder of the decoder bundle."""
    outlet: OutletSettings = OutletSettings()
    """Where decodes go."""
    preset: Preset | None = None
    """Which thresholds of the bundle to detect by; by default balanced."""
    detect: dict[str, DetectSettings] | None = None
    """Instead, by output: thresholds of your own; {} detects nothing."""
    outputs: OutputSettings = OutputSettings()
    """Where triggers go while the session is armed."""
    adapt: Literal["statistics", "supervised"] = "statistics"
    """What follows the signals: the normaliser alone, or the readout too, by labels of markers."""
    backlog: Literal["latest", "all"] = "latest"
    """After a delay of over 0.1 s, decode the latest window alone, or all of them."""
    max_latency_s: PositiveFloat = 1.0
    """Longest time from a sample to its arrival here, s; what comes later is stale, and invalid."""
    threads: PositiveInt = 1
    """Threads of the encoder."""
    runtime: Literal["auto", "torchscript", "openvino"] = "auto"
    """What runs the encoder; auto takes what rtbrain compile chose, otherwise torchscript."""
    precision: Literal["fp32", "bf16", "int8"] | None = None
    """Precision of the channel encoder; by default what rtbrain compile chose, otherwise fp32."""
    metrics_port: int | None = Field(default=None, ge=1, le=MAX_PORT)
    """Serve counts and latencies for Prometheus on this port of this machine."""
    lsl_scope: Literal["machine", "link", "site"] = "machine"
    """How far LSL looks: this machine, its network link, or the whole site."""

    @model_validator(mode="after")
    def _one_way_to_detect(self) -> "DecodeSettings":
        if self.preset is not None and self.detect is not None:
            raise ValueError(f"give one of preset and detect, got preset {self.preset} and detect")
        return self


class DemoSettings(Settings):
    """A synthetic patient and the decoder that the demo runs on it."""

    duration_s: float = Field(default=30.0, ge=3)
    """How long to score, s."""
    seed: NonNegativeInt = 0
    """Seed of the patient."""
    mode: Literal["streaming", "edge", "linear"] = "streaming"
    """Decoder to run; linear runs beside the others as their control."""
    channels: int = Field(default=32, ge=6, le=1024)
    """Number of contacts."""
    difficulty: str = "default"
    """How clearly the task shows in the signals."""
    task: Literal["mixed", "high_gamma", "beta", "slow", "bursts", "phase"] = "mixed"
    """What of the signals follows the task."""
    encoder: Literal["trained", "untrained"] = "trained"
    """For edge and streaming: the trained encoder of the package, or one with random weights."""
