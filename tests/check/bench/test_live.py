"""A live session that is measured: what was heard, against what a whole one would have held."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from rtbrain.apps import bench
from typer.testing import CliRunner

from rtbrain.check.bench import live as bench_live
from rtbrain.check.bench.live import LiveBench, live_scores
from rtbrain.learn.fit.quick_fit import QuickFit
from rtbrain.stream.lsl.decodes import ReceivedDecode

HOP_S, DELAY_S = 0.125, 0.5
VALUES = np.array([0.4, 0.6], np.float32)
CALIBRATION = QuickFit(0.9, DELAY_S, HOP_S, 100, "none")


def heard_of(t_stop: list[float], compute_s: float, transport_s: float, wire_s: float) -> LiveBench:
    age_s = DELAY_S + compute_s + transport_s
    arrival_s = compute_s + transport_s + wire_s
    rows = [ReceivedDecode(t, t + arrival_s, VALUES, True, 1.0, age_s, compute_s) for t in t_stop]
    looks = {"decode": [(0.0, 1.0, 300.0), (10.0, 6.0, 310.0)]}
    return LiveBench(rows, 7, 2, looks)


def test_figures_are_those_of_what_was_heard() -> None:
    t_stop = [10.0 + HOP_S * number for number in range(80) if number not in (5, 6, 40)]
    figures = live_scores(heard_of(t_stop, 0.02, 0.003, 0.001), CALIBRATION)
    assert (figures["decodes"], figures["missing"], figures["invalid"]) == (77, 3, 0)
    assert (figures["lost_samples"], figures["skipped_windows"]) == (7, 2)
    for key, expected in (
        ("compute_s", 0.02),
        ("transport_s", 0.003),
        ("outlet_to_listener_s", 0.001),
        ("age_s", DELAY_S + 0.024),
        ("oldest_s", DELAY_S + 0.024 + HOP_S),
    ):
        assert figures[key]["p50"] == pytest.approx(expected, abs=1e-9), key
    # Two decodes in a row are missing: the one before was shown for three hops.
    assert figures["oldest_s"]["most"] == pytest.approx(DELAY_S + 0.024 + 3 * HOP_S)
    assert figures["processes"]["decode"] == {"cores": 0.5, "begin_mib": 300.0, "end_mib": 310.0}


def test_what_never_came_is_no_number() -> None:
    heard = heard_of([1.0, 1.125], float("nan"), 0.0, 0.0)
    assert np.isnan(live_scores(heard, CALIBRATION)["compute_s"]["p99"])


@pytest.mark.lsl
def test_live_session_is_measured_over_lsl(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bench_live, "_CALIBRATION_S", 15.0)
    app = typer.Typer()
    app.command()(bench.command)
    report = tmp_path / "report.json"
    arguments = ["pipeline", "--minutes", "0.05", "--channels", "8", "--mode", "linear"]
    done = CliRunner().invoke(
        app, [*arguments, "--json", str(report)], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    live = json.loads(report.read_text())["live"]
    skipped = live["skipped_windows"]  # by a busy machine
    assert live["lost_samples"] == 0
    assert 0 <= live["missing"] <= skipped  # none twice
    # What a busy machine delivers late counts too: there may be more than 3 seconds of it.
    assert live["decodes"] + skipped >= 3 / live["hop_s"] - 4
    assert live["oldest_s"]["p50"] == pytest.approx(live["age_s"]["p50"] + live["hop_s"], abs=0.05)
    assert set(live["processes"]) == {"simulate", "decode", "record"}
    recorded = live["recorded"]
    assert recorded["samples"] > 3 * 2048
    assert (recorded["dropped"], recorded["lost_links"]) == (0, 0)
    assert live["decoder_said"].endswith("windows skipped")
