import subprocess
import sys
import textwrap
import uuid

import numpy as np
import pytest

from rtbrain.errors import StreamLostError
from tests.stream.receiving import lsl_source, receive

pytestmark = pytest.mark.lsl


@pytest.fixture
def source_id():
    return uuid.uuid4().hex


SENDER = """
    import sys, time
    import numpy as np, pylsl
    from rtbrain.outlet.lsl import SignalOutlet
    from rtbrain.types import Chunk, Montage

    rate, source_id = 2048.0, sys.argv[1]
    names = tuple(f"A{i}" for i in range(32))
    montage = Montage(names, ("seeg",) * 32, rate)
    outlet = SignalOutlet("other process", montage, source_id=source_id, origin="synthetic")
    print("ready", flush=True)
    assert outlet.wait_for_listeners(30)
    start, sent = pylsl.local_clock(), 0
    while sys.stdin.readable() and sent < 2048 * 30:
        due = int((pylsl.local_clock() - start) * rate)
        if due > sent:
            numbers = np.arange(sent, due)
            data = np.tile(numbers.astype(np.float32), (32, 1))
            outlet.push(Chunk(data, start + numbers / rate, sent))
            sent = due
        time.sleep(0.005)
"""


def test_no_sample_is_lost_from_another_process(source_id):
    sender = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SENDER), source_id],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert sender.stdout.readline() == "ready\n"
        source = lsl_source(source_id=source_id)
        chunks = receive(source, 3 * 2048)
        numbers = np.concatenate([chunk.data[0] for chunk in chunks])
        np.testing.assert_array_equal(np.diff(numbers), 1)
        counted = np.concatenate([c.first_sample + np.arange(c.n_samples) for c in chunks])
        np.testing.assert_array_equal(counted, numbers - numbers[0])
        sender.kill()
        with pytest.raises(StreamLostError):
            receive(source, 100_000)
        source.close()
    finally:
        sender.kill()
        sender.communicate()


LEFT_OPEN = """
    import sys
    import numpy as np
    from rtbrain.outlet import MarkerOutlet, SignalOutlet
    from rtbrain.stream.lsl.inlet import LslSource
    from rtbrain.stream.lsl.markers import MarkerSource
    from rtbrain.stream.lsl.resolve import resolve_one
    from rtbrain.types import Montage

    montage = Montage(("A1",), ("seeg",), 512.0)
    outlet = SignalOutlet("left", montage, source_id=sys.argv[1], origin="synthetic")
    markers = MarkerOutlet("left", source_id=sys.argv[1] + "-markers")
    source = LslSource(resolve_one({"source_id": sys.argv[1]}, 10))
    source.pull(0.0)
    reader = MarkerSource(resolve_one({"source_id": sys.argv[1] + "-markers"}, 10))
    print("done", flush=True)
"""


def test_a_process_that_closes_nothing_ends_cleanly(source_id):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(LEFT_OPEN), source_id],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "done\n"
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
