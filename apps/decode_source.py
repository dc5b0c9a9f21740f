"""Where `rtbrain decode` takes its samples from: the source, its markers, the marks by hand."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbrain.config import DecodeSettings, StreamSettings
    from rtbrain.decoder import Bundle
    from rtbrain.stage import Source
    from rtbrain.stream.lsl_hands import HandMarks
    from rtbrain.stream.supervised_markers import SupervisedMarkers


def source_of(
    settings: "DecodeSettings",
    bundle: "Bundle",
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
) -> "Source | None":
    """Connected source of the settings; None where the user ended it before."""
    from rtbrain.bundling import recipe_of_bundle
    from rtbrain.stream.contract import StreamContract
    from rtbrain.stream.supervisor import SupervisedSource
    from rtbrain.stream.wanted import WantedLsl

    wanted, montage = settings.stream, bundle.montage
    if wanted.fieldtrip is not None:
        return _fieldtrip(wanted, on_event)
    source = SupervisedSource(
        wanted=WantedLsl(
            name=wanted.name,
            stream_type=wanted.type,
            source_id=wanted.source_id,
            scale=wanted.scale,
        ),
        contract=StreamContract(
            montage.sfreq_hz,
            montage.names,
            least_coverage=recipe_of_bundle(bundle).coverage_floor,
        ),
        montage=montage,
        on_event=on_event,
    )
    connected = False
    try:
        connected = source.connect(wanted.timeout_s, stopping)
    finally:
        if not connected:
            source.close()
    return source if connected else None


def _fieldtrip(wanted: "StreamSettings", on_event: Callable[..., None]) -> "Source":
    from rtbrain.stream.fieldtrip import FieldTripSource

    host, port = (wanted.fieldtrip or "").rsplit(":", 1)
    source = FieldTripSource(
        host=host,
        port=int(port),
        names=wanted.names,
        unit=wanted.unit,
        timeout_s=wanted.timeout_s,
        on_event=on_event,
    )
    on_event("connected", stream=wanted.fieldtrip, notes=list(source.notes))
    return source


def markers_of(
    settings: "DecodeSettings", on_event: Callable[..., None]
) -> "SupervisedMarkers | None":
    """Markers that cut windows; None where the settings name no stream of them."""
    from rtbrain.stream.supervised_markers import SupervisedMarkers

    name, timeout_s = settings.stream.markers, settings.stream.timeout_s
    return None if name is None else SupervisedMarkers(name, timeout_s=timeout_s, on_event=on_event)


def hands_of(settings: "DecodeSettings", on_event: Callable[..., None]) -> "HandMarks | None":
    """Contacts marked bad by hand; None where nobody is to be heard."""
    from rtbrain.stream.lsl_hands import HandMarks

    name = settings.stream.hands
    return None if name is None else HandMarks(name, on_event=on_event)


def rate_refusal(source: "Source") -> Callable[[], str]:
    """Whether the stream's true rate is so far from the nominal one that no decode holds."""
    from rtbrain.stream.ledger_report import effective_rate_verdict
    from rtbrain.stream.supervisor import SupervisedSource

    if not isinstance(source, SupervisedSource):
        return lambda: ""
    return lambda: effective_rate_verdict(source.ledger.report)
