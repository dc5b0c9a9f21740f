"""What `fit` and `evaluate` read: recordings, opened and labelled, as virtual live sessions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtbrain.config import LabelSettings, Recipe, StimulationSettings, WindowSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import (
    REST,
    Cues,
    Labelled,
    cue_times,
    labels_at_events,
    states_from_markers,
    targets_from_channels,
)
from rtbrain.live.play import VirtualSession
from rtbrain.marks import is_plan
from rtbrain.recording.braintreebank import open_trial
from rtbrain.recording.braintreebank_tasks import labelled_events
from rtbrain.recording.open import amplitude_note, missing_note, read
from rtbrain.recording.recording import Event, Recording, select
from rtbrain.recording.replay import ReplaySource
from rtbrain.recording.triggers import add_stimulation
from rtbrain.signal import contradiction, measure_mains
from rtbrain.stage import Source
from rtbrain.stream_names import RATE_TOLERANCE, rate_note, same_rate
from rtbrain.terminal import OnProgress
from rtbrain.types import Chunk, Times

_CHUNK_S, LONG_CHUNK_S = 0.25, 0.5  # the latter where no clock is read: a fifth less to filter
# A state whose event lasts no longer than this lasts until the next: samples, or of the window.
_MOMENT_SAMPLES, _MOMENT_SHARE = 1.5, 0.05
# How long before a window's end the label is taken, for the curve of scores over it.
_LAGS_S = tuple(np.round(np.arange(0, 0.601, 0.05), 2).tolist())
# Of a fit: how its pieces begin, and how long each takes beside the others, as measured on 10 min
# of 32 and 128 contacts.
STAGES: dict[str, dict[str, float]] = {
    "read": {"recording ": 2.0},
    "choose": {"front ends": 0.5, "chosen front ends": 0.9},
    "folds": {"scoring": 0.6},
    "chance": {"chance": 0.2},
    "final": {"tuning PopT": 6.0, "held-out decodes": 1.5, "thresholds": 0.1, "drift": 1.0},
}


def ignore_note(note: str) -> None:
    """A note that nobody reads."""


def list_sources(recordings: Any) -> list[Any]:
    """One recording, or several in a list or tuple, as a list."""
    if isinstance(recordings, list):
        return recordings
    one_array = (
        isinstance(recordings, tuple) and recordings and isinstance(recordings[0], np.ndarray)
    )
    return list(recordings) if isinstance(recordings, tuple) and not one_array else [recordings]


@contextmanager
def open_recordings(
    sources: Sequence[Any],
    *,
    stream: str | None,
    sfreq_hz: float | None,
    scale: float,
    trigger: str | None = None,
    stimulation: StimulationSettings | None = None,
    space: str | None = None,
    on_note: Callable[[str], None] = ignore_note,
) -> Iterator[list[Recording]]:
    """Recordings by what `rtbrain.read` takes, scaled; those opened here are closed at the end.

    Raises
    ------
    SettingsError
        There is none, one comes twice, or they differ in rate.
    """
    if not sources:
        raise SettingsError("no recording: name one or more, files or BIDS folders")
    for number, source in enumerate(sources):
        if any(source is one or _same_path(source, one) for one in sources[:number]):
            raise SettingsError(
                f"{_name(source, number)} is named twice: training data would be tested on"
            )
    with ExitStack() as stack:
        recordings: list[Recording] = []
        for source in sources:
            recording = read(source, stream=stream, sfreq_hz=sfreq_hz, trigger=trigger)
            recording = add_stimulation(recording, stimulation)
            if not isinstance(source, Recording):
                stack.callback(recording.close)
            warnings = (missing_note(recording), amplitude_note(recording, scale=scale))
            for note in (*recording.notes, *filter(None, warnings)):
                on_note(note)
            recordings.append(read(recording, scale=scale))
        _check_rates(names_of_sources(sources), recordings, on_note)
        placed = [one.montage.positions is not None for one in recordings]
        if space is not None:
            recordings = [
                select(one, space=space) if has or not any(placed) else one
                for one, has in zip(recordings, placed, strict=True)
            ]
        yield recordings


def common_rate_hz(recordings: Sequence[Recording]) -> float:
    """Rate that these are brought to: the middle one, whatever their order."""
    return sorted(each.montage.sfreq_hz for each in recordings)[len(recordings) // 2]


def _check_rates(
    names: Sequence[str], recordings: Sequence[Recording], on_note: Callable[[str], None]
) -> None:
    """Report rates that the stages will correct, and refuse others."""
    common_hz = common_rate_hz(recordings)
    rates = {name: one.montage.sfreq_hz for name, one in zip(names, recordings, strict=True)}
    of_it = next(name for name, own_hz in rates.items() if own_hz == common_hz)
    for name, own_hz in rates.items():
        if not same_rate(own_hz, common_hz):
            raise SettingsError(
                f"{name} has {own_hz:.10g} Hz, {of_it} {common_hz:.10g} Hz: rates may differ by "
                f"{RATE_TOLERANCE:.1%}; fit those of one rate together, or resample the others"
            )
        if note := rate_note(own_hz, common_hz):
            on_note(f"{name} has {note}")


def names_of_sources(sources: Sequence[Any]) -> list[str]:
    """How messages call these recordings."""
    return [_name(source, number) for number, source in enumerate(sources)]


def at_mains(
    recipe: Recipe,
    wanted: Literal[50, 60, "auto"],
    recordings: Sequence[Recording],
    on_note: Callable[[str], None],
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with the mains frequency of the recordings, and what to report of it."""
    if recipe.mains_hz is None:
        return recipe, {}
    measured = [measure_mains(one.montage, one.n_samples, one.read) for one in recordings]
    found = {mains.hz: mains for mains in measured if mains.hz is not None}
    removed_hz, shown = recipe.mains_hz, measured[0]
    if len(found) > 1:
        on_note(f"the mains hum differs between recordings: {removed_hz} Hz is kept; see --mains")
    elif not found and wanted == "auto":
        on_note(
            f"no mains hum stands out ({shown}): the recipe's {removed_hz} Hz is kept; --mains "
            "sets another"
        )
    elif found:
        ((found_hz, shown),) = found.items()
        if wanted == "auto" and found_hz != removed_hz:
            on_note(
                f"the mains hum is at {found_hz} Hz ({shown}): that is removed, not the recipe's "
                f"{removed_hz} Hz"
            )
            removed_hz, recipe = found_hz, recipe.adapt(mains_hz=found_hz)
        elif note := contradiction(shown, removed_hz):
            on_note(note)
    powers = {str(hz): None if np.isnan(db) else db for hz, db in shown.power_db.items()}
    return recipe, {"mains": {"removed_hz": removed_hz, "power_db": powers}}


