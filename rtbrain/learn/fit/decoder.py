"""A fitted decoder in memory: it decodes recordings, and is saved to and loaded from a bundle."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.decoder import Bundle, read_bundle, write_bundle
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.files import require_new_folder
from rtbrain.learn.fit.features import gather
from rtbrain.learn.fit.inputs import chunks_of, open_recordings, virtual_session
from rtbrain.learn.report.page import fit_page
from rtbrain.learn.report.score_table import ScoreTable, fit_scores, verdict_lines
from rtbrain.live.play import bind_session, decoder_for, play_recording
from rtbrain.pipeline import cut_at_markers
from rtbrain.processes import scratch_folder
from rtbrain.recording.recording import Recording
from rtbrain.terminal import OnProgress, no_progress
from rtbrain.types import Decode, Floats, Mask, Times


@dataclass(frozen=True, slots=True, eq=False)
class Decodes:
    """Decodes of a recording, one row per window.

    Attributes
    ----------
    labels : tuple of str
        Classes or outputs.
    values : ndarray, float32 [n_windows, n_outputs]
        Probabilities of the classes, or values; NaN where the window could not be decoded.
    times_s : ndarray, float64 [n_windows]
        The moment that each decode describes, s from the start of the recording.
    t_stop_s : ndarray, float64 [n_windows]
        End of each window, s.
    valid : ndarray, bool [n_windows]
        Whether the decode may be acted on.
    coverage : ndarray, float32 [n_windows]
        Share of the channels that were good, 0 to 1.
    """

    labels: tuple[str, ...]
    values: Floats  # float32 [n_windows, n_outputs]
    times_s: Times  # float64 [n_windows]
    t_stop_s: Times  # float64 [n_windows]
    valid: Mask  # bool [n_windows]
    coverage: Floats  # float32 [n_windows]

    @classmethod
    def of(cls, labels: tuple[str, ...], decodes: list[Decode]) -> "Decodes":
        """Arrays of these decodes."""
        values = np.array([decode.values for decode in decodes], np.float32)
        return cls(
            labels,
            values.reshape(-1, len(labels)),
            np.array([decode.t_neural for decode in decodes], np.float64),
            np.array([decode.t_stop for decode in decodes], np.float64),
            np.array([decode.quality.valid for decode in decodes], np.bool_),
            np.array([decode.quality.coverage for decode in decodes], np.float32),
        )

    def __len__(self) -> int:
        """How many decodes there are."""
        return len(self.times_s)

    @property
    def latency_s(self) -> Times:
        """Algorithmic latency, float64 [n_windows], s: live, transport and compute are added."""
        return self.t_stop_s - self.times_s

    def to_frame(self) -> Any:
        """Decodes as a ``pandas.DataFrame``, one column per output, indexed by `times_s`.

        Raises
        ------
        SettingsError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise SettingsError("to_frame needs pandas: pip install pandas") from None
        columns = dict(zip(self.labels, self.values.T, strict=True)) | {
            "valid": self.valid,
            "coverage": self.coverage,
            "latency_s": self.latency_s,
        }
        return pandas.DataFrame(columns, index=pandas.Index(self.times_s, name="times_s"))


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a decoder's readout reads of a recording, one row per valid window.

    Attributes
    ----------
    values : ndarray, float32 [n_windows, n_features]
        Population features.
    channels : ndarray, float32 [n_windows, n_channels, n_channel_features]
        Embedding of each channel.
    names : tuple of str
        Labels of the channels, after the references of the signal chain.
    times_s, t_stop_s : ndarray, float64 [n_windows]
        The moment that each row describes and the end of its window, s.
    """

    values: Floats  # float32 [n_windows, n_features]
    channels: Floats  # float32 [n_windows, n_channels, n_channel_features]
    names: tuple[str, ...]
    times_s: Times  # float64 [n_windows]
    t_stop_s: Times  # float64 [n_windows]


@dataclass(frozen=True, slots=True, eq=False)
class FittedDecoder:
    """A decoder with its scores, from `rtbrain.fit` or `rtbrain.load`.

    Attributes
    ----------
    bundle : Bundle
        Recipe, weights, channels and report.
    controls : dict of str to Bundle
        Decoders that it is compared with.
    draw : callable
        Gives the figures of the scores, PNGs by name.
    notes : tuple of str
        What had to be assumed about the recordings, or looks wrong in them.
    """

    bundle: Bundle
    controls: Mapping[str, Bundle] = field(default_factory=dict)
    draw: Callable[[], Mapping[str, bytes]] = dict
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes or outputs."""
        return self.bundle.manifest.labels

    @property
    def report(self) -> dict[str, Any]:
        """Scores with their controls, and how they were made, as plain values."""
        return self.bundle.report

    @property
    def scores(self) -> ScoreTable:
        """Scores on held-out time, a row for the decoder and for each control.

        Raises
        ------
        SettingsError
            The decoder was not made by `rtbrain.fit`.
        """
        if "scores" not in self.report:
            raise SettingsError("this decoder holds no scores: use rtbrain.evaluate")
        return fit_scores(self.report)

    @property
    def verdict(self) -> str:
        """Whether it is better than chance, and what stands against that, in words.

        Raises
        ------
        SettingsError
            The decoder was not made by `rtbrain.fit`.
        """
        return "\n".join(verdict_lines(self.scores.report))

    def __repr__(self) -> str:
        """What it decodes, in one line."""
        manifest = self.bundle.manifest
        return (
            f"FittedDecoder({manifest.task} of {', '.join(self.labels)}; mode {manifest.mode}, "
            f"{self.bundle.montage.n_channels} channels at {manifest.sfreq_hz:g} Hz)"
        )

    def save(self, folder: str | Path) -> Path:
        """Write the decoder bundle that `rtbrain decode` and `rtbrain.load` read.

        Parameters
        ----------
        folder : str or Path
            A new folder; it is written whole or not at all, its controls, figures and the page
            ``report.html`` too.

        Raises
        ------
        SettingsError
            The folder exists, or cannot be made.
        """
        folder = Path(folder)
        require_new_folder(folder, "save")
        folder.parent.mkdir(parents=True, exist_ok=True)
        # In one step: a decoder without its controls would be scored alone.
        with scratch_folder(".fit-", folder.parent) as scratch:
            part = scratch / folder.name
            _write(part, self.bundle, self.draw())
            for name, control in self.controls.items():
                _write(part / "controls" / name, control, {})
            os.replace(part, folder)
        return folder

    def decode(
        self,
        recording: Any,
        *,
        sfreq_hz: float | None = None,
        stream: str | None = None,
        scale: float = 1.0,
        on_progress: OnProgress = no_progress,
    ) -> Decodes:
        """Decode a recording window by window, as if it were live.

        Parameters
        ----------
        recording : str, Path, mne.io.BaseRaw, tuple or Recording
            What `rtbrain.read` takes; its channels are found by their labels.
        sfreq_hz, stream, scale
            As for `rtbrain.read`.
        on_progress : callable
            ``on_progress(done, total, what)``.

        Returns
        -------
        Decodes
            All decodes; those that are not valid are marked.

        Raises
        ------
        RtbrainError
            The recording cannot be read, has another rate, or lacks the decoder's channels.

        Examples
        --------
        >>> import rtbrain
        >>> decoder = rtbrain.load("bundle")
        >>> decodes = decoder.decode("synthetic:3,duration_s=20,n_channels=12", sfreq_hz=2048)
        >>> decodes.labels
        ('rest', 'speech')
        >>> decodes.values.shape == (len(decodes), 2)
        True
        """
        with self._open(recording, sfreq_hz=sfreq_hz, stream=stream, scale=scale) as (opened,):
            session = virtual_session(opened)
            decoder = decoder_for(self.bundle, opened)
            n_samples = opened.n_samples
            kept = play_recording(self.bundle, session, n_samples, decoder, on_progress=on_progress)
        return Decodes.of(self.labels, kept.decodes)

    def _open(self, recording: Any, **options: Any) -> AbstractContextManager[list[Recording]]:
        options |= {
            "trigger": self.bundle.trigger,
            "stimulation": self.bundle.recipe.stimulation,
        }
        return open_recordings([recording], **options)

    def features(
        self,
        recording: Any,
        *,
        sfreq_hz: float | None = None,
        stream: str | None = None,
        scale: float = 1.0,
        on_progress: OnProgress = no_progress,
    ) -> Features:
        """Features of every valid window of a recording: what the readout reads.

        Parameters
        ----------
        recording, sfreq_hz, stream, scale, on_progress
            As for `decode`.

        Raises
        ------
        RtbrainError
            As for `decode`, or no window is valid.
        """
        with self._open(recording, sfreq_hz=sfreq_hz, stream=stream, scale=scale) as (opened,):
            session = virtual_session(opened)
            pipeline = decoder_for(self.bundle, opened, live=False)[0]
            bound = bind_session(self.bundle, session)
            chunks = chunks_of(bound, opened.n_samples, on_progress, "features")
            pipeline = cut_at_markers(pipeline, session.markers, self.bundle.recipe.coverage_floor)
            with threadpool_limits(1, "blas"):  # as `play_session` says
                found = gather(chunks, pipeline, {"": pipeline.encoder}, keep_channels="")
        if not found.t_stop.size:
            raise RecordingError(
                f"none of {found.n_invalid} windows is valid: the recording is shorter than a "
                "window, has no event to cut at, or too few of its contacts are good"
            )
        names = pipeline.signal.montage.names
        return Features(found.rows[""], found.channels, names, found.t_neural, found.t_stop)


