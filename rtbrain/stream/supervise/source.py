"""A live stream that is supervised: lost, refused and found again without the loop ever waiting."""

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from rtbrain.errors import MontageError, StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.supervise.connection import (
    ConnectedStream,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionStarted,
    ConnectionWorker,
    HeaderAccepted,
    Problem,
)
from rtbrain.stream.supervise.link_speed import LinkSpeed
from rtbrain.stream.supervise.query import StreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.states import StreamState, StreamStateMachine
from rtbrain.stream.triggers import CodeQueue
from rtbrain.types import Chunk, Montage, empty_chunk
from rtbrain.units import AmplitudeCheck

# A silence is a stall, then a loss, which leaves a loop that pulls every 0.1 s time to report it
# within 1.5 s.
_STALL_S = 1.0
_LOST_S = 1.35
_FIRST_SAMPLE_S = 5.0  # a sender that sends nothing is then dropped: it may be half open
# Time that the loop was away for (the computer slept) is no silence of the sender's.
_AWAY_S = 0.25
_CLOSE_S = 1.0
_REPORT_CLOCK_S = 10.0
_POLL_S = 0.05
_TURN_S = 0.02  # longest wait for a new connection before the silent one is looked at again
# TCP resumes at most as late again as a cut was long: soon after a short one.
_SHORT_S, _GRACE_S = 4.0, 1.0


