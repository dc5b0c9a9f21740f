"""`rtbrain bench pipeline --minutes`: patient, decoder, recorder and listener over LSL."""

import json
import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rtbrain.check.bench.child import bench_patient, bench_recipe
from rtbrain.check.bench.steps import BenchJob
from rtbrain.errors import SettingsError, StreamError
from rtbrain.learn.fit.quick_fit import QuickFit, quick_fit
from rtbrain.processes import (
    last_line,
    private_lsl_session,
    process_usage,
    require_running,
    running_command,
    scratch_folder,
)
from rtbrain.stream.lsl.decodes import DecodeListener, ReceivedDecode
from rtbrain.stream_names import decode_name
from rtbrain.terminal import table

_CALIBRATION_S = 30.0
_LOOK_EVERY_S = 1.0
_START_S = 120.0  # longest from the processes' start to the first valid decode
Processes = dict[Path, subprocess.Popen[bytes]]  # by their logs


@dataclass(slots=True)
class LiveBench:
    """What the listener received, and what the processes took meanwhile."""

    rows: list[ReceivedDecode] = field(default_factory=list)
    lost: int = 0
    skipped: int = 0
    looks: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)


def bench_live(
    n_channels: int,
    minutes: float,
    mode: str,
    hop_s: float | None,
    threads: int,
    console: Console,
) -> dict[str, Any]:
    """Decode a synthetic patient live, and report what it took."""
    with scratch_folder("rtbrain-bench-") as folder:
        # Before liblsl is loaded here, which reads its settings once.
        with private_lsl_session(folder):
            with console.status(f"fitting {mode} on {_CALIBRATION_S:g} simulated seconds"):
                calibration = _fitted(n_channels, mode, hop_s, folder)
            with console.status(f"{minutes:g} minutes of {mode}, {n_channels} contacts, over LSL"):
                received = _run(n_channels, minutes, threads, folder)
        end = last_line(folder / "decode.log")
        about = json.loads((folder / "session.json").read_text())
        recorded = max(about["streams"], key=lambda stream: stream["samples"])  # the signal
    figures = live_scores(received, calibration) | {
        "mode": mode,
        "threads": threads,
        "minutes": minutes,
        "decoder_said": end,
        "recorded": {key: recorded[key] for key in ("samples", "dropped", "lost_links")},
    }
    console.print(_table(figures, n_channels))
    return {"live": figures}


def _fitted(n_channels: int, mode: str, hop_s: float | None, folder: Path) -> QuickFit:
    recipe = bench_recipe(BenchJob(mode, n_channels, hop_s=hop_s))
    return quick_fit(recipe, bench_patient(n_channels), _CALIBRATION_S, folder / "bundle")


def _run(n_channels: int, minutes: float, threads: int, folder: Path) -> LiveBench:
    name = f"rtbrain-bench-{os.getpid()}"
    settings = folder / "live.yaml"
    settings.write_text(
        f"stream: {{name: {name}, timeout_s: 60}}\noutlet: {{name: {name}}}\nthreads: {threads}\n"
    )
    patient = bench_patient(n_channels)
    simulate = ["simulate", "--name", name, "--channels", str(n_channels)]
    simulate += ["--electrodes", patient.electrodes, "--sfreq", f"{patient.sfreq_hz:g}"]
    simulate += ["--start", f"{_CALIBRATION_S:g}"]
    decode = ["decode", "--config", str(settings), "--bundle", str(folder / "bundle")]
    decode += ["--allow-late"]
    record = ["record", str(folder / "session.xdf"), "--stream", name, "--decodes", name]
    with ExitStack() as running:
        processes = {
            log: running.enter_context(running_command(command, log))
            for command in (simulate, decode, record)
            for log in [folder / f"{command[0]}.log"]
        }
        return _listen(name, minutes, processes)


def _listen(name: str, minutes: float, processes: Processes) -> LiveBench:
    """Hear every decode, from the first valid one on."""
    decoder = _await_decoder(name, processes)
    received = LiveBench(looks={log.stem: [] for log in processes})
    end, look_at = time.monotonic() + _START_S, 0.0
    while time.monotonic() < end:
        require_running(processes)
        for decode in decoder.pull(0.1):
            if not received.rows and not decode.valid:
                continue
            if not received.rows:
                end = time.monotonic() + 60 * minutes
            received.rows.append(decode)
        for event in decoder.pull_events():
            if event.event == "gap":
                received.lost += event.fields["lost"]
            elif event.event == "skipped":
                received.skipped += event.fields["windows"]
        if received.rows and time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_EVERY_S
            for log, process in processes.items():
                received.looks[log.stem].append((time.monotonic(), *process_usage(process.pid)))
    decoder.close()
    if len(received.rows) < 2:
        raise SettingsError(f"bench pipeline: no valid decodes within {_START_S:g} s of the start")
    return received


