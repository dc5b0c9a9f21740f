import itertools
import json

import pytest
import typer
from rtbrain.apps import bench
from typer.testing import CliRunner

from rtbrain.check.bench import front_end
from rtbrain.check.bench import run as bench_run
from rtbrain.check.bench.tables import BenchRow
from rtbrain.errors import SettingsError
from rtbrain.live import realtime_check
from rtbrain.live.realtime_check import Timing


def program() -> typer.Typer:
    app = typer.Typer()
    app.command()(bench.command)
    return app


def invoke(*arguments: str):
    return CliRunner().invoke(program(), arguments, env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def rows():
    """Rows of a small run, with few repeats."""
    with pytest.MonkeyPatch.context() as patch:
        once = realtime_check.measure
        patch.setattr(
            front_end, "measure", lambda function, **_: once(function, repeats=2, warmup=1)
        )
        return front_end.measure_rows(4)


def test_front_end_is_measured_against_scipy_and_real_time(rows):
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert rows[0].reference == rows[0].name
    assert rows[0].ratio == 1
    assert {row.reference for row in rows} <= {*names, "real time"}
    for row in rows:
        assert row.median_ms > 0
        assert row.p99_ms >= row.median_ms
    assert "% of one core" in rows[-1].name


def test_ratio_says_how_many_times_faster_than_its_reference(rows):
    of_name = {row.name: row for row in rows}
    for row in rows:
        if row.reference != "real time":
            expected = of_name[row.reference].median_ms / row.median_ms
            assert row.ratio == pytest.approx(expected)


def test_every_hop_of_the_whole_way_gives_a_spectrogram():
    signal = front_end._signal(2)
    seen = []

    class Counting(front_end.PublishedStft):
        def __call__(self, item):
            spectrogram = super().__call__(item)
            seen.append((item.first_sample, item.quality.valid))
            return spectrogram

    hop = front_end._front_end(signal, Counting(2, 10240))
    for _ in range(25):
        hop()
    assert len(seen) == 25
    assert seen[-1][1]
    assert [b[0] - a[0] for a, b in itertools.pairwise(seen)] == [500] * (len(seen) - 1)


def test_command_prints_a_table_and_writes_the_same_figures(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(front_end, "measure_rows", lambda n_channels: rows)
    path = tmp_path / "report.json"
    path.write_text("an older report")
    done = invoke("front-end", "--channels", "4", "--json", str(path))
    assert done.exit_code == 0, done.output
    for row in rows:
        assert row.name[:20] in done.output
    report = json.loads(path.read_text())
    assert (report["what"], report["n_channels"]) == ("front-end", 4)
    assert [BenchRow(**row) for row in report["rows"]] == rows
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_folder_that_is_not_there_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(front_end, "measure_rows", pytest.fail)
    done = invoke("front-end", "--json", str(tmp_path / "absent" / "report.json"))
    assert isinstance(done.exception, SettingsError)
    assert "make it first" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("view", "--channels", "4,8"), "expected one number"),
        (("encoder", "--channels", "4,8"), "numbers of 6 to 1024"),
        (("pipeline", "--channels", "many"), "got 'many'"),
        (("pipeline", "--minutes", "1", "--channels", "16,32"), "expected one number"),
        (("encoder", "--minutes", "1"), "leave it out for bench encoder"),
        (("pipeline", "--mode", "edgy"), "one of linear, published, edge, streaming, got 'edgy'"),
        (("view", "--mode", "edge"), "--mode: for encoder and pipeline only"),
        (("front-end", "--hop", "0.5"), "--hop: for encoder and pipeline only"),
        (("view", "--threads", "2", "--png", "a.png"), "--threads, --png: for encoder and"),
        (("pipeline", "--minutes", "1", "--png", "a.png"), "leave it out with --minutes"),
    ],
)
def test_flags_that_do_not_belong_together_are_refused(arguments, said):
    done = invoke(*arguments)
    assert isinstance(done.exception, SettingsError)
    assert said in str(done.exception)


def test_unknown_part_is_refused():
    assert invoke("everything").exit_code == 2


def test_measure_counts_warmup_and_repeats_and_orders_its_times():
    calls = []
    timed = realtime_check.measure(lambda: calls.append(0), repeats=7, warmup=3)
    assert len(calls) == 10
    assert timed.repeats == 7
    assert 0 <= timed.median_ms <= timed.p99_ms


def test_measuring_nothing_is_refused():
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        realtime_check.measure(lambda: None, repeats=0, warmup=0)


def test_row_without_a_reference_is_its_own():
    row = BenchRow.of("alone", Timing(2.0, 3.0, 5))
    assert (row.ratio, row.reference) == (1.0, "alone")
    assert BenchRow.of("fast", Timing(0.5, 1.0, 5), "alone", 2.0).ratio == 4


def test_statistics_that_do_not_hold_end_in_exit_code_1(monkeypatch, tmp_path):
    figures = {"failed": [], "rows": []}
    monkeypatch.setattr(bench_run, "bench_statistics", lambda console, n, path: figures | {"n": n})
    path = tmp_path / "figures.json"
    assert invoke("statistics", "--recordings", "9", "--json", str(path)).exit_code == 0
    assert json.loads(path.read_text())["n"] == 9
    figures["failed"] = ["halves"]
    assert invoke("statistics").exit_code == 1
    for wrong, why in (
        (("statistics", "--channels", "8"), "simulated features have none"),
        (("front-end", "--recordings", "9"), "is for statistics"),
    ):
        with pytest.raises(SettingsError, match=why):
            program()(wrong, standalone_mode=False)
