"""Rows of the matrix about broken or hostile input: headers, settings, checkpoints, bundles."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pylsl
import torch

from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.check.faults.simulated import simulated_world
from rtbrain.config import DecodeSettings, load_settings
from rtbrain.decoder import read_bundle
from rtbrain.encoder import BrainBERTSizes, import_checkpoint, random_encoder
from rtbrain.errors import BundleError, CheckpointError, MontageError, SettingsError, StreamError
from rtbrain.stream.lsl.header import read_header

_SIZES = BrainBERTSizes(
    hidden_dim=16, layer_dim_feedforward=32, nhead=2, encoder_num_layers=1, input_dim=40
)
_FLIPS_A_FILE = 40
_MEGABYTE = 1_000_000
_LINE_LIMIT = 600
_NOTICED_S = 3.0
_STREAM = "stream: {name: x}\n"
# File's content, and the words that the one line must have beside the file's name.
HOSTILE_SETTINGS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "wrong key": (_STREAM + "thread: 2\n", ("thread", "did you mean threads?")),
    "wrong key inside": ("stream: {naem: x}\n", ("stream.naem", "did you mean name?")),
    "unknown key": (_STREAM + "zebra: 2\n", ("zebra", "known are")),
    "wrong type": (_STREAM + "threads: many\n", ("threads", "whole number", "many")),
    "below range": (_STREAM + "threads: 0\n", ("threads", "above 0")),
    "not finite": ("stream: {name: x, timeout_s: .inf}\n", ("stream.timeout_s", "finite")),
    "no such choice": (_STREAM + "backlog: sometimes\n", ("backlog", "'latest' or 'all'")),
    "missing part": ("threads: 1\n", ("stream", "missing")),
    "a list": ("- 1\n- 2\n", ("expected keys and values", "got a list")),
    "empty": ("", ("expected keys and values",)),
    "not YAML": ("stream: {name: [x\n", ("not readable as YAML",)),
    "control characters": (b"stream: {name: \x00\x1b}\n", ("not readable as YAML",)),
    "not text": (b"stream: \xff\x81\n", ("not readable as YAML",)),
    "code": ("stream: !!python/object/apply:os.getcwd []\n", ("not readable as YAML",)),
    "nested without end": ("stream: " + "[" * 5000 + "]" * 5000, ("not readable as YAML",)),
    "a bomb of aliases": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "stream: *i\n",
        ("a",),
    ),
    "a key of 1 MB": (_STREAM + "x" * 1_000_000 + ": 1\n", ("not readable as YAML",)),
}


class _MakesFolder:
    """Pickles as a call that makes a folder: proof, if it is there, that code was run."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._flag),)


def hostile_checkpoints(rig: Rig) -> Finding:
    """Import checkpoints that are cut in half, of a wrong shape, short of a tensor, with code."""
    tensors = random_encoder(_SIZES, 0).state_dict()
    config = {"name": "masked_tf_model", "layer_activation": "gelu", **asdict(_SIZES)}
    good = {"model": dict(tensors), "model_cfg": config}
    name = next(key for key in tensors if tensors[key].ndim == 2)
    wrong = good | {"model": tensors | {name: torch.zeros(3, 5)}}
    less = good | {"model": {key: value for key, value in tensors.items() if key != name}}
    flag = rig.folder / "code-was-run"
    coded = good | {"model": tensors | {"extra": _MakesFolder(flag)}}

    whole = _saved(good, rig.folder / "good.pth")
    import_checkpoint("brainbert", whole, rig.folder / "good")
    cut = rig.folder / "cut.pth"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    attempts = {
        "truncated": (cut, ("truncated",)),
        "another shape": (_saved(wrong, rig.folder / "wrong.pth"), (name, "3", "5")),
        "a tensor missing": (_saved(less, rig.folder / "less.pth"), (name,)),
        "code in it": (_saved(coded, rig.folder / "coded.pth"), ("mkdir", "nothing was run")),
    }
    findings = []
    for what, (file, words) in attempts.items():
        message = _refusal(file, rig.folder / f"out {what}")
        fits = all(word in message for word in words) and "\n" not in message
        findings.append((f"{what}: {message.replace(str(rig.folder), '')[:110]}", fits))
    ran = flag.exists()
    return joined([("code WAS RUN" if ran else "no code was run", not ran), *findings])


def _saved(content: dict[str, Any], file: Path) -> Path:
    torch.save(content, file)
    return file


def _refusal(file: Path, out: Path) -> str:
    try:
        import_checkpoint("brainbert", file, out)
    except CheckpointError as error:
        return str(error)
    return "ACCEPTED"


