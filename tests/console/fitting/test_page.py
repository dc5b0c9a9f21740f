"""The page Fit: what is fitted, the verdict in words, and what may be used."""

from pathlib import Path

import pytest

from rtbrain.config import FitSettings, parse_settings
from rtbrain.config.flags import override
from rtbrain.console.fitting.page import FitPage
from rtbrain.console.fitting.results import fit_command
from rtbrain.console.folder import Session, UsedStream
from rtbrain.errors import SettingsError
from rtbrain.view.theme import DARK
from tests.console.fitting.reports import ENCODER, TEXTS, add_calibration, add_decoder
from tests.console.stub import Runs


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path / "s")
    made.change(
        classes=("rest", "speech"),
        target="speech",
        mains_hz=50,
        markers={"1": "rest", "2": "speech", "9": "ignore"},
        streams=(UsedStream(name="amp", role="signal"),),
    )
    return made


@pytest.fixture
def page(qtbot, session):
    made = FitPage(session, DARK)
    qtbot.addWidget(made)
    made.resize(1020, 640)
    made.show()
    return made


def look(page):
    page.draw(page._drawn_at + 1)
    page.grab()  # everything is painted
    return page


def test_without_a_calibration_it_says_what_is_needed_and_leads_there(page):
    asked = []
    page.go.connect(asked.append)
    assert page.verdict()[1:] == (
        "No decoder yet",
        ["Needs a calibration: at least 20 blocks of each class."],
    )
    page.primary.call()
    assert asked == ["calibrate"]
    with pytest.raises(SettingsError, match="at least 20 blocks"):
        page.begin()


def test_a_fit_is_a_job_by_the_settings_of_the_session_that_tells_its_stages(
    page, session, monkeypatch
):
    files, started = [add_calibration(session) for _ in range(2)], []
    job = Runs("fit")

    def start(name, argv):
        started.append((name, argv))
        session._jobs[name] = job
        return job

    monkeypatch.setattr(session, "start", start)
    look(page).primary.call()
    ((name, argv),) = started
    assert (name, argv[0], argv[1:3]) == ("fit", "fit", list(map(str, files)))
    said = dict(zip(argv[3::2], argv[4::2], strict=False))
    assert said["--out"] == "decoders/decoder-01"
    assert (said["--classes"], said["--detect"]) == ("rest,speech", "speech")
    assert (said["--mains"], said["--stream"], said["--recipe"]) == ("50", "amp", "linear")
    values = override({"labels": {"classes": ["rest", "speech"]}}, [said["--set"]])
    settings = parse_settings(values, FitSettings, where="fit")
    assert settings.labels.names == {"1": "rest", "2": "speech"}
    assert argv[-1] == "--progress-json"
    job.progress = {"stage": "folds", "done": 3, "total": 5, "elapsed_s": 60, "left_s": 31}
    assert look(page).state() == ("checking", "being fitted")
    assert page.verdict()[1] == "Fitting"
    assert page.primary.text == "Cancel"
    assert page.primary.reason == "The calibration is kept."
    page.primary.call()
    assert job.stopping
    assert (session.folder / files[0]).exists()


@pytest.mark.parametrize(
    ("answer", "icon", "word"),
    [
        ("yes", "fine", "Yes"),
        ("not shown", "fix", "Not shown"),
        ("not enough data", "unchecked", "Not enough data"),
    ],
)
def test_the_verdict_is_that_of_the_report_and_only_a_yes_may_run_without_a_question(
    page, session, answer, icon, word
):
    add_calibration(session)
    folder = add_decoder(session, answer=answer)
    asked, went = [], []
    page.asks.connect(lambda text, answers, still: asked.append((text, answers)))
    page.go.connect(went.append)
    shown_icon, shown_word, lines = look(page).verdict()
    assert (shown_icon, shown_word) == (icon, word)
    assert TEXTS[answer] in lines
    right = "Right 91 % of the time on blocks it had not seen"
    bounds = "" if answer == "not enough data" else " (95 %: 87 to 94)"
    assert lines[0] == f"{right}{bounds}."
    assert page.primary.text == ("Use linear" if answer == "yes" else "Record more")
    if answer == "yes":
        page.primary.call()
        assert not asked
    else:
        page.primary.call()
        assert went == ["calibrate"]
        next(one for one in page.buttons if one.text == "Use linear").call()
        assert session.settings.decoder is None
        ((question, answers),) = asked
        assert question.startswith("This decoder is not shown to be better than chance.")
        answers[0].call()
        assert answer in (session.folder / "log.sh").read_text()
    assert session.settings.decoder == folder
    assert went[-1] == "run"
    assert page.state()[0] == ("fine" if answer == "yes" else "look")


