"""The entry of the program: Ctrl-C ends it quietly, also while libraries load."""

import importlib

from rtbrain import processes


def main() -> None:
    """Run `rtbrain`."""
    processes.end_on_signals()
    try:
        importlib.import_module("rtbrain.apps.main").main()
    finally:
        processes.end_on_signals()  # a second Ctrl-C, as the interpreter tidies up


if __name__ == "__main__":
    main()
