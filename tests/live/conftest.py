"""A decoder, and an amplifier that it decodes."""

import pytest

from tests.live.amplifier import MONTAGE, sending
from tests.test_live_equals_offline import bundle_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Folder of a linear decoder with a random readout, which crosses one half all the time."""
    folder = tmp_path_factory.mktemp("bundle") / "linear"
    bundle_of("linear", MONTAGE, folder)
    return folder


@pytest.fixture
def name():
    """Name of a stream that is sent while the test runs."""
    with sending(MONTAGE) as name:
        yield name
