from xml.etree.ElementTree import fromstring

import pytest

from rtbrain.recording.xdf.chunks import header_identity, parse_stream_header, repair_header
from tests.recording.xdf.fakes import header


def test_a_header_that_readers_take_is_left_byte_for_byte():
    xml = header("grün", desc="<x>µ &amp; 🧠</x>")
    assert repair_header(xml) is xml


@pytest.mark.parametrize("bad", ["&#01;", "&#1;", "&#31;", "\x02", "\ufffe"])
def test_a_forbidden_character_is_replaced_so_that_the_file_can_be_read(bad):
    xml = header(desc=f"<label>A{bad}1&#10;&#9;&#65;</label>")
    repaired = repair_header(xml)
    assert fromstring(repaired.decode()).findtext("desc/label") == "A\ufffd1\n\tA"
    assert parse_stream_header(repaired).n_channels == 3


def test_bytes_that_are_no_utf8_are_replaced():
    xml = header("x").replace(b"<name>x", b"<name>\xff\x01")
    assert parse_stream_header(repair_header(xml)).name == "\ufffd\ufffd"


def test_the_identity_of_a_stream_outlives_its_sender_but_not_another_label_or_rate():
    def run(uid, port, label="A1", sfreq_hz=512.0):
        xml = header(desc=f"<channels><channel><label>{label}</label></channel></channels>")
        xml = xml.replace(b"512.0", str(sfreq_hz).encode())
        extra = f"<uid>{uid}</uid><v4data_port>{port}</v4data_port><created_at>{port}</created_at>"
        return xml.replace(b"<desc>", extra.encode() + b"<desc>")

    first = header_identity(run("a", 1))
    assert first == header_identity(run("b", 2))
    assert first != header_identity(run("a", 1, label="A2"))
    assert first != header_identity(run("a", 1, sfreq_hz=1000.0))
