"""The tour: a simulated patient, and a line of words for each step."""

from rtbrain.console.folder import Session
from rtbrain.console.frame.tour import PATIENT, TourBar, set_up_tour
from rtbrain.console.page import STEPS
from rtbrain.view.theme import DARK


def test_the_tour_starts_a_patient_once_and_chooses_its_streams(tmp_path):
    session, started = Session(tmp_path), []
    session.start = lambda job, argv: started.append((job, argv[:3]))
    set_up_tour(session)
    assert started == [("player", ["simulate", "--name", PATIENT])]
    assert session.settings.signal.name == PATIENT
    session.change(target="rest")
    set_up_tour(session)
    assert Session(tmp_path).settings.target == "rest"  # what somebody chose stays


def test_next_goes_through_the_five_steps_and_the_tour_can_be_ended(qtbot):
    shown = []
    bar = TourBar(lambda step: (shown.append(step), bar.show_step(step)), DARK)
    qtbot.addWidget(bar)
    bar.show()
    while bar.next.isEnabled():
        assert bar.text.text().startswith(f"Tour, {len(shown) + 1} of 5. ")
        bar.next.click()
    assert shown == list(STEPS[1:])
    bar.end.click()
    assert not bar.isVisible()
