"""The stream that a supervised source wants: how it is looked for and connected to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pylsl.lib import fmt2string
from pylsl.util import TimeoutError as LslTimeoutError

from rtbrain.errors import StreamError, StreamLostError
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

_LOOK_S = 0.5


_ANSWER_S = 3.0


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
    """A source that numbers its samples by a counter."""

    notes: tuple[str, ...]
    counter: SampleCounter


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
