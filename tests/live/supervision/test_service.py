"""The unit that systemd runs: what is in it, and what is refused."""

import shutil
import subprocess
import sys

import pytest

from rtbrain.errors import SettingsError
from rtbrain.live.supervision.service import install_service, unit_text
from tests.apps.program import refused, rtbrain


@pytest.fixture
def units(tmp_path, monkeypatch):
    """The folder of units, where there is a systemctl that says what it is asked."""
    tool = tmp_path / "bin" / "systemctl"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\necho said "$2"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config" / "systemd" / "user"


def test_a_unit_is_written_shown_asked_about_and_removed(units, tmp_path):
    command = ("decode", "--bundle", "my bundle", "--stream", "50%$")
    done = rtbrain("service", "install", "ward-3", "--", *command)
    assert done.returncode == 0
    unit = units / "rtbrain-ward-3.service"
    text = unit.read_text()
    assert text in done.stdout
    assert "systemctl --user daemon-reload && systemctl --user enable --now rtbrain-ward-3" in (
        done.stdout
    )
    start = f'"{sys.executable}" "-m" "rtbrain.apps" "decode" "--restart" "--bundle"'
    assert f'ExecStart={start} "my bundle" "--stream" "50%%$$"\n' in text
    assert "Restart=on-failure\n" in text
    assert f"WorkingDirectory={tmp_path}\n" in text
    assert "already exists" in refused("service", "install", "ward-3", "--", *command)
    assert "said is-active, said is-enabled" in rtbrain("service", "status", "ward-3").stdout
    assert rtbrain("service", "remove", "ward-3").returncode == 0
    assert not unit.exists()
    asked = (tmp_path / "bin" / "asked").read_text().splitlines()
    assert "--user disable --now rtbrain-ward-3.service" in asked
    assert "there is no service ward-3" in refused("service", "remove", "ward-3")


def test_a_service_does_not_arm_itself_with_nobody_present(units):
    with pytest.raises(SettingsError, match="--arm is refused: only a person arms"):
        install_service("ward-3", ["decode", "--bundle", "b", "--arm"])
    assert not units.exists()


@pytest.mark.usefixtures("units")
def test_what_cannot_be_a_service_is_refused():
    assert "expected one of decode, record, bridge" in refused(
        "service", "install", "a", "--", "fit", "x.xdf"
    )
    assert "letters, digits" in refused("service", "install", "../a", "--", "decode")
    assert "control characters" in refused("service", "install", "a", "--", "decode", "a\nUser=0")


def test_where_there_is_no_systemd_that_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no systemd here" in refused("service", "status", "ward")


def test_settings_of_lsl_that_the_user_chose_go_with_it(monkeypatch):
    monkeypatch.setenv("LSLAPICFG", "/etc/my lsl.cfg")
    assert 'Environment="LSLAPICFG=/etc/my lsl.cfg"\n' in unit_text("a", ["record", "a.xdf"])
    assert "--restart" not in unit_text("a", ["record", "a.xdf"])


def test_a_service_that_records_takes_a_free_name_and_its_children_end_by_themselves():
    text = unit_text("a", ["record", "a.xdf", "--all"])
    assert '"record" "--free-name" "a.xdf" "--all"' in text
    assert "KillMode=process\n" in text, "mixed kills the recorder when its supervisor has ended"


def test_systemd_itself_takes_the_unit(tmp_path, monkeypatch):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    unit = tmp_path / "rtbrain-a.service"
    unit.write_text(unit_text("a", ["decode", "--stream", 'q"u\\o %i $HOME', "--bundle", "b"]))
    verify = [analyze, "--user", "verify", "--man=no", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert unit.name not in done.stderr
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restart=sometimes"))
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert "sometimes" in done.stderr
