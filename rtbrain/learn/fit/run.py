"""Recordings and labels to a fitted decoder, with its scores, pictures and controls."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rtbrain import encoder as encoders
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import decode_delay_s
from rtbrain.config import FitSettings, LabelSettings, Recipe, parse_settings
from rtbrain.decoder import Memory
from rtbrain.decoder.drift_input import Snapshot
from rtbrain.errors import SettingsError
from rtbrain.learn.cue_plan import stored_design
from rtbrain.learn.drift import calibrate_drift
from rtbrain.learn.fit.bundles import control_bundles, fitted_bundle
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.fit.front_end.recipes import embargo_s, fit_recipe
from rtbrain.learn.fit.front_end.search import choose_in_folds
from rtbrain.learn.fit.front_end.stimulation import at_stimulation
from rtbrain.learn.fit.gather import (
    LINEAR,
    MAIN,
    LabelledFeatures,
    gather_recordings,
    model_of,
    note_encoder,
)
from rtbrain.learn.fit.inputs import (
    at_mains,
    describe_recordings,
    list_sources,
    names_of_sources,
    open_recordings,
    resolve_tasks,
)
from rtbrain.learn.fit.labels import require_events
from rtbrain.learn.fit.scores import (
    channel_weights,
    fit_report,
    folds_of,
    score_all,
    score_lags,
    select_rows,
)
from rtbrain.learn.fit.selection import choose_channels, weight_warnings
from rtbrain.learn.held_out import held_out_of_fit
from rtbrain.learn.report.figures import draw_fit
from rtbrain.learn.snapshots import snapshots_of_frames
from rtbrain.recording.recording import Recording
from rtbrain.recording.triggers import state_units
from rtbrain.spectrogram import RunningFrames
from rtbrain.terminal import OnProgress, no_progress
from rtbrain.types import Floats


def fit(
    recordings: Any,
    *,
    classes: Sequence[str] | None = None,
    events: Sequence[str] | None = None,
    trigger: str | None = None,
    rest: bool = False,
    channel: str | Sequence[str] | None = None,
    threshold: float | Literal["half"] | None = None,
    task: str | None = None,
    plan: str | Path | None = None,
    recipe: str | dict[str, Any] = "linear",
    window: tuple[float, float] | None = None,
    front_end: str = "auto",
    hop_s: float | None = None,
    channels: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    mains_hz: Literal[50, 60, "auto"] = "auto",
    split: Literal["blocks", "sessions", "subjects"] = "blocks",
    n_folds: int = 5,
    embargo_s: float | None = None,
    on_progress: OnProgress = no_progress,
    **settings: Any,
) -> FittedDecoder:
    """Fit a decoder on labelled recordings and score it on held-out time.

    Exactly one of `classes`, `events`, `channel` and `task` says what to decode. The scores come
    from contiguous blocks of time, an embargo away from the training windows, beside a linear
    control, an encoder with random weights, time alone, and labels that are shifted in time; a
    verdict says whether they are better than chance.

    Parameters
    ----------
    recordings : str, Path, mne.io.BaseRaw, tuple, Recording, or a list of these
        What `rtbrain.read` takes; several are separate sessions.
    classes : sequence of str, optional
        Markers that begin a state, which lasts until the next of them; windows slide.
    events : sequence of str, optional
        Markers to cut a window at; each text is a class.
    trigger : str, optional
        Channel whose codes are the markers, as ``TRIG``, ``Status:0xFF`` or ``DC01:2500``; by
        default those of the recording.
    rest : bool
        With `events`: add a class ``rest`` of windows away from all events.
    channel : str or sequence of str, optional
        Channel of the recording to predict, or several; they are left out of the signals.
    threshold : float or "half", optional
        With `channel`: split it into classes ``on`` and ``off`` at this value, or at half its
        range; without it the value is predicted.
    task : str, optional
        Task of the Brain Treebank, such as ``onset``.
    plan : str or Path, optional
        With `classes`: file of the plan that the cues were drawn from; it is drawn again for p.
    recipe : str or dict
        Ready-made recipe (``linear``, ``edge``, ``published``, ``streaming``), a YAML file, or
        the recipe itself.
    window : tuple of float, optional
        With `events` or `task`: start and end of the window relative to each event, s.
    front_end : str
        With recipe ``linear``: ``auto`` chooses it inside the training windows of each fold,
        ``recipe`` keeps the recipe's; or the words of one, as ``bands-log-1s-bipolar``.
    hop_s : float, optional
        Time from one sliding window to the next, s, instead of the recipe's.
    channels, exclude : sequence of str, optional
        Channels to use, and to leave out, by label or pattern (``A*``). By default the contacts
        that no recording marks as bad are used; what is recognised as no contact is not.
    mains_hz : 50, 60 or "auto"
        Mains frequency to remove; by default measured, and the recipe's where no hum is found.
    split : str
        Hold out blocks of time, whole sessions, or whole subjects.
    n_folds : int
        Number of folds, for blocks of time.
    embargo_s : float, optional
        Gap between training and test, s; by default the longest window that may be chosen plus 1 s.
    on_progress : callable
        ``on_progress(done, total, what)``, called after each piece of work.
    **settings
        Any other field of `rtbrain.config.FitSettings`, such as ``kinds`` or ``n_permutations``.

    Returns
    -------
    FittedDecoder
        With ``scores``, ``report``, ``save(folder)``, ``decode(recording)``.

    Raises
    ------
    SettingsError
        A setting, a label or a split cannot work.
    RecordingError
        A recording cannot be read, or holds no valid window.

    Examples
    --------
    >>> import rtbrain
    >>> decoder = rtbrain.fit(
    ...     "synthetic:3,duration_s=60,n_channels=12",
    ...     sfreq_hz=2048,
    ...     classes=["rest", "speech"],
    ...     n_folds=3,
    ...     n_permutations=20,
    ... )
    >>> decoder.scores["decoder"]["auc"] > 0.8
    True
    >>> folder = decoder.save("decoders/speech")
    """
    labels: dict[str, Any] = {
        "classes": classes,
        "events": events,
        "trigger": trigger,
        "rest": rest or None,
        "channel": channel,
        "threshold": threshold,
        "task": task,
        **{key: settings.pop(key, None) for key in ("rules", "names")},
        "plan": plan and str(plan),
    }
    values = settings | {
        "labels": {key: value for key, value in labels.items() if value is not None},
        "recipe": recipe,
        "window": window,
        "front_end": front_end,
        "hop_s": hop_s,
        "channels": channels,
        "exclude": exclude,
        "mains_hz": mains_hz,
        "splits": {
            "kind": split,
            "n_folds": n_folds,
            "embargo_s": embargo_s,
            "unsafe_random": settings.pop("unsafe_random", False),
        },
    }
    checked = parse_settings(values, FitSettings, where="fit")
    return fit_decoder(list_sources(recordings), checked, on_progress=on_progress)


def fit_decoder(
    sources: Sequence[Any],
    settings: FitSettings,
    *,
    on_progress: OnProgress = no_progress,
    on_note: Callable[[str], None] = lambda note: None,
) -> FittedDecoder:
    """Fit and score a decoder by its settings, for `fit` and for the command.

    Parameters
    ----------
    sources : sequence
        What `rtbrain.read` takes; `settings.recordings` is not read.
    settings : FitSettings
        All else.
    on_progress : callable
        ``on_progress(done, total, what)``.
    on_note : callable
        Called at once with what had to be assumed about a recording, or looks wrong in it.

    Raises
    ------
    RtbrainError
        Settings, labels or recordings cannot work.
    """
    labels = settings.labels
    if labels is None:
        raise SettingsError("no labels: name classes, events, a channel or a task")
    if settings.window and labels.events is None and labels.task is None:
        raise SettingsError("window is for events and tasks: states have the recipe's window")
    recipe = fit_recipe(settings)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        on_note(text)

    with open_recordings(
        sources,
        stream=settings.stream,
        sfreq_hz=settings.sfreq_hz,
        scale=settings.scale,
        trigger=labels.trigger,
        stimulation=recipe.stimulation,
        space=settings.space,
        on_note=note,
    ) as opened:
        fitted = _fit_opened(sources, settings, labels, recipe, opened, on_progress, note)
    return replace(fitted, notes=tuple(notes))


def _fit_opened(
    sources: Sequence[Any],
    settings: FitSettings,
    labels: LabelSettings,
    recipe: Recipe,
    opened: Sequence[Recording],
    on_progress: OnProgress,
    note: Callable[[str], None],
) -> FittedDecoder:
    gap_s = embargo_s(settings, recipe)
    model, state, encoder = model_of(settings, recipe)
    popt = model.popt if model is not None and settings.tune == "popt" else None
    if settings.tune == "popt" and popt is None:
        raise SettingsError(
            "tune popt: the recipe has no PopT; set encoder.popt, as edge does, or tune readout"
        )
    labels = labels.model_copy(update={"trigger": state_units(labels.trigger, opened)})
    recordings, resolved = resolve_tasks(labels, sources, opened)
    events = [event for recording in recordings for event in recording.events]
    require_events(resolved.classes or resolved.events or (), events)
    of_channels = choose_channels(names_of_sources(sources), recordings, settings, recipe, note)
    population = note_encoder(recipe, of_channels[1], encoder, note)
    recipe, mains = at_mains(recipe, settings.mains_hz, recordings, note)
    recipe = at_stimulation(recipe, recordings, note)
    gathered = gather_recordings(
        settings, resolved, recipe, model, gap_s, of_channels, on_progress, note
    )
    gathered = choose_in_folds(gathered, folds_of(gathered), on_progress)
    recipe, trained_on = gathered.recipe, describe_recordings(recordings)
    at_s = gathered.label_delay_s  # a pipeline that was chosen may have another
    design = stored_design(resolved, recordings, gathered.labelled, at_s, note)
    if labels.threshold == "half" and len(recordings) == 1:
        # Half of what was fitted on, whatever the range of the next recording.
        labels = labels.model_copy(update={"threshold": gathered.threshold})
    fitted: Any  # a FittedReadout or a TunedPopT
    rows, kept = select_rows(gathered, MAIN), None
    if popt is None:
        fitted = rows.fit()
        # Before the scores, which take memory of their own.
        kept, gathered = _take_snapshots(gathered, fitted.feature_mean)
    scored = score_all(gathered, on_progress, design)
    chosen: dict[str, Any] = {}
    memory: Memory | None = None
    if model is not None and popt is not None:
        tuning = importlib.import_module("rtbrain.learn.fit.popt")  # torch, which takes seconds
        fitted, scored = tuning.tune_decoder(gathered, popt, scored, on_progress)
        model = encoders.EncoderModel(
            model.channel_encoder, fitted.popt, model.pool, model.n_pooled
        )
    else:
        memory = rows.remember(fitted, settings.remembered_windows)
        chosen = {"c": fitted.c, "temperature": fitted.temperature}
    if model is not None and recipe.mode == "streaming":  # compiled now, not at the start
        build_feature_pipeline(recipe, gathered.montage, model=model)
    linear = None if model is None else select_rows(gathered, LINEAR).fit()
    of_weights = (fitted, MAIN) if linear is None else (linear, LINEAR)
    weights = channel_weights(gathered, of_weights[0].readout, of_weights[1])
    report = fit_report(gathered, labels, scored, encoder, weights)
    report |= population | chosen | mains
    filtered, main = gathered.pipeline.signal.montage, scored.validated[MAIN]
    delay_s = decode_delay_s(recipe, gathered.pipeline, main.contributions)
    if settings.detect:
        held_out = held_out_of_fit(gathered, scored, model)
        report["detections"] = held_out.propose(settings.detect, on_progress)
    report["lag"] = lags = score_lags(gathered, main.outputs, delay_s)
    if warnings := weight_warnings(recordings, gathered.montage, filtered, weights):
        report["warnings"] = warnings
    bundle = fitted_bundle(
        gathered, trained_on, recipe, model, state, fitted, report, delay_s, memory
    )
    bundle = calibrate_drift(bundle, of_channels[0], resolved, gathered.names, on_progress, kept)
    controls = control_bundles(gathered, trained_on, model, linear)
    labelled = gathered.labelled
    classes = labelled.targets if labelled.task == "classification" else None
    of_score = scored.intervals[MAIN][lags["score"]] if lags else None
    interval = (of_score.low, of_score.high) if of_score else (np.nan, np.nan)
    shown = classes, labelled.names, filtered, None if linear else weights, lags, interval
    return FittedDecoder(bundle, controls, partial(draw_fit, main.outputs, *shown))


def _take_snapshots(
    gathered: LabelledFeatures, feature_mean: Floats
) -> tuple[list[list[Snapshot]] | None, LabelledFeatures]:
    """What drift is calibrated on, of each recording, where the frames were kept; without these."""
    if not gathered.frames:
        return None, gathered
    seconds = sum(one.duration_s for one in gathered.recordings)
    spectrogram = gathered.pipeline.spectrogram
    found = []
    for windows in gathered.frames:
        pipeline = build_feature_pipeline(
            gathered.recipe,
            gathered.montage,
            statistics=spectrogram.statistics if isinstance(spectrogram, RunningFrames) else None,
            feature_mean=feature_mean,
        )
        found.append(snapshots_of_frames(windows, pipeline, seconds))
    return found, replace(gathered, frames=())
