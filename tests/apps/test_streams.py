"""`rtbrain streams`: what is on the network, as plain text."""

import uuid

import pytest

from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.streams import streams
from rtbrain.types import Montage
from tests.apps.program import refused, rtbrain
from tests.conftest import montage_of

pytestmark = pytest.mark.lsl


def test_streams_are_listed_with_rate_unit_and_source(monkeypatch):
    name = f"s-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("COLUMNS", "200")
    outlet = SignalOutlet(name, montage_of(3, 512.0), source_id=f"{name}-id", origin="synthetic")
    done = rtbrain("streams")
    outlet.close()
    (line,) = [line for line in done.stdout.splitlines() if name in line]
    cells = [part.strip() for part in line.split("  ") if part.strip()]
    assert cells[:3] == [name, "EEG", "3 at 512 Hz, microvolts"]
    assert f"{name}-id" in line


def test_text_of_a_sender_is_shown_without_control_characters_or_markup(monkeypatch):
    token = uuid.uuid4().hex[:8]
    monkeypatch.setenv("COLUMNS", "200")
    montage = Montage(("A1",), ("seeg",), 512.0)
    name = f"[red]{token}\x1b[2J\n"
    outlet = SignalOutlet(name, montage, source_id=token, origin="synthetic")
    done = rtbrain("streams")
    found = [row.name for row in streams() if row.source_id == token]
    outlet.close()
    assert found == [f"[red]{token}?[2J?"]
    assert f"[red]{token}" in done.stdout
    assert "\x1b[2J" not in done.stdout


def test_commands_list_the_streams_where_none_is_named(tmp_path):
    name = f"s-{uuid.uuid4().hex[:8]}"
    outlet = SignalOutlet(name, montage_of(3, 512.0), source_id=name, origin="synthetic")
    for command in (("decode", "--bundle", tmp_path), ("record", tmp_path / "a.xdf")):
        line = refused(*command)
        assert name in line
        assert f"rtbrain {command[0]}" in line
    outlet.close()
    assert not list(tmp_path.iterdir())
