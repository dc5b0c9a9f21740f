"""A sender and a source over real liblsl, for the tests that ask for them."""

import uuid

import pytest

from rtbrain.outlet.lsl import SignalOutlet
from tests.conftest import montage_of
from tests.stream.receiving import SFREQ_HZ, lsl_source


@pytest.fixture
def hasty(monkeypatch):
    """Do not wait for a second stream to show itself: every name here is unique."""
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    monkeypatch.setattr("rtbrain.stream.supervise.connection._SETTLE_S", 0.0)


@pytest.fixture
def source_id():
    return uuid.uuid4().hex


@pytest.fixture
def opened():
    """Make and open a source, so that all that is pushed afterwards arrives."""
    sources = []

    def make(**kwargs):
        source = lsl_source(**kwargs)
        sources.append(source)
        assert source.pull(0.0).n_samples == 0
        return source

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def outlet(source_id):
    made = SignalOutlet(
        f"sig-{source_id}", montage_of(4, SFREQ_HZ), source_id=source_id, origin="synthetic"
    )
    yield made
    made.close()