def altered_bundles(rig: Rig) -> Finding:
    """Change one byte of each file of a bundle, at 40 places, and read it each time."""
    bundle = rig.bundle("linear")
    read_bundle(bundle)
    findings = []
    for file in sorted(bundle.iterdir()):
        length = file.stat().st_size
        places = sorted(
            {turn * (length - 1) // (_FLIPS_A_FILE - 1) for turn in range(_FLIPS_A_FILE)}
        )
        refused = [_altered(bundle, file.name, place, rig.folder / "altered") for place in places]
        n_named = sum(file.name in message for message in refused)
        n_hashes = sum("expected SHA-256" in m and ", got " in m for m in refused)
        observed = (
            f"{file.name}: {len(places)} changes, {n_named} refused by name, {n_hashes} with both "
            "hashes"
        )
        findings.append((observed, n_named == n_hashes == len(places)))
    return joined(findings)


def _altered(bundle: Path, name: str, place: int, copy: Path) -> str:
    shutil.copytree(bundle, copy)
    content = bytearray((bundle / name).read_bytes())
    content[place] ^= 1
    (copy / name).write_bytes(content)
    try:
        read_bundle(copy)
    except BundleError as error:
        return str(error)
    finally:
        shutil.rmtree(copy)
    return "ACCEPTED"


def malformed_headers(rig: Rig) -> Finding:
    """Read headers of eleven kinds: each is taken with a note, or refused with its reason."""
    labels = rig.montage.names
    heads = {
        "0 channels": (_info(rig, (), n_channels=0), "refused: has 0 channels"),
        "fewer labels": (_info(rig, labels[:5]), "note: named by number"),
        "more labels": (_info(rig, (*labels, "X1")), "note: labels more"),
        "no labels": (_info(rig, ()), "note: has no channel labels"),
        "labels twice": (_info(rig, (*labels[:-1], labels[0])), "note: labels repeat"),
        "no units": (_info(rig, labels, unit=""), "note: gives no unit"),
        "a strange unit": (_info(rig, labels, unit="furlongs"), "note: 'furlongs' is not known"),
        "1 MB of XML": (_info(rig, labels, padding=_MEGABYTE), "taken"),
        "1 MB in a label": (
            _info(rig, ("A" * _MEGABYTE, *labels[1:])),
            "refused: has 1000000 characters",
        ),
        "control characters": (_info(rig, ("A\u2028\u202e1", *labels[1:])), "refused: control"),
        "no rate": (_info(rig, labels, sfreq_hz=0.0), "refused: no regular rate"),
    }
    wrong, parts = [], []
    for what, (info, expected) in heads.items():
        observed = _read(info)
        verdict, _, words = expected.partition(": ")
        if not observed.startswith(verdict) or words not in observed or len(observed) > _LINE_LIMIT:
            wrong.append(f"{what}: expected {expected}, got {observed[:160]}")
        else:
            parts.append(f"{what} {verdict}")
    return "; ".join([*parts, *wrong]), not wrong


def units_in_headers(rig: Rig) -> Finding:
    """Announce one signal in volts, millivolts and nanovolts, and in no unit."""
    findings = []
    for unit, factor in (("volts", 1e6), ("millivolts", 1e3), ("nV", 1e-3), ("µV", 1.0), ("", 1.0)):
        header = read_header(_info(rig, rig.montage.names, unit=unit))
        fits = bool((header.factors == factor).all()) and bool(header.notes) == (not unit)
        note = f" ({header.notes[0][:60]}...)" if header.notes else ""
        findings.append((f"{unit or 'no unit'} x {header.factors[0]:g}{note}", fits))
    return joined(findings)


def _read(info: Any) -> str:
    if info is None:
        return "refused: has 0 channels, by liblsl itself"
    try:
        header = read_header(info)
    except (StreamError, MontageError) as error:
        return f"refused: {error}"
    return f"note: {'; '.join(header.notes)}" if header.notes else "taken"


def _info(
    rig: Rig,
    labels: Sequence[str],
    *,
    n_channels: int | None = None,
    unit: str = "microvolts",
    padding: int = 0,
    sfreq_hz: float | None = None,
) -> Any:
    rate_hz = rig.montage.sfreq_hz if sfreq_hz is None else sfreq_hz
    count = rig.montage.n_channels if n_channels is None else n_channels
    info = pylsl.StreamInfo("head", "EEG", count, rate_hz, "float32", "head")
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        if unit:
            channel.append_child_value("unit", unit)
    if padding:
        info.desc().append_child_value("padding", "x" * padding)
    return info


def hostile_settings(rig: Rig) -> Finding:
    """Load 17 files of settings, each broken in its own way, and read the message."""
    wrong = []
    for number, (what, (content, words)) in enumerate(HOSTILE_SETTINGS.items()):
        file = rig.folder / f"s{number}.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            load_settings(str(file), DecodeSettings)
            message = "ACCEPTED"
        except SettingsError as error:
            message = str(error)
        except (RecursionError, MemoryError, ValueError) as error:
            message = f"crashed: {type(error).__name__}"
        named = all(word in message for word in (file.name, *words))
        if not named or "\n" in message or len(message) > _LINE_LIMIT:
            wrong.append(f"{what}: {message[:160]} ({len(message)} characters)")
    n_files = len(HOSTILE_SETTINGS)
    observed = (
        f"{n_files - len(wrong)} of {n_files} files refused in one line with file, key and "
        "expectation"
    )
    return "; ".join([observed, *wrong]), not wrong


def unit_in_doubt(rig: Rig) -> Finding:
    """Send volts under a header that is silent about units."""
    with simulated_world(rig, scale=1e-6) as world:
        world.listener.until(lambda: bool(world.listener.event("amplitude")), _NOTICED_S)
        reported = world.listener.event("amplitude")
        start_s = world.sender.start_s
    if reported is None:
        return "nothing was reported about the amplitude", False
    after_s, factor = reported.t - start_s, reported.fields["factor"]
    return (
        f"after {after_s:.1f} s: {reported.fields['reason']}; factor {factor:g}",
        factor == 1e6 and after_s < 3.0,
    )


INPUT_CASES = (
    FaultCase(12, units_in_headers),
    FaultCase(12, unit_in_doubt),
    FaultCase(17, hostile_settings),
    FaultCase(18, hostile_checkpoints),
    FaultCase(19, altered_bundles),
    FaultCase(23, malformed_headers),
)
