"""What is fuzzed: sound input of each kind, and the code that reads it."""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pylsl
from pylsl.lib import lib
from rich.console import Console

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, bundle_parts
from rtbrain.check.fuzz.mutate import Files
from rtbrain.check.fuzz.recordings import (
    bids_files,
    brainvision_files,
    checkpoint_files,
    edf_files,
    fif_files,
    npy_files,
    read_first,
    read_folder,
    use_checkpoint,
)
from rtbrain.config import (
    SETTINGS_KINDS,
    CorpusSettings,
    Recipe,
    find_settings,
    load_settings,
    parse_settings,
    read_settings,
    settings_kind,
)
from rtbrain.decoder import LinearReadout, read_bundle, write_bundle
from rtbrain.encoder import BrainBERT, BrainBERTSizes, load_encoder, save_encoder
from rtbrain.learn.corpus.build import make_corpus
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.live.screen import sentence
from rtbrain.outlet.lsl_stream import describe_channels, describe_origin, new_info
from rtbrain.recording.open import read_recording
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.stream.fieldtrip.source import FieldTripSource
from rtbrain.stream.lsl.decodes import decode_header, parse_status_line
from rtbrain.stream.lsl.header import read_header
from rtbrain.stream.lsl.resolve import stream_summary
from rtbrain.types import Montage

