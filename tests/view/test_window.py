"""The window composes the panels, obeys keys, remembers, and never shows the old as the new."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QDialog, QLineEdit, QMessageBox
from pytestqt.qtbot import QtBot
from rtbrain.apps.view import make_chain

from rtbrain.stream.lsl import lsl_clock
from rtbrain.types import Chunk, Montage
from rtbrain.view.about import versions
from rtbrain.view.keys import KEYS, KeysDialog
from rtbrain.view.marks import MarkOutlet
from rtbrain.view.pace import DrawPace
from rtbrain.view.session import DecodeInfo, DecodeRow, Feed, Told, Update
from rtbrain.view.window import Window
from tests.conftest import brain_like, montage_of
from tests.view.test_marks import Sent

SFREQ_HZ = 512.0
MONTAGE = montage_of(16, SFREQ_HZ)
SIGNAL = brain_like(16, 4096, SFREQ_HZ)
NAN = float("nan")
CONTROL = Qt.KeyboardModifier.ControlModifier


class Playing:
    """A session that plays a signal as fast as it is polled, until it is told to stop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.montage: Montage | None = None
        self.decode: DecodeInfo | None = None
        self.bad: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self.feeds = self.all_feeds("absent")
        self.told: list[Told] = []
        self.playing = False
        self.closed = False
        self._clock = clock
        self._at = 0
        self._new = False

    @staticmethod
    def feed(kind: str, state: str) -> Feed:
        return Feed(f"test-{kind}", kind, state, "synthetic", 512.0, 512.0, 1, 0, 0.0, 0.0, NAN)

    @classmethod
    def all_feeds(cls, signal: str, others: str = "absent") -> tuple[Feed, ...]:
        rest = (cls.feed(kind, others) for kind in ("decode", "status", "record"))
        return (cls.feed("signal", signal), *rest)

    @property
    def marked(self) -> frozenset[str]:
        return frozenset(label for label, why in self.bad.items() if why == "by hand")

    def mark(self, label: str, bad: bool) -> None:
        kept = {name: why for name, why in self.bad.items() if name != label}
        self.bad = kept | ({label: "by hand"} if bad else {})

    def start(self) -> None:
        self.montage, self.playing, self._new = MONTAGE, True, True
        self.decode = DecodeInfo("test-decode", ("rest", "speech"), "probability", 0.25, 0)
        self.feeds = self.all_feeds("live", "live")

    def poll(self) -> Update:
        now, new, told = self._clock(), self._new, tuple(self.told)
        self._new = False
        self.told.clear()
        if not self.playing:
            return Update(now, told=told, new_montage=new)
        n_samples = 17
        rows = np.arange(self._at, self._at + n_samples)
        stamps = now - (n_samples - 1 - np.arange(n_samples)) / SFREQ_HZ
        chunk = Chunk(np.take(SIGNAL, rows, axis=1, mode="wrap"), stamps, self._at)
        self._at += n_samples
        values = np.array([0.25, 0.75], np.float32)
        row = DecodeRow(now, now, values, True, 1.0, 0.2, 0.01)
        return Update(now, (chunk,), (row,), told, ((now, "go"),), new)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def settings(tmp_path: Path) -> QSettings:
    settings = QSettings(str(tmp_path / "view.ini"), QSettings.Format.IniFormat)
    settings.setValue("window/pictures", str(tmp_path / "pictures"))
    return settings


@pytest.fixture
def session() -> Playing:
    return Playing(lsl_clock)


@pytest.fixture
def window(qtbot: QtBot, session: Playing, settings: QSettings) -> Window:
    return opened(qtbot, session, settings)


def opened(qtbot: QtBot, session: Playing, settings: QSettings) -> Window:
    window = Window(session, Sent(), settings, make_chain=make_chain)  # type: ignore[arg-type]
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def marks(window: Window) -> list[str]:
    return window.hands._marks.texts  # type: ignore[attr-defined,no-any-return]


def foot(window: Window) -> str:
    return window.status_line._error.text()


def press(qtbot: QtBot, window: Window, keys: str) -> None:
    """Press the keys of a command, as its menu names them."""
    key = keys.removeprefix("Ctrl+")
    code = Qt.Key(ord(key)) if len(key) == 1 else Qt.Key[f"Key_{key}"]
    modifier = CONTROL if keys.startswith("Ctrl+") else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(window, code, modifier)


