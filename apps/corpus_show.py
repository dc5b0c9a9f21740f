"""`rtbrain corpus show`: what a corpus holds, what it lacks, and a look at it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .target import refuse_target

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.offline.corpus.manifest import CorpusManifest, LeftOut

_MOST_NAMED = 6
_MOST_NOTES = 4
_NARROW, _WIDTH = 12, 28


def command(
    corpus: Annotated[Path, typer.Argument(help="Corpus, a folder.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Also read every file and compare its hash.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw a few items into this PNG.")
    ] = None,
) -> None:
    """Show what a corpus holds and what was left out, with the reasons."""
    from rich.console import Console

    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.corpus.manifest import read_manifest

    if picture is not None:
        refuse_target(picture, "--picture")
    manifest = read_manifest(corpus)
    console = Console()
    tell(console, corpus, manifest)
    if verify:
        _verify(console, corpus, manifest)
    if picture is not None:
        from rtbrain.offline.corpus.picture import draw_corpus

        draw_corpus(picture, open_corpus(corpus))
        console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


def tell(console: "Console", folder: Path, manifest: "CorpusManifest") -> None:
    """Print the sessions of a corpus, what was left out, and how it was made."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    state = "" if manifest.complete else ", not complete: run the command that began it again"
    table = Table(title=escape(f"{folder.name}{state}"), box=SIMPLE_HEAD)
    table.add_column("subject", no_wrap=True)
    table.add_column("session", no_wrap=True)
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=_NARROW)
    for title in ("contacts", "windows", "good", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in manifest.sessions:
        n_all = entry.n_windows * len(entry.names)
        n_bytes = sum(file.n_bytes for file in entry.files)
        table.add_row(
            escape(entry.subject),
            escape(entry.session),
            escape(entry.source),
            str(len(entry.names)),
            f"{entry.n_windows:,}",
            f"{entry.n_items / n_all:.1%}",
            f"{n_bytes / 1e6:,.0f}",
        )
    console.print(table)
    tell_left_out(console, manifest)
    notes = [
        f"note: {note}" if entry.source in note else f"note: {entry.source}: {note}"
        for entry in manifest.sessions
        for note in entry.notes
    ]
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} notes more, in manifest.json"]
    for line in (*notes, *summary(manifest).splitlines()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def tell_left_out(console: "Console", manifest: "CorpusManifest") -> None:
    """Print what is not in a corpus and why; nothing where nothing was left out."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    if not manifest.left_out:
        return
    table = Table(title="left out", box=SIMPLE_HEAD)
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=_WIDTH)
    table.add_column("what", overflow="fold")
    table.add_column("why", overflow="fold")
    for source, what, why in _grouped(manifest.left_out):
        table.add_row(escape(source), escape(what), escape(why))
    console.print(table)


def _grouped(left_out: "Iterable[LeftOut]") -> list[tuple[str, str, str]]:
    """One row for all that a source lost for the same reason."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one.number, one.source, one.why), []).append(one.what)
    rows = []
    for (_, source, why), whats in groups.items():
        some = ", ".join(whats[:_MOST_NAMED])
        more = len(whats) - _MOST_NAMED
        rows.append((source, some + (f" and {more} more" if more > 0 else ""), why))
    return rows


def summary(manifest: "CorpusManifest") -> str:
    """All of a corpus in three lines."""
    sessions = manifest.sessions
    n_bytes = sum(file.n_bytes for entry in sessions for file in entry.files)
    subjects = {entry.subject for entry in sessions}
    recipe = manifest.recipe
    chain = " > ".join(key for step in recipe.get("signal", ()) for key in step)
    window, frames = recipe.get("window", {}), recipe.get("spectrogram", {})
    shape = " x ".join(str(length) for length in manifest.item_shape) or "none"
    return (
        f"{len(subjects)} subjects, {len(sessions)} sessions, "
        f"{sum(entry.n_windows for entry in sessions):,} windows, "
        f"{sum(entry.n_items for entry in sessions):,} good items, {n_bytes / 1e6:,.1f} MB\n"
        f"items: {manifest.form} [{shape}] {manifest.dtype}\n"
        f"made by: {chain or 'no filters'}; windows of {window.get('length_s', 5.0):g} s, hop "
        f"{manifest.hop_s:g} s; {frames.get('form', 'no')} spectrogram"
    )


def _verify(console: "Console", folder: Path, manifest: "CorpusManifest") -> None:
    from rich.progress import track

    from rtbrain.errors import RecordingError

    files = [file for entry in manifest.sessions for file in entry.files]
    wrong = [
        file.file
        for file in track(files, "verifying", console=console, transient=True)
        if not file.whole(folder, hashed=True)
    ]
    if wrong:
        raise RecordingError(
            f"{folder}: {len(wrong)} of {len(files)} files are missing or altered, {wrong[0]}: "
            "copy the corpus again, or build it again"
        )
    console.print(f"verified: {len(files)} files", highlight=False)
