"""The pickle of a checkpoint walked as data: what each name in it stands for here.

A pickle may name any function of any installed package, and a plain load calls it. Here each
name is looked up in a short list, and each name of the list stands for an inert class of this
module: neither torch nor OmegaConf is called while the pickle is read.
"""

import pickle
from dataclasses import dataclass
from typing import Any

import torch

from rtbrain.errors import CheckpointError

__all__ = ["Inert", "Reader", "StoredTensor"]

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


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that lies in the archive.

    Attributes
    ----------
    storage : str
        Key of its storage.
    dtype : torch.dtype
        Type of its numbers.
    n_stored : int
        Numbers in the whole storage.
    offset : int
        Where it begins, in numbers.
    shape, stride : tuple of int
        Its view on the storage.
    """

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


class Inert:
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
        raise pickle.UnpicklingError(f"expected a count, got {value!r:.40}")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        raise pickle.UnpicklingError(f"expected a shape, got {type(value).__name__}")
    return tuple(_count(item) for item in value)


# Every name that may stand in the pickle, and what is made in its place.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Mapping,
    ("collections", "defaultdict"): _FactoryMapping,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    ("torch", "Size"): tuple,
    ("omegaconf.dictconfig", "DictConfig"): Inert,
    ("omegaconf.listconfig", "ListConfig"): Inert,
    ("omegaconf.base", "ContainerMetadata"): Inert,
    ("omegaconf.base", "Metadata"): Inert,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("typing", name): f"typing.{name}" for name in ("Any", "Union", "Optional")},
    **{
        ("omegaconf.nodes", f"{name}Node"): Inert
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


class Reader(pickle.Unpickler):
    """Unpickler that knows the names of the list, and no other."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Stand-in for a global, refused where it is not in the list."""
        if (module_name, global_name) not in _ALLOWED:
            raise CheckpointError(
                f"checkpoint wants to run {module_name}.{global_name}, which is not part of a "
                f"released checkpoint: nothing was run; do not trust this file"
            )
        return _ALLOWED[module_name, global_name]

    def persistent_load(self, pid: Any) -> tuple[str, torch.dtype, int]:
        """Reference to a storage: its key, dtype and length."""
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, str(), n_stored):
                return key, dtype, _count(n_stored)
        raise pickle.UnpicklingError("a storage reference of unknown form")