def _name(source: Any, number: int) -> str:
    return Path(source).name if isinstance(source, str | Path) else f"recording {number + 1}"


def _same_path(source: Any, other: Any) -> bool:
    return all(isinstance(one, str | Path) for one in (source, other)) and str(source) == str(other)


def virtual_session(
    recording: Recording,
    labels: LabelSettings | None = None,
    window: WindowSettings | None = None,
    names: Sequence[str] | None = None,
    chunk_s: float = _CHUNK_S,
) -> VirtualSession:
    """A recording as a virtual live session, without the channels that the labels predict.

    With a window, events besides the recording's own cut the windows of rest, if it is labelled.
    """
    source = ReplaySource(
        recording,
        chunk_samples=max(1, round(chunk_s * recording.montage.sfreq_hz)),
        names=recording.montage.names if names is None else names,
    )
    targets = () if labels is None else labels.channel or ()
    events = list(recording.events)
    if labels is not None and labels.events is not None and labels.rest and window is not None:
        cues = _cues(recording, labels, window)
        ends = cues.t_stop[cues.targets == len(labels.events)]
        lead_s = window.offset_s + window.length_s
        events += [Event(float(end) - lead_s, 0.0, REST) for end in ends]
    return VirtualSession(source, events, targets=targets)


def chunks_of(
    source: Source, n_samples: int, on_progress: OnProgress, what: str
) -> Iterator[Chunk]:
    """Chunks of a source to its end, with progress in samples."""
    n_read = 0
    while (chunk := source.pull(0.0)) is not None:
        n_read += chunk.n_samples
        yield chunk
        on_progress(n_read, n_samples, what)


def _cues(recording: Recording, labels: LabelSettings, window: WindowSettings) -> Cues:
    return cue_times(
        recording.events,
        labels.events or (),
        window_s=(window.offset_s, window.offset_s + window.length_s),
        rest=labels.rest,
        duration_s=recording.span_s,
    )


