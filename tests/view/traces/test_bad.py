"""Bad contacts are told in words, with how long where that was seen."""

import pytest

from rtbrain.marks import OPERATOR_MARK
from rtbrain.signal.quality_rules import QUALITY_REASONS
from rtbrain.view.texts import is_by_hand, reason_text, say
from rtbrain.view.theme import DARK
from rtbrain.view.traces import strip as strip_module
from rtbrain.view.traces.bad import BadContacts, duration_text
from rtbrain.view.traces.strip import BadStrip


def test_each_reason_of_the_decoder_has_words():
    told = [reason_text(reason) for reason in QUALITY_REASONS[1:]]
    assert len(set(told)) == len(told)
    assert "not finite" not in told
    assert reason_text("A2: flat") == "A2: flat"
    assert reason_text(OPERATOR_MARK) == "by hand"
    assert reason_text("as nobody knows it") == "as nobody knows it"
    assert is_by_hand(f"A2: {OPERATOR_MARK}")


def test_how_long_a_contact_is_bad_is_told_only_where_its_beginning_was_seen():
    contacts, names = BadContacts(), ("LA3", "RB2", "RB3")
    contacts.list(names, {"LA3": "flat"}, 100.0)
    contacts.list(names, {"LA3": "flat", "RB2": "mains"}, 110.0)
    told = contacts.list(names, {"LA3": "flat", "RB2": "mains"}, 122.5)
    assert [str(one) for one in told] == ["LA3 flat", "RB2 mains for 12 s"]
    assert [one.short for one in told] == ["flat", "mains"]
    contacts.list(names, {}, 130.0)
    (again,) = contacts.list(names, {"RB2": "mains"}, 140.0)
    assert str(again) == "RB2 mains"


def test_the_first_contact_that_turns_bad_says_for_how_long_if_all_were_checked_before():
    contacts, names = BadContacts(), ("LA3", "RB2")
    contacts.list(names, {}, 100.0, checked=True)
    (early,) = contacts.list(names, {"LA3": "flat"}, 101.0, checked=True)
    (late,) = contacts.list(names, {"LA3": "flat"}, 200.0, checked=True)
    assert str(early) == str(late) == "LA3 flat"  # reported with the first: bad before
    contacts = BadContacts()
    contacts.list(names, {}, 100.0)
    contacts.list(names, {}, 200.0, checked=True)
    contacts.list(names, {}, 3600.0, checked=True)
    contacts.list(names, {"LA3": "flat"}, 3700.0, checked=True)
    (one,) = contacts.list(names, {"LA3": "flat"}, 3940.0, checked=True)
    assert str(one) == "LA3 flat for 4 min"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (240, "4 min"), (7300, "2 h")]
)
def test_a_duration_has_one_unit(seconds, text):
    assert duration_text(seconds) == text


def strip_of(qtbot, n_bad, width, checked=True):
    names = [f"LA{number}" for number in range(1, 33)]
    contacts = BadContacts()
    bad = contacts.list(names, dict.fromkeys(names[:n_bad], "flat"), 1.0)
    strip = BadStrip(DARK)
    qtbot.addWidget(strip)
    strip.resize(width, 26)
    strip.show_bad(bad, 32, checked=checked)
    strip.grab()
    return strip


def test_the_strip_names_each_bad_contact_and_says_how_many_more_there_are(qtbot):
    few = strip_of(qtbot, 2, 950)
    assert few.shown == ["2 bad of 32", "LA1", "flat", "LA2", "flat"]
    many = strip_of(qtbot, 20, 600)
    named = [text for text in many.shown if text.startswith("LA")]
    assert 3 <= len(named) < 20
    assert many.shown[-1] == f"and {20 - len(named)} more"
    assert [action.text() for action in many.menu().actions()] == [
        f"LA{n} flat" for n in range(1, 21)
    ]
    with qtbot.waitSignal(many.chosen) as emitted:
        many.menu().actions()[4].trigger()
    assert emitted.args == ["LA5"]


def test_contacts_that_nobody_checks_are_not_called_good(qtbot):
    assert strip_of(qtbot, 0, 950).shown == ["all 32 contacts good"]
    assert strip_of(qtbot, 0, 950, checked=False).shown == [
        "contacts are checked while a decoder runs"
    ]


def test_names_and_reasons_go_before_the_hint_at_the_end(qtbot, monkeypatch):
    texts = []
    paint = strip_module.paint_text
    monkeypatch.setattr(strip_module, "paint_text", lambda *a: texts.append(a[2]) or paint(*a))
    strip = BadStrip(DARK)
    qtbot.addWidget(strip)
    contacts = BadContacts()
    contacts.list(("LA3", "RB2"), {}, 0.0, checked=True)
    listed = contacts.list(("LA3", "RB2"), {"LA3": "flat", "RB2": "mains"}, 12.0, checked=True)
    strip.show_bad(listed, 32, checked=True)
    for width, is_hinted in ((600, True), (320, False)):
        strip.resize(width, 26)
        texts.clear()
        strip.grab()
        assert strip.shown[1:] == ["LA3", "flat", "RB2", "mains"]
        assert (say("signal.left_out") in texts) is is_hinted
