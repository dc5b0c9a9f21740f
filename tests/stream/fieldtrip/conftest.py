"""A FieldTrip buffer, and sources of it that are closed when a test is over."""

import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.stream.fieldtrip.source import FieldTripSource
from tests.conftest import montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(4, SFREQ_HZ)
MADE: list[FieldTripSource] = []


def made(port=1972, on_event=lambda event, **fields: None, **settings):
    """A source that is closed when the test is over."""
    MADE.append(FieldTripSource("127.0.0.1", port, on_event=on_event, **settings))
    return MADE[-1]


@pytest.fixture(autouse=True)
def _closed():
    yield
    while MADE:
        MADE.pop().close()


@pytest.fixture
def server():
    """A buffer with a header for 4 channels."""
    server = FieldTripServer()
    server.put_header(4, SFREQ_HZ, names=MONTAGE.names)
    yield server
    server.stop()
