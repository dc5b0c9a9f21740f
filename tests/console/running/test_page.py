"""The page Run: what is started, what stays off until it is switched on, and the threshold."""

import json
import shutil

import pytest
from PySide6.QtCore import Qt

from rtbrain.config import DetectSettings
from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.running.commands import Remote, decode_command
from rtbrain.console.running.page import RunPage
from rtbrain.errors import SettingsError, StreamError
from rtbrain.live.run import session_settings
from rtbrain.stream.lsl.decodes import DecodeHeader, StatusEvent
from rtbrain.types import Montage
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT
from tests.console.fitting.reports import CURVE, DETECTIONS, add_decoder, preset
from tests.console.stub import Runs

KEY, SHIFT = Qt.Key, Qt.KeyboardModifier.ShiftModifier
INFO = DecodeHeader("rtbrain-decode", ("rest", "speech"), "probability", 0.125, 0.2)


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path / "s")
    made.change(
        classes=("rest", "speech"),
        target="speech",
        streams=(UsedStream(name="amp", source_id="a1", role="signal"),),
    )
    made.change(decoder=add_decoder(made))
    return made


class Live:
    """Streams of a decoder that runs."""

    def __init__(self):
        self.decode, self.montage, self.bad = INFO, None, {}
        kinds = ("signal", "decode", "status")
        self.feeds = tuple(StreamHealth(kind, kind, "live") for kind in kinds)


@pytest.fixture
def page(qtbot, session):
    made = RunPage(session, DARK)
    made.sent = []

    def send(name, line):
        made.sent.append(line)
        return {"state": "live"}

    made.remote = Remote(session, send)
    qtbot.addWidget(made)
    made.resize(1020, 640)
    made.show()
    return look(made)


def look(page):
    page.remote._pool.submit(int).result()  # what was sent before has been answered
    page.draw(page._looked_at + 1)
    page.grab()
    return page


def running(page, up=0.7, down=0.46, sending=False, outputs=(), armed=False, hold_s=0.0):
    """The page of a decoder that runs, as its summary says."""
    for name, argv in (("decoder", ["decode"]), ("recorder", ["record", "runs/run-01.xdf"])):
        if name not in page.session.jobs:
            page.session._jobs[name] = Runs(name)
            page.session._jobs[name].argv = argv
    page.live = page.live or Live()
    of = {"up": up, "down": down, "hold_s": hold_s, "refractory_s": 1.0, "calibrated": True}
    thresholds = {"speech": of}
    detections = {"sending": sending, "sent": 3, "thresholds": thresholds}
    triggers = {"outputs": list(outputs), "armed": armed}
    fields = {"stream": "rtbrain-status", "detections": detections, "triggers": triggers}
    page.take(SessionUpdate(1.0, events=(StatusEvent(1.0, "summary", fields),)))
    return look(page)


def started_with(page):
    """Settings that a decoder is started with."""
    argv = decode_command(page.session, page.expected)
    pairs = [argv[at + 1] for at, word in enumerate(argv) if word == "--set"]
    return session_settings(None, stream="amp", name="rtbrain", overrides=pairs)


def states(page):
    return {key: (one.state.on, one.state.can) for key, one in page.switches.switches.items()}


def test_a_run_records_and_decodes_and_nothing_else_leaves_until_it_is_switched_on(
    page, session, monkeypatch
):
    started = []
    monkeypatch.setattr(session, "start", lambda name, argv: started.append((name, argv)))
    assert (page.primary.text, page.primary.enabled) == ("Start run", True)
    page.primary.call()
    (recorder, record), (decoder, decode) = started
    assert (recorder, decoder) == ("recorder", "decoder")
    assert record[:2] == ["record", "runs/run-01.xdf"]
    assert record[record.index("--decodes") :][:2] == ["--decodes", "rtbrain"]
    pairs = [decode[at + 1] for at, word in enumerate(decode) if word == "--set"]
    settings = session_settings(None, stream="amp", name="rtbrain", overrides=pairs)
    assert not settings.outlet.detections
    assert (settings.stream.name, settings.stream.source_id) == ("amp", "a1")
    assert "--arm" not in decode
    running(page)
    assert states(page) == {
        "decode": (True, True),
        "record": (True, True),
        "detections": (False, True),
        "trigger": (False, False),
    }
    page.switches.switches["detections"].click()
    look(page)
    assert page.sent == ["detections on"]
    assert (
        "rtbrain control --wait 120 rtbrain detections on"
        in (session.folder / "log.sh").read_text()
    )
    assert states(running(page, sending=True))["detections"] == (True, True)


