"""What this computer is like: disk, power and sleep, clock of the day, versions, GPU."""

import errno
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from rtbrain.check.doctor.checks import Check, Expected, Words, judge
from rtbrain.errors import list_words, plain_text
from rtbrain.processes import start_child

_ANSWER_S = 4.0
_LOOK_H, _LEAST_BYTES = 2.0, 100e6
_BUSY, _LITTLE_MEMORY = 85.0, 2**30  # percent of all cores; bytes
_MAX_OFF_S = 1.0


def ask(*command: str) -> str | None:
    """What a program of the system prints; None where there is none, or it fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Disk:
    """Free bytes where recordings go; `problem` says why nothing can be written."""

    free: int
    problem: str = ""


def measure_disk(folder: Path) -> Disk:
    """Room in a folder, or where it would be made."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = 0
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return Disk(free, error.strerror or str(error))
    return Disk(free)


def check_disk(disk: Disk, expected: Expected, bytes_per_s: float) -> Check:
    """Room for recordings, in GB and hours at the rate of the signal; 0 where that is unknown."""
    folder = plain_text(str(expected.folder))
    if disk.problem:
        return judge("disk", "fix", "closed", folder=folder, why=disk.problem)
    enough = disk.free > _LEAST_BYTES
    if bytes_per_s <= 0:
        case = "free" if enough else "no_room"
        return judge("disk", "fine" if enough else "fix", case, free=_bytes(disk.free))
    hours = disk.free / bytes_per_s / 3600
    words: Words = {
        "free": _bytes(disk.free),
        "hours": _duration(hours),
        "need": f"{expected.hours:g} h"
        if expected.hours >= 1
        else f"{60 * expected.hours:.0f} min",
    }
    if not enough or hours < expected.hours:
        return judge("disk", "fix", "full", **words)
    return judge("disk", "look" if hours < _LOOK_H else "fine", "enough", **words)


