"""Child processes of a supervisor: their files, their ends, and the signs that they give."""

import os
from types import SimpleNamespace

from rtbrain.live.supervision import children
from rtbrain.live.supervision.children import (
    ALIVE,
    FOUND,
    DecoderProcess,
    end_in_words,
    free_recording,
)


def test_a_recording_that_is_begun_again_has_a_name_of_its_own(tmp_path):
    out = tmp_path / "night.xdf"
    assert free_recording(out) == out
    out.touch()
    (tmp_path / "night-2.json").touch()
    assert free_recording(out) == tmp_path / "night-3.xdf"
    (tmp_path / "night-3_001.xdf").touch()
    assert free_recording(out) == tmp_path / "night-4.xdf"


def test_how_a_process_ended_is_said_in_words():
    assert [end_in_words(code) for code in (1, -9, -99)] == [
        "exit code 1",
        "signal SIGKILL",
        "signal 99",
    ]


def test_signs_of_life_are_expected_from_the_first_decode_on_and_while_one_listens(monkeypatch):
    now, pipe = [0.0], os.pipe()
    child = SimpleNamespace(stdout=os.fdopen(pipe[0], "rb"), stdin=None)
    monkeypatch.setattr(children, "start_command", lambda *of, **options: child)
    monkeypatch.setattr(children.time, "monotonic", lambda: now[0])
    decoder = DecoderProcess(["decode"])

    def hangs(until_s):
        found = False
        while now[0] < until_s:
            now[0] += 0.5
            found |= decoder.hangs()
        return found

    assert not hangs(100.0)
    assert not decoder.found
    os.write(pipe[1], FOUND)
    assert not hangs(200.0)  # it may load for long
    assert decoder.found
    os.write(pipe[1], ALIVE)
    assert not hangs(209.0)
    now[0] = 300.0  # the machine slept
    assert not hangs(309.0)
    assert hangs(312.0)
    child.stdout.close()
    os.close(pipe[1])
