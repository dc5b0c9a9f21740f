"""What `rtbrain compile` reports of its check: the recordings, and the number of steps."""

from pathlib import Path

import pytest

from rtbrain.bundling import build_decoder
from rtbrain.check.compile import check
from rtbrain.check.compile.inputs import was_fitted_on
from rtbrain.decoder import read_bundle
from tests.apps.compiling import fitted


def test_recordings_that_a_readout_was_fitted_on_are_known_where_the_bundle_tells(
    tmp_path: Path,
) -> None:
    found = read_bundle(fitted("linear", tmp_path / "bundle"))
    assert was_fitted_on(found, "synthetic:3")
    assert was_fitted_on(found, "synthetic:3, duration_s=9, family=0")
    assert not was_fitted_on(found, "synthetic:33")
    assert not was_fitted_on(found, "synthetic:3,family=1")
    assert not was_fitted_on(found, "3.edf")


def test_few_steps_have_no_99th_percentile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_bundle(fitted("linear", tmp_path / "bundle"))
    features, readout = build_decoder(found, found.montage)
    for n_steps in (100, 99):
        monkeypatch.setattr(check, "_MAX_STEPS", n_steps)
        turns = check.time_alternately(features, readout, features.encoder, found.recipe)
        assert turns.n_steps == n_steps
        assert (turns.before_ms[1] is None) == (turns.after_ms[1] is None) == (n_steps < 100)
