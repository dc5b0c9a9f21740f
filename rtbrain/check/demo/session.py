"""The demo's parts: the decoders, fitted; patient and decoders, each a process."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.live import Live
from rich.table import Table

from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.encoder import SHIPPED, SHIPPED_STREAMING
from rtbrain.errors import StreamError
from rtbrain.learn.fit.quick_fit import QuickFit, quick_fit
from rtbrain.processes import require_running, running_command
from rtbrain.stream.lsl.decodes import DecodeListener, ReceivedDecode, StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream_names import markers_name
from rtbrain.synthetic.patient import Patient

CALIBRATION_S = 60.0
SFREQ_HZ = 2048.0
_CLASSES = ("rest", "speech")
_SIZES = "compact"  # of the random encoder: those of the one that ships
_START_S = 90.0  # longest from the processes' start to the first valid decode of each
_BAR = 24


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo was asked for.

    `name` is that of the patient's stream; its decoders append their mode.
    """

    folder: Path
    seed: int
    n_channels: int
    difficulty: str
    duration_s: float
    modes: tuple[str, ...]
    view: bool = False
    trained: bool = False
    name: str = field(default_factory=lambda: f"rtbrain-demo-{uuid4().hex[:8]}")

    @property
    def patient(self) -> Patient:
        """The patient, the same in calibration and live."""
        return Patient(
            self.seed,
            n_channels=self.n_channels,
            sfreq_hz=SFREQ_HZ,
            difficulty=self.difficulty,
            classes=_CLASSES,
        )


@dataclass(slots=True)
class ReceivedDecodes:
    """Decodes of one decoder, as the scorer received them."""

    rows: list[ReceivedDecode] = field(default_factory=list)
    markers: list[tuple[float, str]] = field(default_factory=list)
    lost: int = 0
    skipped: int = 0
    start: float = float("nan")


def fit_decoders(plan: DemoPlan, console: Console) -> dict[str, QuickFit]:
    """Fit a decoder a mode on the patient's first minute, faster than real time."""
    fitted = {}
    for mode in plan.modes:
        began = time.perf_counter()
        with console.status(f"calibrating {mode} on {CALIBRATION_S:g} simulated seconds"):
            recipe = _recipe(mode, plan.trained)
            fitted[mode] = quick_fit(recipe, plan.patient, CALIBRATION_S, plan.folder / mode)
        console.print(
            f"calibrated [bold]{mode}[/] on {fitted[mode].n_windows} windows in "
            f"{time.perf_counter() - began:.1f} s: balanced accuracy "
            f"{fitted[mode].validation_score:.3f} on held-out time blocks"
        )
    return fitted


def _recipe(mode: str, trained: bool) -> Recipe:
    """Ready-made recipe of a mode, with the encoder that ships or a random one."""
    ready = load_settings(mode, Recipe)
    if mode == "linear":
        return ready
    values = ready.model_dump(mode="json", exclude_unset=True)
    of_frames = {key: values["encoder"][key] for key in ("pool", "n_pooled")}
    kind, shipped = "brainbert", SHIPPED
    if mode == "streaming":
        kind, shipped = "streaming", SHIPPED_STREAMING
    which = {"weights": shipped} if trained else dict.fromkeys((kind, "popt"), _SIZES)
    return parse_settings(values | {"encoder": of_frames | which}, Recipe, where=mode)


@contextmanager
def demo_processes(plan: DemoPlan) -> Iterator[Callable[[], None]]:
    """Patient and decoders as processes, until the block ends."""
    patient = ["simulate", "--name", plan.name, "--seed", str(plan.seed)]
    patient += ["--channels", str(plan.n_channels), "--difficulty", plan.difficulty]
    patient += ["--start", str(CALIBRATION_S), "--sfreq", str(SFREQ_HZ)]
    with ExitStack() as stack:

        def start(label: str, arguments: list[str]) -> None:
            log = plan.folder / f"{label}.log"
            processes[log] = stack.enter_context(running_command(arguments, log))

        processes: dict[Path, subprocess.Popen[bytes]] = {}
        start("simulate", patient)
        for mode in plan.modes:
            arguments = ["decode", "--bundle", str(plan.folder / mode), "--stream", plan.name]
            arguments += ["--name", f"{plan.name}-{mode}"]
            start(mode, arguments)
        if plan.view:  # not among those that must live: the window may be closed
            arguments = ["view", "--stream", plan.name, "--decode", f"{plan.name}-{plan.modes[0]}"]
            stack.enter_context(running_command(arguments, plan.folder / "view.log"))
        yield lambda: require_running(processes)


