"""The matrix of faults: its rows hold, and a row that fails or crashes is reported."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rtbrain.check.faults import rows_input, rows_recording, rows_time
from rtbrain.check.faults.matrix import ALL_CASES, FAULTS, run_cases
from rtbrain.check.faults.report import FaultRow, write_markdown
from rtbrain.check.faults.rig import FaultCase, Rig, rig_maker
from rtbrain.errors import SettingsError, StreamError
from tests.apps.program import refused, rtbrain

RigMaker = Callable[[FaultCase], Rig]


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> RigMaker:
    torch.set_num_threads(1)
    return rig_maker(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.number}-{case.check.__name__}")
        for case in ALL_CASES
        if not (case.lsl or case.network)
    ],
)
def test_a_row_of_the_matrix_holds(
    case: FaultCase, rigs: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_time, "SETTLED_S", 60)
    monkeypatch.setattr(rows_time, "SIMULATED_S", 450)
    (row,) = run_cases([case], rigs, lsl=False)
    assert row.passed, row.observed


def test_every_fault_has_a_row() -> None:
    assert {case.number for case in ALL_CASES} == set(FAULTS)
    assert set(range(1, 31)) | {34} <= set(FAULTS)


@pytest.mark.lsl
@pytest.mark.parametrize("number", [5, 15, 22])
def test_a_row_over_lsl_holds(rigs: RigMaker, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_recording, "KILLED_AFTER_S", (0.7,))
    cases = [case for case in ALL_CASES if case.lsl and case.number == number]
    (row,) = run_cases(cases, rigs, lsl=True)
    assert row.passed, row.observed


def seen(case: FaultCase, rigs: RigMaker, *, lsl: bool = False) -> FaultRow:
    (row,) = run_cases([case], rigs, lsl=lsl)
    return row


def test_a_row_that_crashes_or_refuses_has_failed(rigs: RigMaker) -> None:
    def crashes(rig: object) -> tuple[str, bool]:
        raise IndexError("beyond")

    def refuses(rig: object) -> tuple[str, bool]:
        raise StreamError("no such\nstream")

    assert seen(FaultCase(7, crashes), rigs).passed is False
    assert seen(FaultCase(7, crashes, lsl=True), rigs, lsl=True).observed.endswith(
        "IndexError: beyond"
    )
    assert seen(FaultCase(7, refuses), rigs).observed == "StreamError: no such stream"


def test_a_row_over_lsl_needs_its_flag(rigs: RigMaker) -> None:
    row = seen(FaultCase(1, lambda rig: ("", False), lsl=True), rigs)
    assert row.observed == "needs --lsl"
    assert row.passed is None


def test_a_fault_that_is_not_in_the_matrix_is_refused(rigs: RigMaker) -> None:
    with pytest.raises(SettingsError, match=r"--row: no fault 99; there are .*20, 21, 22, 23, 24"):
        list(run_cases(ALL_CASES, rigs, lsl=False, numbers=[99]))


def test_the_command_prints_writes_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.json"
    done = rtbrain("faults", "--row", 23, "--row", 18, "--json", file)
    assert done.returncode == 0
    assert "2 passed, 0 failed, 0 not run" in done.stdout
    assert [row["number"] for row in json.loads(file.read_text())["rows"]] == [18, 23]

    # An importer that accepts everything must not pass.
    monkeypatch.setattr(rows_input, "import_checkpoint", lambda *_: "")
    done = rtbrain("faults", "--row", 18)
    assert done.returncode == 1
    assert "ACCEPTED" in done.stdout


def test_rows_replace_the_table_of_a_document_and_nothing_else(tmp_path: Path) -> None:
    rows = [
        FaultRow(1, "vanished", "found", "a|b <c>" + "x" * 500, True, "L", 1.0),
        FaultRow(2, "late", "found", "no", None, "", 1.0),
    ]
    file = tmp_path / "faults.md"
    file.write_text(
        "# Faults\n\n| # | old | |\n| --- | --- | --- |\n| 1 | x | |\n\nAfter.\n\n| a |\n"
    )
    write_markdown(file, rows)
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# Faults", "", "| # | fault | observed | |"]
    assert lines[4].startswith("| 1 L | vanished | a\\|b &lt;c>xxx")
    assert lines[4].endswith("xxx... | pass |")
    assert lines[5:] == ["| 2 | late | no | not run |", "", "After.", "", "| a |"]


def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    assert "no fault 99" in refused("faults", "--row", 99)
    assert "no folder" in refused("faults", "--json", tmp_path / "absent" / "rows.json")


def test_settings_that_are_accepted_fail_the_row(
    rigs: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = {"fine": ("stream: {name: x}\n", ())}
    monkeypatch.setattr(rows_input, "HOSTILE_SETTINGS", fine)
    case = FaultCase(17, rows_input.hostile_settings, lsl=True)
    row = seen(case, rigs, lsl=True)
    assert row.passed is False
    assert "ACCEPTED" in row.observed