_SFREQ_HZ = 512.0
_MONTAGE = Montage(("A1", "A2", "A3", "A4"), ("seeg",) * 4, _SFREQ_HZ)
_OWN_HASH = re.compile(rb'("sha256": ")[0-9a-f]{64}(?=")')
_PULL_S = 0.01
_UID = "a0b1c2d3-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what others wrote.

    `make` gives sound inputs, each a file or the files of a folder by name; `use` reads one, which
    has been written to the folder, and may raise an `RtbrainError` and nothing else.
    """

    make: Callable[[Path], list[Files]]
    use: Callable[[Path, Files], None]


def resign(damaged: dict[str, bytes], sound: Files) -> None:
    """Give a damaged folder the sizes and hashes of what it now holds.

    Without, its hashes alone would have it refused, and nothing behind them be tried.
    """
    notes = [name for name in damaged if name.endswith(".json")]
    for name, data in damaged.items():
        if data == sound[name]:
            continue
        for note in notes:
            text = damaged[note].replace(_sha256(sound[name]), _sha256(data))
            text = text.replace(b'"n_bytes": %d' % len(sound[name]), b'"n_bytes": %d' % len(data))
            damaged[note] = text
    for note in notes:
        if len(_OWN_HASH.findall(damaged[note])) == 1:  # a manifest that holds its own
            unsigned = _OWN_HASH.sub(b"\\g<1>" + b"0" * 64, damaged[note])
            own = b"\\g<1>" + _sha256(unsigned)
            damaged[note] = _OWN_HASH.sub(own, damaged[note])


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _xdf_files(folder: Path) -> list[Files]:
    path = folder / "sound.xdf"
    writer = open_xdf(path)
    rng = np.random.default_rng(0)
    signal = writer.add_stream(_signal_info().as_xml().encode())
    marks = writer.add_stream(_status_info().as_xml().encode())
    stamps = np.arange(512) / _SFREQ_HZ
    writer.samples(signal, rng.normal(0, 20, (512, 4)).astype(np.float32), stamps)
    writer.samples(marks, np.array([["rest"], ["speech"]], object), stamps[[10, 300]])
    writer.clock_offset(signal, 0.5, 1e-4)
    writer.close()
    return [{path.name: path.read_bytes()}]


def _use_xdf(folder: Path, files: Files) -> None:
    recording = read_recording(folder / next(iter(files)), stream="amplifier")
    try:
        recording.read(0, min(recording.n_samples, 4096))
    finally:
        recording.close()


def _bundle_files(folder: Path) -> list[Files]:
    recipe = load_settings("linear", Recipe)
    montage = Montage(_MONTAGE.names, _MONTAGE.kinds, 2048.0)
    features = build_feature_pipeline(recipe, montage)
    weight = np.zeros((2, features.n_features), np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    manifest, tensors = bundle_parts(
        recipe, None, features, readout, ("rest", "speech"), montage, "nothing"
    )
    tensors = {name: array for name, array in tensors.items() if "normaliser" not in name}
    write_bundle(folder / "bundle", manifest, montage, tensors, {})
    return [_folder_files(folder / "bundle")]


def _use_bundle(folder: Path, files: Files) -> None:
    bundle = read_bundle(folder)
    build_decoder(bundle, bundle.montage)


def _encoder_files(folder: Path) -> list[Files]:
    sizes = BrainBERTSizes(hidden_dim=16, layer_dim_feedforward=16, nhead=2, encoder_num_layers=1)
    save_encoder(BrainBERT(sizes), folder / "encoder")
    return [_folder_files(folder / "encoder")]


def _use_encoder(folder: Path, files: Files) -> None:
    load_encoder(folder)


def _corpus_files(folder: Path) -> list[Files]:
    values = {"sources": ["synthetic:3,duration_s=12,n_channels=6"], "sfreq_hz": 2048}
    settings = parse_settings(values, CorpusSettings, where="fuzz")
    make_corpus(settings, folder / "corpus", Console(quiet=True))
    return [_folder_files(folder / "corpus")]


def _use_corpus(folder: Path, files: Files) -> None:
    corpus = open_corpus(folder)
    for session in corpus.sessions:
        for shard in session.shards:
            np.asarray(shard[:1], np.float32).sum()


def _settings_files(folder: Path) -> list[Files]:
    return [
        {"settings.yaml": find_settings(name).read_bytes()}
        for name in (
            "bedside",
            "fit",
            "linear",
            "edge",
            "demo",
            "corpus-compact",
            "distill-compact",
        )
    ]


def _use_settings(folder: Path, files: Files) -> None:
    values, where = read_settings(str(folder / "settings.yaml"))
    parse_settings(values, SETTINGS_KINDS[settings_kind(values)], where=where)


def _lsl_files(folder: Path) -> list[Files]:
    # As it comes over the network, which gives it an identity.
    named = [
        info.as_xml().replace("<uid></uid>", f"<uid>{_UID}</uid>")
        for info in (_signal_info(), _decode_info())
    ]
    return [{"header.xml": xml.encode()} for xml in named]


def _use_lsl(folder: Path, files: Files) -> None:
    lib.lsl_streaminfo_from_xml.restype = lib.lsl_create_streaminfo.restype
    info = pylsl.StreamInfo(handle=lib.lsl_streaminfo_from_xml(files["header.xml"]))
    str(stream_summary(info))
    if info.type() == "Decode":
        decode_header(info)
    else:
        read_header(info)


def _status_files(folder: Path) -> list[Files]:
    events = (
        {"event": "connected", "stream": "a", "channels": 4, "rate_hz": 512.0, "notes": ["x"]},
        {"event": "channel_bad", "channel": "A1", "reason": "flat"},
        {"event": "stopped", "streams": {"1 a": 7}, "dropped": 0, "clean_end": True},
        {"event": "disk_low", "free_bytes": 1e9, "minutes_left": 3.0},
        {"event": "summary", "state": "live", "bad": {"A1": "flat"}, "reason": ""},
    )
    return [{"line": json.dumps(event).encode()} for event in events]


def _use_status(folder: Path, files: Files) -> None:
    event = parse_status_line(0.0, files["line"].decode("utf-8", errors="backslashreplace"))
    sentence(event.event, event.fields)


def _fieldtrip_files(folder: Path) -> list[Files]:
    names = b"\0".join(name.encode() for name in _MONTAGE.names) + b"\0"
    chunks = struct.pack("<II", 1, len(names)) + names
    fixed = struct.pack("<IIIfII", 4, 64, 0, _SFREQ_HZ, 9, len(chunks))
    samples = np.random.default_rng(0).normal(0, 20, (32, 4)).astype("<f4").tobytes()
    data = struct.pack("<IIII", 4, 32, 9, len(samples)) + samples
    counts = struct.pack("<II", 64, 0)
    bodies = {"header": (0x204, fixed + chunks), "data": (0x204, data), "wait": (0x404, counts)}
    return [
        {
            name: struct.pack("<HHI", 1, command, len(body)) + body
            for name, (command, body) in bodies.items()
        }
    ]


def _use_fieldtrip(folder: Path, files: Files) -> None:
    with _answering(files) as port:
        source = FieldTripSource(
            host="127.0.0.1", port=port, timeout_s=0.0, on_event=lambda event, **fields: None
        )
        try:
            source.pull(_PULL_S)
            source.pull(_PULL_S)
        finally:
            source.close()


@contextmanager
def _answering(answers: Files) -> Iterator[int]:
    """Port of a server that gives each kind of request its prepared answer, then hangs up."""
    kinds = {0x201: "header", 0x202: "data", 0x402: "wait"}

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(1.0)
            with connection:
                try:
                    for _ in range(4):
                        _, command, n_bytes = struct.unpack("<HHI", connection.recv(8))
                        if n_bytes:
                            connection.recv(n_bytes)
                        answer = answers[kinds[command]]
                        connection.sendall(answer)
                        # What is missing will not come: nobody need wait for it.
                        if len(answer) < 8 + int.from_bytes(answer[4:8], "little"):
                            break
                except (OSError, struct.error, KeyError):
                    continue

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _signal_info() -> pylsl.StreamInfo:
    info = new_info("amplifier", "EEG", 4, _SFREQ_HZ, "float32", "fuzz")
    describe_channels(info, _MONTAGE.names, _MONTAGE.kinds, ("microvolts",) * 4)
    describe_origin(info)
    return info


def _decode_info() -> pylsl.StreamInfo:
    labels = ("rest", "speech", "valid", "coverage", "age_s", "compute_s")
    info = new_info("x-decode", "Decode", len(labels), 4.0, "float32", "fuzz")
    describe_channels(info, labels, ("decode",) * 6, ("probability",) * 6)
    info.desc().append_child("rtbrain").append_child_value("delay_s", "0.1")
    contacts = info.desc().append_child("montage").append_child("contacts")
    contacts.append_child("contact").append_child_value("label", "A1")
    return info


def _status_info() -> pylsl.StreamInfo:
    return new_info("marks", "Markers", 1, pylsl.IRREGULAR_RATE, "string", "fuzz-marks")


def _folder_files(folder: Path) -> Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


TARGETS: Mapping[str, Target] = {
    "xdf": Target(_xdf_files, _use_xdf),
    "edf": Target(edf_files, read_first),
    "brainvision": Target(brainvision_files, read_first),
    "fif": Target(fif_files, read_first),
    "npy": Target(npy_files, read_first),
    "bids": Target(bids_files, read_folder),
    "bundle": Target(_bundle_files, _use_bundle),
    "checkpoint": Target(checkpoint_files, use_checkpoint),
    "encoder": Target(_encoder_files, _use_encoder),
    "corpus": Target(_corpus_files, _use_corpus),
    "settings": Target(_settings_files, _use_settings),
    "fieldtrip": Target(_fieldtrip_files, _use_fieldtrip),
    "lsl": Target(_lsl_files, _use_lsl),
    "status": Target(_status_files, _use_status),
}
