"""Where a live session takes its samples from: the source, its markers and manual marks."""

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from rtbrain.config import DecodeSettings, Recipe, StimulationSettings, StreamSettings
from rtbrain.decoder import Adaptation, Bundle, Readout
from rtbrain.errors import SettingsError, StreamError, list_words, quote
from rtbrain.live.supervision.turn import Turn
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Source, Stage
from rtbrain.stream.clock.rate import effective_rate_verdict
from rtbrain.stream.lsl.markers import ManualMarks
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.stream.lsl.supervised_markers import SupervisedMarkers
from rtbrain.stream.supervise.query import LslStreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Decode, Embedding

# ``markers(timeout_s)`` gives those that arrived, as (s on the LSL clock, text).
Markers = Callable[[float], list[tuple[float, str]]]
_T = TypeVar("_T")
_ENDLESS_S = 1e9
_AGAIN_S = 5.0  # until a stream that was refused is looked at again
_LOOK_EVERY_S = 0.1
# Key of the stream settings: module whose `open_source` connects to it. Loaded
# when asked for, since they need libraries that LSL does not.
OTHER_SOURCES = {
    "fieldtrip": "rtbrain.stream.fieldtrip.source",
    "mne_client": "rtbrain.stream.fieldtrip.mne_client",
}


def patiently(
    open_: Callable[[DecodeSettings], _T],
    settings: DecodeSettings,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
    turn: Turn,
    event: str = "waiting",
) -> _T:
    """What `open_` opens; under a supervisor, what is absent is reported, and waited for."""
    while True:
        try:
            return open_(settings)
        except StreamError as error:
            if not turn.supervised:
                raise
            on_event(event, reason=str(error))
        again_s = time.monotonic() + _AGAIN_S
        while not stopping() and time.monotonic() < again_s:
            time.sleep(_LOOK_EVERY_S)
        stream = settings.stream.model_copy(update={"timeout_s": _ENDLESS_S})
        settings = settings.model_copy(update={"stream": stream})


def open_source(
    settings: DecodeSettings,
    bundle: Bundle,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
    watcher: StreamWatcher | None = None,
    sought: SupervisedSource | None = None,
) -> Source | None:
    """Connected source of the settings, or the one of `seeking`; None where the user ended it."""
    wanted = settings.stream
    if wanted.trigger and not trigger_of(wanted, bundle):
        on_event(
            "trigger",
            reason=f"the decoder uses sliding windows: --trigger {wanted.trigger} has no effect",
        )
    stimulation = bundle.recipe.stimulation
    channel = None if stimulation is None else stimulation.channel
    for kind in OTHER_SOURCES:
        if channel and getattr(wanted, kind) is not None:
            raise SettingsError(
                f"the decoder blanks stimulation that channel {quote(channel)} announces, which is "
                "for LSL streams: refit it with stimulation.texts, and set stream.stimulation"
            )
        if (address := getattr(wanted, kind)) is not None:
            sliding = bundle.recipe.window.hop_s is not None
            used = wanted.model_copy(update={"trigger": None}) if sliding else wanted
            return open_other(kind, address, used, on_event, stopping)
    source = sought or _seeking_source(settings, bundle, on_event, watcher)
    connected = False
    try:
        connected = source.connect(wanted.timeout_s, stopping)
    finally:
        if not connected:
            source.close()
    if not connected:
        return None
    return source


@contextmanager
def seeking(
    settings: DecodeSettings, bundle: Bundle, on_event: Callable[..., None], turn: Turn
) -> Iterator[SupervisedSource | None]:
    """Look for an LSL stream from now on, which reports nothing before `open_source` connects it.

    None for other sources, and under a supervisor, where libraries and streams are known already.
    """
    others = any(getattr(settings.stream, kind) is not None for kind in OTHER_SOURCES)
    if others or turn.supervised:
        yield None
        return
    source = _seeking_source(settings, bundle, on_event, turn.watcher)
    try:
        yield source
    finally:
        source.close()


def _seeking_source(
    settings: DecodeSettings,
    bundle: Bundle,
    on_event: Callable[..., None],
    watcher: StreamWatcher | None,
) -> SupervisedSource:
    wanted, montage, stimulation = settings.stream, bundle.montage, bundle.recipe.stimulation
    channel = None if stimulation is None else stimulation.channel
    source = SupervisedSource(
        query=LslStreamQuery(
            name=wanted.name,
            stream_type=wanted.type,
            source_id=wanted.source_id,
            scale=wanted.scale,
            triggers=[text for text in (trigger_of(wanted, bundle), channel) if text],
            watcher=watcher,
        ),
        requirements=StreamRequirements(
            montage.sfreq_hz,
            montage.names,
            min_coverage=bundle.recipe.coverage_floor,
            accept_other_source=wanted.accept_other_source,
            trigger=trigger_of(wanted, bundle),
            stimulation=channel,
        ),
        montage=montage,
        on_event=on_event,
    )
    source.find(wanted.timeout_s)
    return source


def begin_early(source: Source, recipe: Recipe) -> None:
    """Let the first window fill while a linear decoder is built, which takes a moment."""
    is_sliding = recipe.window.hop_s is not None
    if is_sliding and recipe.mode == "linear" and isinstance(source, SupervisedSource):
        source.begin()


def trigger_of(stream: StreamSettings, bundle: Bundle) -> str | None:
    """Trigger channel of a session whose windows are cut at events: as set, else as fitted."""
    if bundle.recipe.window.hop_s is not None:
        return None
    return stream.trigger or (None if stream.markers else bundle.trigger)


