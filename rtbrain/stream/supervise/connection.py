"""The one thread that finds, opens and drops streams: all that may block in liblsl."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pylsl.lib import fmt2string
from pylsl.util import TimeoutError as LslTimeoutError

from rtbrain.errors import RtbrainError, StreamError, StreamLostError
from rtbrain.stage import Source
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.inlet import LslSource
from rtbrain.stream.lsl.resolve import (
    StreamSummary,
    ambiguous_stream_error,
    find_matching,
    resolve_one,
    stream_properties,
    stream_summary,
)
from rtbrain.stream.supervise.requirements import ChannelBinding
from rtbrain.types import Chunk

_LOOK_S = 0.5
_ANSWER_S = 3.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A stream that was found and may be the one.

    Attributes
    ----------
    uid : str
        What tells this run of this sender from every other.
    row : StreamRow
        What a message says of it.
    sample_format : str
        liblsl's name of it.
    handle : pylsl.StreamInfo, or whatever the one who found it connects by
        Not looked into.
    """

    uid: str
    row: StreamSummary
    sample_format: str
    handle: Any


class Inlet(Source, Protocol):
    """A source that numbers its samples by a ledger."""

    notes: tuple[str, ...]
    ledger: SampleCounter


class StreamQuery(Protocol):
    """What a supervised source asks of the world, from one thread; each call may block."""

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream that matches; a StreamError where none or several do."""
        ...

    def all(self, stop: Callable[[], bool]) -> Sequence[Candidate]:
        """Every stream that matches now."""
        ...

    def several(self, candidates: Sequence[Candidate]) -> StreamError:
        """What to say where several match."""
        ...

    def connect(self, candidate: Candidate) -> Inlet:
        """Read its header; samples flow from the first pull on, which may take a while.

        A StreamLostError where it does not answer, so that it is tried again; any other
        RtbrainError where its header cannot be used.
        """
        ...


class LslStreamQuery:
    """The LSL stream that has every property given.

    Parameters
    ----------
    name, stream_type, source_id : str or None
        What the stream must be called; each one given must match.
    scale : float
        Factor on top of the header's units, for senders whose header is silent or wrong.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stream_type: str | None = None,
        source_id: str | None = None,
        scale: float = 1.0,
    ) -> None:
        self._properties = stream_properties(name, stream_type, source_id)
        self._scale = scale

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream that matches.

        Raises
        ------
        StreamError
            None matches within `timeout_s`, and which streams there are; or several do.
        """
        return _candidate(resolve_one(self._properties, timeout_s, stop))

    def all(self, stop: Callable[[], bool]) -> list[Candidate]:
        """Every stream that matches now, within about 1.5 s, or at once when `stop()` is true."""
        matching, _ = find_matching(self._properties, _LOOK_S, stop)
        return [_candidate(info) for info in matching]

    def several(self, candidates: Sequence[Candidate]) -> StreamError:
        """What to say where several match: each with its source_id and host."""
        return ambiguous_stream_error(self._properties, [candidate.row for candidate in candidates])

    def connect(self, candidate: Candidate) -> LslSource:
        """Inlet of this very stream, its header read.

        Raises
        ------
        StreamLostError
            It went away, or does not answer.
        StreamError
            Its header cannot be used.
        MontageError
            Its labels repeat.
        SettingsError
            The scale is 0 or not finite.
        """
        try:
            return LslSource(found=candidate.handle, timeout_s=_ANSWER_S, scale=self._scale)
        except StreamError as error:
            # It is announced but silent: a network that recovers, so no reason to refuse it.
            if isinstance(error.__cause__, LslTimeoutError):
                raise StreamLostError(str(error)) from error
            raise


def _candidate(info: Any) -> Candidate:
    return Candidate(info.uid(), stream_summary(info), fmt2string[info.channel_format()], info)


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


ConnectionEvent = (
    ConnectionStarted | HeaderAccepted | ConnectionOpened | ConnectionFailed | StreamRefused
)


class ConnectionWorker:
    """Does one thing at a time, in its own thread, and reports in `news`.

    The thread is a daemon: what hangs in liblsl holds up nobody's end. What it connected is
    closed by itself, unless it was given away in an `ConnectionOpened` or a `HeaderAccepted`.
    """

    def __init__(
        self,
        wanted: StreamQuery,
        bind: Callable[[Candidate, Inlet], ChannelBinding],
        ledger: SampleCounter,
    ) -> None:
        self._wanted = wanted
        self._ledger = ledger
        self._bind = bind
        self.news: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
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

    def open(self, link: ConnectedStream) -> None:
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
            if isinstance(news, HeaderAccepted | ConnectionOpened):
                news.link.inlet.close()

    def _first(self, timeout_s: float) -> None:
        try:
            candidate = self._wanted.only(timeout_s, self._stop.is_set)
        except StreamError as error:
            self.news.put(StreamRefused(error))
            return
        link = self._connect(candidate)
        if link is not None:
            self.news.put(HeaderAccepted(link))

    def _open_or_look(self, link: ConnectedStream) -> None:
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
                self.news.put(StreamRefused(self._wanted.several(found)))
                told = uids
            seen = uids
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connect(self, candidate: Candidate) -> ConnectedStream | None:
        if self._stop.is_set():
            return None
        self.news.put(ConnectionStarted(candidate))
        try:
            inlet = self._wanted.connect(candidate)
        except StreamLostError as error:
            self.news.put(ConnectionFailed(error))
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
        return ConnectedStream(candidate, inlet, binding)

    def _refuse(self, candidate: Candidate, error: RtbrainError) -> None:
        # A header does not change while its sender runs: it is judged once.
        self._never_again.add(candidate.uid)
        self.news.put(StreamRefused(error))

    def _open(self, link: ConnectedStream) -> bool:
        try:
            chunk = link.inlet.pull(0.0)
        except StreamError as error:
            link.inlet.close()
            self.news.put(ConnectionFailed(error))
            return False
        if chunk is None:  # closed meanwhile
            return False
        self.news.put(ConnectionOpened(link, chunk))
        return True
