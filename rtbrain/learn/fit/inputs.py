"""What `fit` and `evaluate` read: recordings, opened and labelled, as virtual live sessions."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rtbrain.config import LabelSettings, WindowSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import (
    REST,
    Labelled,
    cue_times,
    labels_at_events,
    states_from_markers,
    targets_from_channel,
)
from rtbrain.recording.datasets import labelled_events, open_dataset, open_trial
from rtbrain.recording.playing import print_notes
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.recording.virtual_session import VirtualSession
from rtbrain.types import Montage, Times

_CHUNK_S = 0.25


@contextmanager
def open_recordings(
    sources: Sequence[str | Path],
    *,
    stream: str | None,
    sfreq_hz: float | None,
    scale: float,
) -> Iterator[list[Recording]]:
    """Recordings, their notes told, closed at the end.

    Raises
    ------
    SettingsError
        There is none, one comes twice, or they differ in rate or lack channels of the first.
    """
    if not sources:
        raise SettingsError("no recording: name one or more, files or BIDS folders")
    twice = next((one for number, one in enumerate(sources) if one in sources[:number]), None)
    if twice is not None:
        raise SettingsError(f"{twice} is named twice: what is trained on would be tested on")
    with ExitStack() as stack:
        recordings = []
        for source in sources:
            recordings.append(open_dataset(source, stream=stream, sfreq_hz=sfreq_hz))
            stack.callback(recordings[-1].close)
            print_notes(recordings[-1], scale)
        first = recordings[0].montage
        for source, recording in zip(sources, recordings, strict=True):
            _refuse_unlike(str(sources[0]), first, str(source), recording.montage)
        yield recordings


def _refuse_unlike(first_name: str, first: Montage, name: str, montage: Montage) -> None:
    if montage.sfreq_hz != first.sfreq_hz:
        raise SettingsError(
            f"{Path(name).name} has {montage.sfreq_hz:g} Hz, {Path(first_name).name} "
            f"{first.sfreq_hz:g} Hz: fit on recordings of one rate"
        )
    missing = [label for label in first.names if label not in montage.names]
    if missing:
        raise SettingsError(
            f"{Path(name).name} lacks {len(missing)} channels of {Path(first_name).name}, "
            f"{', '.join(missing[:6])}: fit on recordings of one montage"
        )


def channels_to_use(recording: Recording, target: str | None) -> list[str]:
    """Labels of a recording without those marked bad; the target is among them."""
    return [name for name in recording.montage.names if name not in recording.bad or name == target]


def virtual_session(
    recording: Recording,
    names: Sequence[str],
    *,
    scale: float,
    target: str | None = None,
    extra: Sequence[Event] = (),
) -> VirtualSession:
    """A recording as a virtual live session; `extra` are events besides its own."""
    source = ReplaySource(
        recording,
        chunk_samples=max(1, round(_CHUNK_S * recording.montage.sfreq_hz)),
        names=names,
        scale=scale,
    )
    return VirtualSession(source, (*recording.events, *extra), target=target)


def rest_cues(recording: Recording, labels: LabelSettings, window: WindowSettings) -> list[Event]:
    """Events that cut the windows of rest, where the labels ask for them."""
    if labels.events is None or not labels.rest:
        return []
    cues = cue_times(
        recording.events,
        labels.events,
        window_s=(window.offset_s, window.offset_s + window.length_s),
        rest=True,
        duration_s=recording.n_samples / recording.montage.sfreq_hz,
    )
    ends = cues.t_stop[cues.targets == len(labels.events)]
    return [Event(float(end) - window.offset_s - window.length_s, 0.0, REST) for end in ends]


def label_windows(
    recording: Recording,
    session: VirtualSession,
    labels: LabelSettings,
    window: WindowSettings,
    t_stop: Times,
    lag_s: float,
) -> Labelled:
    """Labels of the windows that end at these times.

    A state is that of the moment which a decode describes, `lag_s` before the window's end, in
    fitting as in scoring: windows that straddle a change are neither left out nor forgiven.
    """
    if labels.classes is not None:
        return states_from_markers(
            t_stop, recording.events, labels.classes, span_s=0.0, lag_s=lag_s
        )
    if labels.events is not None:
        sfreq_hz = recording.montage.sfreq_hz
        cues = cue_times(
            recording.events,
            labels.events,
            window_s=(window.offset_s, window.offset_s + window.length_s),
            rest=labels.rest,
            duration_s=recording.n_samples / sfreq_hz,
        )
        return labels_at_events(t_stop, cues, tolerance_s=2 / sfreq_hz)
    values, stamps = session.target()
    name = labels.channel or ""
    return targets_from_channel(t_stop, values, stamps, name=name, threshold=labels.threshold)


def resolve_tasks(
    labels: LabelSettings, sources: Sequence[str], recordings: Sequence[Recording]
) -> tuple[Sequence[Recording], LabelSettings]:
    """Recordings whose events are those of a Brain Treebank task, where the labels name one.

    Raises
    ------
    SettingsError
        A recording is no trial of the Brain Treebank.
    """
    if labels.task is None:
        return recordings, labels
    names = (f"no {labels.task}", labels.task)
    told = []
    for source, recording in zip(sources, recordings, strict=True):
        if not source.endswith((".h5", ".hdf5")):
            raise SettingsError(f"{Path(source).name}: --task is for trials of the Brain Treebank")
        found = labelled_events(open_trial(Path(source)), labels.task, labels.rules, seed=0)
        onsets = found.samples / recording.montage.sfreq_hz
        events = tuple(
            Event(float(onset), 0.0, names[label])
            for onset, label in zip(onsets, found.labels, strict=True)
        )
        told.append(replace(recording, events=events))
    return told, labels.model_copy(update={"task": None, "events": names})
