"""`rtbrain simulate`: a synthetic patient as a live stream, with the markers of its task."""

import math
from typing import Annotated

import typer

from rtbrain.check.faults.faulty_outlet import stream_patient
from rtbrain.check.faults.grammar import FAULT_KINDS, parse_fault
from rtbrain.errors import SettingsError
from rtbrain.processes import stop_on_signals
from rtbrain.recording.playing import require_positive
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource

_FAULT_HELP = (
    "What goes wrong and at which second of the signal; may be repeated. "
    f"Forms: {', '.join(FAULT_KINDS.values())}. Channels: labels with commas, or * for all."
)


def command(
    name: Annotated[str, typer.Option("--name", help="Name of the stream.")] = "rtbrain-sim",
    seed: Annotated[int, typer.Option("--seed", help="Electrodes, noise, course of the task.")] = 0,
    family: Annotated[int, typer.Option("--family", help="Where the task drives the brain.")] = 0,
    channels: Annotated[int, typer.Option("--channels", help="Contacts, 6 to 1024.")] = 32,
    electrodes: Annotated[
        str, typer.Option("--electrodes", help="shafts, or grids of 8 x 8 contacts.")
    ] = "shafts",
    sfreq: Annotated[float, typer.Option("--sfreq", help="Sampling rate, Hz.")] = 2048.0,
    mains: Annotated[float, typer.Option("--mains", help="Mains, 50 or 60 Hz.")] = 60.0,
    difficulty: Annotated[
        str, typer.Option("--difficulty", help="easy, default or hard.")
    ] = "default",
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Seconds of signal; else for ever.")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Times faster than life.")] = 1.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Begin when somebody listens.")
    ] = False,
    start: Annotated[
        float, typer.Option("--start", min=0, help="Second of the recording to begin at.")
    ] = 0.0,
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", help="Length of the pieces that are sent, ms.")
    ] = 20.0,
    fault: Annotated[list[str] | None, typer.Option("--fault", help=_FAULT_HELP)] = None,
) -> None:
    """Stream a synthetic patient over LSL: NAME, and NAME-markers at each change of state."""
    require_positive("--chunk-ms", chunk_ms)
    require_positive("--speed", speed)
    if not 0 <= start < math.inf:
        raise SettingsError(f"--start must be a number of 0 s or more, got {start:g}")
    patient = Patient(
        seed,
        family=family,
        n_channels=channels,
        electrodes=electrodes,
        sfreq_hz=sfreq,
        mains_hz=mains,
        difficulty=difficulty,
    )
    # A piece's length decides nothing but how often samples leave: the nearest whole one will do.
    source = SyntheticSource(
        patient,
        duration_s=duration,
        chunk_samples=max(1, round(chunk_ms / 1000 * sfreq)),
        start_sample=round(start * sfreq),
    )
    faults = [parse_fault(text) for text in fault or ()]
    start_sample = round(start * sfreq)
    stream_patient(patient, source, faults, name, speed, wait, start_sample, stop_on_signals())
