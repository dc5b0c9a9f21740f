import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication

from rtbrain.marks import OPERATOR_MARK
from rtbrain.types import Chunk, Montage
from rtbrain.view.electrodes.layout import arrange_panes, place_panes
from rtbrain.view.electrodes.panel import ElectrodePanel, HighGamma
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import brain_like, cut, montage_of
from tests.view.stub import StubSession

SFREQ_HZ = 512.0
ROOM = QRectF(0, 0, 640, 260)
LETTER_PX = 16.0


def followed(montage, chunks):
    power = HighGamma(montage)
    for chunk in chunks:
        power.push(chunk)
    return power


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


def test_high_gamma_is_the_log_of_the_bands_power_against_its_past():
    montage = montage_of(3, SFREQ_HZ)
    data = brain_like(3, round(20 * SFREQ_HZ), SFREQ_HZ)
    power = followed(montage, cut(data, [], SFREQ_HZ))
    # scipy's own spectrogram, windows of 0.5 s each 0.25 s.
    n = round(0.5 * SFREQ_HZ)
    freqs, _, spectra = scipy.signal.spectrogram(
        data.astype(np.float64), SFREQ_HZ, window=np.hanning(n), nperseg=n, noverlap=n // 2,
        detrend="constant", axis=1,
    )  # fmt: skip
    kept = (freqs >= 70) & (freqs <= 150)
    for mains_hz in (100, 120, 150):
        kept &= np.abs(freqs - mains_hz) > 4
    logs = np.log10(spectra[:, kept].mean(axis=1))
    expected = (logs[:, -1] - logs.mean(axis=1)) / logs.std(axis=1)
    np.testing.assert_allclose(power.z, expected, atol=0.01)
    assert power.n_windows == logs.shape[1]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 700), max_size=20))
def test_high_gamma_does_not_depend_on_chunking(sizes):
    montage, data = montage_of(2, SFREQ_HZ), brain_like(2, round(13 * SFREQ_HZ), SFREQ_HZ)
    whole = followed(montage, cut(data, [], SFREQ_HZ))
    pieces = followed(montage, cut(data, sizes, SFREQ_HZ))
    assert pieces.n_windows == whole.n_windows
    np.testing.assert_array_equal(pieces.z, whole.z)


def test_high_gamma_shows_a_burst_where_it_is_and_leaves_its_input_alone():
    montage, data = montage_of(4, SFREQ_HZ), brain_like(4, round(20 * SFREQ_HZ), SFREQ_HZ)
    t = np.arange(300) / SFREQ_HZ
    data[2, -300:] += (20 * np.sin(2 * np.pi * 85 * t)).astype(np.float32)
    before = data.copy()
    power = followed(montage, cut(data, [20] * 600, SFREQ_HZ))
    assert power.z[2] > 3
    assert np.abs(power.z[[0, 1, 3]]).max() < 3
    np.testing.assert_array_equal(data, before)


def test_high_gamma_never_reaches_across_a_gap():
    montage, data = montage_of(2, SFREQ_HZ), brain_like(2, round(20 * SFREQ_HZ), SFREQ_HZ)
    half = data.shape[1] // 2
    first, second = cut(data, [half], SFREQ_HZ)[:2]
    jumped = replace(second, data=second.data + np.float32(1e5), gap=100)
    with_jump = followed(montage, [first, jumped])
    without = followed(montage, [first, replace(second, gap=100)])
    np.testing.assert_allclose(with_jump.z, without.z, atol=0.05)


def test_what_has_no_power_or_no_samples_has_no_score():
    montage, data = montage_of(3, SFREQ_HZ), brain_like(3, round(15 * SFREQ_HZ), SFREQ_HZ)
    data[0] = 0
    data[1] = np.nan
    power = followed(montage, cut(data, [100] * 50, SFREQ_HZ))
    assert np.isnan(power.z[:2]).all()
    assert np.isfinite(power.z[2])


def test_scores_wait_for_ten_seconds_and_memory_for_nothing():
    montage = montage_of(2, SFREQ_HZ)
    power = HighGamma(montage)
    assert power.waits_s == 10.0
    assert np.isnan(power.z).all()
    held = len(pickle.dumps(power))
    for chunk in cut(brain_like(2, round(100 * SFREQ_HZ), SFREQ_HZ), [5000] * 9, SFREQ_HZ):
        power.push(chunk)
    assert power.waits_s == 0
    assert len(pickle.dumps(power)) == pytest.approx(held, abs=100)


