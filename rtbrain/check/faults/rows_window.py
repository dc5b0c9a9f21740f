"""Rows of the matrix about the window, and about strangers who send it texts and marks."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl

from rtbrain.check.faults.live import (
    START_S,
    decode_command,
    listen_to,
    new_stream_name,
    patient_sender,
    running_script,
    sending,
)
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, StatusListener, joined
from rtbrain.outlet import MarkerOutlet
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import manual_marks_name, status_name, window_source_id
from rtbrain.view.health.recorder import Recorders
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.texts import say

_POLL_S = 0.033
_FRAME_S = 0.05
_WITHIN_S = 30.0
_RECORD_S = 6.0
# Sends hostile lines, then "up"; for each line that it reads, 2 s of 10,000 lines a second.
_STRANGER = """
import json, sys, time, pylsl
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(sys.argv[1], "Status", 1, 0, "string", "evil"))
hostile = "<img src=/dev/zero><b>x</b> [/red] \\x1b]0;t\\x07\\x1b[31m\\u202e"
number = '{"event":"disk","free_bytes":1%s}'
lines = [number % ("0" * 5000), number % ("0" * 400), "[" * 60000, "no JSON", "x" * 200000]
fields = dict.fromkeys(("channel", "reason", "state"), hostile) | {"bad": {hostile: hostile}}
for event in ("failed", "channel_bad", "summary", hostile):
    lines.append(json.dumps(fields | {"event": event}))
print("up", flush=True)
sys.stdin.readline()
for line in lines:
    outlet.push_sample([line])
outlet.push_sample(['{"event":"channel_bad","channel":"first","reason":"flat"}'])
sys.stdin.readline()
start, n = time.time(), 0
while time.time() < start + 2:
    while n < 10000 * (time.time() - start):
        outlet.push_sample(['{"event":"channel_bad","channel":"A%d","reason":"<b>"}' % (n % 5000)])
        n += 1
    time.sleep(0.002)
outlet.push_sample(['{"event":"channel_bad","channel":"last","reason":"flat"}'])
print(n, flush=True)
sys.stdin.readline()
"""


@dataclass(slots=True)
class _Window:
    """What the window knows, polled as the window does."""

    session: ViewSession
    recorders: Recorders = field(default_factory=Recorders)
    events: list[StatusEvent] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def until(self, condition: Callable[[], bool], timeout_s: float = _WITHIN_S) -> bool:
        """Poll until a condition holds; False if it did not in time."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            # Of the processor: what else runs here is not the cost of a poll.
            began_s = time.thread_time()
            update = self.session.poll()
            self.recorders.take(
                update.recorder_events, update.events, self.session.feeds, update.now
            )
            self.took_s.append(time.thread_time() - began_s)
            self.events += update.events
            time.sleep(_POLL_S)
        return True

    @property
    def recording(self) -> str:
        """What the window says of the recording, and its file."""
        signal = feed_of(self.session.feeds, "signal")
        found = self.recorders.recording(signal, lsl_clock())
        file = f" {found.file}" if found.state == "rec" else ""
        return f"{say(f'pill.{found.state}')}{file}"

    def says(self, text: str) -> bool:
        """Whether it says this of the recording, soon."""
        return self.until(lambda: self.recording == text)


@contextmanager
def _window(stream: str | None, decode: str | None = None) -> Iterator[_Window]:
    with closing(ViewSession(stream=stream, decode=decode)) as session:
        yield _Window(session)


