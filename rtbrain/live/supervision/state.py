"""What a decoder's normaliser has seen, saved so that another decoder can go on from there."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import platformdirs
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rtbrain import __version__
from rtbrain.config import DecodeSettings, DetectSettings, parse_settings
from rtbrain.decoder import Bundle
from rtbrain.detect import Detector
from rtbrain.errors import RtbrainError, one_line
from rtbrain.files import UNREADABLE, parse_json, sha256, strict_json, write_atomically
from rtbrain.live.supervision.turn import Turn
from rtbrain.pipeline import FeaturePipeline
from rtbrain.spectrogram import (
    FrameStatistics,
    RobustStatistics,
    RunningFrames,
    RunningStatistics,
)
from rtbrain.types import Decode

_SAVE_EVERY_S = 5.0
_MAX_AGE_S = 600.0
_MAX_BYTES = 64 * 1024**2
_END_S = 2.0


def state_path(settings: DecodeSettings) -> Path:
    """File of a decoder's state, by its name."""
    folder = platformdirs.user_state_path("rtbrain", appauthor=False) / "decoders"
    return folder / f"{sha256(settings.outlet.name)[:16]}.state"


class SavedState:
    """The file of a decoder's state, by its name and bundle; unless it is supervised, unused."""

    def __init__(
        self, settings: DecodeSettings, bundle: Bundle, report: Callable[..., None], turn: Turn
    ) -> None:
        self.path = state_path(settings)
        self.report = report
        self.kept = turn.supervised
        self._bundle = bundle

    def restore(self) -> FrameStatistics | None:
        """Statistics to begin with, which is reported; None for those of the bundle."""
        statistics, words = self.read() if self.kept else (None, "")
        if statistics is not None or words:
            self.report("statistics", restored=statistics is not None, note=words)
        return statistics

    def keeper(self, features: FeaturePipeline) -> "StateKeeper":
        """Sink and context manager that keeps the file up to date."""
        return StateKeeper(self, features)

    def write(self, statistics: FrameStatistics) -> None:
        """Save them, whole or not at all."""
        tensors = save_tensors(asdict(statistics))
        about = {"rtbrain": __version__, "bundle": self._bundle.id, "saved_s": time.time()}
        content = json.dumps(about).encode() + b"\n" + tensors
        write_atomically(self.path, sha256(content).encode() + b"\n" + content)

    def read(self) -> tuple[FrameStatistics | None, str]:
        """Statistics, if they are whole, recent and of this bundle; how old, or why not."""
        try:
            if not self.path.exists():
                return None, ""
            if self.path.stat().st_size > _MAX_BYTES:
                return None, "they are too large"
            hashed, _, content = self.path.read_bytes().partition(b"\n")
            header, _, tensors = content.partition(b"\n")
            if sha256(content).encode() != hashed:
                return None, "they are damaged"
            about = parse_json(header)
            age_s = time.time() - about["saved_s"]
            # Of the same bundle and program, they fit its channels and bins.
            if (about["rtbrain"], about["bundle"]) != (__version__, self._bundle.id):
                return None, "they are of another decoder"
            if not 0 <= age_s <= _MAX_AGE_S:
                return None, f"they are {age_s:.0f} s old"
            return _statistics(load_tensors(tensors)), f"{age_s:.1f} s old"
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            return None, f"they cannot be read: {one_line(error)}"


def keep_thresholds(
    detector: Detector,
    settings: DecodeSettings,
    bundle: Bundle,
    report: Callable[..., None],
    turn: Turn,
) -> Callable[[], None]:
    """Detect by the thresholds of the decoder before, after a crash; returns what saves them.

    Unless the decoder is supervised, nothing is saved. What cannot be saved is reported.
    """
    path = state_path(settings).with_suffix(".thresholds")  # the supervisor removes it at its end
    if not turn.supervised:
        return lambda: None
    if turn.restarts:
        with contextlib.suppress(*UNREADABLE, RtbrainError):  # by those of the start then
            saved = parse_json(path.read_bytes())
            if saved["bundle"] == bundle.id:
                for label, values in saved["detect"].items():
                    detector.change(label, parse_settings(values, DetectSettings, where=path.name))
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def save() -> None:
        detect = {label: one.model_dump() for label, one in detector.settings.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, strict_json({"bundle": bundle.id, "detect": detect}))
        except OSError as error:
            report("thresholds_not_saved", reason=error.strerror or str(error))

    return save


class StateKeeper:
    """Sink that saves the statistics every 5 s while decodes are valid, in a thread of its own.

    As a context manager it ends the thread, and removes the file where nothing went wrong here and
    with the supervisor.
    """

    def __init__(self, saved: SavedState, features: FeaturePipeline) -> None:
        self._saved, self._stage = saved, features.spectrogram
        self._due_s = time.monotonic() + _SAVE_EVERY_S
        self._parent = os.getppid()
        self._newest: FrameStatistics | None = None
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._save, name="rtbrain-state", daemon=True)

    def push(self, item: Decode) -> None:
        """Copy the statistics if that is due; the file is the thread's."""
        now = time.monotonic()
        if now < self._due_s or not (item.quality.valid and self._saved.kept):
            return
        self._due_s = now + _SAVE_EVERY_S
        if isinstance(self._stage, RunningFrames):
            self._newest = self._stage.statistics
            self._wake.set()

    def close(self) -> None:
        """End the thread, within 2 s."""
        self._closed = True
        self._wake.set()
        self._thread.join(_END_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if kind is None and self._saved.kept and os.getppid() == self._parent:
            with contextlib.suppress(OSError):
                self._saved.path.unlink(missing_ok=True)

    def _save(self) -> None:
        failed = False
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            newest, self._newest = self._newest, None
            if newest is None:
                continue
            try:
                self._prepare()
                self._saved.write(newest)
                failed = False
            except OSError as error:
                if not failed:
                    reason = error.strerror or str(error)
                    self._saved.report("state_not_saved", reason=reason)
                failed = True

    def _prepare(self) -> None:
        path = self._saved.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in path.parent.glob(f".{path.name}-*.part"):  # of a decoder that was killed
            part.unlink(missing_ok=True)


def _statistics(arrays: dict[str, Any]) -> FrameStatistics:
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("a number in it is not finite")
    return RobustStatistics(**arrays) if "median" in arrays else RunningStatistics(**arrays)