def test_voxels_and_millimetres_make_the_same_picture():
    mm = np.random.default_rng(0).uniform(-60, 60, (20, 3)).round().astype(np.float32)
    voxels = (128 - mm[:, [0, 2, 1]]).astype(np.float32)
    montage = montage_of(20, SFREQ_HZ)
    world, _ = arrange_panes(replace(montage, positions=mm, space="MNI mm"), 640, 260)
    lip, _ = arrange_panes(replace(montage, positions=voxels, space="LIP voxels"), 640, 260)
    for one, other in zip(world, lip, strict=True):
        moved = other.places - other.places[0] + one.places[0]
        np.testing.assert_allclose(moved, one.places, atol=1e-4)
        assert one.edges == other.edges


def test_left_is_left_front_is_up_and_top_is_up():
    positions = np.float32([[-50, 0, 0], [50, 60, 0], [0, 0, 70]])
    montage = replace(montage_of(3, SFREQ_HZ), positions=positions, space="MNI mm")
    (axial, coronal, sagittal), rest = arrange_panes(montage, 640, 260)
    assert rest == []
    assert axial.places[0, 0] < axial.places[1, 0]
    assert axial.places[1, 1] < axial.places[0, 1]
    assert coronal.places[2, 1] < coronal.places[0, 1]
    assert sagittal.places[1, 0] > sagittal.places[0, 0]
    assert axial.edges == "LRAP"
    assert sagittal.edges == "PASI"
    unknown, _ = arrange_panes(replace(montage, space="scanner units"), 640, 260)
    assert unknown[0].edges == ""


def test_every_contact_is_drawn_once_with_or_without_a_position():
    montage = montage_of(24, SFREQ_HZ)
    some = np.array(montage.positions)
    some[5:9] = np.nan
    for positions in (montage.positions, None, some):
        space = None if positions is None else "LIP voxels"
        projections, schematic = arrange_panes(
            replace(montage, positions=positions, space=space), 640, 260
        )
        for first in projections[:1] or [None]:
            rows = [] if first is None else first.rows.tolist()
            for pane in schematic:
                rows += pane.rows.tolist()
            assert sorted(rows) == list(range(24))
        assert len(projections) in (0, 3)


