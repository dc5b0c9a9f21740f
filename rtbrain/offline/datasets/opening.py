"""Opens whatever holds a recording: files, folders, published layouts, synthetic patients."""

from pathlib import Path

from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.stream.recording import Recording, read_recording

__all__ = ["open_dataset"]

SYNTHETIC = "synthetic:"


def open_dataset(
    source: str | Path, *, sfreq_hz: float | None = None, stream: str | None = None
) -> Recording:
    """Open a recording; its samples are read when they are asked for.

    Parameters
    ----------
    source : str or Path
        What `read_recording` opens (BrainVision, EDF, BDF, FIF, XDF, .npy, a BIDS-iEEG folder);
        a trial of the Brain Treebank (``sub_S_trialTTT.h5`` in its folders); an NWB file; or a
        synthetic patient, ``synthetic:SEED`` or ``synthetic:SEED,duration_s=600,difficulty=easy``.
    sfreq_hz : float, optional
        Sampling rate in Hz of what does not hold it: an .npy array, a synthetic patient.
    stream : str, optional
        Name or source id of the stream to take from an XDF file, or name of the
        ``ElectricalSeries`` of an NWB file, where there are several.

    Raises
    ------
    RecordingError
        The recording is absent, foreign, broken, empty, or one of several that could be meant;
        or it needs a library that is not installed.
    SettingsError
        `sfreq_hz` is absent where it is needed, or given where the file holds it; `stream` is
        given for what has no streams; a synthetic patient that cannot be.
    """
    if str(source).startswith(SYNTHETIC):
        from rtbrain.offline.datasets.synthetic import open_synthetic

        _refuse(str(source), None, stream)
        return open_synthetic(str(source).removeprefix(SYNTHETIC), sfreq_hz)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in {".h5", ".hdf5", ".nwb"}:
        return read_recording(path, sfreq_hz=sfreq_hz, stream=stream)
    if not path.is_file():
        raise RecordingError(f"no file {path}: check the path")
    try:
        if suffix == ".nwb":
            from rtbrain.offline.datasets.nwb import open_nwb

            _refuse(path.name, sfreq_hz, None)
            return open_nwb(path, stream)
        from rtbrain.offline.datasets.braintreebank import open_trial

        _refuse(path.name, sfreq_hz, stream)
        return open_trial(path).recording
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error


def _refuse(name: str, sfreq_hz: float | None, stream: str | None) -> None:
    if sfreq_hz is not None:
        raise SettingsError(f"{name} holds its own sampling rate: leave --sfreq out")
    if stream is not None:
        raise SettingsError(f"{name} has no streams to choose from: leave --stream out")