def _duration(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 2 else f"{60 * hours:.0f} min"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def check_computer(load: float) -> Check:
    """Mains power, sleep, load in percent, and memory."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    sleeps = sleep_allowed()
    memory = psutil.virtual_memory().available
    words: Words = {
        "power": "battery" if battery is not None else "",
        "load": f"{load:.0f}",
        "percent": "" if battery is None else f"{battery.percent:.0f}",
        "memory": f"{memory / 1e9:.2g}",
    }
    if battery is not None and not battery.power_plugged:
        return judge("computer", "look", "battery", **words)
    if memory < _LITTLE_MEMORY:
        return judge("computer", "look", "memory", **words)
    if load > _BUSY:
        return judge("computer", "look", "busy", **words)
    power = "plugged" if battery is not None else "no_battery"
    if sleeps is None:
        return judge("computer", "unchecked", f"{power}_sleep_unknown", **words)
    case = f"{power}_sleep_{'on' if sleeps else 'off'}"
    return judge("computer", "look" if sleeps else "fine", case, **words)


def sleep_allowed() -> bool | None:
    """Whether this computer may fall asleep by itself while on mains power; None if unknown."""
    if sys.platform == "win32":
        return windows_sleeps(
            ask("powercfg", "/query", "SCHEME_CURRENT", "SUB_SLEEP", "STANDBYIDLE")
        )
    if sys.platform == "darwin":
        return macos_sleeps(ask("pmset", "-g"))
    return linux_sleeps(
        ask("systemctl", "show", "sleep.target", "-p", "LoadState"),
        ask("systemd-inhibit", "--list", "--no-legend"),
        ask(
            "gsettings", "get", "org.gnome.settings-daemon.plugins.power", "sleep-inactive-ac-type"
        ),
    )


def linux_sleeps(target: str | None, inhibitors: str | None, gnome: str | None) -> bool | None:
    """By the answers of systemctl, systemd-inhibit and gsettings."""
    if target is not None and "masked" in target:
        return False
    rows = (inhibitors or "").splitlines()
    if any(re.search(r"\bsleep\b.*\bblock$", row.strip()) for row in rows):
        return False
    if gnome is None:
        return None
    return "nothing" not in gnome


def macos_sleeps(answer: str | None) -> bool | None:
    """By the answer of pmset, whose ``sleep 0`` is never."""
    found = re.search(r"^\s*sleep\s+(\d+)(.*)$", answer or "", re.MULTILINE)
    return None if found is None else found[1] != "0" and "prevented" not in found[2]


def windows_sleeps(answer: str | None) -> bool | None:
    """By the answer of powercfg: its first index is that of mains power, 0 for never."""
    found = re.findall(r"0x([0-9a-fA-F]{8})\s*$", answer or "", re.MULTILINE)
    return None if len(found) < 2 else int(found[-2], 16) != 0


def keep_awake() -> "subprocess.Popen[bytes] | None":
    """Keep this computer from sleeping as long as this process lives; None where it cannot be."""
    why = ("--who=rtbrain", "--why=a session runs", "--mode=block", "sleep", "infinity")
    for command in (("caffeinate", "-i", "-s"), ("systemd-inhibit", "--what=sleep:idle", *why)):
        if shutil.which(command[0]) is not None:
            quiet = subprocess.DEVNULL
            return start_child(command, stdout=quiet, stderr=quiet)
    return None


def check_time() -> Check:
    """Whether the clock of the day is set over the network: by it files are dated, not samples."""
    timedatectl = ask("timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP")
    chrony = ask("chronyc", "-c", "tracking")
    ntp = None if chrony is not None else ask("ntpq", "-c", "rv 0 leap,offset")
    windows = ask("w32tm", "/query", "/status") if sys.platform == "win32" else None
    return judge_time(timedatectl, chrony, ntp, windows)


def judge_time(
    timedatectl: str | None, chrony: str | None, ntp: str | None, windows: str | None = None
) -> Check:
    """By the answers of timedatectl, chronyc, ntpq and w32tm, whichever there are."""
    if chrony is not None and len(row := chrony.split(",")) > 4:
        off_s = abs(float(row[4])) if re.fullmatch(r"-?[\d.e-]+", row[4]) else _MAX_OFF_S
        if row[-1].strip().lower().startswith("not") or off_s >= _MAX_OFF_S:
            return judge("time", "look", "off", by="chrony")
        return judge("time", "fine", "exact", by="chrony", ms=f"{1000 * off_s:.2g}")
    if ntp is not None and (found := re.search(r"offset=(-?[\d.]+)", ntp)):
        bad = "leap=11" in ntp or "leap_alarm" in ntp
        if bad or abs(float(found[1])) >= 1000 * _MAX_OFF_S:
            return judge("time", "look", "off", by="ntp")
        return judge("time", "fine", "exact", by="ntp", ms=f"{abs(float(found[1])):.2g}")
    if timedatectl is not None and "NTPSynchronized=" in timedatectl:
        if "NTPSynchronized=yes" in timedatectl:
            return judge("time", "fine", "set", by="timedatectl")
        return judge("time", "look", "off", by="timedatectl")
    if windows is not None:
        free = "Local CMOS Clock" in windows or "Free-running" in windows
        return judge("time", "look" if free else "fine", "off" if free else "set", by="w32tm")
    return judge("time", "unchecked", "unknown")


def check_versions(package: str = "rtbrain") -> Check:
    """Python and packages beside what the program needs."""
    about = metadata.metadata(package)
    python = ".".join(map(str, sys.version_info[:3]))
    wrong = wrong_versions(metadata.requires(package) or (), installed_versions())
    needed = about["Requires-Python"]
    if needed and not SpecifierSet(needed).contains(python):
        wrong.insert(0, f"Python {python}, expected {needed}")
    words: Words = {"python": python, "version": about["Version"], "wrong": list_words(wrong)}
    return judge("versions", "fix" if wrong else "fine", "wrong" if wrong else "fit", **words)


def installed_versions() -> dict[str, str]:
    """Packages by their plain names, and their versions: of two, the first, as imports find it."""
    found: dict[str, str] = {}
    for one in metadata.distributions():
        found.setdefault(_plain(one.metadata["Name"] or ""), one.version)
    return found


def wrong_versions(requirements: Sequence[str], installed: Mapping[str, str]) -> list[str]:
    """Which requirements are not met, in words; optional ones are left out."""
    wrong = []
    for text in requirements:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            continue
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        version = installed.get(_plain(needed.name))
        if version is None:
            wrong.append(f"{needed.name} is absent")
        elif not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} {version}, expected {needed.specifier}")
    return wrong


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_gpu() -> Check:
    """Whether there is a GPU: a fit of an encoder is faster with one, and nothing needs it."""
    answer = ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    torch = installed_versions().get("torch", "")
    if not answer:
        return judge("gpu", "know", "none")
    name = plain_text(answer.splitlines()[0])
    return judge("gpu", "know", "unused" if "+cpu" in torch else "there", gpu=name, torch=torch)
