"""Let mne-realtime's LSL client run beside pylsl 1.18; needed until mne-realtime > 0.3."""

import pylsl
import pylsl.lib

__all__ = ["patch_pylsl_for_mne_realtime"]


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
