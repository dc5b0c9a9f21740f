"""`rtbrain demo`: real processes, real LSL, a short session."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.lsl
def test_a_short_demo_decodes_loses_nothing_and_splits_every_age(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    command = [sys.executable, "-m", "rtbrain.apps", "demo", "--duration", "5"]
    command += ["--channels", "12", "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    assert "trained streaming" in done.stdout
    figures = json.loads(report.read_text())
    for each in (figures, figures["controls"]["linear"]):
        # A busy machine skips windows, and counts them.
        accounted_for = each["decodes"] + each["skipped_windows"]
        assert accounted_for >= 0.95 * each["expected_decodes"] > 0
        assert each["decodes"] > 0.1 * each["expected_decodes"]
        assert each["lost_samples"] == 0
        assert each["balanced_accuracy"] > 0.7
        parts_s = (
            each["algorithmic_s"] + (each["transport_ms"]["p50"] + each["compute_ms"]["p50"]) / 1000
        )
        assert each["age_s"]["p50"] == pytest.approx(parts_s, abs=0.1)  # medians do not add up
    assert figures["mode"] == "streaming"
    assert figures["runtime"] == "torchscript"
