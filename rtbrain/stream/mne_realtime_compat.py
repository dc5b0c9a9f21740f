"""Let mne-realtime's LSL client run beside pylsl 1.18; needed until mne-realtime > 0.3."""

import warnings
from typing import Any

import pylsl
import pylsl.lib

__all__ = ["import_mne_realtime", "patch_pylsl_for_mne_realtime"]


def import_mne_realtime() -> Any:
    """The module ``mne_realtime``, without its warning that it is not developed any more.

    Imported on call: who uses none of its clients does not need mne, nor the time to load it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "MNE-realtime is discontinued", FutureWarning)
        import mne_realtime
    return mne_realtime


def patch_pylsl_for_mne_realtime() -> None:
    """Give pylsl back its module ``pylsl.pylsl``, which 1.18 split into parts.

    mne-realtime 0.3 reads ``pylsl.pylsl.fmt2type``, which is now in ``pylsl.lib``; without it
    `mne_realtime.LSLClient` never connects. Call this before the client is started. Does nothing
    where the name exists.

    References
    ----------
    https://github.com/mne-tools/mne-realtime, ``lsl_client.py`` of version 0.3.0
    """
    if not hasattr(pylsl, "pylsl"):
        pylsl.pylsl = pylsl.lib
