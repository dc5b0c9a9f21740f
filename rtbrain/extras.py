"""Optional packages: loaded when needed, else one line that says how to install them."""

import importlib
from typing import Any

from rtbrain.errors import RtbrainError


def load_extra(module: str, extra: str, purpose: str) -> Any:
    """Import an optional package such as ``h5py``, which an extra of rtbrain installs.

    Raises an RtbrainError where it is not installed, beginning with the purpose: ``a trial of the
    Brain Treebank``.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise RtbrainError(
            f"{purpose} needs {module.split('.')[0]}: pip install 'rtbrain[{extra}]'"
        ) from error
