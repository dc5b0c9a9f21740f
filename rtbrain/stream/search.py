"""The one thread that finds, opens and drops streams: all that may block in liblsl."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from rtbrain.errors import RtbrainError, StreamError, StreamLostError
from rtbrain.stream.contract import Binding
from rtbrain.stream.ledger import Ledger
from rtbrain.stream.wanted import Candidate, Inlet, Wanted
from rtbrain.types import Chunk

__all__ = ["Connecting", "Failed", "Link", "News", "Opened", "Ready", "Refused", "Search"]

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A connected stream that the decoder can use.

    Attributes
    ----------
    candidate : Candidate
        What it was found as.
    inlet : Inlet
        Where its samples come from.
    binding : Binding
        Where its channels go.
    """

    candidate: Candidate
    inlet: Inlet
    binding: Binding


@dataclass(frozen=True, slots=True, eq=False)
class Connecting:
    """A stream was found and is being connected to."""

    candidate: Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """Its header fits; its data connection is not open yet."""

    link: Link


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Its data connection is open; `chunk` is what came with that, perhaps empty."""

    link: Link
    chunk: Chunk


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """It cannot be reached now, and will be tried again."""

    error: StreamError


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """It is not what the decoder needs, and will not be tried again."""

    error: RtbrainError


News = Connecting | Ready | Opened | Failed | Refused


class Search:
    """Does one thing at a time, in its own thread, and reports in `news`.

    The thread is a daemon: what hangs in liblsl holds up nobody's end. What it connected is
    closed by itself, unless it was given away in an `Opened` or a `Ready`.

    Parameters
    ----------
    wanted : Wanted
        The stream.
    bind : callable
        Binding of a connected candidate; raises StreamError where it does not fit.
    ledger : Ledger
        Numbers the samples of every connection; one connection at a time is open.

    Attributes
    ----------
    news : queue.SimpleQueue of News
        What happened, in order.
    """

    def __init__(
        self, wanted: Wanted, bind: Callable[[Candidate, Inlet], Binding], ledger: Ledger
    ) -> None:
        self._wanted = wanted
        self._ledger = ledger
        self._bind = bind
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._never_again: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="rtbrain-search", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still works."""
        return self._thread.is_alive()

    def first(self, timeout_s: float) -> None:
        """Look for the only stream that matches and read its header: Ready, Failed or Refused."""
        self._jobs.put(lambda: self._first(timeout_s))

    def open(self, link: Link) -> None:
        """Open its data connection, or else look anew."""
        self._jobs.put(lambda: self._open_or_look(link))

    def anew(self, old: Inlet | None) -> None:
        """Drop what was lost, then look until a stream is open: Opened."""
        self._jobs.put(lambda: self._look(old))

    def end(self, inlet: Inlet | None, within_s: float) -> None:
        """Stop looking, drop all, and wait for that no longer than `within_s`."""
        self._stop.set()
        if inlet is not None:
            self._jobs.put(inlet.close)
        self._jobs.put(None)
        self._thread.join(within_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        while not self.news.empty():
            news = self.news.get()
            if isinstance(news, Ready | Opened):
                news.link.inlet.close()

    def _first(self, timeout_s: float) -> None:
        try:
            candidate = self._wanted.only(timeout_s, self._stop.is_set)
        except StreamError as error:
            self.news.put(Refused(error))
            return
        link = self._connect(candidate)
        if link is not None:
            self.news.put(Ready(link))

    def _open_or_look(self, link: Link) -> None:
        if not self._open(link):
            self._look(None)

    def _look(self, old: Inlet | None) -> None:
        if old is not None:
            old.close()
        pause_s = _FIRST_PAUSE_S
        seen: set[str] = set()
        told: set[str] = set()
        while not self._stop.is_set():
            found = self._wanted.all(self._stop.is_set)
            found = [one for one in found if one.uid not in self._never_again]
            uids = {one.uid for one in found}
            if len(found) == 1:
                link = self._connect(found[0])
                if link is not None and self._open(link):
                    return
            # Seen in two rounds: one that died as the other came is not in the second.
            elif len(found) > 1 and uids == seen and uids != told:
                self.news.put(Refused(self._wanted.several(found)))
                told = uids
            seen = uids
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connect(self, candidate: Candidate) -> Link | None:
        if self._stop.is_set():
            return None
        self.news.put(Connecting(candidate))
        try:
            inlet = self._wanted.connect(candidate)
        except StreamLostError as error:
            self.news.put(Failed(error))
            return None
        except RtbrainError as error:
            self._refuse(candidate, error)
            return None
        try:
            binding = self._bind(candidate, inlet)
        except StreamError as error:
            inlet.close()
            self._refuse(candidate, error)
            return None
        # Only now: a ledger is of one rate, and the rate has been checked.
        inlet.ledger = self._ledger
        return Link(candidate, inlet, binding)

    def _refuse(self, candidate: Candidate, error: RtbrainError) -> None:
        # A header does not change while its sender runs: it is judged once.
        self._never_again.add(candidate.uid)
        self.news.put(Refused(error))

    def _open(self, link: Link) -> bool:
        try:
            chunk = link.inlet.pull(0.0)
        except StreamError as error:
            link.inlet.close()
            self.news.put(Failed(error))
            return False
        if chunk is None:  # closed meanwhile
            return False
        self.news.put(Opened(link, chunk))
        return True
