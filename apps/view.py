"""`rtbrain view`: the live window, in a process of its own."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.config import DecodeSettings, SignalStep, load_settings
from rtbrain.errors import SettingsError
from rtbrain.files import require_writable_file
from rtbrain.processes import require_display, use_lsl_scope
from rtbrain.signal import build_signal
from rtbrain.stage import SignalStage
from rtbrain.types import Montage
from rtbrain.view.run import Screenshot, run_window

# A picture of more lines is drawn at a higher scale, as on a screen with smaller pixels.
_LINES = 1080


def command(
    config: Annotated[
        str | None,
        typer.Option("--config", help="Settings of the session, for the names of its streams."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Name of the signal; default: the only one.")
    ] = None,
    source_id: Annotated[
        str | None,
        typer.Option("--source-id", help="Source id of the signal, if several have one name."),
    ] = None,
    decode: Annotated[
        str | None, typer.Option("--decode", help="Name of the decoder; default: the only one.")
    ] = None,
    markers: Annotated[
        str | None,
        typer.Option("--markers", help="Name of a marker stream, besides SIGNAL-markers."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", min=1e-12, help="Multiplies the signal.")
    ] = None,
    headless_png: Annotated[
        Path | None,
        typer.Option(
            "--headless-png",
            help="Without a screen: save a picture of a signal to this file, and exit.",
        ),
    ] = None,
    after: Annotated[
        float, typer.Option("--after", min=0.1, help="Seconds until that picture.")
    ] = 10.0,
    size: Annotated[
        str, typer.Option("--size", help="Size of that picture in pixels, such as 1280x800.")
    ] = "1280x800",
    theme: Annotated[
        Literal["dark", "light"] | None, typer.Option("--theme", help="Default: the last one used.")
    ] = None,
) -> None:
    """Show signal, decodes and their quality live; closing the window affects nothing else."""
    width_px, height_px = _pixels(size)
    scope = "machine"
    factor = scale or 1.0
    if config is not None:
        settings = load_settings(config, DecodeSettings)
        stream = stream or settings.stream.name
        source_id = source_id or settings.stream.source_id
        decode = decode or settings.outlet.name
        markers = markers or settings.stream.markers
        factor = scale or settings.stream.scale
        scope = settings.lsl_scope
    use_lsl_scope(scope)
    if headless_png is not None:
        require_writable_file(headless_png, "--headless-png")
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        os.environ["QT_SCALE_FACTOR"] = f"{max(1.0, height_px / _LINES):g}"
    else:
        require_display()

    picture = None
    if headless_png is not None:
        picture = Screenshot(headless_png, after, width_px, height_px)
    run_window(
        stream,
        decode,
        source_id=source_id,
        markers=markers,
        scale=factor,
        make_chain=build_display_chain,
        theme=theme,
        picture=picture,
    )


def _pixels(size: str) -> tuple[int, int]:
    """Width and height of a picture."""
    width, _, height = size.partition("x")
    numbers = width.isdecimal() and height.isdecimal()
    if not (numbers and 1024 <= int(width) <= 8192 and 700 <= int(height) <= 8192):
        raise SettingsError(
            f"--size: expected WIDTHxHEIGHT from 1024x700 to 8192x8192 pixels, got {size!r}"
        )
    return int(width), int(height)


def build_display_chain(reference: str, notch_hz: float | None, montage: Montage) -> SignalStage:
    """Signal chain of the displayed traces; the decoder has its own."""
    steps = []
    if notch_hz is not None:
        steps.append(SignalStep.model_validate({"notch": {"mains_hz": round(notch_hz)}}))
    if reference != "none":
        steps.append(SignalStep.model_validate({"reference": reference}))
    return build_signal(steps, montage)
