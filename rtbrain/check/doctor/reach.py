"""What LSL is like here: clocks, names, ports, version, and who can read the signal."""

import configparser
import math
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pylsl

from rtbrain.check.doctor.checks import Check, Expected, Words, judge
from rtbrain.check.doctor.machine import ask
from rtbrain.check.doctor.network import FoundStream
from rtbrain.errors import list_words, one_line, plain_text
from rtbrain.processes import lsl_scope_hint

_BASE_PORT, _N_PORTS = 16572, 32  # liblsl's own
# What a session takes: a patient or player 2, a decoder 3, a recorder, a window, cues.
_NEEDED_PORTS = 8
_SESSION = "default"
_UNSURE_S = 2e-3
_SILENT_S = 8.0
_APART_S = 10.0
_LISTED = 3


@dataclass(frozen=True, slots=True)
class LslConfig:
    """What liblsl reads from its file of settings."""

    scope: str
    base_port: int
    n_ports: int
    session: str
    problem: str = ""  # why the file is not read

    @property
    def ports(self) -> range:
        """Ports that streams of this machine take, and where liblsl looks for others."""
        return range(self.base_port, self.base_port + self.n_ports)


@dataclass(frozen=True, slots=True)
class LslHere:
    """What LSL is like on this machine: taken ports and their addresses, and who may reach them."""

    config: LslConfig
    ports: dict[int, str]
    outside: dict[str, str]  # address by interface
    firewall: bool | None


