"""The page Review, with the report of a run that was written by hand."""

import json
from pathlib import Path

import pytest

from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.jobs import KILLED
from rtbrain.console.review.page import ReviewPage
from rtbrain.console.review.results import happenings, key_figures
from rtbrain.errors import SettingsError
from rtbrain.learn.session.page import write_report
from rtbrain.learn.session.report import session_report
from rtbrain.view.theme import DARK
from tests.console.stub import Runs
from tests.learn.session.run_by_hand import markers, write_run

MARKS = [(2.0, "movement"), (4.0, "threshold 0.70 0.75")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    session = Session(folder)
    session.change(code="sub-07", session="ses-02", task="speech", mains_hz=50)
    run = write_run(folder / "runs/run-01.xdf", markers("rtbrain-view-marks", MARKS))
    write_report(session_report(run), folder / "reports/run-01.html", run)
    return folder


@pytest.fixture
def page(qtbot, folder):
    made = ReviewPage(Session(folder), DARK)
    qtbot.addWidget(made)
    made.session._started = []

    def start(job, argv):
        made.session._started.append(list(argv))
        made.session._jobs[job] = Runs(job)
        made.session._jobs[job].argv = tuple(argv)

    made.session.start = start
    return made


def report_of(folder):
    return json.loads((folder / "reports/run-01.json").read_text())


def test_the_figures_are_those_of_the_report(page, folder):
    report = report_of(folder)
    lost, valid, *scored = [card.shown for card in page.cards]
    assert lost.value == str(report["signal"]["missing"])
    assert valid.value == f"{100 * report['decodes']['valid_share']:.1f}"
    assert all(card.line == "Not scored: no decoder is chosen." for card in scored)
    assert page.state() == ("fine", "report ready")
    assert page.runs.currentText() == "run-01"


def test_scores_have_their_interval_and_count_and_no_alarms_are_never_a_bare_zero(folder):
    found = {
        "n_events": 58,
        "n_unseen": 2,
        "n_found": 55,
        "hit_rate": 55 / 58,
        "hit_rate_interval_95": [0.86, 0.98],
        "false_alarms": 0,
        "rest_s": 1860.0,
        "false_alarms_per_hour": 0.0,
        "false_alarms_per_hour_interval_95": [0.0, 30.2],
        "delay_s": 0.431,
        "delay_interval_95": [0.4, 0.5],
        "delay_p90_s": 0.71,
    }
    report = report_of(folder) | {"scores": {"events": {"speech": found}}}
    _, _, cues, alarms, delay = key_figures(report, "speech")
    assert (cues.value, cues.line) == (
        "95",
        "55 of 58; 95 %: 86 to 98; 2 more while not valid, not counted",
    )
    assert (alarms.value, alarms.unit) == ("none", "")
    assert alarms.line == "in 31 min; could be up to 30 an hour"
    assert (delay.value, delay.line) == ("0.43", "9 of 10 within 0.71 s")
    found["false_alarms_per_hour_interval_95"] = [0.0, 2512.0]
    *_, alarms, _ = key_figures(report, "speech")
    assert alarms.line.endswith("up to 2,512 an hour")


def test_gaps_marks_and_changes_of_the_threshold_are_listed_in_order(folder):
    report = report_of(folder)
    report["along"]["invalid_s"] = [[1.0, 7.0, ""], [8.0, 9.0, "filling"]]
    report["contacts_bad"] = {"A1": [[3.0, 5.0, "not finite"]]}
    rows = happenings(report)
    assert rows == sorted(rows)
    assert (1.0, "look", "No valid decode for 6 s: the decoder did not run") in rows
    filled = "No valid decode for 1 s: too little signal since its start or a gap"
    assert (8.0, "look", filled) in rows
    assert (3.0, "look", "A1 no values for 2 s") in rows
    texts = [text for _, _, text in rows]
    assert "Mark: movement" in texts
    assert "Threshold changed: 0.70 0.75" in texts
    assert sum(text.startswith("Signal lost for ") for text in texts) == len(
        report_of(folder)["signal"]["gaps_s"]
    )


def test_a_run_without_a_report_gets_one_and_a_running_recording_does_not(page, folder):
    page.session.change(
        streams=(UsedStream(name="amp", role="signal"),), decoder="decoders/decoder-01"
    )
    second = folder / "runs/run-02.xdf"
    second.write_bytes(b"")
    recorder = Runs("recorder")
    recorder.argv = ("record", "runs/run-02.xdf")
    page.session._jobs["recorder"] = recorder
    page.draw(10.0)
    assert not page.session._started
    recorder.running = False
    page.draw(12.0)
    (argv,) = page.session._started
    for at_s in (14.0, 16.0):  # a killed one gets a second try, and no third
        page.session.jobs["report"].end(KILLED)
        page.draw(at_s)
        assert page.session._started == [argv, argv]
    second.unlink()
    assert " ".join(argv) == (
        "report runs/run-02.xdf --out reports/run-02.html --stream amp --bundle decoders/decoder-01"
    )
    page.session.change(streams=(), decoder=None)


def test_the_export_names_what_the_session_knows_and_stays_outside_its_folder(
    page, folder, tmp_path
):
    page.out.setText(str(folder / "bids"))
    with pytest.raises(SettingsError, match="outside the session"):
        page.export()
    page.out.setText("relative")
    with pytest.raises(SettingsError, match="outside the session"):
        page.export()
    page.out.setText(str(tmp_path / "bids"))
    page.export()
    (argv,) = page.session._started
    assert argv == [
        *("export", "runs/run-01.xdf", "--to", "bids", "--out", str(tmp_path / "bids")),
        *("--subject", "07", "--session", "02", "--mains", "50", "--task", "speech"),
        *("--run", "01"),
    ]
    said = []
    page.says.connect(said.append)
    page.session.jobs["export"].running = False
    page.session.jobs["export"].exit_code = 2
    page.session.jobs["export"].output = ("rtbrain: no room",)
    page.draw(30.0)
    assert said == ["Not exported: no room"]
    page.export()
    page.session.jobs["export"].running, page.session.jobs["export"].exit_code = False, 0
    page.draw(32.0)
    assert said[1] == f"Exported 1 recordings into {tmp_path / 'bids'}."


def test_a_later_export_adds_what_is_new_under_numbers_that_stay(page, folder, tmp_path):
    page.out.setText(str(tmp_path / "bids"))
    place = tmp_path / "bids/sub-07/ses-02/ieeg"
    place.mkdir(parents=True)
    (place / "sub-07_ses-02_task-speech_run-01_ieeg.vhdr").touch()
    with pytest.raises(SettingsError, match="already"):
        page.export()
    calibration = folder / "calibration/calib-03.xdf"
    calibration.write_bytes(b"")
    page.export()
    (argv,) = page.session._started
    assert argv[1] == "calibration/calib-03.xdf"
    assert argv[-4:] == ["--task", "speechcalib", "--run", "03"]
    calibration.unlink()


def test_the_export_holds_the_unit_that_was_set(page, tmp_path):
    page.out.setText(str(tmp_path / "bids"))
    page.session.change(scale=1e6)
    page.export()
    (argv,) = page.session._started
    assert argv[argv.index("--scale") + 1] == "1e+06"
    page.session.change(scale=1.0)


def test_nothing_recorded_is_said_and_nothing_can_be_exported(qtbot, tmp_path):
    page = ReviewPage(Session(tmp_path), DARK)
    qtbot.addWidget(page)
    assert page.state() == ("unchecked", "nothing to show yet")
    assert not page.primary.enabled
    assert page.primary.reason
    assert not any(Path(tmp_path / "reports").iterdir())


def test_a_report_that_cannot_be_started_keeps_no_window_from_opening(qtbot, tmp_path):
    session = Session(tmp_path / "s")
    (session.folder / "runs/run-01.xdf").write_bytes(b"")
    tried, said = [], []

    def refuse(job, argv):
        tried.append(job)
        raise SettingsError("report cannot be started: no space left")

    session.start = refuse
    page = ReviewPage(session, DARK)
    qtbot.addWidget(page)
    assert not tried
    page.says.connect(said.append)
    page.draw(10.0)
    page.draw(20.0)
    assert tried == ["report", "report"]
    assert said == ["report cannot be started: no space left"]
