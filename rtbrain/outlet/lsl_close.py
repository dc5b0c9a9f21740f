"""End an LSL outlet without liblsl's crash.

liblsl up to 1.18.0 frees an outlet's memory of samples while the threads that feed its listeners
may still give samples back, and the process dies of it: 3 times in 2400 closes with listeners
connected and samples on their way (upstream: sccn/liblsl issue 218). So the listeners
are hung up on first, and the outlet is destroyed when their threads have ended; needed until
liblsl joins those threads itself.
"""

import os
import re
import socket
import time
from pathlib import Path
from typing import Any

__all__ = ["close_outlet"]

# What was pushed last gets this long to leave; listeners that read are done in milliseconds.
_DRAIN_S = 0.05
_HUNG_UP_S = 0.5
_SETTLE_S = 0.01
_POLL_S = 0.002
# Where Linux and macOS list the open files; elsewhere only the wait helps.
_OPEN_FILES = (Path("/proc/self/fd"), Path("/dev/fd"))


def close_outlet(outlet: Any) -> None:
    """Let the last samples leave, hang up on the listeners and wait until they are gone.

    Takes under 0.6 s whatever the listeners do. The caller then drops the outlet.

    Parameters
    ----------
    outlet : pylsl.StreamOutlet or None
        None is closed already.
    """
    if outlet is None or not outlet.have_consumers():
        return
    time.sleep(_DRAIN_S)
    _hang_up(outlet)
    end = time.monotonic() + _HUNG_UP_S
    while outlet.have_consumers() and time.monotonic() < end:
        time.sleep(_POLL_S)
    # A listener is signed off just before its samples are given back.
    time.sleep(_SETTLE_S)


def _hang_up(outlet: Any) -> None:
    """Shut the connections of the outlet's data ports."""
    header = outlet.get_info().as_xml()
    ports = {int(port) for port in re.findall(r"<v[46]data_port>(\d+)<", header)} - {0}
    listing = next((path for path in _OPEN_FILES if path.is_dir()), None)
    for name in os.listdir(listing) if listing else ():
        try:
            connection = socket.socket(fileno=int(name))
        except OSError:
            continue  # no socket, or closed meanwhile
        try:
            if _serves(connection, ports):
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # it listens, or the other end has gone
        finally:
            # The file is liblsl's: only it may close it.
            connection.detach()


def _serves(connection: socket.socket, ports: set[int]) -> bool:
    if connection.type != socket.SOCK_STREAM or connection.family == socket.AF_UNIX:
        return False
    return connection.getsockname()[1] in ports and bool(connection.getpeername())
