"""The action bar shows all labels whole, in as many rows as they need."""

import pytest
from PySide6.QtWidgets import QApplication

from rtbrain.console.frame.bar import ActionBar
from rtbrain.console.page import Action
from rtbrain.view.theme import DARK


@pytest.mark.parametrize(("width", "n_rows"), [(1400, 1), (900, 2), (650, 3)])
def test_the_action_bar_takes_as_many_rows_as_its_words_need(qtbot, width, n_rows):
    bar = ActionBar(DARK)
    qtbot.addWidget(bar)
    names = ("Record more", "Fit again", "Compare with an encoder", "Trigger to…")
    actions = [Action(name, lambda: None, "Ctrl+E") for name in names]
    bar.show_page(actions, Action("Use linear", lambda: None, reason="Not better than chance."))
    bar.resize(width, 300)
    bar.show()
    QApplication.processEvents()
    shown = [*bar.buttons, bar._reason]
    for one in shown:
        assert one.width() >= one.sizeHint().width() or one is bar._reason
        assert one.height() >= one.sizeHint().height()
        assert one.x() >= 0
        assert one.geometry().right() < width
    boxes = [one.geometry() for one in shown]
    assert not any(a.intersects(b) for n, a in enumerate(boxes) for b in boxes[:n])
    assert len({box.center().y() for box in boxes}) == n_rows