def listen_to_demo(
    plan: DemoPlan, console: Console, check: Callable[[], None]
) -> dict[str, ReceivedDecodes]:
    """Record every decoder for the plan's duration, from when all of them are valid."""
    with console.status("starting the patient and the decoders"):
        markers = _marker_source(markers_name(plan.name), check)
        decoders = {mode: DecodeListener(f"{plan.name}-{mode}") for mode in plan.modes}
        for decoder in decoders.values():
            _await_decodes(decoder, check)
    recorded = {mode: ReceivedDecodes() for mode in plan.modes}
    received: list[tuple[float, str]] = []
    gave_up, start = lsl_clock() + _START_S, float("inf")
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while lsl_clock() < start + plan.duration_s + 1.0:
            check()
            received += markers.pull(0.0)
            for mode, decoder in decoders.items():
                recorded[mode].rows += decoder.pull(0.02)
                _count_losses(recorded[mode], decoder.pull_events())
            live.update(_table(plan, recorded, received))
            if start == float("inf"):
                start = _all_valid_since(recorded)
                if lsl_clock() > gave_up:
                    raise StreamError(f"no valid decode within {_START_S:g} s of the start")
    for each in recorded.values():
        each.start, each.markers = start, received
    markers.close()
    for decoder in decoders.values():
        decoder.close()
    return recorded


def _marker_source(name: str, check: Callable[[], None]) -> MarkerSource:
    """Connect as soon as the stream is there: processes take seconds to load."""
    end = lsl_clock() + _START_S
    while True:
        check()
        try:
            return MarkerSource(name=name, timeout_s=2.0)
        except StreamError:
            if lsl_clock() > end:
                raise


def _await_decodes(decoder: DecodeListener, check: Callable[[], None]) -> None:
    end = lsl_clock() + _START_S
    while decoder.header is None:
        check()
        decoder.look(2.0)
        if lsl_clock() > end:
            raise StreamError(f"decoder {decoder.name} did not start within {_START_S:g} s")


def _count_losses(recorded: ReceivedDecodes, events: list[StatusEvent]) -> None:
    for one in events:
        if one.event == "gap":
            recorded.lost += one.fields["lost"]
        elif one.event == "skipped":
            recorded.skipped += one.fields["windows"]


def _all_valid_since(recorded: dict[str, ReceivedDecodes]) -> float:
    firsts = []
    for each in recorded.values():
        valid = [row.t_stop for row in each.rows if row.valid]
        firsts.append(min(valid, default=float("inf")))
    return max(firsts)


def _table(
    plan: DemoPlan, recorded: dict[str, ReceivedDecodes], markers: list[tuple[float, str]]
) -> Table:
    state = markers[-1][1] if markers else "?"
    table = Table(title=f"synthetic patient {plan.seed}: [bold]{state}[/]")
    for heading in ("decoder", "decode", "probability", "age s", "compute ms", "lost"):
        table.add_column(heading)
    for mode, each in recorded.items():
        if not each.rows:
            table.add_row(mode, "waiting", "", "", "", "")
            continue
        row = each.rows[-1]
        outputs = row.values.tolist()
        if not row.valid:
            table.add_row(mode, "[dim]filling the window[/]", "", "", "", str(each.lost))
            continue
        filled = round(outputs[1] * _BAR)
        table.add_row(
            mode,
            plan.patient.classes[int(outputs[1] > outputs[0])],
            f"{'█' * filled}{'·' * (_BAR - filled)} {outputs[1]:.2f}",
            f"{row.age_s:.3f}",
            f"{1000 * row.compute_s:.1f}",
            str(each.lost),
        )
    return table