@pytest.mark.parametrize(
    "source_id", ["1234", "0123", "1e3", "on", "null", "a: b", "amp#1, #2", '"a"', "{x}", "ä"]
)
def test_a_signal_is_decoded_whatever_its_source_id_looks_like(page, session, source_id):
    session.change(streams=(UsedStream(name="amp", source_id=source_id, role="signal"),))
    assert started_with(look(page)).stream.source_id == source_id


def test_a_trigger_is_armed_and_disarmed_by_hand_and_a_refusal_is_said(page, session):
    session.change(outputs={"udp": {"to": "127.0.0.1:9001"}})
    running(page, outputs=["udp 127.0.0.1:9001"])
    assert states(page)["trigger"] == (False, True)
    page.switches.switches["trigger"].click()
    assert states(running(page, outputs=["udp"], armed=True))["trigger"] == (True, True)
    page.switches.switches["trigger"].click()
    look(page)
    assert page.sent == ["arm", "disarm"]
    said = []
    page.says.connect(said.append)

    def refuse(name, line):
        raise StreamError("nothing answers")

    page.remote._send = refuse
    page.switches.switches["trigger"].click()
    look(page)
    assert said == ["nothing answers"]


def test_the_threshold_moves_by_keys_presets_and_back_and_each_change_reaches_the_decoder(
    qtbot, page, session
):
    running(page)
    slider = page.threshold.slider
    assert page.threshold.up == 0.7
    assert page.threshold.buttons["balanced"].isChecked()
    qtbot.keyClick(slider, KEY.Key_Right, modifier=SHIFT)
    running(page, up=0.75, down=0.52)
    assert (session.settings.threshold, session.settings.rearm) == (0.75, 0.52)
    assert page.threshold.texts()[0].value == "none"
    assert not any(button.isChecked() for button in page.threshold.buttons.values())
    page.threshold.buttons["few_alarms"].click()
    running(page, up=0.8, down=0.6)
    qtbot.keyClick(slider, KEY.Key_Left)
    running(page, up=0.79, down=0.57)
    rearm = session.settings.rearm  # the curve has no such threshold: as far below, in logits
    assert rearm / (1 - rearm) / (0.79 / 0.21) == pytest.approx((0.6 / 0.4) / (0.8 / 0.2), abs=1e-3)
    for up, down in ((0.8, 0.6), (0.75, 0.52), (0.7, 0.46)):
        next(one for one in page.buttons if one.text == "Take back the last change").call()
        running(page, up=up, down=down)
    assert page.sent == [
        "threshold 0.75 0.52 speech",
        "threshold few_alarms speech",
        f"threshold 0.79 {rearm:g} speech",
        "threshold few_alarms speech",
        "threshold 0.75 0.52 speech",
        "threshold balanced speech",
    ]
    assert not page.buttons[0].enabled


def test_before_a_run_a_threshold_is_kept_for_its_start(page, session):
    page.threshold.buttons["few_misses"].click()
    look(page)
    assert not page.sent
    settings = started_with(page)
    assert (settings.preset, settings.detect) == ("few_misses", None)
    page.choose_threshold(0.75)
    settings = started_with(page)
    assert settings.preset is None
    assert (settings.detect["speech"].up, settings.detect["speech"].down) == (0.75, 0.52)


def test_a_preset_keeps_how_long_outputs_are_held_and_all_else_stays_as_the_decoder_has_it(
    qtbot, session
):
    held = {"up": 0.8, "down": 0.6, "hold_s": 0.5}
    of = DETECTIONS["speech"]
    presets = of["presets"] | {"few_alarms": preset(0.8, 0.6, 30, 0) | {"settings": held}}
    curves = {"0": CURVE, "0.5": CURVE | {"n_found": [40, 38, 36, 34, 30, 11]}}
    found = {"speech": of | {"presets": presets, "curves": curves}}
    other = {"up": 0.7, "refractory_s": 2.5, "min_coverage": 0.6}
    detect = {"speech": {"up": 0.7, "down": 0.46, "max_per_min": 7}, "rest": other}
    session.change(decoder=add_decoder(session, detections=found, detect=detect))
    page = RunPage(session, DARK)
    qtbot.addWidget(page)
    page.sent, page.remote = [], Remote(session, lambda name, line: page.sent.append(line) or {})
    page.show()
    look(page)
    assert page.threshold.point.n_found == 55
    page.threshold.buttons["few_alarms"].click()
    look(page)
    assert page.threshold.point.n_found == 30
    assert page.threshold.buttons["few_alarms"].isChecked()
    assert "held 0.5 s" in page.threshold.about
    assert started_with(page).preset == "few_alarms"
    page.choose_threshold(0.9)
    kept = started_with(page).detect
    assert kept["speech"] == DetectSettings(up=0.9, down=0.77, hold_s=0.5, max_per_min=7)
    assert kept["rest"] == DetectSettings(**other)
    running(page)
    page.choose_preset("few_alarms")
    running(page, up=0.8, down=0.6, hold_s=0.5)
    assert page.threshold.point.n_found == 30
    page.choose_preset("balanced")
    running(page)
    page._change(DetectSettings(up=0.9, down=0.77, hold_s=0.5))
    look(page)
    assert page.sent == [
        "threshold few_alarms speech",
        "threshold balanced speech",
        "threshold few_alarms speech",
        "threshold 0.9 0.77 speech",
    ]


