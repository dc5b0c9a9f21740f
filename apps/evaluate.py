"""`rtbrain evaluate`: a held-out recording through the live pipeline at full speed, and scored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .target import refuse_target, write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.config import LabelSettings
    from rtbrain.decoder import Bundle, Readout
    from rtbrain.offline.labels import Labelled
    from rtbrain.offline.virtual import VirtualSession
    from rtbrain.pipeline import Encoding
    from rtbrain.stage import Stage
    from rtbrain.stream.contract import Binding
    from rtbrain.stream.recording import Recording
    from rtbrain.types import Chunk, Decode, Embedding, Montage


@dataclass(slots=True)
class Kept:
    """Sink and watcher that keep everything.

    Attributes
    ----------
    decodes : list of Decode
        In the order of time, invalid ones too.
    n_lost : int
        Samples that the recording says were lost.
    """

    decodes: "list[Decode]" = field(default_factory=list)
    n_lost: int = 0

    def push(self, item: "Decode") -> None:
        """Keep a decode."""
        self.decodes.append(item)

    def gap(self, n_samples: int) -> None:
        """Count lost samples."""
        self.n_lost += n_samples

    def late(self, n_windows: int) -> None:
        """Never told: the clock of a recording waits."""

    def close(self) -> None:
        """Nothing to let go of."""


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    recording: Annotated[str, typer.Argument(help="A recording that it was not fitted on.")],
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Stream to take from an .xdf file.")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
    sfreq: Annotated[
        float | None, typer.Option("--sfreq", help="Rate of an .npy file or a synthetic patient.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", min=0, max=1, help="Probability above which a class is an event."
        ),
    ] = 0.5,
    decodes: Annotated[
        str | None,
        typer.Option("--decodes", help="Score this decode stream of the .xdf file too, as it was."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the figures go, a JSON file.")
    ] = None,
) -> None:
    """Replay a recording through the live decoder, as fast as it goes, and score its decodes."""
    from rich.console import Console

    from rtbrain.decoder import read_bundle, strict_json

    from .evaluate_recorded import recorded_figures
    from .evaluate_report import closing_table
    from .fit_inputs import opened, with_tasks

    if report is not None:
        refuse_target(report, "--report")
    console = Console()
    found = read_bundle(bundle)
    labels = labels_of(found, classes)
    with opened((recording,), stream=stream, sfreq_hz=sfreq, scale=scale) as found_recordings:
        (read,), labels = with_tasks(labels, (recording,), found_recordings)
        figures = {"decoder": _scored(console, found, read, labels, scale, threshold)}
        for control in _controls(bundle):
            figures[control.name] = _scored(
                console, read_bundle(control), read, labels, scale, threshold
            )
    if decodes is not None:
        figures["as decoded live"] = recorded_figures(recording, decodes, found, labels, threshold)
    console.print(closing_table(figures))
    if report is not None:
        text = strict_json({"bundle": found.id, **figures})
        write_whole(report, lambda file: file.write(text.encode()))


def _controls(bundle: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in bundle.glob("controls/*/manifest.json"))


def labels_of(bundle: "Bundle", classes: str | None) -> "LabelSettings":
    """How the decoder's windows were labelled, or as the user says: markers, with commas."""
    from rtbrain.config import LabelSettings, parse_settings

    if classes is not None:
        values: dict[str, Any] = {"classes": [part.strip() for part in classes.split(",")]}
    else:
        values = bundle.report.get("labels") or {"classes": list(bundle.manifest.labels)}
    return parse_settings(values, LabelSettings, where="labels")


def _scored(
    console: "Console",
    bundle: "Bundle",
    recording: "Recording",
    labels: "LabelSettings",
    scale: float,
    threshold: float,
) -> dict[str, Any]:
    from .evaluate_report import figures_of

    decoder = decoder_of(bundle, recording)
    kept, valid, labelled = decoded(console, bundle, recording, labels, scale, decoder)
    alarm = None if labels.events is not None else threshold
    return figures_of(kept.decodes, valid, labelled, alarm) | {"lost_samples": kept.n_lost}