@pytest.mark.parametrize("n_channels", [1, 8, 50, 256, 394])
@pytest.mark.parametrize("room", [ROOM, QRectF(0, 0, 300, 600), QRectF(0, 0, 1900, 900)])
def test_contacts_by_shaft_are_apart_and_inside_their_room(n_channels, room):
    names = tuple(f"S{i // 12}x{i % 12 + 1}" for i in range(n_channels))
    montage = Montage(names, ("seeg",) * n_channels, SFREQ_HZ)
    _, schematic = arrange_panes(montage, room.width(), room.height())
    (fitted,) = place_panes(schematic, room, LETTER_PX)
    away = np.linalg.norm(fitted.px[:, None] - fitted.px[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert away.min() >= 1.9 * fitted.radius_px
    assert all(room.contains(QPointF(*px)) for px in fitted.px.tolist())


@pytest.mark.parametrize("room", [ROOM, QRectF(0, 0, 300, 700), QRectF(0, 0, 1900, 900)])
def test_projections_share_a_scale_and_do_not_overlap(room):
    projections, _ = arrange_panes(montage_of(40, SFREQ_HZ), room.width(), room.height())
    panes = place_panes(projections, room, LETTER_PX)
    for one, other in itertools.combinations(panes, 2):
        assert not one.room.intersects(other.room)
        assert one.px_per_unit == other.px_per_unit
    for pane in panes:
        assert all(pane.room.contains(QPointF(*px)) for px in pane.px.tolist())


def test_a_click_chooses_the_contact_under_it(panel_of, qtbot):
    montage = replace(montage_of(24, SFREQ_HZ), positions=None, space=None)
    panel, _ = panel_of(montage)
    for label in ("A1", "B3", "C8"):
        with qtbot.waitSignal(panel.selected) as emitted:
            place = panel.map.place_of(label).toPoint()
            qtbot.mouseClick(panel.map, Qt.MouseButton.LeftButton, pos=place)
        assert emitted.args == [label]
    with qtbot.assertNotEmitted(panel.selected):
        qtbot.mouseClick(panel.map, Qt.MouseButton.LeftButton, pos=QPoint(0, 0))
        panel.choose("A2")


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


def test_a_failure_while_painting_is_reported_and_does_not_end_the_process(
    panel_of, qtbot, monkeypatch
):
    panel, _ = panel_of(montage_of(4, SFREQ_HZ))
    monkeypatch.setattr("rtbrain.view.electrodes.map.paint_text", lambda *_: np.empty((1, -1)))
    with qtbot.captureExceptions() as emitted:
        panel.map.update()
        QApplication.processEvents()
    assert emitted[0][0] is ValueError


def test_quality_is_a_sign_and_a_number_as_well_as_a_colour(panel_of):
    panel, session = panel_of(montage_of(16, SFREQ_HZ), bad={"A3": "flat", "B1": OPERATOR_MARK})
    assert panel.key.text == "● good 14 ✕ bad 2"
    shades = panel.map.shades
    assert [shade.crossed for shade in shades] == [n in session.bad for n in session.montage.names]
    session.bad = {}
    panel.draw(0.1)
    assert panel.key.text == "● good 14 ✕ bad 2"
    panel.draw(0.3)
    assert panel.key.text == "● good 16 ✕ bad 0"


@pytest.mark.parametrize("chosen", [0, 1])
def test_the_map_of_a_signal_that_is_lost_is_grey_and_says_so(panel_of, chosen):
    panel, session = panel_of(montage_of(16, SFREQ_HZ), bad={"A3": "flat"})
    panel.choice.setCurrentIndex(chosen)
    data = brain_like(16, round(12 * SFREQ_HZ), SFREQ_HZ)
    panel.take(SessionUpdate(1.0, chunks=tuple(cut(data, [], SFREQ_HZ))))
    session.set("signal", state="lost")
    panel.draw(2.0)
    assert {shade.colour for shade in panel.map.shades} == {DARK.faint}
    assert "signal lost: last known state" in panel.key.text
    picture = panel.map.grab().toImage()
    seen = {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }
    assert not seen & {DARK.good, DARK.bad, *DARK.classes}
    session.set("signal", state="live")
    panel.draw(3.0)
    assert DARK.faint not in {shade.colour for shade in panel.map.shades}


def test_power_colours_the_contacts_once_there_is_enough(panel_of):
    panel, _ = panel_of(montage_of(4, SFREQ_HZ))
    panel.choice.setCurrentIndex(1)
    panel.draw(1.0)
    assert "in 10 s of signal" in panel.key.text
    assert {shade.colour for shade in panel.map.shades} == {""}
    data = brain_like(4, round(12 * SFREQ_HZ), SFREQ_HZ)
    panel.take(SessionUpdate(1.0, chunks=tuple(cut(data, [], SFREQ_HZ))))
    panel.draw(2.0)
    assert "z of 70-150 Hz" in panel.key.text
    assert len({shade.colour for shade in panel.map.shades}) > 1


def test_a_slow_signal_says_why_there_is_no_power(panel_of):
    panel, _ = panel_of(montage_of(4, 250.0))
    panel.choice.setCurrentIndex(1)
    panel.take(
        SessionUpdate(1.0, chunks=(Chunk(np.zeros((4, 250), np.float32), np.arange(250.0)),))
    )
    panel.draw(1.0)
    assert "needs a rate above 300 Hz, the signal has 250 Hz" in panel.key.text


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
        assert len(panel.map.shades) == n_channels
    assert not panel.missing.isVisible()


@pytest.mark.parametrize("theme", [DARK, large(LIGHT)])
def test_a_bad_contact_is_painted_over_the_good_ones(panel_of, theme):
    positions = np.float32([[0, 0, 0], [0, 0, 9], [40, 40, 40]])
    montage = replace(montage_of(3, SFREQ_HZ), positions=positions, space="MNI mm")
    panel, _ = panel_of(montage, theme, bad={"A1": "flat"})
    panel.restyle(theme)
    panel.draw(9.0)
    at = panel.map.place_of("A1").toPoint()
    assert panel.map.grab().toImage().pixelColor(at).name() == theme.bad


@pytest.mark.shared
def test_a_montage_of_394_contacts_stays_legible(shared, panel_of):
    from rtbrain.recording.open import read_recording

    path = shared / "data" / "ecog-montage" / "sample_ecog_ieeg.fif"
    montage = read_recording(path).montage
    panel, _ = panel_of(montage, size=(1000, 500))
    assert montage.n_channels == 394
    # The grid lies flat in the sagittal pane: its contacts are told apart there.
    sagittal = panel.map.fitted[2]
    grid = sagittal.px[[montage.names.index(f"G{i}") for i in range(1, 17)]]
    away = np.linalg.norm(np.diff(grid, axis=0), axis=1)
    assert np.median(away) > 2 * sagittal.radius_px
    assert sagittal.radius_px >= 2.5
