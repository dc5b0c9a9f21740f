"""Where triggers go is asked for in the window, and what cannot be is refused before the start."""

import pytest

from rtbrain.console.folder import Session
from rtbrain.console.page import Page
from rtbrain.console.running.outputs import TriggerForm
from rtbrain.errors import SettingsError
from rtbrain.view.theme import DARK
from tests.console.stub import Runs


class Asked:
    """A page whose questions are answered by the test."""

    def __init__(self, qtbot, tmp_path):
        self.session = Session(tmp_path)
        self.session.change(classes=("rest", "speech"))
        page = Page(self.session, DARK)
        qtbot.addWidget(page)
        self.form, self.answers, self.given, self.still = TriggerForm(page), {}, "", None
        page.asks.connect(self._ask)
        page.asks_text.connect(self._ask_text)

    def _ask(self, question, answers, still):
        self.answers, self.still = {one.text: one.call for one in answers}, still

    def _ask_text(self, question, given, call, still):
        self.given, self.enter, self.still = given, call, still

    @property
    def outputs(self):
        return Session(self.session.folder).settings.outputs


@pytest.fixture
def asked(qtbot, tmp_path):
    return Asked(qtbot, tmp_path)


def test_a_receiver_is_set_in_two_steps_and_taken_back(asked):
    asked.form.ask()
    asked.answers["UDP"]()
    assert asked.given == "127.0.0.1:9001"
    asked.enter("10.0.0.4:9001")
    assert asked.outputs == {"udp": {"to": "10.0.0.4:9001"}}
    assert "Trigger to a device: udp 10.0.0.4:9001" in (asked.session.folder / "log.sh").read_text()
    asked.form.ask()
    asked.answers["OSC"]()
    asked.enter("127.0.0.1:9000")
    assert asked.outputs == {"osc": {"to": "127.0.0.1:9000"}}
    asked.form.ask()
    asked.answers["Nowhere"]()
    assert asked.outputs == {}


def test_a_serial_port_gets_codes_and_keeps_what_only_a_file_can_set(asked):
    asked.session.change(outputs={"serial": {"port": "COM1", "pulse_s": 0.02}, "disarm_after_s": 2})
    asked.form.ask()
    asked.answers["Serial port"]()
    assert asked.given == "COM1"
    asked.enter("COM3")
    asked.enter("speech=7")
    serial = {"port": "COM3", "pulse_s": 0.02, "codes": {"speech": 7}}
    assert asked.outputs == {"serial": serial, "disarm_after_s": 2}


@pytest.mark.parametrize(
    ("kind", "texts", "why"),
    [
        ("UDP", ["nowhere"], "expected HOST:PORT"),
        ("Serial port", [""], "port: expected a text that is not empty"),
        ("Serial port", ["COM3", "hand=1"], "hand=1: expected a class and its code"),
        ("Serial port", ["COM3", "speech=x"], "expected a class and its code"),
        ("Serial port", ["COM3", "speech=300"], "expected 255 or less"),
    ],
)
def test_what_no_device_takes_is_refused_and_changes_nothing(asked, kind, texts, why):
    asked.form.ask()
    asked.answers[kind]()
    for text in texts[:-1]:
        asked.enter(text)
    with pytest.raises(SettingsError, match=why):
        asked.enter(texts[-1])
    assert asked.outputs == {}


def test_it_is_not_asked_while_a_decoder_holds_its_outputs_open(asked):
    assert asked.form.action.enabled
    asked.form.ask()
    asked.session._jobs["decoder"] = Runs()
    assert not asked.still()
    assert not asked.form.action.enabled
