"""The decoder's side of `rtbrain decode --restart`: it waits for its turn, and knows what was."""

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbrain.bundling import load_libraries
from rtbrain.decoder import read_bundle
from rtbrain.errors import RtbrainError
from rtbrain.processes import at_low_priority
from rtbrain.stream.lsl.resolve import StreamWatcher

_AT_ONCE_S = 0.3
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """What a decoder knows of those before it."""

    restarts: int = 0  # how many there were
    reason: str = ""  # how the last one ended
    elapsed_s: float = 0.0  # since the first began
    terminal: bool = False  # whether a person is there
    recording: str | None = None  # name of the file that is recorded into
    supervised: bool = False
    watcher: StreamWatcher = field(default_factory=StreamWatcher)  # of the streams that are there
    words: "queue.Queue[bytes]" = field(default_factory=queue.Queue)  # of the supervisor

    def sign(self, word: bytes) -> None:
        """Give the supervisor a sign: `FOUND` its stream, then `ALIVE` while it decodes."""
        if self.supervised:
            with contextlib.suppress(OSError):  # a supervisor that hangs is not waited for
                os.write(sys.stdout.fileno(), word)

    def news(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events that the supervisor reports, and their fields."""
        while not self.words.empty():
            for line in self.words.get().splitlines():
                fields = json.loads(line)
                yield fields.pop("event"), fields


def await_turn(bundle: Path) -> Turn | None:
    """Wait for the supervisor's word, with all libraries loaded; None where it has gone."""
    words: queue.Queue[bytes] = queue.Queue()
    pipe = os.dup(sys.stdin.fileno())  # the terminal may take its place
    if os.name == "posix":
        os.set_blocking(sys.stdout.fileno(), False)
    watcher = StreamWatcher()
    threading.Thread(target=_listen, args=(words, pipe), name="rtbrain-turn", daemon=True).start()
    word = _next(words, _AT_ONCE_S)
    if word is None:
        at_low_priority(lambda: _load(bundle))
    while word is None:
        watcher.look()
        word = _next(words, _LOOK_EVERY_S)
    if not word:
        return None
    word, _, rest = word.partition(b"\n")
    words.put(rest)
    turn = Turn(**json.loads(word), supervised=True, watcher=watcher, words=words)
    if turn.terminal:
        with contextlib.suppress(OSError):  # for the keys that arm and disarm
            os.dup2(os.open("/dev/tty", os.O_RDWR), sys.stdin.fileno())
    return turn


def _load(bundle: Path) -> None:
    with contextlib.suppress(RtbrainError):  # of a bundle that is being replaced
        load_libraries(read_bundle(bundle))


def _listen(words: queue.Queue[bytes], pipe: int) -> None:
    # Not by sys.stdin, whose lock would be held when the interpreter ends.
    word = b"-"
    while word:
        word = os.read(pipe, 1 << 16)
        words.put(word)
    os.close(pipe)


def _next(words: queue.Queue[bytes], within_s: float) -> bytes | None:
    try:
        return words.get(timeout=within_s)
    except queue.Empty:
        return None
