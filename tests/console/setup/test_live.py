"""The page Set up on real streams: a 50 Hz patient, int32 markers and a trigger channel."""

import pytest
from PySide6.QtCore import Qt

from rtbrain.console.folder import Session
from rtbrain.console.setup.page import SetupPage
from rtbrain.view.theme import DARK
from tests.check.doctor.sending import sending

pytestmark = pytest.mark.lsl
KEY = Qt.Key


def test_a_session_is_set_up_without_a_terminal(qtbot, tmp_path):
    with sending(50) as token:
        page = SetupPage(Session(tmp_path / "s"), DARK)
        qtbot.addWidget(page)
        page.show()

        def shown(name):
            page.draw_now()
            return any(
                row.row and name in (row.row.key[0], row.row.channel) for row in page.streams.rows
            )

        def choose(name, down):
            qtbot.waitUntil(lambda: shown(name), timeout=30_000)
            role = page.streams.line(name).role
            role.setFocus()
            for _ in range(down):
                qtbot.keyClick(role, KEY.Key_Up)
            page.draw_now()

        choose(f"amp-{token}", 2)
        choose(f"task-{token}", 2)
        used = {one.name: one.role for one in page.session.settings.streams}
        assert used == {f"amp-{token}": "signal", f"task-{token}": "markers"}

        def check(key):
            page.draw_now()
            return next((one for one in page._checks if one.key == key), None)

        qtbot.waitUntil(lambda: check("mains") and check("mains").state == "fix", timeout=60_000)
        (row,) = [row for row in page.checks.rows if row.fix and row.fix.do == "mains"]
        row.button.setFocus()
        qtbot.keyClick(row.button, KEY.Key_Space)
        assert page.session.settings.mains_hz == 50
        assert check("mains").state == "fine"
        assert {"1", "2"} <= page.markers.rows.keys()
        assert int(page.markers.rows["1"]._heard.text().split()[1]) >= 2
        for code, name in (("1", "rest"), ("2", "speech")):
            edit = page.markers.rows[code].edit
            edit.setFocus()
            qtbot.keyClicks(edit, name)
            qtbot.keyClick(edit, KEY.Key_Return)
        assert page.session.settings.markers == {"1": "rest", "2": "speech"}
        choose("TRIG", 1)
        assert page.session.settings.trigger == "TRIG"
        qtbot.waitUntil(lambda: check("markers").finding == "TRIG: 4 received", timeout=60_000)
        assert "4" in page.markers.rows
