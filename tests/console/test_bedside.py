"""A full disk, and Esc while triggers are armed: on the console itself, with real processes."""

import json
import socket
import threading

import numpy as np
import pytest
from PySide6.QtCore import QSettings

from rtbrain.check.faults.rows_recording import _small_disk
from rtbrain.console.running.commands import start_recording
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name, events_name
from rtbrain.view.marks import MarkOutlet
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.window import MainWindow
from tests.console.keyboard import KEY, Keyboard
from tests.console.real import amplified, grows, numbers_of, streams_in
from tests.test_live_equals_offline import DELAY_S

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(600)]
LATE_S = 5.0  # 1 s, and 0.1 s for Esc, on a machine that does nothing else


def test_a_full_disk_is_an_alarm_in_console_and_window_and_costs_no_sample(qtbot, tmp_path):
    with (
        _small_disk(tmp_path) as disk,
        amplified(disk.folder / "s") as session,
        Keyboard(qtbot, session.folder) as keyboard,
    ):
        session, settings = keyboard.session, keyboard.session.settings
        live = ViewSession(stream=settings.signal.name, decode=settings.outlet)
        kept = QSettings(str(tmp_path / "view.ini"), QSettings.Format.IniFormat)
        view = MainWindow(live, MarkOutlet("view"), kept, make_chain=None)
        qtbot.addWidget(view)
        alarms = {"console": keyboard.window.watch.alarms, "window": view.alarms}

        def failed():
            keys = [[alarm.key for alarm in one.active] for one in alarms.values()]
            return ["recording_failed" in each for each in keys]

        run = f"runs/{start_recording(session)}.xdf"
        grows(session, run)
        process = session.jobs["recorder"]._process.pid
        disk.fill(process)
        full_s = lsl_clock()
        keyboard.wait(lambda: all(failed()))
        shown_s = lsl_clock() - full_s
        assert all(one.shown.key == "recording_failed" for one in alarms.values())
        reported_s = keyboard.window.watch.update().recording.since - full_s
        disk.empty(process)
        keyboard.wait(lambda: not any(failed()))
        grows(session, run)
        session.stop("recorder")
        keyboard.wait(lambda: not session.running("recorder"))
        assert np.all(np.diff(numbers_of(session, run)) == 1)
        print(f"{disk.what}: alarm after {reported_s:.2f} s, shown after {shown_s:.2f} s")
        assert reported_s < LATE_S
        view.close()


@pytest.fixture
def triggers():
    """Port of triggers, and when each arrived."""
    arrived, ended = [], threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.1)

        def hear():
            while not ended.is_set():
                try:
                    receiver.recv(2**16)
                except TimeoutError:
                    continue
                arrived.append(lsl_clock())

        thread = threading.Thread(target=hear)
        thread.start()
        yield receiver.getsockname()[1], arrived
        ended.set()
        thread.join()


def test_escape_ends_decodes_detections_and_triggers_and_the_recording_has_no_gap(
    qtbot, tmp_path, triggers
):
    port, arrived = triggers
    with amplified(tmp_path / "s") as made:
        made.change(outputs={"udp": {"to": f"127.0.0.1:{port}"}}, target="speech", threshold=0.5)
        with Keyboard(qtbot, made.folder) as keyboard:
            press_escape(keyboard, arrived)


def press_escape(keyboard, arrived):
    session, run = keyboard.session, keyboard.page("run")
    keyboard.go_to(4)
    keyboard.enter("Start")
    for name in ("detections", "trigger"):
        keyboard.wait(run.switches.switches[name].isEnabled)
        keyboard.tab_to(run.switches.switches[name])
        keyboard.press(KEY.Key_Return)
    keyboard.wait(lambda: len(arrived) > 2)
    pressed_s = lsl_clock()
    keyboard.press(KEY.Key_Escape)
    keyboard.wait(lambda: not session.running("decoder"))
    assert keyboard.window.bar.message.startswith("Outputs stopped by you at ")
    file = session.jobs["recorder"].argv[1]
    grows(session, file)
    keyboard.end()
    assert np.all(np.diff(numbers_of(session, file)) == 1)
    outlet, recorded = session.settings.outlet, streams_in(session.folder / file)
    decoded, events = (recorded[name(outlet)] for name in (decode_name, events_name))
    sent = {
        # An age counts from the moment that is described, which is before the stamp.
        "decode": np.max(decoded["time_stamps"] + decoded["time_series"][:, -3]) - DELAY_S,
        "detection": max(json.loads(row[0])["t_ready"] for row in events["time_series"]),
        "trigger": max(arrived),
    }
    late_s = {what: float(t - pressed_s) for what, t in sent.items()}
    print("the last after Esc:", {what: f"{1000 * t:.0f} ms" for what, t in late_s.items()})
    assert max(late_s.values()) < LATE_S
