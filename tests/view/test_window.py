"""The window composes its panels, obeys keys, saves its layout, and shows no old data as new."""

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QDialog, QLabel, QLineEdit, QMessageBox, QWidget
from pytestqt.qtbot import QtBot
from rtbrain.apps.view import build_display_chain

from rtbrain.marks import OPERATOR_MARK
from rtbrain.stream.lsl.decodes import DecodeHeader, StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.view.menus import KEYS, KeysDialog, about_dialog, versions
from rtbrain.view.window import MainWindow
from tests.view.playing import Playing
from tests.view.test_marks import RecordingOutlet

PLAIN = Qt.TextFormat.PlainText
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def settings(tmp_path: Path) -> QSettings:
    settings = QSettings(str(tmp_path / "view.ini"), QSettings.Format.IniFormat)
    settings.setValue("window/pictures", str(tmp_path / "pictures"))
    return settings


@pytest.fixture
def session() -> Playing:
    return Playing(lsl_clock)


@pytest.fixture
def window(qtbot: QtBot, session: Playing, settings: QSettings) -> MainWindow:
    return opened(qtbot, session, settings)


def opened(qtbot: QtBot, session: Playing, settings: QSettings) -> MainWindow:
    outlet = RecordingOutlet()
    window = MainWindow(session, outlet, settings, make_chain=build_display_chain)  # type: ignore[arg-type]
    window.sent = outlet.texts  # type: ignore[attr-defined]
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def marks(window: MainWindow) -> list[str]:
    return window.sent  # type: ignore[attr-defined,no-any-return]


def press(qtbot: QtBot, window: MainWindow, keys: str) -> None:
    """Press the keys of a command, as its menu names them."""
    key = keys.removeprefix("Ctrl+")
    code = Qt.Key(ord(key)) if len(key) == 1 else Qt.Key[f"Key_{key}"]
    modifier = CONTROL if keys.startswith("Ctrl+") else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(window, code, modifier)


