"""The demo's parts: the decoders, fitted; patient and decoders, each a process."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from .calibration import Calibration, calibrate
from .processes import last_words, running_command

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.config import Recipe
    from rtbrain.stream.patient import Patient

CALIBRATION_S = 60.0
SFREQ_HZ = 2048.0
_CLASSES = ("rest", "speech")
_SIZES = "compact"  # of the random encoder: those of the one that ships


@dataclass(frozen=True, slots=True)
class Plan:
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
    def patient(self) -> "Patient":
        """The patient, the same in calibration and live."""
        from rtbrain.stream.patient import Patient

        return Patient(
            self.seed,
            n_channels=self.n_channels,
            sfreq_hz=SFREQ_HZ,
            difficulty=self.difficulty,
            classes=_CLASSES,
        )


@dataclass(slots=True)
class Recorded:
    """What the scorer heard of one decoder.

    Attributes
    ----------
    rows : list of (t_stop, t_arrived, values)
        One a decode; `values` as the stream sends them.
    markers : list of (seconds, text)
        Of the patient.
    lost, skipped : int
        As the decoder's status stream tells.
    """

    rows: list[tuple[float, float, list[float]]] = field(default_factory=list)
    markers: list[tuple[float, str]] = field(default_factory=list)
    lost: int = 0
    skipped: int = 0
    start: float = float("nan")


def fit_all(plan: Plan, console: "Console") -> dict[str, Calibration]:
    """Fit a decoder a mode on the patient's first minute, faster than real time."""
    fitted = {}
    for mode in plan.modes:
        began = time.perf_counter()
        with console.status(f"calibrating {mode} on {CALIBRATION_S:g} simulated seconds"):
            recipe = _recipe(mode, plan.trained)
            fitted[mode] = calibrate(recipe, plan.patient, CALIBRATION_S, plan.folder / mode)
        console.print(
            f"calibrated [bold]{mode}[/] on {fitted[mode].n_windows} windows in "
            f"{time.perf_counter() - began:.1f} s: balanced accuracy "
            f"{fitted[mode].validation_score:.3f} on held-out time blocks"
        )
    return fitted


def _recipe(mode: str, trained: bool) -> "Recipe":
    """Ready-made recipe of a mode, with the encoder that ships or a random one."""
    from rtbrain.config import Recipe, load_settings, parse_settings
    from rtbrain.encoder.shipped import SHIPPED, SHIPPED_STREAMING

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
def running(plan: Plan) -> Iterator[Callable[[], None]]:
    """Patient and decoders as processes, until the block ends.

    Yields
    ------
    callable
        Raises RtbrainError with its last words if one of them has died.
    """
    patient = ["simulate", "--name", plan.name, "--seed", str(plan.seed)]
    patient += ["--channels", str(plan.n_channels), "--difficulty", plan.difficulty]
    patient += ["--start", str(CALIBRATION_S), "--sfreq", str(SFREQ_HZ)]
    with ExitStack() as stack:
        processes = {"simulate": stack.enter_context(_process(plan, "simulate", patient))}
        for mode in plan.modes:
            arguments = ["decode", "--bundle", str(plan.folder / mode), "--stream", plan.name]
            arguments += ["--name", f"{plan.name}-{mode}"]
            processes[mode] = stack.enter_context(_process(plan, mode, arguments))
        if plan.view:  # not among those that must live: the window may be closed
            arguments = ["view", "--stream", plan.name, "--decode", f"{plan.name}-{plan.modes[0]}"]
            stack.enter_context(_process(plan, "view", arguments))
        yield lambda: _refuse_dead(plan, processes)


def _process(
    plan: Plan, label: str, arguments: list[str]
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    return running_command(arguments, plan.folder / f"{label}.log")


def _refuse_dead(plan: Plan, processes: dict[str, "subprocess.Popen[bytes]"]) -> None:
    from rtbrain.errors import RtbrainError

    for label, process in processes.items():
        if process.poll() is not None:
            last = last_words(plan.folder / f"{label}.log")
            raise RtbrainError(f"the demo's {label} process ended early: {last}")