def lsl_config() -> LslConfig:
    """Settings of the file that ``LSLAPICFG`` names; liblsl's own where there is none."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    path, problem = os.environ.get("LSLAPICFG", ""), ""
    if path:
        try:
            parser.read_string(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            problem = one_line(error)
        except (configparser.Error, UnicodeDecodeError):
            parser, problem = configparser.ConfigParser(), "it is no file of settings"
    return LslConfig(
        plain_text(parser.get("multicast", "ResolveScope", fallback="site")),
        _number(parser.get("ports", "BasePort", fallback=""), _BASE_PORT),
        _number(parser.get("ports", "PortRange", fallback=""), _N_PORTS),
        plain_text(parser.get("lab", "SessionID", fallback=_SESSION)),
        problem,
    )


def _number(text: str, default: int) -> int:
    return int(text) if text.strip().isdigit() else default


def used_ports(config: LslConfig) -> dict[int, str]:
    """Ports of LSL that are taken on this machine, and the address that each listens on."""
    try:
        sockets = psutil.net_connections("inet")
    except psutil.Error:  # macOS shows them to its administrator alone
        return {}
    places = [one.laddr for one in sockets if one.laddr]
    return {at.port: at.ip for at in places if at and at.port in config.ports}


def outside_addresses() -> dict[str, str]:
    """Addresses by which other computers reach this one, by interface."""
    states = psutil.net_if_stats()
    return {
        name: one.address.split("%")[0]
        for name, each in psutil.net_if_addrs().items()
        for one in each
        if name in states
        and states[name].isup
        and one.family == socket.AF_INET
        and not one.address.startswith("127.")
    }


def firewall_state() -> bool | None:
    """Whether a firewall of this machine is on; None where that cannot be seen."""
    if sys.platform == "win32":
        answer = ask("netsh", "advfirewall", "show", "allprofiles", "state")
        return None if answer is None else not re.search(r"\bOFF\b", answer)
    if sys.platform == "darwin":
        answer = ask("/usr/libexec/ApplicationFirewall/socketfilterfw", "--getglobalstate")
        return None if answer is None else "enabled" in answer
    if (rules := ask("nft", "list", "ruleset")) is not None:
        return True if blocks_all(rules) else None
    ufw = Path("/etc/ufw/ufw.conf")
    try:  # what an enabled one lets in cannot be seen without more rights
        off = ufw.exists() and not re.search(r"^ENABLED=yes", ufw.read_text(), re.MULTILINE)
    except OSError:
        return None
    return False if off else None


def blocks_all(rules: str) -> bool:
    """Whether rules of nft drop what comes in, but for answers, this machine and low ports."""
    for chain in re.findall(r"hook input.*?^\s*\}", rules, re.MULTILINE | re.DOTALL):
        lines = [line.strip() for line in chain.splitlines()[1:]]
        drops = any(re.fullmatch(r"(counter .*)?(drop|reject)\b.*", line) for line in lines)
        lets_in = [line for line in lines if re.search(r"\b(accept|jump|goto)\b", line)]
        if (drops or re.search(r"policy (drop|reject)", chain)) and all(map(_lets_little, lets_in)):
            return True
    return False


def _lets_little(line: str) -> bool:
    """Whether a rule lets in none that could read a stream."""
    narrow = re.search(r'\biif(name)? "?lo\b|icmp|\bdport (\d{1,3}|[a-z]+)\s', line)
    return bool(narrow) or ("ct state" in line and "new" not in line)


def check_reach(signal: FoundStream | None, here: LslHere) -> Check:
    """Who can read the signal; that of another computer comes over the network as it is."""
    scope, ports, outside = here.config.scope, here.ports, here.outside
    where = list_words([f"{address} ({name})" for name, address in outside.items()], _LISTED)
    words: Words = {"scope": scope, "where": where}
    if signal is not None and not signal.is_local:
        return judge("reach", "look", "remote", host=signal.host, **words)
    if not outside:
        return judge("reach", "fine", "alone", **words)
    open_ports = [port for port, address in ports.items() if not address.startswith("127.")]
    if not open_ports and signal is not None and ports:
        return judge("reach", "fine", "closed", **words)
    if here.firewall:
        return judge("reach", "fine", "firewall", **words)
    return judge("reach", "look", "unknown" if here.firewall is None else "open", **words)


def check_ports(streams: Sequence[FoundStream], here: LslHere) -> Check:
    """Whether ports are left for the streams of a session."""
    config = here.config
    first, last = config.ports.start, config.ports.stop - 1
    beyond = [one.name for one in streams if one.is_local and one.port not in (0, *config.ports)]
    n_free = config.n_ports - len(here.ports)
    words: Words = {
        "free": n_free,
        "all": config.n_ports,
        "first": first,
        "last": last,
        "names": list_words(beyond, _LISTED),
        "needed": _NEEDED_PORTS,
    }
    if n_free <= 0:
        return judge("ports", "fix", "none", **words)
    if beyond:
        return judge("ports", "look", "beyond", **words)
    if n_free < _NEEDED_PORTS:
        return judge("ports", "look", "few", **words)
    return judge("ports", "fine", "enough", **words)


def check_names(streams: Sequence[FoundStream], expected: Expected) -> Check:
    """Whether two streams have one name: by it alone, the wrong one may be read."""
    several = {name: n for name, n in Counter(one.name for one in streams).items() if n > 1}
    if not several:
        return judge("names", "fine", "unique")
    used = [name for name in (expected.stream, expected.markers) if name in several]
    names = list_words(used or list(several), _LISTED)
    words: Words = {"names": names, "n": several[(used or list(several))[0]]}
    if used:
        known = expected.source_id if used[0] == expected.stream else expected.markers_id
        alone = known and sum(o.name == used[0] and o.source_id == known for o in streams) == 1
        return judge("names", "look" if alone else "fix", "chosen" if alone else "used", **words)
    return judge("names", "look", "several", **words)


def check_clocks(streams: Sequence[FoundStream]) -> Check:
    """Clocks of the senders that are used: how exactly each is known, and whether it answers."""
    if not streams:
        return judge("clocks", "unchecked", "none")
    silent = [one for one in streams if one.clock_silent_s > _SILENT_S]
    if silent:
        names = list_words([f"{one.name} ({one.host})" for one in silent], _LISTED)
        return judge("clocks", "fix", "silent", names=names)
    if any(math.isnan(one.uncertainty_s) for one in streams):
        return judge("clocks", "checking", "wait")
    worst = max(one.uncertainty_s for one in streams)
    by_host = {one.host: _clock_words(one) for one in streams}
    words: Words = {"clocks": list_words(list(by_host.values()), _LISTED), "worst": _ms(worst)}
    return judge(
        "clocks", *(("look", "unsure") if worst > _UNSURE_S else ("fine", "known")), **words
    )


def _clock_words(stream: FoundStream) -> str:
    """An offset that is large is that of the time since each computer started: it says nothing."""
    offset = f"{_ms(stream.offset_s)} " if abs(stream.offset_s) < _APART_S else ""
    return f"{stream.host} {offset}± {_ms(stream.uncertainty_s)} ms"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")


def search_hint(config: LslConfig | None) -> str:
    """What is not searched for streams, as a sentence; empty where nothing is left out."""
    hint = lsl_scope_hint().removeprefix("; ")
    if not hint and config is not None and config.session != _SESSION:
        hint = f"only streams of SessionID {config.session} are seen, as LSLAPICFG says"
    return f" {hint[0].upper()}{hint[1:]}." if hint else ""


def check_lsl(config: LslConfig) -> Check:
    """The version of liblsl, whether it is a beta, how far it looks, and what it does not read."""
    if config.problem:
        file = plain_text(os.environ.get("LSLAPICFG", ""), 200)
        return judge("lsl", "fix", "file", file=file, why=config.problem)
    found = re.search(r"tags/v?([\d.]+?)\.?(b|beta|rc|a|alpha)?\.?(\d*)/", pylsl.library_info())
    number = pylsl.library_version()
    version = found[1] if found else f"{number // 100}.{number % 100}"
    words: Words = {
        "version": version,
        "beta": found[3] if found else "",
        "pylsl": pylsl.__version__,
        "scope": config.scope,
        "session": "" if config.session == _SESSION else f", SessionID {config.session}",
    }
    return judge("lsl", "know", "beta" if found and found[2] else "release", **words)