def test_before_there_is_a_signal_the_window_says_what_to_do(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    qtbot.waitUntil(lambda: "No signal from test-signal yet" in window.chooser.words.text())
    assert window.chooser.isVisible()
    qtbot.mouseClick(window.chooser.again, Qt.MouseButton.LeftButton)
    assert session.looked
    session.start()
    qtbot.waitUntil(lambda: window.panels["signal"].isVisible(), timeout=20_000)
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")


def places(window: MainWindow) -> dict[str, tuple[int, int, int, int]]:
    """Where everything stands in the window."""
    return {name: widget.geometry().getRect() for name, widget in window._places.items()}


def test_a_lost_signal_is_an_alarm_in_which_nothing_moves_until_it_is_back(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.line.names != [] and window.spectra.contact != "")
    before = places(window)
    session.playing = False
    session.feeds = session.all_feeds("stalled", "live")
    qtbot.waitUntil(lambda: window.line.shown.alarm is not None)
    assert window.line.accessibleName().startswith("SIGNAL LOST")
    assert places(window) == before
    press(qtbot, window, "Ctrl+K")
    qtbot.waitUntil(lambda: window.line.shown.alarm is None)
    cells = {cell.key: cell for cell in window.line.shown.cells}
    assert cells["signal"].icon == "fix"
    assert places(window) == before
    session.start()
    qtbot.waitUntil(lambda: window.line.shown.over.startswith("Signal back after"))
    assert places(window) == before
    press(qtbot, window, "Ctrl+J")
    said = ("Seen: SIGNAL LOST", "Signal back after")
    qtbot.waitUntil(lambda: all(one in window.log.body.toPlainText() for one in said))
    press(qtbot, window, "Ctrl+J")
    assert not window.log.isVisible()


def test_the_strip_and_the_frame_stand_for_what_is_nobodys_brain(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    session.start()
    qtbot.waitUntil(window.strip.isVisible)
    assert window.strip.words == ("SYNTHETIC", "a simulated patient. Nobody's brain.")
    assert all(side.isVisible() for side in window.strip.frame)
    with_strip = places(window)["decode"]
    session.feeds = tuple(replace(feed, origin="") for feed in session.feeds)
    qtbot.waitUntil(lambda: not window.strip.isVisible())
    assert not any(side.isVisible() for side in window.strip.frame)
    assert places(window)["decode"][1] == with_strip[1] - 20


def test_the_details_hold_all_that_the_cells_have_no_room_for(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    session.start()
    session.bad = {"A1": "flat for 4 min"}
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    press(qtbot, window, "Ctrl+D")
    qtbot.waitUntil(lambda: "A1: flat for 4 min" in window.details.body.toPlainText())
    assert "nominal 512 Hz" in window.details.body.toPlainText()


@pytest.mark.parametrize("large", [False, True])
def test_the_list_of_keys_fits_the_window(window: MainWindow, large: bool) -> None:
    if large:
        window._retheme(False, True)
    dialog = window.menus.keys_dialog()
    assert (dialog.width() <= 1280, dialog.height() <= 800 - 26) == (True, True)
    assert "Ctrl+K" in [label.text() for label in dialog.findChildren(QLabel)]
    dialog.deleteLater()


def test_a_minimized_window_takes_what_comes_and_draws_nothing(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, taken = [], []
    monkeypatch.setattr(window, "draw_all", drawn.append)
    monkeypatch.setattr(window, "take", taken.append)
    window.showMinimized()
    qtbot.waitUntil(lambda: len(taken) > 10, timeout=20_000)
    assert not drawn
    window.showNormal()
    qtbot.waitUntil(lambda: bool(drawn), timeout=20_000)


def test_a_pause_stops_the_picture_and_neither_the_data_nor_the_decodes(
    qtbot: QtBot, window: MainWindow, session: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.cache is not None)
    drawn: list[str] = []
    for name, panel in window.panels.items():
        monkeypatch.setattr(panel, "draw", lambda now, name=name: drawn.append(name))
    press(qtbot, window, "Space")
    assert window.paused
    drawn.clear()
    taken = window.spectra.cache.n_samples  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: drawn.count("decode") > 3)
    assert set(drawn) == {"decode", "now"}
    assert window.spectra.cache.n_samples > taken  # type: ignore[union-attr]
    assert window.sign.isVisible()
    assert window.sign.text().startswith("Picture paused")
    still = window.panels["signal"].canvas.grab().toImage()
    taken = window.spectra.cache.n_samples  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: window.spectra.cache.n_samples > taken + 100)  # type: ignore[union-attr]
    assert window.panels["signal"].canvas.grab().toImage() == still
    press(qtbot, window, "Space")
    qtbot.waitUntil(lambda: "signal" in drawn)
    assert not window.sign.isVisible()


def test_every_key_of_the_table_runs_its_command(
    qtbot: QtBot, window: MainWindow, session: Playing, settings: QSettings, tmp_path: Path
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
    assert marks(window)[-8:] == list(window.marks.labels)
    press(qtbot, window, "Ctrl+T")
    press(qtbot, window, "Ctrl+L")
    assert (window.theme.name, window.theme.large) == ("light", True)
    press(qtbot, window, "Ctrl+L")
    press(qtbot, window, "Ctrl+S")
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    press(qtbot, window, "Ctrl+4")
    assert not window.spectra.isVisible()
    press(qtbot, window, "Ctrl+0")
    assert window.spectra.isVisible()
    press(qtbot, window, "Ctrl+Q")
    assert not window.isVisible()
    assert session.closed


@pytest.mark.parametrize(
    ("keys", "kind"),
    [("Ctrl+M", QLineEdit), ("Ctrl+E", QLineEdit), ("Ctrl+H", KeysDialog), ("Ctrl+I", QMessageBox)],
)
def test_keys_open_dialogs_that_do_not_stop_the_window(
    qtbot: QtBot, window: MainWindow, session: Playing, keys: str, kind: type
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    press(qtbot, window, keys)
    (dialog,) = [child for child in window.findChildren(QDialog) if child.isVisible()]
    assert isinstance(dialog, kind) or dialog.findChildren(kind)
    taken = window.spectra.cache.n_samples  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: window.spectra.cache.n_samples > taken)  # type: ignore[union-attr]
    dialog.reject()


def test_no_two_commands_share_a_key(window: MainWindow) -> None:
    widgets = [window, *window.panels.values()]
    keys = [action.shortcut().toString() for widget in widgets for action in widget.actions()]
    keys += [action.shortcut().toString() for action in window.menus.actions.values()]
    keys = [key for key in keys if key]
    assert sorted(keys) == sorted(set(keys))


def test_the_help_lists_the_keys_of_the_panels_too_and_about_says_research_only(
    window: MainWindow,
) -> None:
    texts = {label.text() for label in window.menus.keys_dialog().findChildren(QLabel)}
    assert {action.text() for action in window.panels["signal"].actions()} < texts
    said = about_dialog(window).text()
    assert "RESEARCH USE ONLY" in said
    assert all(f"{name} {version}" in said for name, version in versions().items())


def test_theme_type_contact_and_layout_are_saved(
    qtbot: QtBot, window: MainWindow, session: Playing, settings: QSettings
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    press(qtbot, window, "Ctrl+T")
    window.spectra.choose("B2")
    press(qtbot, window, "Ctrl+5")
    window.close()
    again = Playing(lsl_clock)
    other = opened(qtbot, again, settings)
    assert other.theme.name == "light"
    assert not other.panels["contacts"].isVisible()
    again.start()
    qtbot.waitUntil(lambda: other.spectra.contact == "B2")


def test_a_click_on_the_map_chooses_a_contact_and_one_on_a_label_marks_it(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    window.panels["contacts"].selected.emit("A5")  # type: ignore[attr-defined]
    assert window.spectra.contact == "A5"
    window.panels["signal"].marked.emit("A3", True)  # type: ignore[attr-defined]
    assert marks(window)[-1] == "bad A3"
    assert session.bad == {"A3": OPERATOR_MARK}


def test_a_picture_that_cannot_be_saved_is_reported_in_the_status_line(
    qtbot: QtBot, window: MainWindow, settings: QSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.setValue("window/pictures", str(tmp_path / "file" / "folder"))
    press(qtbot, window, "Ctrl+S")
    assert window.menus.message.text().startswith("No picture: ")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_wider_than_the_window_in_large_type(
    qtbot: QtBot, session: Playing, settings: QSettings, theme: str
) -> None:
    settings.setValue("window/theme", theme)
    settings.setValue("window/large", True)
    window = opened(qtbot, session, settings)
    session.start()
    qtbot.waitUntil(lambda: window.spectra.contact == "A1")
    qtbot.waitUntil(lambda: window.panels["signal"].isVisible())
    assert (window.width(), window.height()) == (1280, 800)
    for name in ("signal", "spectrum", "contacts"):
        panel = window.panels[name]
        assert panel.minimumSizeHint().width() <= panel.width(), name


def test_of_several_signals_the_one_that_is_chosen_is_shown(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    signals = tuple(StreamSummary("a&b", "EEG", f"id-{n}", "ward", 4, 512.0) for n in range(2))
    session.choices = (*signals, replace(signals[0], name="c"))
    qtbot.waitUntil(lambda: len(window.chooser.buttons) == 3)
    assert "choose one" in window.chooser.words.text()
    assert window.chooser.buttons[1].text() == "a&&b (id-1): 4 channels, 512 Hz, from ward"
    assert window.chooser.buttons[2].text() == "c: 4 channels, 512 Hz, from ward"
    session.choices = ()
    qtbot.mouseClick(window.chooser.buttons[1], Qt.MouseButton.LeftButton)
    assert session.chosen == [signals[1]]
    assert not window.chooser.buttons


def test_what_strangers_write_is_shown_as_it_is_and_stops_nothing(
    qtbot: QtBot, window: MainWindow, session: Playing
) -> None:
    session.start()
    hostile = "<img src=/dev/zero> <b>x</b>"
    session.decode = DecodeHeader("test-decode", ("rest", hostile), "probability", 0.25)
    for kind in ("failed", "invalid", "channel_bad", "recording", "disk", "summary", hostile):
        for value in (hostile, None, 3, [hostile], {hostile: hostile}, True):
            fields = dict.fromkeys(
                ("stream", "reason", "channel", "file", "bad", "state", "recording", "missing"),
                value,
            )
            session.events.append(StatusEvent(lsl_clock(), kind, fields))
            session.events.append(
                StatusEvent(lsl_clock(), kind, fields | {"stream": "x-record-status"})
            )
    qtbot.waitUntil(lambda: hostile in "".join(line.text for line in window.alarms.log))
    press(qtbot, window, "Ctrl+J")
    press(qtbot, window, "Ctrl+D")
    qtbot.waitUntil(lambda: hostile in window.log.body.toPlainText())
    qtbot.waitUntil(lambda: "Signal" in window.details.body.toPlainText())
    labels = window.findChildren(QLabel)
    assert all("<img" not in one.text() for one in labels if one.textFormat() != PLAIN)
    tips = [one.toolTip() for one in window.findChildren(QWidget)]
    assert not any("<img" in tip for tip in tips)
