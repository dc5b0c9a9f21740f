"""The contacts panel: by shaft or from above, and each state has a shape of its own."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication

from rtbrain.marks import OPERATOR_MARK
from rtbrain.types import Chunk, Montage
from rtbrain.view.electrodes.layout import draw_contacts
from rtbrain.view.electrodes.panel import ElectrodePanel
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import brain_like, cut, montage_of
from tests.view.stub import StubSession

SFREQ_HZ = 512.0
ROOM = QRectF(0, 0, 640, 260)
NAME_PX = 40.0


@pytest.fixture
def panel_of(qtbot):
    def make(montage, theme=DARK, size=(640, 300), bad=()):
        session = StubSession(montage)
        session.bad = dict(bad)
        panel = ElectrodePanel(session, theme)
        qtbot.addWidget(panel)
        panel.resize(*size)
        panel.show()
        panel.take(SessionUpdate(0.0, new_montage=True))
        panel.draw(0.0)
        QApplication.processEvents()
        return panel, session

    return make


def test_voxels_and_millimetres_make_the_same_picture():
    mm = np.random.default_rng(0).uniform(-60, 60, (20, 3)).round().astype(np.float32)
    voxels = (128 - mm[:, [0, 2, 1]]).astype(np.float32)
    montage = montage_of(20, SFREQ_HZ)
    places = [(mm, "MNI mm"), (voxels, "LIP voxels"), (mm / 1000, "head m")]
    drawn = [
        draw_contacts(replace(montage, positions=at, space=space), ROOM, NAME_PX, from_above=True)
        for at, space in places
    ]
    for (other,) in drawn[1:]:
        np.testing.assert_allclose(other.px, drawn[0][0].px, atol=1e-3)
        assert other.head.center().x() == pytest.approx(drawn[0][0].head.center().x())


def test_left_is_left_and_front_is_up_and_all_are_inside_the_head():
    positions = np.float32([[-50, 0, 0], [50, 60, 0], [0, 0, 70]])
    montage = replace(montage_of(3, SFREQ_HZ), positions=positions, space="MNI mm")
    (drawing,) = draw_contacts(montage, ROOM, NAME_PX, from_above=True)
    assert drawing.px[0, 0] < drawing.px[2, 0] < drawing.px[1, 0]
    assert drawing.px[1, 1] < drawing.px[0, 1]
    assert drawing.head.width() < drawing.head.height()
    assert all(drawing.head.contains(QPointF(*px)) for px in drawing.px.tolist())
    (unknown,) = draw_contacts(
        replace(montage, space="scanner units"), ROOM, NAME_PX, from_above=True
    )
    assert unknown.head is None


@pytest.mark.parametrize("from_above", [False, True])
def test_every_contact_is_drawn_once_with_or_without_a_position(from_above):
    montage = montage_of(24, SFREQ_HZ)
    some = np.array(montage.positions)
    some[5:9] = np.nan
    for positions, n_drawings in ((montage.positions, 1), (None, 1), (some, 1 + from_above)):
        space = None if positions is None else "LIP voxels"
        drawings = draw_contacts(
            replace(montage, positions=positions, space=space),
            ROOM,
            NAME_PX,
            from_above=from_above,
        )
        assert sorted(row for one in drawings for row in one.rows.tolist()) == list(range(24))
        assert len(drawings) == n_drawings


@pytest.mark.parametrize("n_channels", [1, 8, 50, 256, 1024])
@pytest.mark.parametrize("room", [ROOM, QRectF(0, 0, 286, 190), QRectF(0, 0, 1900, 900)])
def test_contacts_by_shaft_are_apart_and_inside_their_room(n_channels, room):
    names = tuple(f"S{i // 12}x{i % 12 + 1}" for i in range(n_channels))
    montage = Montage(names, ("seeg",) * n_channels, SFREQ_HZ)
    (drawing,) = draw_contacts(montage, room, NAME_PX, from_above=False)
    away = np.linalg.norm(drawing.px[:, None] - drawing.px[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert away.min() >= 2 * drawing.radius_px
    assert all(room.contains(QPointF(*px)) for px in drawing.px.tolist())
    assert (drawing.px[:, 1] + drawing.radius_px + drawing.room_px <= room.bottom() + 1).all()
    assert len(drawing.shafts) == math.ceil(n_channels / 12)


def test_a_click_chooses_the_contact_under_it(panel_of, qtbot):
    montage = replace(montage_of(24, SFREQ_HZ), positions=None, space=None)
    panel, session = panel_of(montage)
    for label in ("A1", "B3", "C8"):
        with qtbot.waitSignal(panel.selected) as emitted:
            place = panel.map.place_of(label).toPoint()
            qtbot.mouseClick(panel.map, Qt.MouseButton.LeftButton, pos=place)
        assert emitted.args == [label]
    with qtbot.assertNotEmitted(panel.selected):
        qtbot.mouseClick(panel.map, Qt.MouseButton.LeftButton, pos=QPoint(0, 0))
        panel.choose("A2")
    for marked in (frozenset(), frozenset({"C8"})):
        session.marked = marked
        with qtbot.waitSignal(panel.marked) as emitted:
            qtbot.mouseClick(panel.map, Qt.MouseButton.RightButton, pos=place)
        assert emitted.args == ["C8", not marked]


def test_arrow_keys_choose_the_next_contact_and_the_one_before(panel_of, qtbot):
    panel, _ = panel_of(montage_of(3, SFREQ_HZ))
    chosen = []
    panel.selected.connect(chosen.append)
    right, left = Qt.Key.Key_Right, Qt.Key.Key_Left
    for key in (right, right, right, right, left):
        qtbot.keyClick(panel.map, key)
    assert chosen == ["A1", "A2", "A3", "A3", "A2"]


def test_hovering_shows_label_quality_position_and_power(panel_of, monkeypatch):
    montage = montage_of(8, SFREQ_HZ)
    panel, _ = panel_of(montage, bad={"A3": "flat"})
    tips = []
    monkeypatch.setattr(
        "rtbrain.view.theme.QToolTip.showText", lambda at, text, over: tips.append(text)
    )
    data = brain_like(8, round(12 * SFREQ_HZ), SFREQ_HZ)
    panel.take(SessionUpdate(1.0, chunks=tuple(cut(data, [], SFREQ_HZ))))
    panel.draw(2.0)
    place = panel.map.place_of("A3").toPoint()
    QApplication.sendEvent(panel.map, QHelpEvent(QHelpEvent.Type.ToolTip, place, place))
    (text,) = tips
    assert "A3 (seeg): bad, flat" in text
    assert "LIP voxels" in text
    assert "z = " in text
    assert text.count("flat") == 1


def test_a_failure_while_painting_is_reported_and_does_not_end_the_process(
    panel_of, qtbot, monkeypatch
):
    panel, _ = panel_of(montage_of(4, SFREQ_HZ), bad={"A1": "flat"})
    monkeypatch.setattr("rtbrain.view.electrodes.map.paint_icon", lambda *_: np.empty((1, -1)))
    with qtbot.captureExceptions() as emitted:
        panel.map.update()
        QApplication.processEvents()
    assert emitted[0][0] is ValueError


def inks(panel, label, reach_px=12):
    at = panel.map.place_of(label).toPoint()
    box = QRect(0, 0, 2 * reach_px, 2 * reach_px)
    box.moveCenter(at)
    image = panel.map.grab(box).toImage()
    pixels = ((x, y) for x in range(image.width()) for y in range(image.height()))
    return Counter(image.pixelColor(*pixel).name() for pixel in pixels)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_each_state_has_a_shape_and_an_ink(panel_of, theme):
    montage = replace(montage_of(16, SFREQ_HZ), positions=None, space=None)
    panel, session = panel_of(montage, theme, bad={"A3": "flat", "B1": OPERATOR_MARK})
    panel.choose("A5")
    live = {name: inks(panel, name) for name in ("A1", "A3", "B1", "A5")}
    assert live["A1"][theme.bg2] > 100
    assert live["A3"][theme.warn] > 50
    assert live["B1"][theme.text] > 50
    assert not live["B1"][theme.warn]
    assert live["A5"][theme.accent] > 20
    session.set("signal", state="lost")
    panel.draw(4.2)
    old = inks(panel, "A1")
    assert not old[theme.bg2]
    assert old[theme.faint]
    assert panel.key.text == "old: as it was 4.2 s ago"
    session.set("signal", state="live")
    panel.draw(5.0)
    assert inks(panel, "A1") == live["A1"]


def test_the_key_counts_and_calls_nothing_good_that_nobody_checks(panel_of):
    panel, session = panel_of(montage_of(16, SFREQ_HZ), bad={"A3": "flat", "B1": OPERATOR_MARK})
    assert panel.key.text == "good 14, bad 2, click: choose, B: bad by hand"
    session.bad = {}
    panel.draw(0.1)
    assert "bad 2" in panel.key.text
    panel.draw(0.3)
    assert "good 16, bad 0" in panel.key.text
    session.set("status", state="absent")
    panel.draw(0.6)
    assert panel.key.text.startswith("not checked 16")


def test_the_map_is_from_above_in_wide_windows_until_someone_chooses(panel_of):
    panel, _ = panel_of(montage_of(16, SFREQ_HZ), size=(640, 300))
    assert not panel.map.from_above
    panel.resize(1600, 900)
    panel.draw(1.0)
    assert panel.map.from_above
    panel._choose_view(0)
    panel.draw(2.0)
    assert not panel.map.from_above
    unplaced, _ = panel_of(
        replace(montage_of(16, SFREQ_HZ), positions=None, space=None), size=(1600, 900)
    )
    assert not unplaced.map.from_above
    assert "positions unknown" in unplaced.key.text


def test_power_colours_the_contacts_once_there_is_enough(panel_of):
    panel, _ = panel_of(montage_of(4, SFREQ_HZ))
    panel.choice.button(1).setChecked(True)
    panel.draw(1.0)
    assert "needs 10 s more" in panel.key.text
    assert {style.fill for style in panel.map.styles} == {""}
    data = brain_like(4, round(12 * SFREQ_HZ), SFREQ_HZ)
    panel.take(SessionUpdate(1.0, chunks=tuple(cut(data, [], SFREQ_HZ))))
    panel.draw(2.0)
    assert "70 to 150 Hz, z" in panel.key.text
    assert len({style.fill for style in panel.map.styles}) > 1
    assert not panel.map.grab().isNull()


def test_a_slow_signal_says_why_there_is_no_power(panel_of):
    panel, _ = panel_of(montage_of(4, 250.0))
    panel.choice.button(1).setChecked(True)
    panel.take(
        SessionUpdate(1.0, chunks=(Chunk(np.zeros((4, 250), np.float32), np.arange(250.0)),))
    )
    panel.draw(1.0)
    assert "needs a rate above 300 Hz; the signal has 250 Hz" in panel.key.text


def test_another_montage_begins_anew_and_before_one_there_are_words(panel_of, qtbot):
    session = StubSession()
    panel = ElectrodePanel(session, DARK)
    qtbot.addWidget(panel)
    panel.show()
    panel.take(SessionUpdate(0.0))
    panel.draw(0.0)
    assert panel.missing.isVisible()
    for n_channels in (8, 3):
        session.montage = montage_of(n_channels, SFREQ_HZ)
        panel.take(SessionUpdate(0.0, new_montage=True))
        panel.draw(0.0)
        assert len(panel.map.styles) == n_channels
    assert not panel.missing.isVisible()


@pytest.mark.parametrize("theme", [DARK, large(LIGHT)])
def test_a_bad_contact_is_painted_over_the_good_ones(panel_of, theme):
    positions = np.float32([[0, 0, 0], [0, 0, 9], [40, 40, 40]])
    montage = replace(montage_of(3, SFREQ_HZ), positions=positions, space="MNI mm")
    panel, _ = panel_of(montage, theme, bad={"A1": "flat"})
    panel._choose_view(1)
    panel.draw(9.0)
    at = panel.map.place_of("A1").toPoint()
    assert panel.map.grab().toImage().pixelColor(at).name() == theme.warn


@pytest.mark.shared
def test_a_montage_of_394_contacts_stays_legible(shared, panel_of):
    from rtbrain.recording.open import read_recording

    path = shared / "data" / "ecog-montage" / "sample_ecog_ieeg.fif"
    montage = read_recording(path).montage
    panel, _ = panel_of(montage, size=(420, 356))
    assert montage.n_channels == 394
    (drawing,) = panel.map.drawings
    assert drawing.radius_px >= 2.5
    assert {name for name, _ in drawing.shafts} >= {"G"}
