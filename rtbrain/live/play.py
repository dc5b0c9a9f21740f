"""A recording through a decoder as if it were live: the pipeline of a session, without the wait."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.channels import match_labels
from rtbrain.decoder import Bundle, Readout
from rtbrain.encoder import RuntimeChoice
from rtbrain.marks import Mark
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.recording import Event, Recording
from rtbrain.stage import Source, Stage
from rtbrain.stream.supervise.requirements import ChannelBinding, StreamRequirements
from rtbrain.terminal import OnProgress, no_progress
from rtbrain.types import Chunk, Decode, Embedding, Floats, Montage, Times


class VirtualSession:
    """A source whose clock stands at its newest sample, and markers that come when they are due.

    At each moment it gives what a live decoder would have received by then, and no more. The
    recording is stamped from 0. The `targets` are channels to decode: they are left out of the
    signal and kept; a MontageError where there is none of a name. `n_read` samples were pulled.
    """

    def __init__(
        self, source: Source, events: Sequence[Event] = (), *, targets: Sequence[str] = ()
    ) -> None:
        whole = source.montage
        self._target_rows = whole.rows(targets)
        self._others = [row for row in range(whole.n_channels) if row not in self._target_rows]
        self.montage: Montage = whole.pick([whole.names[row] for row in self._others])
        self.n_read = 0
        self._values: list[Floats] = []
        self._stamps: list[Times] = []
        self._source = source
        self._due = sorted(events, key=lambda event: event.onset_s)[::-1]
        self._now_s = 0.0

    def clock(self) -> float:
        """Stamp of the newest sample, s."""
        return self._now_s

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next chunk, at once; None at the end."""
        chunk = self._source.pull(timeout_s, at_least)
        if chunk is not None and chunk.n_samples:
            self._now_s = max(self._now_s, float(chunk.timestamps[-1]))
            self.n_read += chunk.n_samples
        if chunk is None or not len(self._target_rows):
            return chunk
        self._values.append(chunk.data[self._target_rows])
        self._stamps.append(chunk.timestamps.copy())
        return replace(chunk, data=chunk.data[self._others])

    def targets(self) -> tuple[Floats, Times]:
        """Values of the targets so far, float32 [n_targets, n_read], and their stamps, s."""
        if not self._values:
            return np.empty((len(self._target_rows), 0), np.float32), np.empty(0)
        return np.concatenate(self._values, axis=1), np.concatenate(self._stamps)

    def markers(self, timeout_s: float) -> list[tuple[float, str]]:
        """Events since the last call, as (seconds, text); at once."""
        due = []
        while self._due and self._due[-1].onset_s <= self._now_s:
            event = self._due.pop()
            due.append((event.onset_s, event.text))
        return due

    def close(self) -> None:
        """Release the recording; safe to call twice."""
        self._source.close()


@dataclass(slots=True)
class CollectingSink:
    """Sink and observer that keep everything."""

    decodes: list[Decode] = field(default_factory=list)
    n_lost: int = 0

    def push(self, item: Decode) -> None:
        """Keep a decode."""
        self.decodes.append(item)

    def lost(self, n_samples: int) -> None:
        """Count lost samples."""
        self.n_lost += n_samples

    def skipped(self, n_windows: int) -> None:
        """Never called: the clock of a recording waits."""

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class BoundSession:
    """A session in the channels of the decoder, as a live stream is bound; missing ones are NaN."""

    session: VirtualSession
    binding: ChannelBinding
    montage: Montage

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next chunk; None at the end."""
        chunk = self.session.pull(timeout_s, at_least)
        return None if chunk is None else self.binding.apply(chunk)

    def close(self) -> None:
        """Release the recording."""
        self.session.close()


def decoder_for(
    bundle: Bundle,
    recording: Recording,
    runtime: RuntimeChoice = RuntimeChoice(),
    *,
    live: bool = True,
) -> tuple[FeaturePipeline, Readout]:
    """Decoder of a bundle for a recording bound to the bundle's channels.

    Contacts that the recording marks as bad are masked as those that an operator marks live; `live`
    is that of `build_feature_pipeline`.
    """
    names = bundle.montage.names
    matched = match_labels(recording.montage.names, names, "the recording").rows
    bad = [Mark(f"bad {name}") for name in names if matched.get(name) in recording.bad]
    return build_decoder(
        bundle,
        bundle.montage,
        manual_marks=(lambda: bad) if bad else None,
        runtime=runtime,
        live=live,
    )


def bind_session(bundle: Bundle, session: VirtualSession) -> BoundSession:
    """A session in the channels of a bundle, found by label."""
    fitted = bundle.montage
    floor = bundle.recipe.coverage_floor
    requirements = StreamRequirements(fitted.sfreq_hz, fitted.names, min_coverage=floor)
    binding = requirements.check(session.montage, stream="of the recording")
    return BoundSession(session, binding, fitted)


def play_recording(
    bundle: Bundle,
    session: VirtualSession,
    n_samples: int,
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
    *,
    on_progress: OnProgress = no_progress,
    what: str = "decoding",
    until_s: float = math.inf,
) -> CollectingSink:
    """Every decode of a session.

    Parameters
    ----------
    bundle, decoder
        As `decoder_for` gives it for the bundle.
    session, n_samples
        The recording, from its first sample on, and how many there are.
    on_progress, what
        Progress in samples.
    until_s : float
        Where to stop, s.

    Raises
    ------
    StreamError
        The recording has another rate, or too few of the bundle's channels.
    """
    bound, floor = bind_session(bundle, session), bundle.recipe.coverage_floor
    return play_session(
        session,
        n_samples,
        decoder,
        floor,
        source=bound,
        on_progress=on_progress,
        what=what,
        until_s=until_s,
    )


def play_session(
    session: VirtualSession,
    n_samples: int,
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
    coverage_floor: float,
    *,
    source: Source | None = None,
    on_progress: OnProgress = no_progress,
    what: str = "decoding",
    until_s: float = math.inf,
) -> CollectingSink:
    """Every decode of a session by stages for its channels, or for those of the source around it.

    `coverage_floor` is that of the decoder's recipe; the others are those of `play_recording`.
    """
    kept = CollectingSink()
    pipeline = build_live(
        decoder,
        session if source is None else source,
        (kept,),
        kept,
        latest_only=False,
        coverage_floor=coverage_floor,
        clock=session.clock,
        markers=session.markers,
    )

    def stop() -> bool:
        on_progress(session.n_read, n_samples, what)
        return session.clock() > until_s

    # As a live session: threads that wait for each other cost small products more than they save.
    with threadpool_limits(1, "blas"):
        pipeline.run(stop)
    return kept
