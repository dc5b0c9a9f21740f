"""Finds, opens and drops the stream of a supervised source: all that may block in liblsl."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from rtbrain.errors import RtbrainError, StreamError, StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.supervise.query import Candidate, Inlet, StreamQuery
from rtbrain.stream.supervise.requirements import ChannelBinding, StreamRequirements

_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 2.0
_FAILED_S = 1.0  # until liblsl is asked again after it could not look
# For so long the stream that was lost is asked for, before the others are looked at once more.
_AGAIN_S = 0.3
_BETWEEN_S = 0.05
# A second stream that matches needs this to show itself; one that ended is seen for 2.5 s more.
_SETTLE_S = 1.0
_SURELY_S = 3.0
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

    @property
    def summary(self) -> dict[str, object]:
        """What to report of it."""
        row = self.candidate.row
        return {
            "stream": row.name,
            "source_id": row.source_id,
            "host": row.host,
            "channels": row.n_channels,
            "rate_hz": row.sfreq_hz,
            "missing": list(self.binding.missing),
            "notes": [*self.inlet.notes, *self.binding.notes],
        }


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
    """Its data connection is open; no sample was taken from it yet."""

    link: ConnectedStream


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
        self._lock = threading.Lock()
        self._search: object = None  # the one under way; another, or none, ends it
        self._refused: deque[str] = deque(maxlen=_MAX_REFUSED)
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
        search = self._begin_search()
        self._jobs.put(lambda: self._find(timeout_s, search))

    def open(self, link: ConnectedStream, requirements: StreamRequirements) -> None:
        """Open its data connection, or else look for one that meets the requirements."""
        search = self._begin_search()
        self._jobs.put(lambda: self._open_or_look(link, requirements, search))

    def reconnect(self, lost: Candidate | None, requirements: StreamRequirements) -> None:
        """Look until one that meets the requirements is open: first for the one that was lost."""
        search = self._begin_search()
        self._jobs.put(lambda: self._look(lost, requirements, search))

    def rest(self) -> None:
        """Look no further, and report no more of it."""
        self._begin_search()

    def _begin_search(self) -> object:
        """End the search under way, with all that it has reported."""
        with self._lock:
            search = self._search = object()
            while not self.events.empty():
                event = self.events.get()
                if isinstance(event, HeaderAccepted | ConnectionOpened):
                    self.close(event.link.inlet)
        return search

    def _report(self, event: ConnectionEvent, search: object) -> bool:
        """Report an event of a search; False where the search has ended."""
        with self._lock:
            if self._search is not search:
                return False
            self.events.put(event)
            return True

    def close(self, inlet: Inlet) -> None:
        """Let go of an inlet, which may block."""
        self._jobs.put(inlet.close)

    def end(self, inlets: Sequence[Inlet], within_s: float) -> None:
        """Stop looking, drop all, and wait for that no longer than `within_s`."""
        self._stop.set()
        for inlet in inlets:
            self.close(inlet)
        self._jobs.put(None)
        self._thread.join(within_s)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=None if self._sole is None else _FIRST_PAUSE_S)
            except queue.Empty:
                job = self._look_for_second
            if job is None:
                break
            try:
                job()
            except RuntimeError as error:  # liblsl has no room, no socket, or a fault of its own
                failed = StreamError(f"the connection failed and is tried again: {error}")
                self.events.put(ConnectionFailed(Problem.SEARCH_FAILED, failed))
                self._stop.wait(_FAILED_S)
                self._jobs.put(job)
        while not self.events.empty():
            event = self.events.get()
            if isinstance(event, HeaderAccepted | ConnectionOpened):
                event.link.inlet.close()

    def _find(self, timeout_s: float, search: object) -> None:
        self._sole = None
        try:
            candidate = self._query.only(timeout_s, self._stop.is_set)
        except StreamError as error:
            self._report(ConnectionFailed(Problem.REFUSED, error), search)
            return
        link = self._connect(candidate, search)
        if link is not None:
            self._report(HeaderAccepted(link), search)
            self._watch_for_second(link)

    def _open_or_look(
        self, link: ConnectedStream, requirements: StreamRequirements, search: object
    ) -> None:
        if not self._open(link, search):
            self._look(None, requirements, search)

    def _look(
        self, lost: Candidate | None, requirements: StreamRequirements, search: object
    ) -> None:
        self._sole = None
        self._requirements = requirements
        pause_s = _FIRST_PAUSE_S
        while self._search is search and not self._stop.is_set():
            candidate = self._sole_candidate(lost, search)
            if candidate is None:
                self._stop.wait(_BETWEEN_S)
                continue
            begun_s = time.monotonic()
            link = self._connect(candidate, search)
            if link is not None and self._open(link, search):
                return
            # Where the network did not answer in time, the attempt was the pause.
            self._stop.wait(max(_BETWEEN_S, begun_s + pause_s - time.monotonic()))
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _sole_candidate(self, lost: Candidate | None, search: object) -> Candidate | None:
        """The stream that was lost, if it answers, else the only other one that there is."""
        if lost is not None and lost.uid not in self._refused:
            again = self._query.again(lost, _AGAIN_S)
            if again is not None:
                return again
        found = []
        for one in self._all():
            if lost is not None and one.uid == lost.uid:
                continue
            error = self._other_sender_error(one)
            if error is None:
                found.append(one)
            else:
                self._refuse(one, error, search)
        if len(found) == 1:
            return found[0] if found[0].seen_s >= _SETTLE_S else None
        uids = {one.uid for one in found}
        if uids != self._reported and _are_there(found):
            several = self._query.ambiguous_error(found)
            self._report(ConnectionFailed(Problem.REFUSED, several), search)
            self._reported = uids
        return None

    def _watch_for_second(self, link: ConnectedStream) -> None:
        self._sole = link, time.monotonic() + _SECOND_WITHIN_S

    def _look_for_second(self) -> None:
        """Look once more whether the stream that is connected is the only one."""
        if self._sole is None:
            return
        link, until = self._sole
        if time.monotonic() >= until:
            self._sole = None
            return
        found = [one for one in self._all() if self._other_sender_error(one) is None]
        uids = {one.uid for one in found}
        if link.candidate.uid in uids and _are_there(found):
            self._sole = None
            self._reported = uids
            several = self._query.ambiguous_error(found)
            self.events.put(ConnectionFailed(Problem.AMBIGUOUS, several, link))

    def _all(self) -> list[Candidate]:
        try:
            return [one for one in self._query.all() if one.uid not in self._refused]
        except StreamError as error:
            self.events.put(ConnectionFailed(Problem.SEARCH_FAILED, error))
            self._stop.wait(_FAILED_S)
            return []

    def _other_sender_error(self, candidate: Candidate) -> StreamError | None:
        try:
            self._requirements.check_source(repr(candidate.row.name), candidate.row.source_id)
        except StreamError as error:
            return error
        return None

    def _connect(self, candidate: Candidate, search: object) -> ConnectedStream | None:
        if self._stop.is_set() or not self._report(ConnectionStarted(candidate), search):
            return None
        self._reported = set()
        try:
            inlet = self._query.connect(candidate)
        except StreamLostError as error:
            self._report(ConnectionFailed(Problem.UNREACHABLE, error), search)
            return None
        except RtbrainError as error:
            self._refuse(candidate, error, search)
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
            self._refuse(candidate, error, search)
            return None
        # Only now: a counter is of one rate, and the rate has been checked.
        inlet.counter = self._counter
        return ConnectedStream(candidate, inlet, binding)

    def _refuse(self, candidate: Candidate, error: RtbrainError, search: object) -> None:
        # A header does not change while its sender runs: it is judged once.
        self._refused.append(candidate.uid)
        self._report(ConnectionFailed(Problem.REFUSED, error), search)

    def _open(self, link: ConnectedStream, search: object) -> bool:
        """Open its data connection; True where nothing is left to look for."""
        try:
            link.inlet.open()
        except StreamError as error:
            link.inlet.close()
            self._report(ConnectionFailed(Problem.UNREACHABLE, error), search)
            return False
        if self._report(ConnectionOpened(link), search):
            self._watch_for_second(link)
        else:
            link.inlet.close()
        return True


def _are_there(found: Sequence[Candidate]) -> bool:
    """Whether these are several, and all there now: none has ended as another one came."""
    return len(found) > 1 and min(one.seen_s for one in found) >= _SURELY_S
