"""`rtbrain bench encoder` and `pipeline`: which decoders are measured, and what came of it."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rtbrain.check.bench.tables import StepRow
from rtbrain.processes import scratch_folder, start_child

# The reference: scipy's STFT of each whole window, torch's transformers, nothing trimmed.
PUBLISHED_PIPELINE = "published pipeline"
# Of a step, in the order of the flow; front are filters and windows.
PARTS = ("front", "spectrogram", "encoder", "readout")
Precision = Literal["fp32", "bf16", "int8"]
RuntimeName = Literal["none", "torch", "torchscript", "openvino"]
_LONGEST_S = 300.0
MODES = ("linear", "published", "edge", "streaming")
_NO_RUNTIME: tuple[tuple[RuntimeName, Precision], ...] = (("none", "fp32"),)
RUNTIMES: tuple[tuple[RuntimeName, Precision], ...] = (
    ("torchscript", "fp32"),
    ("torchscript", "bf16"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
# A step of the published mode costs 0.1 s a channel: more than these stand for all, since the
# encoder takes its channels in blocks of 8, each at the same cost.
_MOST_MEASURED, _BLOCK = 16, 8
# Of fewer steps, 99 % is but the slowest one.
_FEWEST_OF_P99 = 100


@dataclass(frozen=True, slots=True)
class BenchJob:
    """One measurement."""

    mode: str
    n_channels: int
    runtime: RuntimeName = "none"
    precision: Precision = "fp32"
    threads: int = 1
    hop_s: float | None = None
    filtered: bool = True
    encoded: bool = True


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What came of a job."""

    unavailable: str = ""
    durations_ms: dict[str, list[float]] = field(default_factory=dict)
    hop_s: float = 0.0
    algorithmic_s: float = 0.0
    n_encoded: int = 0
    n_good: int = 0
    flop_channels: float = 0.0
    flop_population: float = 0.0
    peak_flops: float = 0.0
    peak_fp32_flops: float = 0.0
    compile_s: float = 0.0
    ready_s: float = 0.0
    rss_mib: float = 0.0
    idle_rss_mib: float = 0.0
    difference: float | None = None
    lost_direction: float | None = None


