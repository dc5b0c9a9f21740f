"""The report of a recorded run says what happened in it, and nothing that did not."""

import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtbrain.errors import RecordingError, RtbrainError, SettingsError
from rtbrain.learn.session.page import session_page, write_report
from rtbrain.learn.session.pictures import _marked, _whole_times
from rtbrain.learn.session.report import invalid_spans, session_report
from rtbrain.learn.session.timeline import read_timeline
from tests.learn.session.run_by_hand import (
    BEGIN_S,
    DURATION_S,
    HOP_S,
    SFREQ_HZ,
    decodes,
    markers,
    signal,
    status,
    write_run,
)
from tests.recording.xdf.file_by_hand import write_xdf


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("Mustermann") / "Mustermann.xdf")


def test_losses_decodes_contacts_and_detections_are_those_of_the_run(run: Path) -> None:
    figures = session_report(run).figures
    assert figures["signal"]["missing"] == 2 * SFREQ_HZ
    np.testing.assert_allclose(figures["signal"]["gaps_s"], [[40.0, 42.0]], atol=1.5 / SFREQ_HZ)
    assert figures["duration_s"] == pytest.approx(DURATION_S)
    decoded = figures["decodes"]
    assert decoded["decodes"] - decoded["valid"] == 3 / HOP_S
    assert decoded["valid_share"] == pytest.approx(1 - 3 / (DURATION_S - 1), abs=0.002)
    assert decoded["longest_without"][2] == "no samples for 1 s"
    np.testing.assert_allclose(decoded["longest_without"][:2], [40.0, 43.0], atol=HOP_S)
    assert figures["contacts_bad"] == {
        "A2": [[20.0, 50.0, "flat"]],
        "A3": [[90.0, pytest.approx(DURATION_S), "mains"]],
    }
    assert figures["latency_s"]["whole"]["p99"] == pytest.approx(0.18)
    speech = figures["detections"]["speech"]
    assert (speech["sent"], dict(speech["suppressed"])) == (1, {"refractory": 1})
    np.testing.assert_allclose(figures["drift"]["flags_s"], [[100.0, 105.0]])
    assert figures["markers"]["task"] == {"rest": 10, "speech": 10}
    assert figures["made_by"]["bundle"] == "b1"


def test_the_words_say_the_same_plainly(run: Path) -> None:
    words = " ".join(session_report(run).words)
    assert "2 min 0 s of amp were recorded: 3 channels at 256 Hz" in words
    assert "512 samples (2.0 s) are missing, in 1 gap, at 0:40." in words
    assert "2 contacts were bad: A2 (flat, from 0:20), A3 (mains, from 1:30)." in words
    assert "speech: 1 detected; 1 suppressed (refractory: 1)." in words
    assert "not calibrated" in words
    assert "first at 1:40" in words
    assert "Outputs were disarmed at 0:45: no valid decode for 5 s." in words
    assert "Markers of task: 10 of rest, 10 of speech." in words
    assert "Not scored: name the decoder with --bundle." in words


def test_what_happened_is_listed_in_order_with_its_times(run: Path) -> None:
    page = session_page(session_report(run))
    rows = re.findall(r"<td>([\d:]+(?: to [\d:]+)?)</td><td>([^<]*)</td>", page)
    assert rows == [
        ("0:20 to 0:50", "contact A2 bad: flat"),
        ("0:40 to 0:42", "no signal: 2.0 s are missing"),
        ("0:40 to 0:43", "no valid decode: no samples for 1 s"),
        ("0:45", "outputs disarmed: no valid decode for 5 s"),
        ("1:30 to 2:00", "contact A3 bad: mains"),
        ("1:40 to 1:45", "the signal was unlike calibration: level of A1, A3"),
    ]