def recorder_of_another(rig: Rig) -> Finding:
    """Record another signal than the window shows, to a proper end; then the one that it shows."""
    shown, other = new_stream_name(), new_stream_name()
    findings = []
    with ExitStack() as stack:
        for name in (shown, other):
            stack.enter_context(sending(patient_sender(rig, name)))
        window = stack.enter_context(_window(shown))
        if not window.until(lambda: feed_of(window.session.feeds, "signal").received > 0):
            return "the window found no signal", False
        for name, text in ((other, "REC, NOT THIS SIGNAL"), (shown, f"REC {shown}.xdf")):
            file = rig.folder / f"{name}.xdf"
            flags = ["--stream", name, "--name", f"{name}-record", "--duration", str(_RECORD_S)]
            with running_command(
                ["record", str(file), *flags], file.with_suffix(".log")
            ) as process:
                said = window.says(text)
                findings.append(
                    (f"of {'it' if name == shown else 'another'}: {window.recording!r}", said)
                )
                ended = window.until(lambda: process.poll() is not None, _RECORD_S + _WITHIN_S)
            window.until(lambda: feed_of(window.session.feeds, "record").state != "live")
            findings.append(
                (
                    f"at its end {window.recording!r}",
                    ended and window.recording == "NOT RECORDING",
                )
            )
    return joined(findings)


def signal_not_named(rig: Rig) -> Finding:
    """Have two signals and name none: in the window, a picture, record, decode; and no signal."""
    names = [new_stream_name() for _ in range(2)]
    picture, bundle = rig.folder / "picture.png", str(rig.bundle("linear"))
    view = ["view", "--headless-png", str(picture)]
    commands = {
        "view": [*view, "--after", str(_WITHIN_S)],
        "record": ["record", str(rig.folder / "out.xdf")],
        "decode": ["decode", "--bundle", bundle],
    }
    findings = []
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(sending(patient_sender(rig, name)))
        window = stack.enter_context(_window(None))
        window.until(lambda: {one.name for one in window.session.choices} >= set(names))
        offered = [one for one in window.session.choices if one.name in names]
        for signal in offered[1:]:
            window.session.choose(signal)
            window.until(lambda: feed_of(window.session.feeds, "signal").received > 0)
        feed = feed_of(window.session.feeds, "signal")
        findings.append(
            (
                f"the window offers {len(offered)} and shows the chosen one",
                feed.name in names and len(offered) == 2,
            )
        )
        for what, arguments in commands.items():
            code, message = _ended(arguments, rig.folder / f"{what}.log")
            lists = all(name in message for name in names) and f"rtbrain {what}" in message
            findings.append(
                (
                    f"{what}: exit code {code}, {'both listed' if lists else message}",
                    code == 2 and lists,
                )
            )
    code, message = _ended(
        [*view, "--stream", new_stream_name(), "--after", "2"], rig.folder / "none.log"
    )
    findings.append(
        (f"of none: exit code {code}, {message[-60:]}", code == 2 and not picture.exists())
    )
    return joined(findings)


def _ended(arguments: Sequence[str], log: Path) -> tuple[int, str]:
    with running_command(arguments, log) as process:
        code = process.wait(START_S)
    return code, last_line(log)


