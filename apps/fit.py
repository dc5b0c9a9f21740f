"""`rtbrain fit`: recordings and labels to a decoder bundle, with scores that hold."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from rtbrain.config import FitSettings, parse_settings, read_settings
from rtbrain.config.flags import (
    Channels,
    Config,
    Exclude,
    Kinds,
    RecordingRate,
    RecordingStream,
    Space,
    Trigger,
    flag,
    names_of,
    override,
    replace_fields,
)
from rtbrain.errors import SettingsError
from rtbrain.files import require_new_folder
from rtbrain.learn.fit.front_end.recipes import stages_of
from rtbrain.learn.fit.run import fit_decoder
from rtbrain.learn.report.score_table import report_tables
from rtbrain.recording.playing import print_note
from rtbrain.terminal import JsonProgress, show_progress, table


def _flag(field: str, *names: str) -> Any:
    return flag(FitSettings, field, *names)


def command(
    recordings: Annotated[
        list[str] | None, typer.Argument(help="Files or BIDS folders; several are sessions.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the decoder bundle.")
    ] = None,
    config: Config = "fit",
    recipe: Annotated[str | None, _flag("recipe", "--recipe")] = None,
    front_end: Annotated[str | None, _flag("front_end", "--front-end")] = None,
    classes: Annotated[str | None, _flag("labels.classes", "--classes")] = None,
    event: Annotated[str | None, _flag("labels.events", "--event")] = None,
    trigger: Trigger = None,
    rest: Annotated[bool | None, _flag("labels.rest", "--rest")] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="With --event: from and to, s, as 0:1.")
    ] = None,
    channel: Annotated[str | None, _flag("labels.channel", "--channel")] = None,
    threshold: Annotated[str | None, _flag("labels.threshold", "--threshold")] = None,
    task: Annotated[str | None, _flag("labels.task", "--task")] = None,
    rules: Annotated[str | None, _flag("labels.rules", "--rules")] = None,
    detect: Annotated[str | None, _flag("detect", "--detect")] = None,
    population: Annotated[str | None, _flag("population", "--population")] = None,
    channels: Channels = None,
    exclude: Exclude = None,
    kinds: Kinds = None,
    space: Space = None,
    mains: Annotated[str | None, _flag("mains_hz", "--mains")] = None,
    hop: Annotated[float | None, _flag("hop_s", "--hop")] = None,
    embargo: Annotated[float | None, _flag("splits.embargo_s", "--embargo")] = None,
    folds: Annotated[int | None, _flag("splits.n_folds", "--folds")] = None,
    unsafe_random_split: Annotated[
        bool | None, _flag("splits.unsafe_random", "--unsafe-random-split")
    ] = None,
    stream: RecordingStream = None,
    scale: Annotated[float | None, _flag("scale", "--scale")] = None,
    sfreq: RecordingRate = None,
    progress_json: Annotated[bool, typer.Option("--progress-json", hidden=True)] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as splits.kind=sessions; repeatable."),
    ] = None,
) -> None:
    """Fit a decoder on labelled recordings and score it on held-out time.

    Several names are separated by commas: --classes rest,speech.
    """
    values, where = read_settings(config, FitSettings)
    labels = {
        "classes": names_of(classes, "--classes"),
        "events": names_of(event, "--event"),
        "rest": rest,
        "channel": names_of(channel, "--channel"),
        "threshold": threshold,
        "task": task,
        "rules": rules,
    }
    fields: dict[str, Any] = {
        "recordings": list(recordings or ()) or None,
        "recipe": recipe,
        "front_end": front_end,
        "labels": {key: value for key, value in labels.items() if value is not None} or None,
        "labels.trigger": trigger,
        "window": _window(window),
        "detect": names_of(detect, "--detect"),
        "population": population,
        "channels": names_of(channels, "--channels"),
        "exclude": names_of(exclude, "--exclude"),
        "kinds": names_of(kinds, "--kinds"),
        "space": space,
        "mains_hz": int(mains) if mains and mains.isdecimal() else mains,
        "hop_s": hop,
        "splits.embargo_s": embargo,
        "splits.n_folds": folds,
        "splits.unsafe_random": unsafe_random_split,
        "stream": stream,
        "scale": scale,
        "sfreq_hz": sfreq,
    }
    values = replace_fields(values, {key: it for key, it in fields.items() if it is not None})
    settings = parse_settings(override(values, overrides or ()), FitSettings, where=where)
    if settings.labels is None:
        raise SettingsError(f"{where}: no labels: pass --classes, --event, --channel or --task")
    if out is None:
        raise SettingsError("expected a new folder for the decoder: pass --out FOLDER")
    require_new_folder(out, "--out")
    console = Console()
    started = time.monotonic()
    with show_progress(console) as bars:
        on_progress = JsonProgress(stages_of(settings)) if progress_json else bars
        decoder = fit_decoder(
            settings.recordings, settings, on_progress=on_progress, on_note=print_note
        )
    decoder.save(out)
    console.print(decoder.scores)
    for one in report_tables(decoder.report):
        console.print(table(*one, n_names=len(one.headings), lines=True))
    console.print(f"{out.name}: written in {time.monotonic() - started:.0f} s")
    use = decoder.report.get("simplest", {}).get("use", "decoder")
    if use != "decoder":
        command = f"the simplest decoder: rtbrain decode --bundle {out}/controls/{use}"
        console.print(Text(command), soft_wrap=True)


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        start, stop = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingsError(f"--window {text}: expected two times as 0:1, in seconds") from None
    return start, stop