def test_a_class_is_drawn_from_its_marker_to_the_next_and_other_markers_as_moments(
    tmp_path: Path,
) -> None:
    cues = [(10.0, "rest"), (14.0, "pause"), (16.0, "speech"), (20.0, "pause")]
    timeline = read_timeline(write_run(tmp_path / "run.xdf", markers("cues", cues)))
    rest, speech, others = _marked(timeline, "cues")
    assert [(one.start_s, one.stop_s) for one in rest[1]] == [pytest.approx((10.0, 14.0))]
    assert [(one.start_s, one.stop_s) for one in speech[1]] == [pytest.approx((16.0, 20.0))]
    assert [one.text for one in others[1]] == ["pause", "pause"]
    assert (rest[0], speech[0], others[0]) == ("rest, cues", "speech, cues", "cues")


@pytest.mark.parametrize(
    ("duration_s", "last"), [(8.0, 7.0), (599.0, 540.0), (3600.0, 3000.0), (400_000.0, 360_000.0)]
)
def test_times_below_the_picture_are_whole_ones(duration_s: float, last: float) -> None:
    ticks = _whole_times(duration_s)
    assert ticks[0] == 0
    assert ticks[-1] == last
    assert 2 < len(ticks) <= 10


def test_page_and_json_hold_no_name_of_a_file_and_only_plain_text(
    run: Path, tmp_path: Path
) -> None:
    hostile = markers("<script>alert(1)</script>", [(1.0, "x"), (2.0, "y\x1b[2J")])
    path = write_run(tmp_path / "Mustermann.xdf", hostile)
    report = session_report(path)
    page = session_page(report)
    assert "Mustermann" not in page + report.as_json()
    assert "<script" not in page
    assert "\x1b" not in page
    beside = write_report(report, tmp_path / "report.html", path)
    assert json.loads(beside.read_text())["words"] == report.words
    assert page.count("data:image/png;base64,") == 2


def test_triggers_are_counted_by_output_with_the_reasons_of_those_held_back(tmp_path: Path) -> None:
    lines = [
        {"output": "serial", "sent": True, "acknowledged": True, "latency_s": 0.004},
        {"output": "serial", "sent": True, "acknowledged": None, "latency_s": 0.006},
        {"output": "serial", "sent": False, "suppressed": "not armed"},
        {"output": "", "sent": False, "suppressed": "disarmed: Esc"},
        {"output": "", "sent": False, "suppressed": "stayed for 0.1 s of 1 s"},
    ]
    log = markers("ward-triggers", [(60.0 + k, json.dumps(line)) for k, line in enumerate(lines)])
    log.content = "Triggers"
    report = session_report(write_run(tmp_path / "run.xdf", log))
    serial = report.figures["triggers"]["serial"]
    assert (serial["sent"], serial["acknowledged"], serial["suppressed"]) == (
        2,
        1,
        {"not armed": 1},
    )
    (sentence,) = (one for one in report.words if one.startswith("Output serial"))
    assert "2 triggers sent, half of them within 5 ms of the signal and all within 6 ms" in sentence
    assert "1 suppressed (not armed: 1)" in sentence
    assert "No trigger was sent for 1 detection (disarmed: 1)." in report.words


def test_no_report_replaces_what_is_there(run: Path, tmp_path: Path) -> None:
    report = session_report(run)
    (tmp_path / "night.json").write_text("of somebody")
    for name, words in (
        ("night.html", "night.json already exists"),
        ("night.xdf", "expected a page"),
    ):
        with pytest.raises(SettingsError, match=words):
            write_report(report, tmp_path / name, run)
    write_report(report, tmp_path / "report.html", run)
    with pytest.raises(SettingsError, match=r"report\.html already exists"):
        write_report(report, tmp_path / "report.html", run)
    assert (tmp_path / "night.json").read_text() == "of somebody"


@pytest.mark.parametrize("name", ["night.xdf", "night.xdf.gz"])
def test_a_report_beside_its_recording_leaves_the_file_of_the_recorder(
    run: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "night.json").write_text("of the recorder")
    beside = write_report(session_report(run), tmp_path / "night.html", tmp_path / name)
    assert beside == tmp_path / "night-report.json"
    assert (tmp_path / "night.html").exists()
    assert (tmp_path / "night.json").read_text() == "of the recorder"


