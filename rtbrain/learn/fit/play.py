"""A recording through a decoder as if it were live: the pipeline of a session, without the wait."""

import math
from dataclasses import dataclass, field

from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.decoder import Bundle, Readout
from rtbrain.encoder import RuntimeChoice
from rtbrain.pipeline import FeaturePipeline
from rtbrain.progress import OnProgress, no_progress
from rtbrain.recording.recording import Recording
from rtbrain.recording.virtual_session import VirtualSession
from rtbrain.stage import Stage
from rtbrain.stream.supervise.requirements import ChannelBinding, StreamRequirements
from rtbrain.types import Chunk, Decode, Embedding, Montage


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

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next chunk; None at the end."""
        chunk = self.session.pull(timeout_s)
        return None if chunk is None else self.binding.apply(chunk)

    def close(self) -> None:
        """Release the recording."""
        self.session.close()


def decoder_for(
    bundle: Bundle, recording: Recording, runtime: RuntimeChoice = RuntimeChoice()
) -> tuple[FeaturePipeline, Readout]:
    """Decoder of a bundle for a recording bound to the bundle's channels.

    Contacts that the recording marks as bad are masked as those that an operator marks live.
    """
    bad = [f"bad {name}" for name in recording.bad if name in bundle.montage.names]
    return build_decoder(
        bundle, bundle.montage, manual_marks=(lambda: bad) if bad else None, runtime=runtime
    )


def bind_session(bundle: Bundle, session: VirtualSession) -> BoundSession:
    """A session in the channels of a bundle, found by label.

    Raises
    ------
    StreamError
        It has another rate, or too few of the bundle's channels.
    """
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
    bundle : Bundle
        Whose channels and coverage the session must have.
    session : VirtualSession
        The recording, from its first sample on.
    n_samples : int
        How many there are.
    decoder : tuple
        As `decoder_for` gives it.
    on_progress, what : callable, str
        Progress in samples.
    until_s : float
        Where to stop, s.

    Raises
    ------
    StreamError
        The recording has another rate, or too few of the bundle's channels.
    """
    kept = CollectingSink()
    pipeline = build_live(
        decoder,
        bind_session(bundle, session),
        (kept,),
        kept,
        latest_only=False,
        coverage_floor=bundle.recipe.coverage_floor,
        clock=session.clock,
        markers=session.markers,
    )

    def stop() -> bool:
        on_progress(session.n_read, n_samples, what)
        return session.clock() > until_s

    pipeline.run(stop)
    return kept
