"""Labels of the curve of scores over the time that they are taken from."""

import numpy as np

from rtbrain.config import LabelSettings, Recipe, load_settings
from rtbrain.learn.fit.gather import _lagged
from rtbrain.learn.fit.inputs import label_windows, virtual_session
from rtbrain.recording.recording import Event, Recording
from tests.conftest import montage_of


def test_a_lag_at_which_a_class_has_no_window_ends_no_fit() -> None:
    events = Event(0.0, 0.0, "rest"), Event(9.7, 0.0, "speech")
    recording = Recording(
        montage_of(2, 100.0), 1000, lambda a, b: np.zeros((2, b - a), np.float32), events=events
    )
    labels, recipe = LabelSettings(classes=("rest", "speech")), load_settings("linear", Recipe)
    session, t_stop = virtual_session(recording, labels), np.arange(50, 101) / 10
    labelled = label_windows(recording, session, labels, recipe.window, t_stop, 0.2)
    found = _lagged(recording, session, labels, recipe, t_stop, labelled)
    assert found[0.0].tolist() == [0] * 47 + [1] * 4
    assert set(found[0.6].tolist()) == {-1}
