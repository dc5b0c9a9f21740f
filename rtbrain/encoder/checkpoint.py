"""Released checkpoints read as data: nothing in them is run.

A torch checkpoint is a zip archive of one pickle and of raw storages. Tensors stay references into
the archive until they are asked for, so the optimiser's state, twice as large as the model, is
never read.
"""

import contextlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtbrain.encoder.inert import Inert, Reader, StoredTensor
from rtbrain.errors import CheckpointError

__all__ = ["Archive"]

# What reading a broken or hostile pickle raises: pickle's documentation names some of these and
# calls the list incomplete; the others come from malformed arguments to the stand-ins.
_BROKEN = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class Archive:
    """A checkpoint file, open for reading.

    Parameters
    ----------
    file : Path
        What `torch.save` of 1.6 or newer wrote.

    Raises
    ------
    CheckpointError
        It is not such a file, is truncated, or names anything outside the list.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with contextlib.ExitStack() as closing:
            self._zip = closing.enter_context(self._open())
            self._prefix, self.content = self._read()
            closing.pop_all()

    def _open(self) -> zipfile.ZipFile:
        try:
            with self.file.open("rb") as stream:
                begins_as_zip = stream.read(4) == b"PK\x03\x04"
            return zipfile.ZipFile(self.file)
        except OSError as error:
            raise CheckpointError(f"{self.file}: cannot be read: {error.strerror}") from error
        except zipfile.BadZipFile as error:
            why = (
                "is truncated: fetch it again"
                if begins_as_zip
                else "is not a torch zip checkpoint: save it again with torch 1.6 or newer"
            )
            raise CheckpointError(f"{self.file}: {why}") from error

    def _read(self) -> tuple[str, Mapping[Any, Any]]:
        members = self._zip.infolist()
        pickles = [item.filename for item in members if item.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"{self.file}: expected one data.pkl inside, got {len(pickles)}: "
                f"this is not a torch checkpoint"
            )
        # torch never compresses; a member larger than the file would be a bomb.
        packed = [item.filename for item in members if item.compress_type != zipfile.ZIP_STORED]
        if packed or sum(item.file_size for item in members) > self.file.stat().st_size:
            raise CheckpointError(f"{self.file}: its members claim more bytes than the file has")
        prefix = pickles[0].removesuffix("data.pkl")
        if f"{prefix}byteorder" in self._zip.namelist():
            order = self._member("byteorder", prefix)
            if order != b"little":
                raise CheckpointError(f"{self.file}: expected little-endian numbers, got {order!r}")
        try:
            with self._zip.open(pickles[0]) as stream:
                content = Reader(stream).load()
        except CheckpointError as error:
            raise CheckpointError(f"{self.file}: {error}") from error
        except (*_BROKEN, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.file}: its pickle is broken ({type(error).__name__}: {error!s:.80})"
            ) from error
        if not isinstance(content, dict):
            raise CheckpointError(
                f"{self.file}: expected a dict with 'model', got {type(content).__name__}"
            )
        return prefix, content

    def _member(self, name: str, prefix: str) -> bytes:
        try:
            return self._zip.read(prefix + name)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise CheckpointError(
                f"{self.file}: {name} inside it is missing or damaged: fetch it again"
            ) from error

    def config(self, name: str) -> dict[str, Any]:
        """Plain values of an OmegaConf mapping (or a dict) at the top of the checkpoint.

        Raises
        ------
        CheckpointError
            There is none of that name.
        """
        node = self.content.get(name)
        if isinstance(node, Inert):
            node = _field(node, "_content")
        if not isinstance(node, dict):
            raise CheckpointError(f"{self.file}: expected settings under '{name}', found none")
        return {
            str(key): _field(value, "_val") if isinstance(value, Inert) else value
            for key, value in node.items()
        }

    def read(self, name: str, tensor: StoredTensor) -> torch.Tensor:
        """Float32 copy of a tensor.

        Raises
        ------
        CheckpointError
            It reaches outside its storage, or the storage is not what it claims.
        """
        where = f"{self.file}: tensor {name}"
        if not tensor.dtype.is_floating_point:
            raise CheckpointError(f"{where}: expected floating point, got {tensor.dtype}")
        n_items = int(np.prod(tensor.shape, dtype=object))
        reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=False))
        if (
            len(tensor.shape) != len(tensor.stride)
            or not 0 < n_items <= tensor.n_stored
            or tensor.offset + reach >= tensor.n_stored
        ):
            raise CheckpointError(
                f"{where}: shape {tensor.shape} reaches outside its {tensor.n_stored} numbers"
            )
        data = self._member(f"data/{tensor.storage}", self._prefix)
        expected = tensor.n_stored * tensor.dtype.itemsize
        if len(data) != expected:
            raise CheckpointError(f"{where}: expected {expected} bytes, the file has {len(data)}")
        numbers = torch.frombuffer(bytearray(data), dtype=tensor.dtype)
        view = numbers.as_strided(tensor.shape, tensor.stride, tensor.offset)
        return view.to(torch.float32).contiguous()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()


def _field(node: Inert, name: str) -> object:
    state = getattr(node, "state", None)
    return state.get(name) if isinstance(state, dict) else None
