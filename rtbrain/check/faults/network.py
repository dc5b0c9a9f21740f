"""Two hosts on one machine: network namespaces, joined by a switch whose cable can be pulled.

The sender's own cable stays plugged: where it is not, the kernel knows, and TCP resumes at once.
This process, and what it starts, is the host of the decoder; the sender runs on the other. LSL
learns so from its settings, which it reads once: no row that uses LSL may have run before.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from rtbrain.check.faults.live import LslSender, sending
from rtbrain.check.faults.rig import SIGNAL_S, Rig
from rtbrain.errors import SettingsError
from rtbrain.types import Floats, Ints, Montage

_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")  # of `ip netns`
_NAME = "rtb{}"  # of what belongs to a process, by its id; of a cable, at most 15 characters
_ADDRESS = "10.77.0.{}/24"
_SENDER, _RECEIVER = 1, 2
NUMBER = "NUMBER"  # label of the channel that holds the number of each sample
_N_NUMBERS = 1 << 24  # that float32 tells apart
CLOCK_AHEAD_S = 100_000
# A queue of a second, as in a router that buffers too much.
_SLOW = "tbf rate {:.0f}kbit burst 16kb latency 1000ms"
_FAST = "tbf rate 10gbit burst 10mb latency 1000ms"
_LSL_SETTINGS = "[multicast]\nResolveScope = link\n[lab]\nSessionID = {}\n[log]\nlevel = -3\n"
# Lets a clock run at another pace from a moment on; for LD_PRELOAD.
_DRIFT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
static int (*true_clock)(clockid_t, struct timespec *);
static double begin, pace;
int clock_gettime(clockid_t which, struct timespec *now) {
    if (!true_clock) {
        true_clock = dlsym(RTLD_NEXT, "clock_gettime");
        begin = atof(getenv("DRIFT_FROM"));
        pace = atof(getenv("DRIFT_PACE"));
    }
    int failed = true_clock(which, now);
    if (failed || which != CLOCK_MONOTONIC) return failed;
    double ahead = pace * (now->tv_sec - begin + 1e-9 * now->tv_nsec);
    long long ns = now->tv_sec * 1000000000LL + now->tv_nsec + (long long)(1e9 * ahead);
    now->tv_sec = ns / 1000000000LL;
    now->tv_nsec = ns % 1000000000LL;
    return 0;
}
"""


def network_refusal() -> str:
    """Why two hosts cannot be made here; empty where they can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    missing = [tool for tool in ("ip", "tc", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    try:
        _run("unshare", "--net", "-T", "true")
    except OSError:
        return "network and time namespaces are not allowed here"
    return ""


@dataclass(slots=True)
class Drift:
    """A sender's clock that runs fast: ahead of the true one, and more so by `pace` s a second."""

    pace: float
    from_s: float  # on its clock


