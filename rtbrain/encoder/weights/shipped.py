"""Trained encoders by name: those that ship in the package, or a folder of one's own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rtbrain.encoder.models.biofame import BioFAME
from rtbrain.encoder.models.brainbert import BrainBERT
from rtbrain.encoder.models.model import ChannelEncoder
from rtbrain.encoder.models.neurobert import NeuroBERT
from rtbrain.encoder.models.popt import PopT
from rtbrain.encoder.models.streaming import StreamingBERT
from rtbrain.encoder.weights.folder import load_encoder
from rtbrain.errors import CheckpointError

SHIPPED = "compact"


"""Name of the encoders of whole windows that ship in the package."""


SHIPPED_STREAMING = "streaming"


"""Name of the streaming encoder that ships, and of the Population Transformer trained with it."""


_SHIPPED_FOLDERS = {
    SHIPPED: Path(__file__).with_name("shipped"),
    SHIPPED_STREAMING: Path(__file__).with_name("shipped_streaming"),
}


_WEIGHTS = "weights.safetensors"


_CHANNEL = {
    "brainbert": BrainBERT,
    "neurobert": NeuroBERT,
    "biofame": BioFAME,
    "streaming": StreamingBERT,
}


def trained_folders(weights: str) -> tuple[Path, Path | None]:
    """Folders of a trained channel encoder and of the Population Transformer that reads it.

    Parameters
    ----------
    weights : str
        ``"compact"``, ``"streaming"``, or a folder that holds ``brainbert/`` (or ``neurobert/``,
        ``biofame/`` or ``streaming/``) and, where there is one, ``popt/``, as
        `rtbrain.encoder.save_encoder` wrote them.

    Raises
    ------
    CheckpointError
        There is no such folder, or not one channel encoder in it.
    """
    folder = _SHIPPED_FOLDERS.get(weights, Path(weights))
    channel, popt = [folder / kind for kind in _CHANNEL], folder / "popt"
    there = [each for each in channel if each.is_dir()]
    if len(there) == 1:
        return there[0], popt if popt.is_dir() else None
    if weights in _SHIPPED_FOLDERS:
        raise CheckpointError(
            f"weights {weights}: this installation ships no such encoders: give a folder with "
            "brainbert/ (or streaming/) and popt/, or leave weights out for random ones"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"weights {weights}: no such folder: give {SHIPPED}, or a folder with brainbert/ and "
            "popt/ as rtbrain pretrain leaves them"
        )
    # A PopT alone is of no use: it reads the embeddings of the encoder it was trained with.
    found = ", ".join(sorted(part.name for part in folder.iterdir())[:6]) or "nothing"
    raise CheckpointError(
        f"weights {weights}: expected a folder brainbert/ in it, or neurobert/, biofame/ or "
        f"streaming/ (and popt/), found {found}: "
        "put what rtbrain pretrain left there under these names"
    )


def load_trained(weights: str) -> tuple[ChannelEncoder, PopT | None]:
    """Trained channel encoder, and the Population Transformer beside it where there is one.

    Parameters
    ----------
    weights : str
        As in `trained_folders`.

    Raises
    ------
    CheckpointError
        A folder is absent, broken, or holds the other kind.
    """
    first, second = trained_folders(weights)
    channel = load_encoder(first)
    expected = _CHANNEL[first.name]
    if isinstance(channel, PopT) or not isinstance(channel, expected):
        raise CheckpointError(
            f"{first}: expected a {expected.__name__}, found a {type(channel).__name__}"
        )
    if second is None:
        return channel, None
    popt = load_encoder(second)
    if not isinstance(popt, PopT):
        raise CheckpointError(f"{second}: expected a PopT, found a {type(popt).__name__}")
    return channel, popt


def weights_sha256(folders: Sequence[Path]) -> str:
    """SHA-256 over the weights of these folders, one file after the other.

    ``cat brainbert/weights.safetensors popt/weights.safetensors | sha256sum`` gives the same.

    Parameters
    ----------
    folders : sequence of Path
        As `rtbrain.encoder.save_encoder` wrote them.

    Raises
    ------
    CheckpointError
        A file cannot be read.
    """
    digest = hashlib.sha256()
    for folder in folders:
        try:
            digest.update((folder / _WEIGHTS).read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"{folder / _WEIGHTS}: cannot be read: {error.strerror}"
            ) from error
    return digest.hexdigest()
