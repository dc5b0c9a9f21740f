"""Released checkpoints read as data: nothing in them is run.

A torch checkpoint is a zip archive of one pickle and of raw storages. Tensors stay references into
the archive until they are read, so the optimiser's state, twice as large as the model, never is.
"""

import contextlib
import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any, ClassVar

import numpy as np
import torch

from rtbrain.errors import CheckpointError

# Released ones have 0.1 MB; a byte of a pickle may become 72, of a list of members 13.
_MAX_BYTES = 2**20
_MAX_COPIED = 100_000
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22
# Storage class to the dtype of its numbers.
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
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
    struct.error,
)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in the archive."""

    storage: str
    dtype: torch.dtype
    n_stored: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Mapping(dict[Any, Any]):
    """For OrderedDict and defaultdict: a dict that ignores attributes set on it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Drop what OrderedDict would take as attributes (`_metadata` of a state dict)."""


class _FactoryMapping(_Mapping):
    """For defaultdict: drops the factory."""

    __slots__ = ()

    def __init__(self, *factory: object) -> None:
        super().__init__()


class PickleStub:
    """For every class of OmegaConf: holds its state, does nothing."""

    __slots__ = ("state",)

    state: object

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Rebuild:
    """For torch's function that makes a tensor of a storage."""

    __slots__ = ()

    def __call__(
        self, storage: object, offset: object, shape: object, stride: object, *_: object
    ) -> StoredTensor:
        if not isinstance(storage, tuple) or len(storage) != 3:
            raise pickle.UnpicklingError("a tensor without a storage")
        key, dtype, n_stored = storage
        return StoredTensor(key, dtype, n_stored, _count(offset), _counts(shape), _counts(stride))


class _Parameter:
    """For torch's function that wraps a tensor as a parameter."""

    __slots__ = ()

    def __call__(self, tensor: object, *_: object) -> StoredTensor:
        if not isinstance(tensor, StoredTensor):
            raise pickle.UnpicklingError("a parameter without a tensor")
        return tensor


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise pickle.UnpicklingError(f"expected a count, got {short_repr(value)}")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        raise pickle.UnpicklingError(f"expected a shape, got {type(value).__name__}")
    return tuple(_count(item) for item in value)


# Every name that a pickle may hold, and what replaces it.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Mapping,
    ("collections", "defaultdict"): _FactoryMapping,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    ("torch", "Size"): tuple,
    ("omegaconf.dictconfig", "DictConfig"): PickleStub,
    ("omegaconf.listconfig", "ListConfig"): PickleStub,
    ("omegaconf.base", "ContainerMetadata"): PickleStub,
    ("omegaconf.base", "Metadata"): PickleStub,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("typing", name): f"typing.{name}" for name in ("Any", "Union", "Optional")},
    **{
        ("omegaconf.nodes", f"{name}Node"): PickleStub
        for name in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum")
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (dict, list, tuple, set)
    },
    # As names of element types in OmegaConf's metadata; never called.
    **{
        (module, name): name
        for module in ("builtins", "__builtin__")
        for name in ("int", "float", "str", "bool", "bytes")
    },
}


_Unpickler: Any = pickle._Unpickler  # type: ignore[attr-defined, unused-ignore]


