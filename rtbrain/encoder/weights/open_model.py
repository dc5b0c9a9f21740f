"""Whom an encoder learned from, as the report of its training says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtbrain.encoder import BrainBERT, EncoderModel, PopT, StreamingBERT, load_encoder
from rtbrain.errors import CheckpointError, SettingsError


def training_provenance(folder: Path) -> dict[str, Any] | None:
    """What the report beside an encoder tells of its corpus; None where there is no report.

    Parameters
    ----------
    folder : Path
        Of the encoder.

    Returns
    -------
    dict
        ``learned`` holds the labels of the subjects.

    Raises
    ------
    SettingsError
        The report does not tell.
    """
    path = folder / "report.json"
    if not path.is_file():
        return None
    try:
        corpus: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["corpus"]
        told = isinstance(corpus["learned"], list)
    except (ValueError, KeyError, TypeError):
        told = False
    if not told:
        raise SettingsError(
            f"{path}: does not tell on which subjects the encoder was trained: train it again"
        )
    return corpus


def require_unseen(
    subjects: Sequence[str], learned: Sequence[str] | None, flag: str, who: str
) -> None:
    """Refuse subjects that an encoder was trained on, where these are known.

    Parameters
    ----------
    subjects : sequence of str
        To validate or to test on.
    learned : sequence of str or None
        Subjects that the encoder was trained on; None where that is not known.
    flag, who : str
        Setting that names the subjects, and the encoder, for the message.

    Raises
    ------
    SettingsError
        One of them is among those.
    """
    known = [subject for subject in subjects if subject in (learned or ())]
    if known:
        raise SettingsError(
            f"{flag} {','.join(known)}: {who} was trained on them: name subjects that it was not "
            "trained on"
        )


def open_model(
    encoder: Path, popt: Path | None, pool: str, n_pooled: int = 10, *, form: str = "published"
) -> EncoderModel:
    """Encoders of folders, joined.

    Parameters
    ----------
    encoder, popt : Path
        Of a channel encoder, and of a Population Transformer where there is to be one.
    pool, n_pooled
        As in `rtbrain.encoder.EncoderModel`.
    form : str
        What the encoder is to read, as in a recipe: ``patches``, or a form of spectrogram.

    Raises
    ------
    CheckpointError
        A folder holds the other kind, the two do not fit, or the encoder reads another form.
    """
    channel = load_encoder(encoder)
    name = type(channel).__name__
    if isinstance(channel, PopT):
        raise CheckpointError(f"encoder {encoder}: expected one of a channel, found a PopT")
    if isinstance(channel, StreamingBERT):
        reads, fits = "running spectrograms", form == "running"
    elif isinstance(channel, BrainBERT):
        reads, fits = "spectrograms", form != "patches"
    else:
        reads, fits = "patches", form == "patches"
    if not fits:
        raise CheckpointError(
            f"encoder {encoder}: a {name} reads {reads}, and would get spectrogram.form {form}: "
            f"fit it with a recipe of {reads}, or name another encoder"
        )
    if popt is None:
        return EncoderModel(channel, None, pool, n_pooled)
    population = load_encoder(popt)
    if not isinstance(population, PopT):
        raise CheckpointError(
            f"--popt {popt}: expected a PopT, found a {type(population).__name__}"
        )
    return EncoderModel(channel, population, pool, n_pooled)
