"""A live session: a stream in, decodes and status out; for `rtbrain decode` and for notebooks."""

import contextlib
import gc
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from threadpoolctl import threadpool_limits

from rtbrain.build import build_live, require_matching_runtime
from rtbrain.bundling import build_decoder, describe_population, load_libraries
from rtbrain.config import DecodeSettings
from rtbrain.decoder import Adaptation, Bundle
from rtbrain.errors import RtbrainError
from rtbrain.live.control import control_channel
from rtbrain.live.detections import (
    Gate,
    no_detections,
    open_decodes,
    open_detections,
    session_detector,
    session_triggers,
    trigger_log_path,
)
from rtbrain.live.listen import LiveDecode, live_decode
from rtbrain.live.realtime_check import require_realtime, runtime_choice
from rtbrain.live.recorder_process import recorder_process
from rtbrain.live.source import (
    adapted,
    begin_early,
    open_manual_marks,
    open_markers,
    open_source,
    patiently,
    rate_check,
    seeking,
)
from rtbrain.live.supervision.children import ALIVE, FOUND
from rtbrain.live.supervision.metrics import Metrics, metrics_endpoint
from rtbrain.live.supervision.state import SavedState, keep_thresholds
from rtbrain.live.supervision.turn import Turn
from rtbrain.outlet import StatusOutlet, StatusReport, Triggers
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.streams import require_free_name
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.stream.supervise.states import StreamState
from rtbrain.stream_names import decode_name, status_name
from rtbrain.types import Decode

_STATES = {state.value for state in StreamState}


