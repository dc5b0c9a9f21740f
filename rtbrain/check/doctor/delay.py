"""How long a decode takes here, measured in a process of its own: the console must not wait.

``python -m rtbrain.check.doctor.delay JOB`` prints what it measured as a line of JSON.
"""

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import encoder_of_recipe
from rtbrain.check.doctor.checks import Check, Words, judge
from rtbrain.config import Recipe, load_settings
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.errors import RtbrainError
from rtbrain.live.realtime_check import MAX_SHARE, measure_step
from rtbrain.processes import end_with_parent, start_child
from rtbrain.types import Montage

_LOOK_SHARE = 0.5  # of the hop


@dataclass(frozen=True, slots=True)
class DelayJob:
    """Whose steps are measured: a ready-made recipe on these channels."""

    mode: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    sfreq_hz: float


@dataclass(frozen=True, slots=True)
class Delay:
    """What was measured; `problem` says why nothing was."""

    step_s: float = math.nan
    hop_s: float = math.nan
    algorithm_s: float = math.nan  # from the moment that a decode describes to its window's end
    problem: str = ""


def start_measuring(job: DelayJob) -> "subprocess.Popen[bytes]":
    """Start the process that measures; `read_delay` takes what it prints."""
    command = [sys.executable, "-m", "rtbrain.check.doctor.delay", json.dumps(asdict(job))]
    return start_child(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def read_delay(printed: bytes) -> Delay:
    """What a process measured."""
    try:
        return Delay(**json.loads(printed.decode(errors="replace").splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        return Delay(problem="the measurement ended early")


def measure_delay(job: DelayJob) -> Delay:
    """Steps of a decoder with weights of no meaning, which take as long as those of any other."""
    recipe = load_settings(job.mode, Recipe)
    montage = Montage(job.names, job.kinds, job.sfreq_hz)
    features = build_feature_pipeline(recipe, montage, model=encoder_of_recipe(recipe))
    weight = np.zeros((2, features.n_features), np.float32)
    readout = Readout(LinearReadout(weight, np.zeros(2, np.float32), "classification"))
    timing = measure_step(features, readout, recipe)
    algorithm_s = features.neural_delay_s + features.signal_delay_s
    return Delay(timing.step_s, timing.hop_s or math.inf, algorithm_s)


def check_delay(delay: Delay | None, mode: str, transport_s: float) -> Check:
    """How old a decode will be: what its recipe looks back, the way here, and a step's time."""
    if delay is None:
        return judge("delay", "checking", "wait")
    if delay.problem:
        return judge("delay", "unchecked", "problem", why=delay.problem)
    total_s = delay.algorithm_s + delay.step_s + max(0.0, np.nan_to_num(transport_s))
    share = delay.step_s / delay.hop_s
    words: Words = {
        "total": f"{total_s:.2f}",
        "step": f"{1000 * delay.step_s:.1f}",
        "hop": f"{1000 * delay.hop_s:.0f}",
        "share": f"{100 * share:.0f}",
    }
    if share > MAX_SHARE:
        return judge("delay", "fix", "late" if mode != "linear" else "late_linear", **words)
    return judge("delay", "look" if share > _LOOK_SHARE else "fine", "measured", **words)


def main() -> None:
    """Measure the job on the command line."""
    end_with_parent()
    about = json.loads(sys.argv[1])
    job = DelayJob(about["mode"], tuple(about["names"]), tuple(about["kinds"]), about["sfreq_hz"])
    try:
        measured = measure_delay(job)
    except RtbrainError as error:
        measured = Delay(problem=str(error))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
