"""Decodes that were recorded while they were made, scored against the markers beside them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtbrain.config import LabelSettings
    from rtbrain.decoder import Bundle
    from rtbrain.types import Decode

_BESIDES = ("valid", "coverage", "age_s", "compute_s")


def recorded_figures(
    recording: str, name: str, bundle: "Bundle", labels: "LabelSettings", threshold: float
) -> dict[str, Any]:
    """Figures of a recorded decode stream, as `figures_of` has them.

    Raises
    ------
    SettingsError
        The labels are not states, or the stream is no decode stream of this bundle.
    RecordingError
        The file has no such stream.
    """
    from rtbrain.build import build_decoder
    from rtbrain.errors import SettingsError
    from rtbrain.offline.labels import states_from_markers
    from rtbrain.stream.recording import read_recording

    from .evaluate_report import figures_of

    if labels.classes is None:
        raise SettingsError("--decodes is scored against states: give --classes")
    read = read_recording(recording, stream=name)
    try:
        expected = (*bundle.manifest.labels, *_BESIDES)
        if read.montage.names != expected:
            raise SettingsError(
                f"--decodes {name}: expected channels {', '.join(expected)}, got "
                f"{', '.join(read.montage.names)}: name a decode stream of this bundle"
            )
        delay_s = build_decoder(bundle, bundle.montage)[0].neural_delay_s
        decodes = _decodes(read, len(bundle.manifest.labels), delay_s)
        events = read.events
    finally:
        read.close()
    import numpy as np

    valid = [decode for decode in decodes if decode.quality.valid]
    t_stop = np.array([decode.t_stop for decode in valid])
    labelled = states_from_markers(t_stop, events, labels.classes, span_s=0.0, lag_s=delay_s)
    return figures_of(decodes, valid, labelled, threshold) | {"lost_samples": 0}


def _decodes(read: Any, n_outputs: int, delay_s: float) -> "list[Decode]":
    import numpy as np

    from rtbrain.types import Decode, Quality

    values = read.read(0, read.n_samples)  # [n_outputs + 4, T]
    stamps = read.timestamps(0, read.n_samples)
    good = np.ones(1, bool)
    return [
        Decode(
            values[:n_outputs, number].copy(),
            float(stamp) - delay_s,
            float(stamp),
            Quality(good, valid=bool(values[n_outputs, number] > 0)),
        )
        for number, stamp in enumerate(stamps)
    ]
