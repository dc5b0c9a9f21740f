"""What the system's own programs answer, understood; and where none answers, that is said."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from rtbrain.check.doctor import machine, reach
from rtbrain.check.doctor.checks import Expected, in_order, judge
from rtbrain.check.doctor.delay import Delay, DelayJob, check_delay, read_delay, start_measuring
from rtbrain.processes import lsl_scope_hint, lsl_settings

MASKED, LOADED = "LoadState=masked\n", "LoadState=loaded\n"
HELD = "rtbrain 0 root 99 systemd-inhibit sleep:idle  a session runs  block\n"
GDM = "NetworkManager 0 root 5 NetworkManager sleep NetworkManager needs to turn off  delay\n"
POWERCFG = """
      Minimum Possible Setting: 0x00000000
    Current AC Power Setting Index: 0x{:08x}
    Current DC Power Setting Index: 0x00000384
"""


@pytest.mark.parametrize(
    ("target", "inhibitors", "gnome", "sleeps"),
    [
        (MASKED, GDM, "'suspend'", False),
        (LOADED, GDM + HELD, "'suspend'", False),
        (LOADED, GDM, "'nothing'", False),
        (LOADED, GDM, "'suspend'", True),
        (LOADED, GDM, None, None),
        (None, None, None, None),
    ],
)
def test_sleep_is_off_only_where_something_says_so(target, inhibitors, gnome, sleeps):
    assert machine.linux_sleeps(target, inhibitors, gnome) is sleeps


def test_sleep_of_other_systems_is_read_from_their_answers():
    assert (
        machine.macos_sleeps(" standby 1\n sleep                0 (sleep prevented by X)\n")
        is False
    )
    assert machine.macos_sleeps(" sleep  10\n") is True
    assert machine.windows_sleeps(POWERCFG.format(0)) is False
    assert machine.windows_sleeps(POWERCFG.format(1800)) is True
    assert machine.macos_sleeps(None) is machine.windows_sleeps(None) is None


@pytest.mark.parametrize(
    ("power", "case", "state"),
    [
        (None, "no battery", "unchecked"),
        (SimpleNamespace(percent=41.0, power_plugged=True), "mains power", "unchecked"),
        (SimpleNamespace(percent=41.0, power_plugged=False), "on battery, 41 % left", "look"),
    ],
)
def test_a_computer_on_battery_is_to_look_at(monkeypatch, power, case, state):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: power, raising=False)
    monkeypatch.setattr(machine, "ask", lambda *command: None)
    memory = SimpleNamespace(available=8e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    check = machine.check_computer(30.0)
    assert (check.state, check.finding.startswith(case)) == (state, True)
    if power is None:
        assert machine.check_computer(96.0).state == "look"
        memory.available = 2e8
        assert "of memory left" in machine.check_computer(30.0).finding


CHRONY = "A,x,3,1.0,{},0,0,0,0,0,0,0,0,{}"


@pytest.mark.parametrize(
    ("answers", "state", "words"),
    [
        (("NTP=yes\nNTPSynchronized=yes\n", None, None), "fine", "timedatectl"),
        (("NTP=yes\nNTPSynchronized=no\n", None, None), "look", "not set"),
        ((None, CHRONY.format("0.000031", "Normal"), None), "fine", "within 0.031 ms"),
        ((None, CHRONY.format("0.000031", "Not synchronised"), None), "look", "chrony"),
        ((None, CHRONY.format("-3.5", "Normal"), None), "look", "chrony"),
        ((None, None, "leap=00, offset=-0.52"), "fine", "within 0.52 ms"),
        ((None, None, "leap=11, offset=0.0"), "look", "ntp"),
        ((None, None, None), "unchecked", "not checked"),
        ((None, None, None, "Source: Local CMOS Clock"), "look", "w32tm"),
    ],
)
def test_the_clock_of_the_day_is_judged_by_what_sets_it(answers, state, words):
    check = machine.judge_time(*answers)
    assert (check.state, words in check.finding) == (state, True), check


def test_a_disk_that_is_full_or_closed_must_be_fixed(tmp_path, monkeypatch):
    disk = machine.measure_disk(tmp_path)
    assert disk.free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    rate = disk.free / 3600

    def check(disk, hours, bytes_per_s):
        return machine.check_disk(disk, Expected(folder=tmp_path, hours=hours), bytes_per_s)

    assert check(disk, 0.5, rate).state == "look"
    assert check(disk, 0.5, rate / 10).state == "fine"
    short = check(disk, 2, rate)
    assert (short.state, "enough for 60 min; 2 h are planned" in short.finding) == ("fix", True)
    full = machine.Disk(free=176_000)
    assert [check(full, 0.5, at).state for at in (0.0, 1.0, rate)] == ["fix"] * 3
    assert check(full, 0.5, 0.0).finding == "0.2 MB free"
    new = tmp_path / "not" / "yet"
    assert machine.measure_disk(new).problem == ""
    assert not new.exists()

    def refuse(number):
        def opened(**where):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(machine.tempfile, "TemporaryFile", opened)
        return machine.measure_disk(tmp_path)

    closed = check(refuse(errno.EROFS), 1, 1.0)
    assert (closed.state, "Read-only" in closed.advice) == ("fix", True)
    assert refuse(errno.ENOSPC).problem == ""


def test_packages_are_compared_with_what_the_program_requires():
    installed = {"numpy": "2.0", "ruamel-yaml": "0.1"}
    needs = ["numpy>=1.26", "Ruamel.YAML>=0.2", "mne>=1", 'neo>=1; extra == "neo"', "not a one !"]
    assert machine.wrong_versions(needs, installed) == [
        "Ruamel.YAML 0.1, expected >=0.2",
        "mne is absent",
    ]
    assert machine.check_versions().state == "fine"


def test_a_package_that_another_hides_counts_as_imports_find_it(tmp_path, monkeypatch):
    about = tmp_path / "numpy-1.2.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    check = machine.check_versions()
    assert (check.state, check.finding) == ("fix", "numpy 1.2, expected >=1.26")


@pytest.mark.parametrize(
    ("step_s", "mode", "state", "button"),
    [
        (0.005, "linear", "fine", False),
        (0.02, "linear", "look", False),
        (0.04, "linear", "fix", False),
        (0.04, "edge", "fix", True),
    ],
)
def test_a_step_that_takes_too_long_must_be_fixed(step_s, mode, state, button):
    check = check_delay(Delay(step_s, 0.03125, 0.15), mode, 0.02)
    assert (check.state, check.fix is not None) == (state, button)
    if state == "fine":
        assert "0.17 s old" in check.finding or "0.18 s old" in check.finding


def test_the_delay_is_measured_in_a_process_and_a_failed_one_is_said():
    job = DelayJob("linear", ("A1", "A2", "A3"), ("seeg",) * 3, 512.0)
    measured = read_delay(start_measuring(job).communicate()[0])
    assert not measured.problem
    assert 0 < measured.step_s < 10
    assert measured.hop_s == 0.03125
    assert read_delay(b"Killed").problem
    assert check_delay(read_delay(b""), "linear", 0.0).state == "unchecked"


def test_the_most_urgent_comes_first():
    checks = [judge("gpu", "know", "none"), judge("time", "unchecked", "unknown")]
    checks += [judge("unit", "fix", "flat"), judge("signal", "fix", "none", name="", hint="")]
    assert [one.key for one in in_order(checks)] == ["signal", "unit", "time", "gpu"]


def test_liblsl_settings_are_those_of_the_file(tmp_path, monkeypatch):
    file = tmp_path / "lsl.cfg"
    file.write_text("[ports]\nPortRange = 4\n[multicast]\nResolveScope = link\n")
    monkeypatch.setenv("LSLAPICFG", str(file))
    config = reach.lsl_config()
    assert (config.n_ports, config.ports.start, config.scope) == (4, 16572, "link")
    file.write_text("this is no file of settings")
    assert reach.lsl_config().n_ports == 32
    assert reach.check_lsl(reach.lsl_config()).state == "fix"
    file.unlink()
    broken = reach.check_lsl(reach.lsl_config())
    assert f"{file}: No such file" in broken.finding
    monkeypatch.delenv("LSLAPICFG")
    assert reach.check_lsl(reach.lsl_config()).state == "know"


def test_where_only_this_computer_is_searched_its_streams_are_not_all(monkeypatch):
    monkeypatch.setenv("LSLAPICFG", str(lsl_settings("machine")))
    assert "only this computer was searched" in lsl_scope_hint()
    assert Path(lsl_scope_hint().partition("LSLAPICFG=")[2]).read_text().startswith("; Streams of")
    monkeypatch.setenv("LSLAPICFG", str(lsl_settings("site")))
    assert lsl_scope_hint() == ""
    assert reach.search_hint(reach.lsl_config()) == ""
    config = reach.LslConfig("site", 16572, 32, "ward")
    assert "only streams of SessionID ward" in reach.search_hint(config).replace("Only", "only")


@pytest.mark.skipif(os.name != "posix", reason="its programs are shell scripts")
def test_the_answers_are_those_of_the_programs_that_are_there(tmp_path, monkeypatch):
    def install(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "_ANSWER_S", 0.2)
    assert machine.check_gpu().finding == "none found; decoding needs none"
    assert machine.check_time().state == "unchecked"
    install("nvidia-smi", "echo 'NVIDIA H200, 143771 MiB'")
    install("timedatectl", "echo NTP=yes; echo NTPSynchronized=yes")
    assert machine.check_gpu().finding.startswith("NVIDIA H200, 143771 MiB")
    assert machine.check_time().state == "fine"
    install("nvidia-smi", "exit 9")
    install("timedatectl", "while :; do :; done")  # it hangs
    assert machine.check_gpu().finding == "none found; decoding needs none"
    assert machine.check_time().state == "unchecked"
