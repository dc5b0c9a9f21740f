"""What `rtbrain bench` asks of a process of its own, and what that gives back: plain values."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

PUBLISHED_WAY = "published way"
"""The reference: scipy's STFT of each whole window, torch's transformers, nothing trimmed."""

PARTS = ("front", "spectrogram", "encoder", "readout")
"""Of a step, in the order of the flow; front are filters and windows."""

Precision = Literal["fp32", "bf16", "int8"]

_LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    Attributes
    ----------
    mode : str
        Ready-made recipe, or `PUBLISHED_WAY`.
    n_channels : int
        Contacts of the stream.
    runtime, precision : str
        What the encoder runs on; ``none`` in the linear mode, ``torch`` in `PUBLISHED_WAY`.
    threads : int
        Of the encoder.
    hop_s : float or None
        In place of the recipe's, s.
    filtered : bool
        Whether the recipe's signal chain is run; it leaves channels out at the ends of shafts.
    encoded : bool
        Whether the encoder is run; else the parts before it alone.
    """

    mode: str
    n_channels: int
    runtime: Literal["none", "torch", "torchscript", "openvino"] = "none"
    precision: Precision = "fp32"
    threads: int = 1
    hop_s: float | None = None
    filtered: bool = True
    encoded: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a job.

    Attributes
    ----------
    unavailable : str
        Why it cannot be run here; empty where it was.
    durations_ms : dict
        Time of each part in each step, ms.
    hop_s, algorithmic_s : float
        Between steps, and from the moment that a decode describes to its window's end, s.
    n_encoded, n_good : int
        Channels that reach the encoder, and those of them that are good.
    flop_channels, flop_population : float
        Operations of a step, by formula.
    peak_flops, peak_fp32_flops : float
        What the machine does a second at the job's precision and threads, and at fp32.
    compile_s, ready_s : float
        From nothing to the first step, with an empty cache of compiled encoders and with a full
        one, s.
    rss_mib, idle_rss_mib : float
        Resident at the end, and before anything was built, MiB.
    difference, lost_direction : float or None
        Of the channels' embeddings from those of the eager encoder in fp32, of the same window:
        the largest, and the median of 1 - cos after the mean over channels is taken out.
    """

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


def measured_apart(job: Job, cache: Path) -> Measured:
    """Run a job in a process of its own, whose memory and start are its own alone.

    Parameters
    ----------
    job : Job
        What to measure.
    cache : Path
        Folder for compiled encoders, so that the user's own is not touched.
    """
    command = [sys.executable, "-m", "rtbrain.apps.bench_child", json.dumps(asdict(job))]
    # The cache folder by the custom of each platform (rtbrain.encoder.user_cache_folder).
    places = dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA"), str(cache))
    try:
        done = subprocess.run(  # noqa: S603
            command,
            env={**os.environ, **places},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return Measured(unavailable=f"it took longer than {_LONGEST_S:g} s")
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = said[-1] if said else f"its process ended with {done.returncode}, without a word"
    if done.returncode:
        return Measured(unavailable=last)
    return Measured(**json.loads(last))
