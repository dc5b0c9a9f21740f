"""Recordings to a corpus: every valid window that the live front end would have cut."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from rtbrain.build import build_feature_pipeline
from rtbrain.config import CorpusSettings
from rtbrain.errors import RecordingError, RtbrainError
from rtbrain.learn.corpus.corpus import LeftOut, SessionEntry
from rtbrain.learn.corpus.report import corpus_progress, print_corpus, print_left_out
from rtbrain.learn.corpus.sources import (
    CorpusSource,
    corpus_header,
    corpus_recipe,
    corpus_sources,
    reading,
    require_plausible_unit,
    source_channels,
)
from rtbrain.learn.corpus.writer import CorpusWriter, SessionWriter
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.recording import Recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.terminal import OnProgress
from rtbrain.types import Chunk, Montage, Window

_CHUNK_S = 1.0
_GAP = "not full again after a gap"
_FEW = "too few good channels"
_NONE = "no good channel"


# Of a montage, and where its events go (`on_event`).
MakeFrontEnd = Callable[..., FeaturePipeline]


def make_corpus(settings: CorpusSettings, out: Path, console: Console) -> None:
    """Build a corpus from settings, or continue one, and print what it holds."""
    recipe = corpus_recipe(settings)
    sources = corpus_sources(settings)
    writer = CorpusWriter(out, corpus_header(settings, recipe))
    try:
        with corpus_progress(console, len(writer.manifest.done), len(sources)) as on_progress:
            front_end = partial(build_feature_pipeline, recipe, whole_windows=True)
            build_corpus(writer, sources, front_end, on_progress)
    except RecordingError:
        print_left_out(console, writer.manifest)
        raise
    print_corpus(console, out, writer.manifest)


def build_corpus(
    writer: CorpusWriter,
    sources: Sequence[CorpusSource],
    make_front_end: MakeFrontEnd,
    on_progress: OnProgress,
) -> None:
    """Add what is missing of the sources; the manifest says which cannot be used, and why."""
    for number, source in enumerate(sources):
        if number not in writer.manifest.done:
            one = _Build(writer, number, source, on_progress)
            try:
                entry = one.run(make_front_end)
            except RtbrainError as error:
                entry = None
                one.leave_out("recording", source.plainly(error))
            writer.commit(entry, one.left_out)
        on_progress(number + 1, len(sources), "sources")
    if not writer.manifest.sessions:
        first = writer.manifest.left_out[0]
        raise RecordingError(f"no source gave a window: {first.source}: {first.why}")
    writer.finish()


@dataclass(slots=True)
class _Build:
    """One source on its way into the corpus."""

    writer: CorpusWriter
    number: int
    source: CorpusSource
    on_progress: OnProgress
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    invalid: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    offset_s: float = 0.0

    def leave_out(self, what: str, why: str) -> None:
        self.left_out.append(
            LeftOut(number=self.number, source=self.source.name, what=what, why=why)
        )

    def run(self, make_front_end: MakeFrontEnd) -> SessionEntry | None:
        """Write the session of the source; None where it holds no window."""
        with reading():
            recording = self.source.opened()
        try:
            self.notes += [self.source.plainly(note) for note in recording.notes]
            names, unusable = source_channels(recording, self.source.settings)
            for name, why in unusable:
                self.leave_out(f"channel {name}", why)
            played = self._played(recording, names)
            stages = make_front_end(played.montage, on_event=self._on_event)
            with self.writer.session(self.number) as part:
                self._fill(part, played, stages)
                if not part.n_windows:
                    self._explain_empty(played.n_samples / played.montage.sfreq_hz)
                    return None
                self._explain_channels(part, stages.signal.montage)
                self.writer.expect_shape(part.item_shape)
                return part.finish(
                    source=self.source.name,
                    subject=self._subject(recording),
                    session=self.source.settings.session
                    or recording.session
                    or f"{self.number:04d}",
                    montage=stages.signal.montage,
                    events=recording.events,
                    notes=self.notes,
                )
        finally:
            recording.close()

    def _subject(self, recording: Recording) -> str:
        """Label by which subjects are held out; without one, the file counts as a subject."""
        known = self.source.settings.subject or recording.subject
        if known:
            return known
        first = self.source.first_of_file
        made = f"source-{self.number if first is None else first:04d}"
        self.notes.append(
            f"{self.source.name} names no subject: it counts as its own, {made}; set subject, "
            "or one subject may be both trained on and held out"
        )
        return made

    def _played(self, recording: Recording, names: list[str]) -> ReplaySource:
        source = self.source.settings
        if source.scale is None:
            require_plausible_unit(recording, names)
        self.offset_s = self.source.offset_s(recording)
        return ReplaySource(
            recording,
            chunk_samples=max(1, round(_CHUNK_S * recording.montage.sfreq_hz)),
            names=names,
            start_s=source.start_s,
            stop_s=source.stop_s,
            scale=1.0 if source.scale is None else source.scale,
        )

    def _fill(self, part: SessionWriter, played: ReplaySource, stages: FeaturePipeline) -> None:
        sfreq_hz = played.montage.sfreq_hz
        n_read = 0
        n_lost = np.zeros(played.montage.n_channels, np.int64)
        for chunk in _chunks(played):
            n_lost += np.count_nonzero(~np.isfinite(chunk.data), axis=1)
            for window in stages.cut(chunk):
                self._take(part, window, stages)
            n_read += chunk.n_samples
            self.on_progress(n_read / sfreq_hz, played.n_samples / sfreq_hz, self.source.name)
        if n_lost.any():
            names = [played.montage.names[row] for row in np.flatnonzero(n_lost)]
            self.leave_out(
                "samples",
                f"{n_lost.sum()} are not finite, in {', '.join(names)}: not good where they are",
            )
        if self.invalid and part.n_windows:
            why = ", ".join(f"{n} {reason}" for reason, n in self.invalid.most_common())
            n_all = part.n_windows + self.invalid.total()
            self.leave_out("windows", f"{self.invalid.total()} of {n_all}: {why}")

    def _take(self, part: SessionWriter, window: Window, stages: FeaturePipeline) -> None:
        quality = window.quality
        if not quality.valid:
            filling = quality.reason.startswith("filling")
            if not filling or quality.lost_samples:  # the first window takes its time to fill
                few = _FEW if quality.reason.startswith("coverage") else quality.reason
                self.invalid[_GAP if filling else few] += 1
            return
        items, good = window.data, quality.good
        if self.writer.manifest.form != "waveform":
            picture = stages.spectrogram(window)
            items, good = picture.data, picture.quality.good
        if good.any():
            part.add(items, good, self.offset_s + window.t_stop)
        else:
            self.invalid[_NONE] += 1

    def _explain_empty(self, duration_s: float) -> None:
        if self.invalid:
            reason, n_windows = self.invalid.most_common(1)[0]
            why = f"no valid window in {duration_s:g} s: {n_windows} {reason}"
        else:
            why = f"{duration_s:g} s are shorter than a window"
        self.leave_out("recording", why)

    def _explain_channels(self, part: SessionWriter, montage: Montage) -> None:
        """Name channels that are not good in some or all windows, and why."""
        good = part.good
        n_bad = np.count_nonzero(~good, axis=0)
        for row in np.flatnonzero(n_bad):
            name = montage.names[row]
            many = "all" if n_bad[row] == len(good) else f"{n_bad[row]} of"
            why = ", ".join(dict.fromkeys(self.reasons.get(name, ())))
            why = f": {why}" if why else ""
            self.leave_out(f"channel {name}", f"not good in {many} {len(good)} windows{why}")

    def _on_event(self, event: str, **details: object) -> None:
        if event == "channel_bad":
            self.reasons.setdefault(str(details["channel"]), []).append(str(details["reason"]))
        elif event != "channel_good":
            fields = ", ".join(f"{key} {value}" for key, value in details.items())
            self.notes.append(f"{event}: {fields}")


def _chunks(played: ReplaySource) -> Iterator[Chunk]:
    while True:
        with reading():
            chunk = played.pull(0.0)
        if chunk is None:
            return
        yield chunk
