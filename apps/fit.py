"""`rtbrain fit`: recordings and labels to a decoder bundle, with scores that hold."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rtbrain.config import FitSettings, parse_settings, read_settings
from rtbrain.errors import SettingsError
from rtbrain.files import require_new_folder
from rtbrain.learn.fit.run import fit_decoder
from rtbrain.progress import show_progress
from rtbrain.recording.playing import print_note


def command(
    recordings: Annotated[
        list[str] | None, typer.Argument(help="Files or BIDS folders; several are sessions.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the decoder bundle.")
    ] = None,
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "fit",
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="linear, edge, published, streaming, or a file.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers that begin a state: rest,speech.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", help="Markers that a window is cut at: go,stop.")
    ] = None,
    rest: Annotated[
        bool, typer.Option("--rest", help="With --event: stretches without, as a class.")
    ] = False,
    window: Annotated[
        str | None, typer.Option("--window", help="With --event: from and to, s, as 0:1.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", help="Channel of the recording to decode.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", help="With --channel: half, or a number.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="A task of the Brain Treebank: onset, volume.")
    ] = None,
    rules: Annotated[
        str | None, typer.Option("--rules", help="With --task: neuroprobe or published.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Stream to take from an .xdf file.")
    ] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="Multiplies the signals.")] = None,
    sfreq: Annotated[
        float | None, typer.Option("--sfreq", help="Rate of .npy files and synthetic patients.")
    ] = None,
    unsafe_random_split: Annotated[
        bool,
        typer.Option("--unsafe-random-split", help="Windows at random: scores that leak."),
    ] = False,
    folds: Annotated[int | None, typer.Option("--folds", help="Folds of blocks of time.")] = None,
) -> None:
    """Fit a decoder on labelled recordings and score it on held-out time."""
    values, where = read_settings(config)
    labels = _labels(classes, event, rest, channel, threshold, task, rules)
    splits = values.get("splits") or {}
    if isinstance(splits, dict):  # else it is refused with the rest
        splits |= {"unsafe_random": True} if unsafe_random_split else {}
        splits |= {} if folds is None else {"n_folds": folds}
    flags: dict[str, Any] = {
        "recordings": list(recordings or ()) or None,
        "recipe": recipe,
        "labels": labels,
        "stream": stream,
        "scale": scale,
        "sfreq_hz": sfreq,
        "splits": splits or None,
        "window": _window(window),
    }
    values |= {key: value for key, value in flags.items() if value is not None}
    settings = parse_settings(values, FitSettings, where=where)
    if settings.labels is None:
        raise SettingsError(f"{where}: no labels: give --classes, --event, --channel or --task")
    if out is None:
        raise SettingsError("no bundle to write: give --out FOLDER")
    require_new_folder(out, "--out")
    console = Console()
    started = time.monotonic()
    with show_progress(console) as on_progress:
        decoder = fit_decoder(
            settings.recordings, settings, on_progress=on_progress, on_note=print_note
        )
    decoder.save(out)
    console.print(decoder.scores)
    console.print(f"{out.name}: written in {time.monotonic() - started:.0f} s")


def _labels(
    classes: str | None,
    event: str | None,
    rest: bool,
    channel: str | None,
    threshold: str | None,
    task: str | None,
    rules: str | None,
) -> dict[str, Any] | None:
    """Labels as the flags say; None where no flag does."""
    given: dict[str, Any] = {
        "classes": _listed(classes),
        "events": _listed(event),
        "rest": rest or None,
        "channel": channel,
        "threshold": threshold,
        "task": task,
        "rules": rules,
    }
    labels = {key: value for key, value in given.items() if value is not None}
    return labels or None


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        start, stop = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingsError(f"--window {text}: expected two times as 0:1, in seconds") from None
    return start, stop