def label_windows(
    recording: Recording,
    session: VirtualSession,
    labels: LabelSettings,
    window: WindowSettings,
    t_stop: Times,
    lag_s: float,
    on_note: Callable[[str], None] = ignore_note,
    whole: bool = True,
) -> Labelled:
    """Labels of the windows that end at these times; `on_note` is called for events without one.

    A state is that of the moment `lag_s` before the window's end, which a decode describes: windows
    that straddle a change are neither left out nor forgiven. `whole`: as in `states_from_markers`.
    """
    sfreq_hz, times = recording.montage.sfreq_hz, recording.stamps
    last_s = recording.duration_s if times is None else float(times[-1]) + 1 / sfreq_hz
    notes: dict[str, Any] = {"extent_s": (0.0, last_s), "on_note": on_note}
    if labels.classes is not None:
        moment_s = max(_MOMENT_SAMPLES / sfreq_hz, _MOMENT_SHARE * window.length_s)
        return states_from_markers(
            t_stop,
            recording.events,
            labels.classes,
            lag_s=lag_s,
            moment_s=moment_s,
            whole=whole,
            **notes,
        )
    if labels.events is not None:
        cues, length_s = _cues(recording, labels, window), window.length_s
        tolerance_s = 2 / sfreq_hz
        return labels_at_events(t_stop, cues, tolerance_s=tolerance_s, length_s=length_s, **notes)
    values, stamps = session.targets()
    names, threshold = labels.channel or (), labels.threshold
    return targets_from_channels(t_stop, values, stamps, names=names, threshold=threshold)


def lagged_targets(
    recording: Recording,
    session: VirtualSession,
    labels: LabelSettings,
    recipe: Recipe,
    t_stop: Times,
    labelled: Labelled,
    single: bool,
) -> dict[float, npt.NDArray[Any]]:
    """Targets of all sliding windows by how long before their end they are read; -1, NaN: none.

    The first lag is negative, the middle of the time for which a decode holds: what is true now.
    `labelled` are the windows as they are fitted.
    """
    if recipe.window.hop_s is None:
        return {}
    targets = {}
    for lag_s in (-recipe.window.hop_s / 2, *_LAGS_S):
        nothing = -1 if labelled.task == "classification" else np.nan
        shape = t_stop.size, *labelled.targets.shape[1:]
        targets[lag_s] = np.full(shape, nothing, labelled.targets.dtype)
        try:
            of = recording, session, labels, recipe.window, t_stop - lag_s, 0.0
            found = label_windows(*of, whole=single)
        except SettingsError:  # a class has no window at this lag
            continue
        targets[lag_s][found.rows] = found.targets
    return targets


def events_that_label(events: Sequence[Event], labels: LabelSettings) -> tuple[Event, ...]:
    """Events under the names that their markers stand for, of the stream that labels.

    Those of a screen of cues, which announces its plan, label whatever stream is named; of a
    recording without that stream, all do.
    """
    if any(one.stream == labels.marker_stream for one in events):
        senders = {labels.marker_stream, *(one.stream for one in events if is_plan(one.text))}
        events = [one for one in events if one.stream in senders]
    return tuple(replace(one, text=labels.names.get(one.text, one.text)) for one in events)


def resolve_tasks(
    labels: LabelSettings, sources: Sequence[Any], recordings: Sequence[Recording]
) -> tuple[Sequence[Recording], LabelSettings]:
    """Recordings whose events are those of a Brain Treebank task, where the labels name one.

    Of markers, those of the stream that labels are left, by the names that they have.

    Raises
    ------
    SettingsError
        A recording is no trial of the Brain Treebank.
    """
    if labels.task is None:
        if labels.names or labels.marker_stream is not None:
            recordings = [
                replace(one, events=events_that_label(one.events, labels)) for one in recordings
            ]
        return recordings, labels
    names = (f"no {labels.task}", labels.task)
    with_events = []
    for source, recording in zip(sources, recordings, strict=True):
        if not str(source).endswith((".h5", ".hdf5")):
            raise SettingsError(f"task {labels.task} is for files of the Brain Treebank (.h5)")
        found = labelled_events(open_trial(Path(source)), labels.task, labels.rules, seed=0)
        onsets = found.samples / recording.montage.sfreq_hz
        events = tuple(
            Event(float(onset), 0.0, names[label])
            for onset, label in zip(onsets, found.labels, strict=True)
        )
        with_events.append(replace(recording, events=events))
    return with_events, labels.model_copy(update={"task": None, "events": names})


def describe_recordings(recordings: Sequence[Recording]) -> str:
    """What was trained on, without names, which may be those of people."""
    seconds = sum(each.duration_s for each in recordings)
    synthetic = any("is synthetic" in note for each in recordings for note in each.notes)
    kind = "synthetic recording" if synthetic else "recording"
    return f"{len(recordings)} {kind}{'s' if len(recordings) > 1 else ''}, {seconds:.0f} s"
