"""Rows of the matrix about hostile input and neighbours: absurd claims, planted models, bombs."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from rtbrain.check.faults.live import (
    START_S,
    decode_command,
    listen_to,
    new_stream_name,
    patient_sender,
    sending,
    wait_until,
)
from rtbrain.check.faults.rig import (
    BACK_WITHIN_S,
    SMALL_SIZES,
    FaultCase,
    Finding,
    Rig,
    StatusListener,
    joined,
)
from rtbrain.check.fuzz.mutate import Files
from rtbrain.check.fuzz.run import read_sound, try_input
from rtbrain.check.fuzz.targets import TARGETS, resign
from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    TorchScriptRuntime,
    compile_torchscript,
    random_encoder,
)
from rtbrain.processes import END_SIGNALS, resident_kib, running_command, start_child
from rtbrain.recording.xdf.chunks import SAMPLES, length_bytes, of_stream

_MAX_GROWTH_MIB = 100.0
_MAX_S, _MAX_BYTES = 1.0, 100 * 2**20
# What a sender claims in its header: rate, channels, format.
_CLAIMS = {
    "1.5e8 Hz of texts": (1.5e8, 1, "string"),
    "1e9 Hz": (1e9, 1, "float32"),
    "1e6 channels": (100.0, 10**6, "float32"),
}
# Reserves nothing for what it claims, as a hostile sender would not.
_CLAIMANT = """
import sys, pylsl
from rtbrain.processes import end_with_parent
end_with_parent()
name, rate, count, form = sys.argv[1:]
info = pylsl.StreamInfo(name, "EEG", int(count), float(rate), form, name)
outlet = pylsl.StreamOutlet(info, 1, 1)
print("up", flush=True)
sys.stdin.read()
"""
_ENDED_S = 15.0
_RESERVE = "\n[tuning]\nOutletBufferReserveMs = 1\nOutletBufferReserveSamples = 1\n"


def _was_refused(received: StatusListener, since_s: float) -> bool:
    return received.event("refused", since_s) is not None


def _is_valid(received: StatusListener, since_s: float) -> bool:
    return bool(received.valid_after(since_s))


def absurd_headers(rig: Rig) -> Finding:
    """Let senders of absurd rates and sizes take the place of the amplifier, and go again."""
    name = new_stream_name()
    sender, (received, _) = patient_sender(rig, name), listen_to(name)
    arguments, log = decode_command(rig, name)
    with sending(sender), running_command(arguments, log) as process:
        received.require(lambda: bool(received.valid_after(0.0)), START_S, "no valid decode", log)
        before_kib = resident_kib(process.pid)
        findings = []
        for what, claim in _CLAIMS.items():
            gone_s = sender.end()
            with _claiming(rig, name, claim):
                refused = received.until(partial(_was_refused, received, gone_s), BACK_WITHIN_S)
                grown = (resident_kib(process.pid) - before_kib) / 1024
            sender.begin()
            back_s = received.clock()
            back = received.until(partial(_is_valid, received, back_s), BACK_WITHIN_S)
            observed = (
                f"{what}: {'refused' if refused else 'NOT REFUSED'}, memory {grown:+.1f} MiB, "
            )
            observed += f"{'decoded again' if back else 'DEAF'}"
            findings.append((observed, refused and back and grown < _MAX_GROWTH_MIB))
        return joined(findings)


@contextmanager
def _claiming(rig: Rig, name: str, claim: tuple[float, int, str]) -> Iterator[None]:
    settings = rig.folder / "claimant.cfg"
    before = Path(os.environ["LSLAPICFG"]).read_text(encoding="utf-8")
    settings.write_text(before + _RESERVE, encoding="utf-8")
    with start_child(
        [sys.executable, "-c", _CLAIMANT, name, *map(str, claim)],
        env=os.environ | {"LSLAPICFG": str(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        if process.stdout is not None:
            process.stdout.readline()
        yield
        process.communicate()


def planted_models(rig: Rig) -> Finding:
    """Plant another model in the cache, give it to another user, let others change it."""
    sizes = BrainBERTSizes(**SMALL_SIZES["brainbert"])
    model, other = (EncoderModel(random_encoder(sizes, seed), None) for seed in (0, 1))
    shape = (2, 20, sizes.input_dim)
    spectrogram = np.random.default_rng(0).standard_normal(shape, np.float32)
    good = np.ones(2, np.bool_)
    with torch.inference_mode():
        block = torch.from_numpy(spectrogram)
        expected = model.channel_encoder.embed(block, model.pool, model.n_pooled).numpy()
    cache = rig.folder / "cache"
    foreign = compile_torchscript(other, shape, cache_folder=rig.folder / "foreign").read_bytes()

    def plant(path: Path) -> None:
        path.write_bytes(foreign.partition(b"\n")[2])

    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(next((rig.folder / "foreign").iterdir()))

    changes: dict[str, Callable[[Path], object]] = {
        "another program": plant,
        "another program below our line": lambda path: path.write_bytes(
            path.read_bytes().partition(b"\n")[0] + b"\n" + foreign.partition(b"\n")[2]
        ),
        "a link": link,
        "mode 666": lambda path: path.chmod(0o666),
    }
    if os.name == "posix" and not os.geteuid():
        changes["another owner"] = lambda path: os.chown(path, 65534, 65534)
    findings = []
    for what, change in changes.items():
        change(compile_torchscript(model, shape, cache_folder=cache))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            path = compile_torchscript(model, shape, cache_folder=cache)
        channels, _ = TorchScriptRuntime(path, None)(spectrogram, good)
        same = bool(np.allclose(channels, expected, atol=1e-4))
        lines = said.getvalue().splitlines()
        observed = f"{what}: {len(lines)} line, {'own model' if same else 'THE PLANTED ONE'}"
        findings.append((observed, same and len(lines) == 1))
    return joined(findings)


def ended_commands(rig: Rig) -> Finding:
    """Send each signal, SIGKILL too, to commands that have children; see what is left of them."""
    name = new_stream_name()
    # Arguments, and how many processes it has when it is signalled.
    commands: dict[str, tuple[list[str], int]] = {
        "decode --record": ([], 1),
        "demo": (["demo", "--mode", "linear", "--duration", "60"], 3),
        "fuzz": (["fuzz", "--target", "xdf"], 3),
        "record": (["record", "OUT", "--stream", name, "--name", f"{name}-r"], 0),
        "simulate": (["simulate", "--name", f"{name}-s"], 0),
    }
    findings = []
    with sending(patient_sender(rig, name)):
        for what, (arguments, n_children) in commands.items():
            for number in (*END_SIGNALS, signal.SIGKILL):
                place = rig.folder / f"{what.split()[0]}-{number.name}"
                place.mkdir()
                if what == "decode --record":
                    arguments, _ = decode_command(rig, name)
                    arguments += ["--name", f"{name}-{number.name}"]
                    arguments += ["--record", str(place / "session.xdf")]
                given = [str(place / "own.xdf") if one == "OUT" else one for one in arguments]
                left = _left_after(given, n_children, number, place)
                if left:
                    findings.append((f"{what} {number.name}: {left}", False))
    tried = f"{len(commands)} commands, {len(END_SIGNALS) + 1} signals: "
    if not findings:
        findings.append(("no process and no temporary folder is left", True))
    observed, passed = joined(findings)
    return tried + observed, passed


def _left_after(arguments: Sequence[str], n_children: int, number: int, place: Path) -> str:
    """What is left of a command 15 s after a signal; empty if nothing."""
    scratch, runtime = place / "tmp", place / "run"  # this user's sockets, as a desktop has it
    scratch.mkdir()
    runtime.mkdir(mode=0o700)
    with (place / "log").open("wb") as log:
        process = start_child(
            [sys.executable, "-m", "rtbrain.apps", *arguments],
            env=os.environ | {"TMPDIR": str(scratch), "XDG_RUNTIME_DIR": str(runtime)},
            stdout=log,
            stderr=log,
        )
        one = psutil.Process(process.pid)
        loaded = wait_until(
            lambda: (
                process.poll() is not None
                or (len(one.children(recursive=True)) >= n_children and one.num_threads() > 2)
            ),
            START_S,
        )
        children = one.children(recursive=True) if process.poll() is None else []
        if not loaded or process.poll() is not None:
            process.kill()
            return f"did not start: {(place / 'log').read_text(errors='replace')[-200:]}"
        process.send_signal(number)
        process.wait(_ENDED_S)
    wait_until(lambda: not (_alive(children) or any(scratch.iterdir())), _ENDED_S)
    alive = [" ".join(child.cmdline()[-3:]) for child in _alive(children)]
    # The socket of a decoder that was killed is removed by the next one of its name.
    sockets = [] if number == signal.SIGKILL else runtime.rglob("*.sock")
    return ", ".join([*alive, *(path.name for path in (*scratch.iterdir(), *sockets))])


def _alive(children: Sequence[psutil.Process]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [
            one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        ]
    return []


def bombs(rig: Rig) -> Finding:
    """Read settings, bundles, encoders, corpora and recordings that claim or expand to anything."""
    findings = []
    for target, hostile in _BOMBS.items():
        sound = TARGETS[target].make(rig.folder)[0]
        place = rig.folder / f"{target}-bomb"
        read_sound(target, [sound], place)  # the first time is slow
        for what, change in hostile.items():
            files = {**sound, **change(sound)}
            resign(files, sound)
            accepted, seconds, n_bytes, failure = try_input(TARGETS[target], place, files, 0)
            fits = seconds < _MAX_S and n_bytes < _MAX_BYTES + sum(map(len, files.values()))
            if failure or not fits or (accepted and target != "xdf"):
                observed = failure or ("ACCEPTED" if accepted else "refused")
                observed = (
                    f"{target}, {what}: {observed}, {seconds:.2f} s, {n_bytes / 2**20:.0f} MiB"
                )
                findings.append((observed, False))
    n_tried = sum(map(len, _BOMBS.values()))
    if not findings:
        findings.append((f"{n_tried} bombs, each refused within 1 s of CPU time and 100 MiB", True))
    return joined(findings)


Change = Callable[[Files], Mapping[str, bytes]]


def _settings(text: str) -> Change:
    return lambda sound: {"settings.yaml": text.encode()}


def _json(name: str, *keys: str | int, value: Any) -> Change:
    """Put a value into a file of JSON, its own hash left as it is."""

    def change(sound: Files) -> Mapping[str, bytes]:
        content = json.loads(sound[name])
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return {name: json.dumps(content, indent=2).encode()}

    return change


def _spectrogram(*keys: str | int, value: Any) -> Change:
    return _json("manifest.json", "recipe", "spectrogram", *keys, value=value)


def _claimed_array(sound: Files) -> Mapping[str, bytes]:
    name = next(name for name in sound if name.endswith("t_stop.npy"))
    return {name: re.sub(rb"\((\d+),\)(.*?) {6}", rb"(\g<1>000000,)\g<2>", sound[name], count=1)}


def _claimed_samples(count: int) -> Change:
    chunk = of_stream(SAMPLES, 1, length_bytes(count))
    return lambda sound: {name: data + chunk for name, data in sound.items()}


_BOMBS: Mapping[str, Mapping[str, Change]] = {
    "settings": {
        "aliases": _settings("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        "merges": _settings("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\n"),
        "depth": _settings("stream: " + "[" * 50_000),
        "a number of 5,000 digits": _settings("threads: " + "9" * 5000),
        "100,000 values": _settings("threads: [" + "1," * 100_000 + "1]"),
        "a date that is none": _settings("stream: {name: 2026-13-45}"),
    },
    "bundle": {
        "a window of 1e9 s": _json("manifest.json", "recipe", "window", "length_s", value=1e9),
        "a window of 1e300 s": _json("manifest.json", "recipe", "window", "length_s", value=1e300),
        "frames 1e-9 s apart": _spectrogram("frame_hop_s", value=1e-9),
        "frequencies to 1e9 Hz": _spectrogram("bands", 0, "high_hz", value=10**9),
        "frames of 1e9 s": _spectrogram("bands", 0, "frame_s", value=1e9),
        "1e12 Hz": _json("manifest.json", "sfreq_hz", value=1e12),
        "a report without end": lambda sound: {"report.json": b"[" * 100_000},
    },
    "encoder": {
        "a width of 1e9": _json("encoder.json", "sizes", "hidden_dim", value=10**9),
        "a width of 65536": _json("encoder.json", "sizes", "hidden_dim", value=65536),
        "1e9 layers": _json("encoder.json", "sizes", "encoder_num_layers", value=10**9),
        "200 layers": _json("encoder.json", "sizes", "encoder_num_layers", value=200),
    },
    "corpus": {
        "1e12 windows": _json("manifest.json", "sessions", 0, "n_windows", value=10**12),
        "an array of 1e9 values": _claimed_array,
    },
    "xdf": {"2e9 samples": _claimed_samples(2 * 10**9), "2e62 samples": _claimed_samples(2**62)},
}

HOSTILE_CASES = (
    FaultCase(45, absurd_headers, lsl=True),
    FaultCase(48, planted_models),
    FaultCase(49, ended_commands, lsl=True),
    FaultCase(50, bombs),
)