class TwoHosts:
    """The host of the sender, the switch, and the cables to it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self._sender, self._switch = f"{name}-sender", f"{name}-switch"
        self.on_sender = ("ip", "netns", "exec", self._sender)  # before a command, to run it there
        self._cable = f"{name}-a", f"{name}-b"  # the ends at the sender and here

    def cut(self) -> None:
        """Pull the cable between the switch and this host."""
        _run("ip", "link", "set", self._cable[1], "down")

    def join(self) -> None:
        """Put the cable back."""
        _run("ip", "link", "set", self._cable[1], "up")
        self._route()

    def slow(self, kbit_s: float) -> None:
        """Let no more than that through to the receiver."""
        self._shape(_SLOW.format(kbit_s))

    def fast(self) -> None:
        """Let all through again, and what waits in the queue first."""
        self._shape(_FAST)

    def _shape(self, shape: str) -> None:
        self._run_there("tc", "qdisc", "replace", "dev", self._cable[0], "root", *shape.split())

    def move_sender(self, number: int) -> None:
        """Give the sender's host another address."""
        self._run_there("ip", "addr", "flush", "dev", self._cable[0])
        self._run_there("ip", "addr", "add", _ADDRESS.format(number), "dev", self._cable[0])
        self._route()

    def move_receiver(self, number: int) -> None:
        """Give this host another address."""
        _run("ip", "addr", "flush", "dev", self._cable[1])
        _run("ip", "addr", "add", _ADDRESS.format(number), "dev", self._cable[1])
        self._route()

    @contextmanager
    def sender(self, rig: Rig, name: str, drift: Drift | None = None) -> Iterator[float]:
        """Send the patient's signal and the sample numbers from the other host.

        Sample n has the stamp ``start + n / rate`` on the sender's clock; the start, s, is given.
        """
        file = self.folder / "signal.npy"
        if not file.exists():
            np.save(file, rig.signal(SIGNAL_S))
        environment = dict(os.environ)
        if drift is not None:
            environment |= {"LD_PRELOAD": str(self._drift_library())}
            environment |= {"DRIFT_FROM": f"{drift.from_s}", "DRIFT_PACE": f"{drift.pace}"}
        ahead = ["unshare", "-T", "--fork", "--kill-child", "--monotonic", f"{CLOCK_AHEAD_S}"]
        code = "from rtbrain.check.faults.network import send; send()"
        about = [name, str(file), f"{rig.montage.sfreq_hz}", ",".join(rig.montage.names)]
        with subprocess.Popen(  # noqa: S603
            [*self.on_sender, *ahead, sys.executable, "-c", code, *about],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            yield float(process.stdout.readline() if process.stdout else "nan")
            process.communicate()

    def _drift_library(self) -> Path:
        source, library = self.folder / "drift.c", self.folder / "drift.so"
        source.write_text(_DRIFT, encoding="utf-8")
        _run("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl")
        return library

    def lay(self) -> None:
        """Make the other host, the switch and the cables; this process is on its host already."""
        switch = ("ip", "-n", self._switch, "link")
        for namespace in (self._sender, self._switch):
            _run("ip", "netns", "add", namespace)
        _run(*switch, "add", "switch", "type", "bridge")
        _run(*switch, "set", "switch", "up")
        for end, number in zip(self._cable, (_SENDER, _RECEIVER), strict=True):
            port = f"{end}p"
            _run("ip", "link", "add", end, "type", "veth", "peer", "name", port)
            _run("ip", "link", "set", port, "netns", self._switch)
            _run(*switch, "set", port, "master", "switch", "up")
            host: tuple[str, ...] = ("ip",)
            if number == _SENDER:
                _run("ip", "link", "set", end, "netns", self._sender)
                host = ("ip", "-n", self._sender)
            _run(*host, "addr", "add", _ADDRESS.format(number), "dev", end)
            _run(*host, "link", "set", "lo", "up")
            _run(*host, "link", "set", end, "up")
        self._route()

    def remove(self) -> None:
        """Remove the other host and the switch, and the cables with them."""
        for namespace in (self._sender, self._switch):
            if (_NAMESPACES / namespace).exists():
                _run("ip", "netns", "del", namespace)

    def _route(self) -> None:
        """Lead multicasts over the cable on both sides; the routes go with the link's state."""
        route = ("ip", "route", "replace", "224.0.0.0/4", "dev")
        _run(*route, self._cable[1])
        self._run_there(*route, self._cable[0])

    def _run_there(self, *command: str) -> None:
        _run(*self.on_sender, *command)


def send() -> None:
    """Run as the sender's process: say when it began, on its clock, and send until stdin ends."""
    name, file, sfreq_hz, labels = sys.argv[1:]
    names = tuple(labels.split(","))
    montage = Montage((*names, NUMBER), ("seeg",) * len(names) + ("misc",), float(sfreq_hz))
    sender = LslSender(name, montage, partial(_numbered, np.load(file)))
    print(f"{sender.start_s:.17g}", flush=True)
    with sending(sender):
        sys.stdin.read()


def _numbered(signal: Floats, montage: Montage, numbers: Ints) -> Floats:
    """Samples of the patient, and below them their numbers."""
    last = (numbers % _N_NUMBERS).astype(np.float32)
    return np.concatenate([signal[:, numbers % signal.shape[1]], last[None]])


def _remove_abandoned() -> None:
    """Remove the hosts of processes that were killed."""
    for path in _NAMESPACES.glob(_NAME.format("*-*")):
        name, _, what = path.name.partition("-")
        owner = name.removeprefix(_NAME.format(""))
        if what in ("sender", "switch") and owner.isdecimal() and not psutil.pid_exists(int(owner)):
            _run("ip", "netns", "del", path.name)


@contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """Make this thread, and what it starts, one of two hosts until the block ends."""
    if why := network_refusal():
        raise SettingsError(f"--network {why}")
    libc = ctypes.CDLL(None, use_errno=True)
    name = _NAME.format(os.getpid())
    settings = folder / "lsl-link.cfg"
    settings.write_text(_LSL_SETTINGS.format(name), encoding="utf-8")
    before = os.environ.get("LSLAPICFG")
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    hosts = TwoHosts(name, folder)
    hosts.remove()  # of a process that was killed and had this one's id
    _remove_abandoned()
    try:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace")
        os.environ["LSLAPICFG"] = str(settings)
        hosts.lay()
        yield hosts
    finally:
        hosts.remove()
        libc.setns(home, _CLONE_NEWNET)
        os.close(home)
        if before is None:
            os.environ.pop("LSLAPICFG", None)
        else:
            os.environ["LSLAPICFG"] = before


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    if done.returncode:
        raise OSError(done.returncode, f"{' '.join(command)}: {done.stderr.strip()}")
