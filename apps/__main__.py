"""The entry of the program: Ctrl-C ends it quietly, also while libraries load."""

import os
import signal
from importlib import import_module

_INTERRUPTED = 130  # as in rtbrain.processes, which is yet to load


def main() -> None:
    """Run `rtbrain`."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(_INTERRUPTED))
    processes = import_module("rtbrain.processes")
    processes.end_on_signals()
    try:
        import_module("rtbrain.apps.main").main()
    finally:
        processes.end_on_signals()  # a second Ctrl-C, as the interpreter tidies up


if __name__ == "__main__":
    main()
