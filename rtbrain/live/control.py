"""Commands to what runs: from the keys of its terminal, and from programs of this user.

A command and its answer are one line of text each, over a socket that only this user can reach.
"""

import json
import math
import os
import select
import shlex
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

import platformdirs

from rtbrain.errors import (
    OutputError,
    RtbrainError,
    SettingsError,
    StreamError,
    list_words,
    one_line,
    plain_text,
)
from rtbrain.extras import load_extra
from rtbrain.files import finite, parse_json, sha256
from rtbrain.outlet import Triggers

_COMMANDS = (
    *("arm", "disarm", "stop", "status", "detections on", "detections off"),
    *("threshold UP [DOWN] [LABEL]", "threshold PRESET [LABEL]"),
)
_ANSWER_S = 10.0
_LOOK_S = 0.1
_MAX_LINE = 2**16
_KEYS_S, _AFTER_ESCAPE_S = 0.02, 0.05
_ESCAPE, _ARM = "\x1b", "a"
_UNIX = hasattr(socket, "AF_UNIX")


class Detects(Protocol):
    """What a live session detects, as far as commands concern it."""

    sending: bool

    def move(self, words: Sequence[str], by: str) -> None:
        """Change a threshold; a SettingsError where that cannot be."""
        ...

    def status(self) -> dict[str, object]:
        """What is detected."""
        ...


class Controlled(Protocol):
    """A live session, as far as commands concern it."""

    state: str
    triggers: Triggers

    @property
    def detections(self) -> Detects:
        """What it detects."""
        ...

    def end(self) -> None:
        """Send nothing more, and end."""
        ...


def obey(session: Controlled, words: Sequence[str], by: str) -> dict[str, object]:
    """Follow a command to a decoder: the status after it; an RtbrainError where it cannot."""
    match list(words):
        case ["arm"]:
            session.triggers.arm(by)
        case ["disarm"]:
            session.triggers.disarm(f"by {by}")
        case ["stop"]:
            session.end()
            session.triggers.disarm(f"by {by}")
        case ["detections", "on" | "off" as wanted]:
            session.detections.sending = wanted == "on"
        case ["threshold", *values]:
            session.detections.move(values, by)
        case ["status"]:
            pass
        case _:
            known = list_words(_COMMANDS, len(_COMMANDS))
            raise SettingsError(f"expected one of {known}, got {plain_text(' '.join(words))!r}")
    detections = session.detections.status()
    return {"state": session.state, "detections": detections, **session.triggers.status()}