class SupervisedSource:
    """A live stream as a Source that outlives its sender.

    A pull gives empty chunks while there is no stream. When one is back that meets the
    requirements, the first chunk's `gap` counts exactly the samples that were lost, so that
    filters restart. `counter` numbers the samples of every connection; `clock` gives LSL time, s;
    `pulses` holds the codes of the channels that announce stimulation.
    A connection that falls silent stays open while the stream is looked for again: after a network
    cut it delivers all that TCP held back, but late. Whichever is first is used; after a silence of
    less than 4 s a new one waits for the old for 1 s.

    Parameters
    ----------
    query : StreamQuery
        The stream: `LslStreamQuery` over LSL.
    requirements : StreamRequirements
        What the decoder needs of it.
    montage : Montage
        What comes out: the names and rate of the requirements, else a MontageError.
    on_event : callable
        ``on_event(event, **fields)``, as `StatusOutlet.emit`, in the thread that pulls: each
        change of state (the values of `StreamState`), and ``connected`` (the stream, what it
        lacks, what had to be assumed), ``recovered`` (``gap``: samples lost), ``link_slow`` (the
        network is slower than the data), ``sender_clock`` (its stamps are no LSL time),
        ``amplitude`` (the unit is probably wrong), ``search_failed`` (liblsl cannot look for
        streams now) and, every 10 s of samples, ``clock`` (the counts and the effective rate).
    """

    def __init__(
        self,
        *,
        query: StreamQuery,
        requirements: StreamRequirements,
        montage: Montage,
        on_event: Callable[..., None],
        clock: Callable[[], float] = lsl_clock,
    ) -> None:
        if (montage.names, montage.sfreq_hz) != (requirements.names, requirements.sfreq_hz):
            raise MontageError(
                f"the decoder needs {len(requirements.names)} channels at "
                f"{requirements.sfreq_hz:g} Hz, the montage has {montage.n_channels} at "
                f"{montage.sfreq_hz:g} Hz or other labels: make both from one bundle"
            )
        self.montage = montage
        self._requirements = self._requirements_before = requirements
        self._machine = StreamStateMachine(on_event)
        self._amplitude = AmplitudeCheck(montage)
        self.counter = SampleCounter(requirements.sfreq_hz)
        self._worker = ConnectionWorker(query, requirements, self.counter)
        self._speed = LinkSpeed(montage.n_channels, "float32", montage.sfreq_hz)
        self._ready: ConnectedStream | None = None  # its header was read, no data flow yet
        self._link: ConnectedStream | None = None  # samples flow
        self._silent: ConnectedStream | None = None  # they did, and may again
        self._first: ConnectedStream | None = None  # that `connect` found, until it is lost
        self._reported: ConnectedStream | None = None
        self._sought = self._begun = self._was_live = self._fresh = False
        self._last_at = self._left_at = self._grace_until = clock()
        self._clock, self._clock_reason = clock, ""
        self._codes, self.pulses = (CodeQueue(montage.sfreq_hz, on_event) for _ in range(2))
        self._clock_due = self._clock_every = round(_REPORT_CLOCK_S * requirements.sfreq_hz)

    @property
    def state(self) -> StreamState:
        """State of the stream."""
        return self._machine.state

    def find(self, timeout_s: float) -> None:
        """Begin to look for the stream that `connect` waits for; without this call it does so."""
        self._worker.find(timeout_s)
        self._sought = True

    def connect(self, timeout_s: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Find the stream and read its header, so that a mistake shows before data flow.

        Without this call, the first pull begins to look, and waits for a stream however long.
        False where `stop()` ended it. A StreamError where no stream or several match, it does not
        answer, or is not what the decoder needs; a MontageError where its labels repeat.
        """
        self._machine.report(StreamState.WAITING.value)
        if not self._sought:
            self._worker.find(timeout_s)
        self._sought = False  # another call looks anew
        while self._ready is None:
            if stop() or self.state is StreamState.STOPPING:
                return False
            event = self._next_event(_POLL_S)
            if isinstance(event, ConnectionFailed):
                self._machine.to(StreamState.REFUSED)  # the error gives the reason
                raise event.error
            if event is not None:
                self._apply(event)
        self._begun = True
        self._first = self._ready
        self._report_connected(self._ready)
        return True

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples; never takes longer than `timeout_s`, whatever the stream does.

        Channels are in the order of the requirements, NaN where the stream lacks one. Empty if none
        came in time; None once closed; a StreamError where another that matches is seen in 10 s.
        """
        if self.state is StreamState.STOPPING:
            return None
        self._check_for_second()
        self.begin()
        chunk = self._next_chunk(timeout_s, at_least)
        if chunk is None or self._link is None or not chunk.n_samples:
            return empty_chunk(self.montage.n_channels, self.counter.next_sample)
        binding = self._link.binding
        self._codes.take(binding.trigger, chunk.data[list(binding.trigger_rows)], chunk)
        self.pulses.take(binding.stimulation, chunk.data[list(binding.stimulation_rows)], chunk)
        return self._arrived(binding.apply(chunk))

    def markers(self, timeout_s: float) -> list[tuple[float, str]]:
        """Codes of the trigger channels since the last call, as (s on the LSL clock, text)."""
        return self._codes.pull()

    def close(self) -> None:
        """Let go of the stream within about 1 s, in any state; safe to call twice."""
        if self.state is StreamState.STOPPING:
            return
        self._machine.to(StreamState.STOPPING)
        links = [link for link in (self._link, self._ready, self._silent) if link is not None]
        self._link = self._ready = self._silent = None
        self._worker.end([link.inlet for link in links], _CLOSE_S)

    def begin(self) -> None:
        """Open the data connection now, else the first pull does; samples wait until pulled."""
        if self._ready is not None:
            self._worker.open(self._ready, self._requirements)
            self._ready = None
        elif not self._begun:
            self._machine.report(StreamState.WAITING.value)
            self._begun = True
            self._worker.reconnect(None, self._requirements)

    def _check_for_second(self) -> None:
        """Refuse a second stream that matches, seen while the first is connected."""
        while (self._link or self._ready) and not self._worker.events.empty():
            event = self._worker.events.get()
            self._apply(event)
            if isinstance(event, ConnectionFailed) and event.link and event.link is self._first:
                self._first = None
                raise event.error

    def _next_event(self, timeout_s: float) -> ConnectionEvent | None:
        with contextlib.suppress(queue.Empty):
            return self._worker.events.get(timeout=max(timeout_s, 1e-3))
        if not self._worker.alive and self.state is not StreamState.STOPPING:
            raise RuntimeError("the thread that looks for the stream has died")
        return None

    def _await_opened(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not self._link and (event := self._next_event(end - time.monotonic())) is not None:
            self._apply(event)

    def _next_chunk(self, timeout_s: float, at_least: int) -> Chunk | None:
        """From the connection that fell silent, if it is first, or else from the one opened."""
        if self._silent is not None:
            timeout_s = min(timeout_s, _TURN_S)
            waits = self._link is not None and self._clock() < self._grace_until
            chunk = self._pull_silent(self._silent, timeout_s if waits else 0.0)
            if chunk is not None or waits:
                return chunk
        if self._link is None:
            self._await_opened(timeout_s)
            return None
        return self._receive(self._link, timeout_s, at_least)

    def _pull_silent(self, link: ConnectedStream, timeout_s: float) -> Chunk | None:
        """Samples of the connection that fell silent: from the first on, it alone is used."""
        try:
            chunk = link.inlet.pull(timeout_s)
        except StreamLostError:
            self._silent = None
            self._worker.close(link.inlet)
            return None
        if chunk is None or not chunk.n_samples:
            return None
        self._worker.rest()
        if self._link is not None:
            self._worker.close(self._link.inlet)
        self._link, self._silent = link, None
        self._use(link, self._clock())
        return chunk

    def _use(self, link: ConnectedStream, now_s: float) -> None:
        self._left_at, self._fresh = now_s, True
        if link is not self._reported:
            self._report_connected(link)

    def _apply(self, event: ConnectionEvent) -> None:
        """Turn what the worker reports into the state of the stream."""
        match event:
            case ConnectionFailed(Problem.SEARCH_FAILED, error):
                self._machine.report("search_failed", reason=str(error))
                if self.state is StreamState.CONNECTING:
                    self._machine.to(self._away, reason=str(error))
            case ConnectionFailed(_, error, link) if link and link in (self._link, self._ready):
                self._link = self._ready = None
                self._requirements = self._requirements_before
                self._machine.to(StreamState.REFUSED, reason=str(error))
                self._worker.close(link.inlet)
                self._worker.reconnect(None, self._requirements)
            case ConnectionStarted(candidate):
                self._machine.to(StreamState.CONNECTING, stream=str(candidate.row))
            case ConnectionFailed(Problem.UNREACHABLE, error):
                self._machine.to(self._away, reason=str(error))
            case ConnectionFailed(Problem.REFUSED, error):
                self._machine.to(StreamState.REFUSED, reason=str(error))
            case HeaderAccepted(link):
                self._ready = link
            case ConnectionOpened(link):
                self._link, now_s = link, self._clock()
                short = self.counter.clock.usable and now_s - self._last_at < _SHORT_S
                same = self._silent is not None and self._silent.candidate.uid == link.candidate.uid
                self._grace_until = now_s + (_GRACE_S if same and short else 0.0)
                self._last_at = now_s
                self._amplitude.reset()
                self._use(link, now_s)
                self._machine.to(StreamState.WARMING)

    @property
    def _away(self) -> StreamState:
        return StreamState.LOST if self._was_live else StreamState.WAITING

    def _report_connected(self, link: ConnectedStream) -> None:
        self._reported = link
        row, sample_format = link.candidate.row, link.candidate.sample_format
        self._speed = LinkSpeed(row.n_channels, sample_format, self.montage.sfreq_hz)
        self._requirements_before = self._requirements
        self._requirements = replace(
            self._requirements,
            source_id=row.source_id or self._requirements.source_id,
            sample_format=sample_format,
        )
        self._machine.report("connected", **link.summary)

    def _receive(self, link: ConnectedStream, timeout_s: float, at_least: int) -> Chunk | None:
        came_at = self._clock()
        self._excuse(came_at - self._left_at)
        wait_s = max(0.0, min(timeout_s, self._last_at + self._patience_s() - came_at))
        try:
            chunk = link.inlet.pull(wait_s, at_least)
        except StreamLostError as error:
            self._worker.close(link.inlet)
            self._lose(link, str(error))
            return None
        self._left_at = self._clock()
        self._excuse(self._left_at - came_at - wait_s)
        if chunk is not None and not chunk.n_samples:
            self._speed.nothing_waits()
            self._judge_silence(link)
        return chunk

    def _excuse(self, away_s: float) -> None:
        if away_s > _AWAY_S:
            self._last_at += away_s

    def _patience_s(self) -> float:
        """How long a silence may last before the state changes, s."""
        if self.state is StreamState.WARMING:
            return _FIRST_SAMPLE_S
        return _LOST_S if self.state is StreamState.STALLED else _STALL_S

    def _judge_silence(self, link: ConnectedStream) -> None:
        if (silent_s := self._clock() - self._last_at) < self._patience_s():
            return
        if self.state is StreamState.LIVE:
            self._machine.to(StreamState.STALLED, silent_s=silent_s)
            return
        if self.state is StreamState.STALLED:
            self._silent = link
        else:
            self._worker.close(link.inlet)
        self._lose(link, f"no sample for {silent_s:.2f} s")

    def _lose(self, link: ConnectedStream, reason: str) -> None:
        self._link = self._first = None
        self._machine.to(self._away, reason=reason)
        self._worker.reconnect(link.candidate, self._requirements)

    def _arrived(self, chunk: Chunk) -> Chunk:
        self._last_at = self._clock()
        if self._silent is not None:
            self._worker.close(self._silent.inlet)
            self._silent = None
        recovered, self._fresh = self._was_live and self._fresh, False
        if self.state is not StreamState.LIVE:
            self._machine.to(StreamState.LIVE)
            self._was_live = True
        if recovered:
            self._machine.report("recovered", gap=chunk.gap)
        if (slow := self._speed(chunk, self._last_at)) is not None:
            self._machine.report("link_slow", **slow)
        if (wrong := self._amplitude(chunk)) is not None:
            self._machine.report("amplitude", reason=wrong[0], factor=wrong[1])
        if (reason := self.counter.clock.reason) not in ("", self._clock_reason):
            self._clock_reason = reason
            self._machine.report("sender_clock", reason=reason)
        if self.counter.next_sample >= self._clock_due:
            self._clock_due = self.counter.next_sample + self._clock_every
            self._machine.report("clock", **asdict(self.counter.report))
        return chunk
