"""A doctor that starts nothing, for all tests of the console but those on real streams."""

import time
from types import SimpleNamespace

import pytest

from rtbrain.console.setup.page import SetupPage


class StubDoctor:
    """What a doctor has found, given by the test."""

    def __init__(self, expected):
        self.expected, self.streams, self.reading, self.n_looks = expected, (), None, 0
        self.found, self.closed = [], False
        self.looked_s = time.monotonic()

    @property
    def signal(self):
        return self._of(self.expected.stream)

    @property
    def markers(self):
        return self._of(self.expected.markers)

    def _of(self, name):
        return next((one for one in self.streams if one.name == name), None)

    def checks(self):
        return tuple(self.found)

    def look_again(self):
        self.n_looks += 1

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def doctors(request, monkeypatch):
    """The doctors that pages have made."""
    made = SimpleNamespace(all=[])
    if request.node.get_closest_marker("lsl") is None:

        def make(expected):
            made.all.append(StubDoctor(expected))
            return made.all[-1]

        monkeypatch.setattr(SetupPage, "make_doctor", staticmethod(make))
    return made
