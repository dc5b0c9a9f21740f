"""Costs of a step: what is measured, what is estimated, and how it is shown."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from rtbrain.apps import bench
from typer.testing import CliRunner

from rtbrain.check.bench import child, run
from rtbrain.check.bench.steps import (
    MODES,
    PARTS,
    PUBLISHED_PIPELINE,
    BenchJob,
    BenchResult,
    measure_in_process,
    measure_steps,
)
from rtbrain.encoder import BRAINBERT_SIZES, POPT_SIZES, BrainBERTSizes, PopTSizes
from tests.apps.program import refused

HOP_S = 0.25
NO_OPENVINO = "OpenVINO is not installed"


def costs(job: BenchJob, cache: Path, n_steps: int = 100) -> BenchResult:
    """A machine whose encoders take 1 ms a channel, and 1 ms more a part."""
    if job.runtime == "openvino":
        return BenchResult(unavailable=NO_OPENVINO)
    each_ms = {PUBLISHED_PIPELINE: 10.0, "published": 2.0}.get(job.mode, 1.0) * job.encoded
    return BenchResult(
        durations_ms={part: [1.0] * n_steps for part in PARTS}
        | {"encoder": [each_ms * job.n_channels] * n_steps},
        hop_s=job.hop_s or HOP_S,
        algorithmic_s=0.5,
        n_encoded=job.n_channels,
        n_good=job.n_channels,
        flop_channels=1e9 * job.n_channels,
        flop_population=1e9,
        peak_flops=1e12 if job.precision == "fp32" else 2e12,
        peak_fp32_flops=1e12,
        compile_s=3.0,
        ready_s=1.0,
        rss_mib=500.0,
        idle_rss_mib=300.0,
        lost_direction=1e-3,
    )


def rows_of(part: str, n_channels: list[int], measure=costs):
    said: list[str] = []
    rows = measure_steps(
        part, MODES, n_channels, hop_s=None, threads=1, say=said.append, measure=measure
    )
    return {(row.name, row.n_channels): row for row in rows}, said


def test_each_decoder_is_measured_at_each_number_of_channels() -> None:
    rows, _ = rows_of("pipeline", [16, 64])
    row = rows["edge torchscript bf16", 64]
    assert row.median_ms == pytest.approx(64 + 3)
    assert row.p99_ms == pytest.approx(64 + 3)
    assert row.share_of_hop == pytest.approx(67 / 250)
    assert row.gflop == pytest.approx(65)
    assert row.floor_ms == pytest.approx(64 / 2 + 1)  # the population's operations are of fp32
    assert row.share_of_peak == pytest.approx(33 / 64)  # both of the encoders alone
    assert row.added_mib == 200
    assert row.latency_ms == pytest.approx((567, 817))
    assert row.times_published == pytest.approx((640 + 3) / 67)
    assert rows["published pipeline", 64].median_ms == pytest.approx(643)


def test_few_steps_have_no_99th_percentile() -> None:
    rows, _ = rows_of("pipeline", [16], partial(costs, n_steps=99))
    row = rows["edge torchscript fp32", 16]
    assert (row.median_ms, row.p99_ms) == (pytest.approx(16 + 3), None)


def test_encoder_alone_is_measured_without_the_parts_around_it() -> None:
    jobs: list[BenchJob] = []

    def noted(job: BenchJob, cache: Path) -> BenchResult:
        jobs.append(job)
        return costs(job, cache)

    rows, _ = rows_of("encoder", [16], noted)
    assert rows["edge torchscript fp32", 16].median_ms == pytest.approx(16)
    assert not any(job.filtered for job in jobs if job.mode != PUBLISHED_PIPELINE)


def test_large_encoder_is_estimated_in_blocks_from_few_channels() -> None:
    rows, _ = rows_of("pipeline", [16, 64])
    few, many = (rows["published torchscript fp32", n] for n in (16, 64))
    assert few.estimated_from is None
    assert many.estimated_from == 16
    assert many.median_ms == pytest.approx(4 * 32 + 3)
    assert (many.p99_ms, many.rss_mib, many.ready_s) == (None, None, None)
    assert many.n_encoded == 64
    assert many.floor_ms == pytest.approx(4 * few.floor_ms)


def test_what_cannot_run_here_is_told_once_and_not_tried_again() -> None:
    tried: list[BenchJob] = []

    def noted(job: BenchJob, cache: Path) -> BenchResult:
        tried.append(job)
        return costs(job, cache)

    rows, said = rows_of("pipeline", [16, 64, 128], noted)
    refused = [key for key, row in rows.items() if row.unavailable]
    assert len(refused) == 3 * 3
    assert {n for _, n in refused} == {16}
    assert len([job for job in tried if job.runtime == "openvino"]) == 9
    assert len(set(tried)) == len(tried)
    assert len(said) == len(tried)


def test_command_prints_draws_and_writes_the_figures(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run, "measure_steps", lambda *a, **k: measure_steps(*a, **k, measure=costs))
    app = typer.Typer()
    app.command()(bench.command)
    report, picture = tmp_path / "r.json", tmp_path / "p.png"
    arguments = ["pipeline", "--channels", "64,16", "--json", str(report), "--png", str(picture)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "~131" in done.output
    assert f"unavailable: edge openvino int8: {NO_OPENVINO}" in done.output
    written = json.loads(report.read_text())
    assert (written["n_channels"], written["threads"]) == ([16, 64], 1)
    assert written["rows"][0]["mode"] == PUBLISHED_PIPELINE
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("hop", ["0.26", "0.1"])
def test_a_hop_that_cannot_be_is_refused_before_anything_is_measured(hop: str) -> None:
    line = refused("bench", "encoder", "--channels", "6", "--mode", "linear", "--hop", hop)
    assert f"window.hop_s of {hop} s" in line
    assert "nearest that fits" in line


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(child, "_LONGEST_S", 0.0)
    monkeypatch.setattr(child, "_MOST_STEPS", 2)
    monkeypatch.setitem(BRAINBERT_SIZES, "large", BrainBERTSizes(24, 32, 2, 2))
    monkeypatch.setitem(POPT_SIZES, "published", PopTSizes(24, 32, 40, 2, 2))


@pytest.mark.parametrize("mode", ["linear", "edge", "streaming"])
def test_steps_of_a_mode_are_those_of_its_live_stages(quick, tmp_path, monkeypatch, mode) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runtime = "none" if mode == "linear" else "torchscript"
    measured = child.measure_mode(BenchJob(mode, 8, runtime, filtered=False))
    assert not measured.unavailable
    assert (measured.n_encoded, measured.n_good) == (8, 8)
    assert {len(measured.durations_ms[part]) for part in PARTS} == {2}
    assert min(min(each) for each in measured.durations_ms.values()) > 0
    assert measured.rss_mib > 0
    if mode == "linear":
        assert measured.flop_channels == 0
    else:
        assert 0 <= measured.difference < 1e-5
        assert abs(measured.lost_direction) < 1e-5
        assert measured.flop_channels > 0
    json.dumps(asdict(measured))


def test_published_way_is_the_sum_of_its_channels(quick) -> None:
    measured = child.measure_published_pipeline(BenchJob(PUBLISHED_PIPELINE, 16, "torch"))
    assert all(np.isfinite(measured.durations_ms[part]).all() for part in PARTS)
    assert measured.n_encoded == 16
    assert measured.algorithmic_s == pytest.approx(2.5, abs=0.01)


def test_process_that_cannot_run_a_job_says_why(tmp_path: Path) -> None:
    job = BenchJob("streaming", 8, "openvino", hop_s=None)
    assert "torchscript" in measure_in_process(job, tmp_path).unavailable
