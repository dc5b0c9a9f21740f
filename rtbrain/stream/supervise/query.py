"""What a supervised source looks for: a query, over LSL or in memory, and what it finds."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from pylsl.lib import fmt2string

from rtbrain.errors import StreamError
from rtbrain.stage import Source
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.inlet import LslSource, measure_clock, signal_inlet
from rtbrain.stream.lsl.resolve import (
    StreamSummary,
    StreamWatcher,
    ambiguous_stream_error,
    has_properties,
    resolve_again,
    resolve_one,
    stream_properties,
    stream_summary,
)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A stream that was found and may be the one."""

    uid: str  # identity of this run of this sender
    row: StreamSummary
    sample_format: str  # liblsl's name of it
    handle: Any  # a pylsl.StreamInfo, or whatever the query connects by
    seen_s: float = inf  # for how long it has been there


class Inlet(Source, Protocol):
    """A source that numbers its samples by a counter."""

    notes: tuple[str, ...]
    counter: SampleCounter

    def open(self) -> None:
        """Let samples flow, which may take a while; a pull does so too."""
        ...


class StreamQuery(Protocol):
    """Where a supervised source looks for its stream; called from one thread, may block.

    Every method raises a StreamError where it cannot look or connect; `connect` a StreamLostError
    where the stream may be tried again.
    """

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream that matches; a StreamError where none or several do."""
        ...

    def all(self) -> Sequence[Candidate]:
        """Every stream that matches now; one that has ended may be among them for 2.5 s."""
        ...

    def again(self, candidate: Candidate, timeout_s: float) -> Candidate | None:
        """The very stream that was connected to before, if it answers within `timeout_s`."""
        ...

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """Error for several that match."""
        ...

    def connect(self, candidate: Candidate) -> Inlet:
        """Read its header; samples flow once it is opened."""
        ...


class LslStreamQuery:
    """The LSL stream that has every property which is not None.

    `scale` is a factor on top of the header's units, for senders whose header is silent or wrong;
    `triggers` name channels whose numbers are codes, which nothing scales. A `watcher` that has
    looked already knows sooner that no other stream matches.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stream_type: str | None = None,
        source_id: str | None = None,
        scale: float = 1.0,
        triggers: Sequence[str] = (),
        watcher: StreamWatcher | None = None,
    ) -> None:
        self._properties = stream_properties(name, stream_type, source_id)
        self._scale, self._triggers = scale, triggers
        # One for good: what a new one sees in its first second depends on the load.
        self._watcher = watcher or StreamWatcher()
        self._begun: tuple[str, Any] | None = None  # uid and inlet of the first that matches

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream that matches within `timeout_s`."""
        wanted = self._properties
        return _candidate(resolve_one(wanted, timeout_s, stop, self._watcher, self._begin))

    def all(self) -> list[Candidate]:
        """Every stream that matches now, at once."""
        there = self._watcher.look()
        if self._watcher.error and not there:
            raise StreamError(f"liblsl cannot look for streams now: {self._watcher.error}")
        return [
            _candidate(info, self._watcher.seen_s(info.uid()))
            for info in there
            if has_properties(info, self._properties)
        ]

    def again(self, candidate: Candidate, timeout_s: float) -> Candidate | None:
        """The very stream that was connected to before, if it answers within `timeout_s`."""
        found = resolve_again(candidate.handle, timeout_s)
        return None if found is None else _candidate(found)

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """Error for several that match: each with its source_id and host."""
        return ambiguous_stream_error(self._properties, [candidate.row for candidate in candidates])

    def connect(self, candidate: Candidate) -> LslSource:
        """Inlet of this very stream, its header read."""
        uid, inlet = self._begun or ("", None)
        self._begun = None
        return LslSource(
            candidate.handle,
            inlet=inlet if uid == candidate.uid else None,
            scale=self._scale,
            triggers=self._triggers,
        )

    def _begin(self, found: Any) -> None:
        """Have the clock of a stream measured while others that match may show themselves."""
        if self._begun is None or self._begun[0] != found.uid():
            self._begun = found.uid(), None
            with suppress(StreamError):  # connect raises it again
                inlet = signal_inlet(found)
                measure_clock(inlet)  # liblsl begins to, which takes most of a second
                self._begun = found.uid(), inlet


def _candidate(info: Any, seen_s: float = inf) -> Candidate:
    sample_format = fmt2string[info.channel_format()]
    return Candidate(info.uid(), stream_summary(info), sample_format, info, seen_s)
