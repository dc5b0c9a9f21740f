"""A new session through the front end of a decoder that there is: what its readout would read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.build import SETTLING_S, build_feature_pipeline
from rtbrain.bundling import model_of_bundle, normaliser_tensors
from rtbrain.channels import match_labels
from rtbrain.config import LabelSettings
from rtbrain.decoder import Bundle
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.fit.features import LEAST_EMBARGO_S, FeatureRows, gather, windows_apart
from rtbrain.learn.fit.inputs import (
    chunks_of,
    label_windows,
    list_sources,
    open_recordings,
    resolve_tasks,
    virtual_session,
)
from rtbrain.learn.fit.labels import Labelled, join_labels, require_classes, require_events
from rtbrain.live.play import bind_session
from rtbrain.marks import Mark
from rtbrain.pipeline import FeaturePipeline, cut_at_markers
from rtbrain.recording.recording import Recording, select
from rtbrain.recording.triggers import state_units
from rtbrain.spectrogram import FrameStatistics
from rtbrain.terminal import OnProgress
from rtbrain.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class SessionRows:
    """Labelled features of a session, and what its normaliser had seen at the end."""

    features: Floats  # float32 [n_labelled, n_features]
    labelled: Labelled
    embargo_s: float
    label_delay_s: float  # of the moment at which windows are labelled, before their end
    normaliser: dict[str, Any]


def common_windows(one: SessionRows, other: SessionRows) -> tuple[SessionRows, SessionRows]:
    """The windows that both hold."""
    keys = [
        list(zip(each.labelled.recordings, each.labelled.t_s.tolist(), strict=True))
        for each in (one, other)
    ]
    both = set(keys[0]) & set(keys[1])
    found = []
    for each, own in zip((one, other), keys, strict=True):
        at = np.array([row for row, key in enumerate(own) if key in both], np.int64)
        labelled = replace(each.labelled.pick(at), rows=np.arange(at.size))
        found.append(replace(each, features=each.features[at], labelled=labelled))
    return found[0], found[1]


@dataclass(frozen=True, slots=True, eq=False)
class SessionReader:
    """Reads recordings through the front end of a bundle."""

    bundle: Bundle
    labels: LabelSettings
    options: dict[str, Any]
    exclude: Sequence[str] | None
    on_progress: OnProgress
    on_note: Callable[[str], None]

    @contextmanager
    def open(self, sources: Any) -> Iterator[tuple[Sequence[Recording], LabelSettings]]:
        """Recordings of a session, while the block runs, and what labels them."""
        sources = list_sources(sources)
        with open_recordings(
            sources,
            **self.options,
            trigger=self.labels.trigger,
            stimulation=self.bundle.recipe.stimulation,
            on_note=self.on_note,
        ) as opened:
            labels = self.labels.model_copy(
                update={"trigger": state_units(self.labels.trigger, opened)}
            )
            opened = [select(one, exclude=self.exclude) for one in opened]
            recordings, labels = resolve_tasks(labels, sources, opened)
            events = [event for recording in recordings for event in recording.events]
            require_events(labels.classes or labels.events or (), events)
            yield recordings, labels

    def __call__(
        self,
        recordings: Sequence[Recording],
        labels: LabelSettings,
        statistics: FrameStatistics | None = None,
    ) -> SessionRows:
        """Labelled windows of opened recordings; each begins with these statistics."""
        recipe = self.bundle.recipe
        parts, labelled = [], []
        for number, recording in enumerate(recordings):
            what = f"recording {number + 1} of {len(recordings)}"
            pipeline = self.pipeline(recording, statistics)
            whole = len(recordings) == 1
            part, own = self._gather(recording, labels, pipeline, what, whole)
            parts.append(part.rows[""][own.rows])
            labelled.append(replace(own, rows=np.arange(own.rows.size)))
        numbers = [str(number) for number in range(len(recordings))]
        joined = join_labels(labelled, [own.rows.size for own in labelled], numbers)
        if joined.names != self.bundle.manifest.labels:
            raise SettingsError(
                f"the decoder distinguishes {', '.join(self.bundle.manifest.labels)}, the labels "
                f"are {', '.join(joined.names)}: name the same ones in the same order, or fit anew"
            )
        if joined.task == "classification":
            require_classes(joined)
        report = self.bundle.report
        least_s = max(recipe.window.length_s, LEAST_EMBARGO_S) + SETTLING_S
        embargo_s = report.get("split", {}).get("embargo_s", least_s)
        return SessionRows(
            np.concatenate(parts),
            joined,
            float(embargo_s),
            pipeline.neural_delay_s,
            normaliser_tensors(pipeline),
        )

    def pipeline(
        self, recording: Recording, statistics: FrameStatistics | None = None
    ) -> FeaturePipeline:
        """The bundle's front end as a fit runs it, without contacts marked as bad."""
        bundle, names = self.bundle, self.bundle.montage.names
        matched = match_labels(recording.montage.names, names, "the recording").rows
        bad = [Mark(f"bad {name}") for name in names if matched.get(name) in recording.bad]
        return build_feature_pipeline(
            bundle.recipe,
            bundle.montage,
            model=model_of_bundle(bundle),
            statistics=statistics,
            feature_mean=bundle.tensors.get("readout.feature_mean"),
            manual_marks=(lambda: bad) if bad else None,
            whole_windows=True,
        )

    def _gather(
        self,
        recording: Recording,
        labels: LabelSettings,
        pipeline: FeaturePipeline,
        what: str,
        whole: bool,
    ) -> tuple[FeatureRows, Labelled]:
        recipe = self.bundle.recipe
        session = virtual_session(recording, labels, recipe.window)
        bound = bind_session(self.bundle, session)
        for note in bound.binding.notes:
            self.on_note(f"the recording: {note}")
        hop_s = recipe.window.hop_s
        with threadpool_limits(1, "blas"):  # as `play_session` says
            part = gather(
                chunks_of(bound, recording.n_samples, self.on_progress, what),
                cut_at_markers(pipeline, session.markers, recipe.coverage_floor),
                {"": pipeline.encoder},
                every=1 if hop_s is None else windows_apart(hop_s),
            )
        if not part.t_stop.size:
            raise RecordingError(
                f"none of {part.n_invalid} windows is valid: the recording is shorter than a "
                "window, has no event to cut at, or too few of its contacts are good"
            )
        delay_s = pipeline.neural_delay_s
        of = recording, session, labels, recipe.window, part.t_stop, delay_s, self.on_note
        return part, label_windows(*of, whole=whole)
