"""Optional packages: loaded when needed, else one line that says how to install them."""

import importlib
from typing import Any

from rtbrain.errors import RtbrainError


def load_extra(module: str, extra: str, purpose: str) -> Any:
    """Import an optional package.

    Parameters
    ----------
    module : str
        Name of the module, as ``h5py``.
    extra : str
        Extra of rtbrain that installs it, as ``datasets``.
    purpose : str
        What needs it, as the start of a sentence: ``a trial of the Brain Treebank``.

    Raises
    ------
    RtbrainError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise RtbrainError(
            f"{purpose} needs {module.split('.')[0]}: pip install 'rtbrain[{extra}]'"
        ) from error
