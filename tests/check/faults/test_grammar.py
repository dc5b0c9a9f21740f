"""How faults are written, and the message where one is written wrong."""

import math

import pytest

from rtbrain.check.faults.faulty_outlet import outlet_plan
from rtbrain.check.faults.grammar import FAULT_KINDS, OUTLET_FAULT_KINDS, Fault, parse_fault
from rtbrain.errors import MontageError, SettingsError
from tests.conftest import montage_of

MONTAGE = montage_of(4, 500.0)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop:2s@10", Fault(kind="drop", start_s=10, amount=2)),
        ("stall:0.5s@1.25", Fault(kind="stall", start_s=1.25, amount=0.5)),
        ("dup:64@10", Fault(kind="dup", start_s=10, amount=64)),
        ("reorder@10", Fault(kind="reorder", start_s=10, amount=64)),
        ("nan:A3@5-8", Fault(kind="nan", start_s=5, stop_s=8, channels=("A3",))),
        ("flat:*@5", Fault(kind="flat", start_s=5, channels=("*",))),
        ("mains:A3,A4@5-8", Fault(kind="mains", start_s=5, stop_s=8, channels=("A3", "A4"))),
        ("scale:1e6@5", Fault(kind="scale", start_s=5, amount=1e6)),
        ("clockstep:-10s@10", Fault(kind="clockstep", start_s=10, amount=-10)),
        ("drift:200ppm", Fault(kind="drift", amount=200)),
        ("rename:A3=ZZ@12", Fault(kind="rename", start_s=12, channels=("A3",), new_name="ZZ")),
        ("add:ZZ@12", Fault(kind="add", start_s=12, new_name="ZZ")),
        ("rate:1000@15", Fault(kind="rate", start_s=15, amount=1000)),
        ("duplicate-source@10-12", Fault(kind="duplicate-source", start_s=10, stop_s=12)),
    ],
)
def test_a_fault_is_read_as_it_is_written(text, fault):
    read = parse_fault(text)
    for field in ("kind", "start_s", "stop_s", "channels", "new_name"):
        assert getattr(read, field) == getattr(fault, field), field
    assert read.amount == fault.amount or (math.isnan(read.amount) and math.isnan(fault.amount))


def test_every_kind_reads_its_own_example():
    for kind, example in FAULT_KINDS.items():
        assert parse_fault(example).kind == kind
    assert set(FAULT_KINDS) >= OUTLET_FAULT_KINDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drp:2s@10", "did you mean drop:2s@10"),
        ("duplicate_source@10", "did you mean duplicate-source@10"),
        ("", "there are drop, stall"),
        ("xyzzy@1", "there are drop, stall"),
        ("drop:2@10", "write it like drop:2s@10"),
        ("drop:2s", "does not say when"),
        ("drop@10", "does not say what"),
        ("drop:2s@10-12", "no span"),
        ("drop:0s@10", "above 0"),
        ("drop:9e999s@10", "finite"),
        ("nan:A3@8-5", "not after it begins"),
        ("nan:A3,@5", "label is empty"),
        ("nan:A3@soon", "'soon'"),
        ("rename:A3@12", "rename:A3=ZZ@12"),
        ("dup:6.5@10", "dup:64@10"),
        ("drift:fast", "drift:200ppm"),
    ],
)
def test_a_mistake_is_one_line_that_shows_the_right_form(text, message):
    with pytest.raises(SettingsError, match=message) as error:
        parse_fault(text)
    assert "\n" not in str(error.value)


def plan_of(*texts):
    return outlet_plan([parse_fault(text) for text in texts], MONTAGE)


def test_a_stream_without_faults_has_one_phase():
    (phase,) = plan_of("nan:A3@5", "drop:2s@10")
    assert (phase.start_s, phase.montage, phase.rows, phase.n_outlets) == (
        0.0,
        MONTAGE,
        (0, 1, 2, 3),
        1,
    )


def test_the_stream_is_away_and_comes_back_changed():
    phases = plan_of("rate:250@30", "permute@10", "add:ZZ@20", "remove:A1,A4@40", "vanish:3s@50")
    assert [(p.start_s, p.n_outlets) for p in phases] == [
        (0, 1),
        *((10, 0), (11, 1), (20, 0), (21, 1), (30, 0), (31, 1), (40, 0), (41, 1), (50, 0), (53, 1)),
    ]
    back = phases[2::2]
    assert back[0].montage.names == ("A4", "A3", "A2", "A1")
    assert back[0].rows == (3, 2, 1, 0)
    assert back[1].montage.names == ("ZZ", "A4", "A3", "A2", "A1")
    assert back[1].rows == (-1, 3, 2, 1, 0)
    assert back[2].montage.sfreq_hz == 250
    assert back[3].montage.names == ("ZZ", "A3", "A2")
    assert back[4].rows == (-1, 2, 1)


def test_a_renamed_channel_carries_the_same_signal():
    last = plan_of("rename:A3=ZZ@12")[-1]
    assert last.montage.names == ("A1", "A2", "ZZ", "A4")
    assert last.rows == (0, 1, 2, 3)


def test_a_duplicate_comes_and_goes_while_the_first_stays():
    phases = plan_of("duplicate-source@10-12")
    assert [(p.start_s, p.n_outlets) for p in phases] == [(0, 1), (10, 2), (12, 1)]
    assert all(phase.montage is MONTAGE for phase in phases)


@pytest.mark.parametrize(
    ("texts", "error", "told"),
    [
        (["remove:Z9@5"], MontageError, "no channel Z9"),
        (["rename:A1=A2@5"], MontageError, "repeat: A2"),
        (["remove:A1,A2,A3,A4@5"], MontageError, "leaves no channel"),
        (["vanish:3s@5", "permute@6"], SettingsError, "away until second 8"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(texts, error, told):
    with pytest.raises(error, match=told):
        plan_of(*texts)
