"""`rtbrain simulate`: a synthetic patient as a live stream, with the markers of its task."""

import math
from contextlib import ExitStack
from typing import Annotated

import typer

from rtbrain.check.faults.faulty_outlet import receive_markers, stream_patient
from rtbrain.check.faults.grammar import FAULT_KINDS, parse_fault
from rtbrain.errors import SettingsError
from rtbrain.processes import stop_on_signals
from rtbrain.recording.playing import require_positive
from rtbrain.synthetic.follower import Follower
from rtbrain.synthetic.patient import SYNTHETIC, parse_patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.synthetic.task import TASKS

_FAULT_HELP = (
    "What goes wrong and at which second of the signal; may be repeated. "
    f"Forms: {', '.join(FAULT_KINDS.values())}. Channels: labels with commas, or * for all."
)


def command(
    patient: Annotated[
        str | None,
        typer.Argument(
            help="synthetic:SEED,key=value..., as synthetic:7,task=beta, instead of the flags that "
            "describe a patient."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the stream.")] = "rtbrain-sim",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Electrodes, noise, course of the task.")
    ] = None,
    family: Annotated[
        int | None, typer.Option("--family", help="Where the task drives the brain.")
    ] = None,
    channels: Annotated[int | None, typer.Option("--channels", help="Contacts, 6 to 1024.")] = None,
    electrodes: Annotated[
        str | None, typer.Option("--electrodes", help="shafts, or grids of 8 x 8 contacts.")
    ] = None,
    sfreq: Annotated[float, typer.Option("--sfreq", help="Sampling rate, Hz.")] = 2048.0,
    mains: Annotated[float | None, typer.Option("--mains", help="Mains, 50 or 60 Hz.")] = None,
    difficulty: Annotated[
        str | None, typer.Option("--difficulty", help="easy, default or hard.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help=f"What follows the task: {', '.join(TASKS)}.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Seconds of signal; else for ever.")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Times faster than life.")] = 1.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Begin when somebody listens.")
    ] = False,
    start: Annotated[
        float | None, typer.Option("--start", min=0, help="Second of the recording to begin at.")
    ] = None,
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", help="Length of the pieces that are sent, ms.")
    ] = 20.0,
    follow: Annotated[
        str | None,
        typer.Option(
            "--follow",
            help="Do what the cues of this marker stream say, such as rtbrain-cues, while there "
            "are any; before and after that the own task.",
        ),
    ] = None,
    fault: Annotated[list[str] | None, typer.Option("--fault", help=_FAULT_HELP)] = None,
) -> None:
    """Stream a synthetic patient over LSL: NAME, and NAME-markers at each change of state."""
    require_positive("--chunk-ms", chunk_ms)
    require_positive("--speed", speed)
    flags = {
        "family": family,
        "n_channels": channels,
        "electrodes": electrodes,
        "mains_hz": mains,
        "difficulty": difficulty,
        "task": task,
    }
    given = [f"{key}={value}" for key, value in flags.items() if value is not None]
    if patient is None:
        patient = ",".join([f"{SYNTHETIC}{seed or 0}", *given])
    elif given or seed is not None:
        raise SettingsError(
            f"{patient} and flags that describe a patient: write {', '.join(given) or 'the seed'} "
            "into the one, or leave it out"
        )
    elif not patient.startswith(SYNTHETIC):
        raise SettingsError(
            f"{patient}: expected {SYNTHETIC}SEED[,key=value...]; rtbrain replay plays recordings"
        )
    who, more = parse_patient(
        patient.removeprefix(SYNTHETIC), sfreq, duration_s=math.inf, start_s=0.0
    )
    start = more["start_s"] if start is None else start
    if not 0 <= start < math.inf:
        raise SettingsError(f"--start must be a number of 0 s or more, got {start:g}")
    if duration is None and math.isfinite(more["duration_s"]):
        duration = more["duration_s"]
    faults = [parse_fault(text) for text in fault or ()]
    start_sample = round(start * sfreq)
    with ExitStack() as stack:
        follower = None
        if follow is not None:
            follower = Follower(who, stack.enter_context(receive_markers(follow)))
        # A piece's length decides nothing but how often samples leave: the nearest whole one will
        # do.
        source = SyntheticSource(
            who,
            duration_s=duration,
            chunk_samples=max(1, round(chunk_ms / 1000 * sfreq)),
            start_sample=start_sample,
            activation=None if follower is None else follower.activation,
        )
        stopping = stop_on_signals()
        stream_patient(who, source, faults, name, speed, wait, start_sample, stopping, follower)
