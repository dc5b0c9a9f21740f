"""Bundles to compile, what lies beside them, and decoders that run on it."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl

from rtbrain.bundling import build_decoder
from rtbrain.check.faults.rig import SMALL_SIZES
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.encoder import RuntimeChoice, compiled_folder_of
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.outlet import SignalOutlet
from rtbrain.recording.replay import play
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from tests.apps.program import rtbrain

SFREQ_HZ, N_CHANNELS = 2048.0, 6


def patient() -> Patient:
    return Patient(3, n_channels=N_CHANNELS, sfreq_hz=SFREQ_HZ, classes=("rest", "speech"))


def fitted(mode: str, folder: Path, seed: int = 0) -> Path:
    """A bundle of a small random encoder, fitted on the patient."""
    plain = load_settings(mode, Recipe).model_dump(mode="json", exclude_unset=True)
    if mode == "edge":
        plain["encoder"] |= {"weights": "random"} | SMALL_SIZES | {"seed": seed}
    plain["window"] |= {"length_s": 1.0}
    quick_fit(parse_settings(plain, Recipe, where="test"), patient(), 25.0, folder)
    return folder


def report_of(bundle: Path, way: str) -> dict[str, Any]:
    text = (compiled_folder_of(bundle) / way / "report.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def live_runtime(bundle: Path, **options: Any) -> dict[str, str]:
    """What a decoder that may use an approved runtime reports of it."""
    reported: dict[str, str] = {}

    def report(event: str, **fields: str) -> None:
        if event == "runtime":
            reported.update(fields)

    found = read_bundle(bundle)
    folder = compiled_folder_of(bundle)
    choice = RuntimeChoice(compiled_folder=folder, **options)
    build_decoder(found, found.montage, on_event=report, runtime=choice)
    return reported


def corpus_of(tmp_path: Path, seed: int, length_s: float) -> Path:
    recipe = load_settings("edge", Recipe).model_dump(mode="json", exclude_unset=True)
    recipe["window"] = {"length_s": length_s, "hop_s": 20 * 50 / 2048}
    settings = {
        "recipe": recipe,
        "sources": [{"recording": f"synthetic:{seed},duration_s=12,n_channels=8"}],
        "sfreq_hz": SFREQ_HZ,
    }
    path = tmp_path / f"corpus-{seed}-{length_s:g}.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")
    out = tmp_path / path.stem
    done = rtbrain("corpus", "build", "--config", path, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def first_seconds() -> SyntheticSource:
    return SyntheticSource(patient(), duration_s=6.0)


def decoded_live(bundle: Path, tmp_path: Path, n_valid: int) -> tuple[np.ndarray, str]:
    """Valid decodes of the patient's first seconds over LSL, and what the program said."""
    name = f"compiled-{uuid4().hex}"
    settings = tmp_path / "live.yaml"
    settings.write_text(
        f"stream: {{source_id: {name}}}\noutlet: {{name: {name}}}\nbacklog: all\nruntime: auto\n"
        "max_latency_s: 60\n"  # of a busy machine
    )
    source = SignalOutlet(name, patient().montage, source_id=name, origin="synthetic")
    rows: list[list[float]] = []
    ended = threading.Event()

    def feed() -> None:
        try:
            assert source.wait_for_listeners(60)
            listener = pylsl.StreamInlet(*pylsl.resolve_byprop("name", f"{name}-decode", 1, 60))
            listener.open_stream(10)
            seconds = first_seconds()
            chunks = iter(lambda: seconds.pull(0.0), None)
            play(chunks, source.push, speed=4.0, clock=lsl_clock, wait=time.sleep, stop=bool)
            while len(rows) < n_valid:
                row, _ = listener.pull_sample(timeout=20)
                assert row is not None, f"{len(rows)} of {n_valid} decodes came"
                if row[2] == 1:
                    rows.append(row)
        finally:
            if not ended.is_set():  # otherwise the signal would end the tests
                os.kill(os.getpid(), signal.SIGTERM)

    feeding = threading.Thread(target=feed)
    feeding.start()
    done = rtbrain("decode", "--config", settings, "--bundle", bundle)
    ended.set()
    feeding.join(60)
    source.close()
    assert done.returncode == 0, done.stderr
    return np.array(rows)[:, :2], done.stderr