def _write(folder: Path, bundle: Bundle, pictures: Mapping[str, bytes]) -> None:
    page = fit_page(bundle, pictures) if pictures and "verdict" in bundle.report else ""
    unsigned = bundle.manifest.model_copy(update={"sha256": "0" * 64})
    of = bundle.montage, bundle.tensors, bundle.report
    write_bundle(folder, unsigned, *of, pictures=pictures, page=page)


def load(folder: str | Path) -> FittedDecoder:
    """Load a decoder bundle, with its controls.

    Parameters
    ----------
    folder : str or Path
        What `FittedDecoder.save` or ``rtbrain fit`` wrote.

    Raises
    ------
    BundleError
        A file is missing, was altered, or does not hold what the manifest says.

    Examples
    --------
    >>> import rtbrain
    >>> rtbrain.load("bundle")
    FittedDecoder(classification of rest, speech; mode linear, 12 channels at 2048 Hz)
    """
    folder = Path(folder)
    controls = {
        manifest.parent.name: read_bundle(manifest.parent)
        for manifest in sorted(folder.glob("controls/*/manifest.json"))
    }
    figures = {path.name: path.read_bytes() for path in sorted(folder.glob("figures/*.png"))}
    return FittedDecoder(read_bundle(folder), controls, lambda: figures)