def _await_decoder(name: str, processes: Processes) -> DecodeListener:
    """Connect as soon as the decodes are there: processes take seconds to load."""
    decoder, end = DecodeListener(name), time.monotonic() + _START_S
    while decoder.header is None:
        require_running(processes)
        decoder.look(2.0)
        if time.monotonic() > end:
            raise StreamError(
                f"bench pipeline: no stream {decode_name(name)} within {_START_S:g} s"
            )
    return decoder


def live_scores(received: LiveBench, calibration: QuickFit) -> dict[str, Any]:
    """Figures of a live session."""
    rows, hop_s, delay_s = received.rows, calibration.hop_s, calibration.neural_delay_s
    t_stop = np.array([row.t_stop for row in rows])
    arrived = np.array([row.t_arrived for row in rows])
    ready_age_s = np.array([row.age_s for row in rows])
    compute_s = np.array([row.compute_s for row in rows])
    age_s = arrived - t_stop + delay_s
    steps = np.rint(np.diff(t_stop) / hop_s)
    return {
        "decodes": len(t_stop),
        "missing": int((steps - 1).sum()),
        "invalid": sum(not row.valid for row in rows),
        "lost_samples": received.lost,
        "skipped_windows": received.skipped,
        "hop_s": hop_s,
        "algorithmic_s": delay_s,
        "compute_s": _percentiles(compute_s),
        "transport_s": _percentiles(ready_age_s - compute_s - delay_s),
        "outlet_to_listener_s": _percentiles(age_s - ready_age_s),
        "age_s": _percentiles(age_s),
        "oldest_s": _percentiles(arrived[1:] - t_stop[:-1] + delay_s),
        "processes": {each: _process(looks) for each, looks in received.looks.items()},
    }


def _percentiles(values: Any) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return dict.fromkeys(("p50", "p99", "most"), float("nan"))
    p50, p99, most = np.percentile(finite, (50, 99, 100))
    return {"p50": float(p50), "p99": float(p99), "most": float(most)}


def _process(looks: list[tuple[float, float, float]]) -> dict[str, float]:
    (t_0, cpu_0_s, begin_mib), (t_1, cpu_1_s, end_mib) = looks[0], looks[-1]
    cores = (cpu_1_s - cpu_0_s) / (t_1 - t_0) if t_1 > t_0 else float("nan")
    return {"cores": cores, "begin_mib": begin_mib, "end_mib": end_mib}


def _table(figures: dict[str, Any], n_channels: int) -> Table:
    def spread(key: str, times: float) -> str:
        return " / ".join(f"{times * figures[key][each]:.4g}" for each in ("p50", "p99", "most"))

    share = figures["compute_s"]["p99"] / figures["hop_s"]
    rows = [
        ("decodes, missing, invalid", "{decodes}, {missing}, {invalid}".format(**figures)),
        ("lost samples, skipped windows", "{lost_samples}, {skipped_windows}".format(**figures)),
        ("compute p50 / p99 / max, ms", spread("compute_s", 1e3)),
        ("  p99 as a share of the hop", f"{share:.1%} of {1e3 * figures['hop_s']:.1f} ms"),
        ("latency on arrival p50 / p99 / max, s", spread("age_s", 1)),
        ("  when the next one arrives", spread("oldest_s", 1)),
        ("  of it, where the encoder pools, s", f"{figures['algorithmic_s']:.4g}"),
        ("  transport p50 / p99 / max, ms", spread("transport_s", 1e3)),
        ("  outlet to listener, ms", spread("outlet_to_listener_s", 1e3)),
    ]
    for name, process in figures["processes"].items():
        used = "{cores:.2f} cores, {begin_mib:.0f} to {end_mib:.0f} MiB".format(**process)
        rows.append((f"process {name}", used))
    rows.append(("last line of the decoder", figures["decoder_said"]))
    recorded = "{samples} samples, {dropped} dropped, {lost_links} lost connections"
    rows.append(("recorded of the signal", recorded.format(**figures["recorded"])))
    title = f"{figures['mode']}, {n_channels} contacts, {figures['minutes']:g} minutes live"
    return table(title, ("", ""), rows)
