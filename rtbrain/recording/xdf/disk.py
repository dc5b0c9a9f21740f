"""The file under an XDF recording, to which a batch of chunks is added whole or not at all.

A reader of XDF stops at a chunk whose first byte is 0. So a batch is written with 0 as its first
byte, and that byte is corrected once the rest is on the disk: whenever the process or the machine
dies, readers find whole chunks. pyxdf would reject a whole file for one torn chunk header.
"""

import contextlib
import os
from pathlib import Path
from typing import Protocol

from rtbrain.errors import SettingsError


class Disk(Protocol):
    """A file that can be written at any offset; each call may raise OSError."""

    def put(self, offset: int, data: bytes) -> None:
        """Write all of the data at an offset."""
        ...

    def cut(self, length: int) -> None:
        """Drop everything beyond this length."""
        ...

    def sync(self) -> None:
        """Return when everything is on the disk."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LocalDisk:
    """A new file."""

    def __init__(self, path: Path) -> None:
        try:
            # Open until close().
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115
        except FileExistsError as error:
            raise SettingsError(
                f"{path} exists already, and a recording overwrites nothing: choose another name"
            ) from error
        except OSError as error:
            raise SettingsError(f"{path} cannot be made: {error.strerror}") from error

    def put(self, offset: int, data: bytes) -> None:
        """Write all of the data at an offset."""
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def cut(self, length: int) -> None:
        """Drop everything beyond this length."""
        self._file.truncate(length)

    def sync(self) -> None:
        """Return when everything is on the disk."""
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError("the file was removed while it was written")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class AtomicAppender:
    """Adds batches to a disk, each whole or not at all."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.length = 0

    def add(self, batch: bytes) -> None:
        """Write a batch to the disk."""
        try:
            self._disk.put(self.length, b"\0" + batch[1:])
            self._disk.sync()
            self._disk.put(self.length, batch[:1])
            self._disk.sync()
        except OSError:
            # Where this fails too, the 0 still ends the file for its readers.
            with contextlib.suppress(OSError):
                self._disk.cut(self.length)
            raise
        self.length += len(batch)

    def close(self) -> None:
        """Close the file."""
        self._disk.close()
