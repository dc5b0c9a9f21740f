"""`rtbrain decode`: a live stream in, decodes and status out."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console
from threadpoolctl import threadpool_limits

from rtbrain.build import build_live, require_matching_runtime
from rtbrain.bundling import build_decoder
from rtbrain.config import DecodeSettings
from rtbrain.decoder import Bundle, read_bundle
from rtbrain.encoder import RuntimeChoice, compiled_folder_of
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.live.realtime_check import require_realtime
from rtbrain.live.recorder.child import recorder_process
from rtbrain.live.source import open_manual_marks, open_markers, open_source, rate_check
from rtbrain.outlet import DecodeOutlet, StatusOutlet, StatusReport
from rtbrain.processes import stop_after, stop_on_signals
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import list_streams
from rtbrain.stream.supervise.states import StreamState
from rtbrain.stream_names import decode_name, status_name


def decode_stream(
    settings: DecodeSettings,
    folder: Path,
    duration_s: float | None,
    record: Path | None,
    allow_late: bool,
) -> None:
    stopping = stop_on_signals()
    bundle = read_bundle(folder)
    require_matching_runtime(bundle.manifest.mode, _runtime_choice(settings))
    name = settings.outlet.name
    _refuse_taken(name)
    console = Console(stderr=True)
    about = {"bundle": bundle.id, "mode": bundle.manifest.mode}
    with closing(StatusOutlet(name, source_id=status_name(name))) as status:
        tell = _telling(status, console)
        recording = recorder_process(record, settings, about, tell, _saying(console))
        # Small products stall on more than one thread where the cores are busy; the encoder's
        # runtime alone takes what the settings give it.
        with threadpool_limits(1), recording as look:
            stop = _looking(look, stopping)
            _run_and_report(settings, bundle, status, stop, duration_s, allow_late)


def _runtime_choice(settings: DecodeSettings) -> RuntimeChoice:
    compiled = None if settings.bundle is None else compiled_folder_of(settings.bundle)
    return RuntimeChoice(
        settings.runtime, settings.precision, settings.threads, compiled_folder=compiled
    )


def _looking(look: Callable[[], None], stopping: Callable[[], bool]) -> Callable[[], bool]:
    """Question of the loop, which looks after the recorder whenever it is asked."""

    def stop() -> bool:
        look()
        return stopping()

    return stop


def _run_and_report(
    settings: DecodeSettings,
    bundle: Bundle,
    status: StatusOutlet,
    stopping: Callable[[], bool],
    duration_s: float | None,
    allow_late: bool,
) -> None:
    report = StatusReport(status)
    try:
        _run(settings, bundle, status, report, stopping, duration_s, allow_late)
    except RtbrainError as error:
        status.emit("failed", reason=str(error))
        raise
    finally:
        report.report_totals()
        status.close()


def _refuse_taken(name: str) -> None:
    """Two decoders of one name could not be told apart by whoever listens."""
    if any(row.name == decode_name(name) for row in list_streams()):
        raise SettingsError(
            f"there is a stream {decode_name(name)} already: end that decoder, or give --name another"
        )


def _run(
    settings: DecodeSettings,
    bundle: Bundle,
    status: StatusOutlet,
    report: StatusReport,
    stopping: Callable[[], bool],
    duration_s: float | None,
    allow_late: bool,
) -> None:
    console = Console(stderr=True)
    manifest, name, recipe = bundle.manifest, settings.outlet.name, bundle.recipe
    tell = _telling(status, console)
    source = open_source(settings, bundle, tell, stopping)
    if source is None:
        return
    with ExitStack() as opened:
        opened.callback(source.close)
        manual_marks = open_manual_marks(settings, tell)
        if manual_marks is not None:
            opened.callback(manual_marks.close)
        decoder = build_decoder(
            bundle,
            source.montage,
            on_event=tell,
            manual_marks=manual_marks,
            runtime=_runtime_choice(settings),
        )
        require_realtime(decoder, recipe, settings, bundle.montage.n_channels, tell, allow_late)
        outlet = DecodeOutlet(
            name,
            manifest.labels,
            hop_s=recipe.window.hop_s,
            montage=bundle.montage,
            bundle_id=bundle.id,
            source_id=decode_name(name),
            unit="probability" if manifest.task == "classification" else "value",
        )
        opened.callback(outlet.close)
        markers = open_markers(settings, tell) if recipe.window.hop_s is None else None
        if markers is not None:
            opened.callback(markers.close)
        pipeline = build_live(
            decoder,
            source,
            (outlet, report),
            report,
            latest_only=settings.backlog == "latest",
            coverage_floor=recipe.coverage_floor,
            clock=lsl_clock,
            markers=None if markers is None else markers.pull,
            refusal=rate_check(source),
        )
        console.print(f"mode {manifest.mode} to [bold]{decode_name(name)}[/]; Ctrl-C ends it")
        pipeline.run(stop_after(stopping, duration_s, lsl_clock))
    console.print(
        f"{report.n_decodes} decodes, {report.n_lost} samples lost, "
        f"{report.n_skipped} windows skipped"
    )


def _saying(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)


def _telling(status: StatusOutlet, console: Console) -> Callable[..., None]:
    """Events to the status stream, and to the screen in a line each.

    With every ``clock``, each 10 s, goes ``summary``: the state and the bad channels as they
    are, for those who began to listen after they were told.
    """
    states = {state.value for state in StreamState}
    summary: dict[str, str] = {}
    bad: dict[str, str] = {}

    def tell(event: str, **fields: object) -> None:
        status.emit(event, **fields)
        if event in states:
            summary["state"] = event
        elif event == "channel_bad":
            bad[str(fields["channel"])] = str(fields["reason"])
        elif event == "channel_good":
            bad.pop(str(fields["channel"]), None)
        elif event == "clock":  # for those who watch, not for a log
            status.emit("summary", **summary, bad=bad)
            return
        said = ", ".join(f"{key} {value}" for key, value in fields.items() if value not in ("", []))
        console.print(f"{event}: {said}" if said else event, markup=False, soft_wrap=True)

    return tell
