"""The one thread that finds, opens and drops streams: all that may block in liblsl."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rtbrain.errors import RtbrainError, StreamError, StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.supervise.query import Candidate, Inlet, StreamQuery
from rtbrain.stream.supervise.requirements import ChannelBinding, StreamRequirements
from rtbrain.types import Chunk

_FIRST_PAUSE_S = 0.25


_LONGEST_PAUSE_S = 2.0


# A second stream that matches may answer seconds later than the first, on a busy machine.
_LOOK_ON_S = 10.0


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


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionFailed:
    """It cannot be reached now, and will be tried again."""

    error: StreamError


@dataclass(frozen=True, slots=True, eq=False)
class StreamRefused:
    """It is not what the decoder needs, and will not be tried again."""

    error: RtbrainError


@dataclass(frozen=True, slots=True, eq=False)
class LookFailed:
    """liblsl cannot look for streams now; it is tried again."""

    error: StreamError


@dataclass(frozen=True, slots=True, eq=False)
class Ambiguous:
    """Another stream than that of `link` matches too, and was only seen now."""

    link: ConnectedStream
    error: StreamError


ConnectionEvent = (
    ConnectionStarted
    | HeaderAccepted
    | ConnectionOpened
    | ConnectionFailed
    | StreamRefused
    | LookFailed
    | Ambiguous
)


class ConnectionWorker:
    """Does one thing at a time, in its own thread, and reports in `events`.

    The thread is a daemon: what hangs in liblsl holds up nobody's end. What it connected is
    closed by itself, unless it was given away in an `ConnectionOpened` or a `HeaderAccepted`. What liblsl cannot do
    now (no room, no socket) is `ConnectionFailed` or `LookFailed`, and tried again. For 10 s after a stream
    was connected to, it looks on for a second one that matches: `Ambiguous`.
    """

    def __init__(
        self, wanted: StreamQuery, contract: StreamRequirements, counter: SampleCounter
    ) -> None:
        self._wanted = wanted
        self._contract = contract
        self._counter = counter
        self.events: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._refused: deque[str] = deque(maxlen=_MAX_REFUSED)
        self._seen: set[str] = set()  # in the last round
        self._several: set[str] = set()  # told of last
        self._sole: tuple[ConnectedStream, float] | None = (
            None  # connected, and until when to look on
        )
        self._thread = threading.Thread(target=self._work, name="rtbrain-search", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still works."""
        return self._thread.is_alive()

    def first(self, timeout_s: float) -> None:
        """Look for the only stream that matches and read its header: Ready, Failed or Refused."""
        self._jobs.put(lambda: self._first(timeout_s))

    def open(self, link: ConnectedStream, contract: StreamRequirements) -> None:
        """Open its data connection, or else look anew for one that keeps the contract."""
        self._jobs.put(lambda: self._open_or_look(link, contract))

    def anew(self, old: Inlet | None, contract: StreamRequirements) -> None:
        """Drop what was lost, then look until one that keeps the contract is open: Opened."""
        self._jobs.put(lambda: self._look(old, contract))

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
                link, until = self._sole or (None, 0.0)
                if link is None or time.monotonic() >= until:
                    self._sole = None
                else:
                    self._look_on(link)
                continue
            if job is None:
                break
            self._sole = None
            job()
        while not self.events.empty():
            event = self.events.get()
            if isinstance(event, HeaderAccepted | ConnectionOpened):
                event.link.inlet.close()

    def _first(self, timeout_s: float) -> None:
        try:
            candidate = self._wanted.only(timeout_s, self._stop.is_set)
        except StreamError as error:
            self.events.put(StreamRefused(error))
            return
        except RuntimeError as error:
            self.events.put(LookFailed(_by_liblsl("look for streams", error)))
            return
        link = self._connect(candidate)
        if link is not None:
            self.events.put(HeaderAccepted(link))
            self._begin_to_look_on(link)

    def _open_or_look(self, link: ConnectedStream, contract: StreamRequirements) -> None:
        if not self._open(link):
            self._look(None, contract)

    def _look(self, old: Inlet | None, contract: StreamRequirements) -> None:
        if old is not None:
            old.close()
        self._contract = contract
        pause_s = _FIRST_PAUSE_S
        self._seen = set()
        while not self._stop.is_set():
            found = []
            for one in self._all(self._stop.is_set):
                stranger = self._stranger(one)
                if stranger is None:
                    found.append(one)
                else:
                    self._refuse(one, stranger)
            uids = {one.uid for one in found}
            if len(found) == 1:
                link = self._connect(found[0])
                if link is not None and self._open(link):
                    return
            # Seen in two rounds: one that died as the other came is not in the second.
            elif len(found) > 1 and uids == self._seen and uids != self._several:
                self.events.put(StreamRefused(self._wanted.several(found)))
                self._several = uids
            self._seen = uids
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _begin_to_look_on(self, link: ConnectedStream) -> None:
        self._seen = set()
        self._sole = link, time.monotonic() + _LOOK_ON_S

    def _look_on(self, link: ConnectedStream) -> None:
        """Look once more whether the stream that is connected is the only one."""
        found = [one for one in self._all(self._wanted_elsewhere) if self._stranger(one) is None]
        uids = {one.uid for one in found}
        both = len(found) > 1 and link.candidate.uid in uids and uids == self._seen
        self._seen = uids
        if both and not self._wanted_elsewhere():
            self._sole = None
            self._several = uids
            self.events.put(Ambiguous(link, self._wanted.several(found)))

    def _wanted_elsewhere(self) -> bool:
        return self._stop.is_set() or not self._jobs.empty()

    def _all(self, stop: Callable[[], bool]) -> list[Candidate]:
        try:
            return [one for one in self._wanted.all(stop) if one.uid not in self._refused]
        except RuntimeError as error:
            self.events.put(LookFailed(_by_liblsl("look for streams", error)))
            return []

    def _stranger(self, candidate: Candidate) -> StreamError | None:
        """Why a stream is of another sender than the one before; None where it is not."""
        try:
            self._contract.check_source(repr(candidate.row.name), candidate.row.source_id)
        except StreamError as error:
            return error
        return None

    def _connect(self, candidate: Candidate) -> ConnectedStream | None:
        if self._stop.is_set():
            return None
        self.events.put(ConnectionStarted(candidate))
        self._several = set()
        try:
            inlet = self._wanted.connect(candidate)
        except StreamLostError as error:
            self.events.put(ConnectionFailed(error))
            return None
        except RtbrainError as error:
            self._refuse(candidate, error)
            return None
        except RuntimeError as error:
            self.events.put(
                ConnectionFailed(_by_liblsl(f"receive stream {candidate.row.name!r}", error))
            )
            return None
        row = candidate.row
        try:
            binding = self._contract.check(
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
        self.events.put(StreamRefused(error))

    def _open(self, link: ConnectedStream) -> bool:
        try:
            chunk = link.inlet.pull(0.0)
        except (StreamError, RuntimeError) as error:
            link.inlet.close()
            if isinstance(error, RuntimeError):
                error = _by_liblsl("open the stream", error)
            self.events.put(ConnectionFailed(error))
            return False
        if chunk is None:  # closed meanwhile
            return False
        self.events.put(ConnectionOpened(link, chunk))
        self._begin_to_look_on(link)
        return True


def _by_liblsl(what: str, error: RuntimeError) -> StreamError:
    """What pylsl says where liblsl has no room, no socket, or a fault of its own."""
    return StreamError(f"liblsl cannot {what} now: {error}")