def hostile_texts(rig: Rig) -> Finding:
    """Send hostile status lines, then 10,000 a second, while the window shows a signal."""
    name, picture = new_stream_name(), rig.folder / "picture.png"
    with ExitStack() as stack:
        stack.enter_context(sending(patient_sender(rig, name)))
        window = stack.enter_context(_window(name, name))
        stranger = stack.enter_context(running_script(_STRANGER, status_name(name)))
        live = window.until(lambda: feed_of(window.session.feeds, "status").state == "live")
        if not live:
            return "the window did not find the status stream", False
        flags = ["--stream", name, "--decode", name, "--headless-png", str(picture), "--after", "8"]
        process = stack.enter_context(running_command(["view", *flags], rig.folder / "view.log"))
        _tell(stranger)
        window.until(lambda: "first" in window.session.bad)
        texts = [text for event in window.events for text in _texts([event.event, event.fields])]
        plain = all(text.isprintable() and len(text) <= 1100 for text in texts)
        n_unreadable = sum(event.event == "unreadable" for event in window.events)
        window.took_s.clear()
        _tell(stranger)
        last = window.until(lambda: "last" in window.session.bad)
        n_left_out = feed_of(window.session.feeds, "status").lost
        code = process.wait(START_S)
    p99_ms = 1e3 * float(np.percentile(window.took_s, 99))
    return (
        f"{len(texts)} texts, {'all' if plain else 'NOT all'} plain and bounded, {n_unreadable} "
        f"lines unreadable, the next one read; 10,000 lines a second: {n_left_out} left out, a "
        f"poll takes {p99_ms:.1f} ms of CPU (p99), the last line "
        f"{'shown' if last else 'NOT shown'}; picture meanwhile: exit code {code}",
        plain
        and n_unreadable >= 4
        and last
        and p99_ms < 1e3 * _FRAME_S
        and code == 0
        and picture.exists(),
    )


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _tell(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.flush()


def marks_of_strangers(rig: Rig) -> Finding:
    """Let strangers mark a contact and undo others' marks; then name who may mark."""
    open_to_all, named = _marked(rig, None), _marked(rig, "nurse")
    return joined([open_to_all, named])


def _marked(rig: Rig, allowed: str | None) -> Finding:
    name = new_stream_name()
    marks, contact = manual_marks_name(name), rig.montage.names[3]
    arguments, log = decode_command(rig, name)
    arguments += ["--set", f"stream.manual_marks={marks}"]
    if allowed is not None:
        arguments += ["--set", f"stream.mark_senders=[{allowed}]"]
    operator = allowed or window_source_id(marks, uuid4().hex)
    (received, _), source_ids = listen_to(name), ("evil", "evil-2", operator)
    with ExitStack() as stack:
        stack.enter_context(sending(patient_sender(rig, name)))
        stack.enter_context(running_command(arguments, log))
        received.require(lambda: len(received.valid_after(0.0)) > 2, START_S, "no decode", log)
        outlets = {
            one: stack.enter_context(closing(MarkerOutlet(marks, source_id=one)))
            for one in source_ids
        }
        there = "manual_marks" if allowed is None else "manual_marks_refused"
        received.require(lambda: _senders(received, there) >= {"evil"}, START_S, "not heard", log)
        received.require(
            lambda: operator in _senders(received, "manual_marks"), START_S, "no operator", log
        )
        window = stack.enter_context(_window(name, name))
        window.until(lambda: feed_of(window.session.feeds, "status").state == "live")
        if allowed is not None:
            outlets["evil"].push(f"bad {contact}", pylsl.local_clock())
            outlets[operator].push(f"bad {contact}", pylsl.local_clock())
            received.until(lambda: bool(_senders(received, "channel_bad")), _WITHIN_S)
            authors = _senders(received, "channel_bad")
            return f"restricted to {allowed}: marked by {', '.join(sorted(authors))}", authors == {
                allowed
            }
        steps = (
            ("evil", "bad", "channel_bad"),
            ("evil-2", "good", "mark_refused"),
            (operator, "good", "channel_good"),
        )
        return joined(
            _mark(outlets[source_id], f"{verdict} {contact}", source_id, expected, received, window)
            for source_id, verdict, expected in steps
        )


def _mark(
    outlet: MarkerOutlet,
    text: str,
    source_id: str,
    expected: str,
    received: StatusListener,
    window: _Window,
) -> Finding:
    """Send a mark: the event that it makes, and what the window shows of the contact then."""
    _, contact = text.split()
    outlet.push(text, pylsl.local_clock())
    done = received.until(lambda: source_id in _senders(received, expected), _WITHIN_S)
    author = f"marked by evil on {socket.gethostname()}"
    shown = None if expected == "channel_good" else author
    done &= window.until(lambda: window.session.bad.get(contact) == shown)
    said = window.session.bad.get(contact, "good")
    return f"{source_id[:40]} says {text}: {expected if done else 'NOT SO'}, shown {said!r}", done


def _senders(received: StatusListener, event: str) -> set[str]:
    """Source ids that events of a name named."""
    return {str(one.fields.get("source_id")) for one in received.events if one.event == event}


WINDOW_CASES = (
    FaultCase(42, recorder_of_another, lsl=True),
    FaultCase(43, signal_not_named, lsl=True),
    FaultCase(46, hostile_texts, lsl=True),
    FaultCase(47, marks_of_strangers, lsl=True),
)
