"""`rtbrain evaluate`: a held-out recording through the live pipeline at full speed, and scored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.config import LabelSettings, parse_settings
from rtbrain.decoder import Bundle, Readout
from rtbrain.encoder import RuntimeChoice
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.evaluate.report import score_decodes
from rtbrain.learn.fit.inputs import label_windows, rest_cues, virtual_session
from rtbrain.learn.fit.labels import Labelled
from rtbrain.pipeline import FeaturePipeline
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
        """Never told: the clock of a recording waits."""

    def close(self) -> None:
        """Nothing to let go of."""


def control_bundles(bundle: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in bundle.glob("controls/*/manifest.json"))


def label_settings(bundle: Bundle, classes: str | None) -> LabelSettings:
    """How the decoder's windows were labelled, or as the user says: markers, with commas."""
    if classes is not None:
        values: dict[str, Any] = {"classes": [part.strip() for part in classes.split(",")]}
    else:
        values = bundle.report.get("labels") or {"classes": list(bundle.manifest.labels)}
    return parse_settings(values, LabelSettings, where="labels")


def score_recording(
    console: Console,
    bundle: Bundle,
    recording: Recording,
    labels: LabelSettings,
    scale: float,
    threshold: float,
) -> dict[str, Any]:
    decoder = decoder_for(bundle, recording)
    kept, valid, labelled = decode_recording(console, bundle, recording, labels, scale, decoder)
    alarm = None if labels.events is not None else threshold
    return score_decodes(kept.decodes, valid, labelled, alarm) | {"lost_samples": kept.n_lost}


def decoder_for(
    bundle: Bundle, recording: Recording, runtime: RuntimeChoice = RuntimeChoice()
) -> tuple[FeaturePipeline, Readout]:
    """Decoder of a bundle for a recording in the bundle's channels.

    Contacts that the recording marks bad are masked as those that an operator marks live.

    Parameters
    ----------
    runtime : RuntimeChoice
        How its encoder is run.
    """
    bad = [f"bad {name}" for name in recording.bad if name in bundle.montage.names]
    return build_decoder(
        bundle, bundle.montage, manual_marks=(lambda: bad) if bad else None, runtime=runtime
    )


def decode_recording(
    console: Console,
    bundle: Bundle,
    recording: Recording,
    labels: LabelSettings,
    scale: float,
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
) -> "tuple[CollectingSink, list[Decode], Labelled]":
    """All decodes of a recording, those that are valid, and the labels of these.

    Parameters
    ----------
    decoder : tuple
        As `decoder_for` gives it.

    Raises
    ------
    RecordingError
        No decode is valid.
    SettingsError
        The labels are not those of the decoder.
    """
    window = bundle.recipe.window
    session = virtual_session(
        recording,
        recording.montage.names,
        scale=scale,
        target=labels.channel,
        extra=rest_cues(recording, labels, window),
    )
    kept = play_recording(console, bundle, session, recording.n_samples, decoder)
    valid = [decode for decode in kept.decodes if decode.quality.valid]
    if not valid:
        raise RecordingError(
            f"none of the {len(kept.decodes)} decodes is valid: the recording is shorter than a "
            "window, has no event to cut at, or too few of its contacts are good"
        )
    t_stop = np.array([decode.t_stop for decode in valid])
    delay_s = decoder[0].neural_delay_s
    labelled = label_windows(recording, session, labels, window, t_stop, delay_s)
    _refuse_other_outputs(bundle, labelled)
    return kept, valid, labelled


@dataclass(frozen=True, slots=True)
class _Bound:
    """A session in the channels of the decoder, as a live stream is bound; missing ones are NaN."""

    session: VirtualSession
    binding: ChannelBinding
    montage: Montage

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next chunk; None at the end."""
        chunk = self.session.pull(timeout_s)
        return None if chunk is None else self.binding.apply(chunk)

    def close(self) -> None:
        """Let go of the recording."""
        self.session.close()


def play_recording(
    console: Console,
    bundle: Bundle,
    session: VirtualSession,
    n_samples: int,
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
    *,
    doing: str = "decoding",
    until_s: float = math.inf,
) -> CollectingSink:
    """Every decode of a session, bound to the decoder's channels by label.

    Parameters
    ----------
    n_samples : int
        How many there are.
    doing : str
        What the bar of progress tells.
    until_s : float
        Where to stop, s.
    """
    floor = bundle.recipe.coverage_floor
    fitted = bundle.montage
    contract = StreamRequirements(fitted.sfreq_hz, fitted.names, min_coverage=floor)
    binding = contract.check(session.montage, stream="of the recording")
    kept = CollectingSink()
    pipeline = build_live(
        decoder,
        _Bound(session, binding, fitted),
        (kept,),
        kept,
        latest_only=False,
        coverage_floor=floor,
        clock=session.clock,
        markers=session.markers,
    )
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(doing, total=n_samples)

        def stop() -> bool:
            progress.update(task, completed=session.n_read)
            return session.clock() > until_s

        pipeline.run(stop)
    return kept


def _refuse_other_outputs(bundle: Bundle, labelled: Labelled) -> None:
    fitted: Sequence[str] = bundle.manifest.labels
    if tuple(fitted) != labelled.names:
        raise SettingsError(
            f"the decoder tells {', '.join(fitted)} apart, the labels are "
            f"{', '.join(labelled.names)}: give the same, in the same order, with --classes"
        )