def test_values_and_names_of_strangers_draw_no_traceback(tmp_path: Path) -> None:
    odd = [json.dumps({"label": "speech", "value": value}) for value in (None, "high", [1], {})]
    events = markers("ward-events", [(10.0 + k, text) for k, text in enumerate(odd)])
    formula = markers(r"a$\x$", [(1.0, "x")])
    report = session_report(write_run(tmp_path / "run.xdf", events, formula))
    assert len(report.timeline.detections) == 5
    assert session_page(report).count("data:image/png;base64,") == 2


def test_a_sender_that_was_started_anew_is_one_signal(tmp_path: Path) -> None:
    again = signal()
    again.stamps = again.stamps + DURATION_S + 1.0
    figures = session_report(write_run(tmp_path / "run.xdf", again)).figures
    assert figures["signal"]["samples"] == 2 * (DURATION_S - 2) * SFREQ_HZ
    assert len(figures["signal"]["gaps_s"]) == 3


def test_a_decoder_that_never_decoded_is_reported_by_its_status(tmp_path: Path) -> None:
    path = tmp_path / "run.xdf"
    write_xdf(path, signal(), status())
    report = session_report(path)
    assert any(sentence.startswith("2 contacts were bad") for sentence in report.words)


def test_a_compressed_file_gives_the_same_report(run: Path, tmp_path: Path) -> None:
    packed = tmp_path / "run.xdfz"
    packed.write_bytes(gzip.compress(run.read_bytes()))
    assert session_report(packed).words == session_report(run).words


def test_a_decoder_that_was_started_anew_is_one_decoder(run: Path, tmp_path: Path) -> None:
    again = decodes()
    again.stamps = again.stamps + DURATION_S
    path = write_run(tmp_path / "twice.xdf", again)
    figures = session_report(path).figures
    assert figures["decodes"]["decodes"] == 2 * session_report(run).figures["decodes"]["decodes"]


def test_without_a_drift_channel_it_is_said_that_drift_is_unknown(tmp_path: Path) -> None:
    words = session_report(write_run(tmp_path / "old.xdf", drift=False)).words
    assert any("is not known" in sentence for sentence in words)


def test_a_signal_alone_is_reported_too(tmp_path: Path) -> None:
    path = tmp_path / "amp.xdf"
    write_xdf(path, markers("task", [(3.0, "rest")]), signal())
    report = session_report(path)
    assert "decodes" not in report.figures
    assert session_page(report).count("data:image/png;base64,") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "other"}, "no decodes of 'other': there is ward"),
        ({"stream": "other"}, "expected one signal 'other'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    run: Path, options: dict[str, str], words: str
) -> None:
    with pytest.raises(RecordingError, match=words):
        session_report(run, **options)


def test_two_decoders_need_a_name(run: Path, tmp_path: Path) -> None:
    path = write_run(tmp_path / "two.xdf", decodes("icu"))
    with pytest.raises(RecordingError, match="--name"):
        session_report(path)
    assert session_report(path, name="ward").figures["decodes"]["name"] == "ward-decode"


def test_a_file_that_is_no_xdf_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.xdf"
    path.write_bytes(b"nothing")
    with pytest.raises(RtbrainError):
        session_report(path)


@pytest.mark.parametrize("name", ["absent.xdf", "."])
def test_a_file_that_is_absent_or_a_folder_is_refused_in_one_line(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        session_report(tmp_path / name)


def test_the_clock_of_the_run_begins_with_its_signal(run: Path) -> None:
    detections = session_report(run).timeline.detections
    assert detections[0][0] == pytest.approx(60.8, abs=1e-6)
    assert detections[0][1]["t_ready"] == BEGIN_S + 61.0


def test_what_came_before_the_first_valid_decode_counts_as_time_without_one() -> None:
    hop_s, n = 0.125, 80
    decodes: Any = SimpleNamespace(
        t_stop=1 + hop_s * np.arange(n), valid=np.arange(n) >= 16, hop_s=hop_s
    )
    reported = [SimpleNamespace(t=2.0, fields={"reason": "settling: 0.5 of 1 s"})]
    timeline: Any = SimpleNamespace(duration_s=1 + hop_s * n, of=lambda *events: reported)
    (span,) = invalid_spans(timeline, decodes)
    assert (span.start_s, span.stop_s, span.text) == (1.0, 3.0, "settling")