def open_other(
    kind: str,
    address: str,
    stream: StreamSettings,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
) -> Source | None:
    """Connected source of one of `OTHER_SOURCES`; None where the user ended it before."""
    module: Any = importlib.import_module(OTHER_SOURCES[kind])
    try:
        source: Source = module.open_source(address, stream, on_event, stopping)
    except StreamError:
        if stopping():
            return None
        raise
    on_event("connected", stream=address, notes=list(getattr(source, "notes", ())))
    return source


def _window_markers(
    settings: DecodeSettings,
    trigger: str | None,
    source: Source,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
    stack: ExitStack,
) -> Markers | None:
    """What gives the markers that cut windows: a stream, else the source; None: nothing does."""
    name = settings.stream.markers
    if name is None:
        if isinstance(source, SupervisedSource) and not trigger:
            return None
        own: Markers | None = getattr(source, "markers", None)
        return own
    return _stream_of_markers(name, settings, source, on_event, stopping, stack)


def open_markers(
    settings: DecodeSettings,
    bundle: Bundle,
    source: Source,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
    stack: ExitStack,
) -> tuple[Markers | None, Callable[[], bool]]:
    """What gives the markers that cut or label windows or announce stimulation.

    Markers of windows are of the stream of the settings, else of the source, where it has its own
    or a trigger channel. None where there are none to give, or the user ended the search. The other
    function gives whether some that announce stimulation may be missing since its last call: at
    first, and while their sender is away. Raises a SettingsError where the settings do not say
    which stream that is.
    """
    stimulation, stream = bundle.recipe.stimulation, settings.stream
    markers: Markers | None = None
    is_away, was_away = False, True

    def missed() -> bool:
        nonlocal was_away
        missing, was_away = was_away, is_away
        return missing

    def follow(event: str, **fields: Any) -> None:
        nonlocal is_away, was_away
        is_away = event == "markers_lost" or (is_away and event != "markers_recovered")
        was_away |= is_away
        on_event(event, **fields)

    if bundle.recipe.window.hop_s is None or settings.adapt == "supervised":
        trigger = trigger_of(stream, bundle)
        both = stream.stimulation in (None, stream.markers)  # one stream for windows and pulses
        of = follow if both else on_event
        markers = _window_markers(settings, trigger, source, of, stopping, stack)
    if stimulation is None or not stimulation.announced:
        return markers, lambda: False
    pulses: Markers | None = None
    if stimulation.channel is not None and isinstance(source, SupervisedSource):
        pulses, missed = _events_of(stimulation, source.pulses.pull), source.pulses.missed
    elif stream.stimulation is None and stream.markers is None:
        raise SettingsError(
            "the decoder blanks stimulation that markers announce "
            f"({list_words([quote(text) for text in stimulation.texts])}): set stream.stimulation "
            "to the name of their stream"
        )
    elif stream.stimulation not in (None, stream.markers) or markers is None:
        name = stream.stimulation or stream.markers or ""
        pulses = _stream_of_markers(name, settings, source, follow, stopping, stack)
    if pulses is None or markers is None:
        return pulses or markers, missed
    of_windows, of_stimulation = markers, pulses
    return lambda timeout_s: [*of_windows(timeout_s), *of_stimulation(0.0)], missed


def adapted(
    settings: DecodeSettings,
    bundle: Bundle,
    decoder: tuple[FeaturePipeline, Readout],
    markers: Markers | None,
    on_event: Callable[..., None],
    stack: ExitStack,
) -> tuple[tuple[FeaturePipeline, Stage[Embedding, Decode]], Markers | None]:
    """A decoder, whose readout follows the markers where the settings say so, and the markers."""
    if settings.adapt == "statistics":
        return decoder, markers
    readout = Adaptation(bundle, settings.bundle, decoder[1], markers, on_event)
    stack.callback(readout.close)
    return (decoder[0], readout), readout.pull_labels


def _events_of(stimulation: StimulationSettings, codes: Markers) -> Markers:
    def events(timeout_s: float) -> list[tuple[float, str]]:
        named = [(t, stimulation.event_of(code)) for t, code in codes(timeout_s)]
        return [(t, text) for t, text in named if text]

    return events


def _stream_of_markers(
    name: str,
    settings: DecodeSettings,
    source: Source,
    on_event: Callable[..., None],
    stopping: Callable[[], bool],
    stack: ExitStack,
) -> Markers | None:
    timeout_s = settings.stream.timeout_s
    signal = source.counter.clock if isinstance(source, SupervisedSource) else None
    try:
        markers = SupervisedMarkers(
            name, timeout_s=timeout_s, on_event=on_event, stop=stopping, signal=signal
        )
    except StreamError:
        if stopping():
            return None
        raise
    stack.callback(markers.close)
    return markers.pull


def open_manual_marks(
    settings: DecodeSettings, on_event: Callable[..., None]
) -> ManualMarks | None:
    """Contacts marked bad manually; None where the settings name no stream of them."""
    name, senders = settings.stream.manual_marks, settings.stream.mark_senders
    return None if name is None else ManualMarks(name, on_event=on_event, senders=senders)


def rate_check(source: Source) -> Callable[[], str]:
    """Verdict on the stream's true rate: why no decode is valid, or empty."""
    if not isinstance(source, SupervisedSource):
        return lambda: ""
    return lambda: effective_rate_verdict(source.counter.report)
