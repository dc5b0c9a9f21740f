"""Whole sessions by the keyboard alone, on real streams and processes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from tests.console.keyboard import CTRL, KEY, Keyboard
from tests.console.real import streams_in
from tests.recording.xdf.file_by_hand import XdfStream, write_xdf

pytestmark = [pytest.mark.whole, pytest.mark.lsl, pytest.mark.timeout(2400)]
_BY_CONSOLE = ("jobs", "session.json", "log.sh")  # not by the commands that it starts


@pytest.fixture
def keyboard(qtbot, tmp_path):
    with Keyboard(qtbot, tmp_path / "s") as keyboard:
        yield keyboard


def made_by_commands(folder):
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    made = [path for path in files if path.parts[0] not in _BY_CONSOLE]
    return {str(path) for path in made if not path.name.endswith(".blocks.json")}


def test_a_session_on_a_simulated_patient_whose_log_does_the_same_again(keyboard, tmp_path):
    session = keyboard.session
    keyboard.tab_to(keyboard.page("setup").ways.buttons["simulate"])
    keyboard.press(KEY.Key_Return)
    keyboard.wait(lambda: session.settings.signal is not None)
    keyboard.go_on()

    calibrate = keyboard.page("calibrate")
    keyboard.tab_to(calibrate._sources["screen"])
    keyboard.press(KEY.Key_Return)
    fields = calibrate.plan_panel.fields
    keyboard.wait(lambda: session.settings.plan is not None and fields["n_per_class"].text())
    keyboard.fill(fields["settle_s"], "0.5")
    for name, text in (("duration_s", "1.6 to 3.2"), ("pause_s", "1 to 2"), ("n_per_class", "8")):
        keyboard.fill(fields[name], text)
    assert session.settings.plan["duration_s"] == [1.6, 3.2]
    assert session.settings.plan["n_per_class"] == 8
    keyboard.say("planned")
    keyboard.enter("Start")
    keyboard.wait(lambda: session.running("recorder"))
    keyboard.wait(lambda: session.jobs.get("cue") is not None and not session.running("cue"))
    assert calibrate.model.counts["speech"].usable == 8
    keyboard.end()
    keyboard.say("calibrated")

    keyboard.fit_and_use()
    keyboard.run_with_detections()
    keyboard.press(KEY.Key_M, CTRL)
    keyboard.write("movement")
    keyboard.press(KEY.Key_Return)
    keyboard.press(KEY.Key_Escape)
    keyboard.wait(lambda: not session.running("decoder"))
    assert session.running("recorder")
    keyboard.end()
    bids = keyboard.review_and_export()

    assert len(list(bids.rglob("*_ieeg.vhdr"))) == 2
    recorded = streams_in(session.folder / "runs/run-01.xdf")
    assert ["movement"] in recorded["whole-marks"]["time_series"]
    assert len(recorded[f"{session.settings.outlet}-events"]["time_series"]) > 0
    keyboard.leave()
    again = tmp_path / "again"
    assert not failures_of(session.folder / "log.sh", again)
    assert made_by_commands(again) == made_by_commands(session.folder)
    assert made_by_commands(tmp_path / f"again-{bids.name}") == made_by_commands(bids)
    repeated = streams_in(again / "runs/run-01.xdf")
    assert repeated.keys() | {"whole-marks"} == recorded.keys()


def failures_of(log, folder):
    """Runs a log into a folder; the commands that failed, with their exit codes."""
    program = folder.with_name("bin") / "rtbrain"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rtbrain.apps "$@"\n')
    program.chmod(0o755)
    failed = folder.with_name("failed")
    failed.touch()
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}", "FAILED": str(failed)}
    said = subprocess.run(
        ["bash", "-c", """trap 'echo "$?: $BASH_COMMAND" >> "$FAILED"' ERR; . "$LOG" "$FOLDER" """],
        env=os.environ | path | {"LOG": str(log), "FOLDER": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print("\n".join(line for line in said.stdout.splitlines() if "rtbrain: " in line))
    return failed.read_text()


def recording_of_a_task(path):
    """A patient with 50 Hz mains who rests (code 1) and speaks (2) for 3 s each, for 20 min."""
    patient = Patient(5, n_channels=8, sfreq_hz=512.0, mains_hz=50.0, difficulty="easy")
    length, n_blocks = round(3 * patient.sfreq_hz), 400
    starts, states = np.arange(n_blocks + 40) * length, np.arange(n_blocks + 40) % 2
    chunk = SyntheticSource(
        patient,
        chunk_samples=n_blocks * length,
        activation=lambda first, n: patient.activation(first, n, (starts, states)),
    ).pull()
    labels = "".join(
        f"<channel><label>{name}</label><unit>microvolts</unit><type>SEEG</type></channel>"
        for name in patient.montage.names
    )
    desc = f"<channels>{labels}</channels>"
    signal = XdfStream("amp", chunk.timestamps, chunk.data.T, 512.0, desc=desc)
    codes = 1 + states[:n_blocks, None].astype(np.int32)
    stamps = chunk.timestamps[starts[:n_blocks]]
    write_xdf(path, signal, XdfStream("task", stamps, codes, 0.0, "int32", "Markers"))


def test_a_session_on_a_replayed_recording_whose_codes_get_names(keyboard, tmp_path):
    session, page = keyboard.session, keyboard.page("setup")
    recording_of_a_task(tmp_path / "task.xdf")
    keyboard.tab_to(page.ways.buttons["recording"])
    keyboard.press(KEY.Key_Return)
    keyboard.in_dialog(str(tmp_path / "task.xdf"))
    keyboard.wait(lambda: {"1", "2"} <= page.markers.rows.keys())
    for code, name in (("1", "rest"), ("2", "speech")):
        keyboard.fill(page.markers.rows[code].name, name)
    assert session.settings.markers == {"1": "rest", "2": "speech"}
    assert (session.settings.classes, session.settings.target) == (("rest", "speech"), "speech")

    def hum():
        return next((row for row in page.checks.rows if row.fix and row.fix.do == "mains"), None)

    keyboard.wait(lambda: hum() is not None and hum().isVisible())
    keyboard.say("hum")
    assert session.settings.mains_hz == 60
    assert page.state()[0] == "fix"
    assert not page.primary.enabled
    keyboard.tab_to(hum().button)
    keyboard.press(KEY.Key_Return)
    assert session.settings.mains_hz == 50
    keyboard.go_on()

    keyboard.enter("Start")
    counts = keyboard.page("calibrate").model
    keyboard.wait(lambda: min(one.usable for one in counts.counts.values()) >= 8)
    keyboard.end()
    keyboard.say("calibrated")
    keyboard.fit_and_use()
    manifest = json.loads((session.folder / session.settings.decoder / "manifest.json").read_text())
    assert {"notch": {"mains_hz": 50}} in manifest["recipe"]["signal"]
    keyboard.run_with_detections()
    keyboard.end()
    bids = keyboard.review_and_export()
    assert len(list(bids.rglob("*_ieeg.vhdr"))) == 2
    scores = json.loads((session.folder / "reports/run-01.json").read_text())["scores"]
    assert scores["events"]["speech"]["n_events"] > 0