def test_the_end_asks_first_then_ends_decoder_and_recording(page, session):
    running(page)
    (session.folder / "runs/run-01.xdf").write_bytes(b"0" * 2_000_000)
    session.jobs["recorder"].t_start = session.clock() - 14 * 60
    asked = []
    page.asks.connect(lambda text, answers, still: asked.append((text, answers)))
    assert (page.primary.text, page.primary.key) == ("End run…", "Ctrl+End")
    page.primary.call()
    ((question, (end, go_on)),) = asked
    assert question == "End the recording of run-01? 14 min, 2 MB."
    go_on.call()
    assert session.running("recorder")
    end.call()
    assert session.jobs["decoder"].stopping
    assert session.jobs["recorder"].stopping


def test_without_a_decoder_or_a_signal_it_says_what_is_needed(page, session):
    session.change(streams=())
    assert look(page).primary.reason == "Choose the signal in Set up first."
    session.change(decoder=None)
    assert look(page).primary.reason == "Needs a decoder."
    assert not page.primary.enabled
    assert page.buttons[0].text == "Go to Fit"
    page.restyle(LIGHT)
    look(page)


def test_a_decoder_that_is_gone_or_of_other_contacts_is_not_started(page, session):
    folder = session.folder / session.settings.decoder
    (folder / "montage.tsv").write_text("name\tkind\nA1\tseeg\nA2\tseeg\nB1\tseeg\n")
    manifest = {"mode": "linear", "detect": {}, "sfreq_hz": 1024.0}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page.live = Live()
    assert look(page).primary.enabled  # nothing is known of the signal yet
    page.live.montage = Montage(("A1", "B2"), ("seeg",) * 2, 1024.0)
    assert look(page).primary.reason.startswith(
        "The signal lacks 2 contacts of the decoder: A2, B1."
    )
    assert not page.primary.enabled
    page.live.montage = Montage(("A1", "A2", "B1", "B2"), ("seeg",) * 4, 512.0)
    assert look(page).primary.reason.startswith("The signal has 512 Hz, the decoder was fitted on")
    page.live.montage = Montage(("A1", "A2", "B1", "B2"), ("seeg",) * 4, 1024.1)
    assert look(page).primary.enabled
    shutil.rmtree(folder)
    assert look(page).primary.reason.startswith(f"{session.settings.decoder} is gone.")
    assert page.state() == ("fix", "the decoder in use is gone")
    assert page.buttons[0].text == "Go to Fit"
    with pytest.raises(SettingsError, match="is gone"):
        page.start()


def test_a_decoder_that_was_stopped_is_shown_as_off_at_once(page, session):
    running(page, sending=True)
    session.jobs["decoder"].stopping = True
    assert states(look(page)) == {
        "decode": (False, False),  # until it has ended
        "record": (True, True),
        "detections": (False, False),
        "trigger": (False, False),
    }
    assert page.state() == ("look", "recording, not decoding")


def test_the_switch_of_the_recording_starts_no_decoder_and_a_refusal_is_said(
    page, session, monkeypatch
):
    started, said = [], []
    monkeypatch.setattr(session, "start", lambda name, argv: started.append(name))
    page.says.connect(said.append)
    page.switches.switches["record"].click()
    assert started == ["recorder"]
    assert said == ["run-01 begins: it is recorded, and not decoded."]

    def refuse(name, argv):
        raise StreamError("no room")

    monkeypatch.setattr(session, "start", refuse)
    for key in ("record", "decode"):
        page.switches.switches[key].click()
    assert said[1:] == ["no room", "no room"]


def test_while_a_run_is_closed_it_cannot_be_ended_again_and_a_decoder_that_ends_not_be_started(
    page, session
):
    running(page)
    session.jobs["recorder"].stopping = session.jobs["decoder"].stopping = True
    look(page)
    assert (page.primary.text, page.primary.enabled) == ("Closing run-01…", False)
    page._end()
    assert not session.jobs["recorder"].killed
    session.jobs["recorder"].running = False
    session.jobs["decoder"].running = True
    look(page)
    assert (page.primary.text, page.primary.enabled) == ("Start run", False)
    assert page.primary.reason == "The decoder is ending; start again when it has."
