"""The labelled windows of one subject in a corpus, their features and the dimensions of these.

Legend: N windows, C channels, T frames, F freqs, D features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from rtbrain.encoder import ChannelEncoder
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.fit.labels import Labelled, require_classes, states_from_markers
from rtbrain.learn.fit.splits import subsample
from rtbrain.types import Floats, Ints, Mask

_MAX_WINDOWS = 4000
_ITEMS = 256  # spectrograms of channels in one call of an encoder
_BIN_S = 0.25
RAW = "raw input"
_SHARE = 0.95  # of the variance, that principal components hold
_MAX_OF_CONTACT, _MIN_OF_CONTACT = 500, 50  # windows; with fewer, the count means nothing
_SPECTRUM = 40  # frequencies from 0 on: in bins of 0.25 s to 156 Hz


@dataclass(frozen=True, slots=True, eq=False)
class SubjectWindows:
    """Labelled windows of one subject, a session after the other."""

    subject: str
    sessions: tuple[CorpusSession, ...]
    session_of: Ints  # int64 [n_windows]
    windows: Ints  # int64 [n_windows]
    labelled: Labelled
    targets_at: dict[float, Ints]  # dict of float to ndarray, int64 [n_windows]

    def described_at(self, neural_delay_s: float) -> "SubjectWindows":
        """The same windows with the classes at another of the labelled moments."""
        targets = self.targets_at[neural_delay_s]
        return replace(self, labelled=replace(self.labelled, targets=targets))

    @property
    def good(self) -> Mask:
        """Good channels, bool [n_windows, n_channels]."""
        return np.stack(
            [
                self.sessions[session].good[window]
                for session, window in zip(self.session_of, self.windows, strict=True)
            ]
        )

    def read(self, rows: Ints) -> Floats:
        """Spectrograms, float32 [n_rows, n_channels, n_frames, n_freqs]; zeros where not good."""
        parts = []
        for session, window in zip(self.session_of[rows], self.windows[rows], strict=True):
            item = self.sessions[session].window(window)
            item[~self.sessions[session].good[window]] = 0
            parts.append(item)
        return np.stack(parts)


def subject_windows(
    sessions: Sequence[CorpusSession], classes: Sequence[str], *, neural_delays_s: Sequence[float]
) -> SubjectWindows:
    """Label the windows of a subject with the states that its markers began.

    The state of a window is that at the moment which its embedding describes, as in fitting. Where
    embeddings describe several moments, each is labelled at its own. Windows in which the state
    changes between them stay: without them, the encoder that describes the later moment would be
    spared its hardest windows.
    """
    first = sessions[0]
    for session in sessions[1:]:
        if session.montage.names != first.montage.names:
            raise SettingsError(
                f"subject {first.subject}: sessions {first.session or 1} and "
                f"{session.session or 'another'} have other channels, and one readout reads "
                "all sessions: probe subjects of one montage"
            )
    parts = []
    for session in sessions:
        try:
            parts.append(_labelled(session, classes, neural_delays_s))
        except SettingsError as error:
            raise SettingsError(f"subject {session.subject}: {error}") from error
    session_of = np.repeat(np.arange(len(parts)), [rows.size for rows, _ in parts])
    kept = subsample(np.arange(session_of.size), _MAX_WINDOWS)
    windows = np.concatenate([rows for rows, _ in parts])[kept]
    targets = np.concatenate([targets for _, targets in parts], axis=1)[:, kept]
    t_s = np.concatenate(
        [session.t_stop[rows] for session, (rows, _) in zip(sessions, parts, strict=True)]
    )[kept]
    session_of = session_of[kept]
    recordings = [str(number) for number in session_of]
    labelled = Labelled(np.arange(kept.size), targets[0], tuple(classes), t_s, recordings)
    targets_at = dict(zip(neural_delays_s, targets, strict=True))
    return SubjectWindows(first.subject, tuple(sessions), session_of, windows, labelled, targets_at)


def _labelled(
    session: CorpusSession, classes: Sequence[str], neural_delays_s: Sequence[float]
) -> tuple[Ints, Ints]:
    """Windows with a state at all moments, and the states [n_moments, n_windows]."""
    states = np.full((len(neural_delays_s), session.t_stop.size), -1, np.int64)
    for state, delay_s in zip(states, neural_delays_s, strict=True):
        found = states_from_markers(session.t_stop, session.events, classes, lag_s=delay_s)
        state[found.rows] = found.targets
    rows = np.flatnonzero((states >= 0).all(axis=0))
    for state in states:
        require_classes(Labelled(rows, state[rows], tuple(classes), session.t_stop[rows]))
    return rows, states[:, rows]


def embedded(
    windows: SubjectWindows,
    encoders: Mapping[str, ChannelEncoder],
    plain: Mapping[str, Callable[[Floats], Floats]],
    *,
    pool: str,
    n_pooled: int,
    device: torch.device,
    on_window: Callable[[int], None] = lambda n_windows: None,
) -> dict[str, Floats]:
    """Channel embeddings by encoder, and other features, in one pass over the corpus."""
    good = windows.good
    found: dict[str, list[Floats]] = {name: [] for name in (*encoders, *plain)}
    n_windows, n_channels = good.shape
    length = max(1, _ITEMS // n_channels)
    for rows in np.array_split(np.arange(n_windows), range(length, n_windows, length)):
        items = windows.read(rows)  # [N, C, T, F]
        N, C, T, F = items.shape
        parts = {name: read(items) for name, read in plain.items()}
        flat = torch.from_numpy(items.reshape(N * C, T, F)).to(device)
        for name, encoder in encoders.items():
            with torch.inference_mode():
                vectors = encoder.embed(flat, pool, n_pooled).float().cpu().numpy()  # [N*C, D]
            parts[name] = vectors.reshape(N, C, -1)
        for name, part in parts.items():
            part[~good[rows]] = 0
            found[name].append(part)
        on_window(rows.size)
    return {name: np.concatenate(several) for name, several in found.items()}


def filled(channels: Floats, good: Mask) -> Floats:
    """All channels in a row; one that is not good gets its mean over the other windows.

    The mean favours no class, while zeros would show the readout which windows were masked.
    """
    if not good.all():
        counts = np.maximum(good.sum(axis=0), 1)[:, np.newaxis]
        means = channels.sum(axis=0, where=good[..., np.newaxis], dtype=np.float64) / counts
        channels = np.where(good[..., np.newaxis], channels, means.astype(np.float32))
    return channels.reshape(channels.shape[0], -1)


def mean_frame(items: Floats, pool: str, n_pooled: int) -> Floats:
    """Mean of the frames that an encoder pools, as the linear mode reads it live."""
    n_frames = items.shape[2]
    start = n_frames // 2 - n_pooled // 2 if pool == "centre" else n_frames - n_pooled
    mean: Floats = items[:, :, start : start + n_pooled].mean(axis=2, dtype=np.float32)
    return mean


def binned_frames(items: Floats, length_s: float) -> Floats:
    """Means of all frames over bins of about 0.25 s, in the order of time."""
    parts = np.array_split(items, _n_bins(length_s, items.shape[2]), axis=2)
    means = np.stack([part.mean(axis=2, dtype=np.float32) for part in parts], axis=2)
    return means.reshape(*items.shape[:2], -1)


def binned_spectra(items: Floats, length_s: float) -> Floats:
    """Magnitude of the Fourier transform of the whole window, in bins of about 0.25 s.

    Patches follow each other without a gap, so together they are the signal. A remainder at its
    beginning, less than a bin, is left out.
    """
    N, C, T, F = items.shape
    n_bins = _n_bins(length_s, T * F // 2)
    length_samples = T * F // n_bins
    signal = items.reshape(N, C, T * F)[:, :, -n_bins * length_samples :]
    spectra = np.abs(np.fft.rfft(signal.reshape(N, C, n_bins, length_samples)))
    return spectra[..., :_SPECTRUM].astype(np.float32).reshape(N, C, -1)


def _n_bins(length_s: float, n_max: int) -> int:
    return max(1, min(round(length_s / _BIN_S), n_max))


def intrinsic_dimension(vectors: Floats) -> int:
    """Principal components that hold 95 % of the variance; 0 where there is none."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances = np.square(np.linalg.svd(centred, compute_uv=False))
    if not variances.sum() > 0:
        return 0
    explained = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(explained, _SHARE - 1e-12)) + 1


