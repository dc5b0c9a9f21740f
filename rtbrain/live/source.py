"""Where `rtbrain decode` takes its samples from: the source, its markers, the marks by hand."""

from collections.abc import Callable

from rtbrain.config import DecodeSettings, StreamSettings
from rtbrain.decoder import Bundle
from rtbrain.stage import Source
from rtbrain.stream.clock.rate import effective_rate_verdict
from rtbrain.stream.fieldtrip.source import FieldTripSource
from rtbrain.stream.lsl.markers import ManualMarks, SupervisedMarkers
from rtbrain.stream.supervise.query import LslStreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource


def open_source(
    settings: DecodeSettings,
    bundle: Bundle,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
) -> Source | None:
    """Connected source of the settings; None where the user ended it before."""
    wanted, montage = settings.stream, bundle.montage
    if wanted.fieldtrip is not None:
        return _fieldtrip(wanted, on_event)
    source = SupervisedSource(
        query=LslStreamQuery(
            name=wanted.name,
            stream_type=wanted.type,
            source_id=wanted.source_id,
            scale=wanted.scale,
        ),
        requirements=StreamRequirements(
            montage.sfreq_hz,
            montage.names,
            min_coverage=bundle.recipe.coverage_floor,
            accept_other_source=wanted.accept_other_source,
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


def _fieldtrip(wanted: StreamSettings, on_event: Callable[..., None]) -> Source:
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


def open_markers(
    settings: DecodeSettings, on_event: Callable[..., None]
) -> SupervisedMarkers | None:
    """Markers that cut windows; None where the settings name no stream of them."""
    name, timeout_s = settings.stream.markers, settings.stream.timeout_s
    return None if name is None else SupervisedMarkers(name, timeout_s=timeout_s, on_event=on_event)


def open_manual_marks(
    settings: DecodeSettings, on_event: Callable[..., None]
) -> ManualMarks | None:
    """Contacts marked bad by hand; None where nobody is to be heard."""
    name = settings.stream.manual_marks
    return None if name is None else ManualMarks(name, on_event=on_event)


def rate_check(source: Source) -> Callable[[], str]:
    """Whether the stream's true rate is so far from the nominal one that no decode holds."""
    if not isinstance(source, SupervisedSource):
        return lambda: ""
    return lambda: effective_rate_verdict(source.counter.report)
