"""`rtbrain decode`: a live stream in, decodes and status out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rtbrain.config import DecodeSettings
    from rtbrain.decoder import Bundle
    from rtbrain.outlet import StatusOutlet


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "decode",
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Decoder bundle, a folder.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Name of the LSL stream to decode.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Gives NAME-decode and NAME-status.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after so many seconds.")
    ] = None,
) -> None:
    """Decode a live LSL stream."""
    from rtbrain.config import DecodeSettings, load_settings
    from rtbrain.errors import SettingsError

    settings = load_settings(config, DecodeSettings)
    if stream:
        selected = settings.stream.model_copy(
            update={"name": stream, "type": None, "source_id": None}
        )
        settings = settings.model_copy(update={"stream": selected})
    if name:
        outlet = settings.outlet.model_copy(update={"name": name})
        settings = settings.model_copy(update={"outlet": outlet})
    folder = bundle or settings.bundle
    if folder is None:
        raise SettingsError("no decoder: give --bundle FOLDER, or bundle in the settings")
    use_lsl_scope(settings.lsl_scope)
    _decode(settings, folder, duration)


def use_lsl_scope(scope: str) -> None:
    """Let LSL see as far as the settings say; a `LSLAPICFG` that the user set wins."""
    import os
    from importlib import resources

    ours = resources.files("rtbrain.configs")
    current = os.environ.get("LSLAPICFG", "")
    if not current or Path(current).parent == Path(str(ours)):
        os.environ["LSLAPICFG"] = str(ours / f"lsl-{scope}.cfg")


def _decode(settings: "DecodeSettings", folder: Path, duration_s: float | None) -> None:
    from rtbrain.decoder import read_bundle
    from rtbrain.errors import StreamError, StreamLostError
    from rtbrain.outlet import StatusOutlet

    bundle = read_bundle(folder)
    status = StatusOutlet(settings.outlet.name, source_id=f"{settings.outlet.name}-status")
    try:
        _run(settings, bundle, status, duration_s)
    except StreamLostError as error:
        status.emit("lost", why=str(error))
        raise
    except StreamError as error:
        status.emit("refused", why=str(error))
        raise
    finally:
        status.close()


def _run(
    settings: "DecodeSettings", bundle: "Bundle", status: "StatusOutlet", duration_s: float | None
) -> None:
    from rich.console import Console

    from rtbrain.build import build_decoder, build_live
    from rtbrain.bundling import recipe_of_bundle
    from rtbrain.outlet import DecodeOutlet, StatusReport
    from rtbrain.stream.lsl import LslSource, lsl_clock

    from .shutdown import stop_on_signals

    console = Console(stderr=True)
    manifest, wanted, name = bundle.manifest, settings.stream, settings.outlet.name
    status.emit("connecting", stream=wanted.name or wanted.type or wanted.source_id)
    source = LslSource(
        name=wanted.name,
        stream_type=wanted.type,
        source_id=wanted.source_id,
        timeout_s=wanted.timeout_s,
        scale=wanted.scale,
    )
    for note in source.notes:
        console.print(f"[yellow]note[/] {note}")
    status.emit("connected", channels=source.montage.n_channels, rate_hz=source.montage.sfreq_hz)
    status.emit("warming")
    decoder = build_decoder(bundle, source.montage, threads=settings.threads)
    outlet = DecodeOutlet(
        name,
        manifest.labels,
        hop_s=recipe_of_bundle(bundle).window.hop_s,
        montage=bundle.montage,
        bundle_id=bundle.id,
        source_id=f"{name}-decode",
        unit="probability" if manifest.task == "classification" else "value",
    )
    report = StatusReport(status, decoder[0].signal.montage.names)
    pipeline = build_live(
        settings, decoder, source, (outlet, report), clock=lsl_clock, on_skipped=report.late
    )
    status.emit("live", mode=manifest.mode)
    console.print(
        f"decoding [bold]{source.name}[/] ({source.montage.n_channels} channels, "
        f"{source.montage.sfreq_hz:g} Hz) in mode {manifest.mode} to [bold]{name}-decode[/]; "
        "Ctrl-C ends it"
    )
    try:
        pipeline.run(_until(stop_on_signals(), duration_s, lsl_clock))
    finally:
        pipeline.close()
    console.print(
        f"{report.n_decodes} decodes, {report.n_lost} samples lost, "
        f"{report.n_skipped} windows skipped"
    )


def _until(
    stopping: Callable[[], bool], duration_s: float | None, clock: Callable[[], float]
) -> Callable[[], bool]:
    if duration_s is None:
        return stopping
    end = clock() + duration_s
    return lambda: stopping() or clock() >= end
