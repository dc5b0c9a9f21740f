"""Live decoding of a synthetic patient: decoders fitted, run as processes, and scored."""

import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

import rtbrain
from rtbrain.config import DemoSettings, Recipe, load_settings, parse_settings
from rtbrain.errors import StreamError
from rtbrain.files import require_new_file, require_new_folder, write_atomically
from rtbrain.learn.fit.quick_fit import QuickFit, quick_fit
from rtbrain.learn.metrics import score_classes, states_at
from rtbrain.processes import require_display, require_running, running_command, scratch_folder
from rtbrain.stream.lsl.decodes import DecodeListener, ReceivedDecode
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.stream_names import markers_name
from rtbrain.synthetic.patient import Patient

_CALIBRATION_S = 60.0
_SFREQ_HZ = 2048.0
_CLASSES = ("rest", "speech")
_SIZES = "compact"  # of the random encoder: those of the one that ships
_START_S = 90.0  # longest from the processes' start to the first valid decode of each
_BAR = 24
_CAPTIONS = {
    "edge": "edge: compact BrainBERT + PopT under a fitted readout. ",
    "streaming": "streaming: compact StreamingBERT + PopT under a fitted readout. ",
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the demo was asked for.

    `name` is that of the patient's stream; its decoders append their mode.
    """

    folder: Path
    settings: DemoSettings
    modes: tuple[str, ...]
    view: bool
    name: str = field(default_factory=lambda: f"rtbrain-demo-{uuid4().hex[:8]}")

    @property
    def patient(self) -> Patient:
        """The patient, the same in calibration and live."""
        return Patient(
            self.settings.seed,
            n_channels=self.settings.channels,
            sfreq_hz=_SFREQ_HZ,
            difficulty=self.settings.difficulty,
            task=self.settings.task,
            classes=_CLASSES,
        )


@dataclass(slots=True)
class _Received:
    """Decodes of one decoder, as the scorer received them."""

    rows: list[ReceivedDecode] = field(default_factory=list)
    markers: list[tuple[float, str]] = field(default_factory=list)
    lost: int = 0
    skipped: int = 0
    start: float = float("nan")


def _fit_decoders(plan: _Plan, console: Console) -> dict[str, QuickFit]:
    """Fit a decoder a mode on the patient's first minute, faster than real time."""
    fitted = {}
    for mode in plan.modes:
        began = time.perf_counter()
        with console.status(f"calibrating {mode} on {_CALIBRATION_S:g} simulated seconds"):
            recipe = _recipe(mode, plan.settings.encoder == "trained")
            fitted[mode] = quick_fit(recipe, plan.patient, _CALIBRATION_S, plan.folder / mode)
        console.print(
            f"calibrated [bold]{mode}[/] on {fitted[mode].n_windows} windows in "
            f"{time.perf_counter() - began:.1f} s: balanced accuracy "
            f"{fitted[mode].validation_score:.3f} on held-out time blocks"
        )
    return fitted


def _recipe(mode: str, trained: bool) -> Recipe:
    """Ready-made recipe of a mode, with the encoder that ships or a random one."""
    ready = load_settings(mode, Recipe)
    if mode == "linear" or trained:
        return ready
    values = ready.model_dump(mode="json", exclude_unset=True)
    kind = "streaming" if mode == "streaming" else "brainbert"
    values["encoder"] |= {"weights": "random", kind: _SIZES, "popt": _SIZES}
    return parse_settings(values, Recipe, where=mode)


@contextmanager
def _processes(plan: _Plan) -> Iterator[Callable[[], None]]:
    """Patient and decoders as processes, until the block ends."""
    settings = plan.settings
    patient = ["simulate", "--name", plan.name, "--seed", str(settings.seed)]
    patient += ["--channels", str(settings.channels), "--difficulty", settings.difficulty]
    patient += ["--task", settings.task]
    patient += ["--start", str(_CALIBRATION_S), "--sfreq", str(_SFREQ_HZ)]
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


def _listen(plan: _Plan, console: Console, check: Callable[[], None]) -> dict[str, _Received]:
    """Record every decoder for the plan's duration, from when all of them are valid."""
    with console.status("starting the patient and the decoders"):
        markers, decoders = _connect(plan, check)
    recorded = {mode: _Received() for mode in plan.modes}
    received: list[tuple[float, str]] = []
    gave_up, start = lsl_clock() + _START_S, float("inf")
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while lsl_clock() < start + plan.settings.duration_s + 1.0:
            check()
            received += markers.pull(0.0)
            for mode, decoder in decoders.items():
                recorded[mode].rows += decoder.pull(0.02)
                for one in decoder.pull_events():
                    if one.event == "gap":
                        recorded[mode].lost += one.fields["lost"]
                    elif one.event == "skipped":
                        recorded[mode].skipped += one.fields["windows"]
            live.update(_live_table(plan, recorded, received))
            if start == float("inf"):
                first_s = (
                    min((row.t_stop for row in each.rows if row.valid), default=float("inf"))
                    for each in recorded.values()
                )
                start = max(first_s)
                if lsl_clock() > gave_up:
                    raise StreamError(f"no valid decode within {_START_S:g} s of the start")
    for each in recorded.values():
        each.start, each.markers = start, received
    markers.close()
    for decoder in decoders.values():
        decoder.close()
    return recorded


def _connect(
    plan: _Plan, check: Callable[[], None]
) -> tuple[MarkerSource, dict[str, DecodeListener]]:
    """Connect as soon as the streams are there: processes take seconds to load."""
    end = lsl_clock() + _START_S
    markers = None
    while markers is None:
        check()
        try:
            markers = MarkerSource(resolve_one({"name": markers_name(plan.name)}, 2.0))
        except StreamError:
            if lsl_clock() > end:
                raise
    decoders = {mode: DecodeListener(f"{plan.name}-{mode}") for mode in plan.modes}
    for decoder in decoders.values():
        while decoder.header is None:
            check()
            decoder.look(2.0)
            if lsl_clock() > end:
                raise StreamError(f"decoder {decoder.name} did not start within {_START_S:g} s")
    return markers, decoders


def _live_table(
    plan: _Plan, recorded: dict[str, _Received], markers: list[tuple[float, str]]
) -> Table:
    state = markers[-1][1] if markers else "?"
    table = Table(title=f"synthetic patient {plan.settings.seed}: [bold]{state}[/]")
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


def run_demo(
    settings: DemoSettings,
    console: Console,
    *,
    view: bool,
    report: Path | None,
    keep: Path | None,
) -> bool:
    """Fit decoders on a synthetic patient, run them live, and score their decodes.

    `view` shows them in the live window meanwhile, `report` is a JSON file for the figures, `keep`
    a new folder for the decoder bundles. Returns whether every decoder made valid decodes.
    """
    if view:
        require_display()
    if report is not None:
        require_new_file(report, "--report")
    if keep is not None:
        require_new_folder(keep, "--keep")
    chosen = settings.mode
    modes = ("linear",) if chosen == "linear" else (chosen, "linear")
    with scratch_folder("rtbrain-demo-") as folder:
        plan = _Plan(folder, settings, modes, view)
        calibrations = _fit_decoders(plan, console)
        with _processes(plan) as check:
            recorded = _listen(plan, console, check)
        if keep is not None:
            for mode in modes:
                shutil.copytree(plan.folder / mode, keep / mode)
    figures = {mode: _report(plan, mode, calibrations[mode], recorded[mode]) for mode in modes}
    console.print(_final_table(plan, figures))
    if report is not None:
        whole = figures[chosen] | {"controls": {m: figures[m] for m in modes if m != chosen}}
        write_atomically(report, json.dumps(whole, indent=2) + "\n")
    return all(figures[mode]["decodes"] for mode in modes)


def _report(plan: _Plan, mode: str, calibration: QuickFit, recorded: _Received) -> dict[str, Any]:
    """Figures of one decoder, as they go into the JSON file."""
    end = recorded.start + plan.settings.duration_s
    rows = [row for row in recorded.rows if recorded.start <= row.t_stop < end]
    values = np.array([row.values for row in rows]).reshape(len(rows), -1)
    t_stop = np.array([row.t_stop for row in rows])
    arrived = np.array([row.t_arrived for row in rows])
    valid = np.array([row.valid for row in rows], np.bool_)
    age_s = np.array([row.age_s for row in rows if row.valid])
    compute_s = np.array([row.compute_s for row in rows if row.valid])
    transport_s = age_s - compute_s - calibration.neural_delay_s
    heard_s = arrived[valid] - t_stop[valid] - transport_s - compute_s
    states = states_at(t_stop - calibration.neural_delay_s, recorded.markers, plan.patient.classes)
    probabilities = np.where(valid[:, None], values, np.nan).astype(np.float32)
    scores = score_classes(probabilities, states)
    return {
        "mode": mode,
        "seed": plan.settings.seed,
        "decodes": int(valid.sum()),
        "expected_decodes": int(np.floor(plan.settings.duration_s / calibration.hop_s)),
        "lost_samples": recorded.lost,
        "skipped_windows": recorded.skipped,
        "invalid": int((~valid).sum()),
        "balanced_accuracy": scores["balanced_accuracy"],
        "auc": scores["auc"],
        "calibration_balanced_accuracy": calibration.validation_score,
        "age_s": _percentiles(age_s),
        "algorithmic_s": calibration.neural_delay_s,
        "hop_s": calibration.hop_s,
        "transport_ms": _percentiles(1000 * transport_s),
        "compute_ms": _percentiles(1000 * compute_s),
        "listener_ms": _percentiles(1000 * heard_s),
        "runtime": "none" if mode == "linear" else "torchscript",
        "encoder": calibration.encoder,
        "versions": {
            "rtbrain": rtbrain.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _percentiles(values: Any) -> dict[str, float]:
    if not values.size:
        return dict.fromkeys(("p50", "p95", "p99"), float("nan"))
    return {f"p{q}": round(float(np.percentile(values, q)), 6) for q in (50, 95, 99)}


def _final_table(plan: _Plan, figures: dict[str, dict[str, Any]]) -> Table:
    """What the demo showed, a column a decoder."""
    table = Table(
        title=f"synthetic patient {plan.settings.seed}, {plan.settings.duration_s:g} s live",
        caption=f"{_CAPTIONS.get(next(iter(figures)), '')}"
        "Synthetic data say nothing about patients.",
    )
    table.add_column("")
    for mode in figures:
        table.add_column(mode, justify="right")

    def row(name: str, text: Any) -> None:
        table.add_row(name, *(text(each) for each in figures.values()))

    row("decodes / expected", lambda f: f"{f['decodes']} / {f['expected_decodes']}")
    row("lost samples, skipped windows", lambda f: f"{f['lost_samples']}, {f['skipped_windows']}")
    row("balanced accuracy (chance 0.5)", lambda f: f"{f['balanced_accuracy']:.3f}")
    row("AUC", lambda f: f"{f['auc']:.3f}")
    row("latency p50 / p99, s", lambda f: f"{f['age_s']['p50']:.3f} / {f['age_s']['p99']:.3f}")
    row("  where the encoder pools, s", lambda f: f"{f['algorithmic_s']:.3f}")
    row("  transport p50 / p99, ms", lambda f: _pair(f["transport_ms"]))
    row("  compute p50 / p99, ms", lambda f: _pair(f["compute_ms"]))
    row("outlet to listener p50 / p99, ms", lambda f: _pair(f["listener_ms"]))
    row("a new decode every, s", lambda f: f"{f['hop_s']:.3f}")
    row("encoder", lambda f: f"{f['encoder']} ({f['runtime']})")
    return table


def _pair(values: dict[str, float]) -> str:
    return f"{values['p50']:.1f} / {values['p99']:.1f}"
