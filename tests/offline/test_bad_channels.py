"""The experiment on bad contacts: what it spoils, what it counts, and that masking helps."""

import numpy as np
import pytest

from rtbrain.build import build_encoding
from rtbrain.config import Recipe, load_settings
from rtbrain.offline.bad_channels import Encodes, Row, measure_bad_channels, table
from rtbrain.spectrogram import RunningStatistics
from rtbrain.stream.patient import Patient
from rtbrain.types import Floats

PATIENT = Patient(2, n_channels=16, sfreq_hz=2048.0, difficulty="easy")


def linear(statistics: RunningStatistics | None, mean: Floats | None) -> Encodes:
    recipe = load_settings("linear", Recipe)
    steps = tuple(step for step in recipe.signal if step.quality is None)
    recipe = recipe.model_copy(update={"signal": steps, "coverage_floor": 0.05})
    return build_encoding(recipe, PATIENT.montage, statistics=statistics, feature_mean=mean)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure_bad_channels(
        PATIENT, linear, embargo_windows=20, n_bad=(4, 8), train_s=50.0, test_s=25.0, n_draws=1
    )


def test_masking_keeps_more_of_the_accuracy_than_letting_faults_through(rows: list[Row]) -> None:
    assert [row.n_bad for row in rows] == [4, 8]
    for row in rows:
        assert row.clean > 0.7
        assert row.masked > row.clean - 0.12
        assert row.masked > row.unmasked


def test_every_bad_contact_is_found_and_no_good_one(rows: list[Row]) -> None:
    for row in rows:
        assert row.found == 1
        assert row.false == 0
        assert 0.3 < row.coverage < 1


def test_the_table_has_a_line_a_row(rows: list[Row]) -> None:
    drawn = table(rows, "bad contacts")
    assert drawn.row_count == len(rows)
    assert rows[0].as_dict()["n_bad"] == 4
    assert all(np.isfinite(value) for row in rows for value in row.as_dict().values())
