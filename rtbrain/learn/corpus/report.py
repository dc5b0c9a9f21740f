"""What a corpus holds and lacks, as tables and as a picture."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus, CorpusManifest, LeftOut
from rtbrain.learn.report.figures import new_figure, save_figure
from rtbrain.terminal import OnProgress, show_progress, table

_MAX_NAMED = 6
_MAX_NOTES = 4
_N_ROWS, _N_COLUMNS = 3, 4
_LIMIT = 3.0  # z-scores


def print_corpus(console: Console, folder: Path, manifest: CorpusManifest) -> None:
    """Print the sessions of a corpus, what was left out, and how it was made."""
    state = "" if manifest.complete else ", incomplete: run the command that started it again"
    rows = [
        (
            entry.subject,
            entry.session,
            entry.source,
            str(len(entry.names)),
            f"{entry.n_windows:,}",
            f"{entry.n_items / (entry.n_windows * len(entry.names)):.1%}",
            f"{sum(file.n_bytes for file in entry.files) / 1e6:,.0f}",
        )
        for entry in manifest.sessions
    ]
    headings = ("subject", "session", "source", "contacts", "windows", "good", "MB")
    console.print(table(f"{folder.name}{state}", headings, rows, n_names=3, box=SIMPLE_HEAD))
    print_left_out(console, manifest)
    notes = [
        f"note: {note}" if entry.source in note else f"note: {entry.source}: {note}"
        for entry in manifest.sessions
        for note in entry.notes
    ]
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"and {len(notes) - _MAX_NOTES} more notes, in manifest.json"]
    for line in (*notes, *corpus_summary(manifest).splitlines()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_left_out(console: Console, manifest: CorpusManifest) -> None:
    """Print what is not in a corpus and why; nothing where nothing was left out."""
    if manifest.left_out:
        rows = _grouped(manifest.left_out)
        headings = ("source", "what", "why")
        console.print(table("left out", headings, rows, n_names=3, box=SIMPLE_HEAD))


def _grouped(left_out: Iterable[LeftOut]) -> list[tuple[str, str, str]]:
    """One row for all parts that a source lost for the same reason."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one.number, one.source, one.why), []).append(one.what)
    rows = []
    for (_, source, why), whats in groups.items():
        some = ", ".join(whats[:_MAX_NAMED])
        more = len(whats) - _MAX_NAMED
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


def verify_corpus(console: Console, folder: Path, manifest: CorpusManifest) -> None:
    """Compare every file with its hash."""
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


def draw_corpus(path: Path, corpus: Corpus) -> None:
    """Draw 12 good items into a PNG: pictures of spectrograms and patches, lines of others."""
    rng = np.random.default_rng(0)
    figure = new_figure(3.4 * _N_COLUMNS, 2.6 * _N_ROWS)
    sessions = corpus.sessions
    for axes in figure.subplots(_N_ROWS, _N_COLUMNS).flat:
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
    save_figure(figure, path, dpi=120)


@contextmanager
def corpus_progress(console: Console, n_done: int, n_all: int) -> Iterator[OnProgress]:
    """Bars of sources and of the source at hand; says first how many are there already."""
    if n_done:
        console.print(f"continuing: {n_done} of {n_all} sources are done", highlight=False)
    with show_progress(console) as on_progress:
        yield on_progress


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn errors of writing, such as a full disk, into one line."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"--out {folder}: {error.strerror or error}: make room and run the command again; "
            "it continues"
        ) from error
