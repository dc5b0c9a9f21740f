"""A live session: where samples come from and where decodes go; and the demo's patient."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.base import Settings


class StreamSettings(Settings):
    """Which live stream to decode: an LSL stream, or a FieldTrip buffer.

    Attributes
    ----------
    name, type, source_id : str or None
        Of the LSL stream; every one that is given must match.
    accept_other_source : bool
        After a loss, whether to go on with a sender that has another source_id.
    markers : str or None
        Name of the LSL marker stream, for windows of mode event.
    manual_marks : str or None
        Name of the LSL marker streams by which windows mark contacts bad by hand, whenever there
        are such; None listens to nobody.
    fieldtrip : str or None
        ``host:port`` of a FieldTrip buffer, instead of those.
    timeout_s : float
        How long to look for it at the start, s.
    scale : float
        Factor on top of the header's units.
    unit : str
        Unit of a FieldTrip buffer, whose header does not say.
    names : tuple of str or None
        Labels of a FieldTrip buffer whose header has none.
    """

    name: str | None = None
    type: str | None = None
    source_id: str | None = None
    accept_other_source: bool = False
    markers: str | None = None
    manual_marks: str | None = Field(default="rtbrain-view-marks", min_length=1)
    fieldtrip: str | None = Field(default=None, pattern=r"^[^:\s]+:\d{1,5}$")
    timeout_s: PositiveFloat = 10.0
    scale: PositiveFloat = 1.0
    unit: str = "microvolts"
    names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_stream(self) -> "StreamSettings":
        lsl = bool(self.name or self.type or self.source_id)
        if lsl == bool(self.fieldtrip):
            raise ValueError("give at least one of name, type, source_id, or else fieldtrip")
        of_fieldtrip = {"unit", "names"} & self.model_fields_set
        if lsl and of_fieldtrip:
            raise ValueError(f"{', '.join(sorted(of_fieldtrip))} is for fieldtrip only")
        if self.fieldtrip and self.scale != 1:
            raise ValueError("scale is for LSL streams; a FieldTrip buffer has unit")
        if self.fieldtrip and self.accept_other_source:
            raise ValueError("accept_other_source is for LSL streams; a FieldTrip buffer has none")
        return self


class OutletSettings(Settings):
    """Name of the outgoing streams: NAME-decode and NAME-status."""

    name: str = Field(default="rtbrain", min_length=1)


class DecodeSettings(Settings):
    """A live session: stream in, bundle, streams out.

    Attributes
    ----------
    stream : StreamSettings
        What to decode.
    bundle : Path or None
        The decoder.
    outlet : OutletSettings
        Names of what goes out.
    backlog : str
        After a delay, decode the ``latest`` window alone, or ``all`` of them.
    threads : int
        Of the encoder.
    runtime : str
        What runs the encoder; ``auto`` takes what rtbrain compile admitted for the bundle,
        otherwise torchscript.
    precision : str or None
        Of the encoder of channels; None for what was admitted, otherwise fp32.
    lsl_scope : str
        How far LSL sees.
    """

    stream: StreamSettings
    bundle: Path | None = None
    outlet: OutletSettings = OutletSettings()
    backlog: Literal["latest", "all"] = "latest"
    threads: PositiveInt = 1
    runtime: Literal["auto", "torchscript", "openvino"] = "auto"
    precision: Literal["fp32", "bf16", "int8"] | None = None
    lsl_scope: Literal["machine", "link", "site"] = "machine"


class DemoSettings(Settings):
    """A synthetic patient and what decodes it.

    Attributes
    ----------
    duration_s : float
        How long to score, s.
    seed : int
        Of the patient.
    mode : str
        The decoder; linear runs beside the others as their control.
    channels : int
        Contacts.
    difficulty : str
        How much the task stands out.
    encoder : str
        Of edge and streaming: ``trained``, as it ships in the package, or ``untrained``, random.
    """

    duration_s: float = Field(default=30.0, ge=3)
    seed: NonNegativeInt = 0
    mode: Literal["streaming", "edge", "linear"] = "streaming"
    channels: int = Field(default=32, ge=6, le=256)
    difficulty: str = "default"
    encoder: Literal["trained", "untrained"] = "untrained"
