"""A systemd user unit that runs a command of rtbrain from the start of the machine on."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rtbrain.errors import SettingsError, quote
from rtbrain.files import EXISTS, write_atomically

_COMMANDS = ("decode", "record", "bridge")
_ANSWER_S = 20.0
_UNIT = """\
# Written by rtbrain service install.
[Unit]
Description=rtbrain {command} ({name})
StartLimitIntervalSec=0

[Service]
ExecStart={start}
WorkingDirectory={folder}
{environment}Restart=on-failure
RestartSec=5
KillMode=process
TimeoutStopSec=20

[Install]
WantedBy=default.target
"""


def install_service(name: str, arguments: Sequence[str]) -> str:
    """Write the unit of ``rtbrain ARGUMENTS``, and say what was written and what enables it.

    A decoder is run with ``--restart``, a recorder with ``--free-name``. Only the main process gets
    systemd's signals: the others end with it, in order. Raises a SettingsError where there is no
    systemd, where there is such a unit, where the command is none that runs for days, or for
    ``--arm``.
    """
    path = _unit_path(name)
    if not arguments or arguments[0] not in _COMMANDS:
        got = quote(arguments[0]) if arguments else "nothing"
        raise SettingsError(
            f"service install: expected one of {', '.join(_COMMANDS)} behind --, got {got}"
        )
    if "--arm" in arguments:
        raise SettingsError("service install: --arm is refused: only a person arms, once it runs")
    if path.exists():
        raise SettingsError(f"{path} {EXISTS}: remove it by rtbrain service remove {name}")
    text = unit_text(name, arguments)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    return (
        f"{text}\nwritten to {path}. To run it now and whenever you log in:\n"
        f"    systemctl --user daemon-reload && systemctl --user enable --now {path.name}\n"
        f"also without a log-in: loginctl enable-linger. What it says: journalctl --user -u "
        f"{path.name}"
    )


def remove_service(name: str) -> str:
    """Stop the service, and remove its unit."""
    path = _existing(name)
    said = _systemctl("disable", "--now", path.name)
    path.unlink()
    _systemctl("daemon-reload")
    return f"removed {path}" + (f" (systemctl: {said})" if said else "")


def service_status(name: str) -> str:
    """Whether a service runs, and at every start."""
    path = _existing(name)
    running, enabled = _systemctl("is-active", path.name), _systemctl("is-enabled", path.name)
    return f"{path.name}: {running or 'unknown'}, {enabled or 'unknown'}; {path}"


def unit_text(name: str, arguments: Sequence[str]) -> str:
    """The unit, plain text; it holds the command, the folder and LSL's settings, no secret."""
    command = list(arguments)
    own = {"decode": "--restart", "record": "--free-name"}.get(command[0])
    if own is not None and own not in command:
        command.insert(1, own)
    settings = os.environ.get("LSLAPICFG", "")
    # Those of rtbrain itself are chosen anew at each start.
    ours = not settings or Path(settings).parent.name == "configs"
    return _UNIT.format(
        command=command[0],
        name=name,
        start=" ".join(map(_word, [sys.executable, "-m", "rtbrain.apps", *command])),
        folder=_plain(str(Path.cwd())).replace("%", "%%"),
        environment="" if ours else f"Environment={_word(f'LSLAPICFG={settings}', dollar='$')}\n",
    )


def _word(text: str, dollar: str = "$$") -> str:
    """A word of a command line of systemd."""
    text = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'.replace("%", "%%").replace("$", dollar)


def _plain(text: str) -> str:
    if not text.isprintable():
        raise SettingsError(f"service install: {quote(text)} has control characters: leave it out")
    return text


def _unit_path(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise SettingsError(f"service {quote(name)}: expected a name of letters, digits, - and _")
    if shutil.which("systemctl") is None:
        raise SettingsError(
            "service: there is no systemd here: let what starts programs on this machine run "
            "rtbrain decode --restart"
        )
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user" / f"rtbrain-{name}.service"


def _existing(name: str) -> Path:
    path = _unit_path(name)
    if not path.is_file():
        raise SettingsError(f"there is no service {name}: {path} is absent")
    return path


def _systemctl(*arguments: str) -> str:
    """The first line that systemctl says."""
    command = ["systemctl", "--user", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shlex.join(command)}: {error}"
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "")