def contact_dimensions(
    session: CorpusSession,
    encoders: Mapping[str, nn.Module],
    *,
    device: torch.device,
    on_contact: Callable[[], None] = lambda: None,
) -> dict[str, Ints]:
    """Components to 95 % of the variance at every contact, of each encoder and of the input.

    Of each of the contact's first 500 windows, the hidden states are averaged over all frames;
    the control averages the frames themselves.

    References
    ----------
    Wang et al. 2023, BrainBERT, arXiv:2302.14367.
    """
    counts: dict[str, list[int]] = {name: [] for name in (*encoders, RAW)}
    for channel in range(session.montage.n_channels):
        windows = np.flatnonzero(session.good[:, channel])[:_MAX_OF_CONTACT]
        if windows.size >= _MIN_OF_CONTACT:
            for name, vectors in _means(session, windows, channel, encoders, device).items():
                counts[name].append(intrinsic_dimension(vectors))
        on_contact()
    return {name: np.array(found, np.int64) for name, found in counts.items()}


def _means(
    session: CorpusSession,
    windows: Ints,
    channel: int,
    encoders: Mapping[str, nn.Module],
    device: torch.device,
) -> dict[str, Floats]:
    """Means over all frames, float32 [n_windows, n_features], of each encoder and the input."""
    parts: dict[str, list[Floats]] = {name: [] for name in (*encoders, RAW)}
    for rows in np.array_split(windows, range(_ITEMS, windows.size, _ITEMS)):
        items = session.read(rows, np.full(rows.size, channel))  # [N, T, F]
        parts[RAW].append(items.mean(axis=1, dtype=np.float32))
        frames = torch.from_numpy(items).to(device)
        for name, encoder in encoders.items():
            with torch.inference_mode():
                parts[name].append(encoder(frames).mean(dim=1).float().cpu().numpy())
    return {name: np.concatenate(found) for name, found in parts.items()}
