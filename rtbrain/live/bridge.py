"""A FieldTrip buffer, or a client of mne-realtime, sent on as an LSL stream with markers."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from rich.text import Text

from rtbrain.config import StreamSettings, parse_settings
from rtbrain.errors import SettingsError
from rtbrain.live.screen import LiveScreen
from rtbrain.live.source import OTHER_SOURCES, Markers, open_other
from rtbrain.outlet import MarkerOutlet, SignalOutlet
from rtbrain.processes import stop_after, stop_on_signals
from rtbrain.stage import Source
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.streams import require_free_name
from rtbrain.stream_names import markers_name

_PULL_S = 0.1  # longest wait in one pull, and so for a stop


@dataclass(slots=True)
class BridgeCounts:
    """What was sent: samples and markers, and samples that the source lost."""

    n_samples: int = 0
    n_markers: int = 0
    n_lost: int = 0


def bridge(
    source: Source,
    name: str,
    *,
    stop: Callable[[], bool],
    on_sent: Callable[[BridgeCounts], None] = lambda counts: None,
) -> BridgeCounts:
    """Send a source as the LSL streams NAME and NAME-markers, until it ends or `stop()`.

    A source is a `FieldTripSource`, a `MneClientSource` or any other; its ``markers(timeout_s)``,
    if it has one, gives its events. What is lost is a step in the stamps. Raises a SettingsError
    where the name is taken.
    """
    require_free_name(name)
    counts = BridgeCounts()
    montage = source.montage
    take: Markers | None = getattr(source, "markers", None)
    marks = markers_name(name)
    with (
        closing(MarkerOutlet(marks, source_id=marks)) as markers,
        closing(SignalOutlet(name, montage, source_id=name, origin="amplifier")) as signal,
    ):
        while not stop():
            chunk = source.pull(_PULL_S)
            if chunk is None:
                break
            signal.push(chunk)
            counts.n_samples += chunk.n_samples
            counts.n_lost += chunk.gap
            for t, text in take(0.0) if take is not None else ():
                markers.push(text, t)
                counts.n_markers += 1
            on_sent(counts)
    return counts


def bridge_on_screen(
    kind: str,
    address: str,
    name: str,
    *,
    unit: str,
    names: Sequence[str] | None,
    timeout_s: float,
    duration_s: float | None,
) -> None:
    """Run `bridge` until Ctrl-C, and show what is sent."""
    key = kind.replace("-", "_")
    if key not in OTHER_SOURCES:
        kinds = " or ".join(each.replace("_", "-") for each in OTHER_SOURCES)
        raise SettingsError(f"bridge {kind}: expected {kinds}")
    values = {key: address, "unit": unit, "timeout_s": timeout_s}
    values |= {} if names is None else {"names": names}
    settings = parse_settings(values, StreamSettings, where=f"bridge {kind}")
    stopping = stop_on_signals()
    screen = LiveScreen()
    try:
        source = open_other(key, address, settings, screen.report, stopping)
        if source is None:
            return
        screen.say(f"sending {name} and {markers_name(name)}; Ctrl-C ends it")
        with closing(source):
            counts = bridge(
                source,
                name,
                stop=stop_after(stopping, duration_s, lsl_clock),
                on_sent=lambda counts: screen.show(lambda: Text(_words(counts))),
            )
        screen.say(_words(counts))
    finally:
        screen.close()


def _words(counts: BridgeCounts) -> str:
    return (
        f"{counts.n_samples} samples and {counts.n_markers} markers sent, {counts.n_lost} samples "
        "lost"
    )