def test_before_there_is_a_signal_the_window_says_what_to_do(
    qtbot: QtBot, window: Window, session: Playing
) -> None:
    qtbot.waitUntil(lambda: "rtbrain simulate" in foot(window))
    assert "waiting for the stream test-signal" in window._waiting.text()
    assert window._waiting.isVisible()
    session.start()
    qtbot.waitUntil(lambda: window.panels["traces"].isVisible())
    qtbot.waitUntil(lambda: foot(window) == "")
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")


def test_errors_that_are_told_and_streams_that_are_lost_stand_in_the_status_line(
    qtbot: QtBot, window: Window, session: Playing
) -> None:
    session.start()
    session.told.append(Told(0.0, "refused", {"stream": "d-status", "why": "1000 Hz, not 2048"}))
    qtbot.waitUntil(lambda: foot(window) == "d-status refused: 1000 Hz, not 2048")
    session.feeds = session.all_feeds("lost", "live")
    qtbot.waitUntil(lambda: foot(window).startswith("lost: test-signal; d-status refused"))
    session.told.append(Told(0.0, "live", {}))
    session.feeds = session.all_feeds("live", "live")
    qtbot.waitUntil(lambda: foot(window) == "")


def test_a_decoder_that_said_that_it_ends_is_not_lost(
    qtbot: QtBot, window: Window, session: Playing
) -> None:
    session.start()
    session.told.append(Told(0.0, "stopped", {"stream": "test-status"}))
    session.feeds = (*session.all_feeds("live", "lost")[:3], session.feed("record", "live"))
    qtbot.waitUntil(lambda: window.status_line._ended == {"test"})
    qtbot.waitUntil(lambda: foot(window) == "")
    session.feeds = session.all_feeds("live", "lost")
    qtbot.waitUntil(lambda: foot(window) == "lost: test-record")


def test_a_pause_stops_the_picture_and_neither_the_data_nor_the_decodes(
    qtbot: QtBot, window: Window, session: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra._cache is not None)
    drawn: list[str] = []
    for name, panel in window.panels.items():
        monkeypatch.setattr(panel, "draw", lambda now, name=name: drawn.append(name))
    press(qtbot, window, "Space")
    assert window.paused
    drawn.clear()
    taken = window.spectra._cache._taken  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: drawn.count("decodes") > 3)
    assert set(drawn) == {"banner", "health", "decodes"}
    assert window.spectra._cache._taken > taken  # type: ignore[union-attr]
    assert window._sign.isVisible()
    assert window._sign.text().startswith("PAUSED")
    press(qtbot, window, "Space")
    qtbot.waitUntil(lambda: "traces" in drawn)
    assert not window._sign.isVisible()


