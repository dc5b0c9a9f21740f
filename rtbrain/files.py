"""Files: checked before the work begins, written whole or not at all, hashed."""

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rtbrain.errors import SettingsError

# What reading the values of a file of another version, or of another hand, may raise.
UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
EXISTS = "already exists; nothing was overwritten"
_claims = ExitStack()
_claimed: set[Path] = set()
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
# Two bytes a character, as Chinese Windows writes.
_CHINESE = re.compile(rb"(?:[\x00-\x7f]|[\xb0-\xf7][\xa1-\xfe]){2,}")


def decode_text(data: bytes) -> tuple[str, str]:
    """Text of a file that does not say its encoding, and the encoding: UTF-8 unless it cannot be.

    Marks at the beginning are believed. What is no UTF-8 is UTF-16 where every other byte is 0, GBK
    where all bytes above 127 are pairs of it, at least two of them, else Windows' western encoding.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace"), encoding
    if len(data) > 3 and not any(data[1:64:2]) and all(data[0:64:2]):
        return data.decode("utf-16-le", "replace"), "utf-16"
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        pass
    n_high = sum(byte > 127 for byte in data)
    if n_high >= 4 and _CHINESE.fullmatch(data):
        return data.decode("gbk", "replace"), "gbk"
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def require_writable_file(path: Path, flag: str) -> None:
    """Refuse a file that cannot be written by a SettingsError, before any work is done."""
    folder = path.parent
    if not folder.is_dir():
        raise SettingsError(f"{flag} {path}: there is no folder {folder}; make it first")
    if path.is_dir():
        raise SettingsError(f"{flag} {path} is a folder: name a file in it")
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"{flag} {path}: the folder cannot be written to")
    claim_output(path, flag)


def require_new_file(path: Path, flag: str) -> None:
    """As `require_writable_file`, and refuse a file that exists."""
    require_writable_file(path, flag)
    if path.exists():
        raise SettingsError(f"{flag} {path} {EXISTS}: name a new file")


def require_new_folder(folder: Path, flag: str) -> None:
    """Refuse a folder that exists or cannot be made by a SettingsError, before any work is done."""
    if folder.exists():
        raise SettingsError(f"{flag} {folder} {EXISTS}: name a new folder")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise SettingsError(f"{flag} {folder}: nothing can be written into {above}")
    claim_output(folder, flag)


def claim_output(path: Path, flag: str) -> None:
    """As `claimed`, until this process ends, for what was named by a flag of its command."""
    if flag.startswith("--"):
        _claims.enter_context(claimed(path, flag))


@contextmanager
def claimed(path: Path, flag: str) -> Iterator[None]:
    """Refuse, by a SettingsError, what another command on this machine is writing.

    Of two that write one file or folder, one would lose its work at the end. A name in Linux' table
    of sockets is free again however its process ends; other systems have no such thing.
    """
    whole = path.resolve()
    if sys.platform != "linux" or whole in _claimed:
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0rtbrain-writes-{sha256(str(whole))}")
        except OSError as error:
            raise SettingsError(
                f"{flag} {path}: another rtbrain command is writing it: wait for its end, or "
                "choose another name"
            ) from error
        _claimed.add(whole)
        try:
            yield
        finally:
            _claimed.discard(whole)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Path of a file to write, which replaces `path` at the end; on an error nothing changes."""
    part = _beside(path)
    try:
        yield part
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file, or change nothing."""
    with atomic_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Path of a folder to fill, which becomes `folder` at the end; its parents are made.

    Raises an OSError where a folder of that name that is not empty exists by then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(folder)
    part.mkdir()
    try:
        yield part
        os.replace(part, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sha256(content: bytes | str | Path) -> str:
    """SHA-256 of bytes, of a text or of a file, in hexadecimal."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def parse_json(content: bytes | str) -> Any:
    """Plain values of JSON; a ValueError for whatever is none, however deep or long it is."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("values inside one another without end") from error


def strict_json(values: Any) -> str:
    """JSON by the standard, indented: a number that is not finite is null."""
    return json.dumps(finite(values), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def finite(value: Any) -> Any:
    """Plain values, also of numpy arrays, with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "tolist"):  # an array or a number of numpy's, without loading numpy
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # elsewhere a folder cannot be opened
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