class LiveSession:
    """A decoder on a live stream.

    ``with`` starts it in a thread of its own, and stops it at the end of the block; `run` runs it
    in this thread. While it runs, other libraries of the process multiply matrices on one thread:
    small products stall on several where the cores are busy.

    Attributes
    ----------
    state : str
        ``starting``, a state of the stream (``waiting``, ``live``, ``stalled``, ``lost``, …), then
        ``stopped`` or ``failed``.
    last : LiveDecode or None
        The newest decode.
    totals : StatusReport
        ``n_decodes``, ``n_lost``, ``n_skipped``: valid decodes, samples lost, windows skipped.
    triggers : Triggers
        The gate of the outputs that act on the world.
    detections : DetectionSink
        What is detected, by which thresholds, and whether it is sent.
    """

    def __init__(
        self,
        settings: DecodeSettings,
        bundle: Bundle,
        *,
        stop: Callable[[], bool] | None = None,
        on_event: Callable[..., None] | None = None,
        record: Path | None = None,
        allow_late: bool = False,
        duration_s: float | None = None,
        arm: bool = False,
        turn: Turn | None = None,
    ) -> None:
        self.state = "starting"
        self.triggers = Triggers((), None, self.emit)
        self.detections = no_detections(self.emit)
        self.last: LiveDecode | None = None
        self.totals = StatusReport(self)
        self._settings, self._bundle = settings, bundle
        self._record, self._allow_late, self._arm = record, allow_late, arm
        self._stop, self._on_event, self._duration_s = stop, on_event, duration_s
        self._end_s = math.inf
        self._turn = turn or Turn()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._status: StatusOutlet | None = None
        self._sought: SupervisedSource | None = None
        self._metrics = Metrics(settings, bundle, self.totals, self._turn)
        self._poll_recorder: Callable[[], None] = lambda: None
        self._forget_labels: Callable[[], None] = lambda: None
        self._save_thresholds: Callable[[], None] = lambda: None

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        return self._bundle.manifest.task

    def run(self) -> None:
        """Decode until the session is stopped or its source ends.

        Raises
        ------
        RtbrainError
            There is no such stream, it does not suit the decoder, the name is taken, or this
            machine is too slow.
        """
        settings, bundle, turn = self._settings, self._bundle, self._turn
        name = settings.outlet.name
        try:
            require_matching_runtime(bundle.manifest.mode, runtime_choice(settings))
            with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
                # Small products stall on more than one thread where the cores are busy; the
                # encoder's runtime alone takes what the settings give it.
                stack.enter_context(threadpool_limits(1))
                # While the network is searched; what fails is raised when the decoder is built.
                pool.submit(load_libraries, bundle)
                self._sought = stack.enter_context(seeking(settings, bundle, self.emit, turn))
                if not turn.restarts:  # otherwise it was that of the decoder before
                    require_free_name(decode_name(name), turn.watcher)
                self._status = StatusOutlet(name, source_id=status_name(name))
                stack.callback(self._status.close)
                # Before all that takes time: an output may be absent.
                detector = session_detector(settings, bundle)
                given = (detector, settings, bundle)
                self._save_thresholds = keep_thresholds(*given, self.emit, turn)
                triggers = session_triggers(*given, self._record, self.emit, arm=self._arm)
                self.triggers = stack.enter_context(triggers)
                # And its events, so that recorders find them before the first.
                of = (detector, settings, bundle, self.emit, self.triggers)
                self.detections = open_detections(*of)
                stack.callback(self.detections.close)
                self._metrics.also = {
                    "detections": self.detections.status,
                    "triggers": self.triggers.status,
                }
                stack.enter_context(control_channel(name, self, self.emit))
                stack.enter_context(metrics_endpoint(settings, self._metrics, self.emit, turn))
                about = {"bundle": bundle.id, "mode": bundle.manifest.mode}
                record = None if turn.supervised else self._record
                recording = recorder_process(record, settings, about, self.emit)
                self._poll_recorder = stack.enter_context(recording)
                if turn.restarts:
                    self.emit("restarted", restarts=turn.restarts, reason=turn.reason)
                self._run_and_report(self._status)
        except BaseException as error:
            self.state, self._error = "failed", error
            raise
        self.state = "stopped"

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._run_in_thread, name="rtbrain", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the session has ended; False if it has not in time.

        Raises
        ------
        RtbrainError
            The session failed.
        """
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def stop(self) -> None:
        """End the session and `wait` until its streams are closed; safe to call twice."""
        self._stopping.set()
        self.wait()

    def end(self) -> None:
        """Send no decode and no detection more, at once, and ask the session to end."""
        self._stopping.set()

    def __enter__(self) -> Self:
        if self._thread is None:
            self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stopping.set()
        if kind is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join()

    def arm(self, by: str = "Python") -> None:
        """Let the outputs act on the world from now on; an OutputError where that cannot be."""
        self.triggers.arm(by)

    def disarm(self, reason: str = "by Python") -> None:
        """Send nothing more, at once; only a person arms it again."""
        self.triggers.disarm(reason)

    def push(self, item: Decode) -> None:
        """Take a decode of the loop: a sink."""
        self.last = live_decode(item, self._bundle.manifest.labels)

    def close(self) -> None:
        """Do nothing: a sink is closed with its session."""

    def _run_in_thread(self) -> None:
        with contextlib.suppress(RtbrainError):  # wait raises it again
            self.run()

    def _is_over(self) -> bool:
        """Whether to stop; looked at several times a second, as is the recorder."""
        self._poll_recorder()
        self.triggers.alive()
        for event, fields in self._turn.news():  # of the recorder, which is on the screen already
            if self._status is not None:
                self._status.emit(event, **fields)
            if event == "record_started" and self._record is not None:
                recording = self._record.with_name(fields["file"])
                if log := trigger_log_path(self._settings, recording):
                    self.triggers.move_log(log)
        if (summary := self._metrics.summary(lsl_clock())) and self._status is not None:
            self._status.emit("summary", **summary)
        if self._stopping.is_set() or lsl_clock() >= self._end_s:
            return True
        return self._stop is not None and self._stop()

    def _has_ended(self) -> bool:
        """The same, of one that decodes."""
        self._turn.sign(ALIVE)
        return self._is_over()

    def emit(self, event: str, **fields: object) -> None:
        """Send an event to the status stream and to the caller."""
        if event in _STATES:
            self.state = event
        if event == "threshold":
            self._save_thresholds()
        if event == "markers_lost":
            self._forget_labels()
        self._metrics.take(event, fields)
        if self._status is not None and event != "recorder":
            self._status.emit(event, **fields)
        if self._on_event is not None:
            self._on_event(event, **fields)

    def _run_and_report(self, status: StatusOutlet) -> None:
        """Decode; the end is reported before the streams close, so that listeners know of it."""
        with ExitStack() as outlets:
            outlets.callback(status.close)
            outlets.callback(self.triggers.close)
            never_began = False
            try:
                self._decode(outlets)
            except RtbrainError as error:
                status.emit("failed", reason=str(error))
                never_began = self.last is None
                raise
            finally:
                if not never_began:
                    self.totals.report_totals()

    def _decode(self, outlets: ExitStack) -> None:
        settings, bundle, recipe = self._settings, self._bundle, self._bundle.recipe
        turn, given = self._turn, (self.emit, self._is_over)
        source = patiently(
            lambda one: open_source(one, bundle, *given, turn.watcher, self._sought),
            *(settings, *given, turn),
        )
        if source is None:
            return
        turn.sign(FOUND)
        with ExitStack() as stack:
            stack.callback(source.close)
            # Before the signal flows, so that no marker of its samples is missed.
            markers, missed = patiently(
                lambda one: open_markers(one, bundle, source, *given, stack),
                *(settings, *given, turn, "markers_refused"),
            )
            if self._is_over():
                return
            begin_early(source, recipe)
            marks = open_manual_marks(settings, self.emit)
            if marks is not None:
                stack.callback(marks.close)
            saved = SavedState(settings, bundle, self.emit, turn)
            decoder = build_decoder(
                bundle,
                source.montage,
                on_event=self.emit,
                manual_marks=marks,
                runtime=runtime_choice(settings),
                statistics=saved.restore(),
            )
            n_channels = bundle.montage.n_channels
            require_realtime(decoder, recipe, settings, n_channels, self.emit, self._allow_late)
            outlet = open_decodes(settings, bundle, decoder[0], self._metrics.inputs)
            outlets.callback(outlet.close)
            outlets.callback(self.detections.close)
            stages, markers = adapted(settings, bundle, decoder, markers, self.emit, stack)
            if isinstance(stages[1], Adaptation):
                self._forget_labels = stages[1].forget_labels
            keeper = stack.enter_context(saved.keeper(decoder[0]))
            gated = [Gate(sink, self._stopping.is_set) for sink in (outlet, self.detections)]
            # The reason of an invalid decode leaves before the decode itself.
            pipeline = build_live(
                stages,
                source,
                (self.totals, *gated, self, self._metrics, keeper),
                self.totals,
                latest_only=settings.backlog == "latest",
                coverage_floor=recipe.coverage_floor,
                clock=lsl_clock,
                markers=markers,
                missed=missed,
                refusal=rate_check(source),
                max_latency_s=settings.max_latency_s,
            )
            population = describe_population(recipe, bundle.montage)
            to = decode_name(settings.outlet.name)
            self.emit("decoding", mode=bundle.manifest.mode, to=to, population=population)
            if self._duration_s is not None:
                self._end_s = lsl_clock() + self._duration_s
            gc.freeze()  # what libraries made is looked through no more while decodes are due
            stack.callback(gc.unfreeze)
            pipeline.run(self._has_ended)