def test_every_key_of_the_table_sets_off_its_command(
    qtbot: QtBot, window: Window, session: Playing, settings: QSettings, tmp_path: Path
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    seen = {
        action.text() for menu in window.menuBar().actions() for action in menu.menu().actions()
    }
    assert {key.text for key in KEYS if key.command != "bad"} <= seen
    press(qtbot, window, ".")
    assert window.spectra.contact == "A2"
    press(qtbot, window, ",")
    press(qtbot, window, ",")
    assert window.spectra.contact == "B8"
    press(qtbot, window, "Ctrl+B")
    assert session.marked == {"B8"}
    assert window.menus.actions["bad"].isChecked()
    press(qtbot, window, "Ctrl+B")
    assert not session.marked
    assert [text for text in marks(window) if text != "bad?"] == ["bad B8", "good B8"]
    for number in range(1, 9):
        press(qtbot, window, f"F{number}")
    assert marks(window)[-8:] == list(window.hands.labels)
    press(qtbot, window, "Ctrl+T")
    press(qtbot, window, "Ctrl+L")
    assert (window.theme.name, window.theme.large) == ("light", True)
    press(qtbot, window, "Ctrl+S")
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    window.docks["spectra"].hide()
    press(qtbot, window, "Ctrl+0")
    assert window.docks["spectra"].isVisible()
    press(qtbot, window, "Ctrl+4")
    assert not window.docks["spectra"].isVisible()
    press(qtbot, window, "Ctrl+Q")
    assert not window.isVisible()
    assert session.closed


@pytest.mark.parametrize(
    ("keys", "kind"),
    [("Ctrl+M", QLineEdit), ("Ctrl+E", QLineEdit), ("Ctrl+H", KeysDialog), ("Ctrl+I", QMessageBox)],
)
def test_keys_open_dialogs_that_do_not_stop_the_window(
    qtbot: QtBot, window: Window, session: Playing, keys: str, kind: type
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    press(qtbot, window, keys)
    (dialog,) = [child for child in window.findChildren(QDialog) if child.isVisible()]
    assert isinstance(dialog, kind) or dialog.findChildren(kind)
    taken = window.spectra._cache._taken  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: window.spectra._cache._taken > taken)  # type: ignore[union-attr]
    dialog.reject()


def test_no_two_commands_share_a_key(window: Window) -> None:
    widgets = [window, *window.panels.values()]
    keys = [action.shortcut().toString() for widget in widgets for action in widget.actions()]
    keys += [action.shortcut().toString() for action in window.menus.actions.values()]
    keys = [key for key in keys if key]
    assert sorted(keys) == sorted(set(keys))


def test_the_help_lists_the_keys_of_the_panels_too_and_about_says_research_only(
    window: Window,
) -> None:
    from PySide6.QtWidgets import QLabel

    from rtbrain.view.about import about_box

    (text,) = [label.text() for label in window.menus.keys_dialog().findChildren(QLabel)]
    for action in window.panels["traces"].actions():
        assert action.text() in text
    said = about_box(window).text()
    assert "Research use only" in said
    assert all(f"{name} {version}" in said for name, version in versions().items())


def test_theme_type_contact_and_layout_are_remembered(
    qtbot: QtBot, window: Window, session: Playing, settings: QSettings
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    press(qtbot, window, "Ctrl+T")
    window.spectra.choose("B2")
    window.docks["electrodes"].hide()
    window.close()
    again = Playing(session._clock)
    other = opened(qtbot, again, settings)
    assert other.theme.name == "light"
    assert not other.docks["electrodes"].isVisible()
    again.start()
    qtbot.waitUntil(lambda: other.spectra.contact == "B2")


def test_a_click_on_the_map_chooses_a_contact_and_one_on_a_label_marks_it(
    qtbot: QtBot, window: Window, session: Playing
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    window.panels["electrodes"].selected.emit("A5")  # type: ignore[attr-defined]
    assert window.spectra.contact == "A5"
    window.panels["traces"].marked.emit("A3", True)  # type: ignore[attr-defined]
    assert marks(window)[-1] == "bad A3"
    assert session.bad == {"A3": "by hand"}


def test_a_picture_that_cannot_be_saved_is_said_in_the_status_line(
    qtbot: QtBot, window: Window, settings: QSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.setValue("window/pictures", str(tmp_path / "file" / "folder"))
    press(qtbot, window, "Ctrl+S")
    assert window.statusBar().currentMessage().startswith("no picture: ")


def test_where_drawing_is_slow_it_is_done_less_often_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = DrawPace(20.0)
    assert (pace.interval_s, pace.text) == (0.05, "")
    for _ in range(30):
        pace.drawn(0.02)
        now[0] += pace.interval_s
    assert (pace.interval_s, pace.text) == (0.05, "")
    for _ in range(60):
        pace.drawn(0.08)
        now[0] += pace.interval_s
    assert pace.interval_s == pytest.approx(0.08 / 0.7)
    assert pace.text == "drawing at 9 of 20 Hz"


def test_a_real_outlet_of_marks_can_be_had_twice_under_one_name() -> None:
    assert MarkOutlet("twice").name == MarkOutlet("twice").name == "twice-marks"


def test_a_panel_that_fails_does_not_freeze_the_others(
    qtbot: QtBot, window: Window, session: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.start()
    drawn: list[float] = []
    monkeypatch.setattr(window.panels["banner"], "draw", drawn.append)
    with qtbot.captureExceptions() as failures:
        monkeypatch.setattr(window.panels["spectra"], "draw", lambda now: 1 / 0)
        qtbot.waitUntil(lambda: len(failures) > 2)
        monkeypatch.undo()
    assert len(drawn) > 2


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_wider_than_the_window_in_large_type(
    qtbot: QtBot, session: Playing, settings: QSettings, theme: str
) -> None:
    settings.setValue("window/theme", theme)
    settings.setValue("window/large", True)
    window = opened(qtbot, session, settings)
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    qtbot.waitUntil(lambda: window.panels["traces"].isVisible())
    assert (window.width(), window.height()) == (1280, 800)
    canvas = window.spectra._canvas
    assert canvas.ci.effectiveSizeHint(Qt.SizeHint.MinimumSize).width() <= canvas.width()
