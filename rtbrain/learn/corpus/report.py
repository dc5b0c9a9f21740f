"""`rtbrain corpus show`: what a corpus holds, what it lacks, and a look at it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus
from rtbrain.learn.corpus.manifest import CorpusManifest, LeftOut

_MOST_NAMED = 6
_MOST_NOTES = 4
_NARROW, _WIDTH = 12, 28
_DPI = 120
_ROWS, _COLUMNS = 3, 4
_LIMIT = 3.0  # z-scores


def print_corpus(console: Console, folder: Path, manifest: CorpusManifest) -> None:
    """Print the sessions of a corpus, what was left out, and how it was made."""
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
    print_left_out(console, manifest)
    notes = [
        f"note: {note}" if entry.source in note else f"note: {entry.source}: {note}"
        for entry in manifest.sessions
        for note in entry.notes
    ]
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} notes more, in manifest.json"]
    for line in (*notes, *corpus_summary(manifest).splitlines()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_left_out(console: Console, manifest: CorpusManifest) -> None:
    """Print what is not in a corpus and why; nothing where nothing was left out."""
    if not manifest.left_out:
        return
    table = Table(title="left out", box=SIMPLE_HEAD)
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=_WIDTH)
    table.add_column("what", overflow="fold")
    table.add_column("why", overflow="fold")
    for source, what, why in _grouped(manifest.left_out):
        table.add_row(escape(source), escape(what), escape(why))
    console.print(table)


def _grouped(left_out: Iterable[LeftOut]) -> list[tuple[str, str, str]]:
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


def corpus_summary(manifest: CorpusManifest) -> str:
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


def _verify(console: Console, folder: Path, manifest: CorpusManifest) -> None:
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


def draw_corpus(path: Path, corpus: Corpus, seed: int = 0) -> None:
    """Draw 12 items that may be believed, titled by subject and contact.

    Parameters
    ----------
    path : Path
        PNG to write.
    corpus : Corpus
        Spectrograms and patches become pictures, waveforms and embeddings lines.
    seed : int
        Of the choice.
    """
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(3.4 * _COLUMNS, 2.6 * _ROWS), layout="constrained")
    FigureCanvasAgg(figure)
    sessions = corpus.sessions
    for axes in figure.subplots(_ROWS, _COLUMNS).flat:
        session = sessions[rng.integers(len(sessions))]
        windows, channels = np.nonzero(session.good)
        pick = rng.integers(len(windows))
        (item,) = session.read(windows[[pick]], channels[[pick]])
        contact = session.montage.names[channels[pick]]
        axes.set_title(
            f"{session.subject}  {contact}  to {session.t_stop[windows[pick]]:.2f} s", fontsize=8
        )
        if item.ndim == 2:
            image = axes.imshow(
                item.T,
                origin="lower",
                aspect="auto",
                cmap="RdBu_r",
                vmin=-_LIMIT,
                vmax=_LIMIT,
                interpolation="nearest",
            )
        else:
            axes.plot(item, linewidth=0.6, color="#1f5fa8")
        axes.tick_params(labelsize=7)
    words = {
        "spectrogram": ("frame", "frequency bin"),
        "patches": ("patch", "sample"),
        "waveform": ("sample", "µV"),
        "embedding": ("feature", ""),
    }[corpus.form]
    figure.supxlabel(words[0], fontsize=9)
    figure.supylabel(words[1], fontsize=9)
    if corpus.form in ("spectrogram", "patches"):
        figure.colorbar(image, ax=figure.axes, label="z-score", shrink=0.5)
    figure.savefig(path, dpi=_DPI, format="png")


class CorpusBars:
    """A bar of sessions, and one of the seconds of the session at hand."""

    def __init__(self, progress: Progress, names: dict[int, str]) -> None:
        self._progress = progress
        self._names = names
        self._all = progress.add_task("sessions", total=len(names))
        self._one = progress.add_task("", total=None, visible=False)

    def begin(self, number: int, duration_s: float) -> None:
        """Show which session begins."""
        name = self._names[number]
        self._progress.reset(self._one, total=duration_s, description=name, visible=True)

    def advance(self, number: int, duration_s: float) -> None:
        """Show how much of it is done."""
        self._progress.advance(self._one, duration_s)

    def end(self, number: int) -> None:
        """Show that it is done."""
        self._progress.update(self._one, visible=False)
        self._progress.advance(self._all)


@contextmanager
def show_progress(console: Console, names: dict[int, str], n_done: int) -> Iterator[CorpusBars]:
    """Bars while sessions are made; says first what was there already."""
    if n_done:
        console.print(f"going on: {n_done} of {len(names)} sources are done", highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield CorpusBars(progress, names)


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """One line for a disk that does not take what is written.

    Raises
    ------
    SettingsError
        The disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"--out {folder}: {error.strerror or error}: make room and run the command again, it "
            "goes on"
        ) from error
