"""Finds, opens and drops the stream of a supervised source: all that may block in liblsl."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from rtbrain.errors import RtbrainError, StreamError, StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.supervise.query import Candidate, Inlet, StreamQuery
from rtbrain.stream.supervise.requirements import ChannelBinding, StreamRequirements
from rtbrain.types import Chunk

_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 2.0
# A second stream that matches may answer seconds later than the first, on a busy machine.
_SECOND_WITHIN_S = 10.0
# Refused streams that are remembered; an older one that is still there is refused again.
_MAX_REFUSED = 256


@dataclass(frozen=True, slots=True, eq=False)
class ConnectedStream:
    """A connected stream that the decoder can use."""

    candidate: Candidate
    inlet: Inlet
    binding: ChannelBinding


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionStarted:
    """A stream was found and is being connected to."""

    candidate: Candidate


@dataclass(frozen=True, slots=True, eq=False)
class HeaderAccepted:
    """Its header fits; its data connection is not open yet."""

    link: ConnectedStream


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionOpened:
    """Its data connection is open; `chunk` is what came with that, perhaps empty."""

    link: ConnectedStream
    chunk: Chunk


class Problem(Enum):
    """What keeps a stream from being decoded."""

    UNREACHABLE = "it cannot be reached now, and will be tried again"
    REFUSED = "it is not what the decoder needs, and will not be tried again"
    SEARCH_FAILED = "streams cannot be looked for now; it is tried again"
    AMBIGUOUS = "another stream than the one connected matches too, and was only seen now"


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionFailed:
    """A problem; with `AMBIGUOUS`, `link` is the stream that is connected."""

    problem: Problem
    error: RtbrainError
    link: ConnectedStream | None = None


ConnectionEvent = ConnectionStarted | HeaderAccepted | ConnectionOpened | ConnectionFailed


class ConnectionWorker:
    """Does one thing at a time, in its own thread, and reports in `events`.

    The thread is a daemon: what hangs in liblsl does not delay the end. It closes what it connected
    unless a `ConnectionOpened` or a `HeaderAccepted` was taken from `events`. For 10 s after it
    connected to a stream it looks for a second one that matches.
    """

    def __init__(
        self, query: StreamQuery, requirements: StreamRequirements, counter: SampleCounter
    ) -> None:
        self._query = query
        self._requirements = requirements
        self._counter = counter
        self.events: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._refused: deque[str] = deque(maxlen=_MAX_REFUSED)
        self._seen: set[str] = set()  # in the last round
        self._reported: set[str] = set()  # the last several that match
        # Connected, and until when to look for a second one.
        self._sole: tuple[ConnectedStream, float] | None = None
        self._thread = threading.Thread(target=self._work, name="rtbrain-connection", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still works."""
        return self._thread.is_alive()

    def find(self, timeout_s: float) -> None:
        """Look for the only stream that matches and read its header: accepted, failed, refused."""
        self._jobs.put(lambda: self._find(timeout_s))

    def open(self, link: ConnectedStream, requirements: StreamRequirements) -> None:
        """Open its data connection, or else look for one that meets the requirements."""
        self._jobs.put(lambda: self._open_or_look(link, requirements))

    def reconnect(self, old: Inlet | None, requirements: StreamRequirements) -> None:
        """Drop what was lost, then look until one that meets the requirements is open."""
        self._jobs.put(lambda: self._look(old, requirements))

    def end(self, inlet: Inlet | None, within_s: float) -> None:
        """Stop looking, drop all, and wait for that no longer than `within_s`."""
        self._stop.set()
        if inlet is not None:
            self._jobs.put(inlet.close)
        self._jobs.put(None)
        self._thread.join(within_s)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=None if self._sole is None else _FIRST_PAUSE_S)
            except queue.Empty:
                self._look_for_second()
                continue
            if job is None:
                break
            self._sole = None
            job()
        while not self.events.empty():
            event = self.events.get()
            if isinstance(event, HeaderAccepted | ConnectionOpened):
                event.link.inlet.close()

    def _find(self, timeout_s: float) -> None:
        try:
            candidate = self._query.only(timeout_s, self._stop.is_set)
        except StreamError as error:
            self.events.put(ConnectionFailed(Problem.REFUSED, error))
            return
        link = self._connect(candidate)
        if link is not None:
            self.events.put(HeaderAccepted(link))
            self._watch_for_second(link)

    def _open_or_look(self, link: ConnectedStream, requirements: StreamRequirements) -> None:
        if not self._open(link):
            self._look(None, requirements)

    def _look(self, old: Inlet | None, requirements: StreamRequirements) -> None:
        if old is not None:
            old.close()
        self._requirements = requirements
        pause_s = _FIRST_PAUSE_S
        self._seen = set()
        while not self._stop.is_set():
            found = []
            for one in self._all(self._stop.is_set):
                error = self._other_sender_error(one)
                if error is None:
                    found.append(one)
                else:
                    self._refuse(one, error)
            uids = {one.uid for one in found}
            if len(found) == 1:
                link = self._connect(found[0])
                if link is not None and self._open(link):
                    return
            # Seen in two rounds: one that died as the other came is not in the second.
            elif len(found) > 1 and uids == self._seen and uids != self._reported:
                several = self._query.ambiguous_error(found)
                self.events.put(ConnectionFailed(Problem.REFUSED, several))
                self._reported = uids
            self._seen = uids
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _watch_for_second(self, link: ConnectedStream) -> None:
        self._seen = set()
        self._sole = link, time.monotonic() + _SECOND_WITHIN_S

    def _look_for_second(self) -> None:
        """Look once more whether the stream that is connected is the only one."""
        if self._sole is None:
            return
        link, until = self._sole
        if time.monotonic() >= until:
            self._sole = None
            return
        found = [one for one in self._all(self._busy) if self._other_sender_error(one) is None]
        uids = {one.uid for one in found}
        both = len(found) > 1 and link.candidate.uid in uids and uids == self._seen
        self._seen = uids
        if both and not self._busy():
            self._sole = None
            self._reported = uids
            several = self._query.ambiguous_error(found)
            self.events.put(ConnectionFailed(Problem.AMBIGUOUS, several, link))

    def _busy(self) -> bool:
        return self._stop.is_set() or not self._jobs.empty()

    def _all(self, stop: Callable[[], bool]) -> list[Candidate]:
        try:
            return [one for one in self._query.all(stop) if one.uid not in self._refused]
        except StreamError as error:
            self.events.put(ConnectionFailed(Problem.SEARCH_FAILED, error))
            return []

    def _other_sender_error(self, candidate: Candidate) -> StreamError | None:
        try:
            self._requirements.check_source(repr(candidate.row.name), candidate.row.source_id)
        except StreamError as error:
            return error
        return None

    def _connect(self, candidate: Candidate) -> ConnectedStream | None:
        if self._stop.is_set():
            return None
        self.events.put(ConnectionStarted(candidate))
        self._reported = set()
        try:
            inlet = self._query.connect(candidate)
        except StreamLostError as error:
            self.events.put(ConnectionFailed(Problem.UNREACHABLE, error))
            return None
        except RtbrainError as error:
            self._refuse(candidate, error)
            return None
        row = candidate.row
        try:
            binding = self._requirements.check(
                inlet.montage,
                stream=repr(row.name),
                source_id=row.source_id,
                sample_format=candidate.sample_format,
            )
        except StreamError as error:
            inlet.close()
            self._refuse(candidate, error)
            return None
        # Only now: a counter is of one rate, and the rate has been checked.
        inlet.counter = self._counter
        return ConnectedStream(candidate, inlet, binding)

    def _refuse(self, candidate: Candidate, error: RtbrainError) -> None:
        # A header does not change while its sender runs: it is judged once.
        self._refused.append(candidate.uid)
        self.events.put(ConnectionFailed(Problem.REFUSED, error))

    def _open(self, link: ConnectedStream) -> bool:
        try:
            chunk = link.inlet.pull(0.0)
        except StreamError as error:
            link.inlet.close()
            self.events.put(ConnectionFailed(Problem.UNREACHABLE, error))
            return False
        if chunk is None:  # closed meanwhile
            return False
        self.events.put(ConnectionOpened(link, chunk))
        self._watch_for_second(link)
        return True
