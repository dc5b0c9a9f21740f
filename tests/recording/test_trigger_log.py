"""The trigger log of a recorded session, read and exported."""

import csv
import json
from contextlib import closing

import numpy as np
import pytest

import rtbrain
from rtbrain.recording.export.run import BidsLabels, export_recording
from rtbrain.recording.trigger_log import TRIGGER_COLUMNS, trigger_events
from rtbrain.recording.xdf.writer import open_xdf
from tests.recording.xdf.fakes import header

SFREQ_HZ, T0 = 512.0, 4000.0
ROW = {
    "label": "speech",
    "value": 0.91,
    "t_neural": T0 + 1.8,
    "t_stop": T0 + 2.0,
    "t_ready": T0 + 2.01,
    "coverage": 0.5,
    "drift": None,
    "calibrated": True,
    "suppressed": "",
    "number": 3,
    "output": "serial /dev/ttyACM0",
    "sent": True,
    "t_sent": T0 + 2.03,
    "acknowledged": True,
    "t_acknowledged": T0 + 2.034,
    "latency_s": 0.03,
}
NOT_SENT = {"sent": False, "t_sent": None, "acknowledged": None, "t_acknowledged": None}


def row(**changes):
    return json.dumps(ROW | changes)


def markers(name, content):
    plain = header(name, 1, "string", 0.0)
    return plain.replace(b"<type>EEG</type>", f"<type>{content}</type>".encode())


@pytest.fixture
def session(tmp_path):
    """XDF of 4 s with a gap of 1 s after 3 s, a cue, and a log with two lines that are none."""
    path = tmp_path / "run.xdf"
    lines = [
        (2.01, row()),
        (2.5, row(**NOT_SENT, suppressed="disarmed: Esc", t_ready=T0 + 2.5, output="")),
        (2.6, "no JSON"),
        (2.7, "[1]"),
        (4.5, row(t_ready=T0 + 4.5, t_sent=T0 + 4.6, t_stop=T0 + 4.4, number=5)),
    ]
    stamps = np.concatenate([np.arange(1536), np.arange(2048, 2560)]) / SFREQ_HZ + T0
    values = np.random.default_rng(0).normal(0, 30, (stamps.size, 3)).astype("<f4")
    with closing(open_xdf(path)) as writer:
        writer.samples(writer.add_stream(header("sig", 3)), values, stamps)
        for name, content, told in (
            ("ward-triggers", "Triggers", lines),
            ("cues", "Markers", [(1.0, "speech")]),
            ("ward-events", "Markers", [(1.8, '{"label": "speech"}')]),
        ):
            texts = np.array([[text] for _, text in told], object)
            at = np.array([T0 + t for t, _ in told])
            ours = content == "Triggers" or name == "ward-events"
            about = b"<desc><rtbrain><origin>decoder</origin></rtbrain>" if ours else b"<desc>"
            head = markers(name, content).replace(b"<desc>", about)
            writer.samples(writer.add_stream(head), texts, at)
    return path


def test_the_log_is_no_event_and_lines_that_are_none_are_noted(session):
    recording = rtbrain.read(session)
    assert [event.text for event in recording.events] == ["speech"]
    assert [event.onset_s for event in recording.triggers] == pytest.approx([2.03, 2.5, 4.6])
    assert any("2 lines of stream 'ward-triggers'" in note for note in recording.notes)
    recording.close()


def test_bids_has_a_row_for_each_with_columns_that_its_sidecar_describes(session, tmp_path):
    recording = rtbrain.read(session)
    made, _ = export_recording(
        recording, tmp_path / "set", "bids", labels=BidsLabels(), mains_hz=50.0
    )
    (table,) = (tmp_path / "set").rglob("*_events.tsv")
    rows = list(csv.DictReader(table.read_text().splitlines(), delimiter="\t"))
    about = json.loads(table.with_suffix(".json").read_text())
    assert list(rows[0]) == ["onset", "duration", "trial_type", *about]
    assert all(one["Description"] for one in about.values())
    cue, first, second, gap, third = rows
    assert cue["trial_type"] == "speech"
    assert {cue[column] for column in about} == {"n/a"}
    assert float(first["onset"]) == pytest.approx(2.03, abs=1e-6)
    known = {column: first[column] for column in about}
    assert known | {"onset": ""} == {
        "onset": "",
        "trigger_status": "sent",
        "trigger_reason": "n/a",
        "trigger_number": "3",
        "trigger_output": "serial /dev/ttyACM0",
        "trigger_acknowledged": "true",
        "brain_state": "speech",
        "brain_state_value": "0.91",
        "brain_state_latency": known["brain_state_latency"],
        "loop_latency": known["loop_latency"],
        "acknowledgement_latency": known["acknowledgement_latency"],
        "signal_coverage": "0.5",
        "signal_drift": "n/a",
    }
    latencies = [float(known[f"{key}_latency"]) for key in ("brain_state", "loop")]
    assert latencies == pytest.approx([0.23, 0.03], abs=1e-6)
    assert float(known["acknowledgement_latency"]) == pytest.approx(0.004, abs=1e-6)
    assert (second["trigger_status"], second["trigger_reason"]) == ("suppressed", "disarmed: Esc")
    assert float(second["onset"]) == pytest.approx(2.5, abs=1e-6)
    assert gap["trial_type"].startswith("BAD gap")
    assert float(third["onset"]) == pytest.approx(3.6, abs=1e-6)  # by samples, as all events are
    recording.close()
    again = rtbrain.read(made)
    assert [event.text for event in again.events] == ["speech"]
    assert any("3 events in" in note and "a decoder's triggers" in note for note in again.notes)
    again.close()


def test_other_formats_say_that_they_leave_the_log_out(session, tmp_path):
    recording = rtbrain.read(session)
    _, notes = export_recording(recording, tmp_path / "out.xdf", "xdf")
    assert any("3 rows of the trigger log: BIDS alone keeps them" in note for note in notes)
    recording.close()


def test_labels_of_the_log_are_anonymized_as_those_of_events(session, tmp_path):
    recording = rtbrain.read(session)
    export_recording(
        recording,
        tmp_path / "set",
        "bids",
        labels=BidsLabels(),
        mains_hz=50.0,
        anonymize_events=True,
    )
    (table,) = (tmp_path / "set").rglob("*_events.tsv")
    assert "speech" not in table.read_text()
    rows = list(csv.DictReader(table.read_text().splitlines(), delimiter="\t"))
    assert {row["trigger_reason"] for row in rows} == {"n/a"}  # "no code for speech"
    assert {row["trigger_output"] for row in rows} == {"n/a"}  # the name of a machine
    recording.close()


def test_whatever_stands_in_a_row_is_one_plain_cell():
    hostile = {"value": "1\t2", "label": "a\tb\nc\x1b[2J", "number": [1], "coverage": 1e999}
    hostile |= {"output": "x" * 10_000, "suppressed": {"a": 1}, "t_sent": True, "drift": -0.0}
    hostile |= {"t_neural": "soon", "acknowledged": "perhaps\t"}
    hostile |= {"t_stop": 10**400}
    ((event,), n_unread) = trigger_events([(2.0, json.dumps(ROW | hostile))])
    assert n_unread == 0
    about = dict(event.about)
    assert about.keys() == TRIGGER_COLUMNS.keys()
    assert all(text.isprintable() and len(text) < 300 for text in about.values())
    assert about["brain_state"] == "a?b?c?[2J"
    assert trigger_events([(3.0, '{"label": 3}'), (4.0, "{}"), (5.0, "NaN")]) == ([], 3)
