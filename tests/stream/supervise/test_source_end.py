import signal
import subprocess
import sys
import textwrap
import uuid

import pytest

pytestmark = pytest.mark.lsl

DEADLINE_S = 20.0  # a listener that is not told to end waits 30 s

LISTENER = """
    import signal, sys, threading
    from rtbrain.stream.supervise.requirements import StreamRequirements
    from rtbrain.stream.supervise.source import SupervisedSource
    from rtbrain.stream.supervise.query import LslStreamQuery
    from rtbrain.types import Montage

    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    montage = Montage(("A1",), ("seeg",), 512.0)
    source = SupervisedSource(
        query=LslStreamQuery(name=sys.argv[1]),
        requirements=StreamRequirements(512.0, ("A1",)),
        montage=montage,
        on_event=lambda event, **fields: print(event, flush=True),
    )
    if sys.argv[2] == "connect":
        source.connect(30.0, stop=asked.is_set)
        if not asked.is_set():
            input()
    while not asked.is_set():
        source.pull(0.1)
    source.close()
    print("closed", flush=True)
"""

SENDER = """
    import sys, time
    import numpy as np, pylsl
    from rtbrain.outlet.lsl import SignalOutlet
    from rtbrain.types import Chunk, Montage

    outlet = SignalOutlet(
        sys.argv[1], Montage(("A1",), ("seeg",), 512.0), source_id=sys.argv[1], origin="synthetic"
    )
    print("ready", flush=True)
    while True:
        if sys.argv[2] == "sends":
            stamps = pylsl.local_clock() - np.arange(4)[::-1] / 512
            outlet.push(Chunk(np.ones((1, 4), np.float32), stamps))
        time.sleep(4 / 512)
"""


@pytest.fixture
def run():
    processes = []

    def start(code, *words):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def read_until(process, word):
    for line in iter(process.stdout.readline, ""):
        if line == f"{word}\n":
            return
    pytest.fail(f"ended before {word!r}: {process.stderr.read()}")


def assert_ends(process, number):
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert out.endswith("closed\n")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["connect", "pull"])
def test_it_ends_in_time_while_it_waits(run, how, number):
    listener = run(LISTENER, uuid.uuid4().hex, how)
    read_until(listener, "waiting")
    assert_ends(listener, number)


@pytest.mark.parametrize("state", ["warming", "live", "lost"])
def test_it_ends_in_time_with_a_stream(run, state):
    name = uuid.uuid4().hex
    sender = run(SENDER, name, "idles" if state == "warming" else "sends")
    read_until(sender, "ready")
    listener = run(LISTENER, name, "pull")
    read_until(listener, "warming" if state == "warming" else "live")
    if state == "lost":
        sender.kill()
        read_until(listener, "lost")
    assert_ends(listener, signal.SIGTERM)


def test_it_ends_in_time_while_it_connects_to_a_sender_that_hangs(run):
    name = uuid.uuid4().hex
    sender = run(SENDER, name, "sends")
    read_until(sender, "ready")
    listener = run(LISTENER, name, "connect")
    read_until(listener, "connected")
    sender.send_signal(signal.SIGSTOP)
    listener.stdin.write("go on\n")
    listener.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        listener.wait(0.5)
    assert_ends(listener, signal.SIGTERM)
