"""The recorder that a decoder starts: a process of its own, so that neither ends the other."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtbrain.config import DecodeSettings
from rtbrain.live.supervision.children import RecorderProcess
from rtbrain.stream_names import recorder_name


@contextmanager
def recorder_process(
    out: Path | None,
    settings: DecodeSettings,
    about: dict[str, str],
    report: Callable[..., None],
) -> Iterator[Callable[[], None]]:
    """Record a live session while the block runs."""
    if out is None:
        yield lambda: None
        return
    report_unrecorded(settings, report)
    child = RecorderProcess(out, record_flags(settings, about), report)
    try:
        yield child.poll
    finally:
        child.end()


def report_unrecorded(settings: DecodeSettings, report: Callable[..., None]) -> None:
    """Report a signal that a recorder of LSL streams cannot record."""
    if settings.stream.fieldtrip or settings.stream.mne_client:
        report("recorder", said="the signal is no LSL stream: only decodes and status are recorded")


def record_flags(settings: DecodeSettings, about: dict[str, str]) -> list[str]:
    """Flags of `rtbrain record` for a live session."""
    name, stream = settings.outlet.name, settings.stream
    flags = ["--name", recorder_name(name), "--decodes", name]
    if stream.name is not None:
        flags += ["--stream", stream.name]
    elif stream.source_id is not None:
        flags += ["--source-id", stream.source_id]
    elif stream.type is not None:
        flags += ["--type", stream.type]
    # Where no stream of markers is named, whichever there are: a session is scored against them.
    flags += ["--markers", stream.markers] if stream.markers else ["--type", "Markers"]
    for key, text in about.items():
        flags += ["--note", f"{key}={text}"]
    paths: dict[str, Any] = {"bundle": True, "outputs": {"log"}}  # a file that is shared holds none
    plain = settings.model_dump(mode="json", exclude=paths, exclude_none=True)
    return [*flags, "--note", f"settings={json.dumps(plain)}"]
