import json

import numpy as np
import pytest
import typer
from rtbrain.apps import bench
from typer.testing import CliRunner

from rtbrain.check.bench import view
from rtbrain.check.bench.tables import BenchRow
from rtbrain.errors import SettingsError
from rtbrain.view.traces.paint import TraceLines

ROWS = [
    BenchRow("plain", 100.0, 110.0, 1.0, "plain"),
    BenchRow("traces", 10.0, 12.0, 10.0, "plain"),
]


def invoke(*arguments):
    app = typer.Typer()
    app.command()(bench.command)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})


@pytest.mark.parametrize("scrolling", [False, True])
def test_every_measured_redraw_paints_every_trace(qtbot, monkeypatch, scrolling):
    painted = []
    draw = TraceLines.draw
    monkeypatch.setattr(
        TraceLines, "draw", lambda self, *rest: painted.append(len(rest[1])) or draw(self, *rest)
    )
    redraw = view.Redraws(16).traces(scrolling=scrolling)
    painted.clear()
    for _ in range(3):
        redraw()
    assert len(painted) == 3 * 2  # a call a shaft
    assert min(painted) > 8 * 1100


def test_plain_items_are_given_the_whole_page(qtbot, monkeypatch):
    given = []
    redraw = view.Redraws(4).plain()
    monkeypatch.setattr("pyqtgraph.PlotDataItem.setData", lambda _, *xy: given.append(xy))
    redraw()
    assert len(given) == 4
    assert all(x.shape == y.shape == (20480,) for x, y in given)


def test_the_command_prints_and_writes_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(view, "measure_rows", lambda n_channels: ROWS)
    taken = view.ViewUsage(0.5, 200.0, 0.1, 10.0, (199.0, 200.0))
    monkeypatch.setattr(view, "measure_usage", lambda *_: taken)
    path = tmp_path / "view.json"
    done = invoke("view", "--channels", "8", "--minutes", "10", "--json", str(path))
    assert done.exit_code == 0, done.output
    assert "0.50 cores" in done.output
    assert "+0.10 MiB a minute over 10 minutes" in done.output
    report = json.loads(path.read_text())
    assert [BenchRow(**row) for row in report["rows"]] == ROWS
    assert "minute by minute: 199.0, 200.0 MiB" in done.output
    assert report["process"]["slope_mib_per_min"] == 0.1


def test_only_the_window_can_be_watched():
    done = invoke("encoder", "--minutes", "1")
    assert isinstance(done.exception, SettingsError)


def test_upkeep_leaves_the_first_two_minutes_out_and_tells_each_of_the_others():
    t = np.arange(0, 300, 0.5)
    memory = np.where(t < 120, 10 * t, 1200 + 2 * (t - 120) / 60)
    taken = view._fitted(list(zip(t, 0.4 * t, memory, strict=True)), 3.0)
    assert taken.cores == pytest.approx(0.4)
    assert taken.slope_mib_per_min == pytest.approx(2)
    assert taken.by_minute_mib == pytest.approx((1200, 1202, 1204, 1206), abs=0.02)


def test_a_window_that_had_no_signal_is_not_measured():
    assert view._sent_s("33907 samples sent, 16.6 s of signal\n(   9.1s) ERR| lost") == 16.6
    assert view._sent_s("rtbrain: something else") == 0
