"""A corpus as it is written: session by session, so that a build can be cut off and go on."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.offline.corpus.manifest import (
    MANIFEST,
    CorpusManifest,
    LeftOut,
    SessionEntry,
    read_manifest,
    write_manifest,
)
from rtbrain.offline.corpus.session_writer import SessionWriter

__all__ = ["CorpusWriter"]

EntryT = TypeVar("EntryT", SessionEntry, LeftOut)


class CorpusWriter:
    """A corpus in the making: begins it, or goes on where a build was cut off.

    Parameters
    ----------
    folder : Path
        Absent, empty, or of a build that was cut off.
    header : CorpusManifest
        What the corpus is to be, without sessions.

    Attributes
    ----------
    manifest : CorpusManifest
        As it is on disk.

    Raises
    ------
    SettingsError
        The folder holds something else, a corpus of other settings, or one that is complete.
    """

    def __init__(self, folder: Path, header: CorpusManifest) -> None:
        self.folder = folder
        self.manifest = header
        if (folder / MANIFEST).exists():
            self.manifest = self._going_on(header)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(f"--out {folder} holds something that is no corpus: name another")
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, self.manifest)
        self._clean()

    def _going_on(self, header: CorpusManifest) -> CorpusManifest:
        found = read_manifest(self.folder)
        if found.complete:
            raise SettingsError(
                f"--out {self.folder} is complete already: look at it with rtbrain corpus show, "
                "or name another folder"
            )
        if not found.sessions:
            return header  # nothing of it is lost by beginning anew, with other settings as well
        if found.asked_sha256 != header.asked_sha256:
            raise SettingsError(
                f"--out {self.folder} was begun with other settings: give those to go on, or name "
                "another folder"
            )
        whole = [
            session
            for session in found.sessions
            if all(entry.whole(self.folder, hashed=True) for entry in session.files)
        ]
        broken = {session.number for session in found.sessions} - {s.number for s in whole}
        left_out = tuple(entry for entry in found.left_out if entry.number not in broken)
        return found.model_copy(update={"sessions": tuple(whole), "left_out": left_out})

    def _clean(self) -> None:
        """Remove what a build that was cut off left of unfinished sessions."""
        kept = {f"{session.number:04d}" for session in self.manifest.sessions}
        for path in (self.folder / "sessions").glob("*"):
            if path.name not in kept:
                shutil.rmtree(path)

    def session(self, number: int) -> SessionWriter:
        """Writer of the session of a source."""
        return SessionWriter(self.folder, number, self.manifest.dtype)

    def commit(self, entry: SessionEntry | None, left_out: Sequence[LeftOut]) -> None:
        """Note that a source was dealt with."""
        update: dict[str, object] = {"left_out": _in_order((*self.manifest.left_out, *left_out))}
        if entry is not None:
            update["sessions"] = _in_order((*self.manifest.sessions, entry))
        self.manifest = self.manifest.model_copy(update=update)
        write_manifest(self.folder, self.manifest)

    def expect_shape(self, item_shape: tuple[int, ...]) -> None:
        """Note the shape of an item, or hold another session's against it.

        Raises
        ------
        RecordingError
            Another session had another.
        """
        if self.manifest.item_shape not in ((), item_shape):
            raise RecordingError(
                f"its items have shape {list(item_shape)}, those of other sessions "
                f"{list(self.manifest.item_shape)}: resample all sources to one rate"
            )
        self.manifest = self.manifest.model_copy(update={"item_shape": item_shape})

    def finish(self) -> CorpusManifest:
        """Note that every source was dealt with."""
        self.manifest = self.manifest.model_copy(update={"complete": True, "asked_sha256": ""})
        write_manifest(self.folder, self.manifest)
        return self.manifest


def _in_order(entries: tuple[EntryT, ...]) -> tuple[EntryT, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.number))
