"""Trained encoders by name or folder, joined to a model; and which subjects they learned from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtbrain.encoder.folder import WEIGHTS, load_encoder
from rtbrain.encoder.models.brainbert import BrainBERT
from rtbrain.encoder.models.model import CHANNEL_KINDS, ChannelEncoder, EncoderModel, encoder_kind
from rtbrain.encoder.models.popt import PopT
from rtbrain.encoder.models.streaming import StreamingBERT
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.files import parse_json

SHIPPED = "compact"
"""Name of the encoders of whole windows that ship in the package."""

SHIPPED_STREAMING = "streaming"
"""Name of the streaming encoder that ships, and of the Population Transformer trained with it."""

_SHIPPED_FOLDERS = {
    SHIPPED: Path(__file__).with_name("shipped"),
    SHIPPED_STREAMING: Path(__file__).with_name("shipped_streaming"),
}


def trained_folders(weights: str) -> tuple[Path, Path | None]:
    """Folders of a trained channel encoder and of the Population Transformer that reads it.

    `weights` is ``"compact"``, ``"streaming"``, or a folder that holds ``brainbert/`` (or
    ``neurobert/``, ``biofame/`` or ``streaming/``) and, where there is one, ``popt/``, as
    `save_encoder` wrote them. CheckpointError where there is none, or not one channel encoder.
    """
    folder = _SHIPPED_FOLDERS.get(weights, Path(weights))
    popt = folder / "popt"
    found = [folder / kind for kind in CHANNEL_KINDS if (folder / kind).is_dir()]
    if len(found) == 1:
        return found[0], popt if popt.is_dir() else None
    if weights in _SHIPPED_FOLDERS:
        raise CheckpointError(
            f"weights {weights}: this installation ships no such encoders: name a folder with "
            "brainbert/ (or streaming/) and popt/, or say weights: random"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"weights {weights}: no such folder: name {SHIPPED}, or a folder with brainbert/ and "
            "popt/ as rtbrain pretrain leaves them"
        )
    # A PopT alone is of no use: it reads the embeddings of the encoder it was trained with.
    content = ", ".join(sorted(part.name for part in folder.iterdir())[:6]) or "nothing"
    raise CheckpointError(
        f"weights {weights}: expected a folder brainbert/ in it, or neurobert/, biofame/ or "
        f"streaming/ (and popt/), found {content}: "
        "put what rtbrain pretrain left there under these names"
    )


def load_trained(weights: str) -> tuple[ChannelEncoder, PopT | None]:
    """Channel encoder, and the Population Transformer beside it, of `trained_folders`."""
    first, second = trained_folders(weights)
    channel = load_encoder(first)
    if isinstance(channel, PopT) or encoder_kind(channel.sizes) != first.name:
        raise CheckpointError(
            f"{first}: expected a {first.name}, found a {encoder_kind(channel.sizes)}"
        )
    return channel, None if second is None else _load_popt(second, str(second))


def _load_popt(folder: Path, where: str) -> PopT:
    popt = load_encoder(folder)
    if not isinstance(popt, PopT):
        raise CheckpointError(f"{where}: expected a PopT, found a {type(popt).__name__}")
    return popt


def open_model(
    encoder: Path, popt: Path | None, pool: str, n_pooled: int = 10, *, form: str = "published"
) -> EncoderModel:
    """Encoders of folders, joined; `popt` may be None.

    `form` is what the encoder will read, as in a recipe: ``patches``, or a form of spectrogram.
    CheckpointError where a folder holds another kind, the two do not fit, or it reads another form.
    """
    channel = load_encoder(encoder)
    if isinstance(channel, PopT):
        raise CheckpointError(f"encoder {encoder}: expected a channel encoder, found a PopT")
    require_readable(channel, form, f"encoder {encoder}")
    population = None if popt is None else _load_popt(popt, f"--popt {popt}")
    return EncoderModel(channel, population, pool, n_pooled)


def require_readable(channel: ChannelEncoder, form: str, where: str) -> None:
    """Refuse (CheckpointError) an encoder that does not read a recipe's form of spectrogram."""
    name = type(channel).__name__
    if isinstance(channel, StreamingBERT):
        reads, fits = "running spectrograms", form == "running"
    elif isinstance(channel, BrainBERT):
        reads, fits = "spectrograms", form != "patches"
    else:
        reads, fits = "patches", form == "patches"
    if not fits:
        raise CheckpointError(
            f"{where}: a {name} reads {reads}, and would get spectrogram.form {form}: "
            f"fit it with a recipe of {reads}, or name another encoder"
        )


def weights_sha256(folders: Sequence[Path]) -> str:
    """SHA-256 over the weights of these folders, one file after the other, as of ``cat``."""
    digest = hashlib.sha256()
    for folder in folders:
        try:
            digest.update((folder / WEIGHTS).read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"{folder / WEIGHTS}: cannot be read: {error.strerror}"
            ) from error
    return digest.hexdigest()


def training_provenance(folder: Path) -> dict[str, Any] | None:
    """What an encoder's report says of its corpus (subjects: ``learned``), or None."""
    path = folder / "report.json"
    if not path.is_file():
        return None
    try:
        corpus: dict[str, Any] = parse_json(path.read_bytes())["corpus"]
        names_subjects = isinstance(corpus["learned"], list)
    except (ValueError, KeyError, TypeError):
        names_subjects = False
    if not names_subjects:
        raise SettingsError(
            f"{path}: does not say on which subjects the encoder was trained: train it again"
        )
    return corpus


def require_unseen(
    subjects: Sequence[str], learned: Sequence[str] | None, flag: str, who: str
) -> None:
    """Refuse `subjects` that an encoder was trained on; `learned` is None where unknown."""
    seen = [subject for subject in subjects if subject in (learned or ())]
    if seen:
        raise SettingsError(
            f"{flag} {','.join(seen)}: {who} was trained on them: name subjects that it was not "
            "trained on"
        )
