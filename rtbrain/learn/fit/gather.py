"""From recordings to labelled rows of features: a decoder's own, and those of its controls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain import encoder as encoders
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import describe_encoder, describe_population, encoder_of_recipe, random_twin
from rtbrain.config import FitSettings, LabelSettings, Recipe
from rtbrain.decoder.drift_input import DriftInput
from rtbrain.errors import RecordingError
from rtbrain.learn.fit.features import (
    STFT_FRAME_S,
    FeatureRows,
    LinearStft,
    RandomChannelSubset,
    gather,
    join_features,
    windows_apart,
)
from rtbrain.learn.fit.front_end.choice import FrontEndChoice
from rtbrain.learn.fit.front_end.names import FRAME_HOP_S, FrontEnd, own_front_end
from rtbrain.learn.fit.front_end.passes import (
    Job,
    Markers,
    SharedPass,
    at_windows,
    old_recipe,
    rows_job,
    search_job,
    wide_recipe,
)
from rtbrain.learn.fit.front_end.recipes import linear_recipe, searched_recipe
from rtbrain.learn.fit.front_end.spectra import SharedSpectra
from rtbrain.learn.fit.inputs import (
    LONG_CHUNK_S,
    chunks_of,
    common_rate_hz,
    label_windows,
    lagged_targets,
    virtual_session,
)
from rtbrain.learn.fit.labels import Labelled, half_of, join_labels, require_classes
from rtbrain.learn.fit.selection import neighbours_note
from rtbrain.learn.snapshots import KeptWindow, frames_job, keeps_frames
from rtbrain.pipeline import FeaturePipeline, cut_at_markers
from rtbrain.recording.recording import Recording
from rtbrain.signal import ChannelQuality
from rtbrain.spectrogram import Bands
from rtbrain.terminal import OnProgress
from rtbrain.types import Chunk, Floats, Montage, Times
from rtbrain.units import to_samples

# Most that the plain control reads of a sliding window: on the public benchmark, all of 1 s.
_STFT_S = 1.0
# Windows to choose a front end on, and of very many contacts, and what decides between these.
_MOST_SEARCHED, _FEWEST_SEARCHED, _SEARCHED_BYTES = 500, 200, 2**28
MAIN, FEWER, LINEAR, RANDOM, STFT = "decoder", "fewer channels", "linear", "random init", "STFT"
FROZEN, CLOCK, OLD = "frozen PopT", "clock only", "linear of v0.1.0"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFeatures:
    """Features and labels of all recordings, and how they are fitted."""

    settings: FitSettings
    embargo_s: float
    features: FeatureRows
    labelled: Labelled
    groups: dict[str, list[str]]
    montage: Montage
    pipeline: FeaturePipeline
    recipe: Recipe
    threshold: float
    lagged: Mapping[float, npt.NDArray[Any]]  # targets of all windows, by s before their end
    label_delay_s: float  # of the moment at which windows are labelled, before their end
    recordings: Sequence[Recording]
    n_windows: Sequence[int]  # of each
    names: Sequence[str]
    labels: LabelSettings
    old: tuple[Recipe, FeaturePipeline]  # of `linear` of v0.1.0
    search: "FrontEndSearch | None" = None
    front_end: FrontEndChoice | None = None
    by_fold: tuple[Floats, ...] = ()  # the decoder's rows where folds chose others than it has
    frames: Sequence[Sequence[KeptWindow]] = ()  # of each recording, to calibrate drift by


@dataclass(frozen=True, slots=True, eq=False)
class FrontEndSearch:
    """What a front end is chosen on."""

    spectra: SharedSpectra
    front_ends: Sequence[FrontEnd]
    default: FrontEnd
    every: int  # sliding windows of which one is kept
    t_stop: Sequence[Times]  # of the windows of the spectra, by recording


def model_of(
    settings: FitSettings, recipe: Recipe
) -> "tuple[encoders.EncoderModel | None, str, str]":
    """Encoder of the settings, its state (none, untrained or pretrained), and which one it is."""
    if recipe.mode == "linear" or settings.encoder is None:
        state = "pretrained" if recipe.encoder.trained else "untrained"
        model = encoder_of_recipe(recipe)
        return model, "none" if model is None else state, describe_encoder(recipe)
    pool, n_pooled, form = recipe.encoder.pool, recipe.encoder.n_pooled, recipe.spectrogram.form
    model = encoders.open_model(settings.encoder, settings.popt, pool, n_pooled, form=form)
    folders = [settings.encoder] if settings.popt is None else [settings.encoder, settings.popt]
    which = (
        f"trained {settings.encoder.resolve().name} (sha {encoders.weights_sha256(folders)[:12]})"
    )
    return model, "pretrained", which


def note_encoder(
    recipe: Recipe, montage: Montage, encoder: str, on_note: Callable[[str], None]
) -> dict[str, str]:
    """Note how contacts are joined, and weights that are random; what to report of the former."""
    if recipe.mode == "linear":
        return {}
    population = describe_population(recipe, montage)
    on_note(population + ("; --population none leaves it out" if recipe.encoder.popt else ""))
    if encoder.startswith("random"):
        on_note(
            f"the encoder's weights are {encoder}: it learned nothing; the recipes edge and "
            "streaming have trained ones, others are named by --set encoder=FOLDER"
        )
    return {"population": population}


def gather_recordings(
    settings: FitSettings,
    labels: LabelSettings,
    recipe: Recipe,
    model: "encoders.EncoderModel | None",
    gap_s: float,
    chosen: tuple[Sequence[Recording], Montage, Sequence[str]],
    on_progress: OnProgress,
    on_note: Callable[[str], None],
) -> LabelledFeatures:
    """Run every recording through the live stages and label its windows.

    `chosen` are the recordings and their channels, as `choose_channels` gives them.
    """
    recordings, montage, names = chosen
    montage = replace(montage, sfreq_hz=common_rate_hz(recordings))
    recipe, front_ends = searched_recipe(settings, recipe, montage, on_note)
    wide = wide_recipe(recipe, front_ends) if front_ends else recipe
    # Of an encoder that is random itself, others are no control.
    alike = recipe.encoder.weights == "random" and settings.encoder is None
    n_seeds = 0 if alike and settings.tune == "readout" else settings.seeds
    pipeline, makers = _makers(wide, model, montage, n_seeds)
    if alone := neighbours_note(recipe, montage, pipeline.signal.montage):
        on_note(alone)
    if isinstance(pipeline.spectrogram, Bands) and pipeline.spectrogram.note:
        on_note(pipeline.spectrogram.note)
    if model is not None:
        wide = linear_recipe(wide)
    before = old_recipe(wide, montage)
    old = build_feature_pipeline(before, montage, whole_windows=True)
    steps, search = [recipe.signal, before.signal], None
    if front_ends:
        plain = wide.model_copy(update={"signal": front_ends[0].recipe(recipe).signal})
        search = build_feature_pipeline(plain, montage, whole_windows=True)
        spectra = _spectra(wide, search, front_ends)
        n_searched = max(_FEWEST_SEARCHED, _SEARCHED_BYTES // spectra.row_bytes)
        rarely = _every(min(_MOST_SEARCHED, n_searched), recipe, recordings)
        steps.append(plain.signal)
    keeping = None if front_ends else keeps_frames(recipe, montage, recordings, names)
    if keeping is not None:
        steps.append(recipe.signal)
    shared = SharedPass(montage, steps)
    floor, window = wide.coverage_floor, wide.window
    every = _every(settings.max_windows, recipe, recordings)
    parts, labelled, lagged, single = [], [], [], len(recordings) == 1
    stops: list[Times] = []
    frames: list[list[KeptWindow]] = []
    for number, recording in enumerate(recordings):
        session = virtual_session(recording, labels, window, names, LONG_CHUNK_S)
        for name, encoder in makers.items():
            if name != FEWER:  # it goes on drawing
                encoder.reset()
        others = [one for one in (search, keeping) if one]
        inside = [shared.within(one, n) for n, one in enumerate((pipeline, old, *others))]
        for one in inside:
            one.reset()

        def main(
            chunks: Iterator[Chunk], markers: Markers, own: FeaturePipeline = inside[0]
        ) -> FeatureRows:
            return gather(
                chunks,
                cut_at_markers(own, markers, floor),
                makers,
                raw={STFT: _stft(wide, pipeline)},
                every=every,
                keep_channels=MAIN if settings.tune == "popt" else None,
            )

        jobs: list[Job] = [main, rows_job(inside[1], every, floor)]
        if search is not None:
            spectra.reset()
            jobs.append(search_job(inside[2], spectra, rarely, floor))
        if keeping is not None:
            of_contacts = shared.find(ChannelQuality, -1)
            inputs = DriftInput(keeping.signal.montage, keeping.n_features, of_contacts)
            jobs.append(frames_job(inside[-1], inputs, floor))
        what = f"recording {number + 1} of {len(recordings)}"
        chunks = chunks_of(session, recording.n_samples, on_progress, what)
        part, of_old, *found = shared.run(chunks, session.markers, jobs)
        if not part.t_stop.size:
            raise _no_window_error(recording, labels, window.length_s, part.n_invalid)
        part.rows[OLD] = at_windows(of_old, part.t_stop, old.n_features)
        delay_s = pipeline.neural_delay_s
        of = recording, session, labels, window, part.t_stop, delay_s, on_note
        labelled.append(label_windows(*of, whole=single))
        parts.append(part)
        (stops if keeping is None else frames).extend(found)
        lagged.append(
            lagged_targets(recording, session, labels, wide, part.t_stop, labelled[-1], single)
        )
    numbers = [str(number) for number in range(len(recordings))]
    whole = join_labels(labelled, [part.t_stop.size for part in parts], numbers)
    if whole.task == "classification":
        require_classes(whole)
    owners = [(recordings[int(number)], number) for number in whole.recordings]
    groups = {
        "sessions": [f"{one.subject} {one.session or number}".strip() for one, number in owners],
        "subjects": [one.subject or number for one, number in owners],
    }
    half = half_of(session.targets()[0])
    joined = {lag_s: np.concatenate([one[lag_s] for one in lagged]) for lag_s in lagged[0]}
    gathered = LabelledFeatures(
        settings,
        gap_s,
        join_features(parts),
        whole,
        groups,
        montage,
        pipeline,
        recipe,
        half,
        joined,
        pipeline.neural_delay_s,
        recordings,
        [part.t_stop.size for part in parts],
        names,
        labels,
        (before, old),
        frames=frames,
    )
    if front_ends:
        own = FrontEndSearch(spectra, front_ends, own_front_end(recipe), every, stops)
        gathered = replace(gathered, search=own)
    return gathered


def _no_window_error(
    recording: Recording, labels: LabelSettings, length_s: float, n_invalid: int
) -> RecordingError:
    lasts = f"{recording.duration_s:.1f} s"
    if labels.events is not None:
        n_events = sum(event.text in labels.events for event in recording.events)
        return RecordingError(
            f"none of the {n_events} events has a valid window of {length_s:g} s in a recording of "
            f"{lasts} ({n_invalid} hold a gap or too few good channels, the others reach beyond "
            "it): move or shorten the window"
        )
    return RecordingError(
        f"no valid window of {length_s:g} s in a recording of {lasts} ({n_invalid} were invalid): "
        "record for longer, or shorten the window"
    )


def _stft(recipe: Recipe, pipeline: FeaturePipeline) -> LinearStft:
    """The plain control, of the moment that the decoder describes.

    It reads the whole window at an event, else a second about that moment or what fits.
    """
    window, filtered = recipe.window, pipeline.signal.montage
    if window.hop_s is None:
        whole = to_samples(window.length_s, filtered.sfreq_hz, what="window.length_s")
        return LinearStft(filtered, length_samples=whole)
    half_s = min(STFT_FRAME_S, window.length_s) / 2
    middle_s = min(max(pipeline.neural_delay_s, half_s), window.length_s - half_s)
    length_s = min(_STFT_S, 2 * min(middle_s, window.length_s - middle_s))
    newer = round((middle_s - length_s / 2) * filtered.sfreq_hz)
    length = round(length_s * filtered.sfreq_hz)
    return LinearStft(filtered, length_samples=length, n_newer_samples=max(0, newer))


def _every(most: int, recipe: Recipe, recordings: Sequence[Recording]) -> int:
    """Keep one in this many sliding windows, for at most so many."""
    if recipe.window.hop_s is None:
        return 1
    apart = windows_apart(recipe.window.hop_s)
    seconds = sum(each.duration_s for each in recordings)
    return apart * -(-round(seconds / recipe.window.hop_s / apart) // most)


def _spectra(
    recipe: Recipe, pipeline: FeaturePipeline, front_ends: Sequence[FrontEnd]
) -> SharedSpectra:
    sfreq_hz = pipeline.signal.montage.sfreq_hz
    return SharedSpectra(
        pipeline.signal.montage,
        front_ends,
        length_samples=to_samples(recipe.window.length_s, sfreq_hz, what="window.length_s"),
        hop_samples=round(FRAME_HOP_S * sfreq_hz),
        time_constant_s=recipe.spectrogram.time_constant_s,
    )


def _makers(
    recipe: Recipe, model: "encoders.EncoderModel | None", montage: Montage, n_seeds: int
) -> tuple[FeaturePipeline, dict[str, Any]]:
    """The decoder's stages, and every maker of features."""
    pipeline = build_feature_pipeline(recipe, montage, model=model, whole_windows=True)
    makers: dict[str, Any] = {MAIN: pipeline.encoder}
    if model is None:
        return pipeline, makers
    if model.popt is not None:
        makers[FEWER] = RandomChannelSubset(makers[MAIN].population)
    makers[LINEAR] = build_feature_pipeline(linear_recipe(recipe), montage).encoder
    for number in range(n_seeds):
        twin = random_twin(model, recipe, number)
        of_twin = build_feature_pipeline(recipe, montage, model=twin, whole_windows=True)
        makers[f"{RANDOM} {number}"] = of_twin.encoder
    return pipeline, makers
