"""`rtbrain decode`: a live stream in, decodes and status out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .decode_pace import refuse_late
from .decode_source import hands_of, markers_of, rate_refusal, source_of
from .recording_target import refuse_recording

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.config import DecodeSettings
    from rtbrain.decoder import Bundle
    from rtbrain.outlet import StatusOutlet, StatusReport


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "bedside",
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Decoder bundle, a folder.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Name of the LSL stream to decode.")
    ] = None,
    markers: Annotated[
        str | None,
        typer.Option("--markers", help="Marker stream: cuts windows at events; is recorded."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Gives NAME-decode and NAME-status.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after so many seconds.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Record stream, markers and decodes into OUT.xdf beside it."),
    ] = None,
    allow_late: Annotated[
        bool, typer.Option("--allow-late", help="Decode even where this machine is too slow.")
    ] = False,
) -> None:
    """Decode a live LSL stream."""
    from rtbrain.config import DecodeSettings, load_settings
    from rtbrain.errors import SettingsError

    settings = load_settings(config, DecodeSettings)
    if stream:
        selected = settings.stream.model_copy(
            update={"name": stream, "type": None, "source_id": None, "fieldtrip": None}
        )
        settings = settings.model_copy(update={"stream": selected})
    if markers:
        selected = settings.stream.model_copy(update={"markers": markers})
        settings = settings.model_copy(update={"stream": selected})
    if name:
        outlet = settings.outlet.model_copy(update={"name": name})
        settings = settings.model_copy(update={"outlet": outlet})
    folder = bundle or settings.bundle
    if folder is None:
        raise SettingsError("no decoder: give --bundle FOLDER, or bundle in the settings")
    if record is not None:
        refuse_recording(record)
    use_lsl_scope(settings.lsl_scope)
    settings = settings.model_copy(update={"bundle": folder})
    _decode(settings, folder, duration, record, allow_late)


def use_lsl_scope(scope: str) -> None:
    """Let LSL see as far as the settings say; a `LSLAPICFG` that the user set wins."""
    import os
    from importlib import resources

    ours = resources.files("rtbrain.configs")
    current = os.environ.get("LSLAPICFG", "")
    if not current or Path(current).parent == Path(str(ours)):
        os.environ["LSLAPICFG"] = str(ours / f"lsl-{scope}.cfg")


def _decode(
    settings: "DecodeSettings",
    folder: Path,
    duration_s: float | None,
    record: Path | None,
    allow_late: bool,
) -> None:
    from contextlib import closing

    from rich.console import Console
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from rtbrain.build import refuse_other_runtime
    from rtbrain.decoder import read_bundle
    from rtbrain.outlet import StatusOutlet

    from .recording_child import recording_beside
    from .shutdown import stop_on_signals

    stopping = stop_on_signals()
    bundle = read_bundle(folder)
    refuse_other_runtime(bundle.manifest.mode, settings.runtime, settings.precision)
    name = settings.outlet.name
    _refuse_taken(name)
    console = Console(stderr=True)
    about = {"bundle": bundle.id, "mode": bundle.manifest.mode}
    with closing(StatusOutlet(name, source_id=f"{name}-status")) as status:
        tell = _telling(status, console)
        recording = recording_beside(record, settings, about, tell, _saying(console))
        # Small products stall on more than one thread where the cores are busy; the encoder's
        # runtime alone takes what the settings give it.
        with threadpool_limits(1), recording as look:
            stop = _looking(look, stopping)
            _run_and_report(settings, bundle, status, stop, duration_s, allow_late)


def _looking(look: Callable[[], None], stopping: Callable[[], bool]) -> Callable[[], bool]:
    """Question of the loop, which looks after the recorder whenever it is asked."""

    def stop() -> bool:
        look()
        return stopping()

    return stop


def _run_and_report(
    settings: "DecodeSettings",
    bundle: "Bundle",
    status: "StatusOutlet",
    stopping: Callable[[], bool],
    duration_s: float | None,
    allow_late: bool,
) -> None:
    from rtbrain.errors import RtbrainError
    from rtbrain.outlet import StatusReport

    report = StatusReport(status)
    try:
        _run(settings, bundle, status, report, stopping, duration_s, allow_late)
    except RtbrainError as error:
        status.emit("failed", why=str(error))
        raise
    finally:
        report.tell_totals()
        status.close()


def _refuse_taken(name: str) -> None:
    """Two decoders of one name could not be told apart by whoever listens."""
    from rtbrain.errors import SettingsError
    from rtbrain.stream.lsl import list_streams

    if any(row.name == f"{name}-decode" for row in list_streams()):
        raise SettingsError(
            f"there is a stream {name}-decode already: end that decoder, or give --name another"
        )


def _run(
    settings: "DecodeSettings",
    bundle: "Bundle",
    status: "StatusOutlet",
    report: "StatusReport",
    stopping: Callable[[], bool],
    duration_s: float | None,
    allow_late: bool,
) -> None:
    from contextlib import ExitStack

    from rich.console import Console

    from rtbrain.build import build_decoder, build_live
    from rtbrain.bundling import recipe_of_bundle
    from rtbrain.encoder import compiled_folder_of
    from rtbrain.outlet import DecodeOutlet
    from rtbrain.stream.lsl import lsl_clock

    console = Console(stderr=True)
    manifest, name, recipe = bundle.manifest, settings.outlet.name, recipe_of_bundle(bundle)
    tell = _telling(status, console)
    source = source_of(settings, bundle, tell, stopping)
    if source is None:
        return
    with ExitStack() as opened:
        opened.callback(source.close)
        hands = hands_of(settings, tell)
        if hands is not None:
            opened.callback(hands.close)
        decoder = build_decoder(
            bundle,
            source.montage,
            on_event=tell,
            hands=hands,
            threads=settings.threads,
            runtime=settings.runtime,
            precision=settings.precision,
            compiled_folder=None
            if settings.bundle is None
            else compiled_folder_of(settings.bundle),
        )
        refuse_late(decoder, recipe, settings, bundle.montage.n_channels, tell, allow_late)
        outlet = DecodeOutlet(
            name,
            manifest.labels,
            hop_s=recipe.window.hop_s,
            montage=bundle.montage,
            bundle_id=bundle.id,
            source_id=f"{name}-decode",
            unit="probability" if manifest.task == "classification" else "value",
        )
        opened.callback(outlet.close)
        markers = markers_of(settings, tell) if recipe.window.hop_s is None else None
        if markers is not None:
            opened.callback(markers.close)
        pipeline = build_live(
            decoder,
            source,
            (outlet, report),
            report,
            newest_only=settings.late == "newest",
            coverage_floor=recipe.coverage_floor,
            clock=lsl_clock,
            markers=None if markers is None else markers.pull,
            refusal=rate_refusal(source),
        )
        console.print(f"mode {manifest.mode} to [bold]{name}-decode[/]; Ctrl-C ends it")
        pipeline.run(_until(stopping, duration_s, lsl_clock))
    console.print(
        f"{report.n_decodes} decodes, {report.n_lost} samples lost, "
        f"{report.n_skipped} windows skipped"
    )


def _saying(console: "Console") -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)


def _telling(status: "StatusOutlet", console: "Console") -> Callable[..., None]:
    """Events to the status stream, and to the screen in a line each.

    With every ``clock``, each 10 s, goes ``standing``: the state and the bad channels as they
    are, for those who began to listen after they were told.
    """
    from rtbrain.stream.states import State

    states = {state.value for state in State}
    standing: dict[str, str] = {}
    bad: dict[str, str] = {}

    def tell(event: str, **fields: object) -> None:
        status.emit(event, **fields)
        if event in states:
            standing["state"] = event
        elif event == "channel_bad":
            bad[str(fields["channel"])] = str(fields["reason"])
        elif event == "channel_good":
            bad.pop(str(fields["channel"]), None)
        elif event == "clock":  # for those who watch, not for a log
            status.emit("standing", **standing, bad=bad)
            return
        said = ", ".join(f"{key} {value}" for key, value in fields.items() if value not in ("", []))
        console.print(f"{event}: {said}" if said else event, markup=False, soft_wrap=True)

    return tell


def _until(
    stopping: Callable[[], bool], duration_s: float | None, clock: Callable[[], float]
) -> Callable[[], bool]:
    if duration_s is None:
        return stopping
    end = clock() + duration_s
    return lambda: stopping() or clock() >= end
