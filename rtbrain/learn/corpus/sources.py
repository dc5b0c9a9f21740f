"""The recordings of a corpus, and which of their channels can be used."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtbrain.build import build_feature_pipeline
from rtbrain.config import CorpusSettings, Recipe, SourceSettings, parse_settings, read_settings
from rtbrain.errors import RecordingError, SettingsError, one_line
from rtbrain.learn.corpus.corpus import CorpusManifest, hash_settings
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Recording
from rtbrain.synthetic.patient import SYNTHETIC
from rtbrain.types import CONTACT_KINDS, Montage
from rtbrain.units import amplitude_uv, find_wrong_unit

_EXAMINED_S = 10.0


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A recording to put into a corpus."""

    name: str
    opened: Callable[[], Recording]
    settings: SourceSettings
    hidden: tuple[str, ...] = ()
    first_of_file: int | None = None

    def offset_s(self, recording: Recording) -> float:
        """Seconds of the recording before the stretch's first sample."""
        start_s = self.settings.start_s
        if start_s is None:
            return 0.0
        if recording.stamps is not None:
            later = recording.stamps[recording.stamps >= start_s]
            return float(later[0]) if later.size else start_s
        sfreq_hz = recording.montage.sfreq_hz
        return math.ceil(start_s * sfreq_hz - 1e-3) / sfreq_hz

    def plainly(self, text: object) -> str:
        """A message in one line, without folders."""
        line = " ".join(str(text).split())
        for folder in self.hidden:
            line = line.replace(folder, "")
        return line


@contextmanager
def reading() -> Iterator[None]:
    """Errors of a disk or file in reading are those of the source, not of the corpus."""
    try:
        yield
    except OSError as error:
        raise RecordingError(f"cannot be read: {one_line(error)}") from error


def source_channels(
    recording: Recording, source: SourceSettings
) -> tuple[list[str], list[tuple[str, str]]]:
    """Channels to use, and those that cannot be used, with why."""
    wanted = source.channels or recording.montage.names
    rows = recording.montage.rows(wanted)
    kept, unusable = [], []
    n_contacts = 0
    for name, row in zip(wanted, rows, strict=True):
        contact = recording.montage.kinds[row] in CONTACT_KINDS
        if name in recording.bad:
            unusable.append((name, "marked bad in the recording"))
        elif contact and name in recording.unitless and source.scale is None:
            why = "the file names no unit of voltage: set scale, the factor to microvolts"
            unusable.append((name, why))
        else:
            kept.append(name)
            n_contacts += contact
    if not n_contacts:
        why = f": {unusable[0][1]}" if unusable else f", one of {', '.join(sorted(CONTACT_KINDS))}"
        raise RecordingError(f"none of {len(wanted)} channels is a usable contact{why}")
    return kept, unusable


def require_plausible_unit(recording: Recording, names: list[str]) -> None:
    """Refuse a signal of an amplitude that no brain makes."""
    montage = recording.montage
    rows = [row for row in montage.rows(names) if montage.kinds[row] in CONTACT_KINDS]
    n_samples = min(round(_EXAMINED_S * montage.sfreq_hz), recording.n_samples)
    with reading():
        beginning = recording.read(0, n_samples)[rows]
    found = find_wrong_unit(amplitude_uv(beginning))
    if found is not None:
        text, factor = found
        raise RecordingError(f"{text}: set scale, to {factor:g} or to what is right")


def corpus_recipe(settings: CorpusSettings) -> Recipe:
    """Recipe that the settings name, with their hop."""
    if isinstance(settings.recipe, str):
        values, where = read_settings(settings.recipe, Recipe)
    else:
        values, where = settings.recipe, "recipe"
    window = values.get("window")
    if settings.hop_s is not None and isinstance(window, dict):
        values = values | {"window": window | {"hop_s": settings.hop_s}}
    recipe = parse_settings(values, Recipe, where=where)
    if recipe.window.hop_s is None:
        raise SettingsError(f"{where}: window.mode is event: a corpus needs sliding windows")
    if settings.store != "waveform":
        patches = str(recipe.spectrogram.form) == "patches"
        if patches != (settings.store == "patches"):
            raise SettingsError(
                f"{where}: spectrogram.form is {recipe.spectrogram.form}, store {settings.store}: "
                f"set store to {'patches' if patches else 'spectrogram'}"
            )
    # Where the rate of its windows is known, build the front end once: what cannot be, says so now.
    rates = [step.resample_hz for step in recipe.signal if step.resample_hz is not None]
    named = any(step.pick is not None and step.pick.names for step in recipe.signal)
    if rates and not named:
        names = tuple(f"A{number}" for number in range(1, 9))
        build_feature_pipeline(recipe, Montage(names, ("seeg",) * 8, rates[-1]))
    return recipe


def corpus_sources(settings: CorpusSettings) -> list[CorpusSource]:
    """Sources of the settings, none opened yet."""
    sources, seen, first = [], set(), dict[Path, int]()
    for number, source in enumerate(settings.sources):
        recording, path = source.recording, Path(source.recording)
        key = (recording, source.start_s, source.stop_s)
        if key in seen:
            raise SettingsError(f"sources: {recording} is there twice: leave one out")
        seen.add(key)
        is_synthetic, sfreq_hz = recording.startswith(SYNTHETIC), source.sfreq_hz
        if is_synthetic or recording.lower().endswith(".npy"):
            sfreq_hz = sfreq_hz or settings.sfreq_hz
        opened = partial(read_recording, recording, sfreq_hz=sfreq_hz)
        if is_synthetic:
            opened().close()  # costs nothing, and a patient that cannot be is refused now
        hidden = () if is_synthetic else _folders(path)
        first_of_file = first.setdefault(path.resolve(), number)
        sources.append(CorpusSource(source_name(recording), opened, source, hidden, first_of_file))
    return sources


def _folders(path: Path) -> tuple[str, ...]:
    """Folders of a file as messages may spell them, the longest first, of which others are part."""
    folders = {f"{each.parent}/" for each in (path, path.absolute(), path.resolve())}
    return tuple(sorted(folders - {"./", "//"}, key=len, reverse=True))


def source_name(recording: str) -> str:
    """Name of a recording in the manifest: without folders, which may name people."""
    return recording if recording.startswith(SYNTHETIC) else Path(recording).resolve().name


def corpus_header(settings: CorpusSettings, recipe: Recipe) -> CorpusManifest:
    """Manifest of an empty corpus."""
    values = settings.model_dump(mode="json", exclude_unset=True)
    recipe_values = recipe.model_dump(mode="json", exclude_unset=True)
    stored = values | {
        "recipe": Path(settings.recipe).name if isinstance(settings.recipe, str) else "inline",
        "sources": [
            one | {"recording": source_name(one["recording"])} for one in values["sources"]
        ],
    }
    return CorpusManifest(
        form=settings.store,
        dtype=settings.dtype,
        hop_s=recipe.window.hop_s or 0.0,
        recipe=recipe_values,
        settings=stored,
        settings_sha256=hash_settings({"settings": values, "recipe": recipe_values}),
    )