def test_of_two_decoders_the_simplest_that_is_not_shown_to_be_worse_is_suggested(page, session):
    add_calibration(session)
    linear, encoder = add_decoder(session), add_decoder(session, "streaming", **ENCODER)
    assert look(page).primary.text == "Use linear"
    assert page.primary.reason == "All are kept. Suggested: linear."
    assert any("not shown to be worse" in line for line in page.verdict()[2])
    page.primary.call()
    assert session.settings.decoder == linear
    next(one for one in page.buttons if one.text == "Use encoder").call()
    assert session.settings.decoder == encoder


def test_each_decoder_has_one_button_where_the_newest_is_not_shown_to_be_better(page, session):
    add_calibration(session)
    add_decoder(session)
    add_decoder(session, "streaming", answer="not shown", score=0.58)
    assert look(page).primary.text == "Use linear"
    uses = [one.text for one in (*page.buttons, page.primary) if one.text.startswith("Use ")]
    assert sorted(uses) == ["Use encoder", "Use linear"]


def test_a_fit_that_failed_says_why_in_one_line_and_can_be_begun_again(page, session):
    add_calibration(session)
    job = Runs("fit")
    job.running, job.exit_code = False, 2
    job.output = ("rtbrain: 5 folds need every class in 5 places or more",)
    session._jobs["fit"] = job
    assert look(page).verdict() == (
        "fix",
        "No decoder",
        ["5 folds need every class in 5 places or more", "The calibration is kept."],
    )
    assert page.primary.text == "Fit"
    assert page.primary.enabled


def test_a_fit_takes_what_is_there_of_a_recording_that_goes_on_and_says_so(page, session):
    add_calibration(session)
    dropped = add_calibration(session, ["dropped"])
    first, growing = add_calibration(session, ["", "dropped"]), add_calibration(session, [""])
    job, started, said = Runs("recorder"), [], []
    job.argv = ("record", str(growing))
    session._jobs["recorder"] = job
    session.start = lambda name, argv: started.append(argv)
    page.says.connect(said.append)
    goes_on = "The recording goes on; what comes now is not in it."
    assert goes_on in look(page).verdict()[2]
    assert (page.primary.text, page.primary.reason) == ("Fit", goes_on)
    page.primary.call()
    assert started[0][1:4] == [str(first), str(growing), "--out"]
    assert said == [f"Without usable blocks, and left out: calib-01.xdf, {dropped.name}."]
    session._jobs["fit"] = Runs("fit")
    assert page.primary.text == "Fit"
    assert goes_on in look(page).verdict()[2]
    assert page.primary.reason == f"The calibration is kept. {goes_on}"
    went = []
    page.go.connect(went.append)
    session._jobs["fit"].end(0)
    next(one for one in [*look(page).buttons, page.primary] if one.text == "Record more").call()
    assert went == ["calibrate"]


def test_a_recording_that_has_only_begun_is_nothing_to_fit_yet(page, session):
    session._jobs["recorder"] = Runs("recorder")
    session._jobs["recorder"].argv = ("record", str(add_calibration(session)))
    assert look(page).primary.text == "Record more"


def test_the_cues_of_the_console_label_a_fit_whatever_else_sends_markers(tmp_path):
    session = Session(tmp_path)
    task = UsedStream(name="task", role="markers")
    session.change(streams=(task,), classes=("rest", "speech"), outlet="ward")

    def labels():
        argv = fit_command(session, "linear", [Path("c.xdf")], Path("d"))
        return argv[argv.index("--set") + 1]

    assert labels() == 'labels.marker_stream="task"'
    session.change(plan={"n_per_class": 20})
    assert labels() == 'labels.marker_stream="ward-cues"'


def test_the_rail_says_what_a_fit_needs_and_when_it_needs_nothing_more(page, session):
    assert look(page).state() == ("unchecked", "needs a calibration")
    add_calibration(session, ["", ""])
    assert look(page).state() == ("unchecked", "ready to fit")
    session.change(decoder="decoders/decoder-09")
    assert look(page).state() == ("look", "the decoder in use is gone")