class CheckpointUnpickler(_Unpickler):  # type: ignore[misc]
    """Unpickler that knows the allowed names and no other.

    It is the one in Python, for the one in C makes a list as long as the highest number in the
    pickle, and hashes a key however many parts it has.
    """

    _n_copied = 0

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Stand-in for an allowed global; any other is refused."""
        if (module_name, global_name) not in _ALLOWED:
            raise CheckpointError(
                f"checkpoint wants to run {module_name}.{global_name}, which is not part of a "
                f"released checkpoint: nothing was run; do not trust this file"
            )
        found = _ALLOWED[module_name, global_name]
        return self._maker(found) if found in _CONTAINERS else found

    def _maker(self, kind: Callable[..., Any]) -> Callable[..., Any]:
        """Make a container of others, which would take little to say and much to hold."""

        def make(*parts: Any) -> Any:
            self._n_copied += sum(len(part) for part in parts if hasattr(part, "__len__"))
            if self._n_copied > _MAX_COPIED:
                raise pickle.UnpicklingError("it copies its lists again and again")
            if kind in (dict, set, _Mapping) and parts:
                _require_plain([item[0] if kind is not set else item for item in parts[0]])
            return kind(*parts)

        return make

    def _load_setitem(self) -> None:
        _require_plain(self.stack[-2:-1])
        super().load_setitem()

    def _load_setitems(self) -> None:
        _require_plain(self.stack[::2])
        super().load_setitems()

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("an operation that no torch checkpoint holds")

    dispatch: ClassVar = {
        **_Unpickler.dispatch,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        **dict.fromkeys(
            pickle.DUP + pickle.EMPTY_SET + pickle.FROZENSET + pickle.ADDITEMS, _refuse
        ),
    }

    def persistent_load(self, pid: Any) -> tuple[str, torch.dtype, int]:
        """Reference to a storage: its key, dtype and length."""
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, str(), n_stored):
                return key, dtype, _count(n_stored)
        raise pickle.UnpicklingError("a storage reference of unknown form")


# A class among these would be called once for each copy.
_CONTAINERS = (dict, list, tuple, set, _Mapping, _FactoryMapping)


def _require_plain(keys: Sequence[object]) -> None:
    """Refuse other keys: the hash of a tuple of tuples of tuples may take for ever."""
    if not all(isinstance(key, str | int | float | bool | None) for key in keys):
        raise pickle.UnpicklingError("a key that is no text and no number")


class CheckpointArchive:
    """A checkpoint file, open for reading."""

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
                stream.seek(max(0, self.file.stat().st_size - 2**16 - _ZIP_END_BYTES))
                end = stream.read()
            at = end.rfind(_ZIP_END)
            if at >= 0 and int.from_bytes(end[at + 12 : at + 16], "little") > _MAX_BYTES:
                raise CheckpointError(f"{self.file}: it claims more members than a checkpoint has")
            return zipfile.ZipFile(self.file)
        except OSError as error:
            raise CheckpointError(f"{self.file}: cannot be read: {error.strerror}") from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            why = "is not a torch zip checkpoint: save it again with torch 1.6 or newer"
            if begins_as_zip:
                why = "is truncated: fetch it again"
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
            if self._zip.getinfo(pickles[0]).file_size > _MAX_BYTES:
                raise CheckpointError(f"its pickle is longer than {_MAX_BYTES} bytes")
            content = CheckpointUnpickler(io.BytesIO(self._zip.read(pickles[0]))).load()
        except CheckpointError as error:
            raise CheckpointError(f"{self.file}: {error}") from error
        except (*_BROKEN, OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.file}: its pickle is broken ({type(error).__name__}: {error!s:.80})"
            ) from error
        if not isinstance(content, dict):
            got = type(content).__name__
            raise CheckpointError(f"{self.file}: expected a dict with 'model', got {got}")
        return prefix, content

    def _member(self, name: str, prefix: str) -> bytes:
        try:
            return self._zip.read(prefix + name)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            what = f"{name} inside it is missing or damaged"
            raise CheckpointError(f"{self.file}: {what}: fetch it again") from error

    def config(self, name: str) -> dict[str, Any]:
        """Plain values of an OmegaConf mapping (or a dict) at the top of the checkpoint."""
        node = self.content.get(name)
        if isinstance(node, PickleStub):
            node = _field(node, "_content")
        if not isinstance(node, dict):
            raise CheckpointError(f"{self.file}: expected settings under '{name}', found none")
        return {
            key: _field(value, "_val") if isinstance(value, PickleStub) else value
            for key, value in node.items()
            if isinstance(key, str)
        }

    def read(self, name: str, tensor: StoredTensor) -> torch.Tensor:
        """Float32 copy of a tensor."""
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
        """Close the file."""
        self._zip.close()


def _field(node: PickleStub, name: str) -> object:
    state = getattr(node, "state", None)
    return state.get(name) if isinstance(state, dict) else None