def measure_in_process(job: BenchJob, cache: Path) -> BenchResult:
    """Run a job in a process of its own, whose memory and start are its own alone."""
    command = [sys.executable, "-m", "rtbrain.check.bench.child", json.dumps(asdict(job))]
    # The cache folder by the custom of each platform (rtbrain.encoder.user_cache_folder).
    places = dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA"), str(cache))
    with start_child(
        command, env=os.environ | places, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            answer, errors = child.communicate(timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            return BenchResult(unavailable=f"it took longer than {_LONGEST_S:g} s")
        finally:
            child.kill()
    said = (answer if child.returncode == 0 else errors).strip().splitlines()
    last = said[-1] if said else f"its process ended with {child.returncode}, without a word"
    if child.returncode:
        return BenchResult(unavailable=last)
    return BenchResult(**json.loads(last))


def measure_steps(
    part: str,
    modes: Sequence[str],
    n_channels: Sequence[int],
    *,
    hop_s: float | None,
    threads: int,
    say: Callable[[str], None],
    measure: Callable[[BenchJob, Path], BenchResult] = measure_in_process,
) -> list[StepRow]:
    """Measure modes on every runtime at every number of channels, a process each."""
    rows = []
    with scratch_folder("rtbrain-bench-") as folder:
        seen: dict[BenchJob, BenchResult] = {}

        def run(job: BenchJob) -> BenchResult:
            if job not in seen:
                on = "" if job.runtime == "none" else f" {job.runtime} {job.precision}"
                say(f"{job.mode}{on}, {job.n_channels} channels")
                seen[job] = measure(job, folder)
            return seen[job]

        published_ms = {}
        for n in n_channels:
            job = BenchJob(PUBLISHED_PIPELINE, n, "torch", "fp32", threads, hop_s)
            row = _row(part, job, run(job))
            # Its encoder is measured on a block, whose cost is that of each.
            rows.append(replace(row, estimated_from=_BLOCK) if n > _BLOCK else row)
            published_ms[n] = row.median_ms
        for template in _templates(part, modes, hop_s, threads):
            for row in _mode_rows(part, template, n_channels, run):
                reference_ms = published_ms[row.n_channels]
                if row.median_ms is not None and reference_ms is not None:
                    row = replace(row, times_published=reference_ms / row.median_ms)
                rows.append(row)
    return rows


def _templates(
    part: str, modes: Sequence[str], hop_s: float | None, threads: int
) -> Iterator[BenchJob]:
    for mode in modes:
        for runtime, precision in _NO_RUNTIME if mode == "linear" else RUNTIMES:
            yield BenchJob(mode, 0, runtime, precision, threads, hop_s, part == "pipeline")


def _mode_rows(
    part: str, template: BenchJob, n_channels: Sequence[int], run: Callable[[BenchJob], BenchResult]
) -> Iterator[StepRow]:
    for n in n_channels:
        job = replace(template, n_channels=n)
        n_measured = min(n, _MOST_MEASURED) if template.mode == "published" else n
        measured = run(replace(template, n_channels=n_measured))
        if measured.unavailable or n_measured == n:
            yield _row(part, job, measured)
        else:
            front = run(replace(job, runtime="none", precision="fp32", encoded=False))
            yield _scaled(part, job, measured, front)
        if measured.unavailable:
            return


def _row(part: str, job: BenchJob, measured: BenchResult) -> StepRow:
    """Row of what was measured."""
    of = (job.mode, job.runtime, job.precision, job.n_channels)
    if measured.unavailable:
        return StepRow(*of, unavailable=measured.unavailable)
    parts = PARTS if part == "pipeline" else ("encoder",)
    steps = np.sum([measured.durations_ms[name] for name in parts], axis=0)
    return StepRow(
        *of,
        n_encoded=measured.n_encoded,
        median_ms=float(np.median(steps)),
        p99_ms=float(np.percentile(steps, 99)) if len(steps) >= _FEWEST_OF_P99 else None,
        hop_ms=1000 * measured.hop_s,
        gflop=(measured.flop_channels + measured.flop_population) / 1e9,
        floor_ms=1000 * _floor_s(measured),
        rss_mib=measured.rss_mib or None,
        added_mib=measured.rss_mib - measured.idle_rss_mib or None,
        compile_s=measured.compile_s or None,
        ready_s=measured.ready_s or None,
        algorithmic_ms=1000 * measured.algorithmic_s,
        difference=measured.difference,
        lost_direction=measured.lost_direction,
        parts_ms={name: float(np.median(measured.durations_ms[name])) for name in PARTS},
    )


def _scaled(part: str, job: BenchJob, few: BenchResult, front: BenchResult) -> StepRow:
    """Row of a step whose encoder was measured on fewer channels, and all before it on these."""
    times = math.ceil(front.n_good / _BLOCK) / math.ceil(few.n_good / _BLOCK)
    parts_ms = {name: float(np.median(front.durations_ms[name])) for name in PARTS}
    parts_ms["encoder"] = float(np.median(few.durations_ms["encoder"])) * times
    of_part = PARTS if part == "pipeline" else ("encoder",)
    each = front.n_good / few.n_good
    return replace(
        _row(part, job, few),
        n_encoded=front.n_encoded,
        median_ms=sum(parts_ms[name] for name in of_part),
        p99_ms=None,
        gflop=(few.flop_channels + few.flop_population) * each / 1e9,
        floor_ms=1000 * _floor_s(few) * each,
        rss_mib=None,
        added_mib=None,
        compile_s=None,
        ready_s=None,
        estimated_from=_MOST_MEASURED,
        parts_ms=parts_ms,
    )


def _floor_s(measured: BenchResult) -> float:
    """Time of a step's operations at the measured peaks; the population's are of fp32 always."""
    return (
        measured.flop_channels / measured.peak_flops
        + measured.flop_population / measured.peak_fp32_flops
    )