def send_command(
    name: str, line: str, what: str = "decoder", wait_s: float = 0.0
) -> dict[str, Any]:
    """Send a command to the process of this user that takes them as `name`.

    One that is not there yet is waited for up to `wait_s`.

    Returns what it answers: of a decoder the ``state`` of the session, whether it is ``armed``, the
    ``reason`` where it is not, its ``outputs``, how many triggers were ``sent`` and ``suppressed``,
    and ``detections``: ``thresholds`` by output, whether they are ``sending`` and how many were
    ``sent``.

    Raises
    ------
    StreamError
        None answers.
    OutputError
        It could not do so: with the reason.
    """
    where = _place(name)
    try:
        with _connect_within(wait_s, where) as link:
            link.sendall(f"{line}\n".encode())
            answer = parse_json(_read_line(link))
    except (OSError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
        raise StreamError(
            f"no {what} {name!r} that you started on this machine "
            f"{'is running' if absent else f'answers ({one_line(error)})'}: start it, or look at "
            "rtbrain streams for its name"
        ) from error
    if not isinstance(answer, dict):
        raise StreamError(f"{what} {name!r}: expected a status, got {plain_text(str(answer))}")
    if error_text := answer.pop("error", ""):
        raise OutputError(f"{what} {name!r}: {plain_text(str(error_text), 400)}")
    return answer


def describe_status(answer: Mapping[str, Any]) -> Iterator[str]:
    """What a program answered, a line for each thing that it says."""
    for key, value in answer.items():
        if isinstance(value, Mapping):
            yield from (f"{key} {line}" for line in describe_status(value))
        else:
            shown = list_words([str(one) for one in value]) if isinstance(value, list) else value
            yield plain_text(f"{key.replace('_', ' ')}: {shown}", 300)


@contextmanager
def control_channel(name: str, session: Controlled, report: Callable[..., None]) -> Iterator[None]:
    """Take commands to the decoder `name` while the block runs, or report why that cannot be."""
    with ExitStack() as stack:
        try:
            stack.enter_context(serve_commands(name, partial(_answer, session)))
        except (OSError, SettingsError) as error:
            report("control_failed", reason=one_line(error))
        yield


@contextmanager
def serve_commands(
    name: str, answer: Callable[[str], dict[str, object]], what: str = "decoder"
) -> Iterator[None]:
    """Answer lines that programs of this user send to `name`, while the block runs.

    Each caller has a thread of its own: none waits for another, and a stop comes through while
    somebody arms. Raises a SettingsError where another process takes commands by this name.
    """
    with ExitStack() as stack:
        listener, token = _listen(where := _place(name), what)
        stack.enter_context(listener)
        stack.callback(where.unlink, missing_ok=True)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                if select.select([listener], [], [], _LOOK_S)[0]:
                    link = listener.accept()[0]
                    threading.Thread(target=_serve, args=(link, token, answer), daemon=True).start()

        thread = threading.Thread(target=accept, name="rtbrain-control", daemon=True)
        stack.callback(thread.join)
        stack.callback(ended.set)
        thread.start()
        yield


def _serve(link: socket.socket, token: str, answer: Callable[[str], dict[str, object]]) -> None:
    with link, suppress(OSError, ValueError):
        if token and _read_line(link).decode() != token:
            return
        reply = answer(_read_line(link).decode("utf-8", "replace"))
        link.sendall(json.dumps(finite(reply)).encode() + b"\n")


def _answer(session: Controlled, line: str) -> dict[str, object]:
    try:
        return obey(session, shlex.split(line), "another program")
    except (RtbrainError, ValueError) as error:  # a quotation without an end
        return {"error": one_line(error)}


def _place(name: str) -> Path:
    """Socket by a name, in a folder that is this user's alone; a path has 107 bytes at most."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no runtime folder, it takes /tmp
        folder = platformdirs.user_runtime_path("rtbrain", appauthor=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made: {one_line(error)}") from error
    if _UNIX and (about.st_uid != os.getuid() or about.st_mode & 0o077 or folder.is_symlink()):
        raise SettingsError(
            f"{folder} is not yours alone, so that others could steer it: remove it, or set "
            "its owner and mode 0700"
        )
    return folder / f"{sha256(name)[:16]}.sock"


def _listen(where: Path, what: str) -> tuple[socket.socket, str]:
    """Socket that this user alone can reach, or who can read the word that stands in the file."""
    if where.exists():
        with suppress(OSError, ValueError), _connect(where):
            raise SettingsError(f"another {what} of this name takes commands")
        where.unlink()  # of one that was killed
    if not _UNIX:
        listener, token = socket.create_server(("127.0.0.1", 0)), token_hex(16)
        where.write_text(f"{listener.getsockname()[1]} {token}")
        return listener, token
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(where))
        where.chmod(0o600)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener, ""


def _connect_within(wait_s: float, where: Path) -> socket.socket:
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return _connect(where)
        except (OSError, ValueError):
            if time.monotonic() >= until_s:
                raise
        time.sleep(_LOOK_S)


def _connect(where: Path) -> socket.socket:
    if _UNIX:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(_ANSWER_S)
        try:
            link.connect(str(where))
        except OSError:
            link.close()
            raise
        return link
    port, token = where.read_text().split()
    link = socket.create_connection(("127.0.0.1", int(port)), _ANSWER_S)
    link.sendall(f"{token}\n".encode())
    return link


def _read_line(link: socket.socket) -> bytes:
    """One line; of the socket no byte more is read, for another may follow."""
    link.settimeout(_ANSWER_S)
    line = bytearray()
    while len(line) < _MAX_LINE and (byte := link.recv(1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


@contextmanager
def keys(triggers: Callable[[], Triggers]) -> Iterator[bool]:
    """Take keys of the terminal while the block runs, if there is one: A arms, Esc disarms.

    It yields whether there is one.

    Any sequence that begins with Esc counts: to disarm by an arrow key is no harm. Only an A by
    itself arms: not one in pasted text, nor at the end of a sequence that arrives in pieces.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield False
        return
    ended, t_escape = threading.Event(), -math.inf

    def listen() -> None:
        nonlocal t_escape
        while not ended.is_set():
            try:
                pressed = _pressed()
            except (OSError, EOFError):
                return  # the terminal is gone
            if _ESCAPE in pressed:
                t_escape = time.monotonic()
                triggers().disarm("by key")
            elif pressed.lower() == _ARM and time.monotonic() - t_escape > _AFTER_ESCAPE_S:
                triggers().arm_soon("key")

    with _unbuffered():
        thread = threading.Thread(target=listen, name="rtbrain-keys", daemon=True)
        thread.start()
        try:
            yield True
        finally:
            ended.set()
            thread.join()


def _pressed() -> str:
    """Keys that were pressed, after a wait of 20 ms at most."""
    if os.name == "posix":
        ready, _, _ = select.select([sys.stdin], [], [], _KEYS_S)
        if ready and not (data := os.read(sys.stdin.fileno(), 64)):
            raise EOFError
        return data.decode("utf-8", "replace") if ready else ""
    time.sleep(_KEYS_S)
    windows = load_extra("msvcrt", "outputs", "keys")
    text = ""
    while windows.kbhit():
        text += windows.getwch()
    return text


@contextmanager
def _unbuffered() -> Iterator[None]:
    """Have the terminal pass keys on one by one; Ctrl-C stays what it is."""
    if os.name != "posix":
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