def decoder_of(
    bundle: "Bundle", recording: "Recording", **options: Any
) -> "tuple[Encoding, Readout]":
    """Decoder of a bundle for a recording in the bundle's channels.

    Contacts that the recording marks bad are masked as those that an operator marks live.

    Parameters
    ----------
    options
        Of `rtbrain.build.build_decoder`.
    """
    from rtbrain.build import build_decoder

    bad = [f"bad {name}" for name in recording.bad if name in bundle.montage.names]
    return build_decoder(bundle, bundle.montage, hands=(lambda: bad) if bad else None, **options)


def decoded(
    console: "Console",
    bundle: "Bundle",
    recording: "Recording",
    labels: "LabelSettings",
    scale: float,
    decoder: "tuple[Encoding, Stage[Embedding, Decode]]",
) -> "tuple[Kept, list[Decode], Labelled]":
    """All decodes of a recording, those that are valid, and the labels of these.

    Parameters
    ----------
    decoder : tuple
        As `decoder_of` gives it.

    Raises
    ------
    RecordingError
        No decode is valid.
    SettingsError
        The labels are not those of the decoder.
    """
    import numpy as np

    from rtbrain.bundling import recipe_of_bundle
    from rtbrain.errors import RecordingError

    from .fit_inputs import as_session, labelled_windows, rest_cues

    window = recipe_of_bundle(bundle).window
    session = as_session(
        recording,
        recording.montage.names,
        scale=scale,
        target=labels.channel,
        extra=rest_cues(recording, labels, window),
    )
    kept = played(console, bundle, session, recording.n_samples, decoder)
    valid = [decode for decode in kept.decodes if decode.quality.valid]
    if not valid:
        raise RecordingError(
            f"none of the {len(kept.decodes)} decodes is valid: the recording is shorter than a "
            "window, has no event to cut at, or too few of its contacts are good"
        )
    t_stop = np.array([decode.t_stop for decode in valid])
    delay_s = decoder[0].neural_delay_s
    labelled = labelled_windows(recording, session, labels, window, t_stop, delay_s)
    _refuse_other_outputs(bundle, labelled)
    return kept, valid, labelled


@dataclass(frozen=True, slots=True)
class _Bound:
    """A session in the channels of the decoder, as a live stream is bound; missing ones are NaN."""

    session: "VirtualSession"
    binding: "Binding"
    montage: "Montage"

    def pull(self, timeout_s: float) -> "Chunk | None":
        """Next chunk; None at the end."""
        chunk = self.session.pull(timeout_s)
        return None if chunk is None else self.binding.apply(chunk)

    def close(self) -> None:
        """Let go of the recording."""
        self.session.close()


def played(
    console: "Console",
    bundle: "Bundle",
    session: "VirtualSession",
    n_samples: int,
    decoder: "tuple[Encoding, Stage[Embedding, Decode]]",
    *,
    doing: str = "decoding",
    until_s: float = math.inf,
) -> Kept:
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
    from rich.progress import Progress

    from rtbrain.build import build_live
    from rtbrain.bundling import recipe_of_bundle
    from rtbrain.stream.contract import StreamContract

    floor = recipe_of_bundle(bundle).coverage_floor
    fitted = bundle.montage
    contract = StreamContract(fitted.sfreq_hz, fitted.names, least_coverage=floor)
    binding = contract.check(session.montage, stream="of the recording")
    kept = Kept()
    pipeline = build_live(
        decoder,
        _Bound(session, binding, fitted),
        (kept,),
        kept,
        newest_only=False,
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


def _refuse_other_outputs(bundle: "Bundle", labelled: "Labelled") -> None:
    from rtbrain.errors import SettingsError

    fitted: Sequence[str] = bundle.manifest.labels
    if tuple(fitted) != labelled.names:
        raise SettingsError(
            f"the decoder tells {', '.join(fitted)} apart, the labels are "
            f"{', '.join(labelled.names)}: give the same, in the same order, with --classes"
        )
