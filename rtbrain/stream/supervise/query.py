"""What a supervised source looks for: a query, over LSL or in memory, and what it finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pylsl.lib import fmt2string

from rtbrain.errors import StreamError
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


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A stream that was found and may be the one."""

    uid: str  # identity of this run of this sender
    row: StreamSummary
    sample_format: str  # liblsl's name of it
    handle: Any  # a pylsl.StreamInfo, or whatever the query connects by


class Inlet(Source, Protocol):
    """A source that numbers its samples by a counter."""

    notes: tuple[str, ...]
    counter: SampleCounter


class StreamQuery(Protocol):
    """Where a supervised source looks for its stream; called from one thread, may block.

    Every method raises a StreamError where it cannot look or connect; `connect` a StreamLostError
    where the stream may be tried again.
    """

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream that matches; a StreamError where none or several do."""
        ...

    def all(self, stop: Callable[[], bool]) -> Sequence[Candidate]:
        """Every stream that matches now."""
        ...

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """Error for several that match."""
        ...

    def connect(self, candidate: Candidate) -> Inlet:
        """Read its header; samples flow from the first pull on, which may take a while."""
        ...


class LslStreamQuery:
    """The LSL stream that has every property which is not None.

    `scale` is a factor on top of the header's units, for senders whose header is silent or wrong.
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
        """The one stream that matches within `timeout_s`."""
        return _candidate(resolve_one(self._properties, timeout_s, stop))

    def all(self, stop: Callable[[], bool]) -> list[Candidate]:
        """Every stream that matches now, within about 1.5 s, or at once when `stop()` is true."""
        matching, _ = find_matching(self._properties, _LOOK_S, stop)
        return [_candidate(info) for info in matching]

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """Error for several that match: each with its source_id and host."""
        return ambiguous_stream_error(self._properties, [candidate.row for candidate in candidates])

    def connect(self, candidate: Candidate) -> LslSource:
        """Inlet of this very stream, its header read."""
        return LslSource(candidate.handle, scale=self._scale)


def _candidate(info: Any) -> Candidate:
    return Candidate(info.uid(), stream_summary(info), fmt2string[info.channel_format()], info)
