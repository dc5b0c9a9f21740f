"""A decoder with the front end that its folds choose, and with that of all windows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.learn.fit.features import FeatureRows, fill_missing
from rtbrain.learn.fit.front_end.choice import choose_front_end
from rtbrain.learn.fit.front_end.names import FrontEnd
from rtbrain.learn.fit.front_end.passes import SharedPass, at_windows, rows_job, wide_recipe
from rtbrain.learn.fit.gather import MAIN, FrontEndSearch, LabelledFeatures
from rtbrain.learn.fit.inputs import LONG_CHUNK_S, chunks_of, virtual_session
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.scores import select_rows
from rtbrain.learn.fit.splits import Fold
from rtbrain.pipeline import FeaturePipeline
from rtbrain.terminal import OnProgress
from rtbrain.types import Floats, Ints, Times


def choose_in_folds(
    gathered: LabelledFeatures, folds: Sequence[Fold], on_progress: OnProgress
) -> LabelledFeatures:
    """Features of the front end that all windows choose, and of each fold's where others differ.

    Without a search they are those of the recipe.
    """
    search = gathered.search
    if search is None:
        return gathered
    tolerance_s = search.every * (gathered.recipe.window.hop_s or 0.0) / 2 + 1e-6
    at, positions = _labelled_rows(gathered.labelled, search.t_stop, tolerance_s)
    labelled = gathered.labelled.pick(positions)
    inside = [
        Fold(
            fold.name,
            np.flatnonzero(np.isin(positions, fold.train)),
            np.flatnonzero(np.isin(positions, fold.test)),
        )
        for fold in folds
    ]
    done = iter(range(1, 1 + len(search.front_ends)))
    choice = choose_front_end(
        lambda one: search.spectra.features(one)[at],
        search.front_ends,
        search.default,
        labelled,
        inside,
        embargo_s=gathered.embargo_s,
        on_front_end=lambda: on_progress(next(done), len(search.front_ends), "front ends"),
    )
    gathered = replace(gathered, front_end=choice, search=None)
    others = [
        one for one in dict.fromkeys((*choice.by_fold, choice.chosen)) if one != choice.default
    ]
    if not others:
        return gathered
    found = _gather_others(gathered, search, others, on_progress)
    rows = {one: fill_missing(of) for one, (of, _) in found.items()}
    rows[choice.default] = select_rows(gathered, MAIN).features
    made = gathered.features.rows | {MAIN: rows[choice.chosen]}
    by_fold = tuple(rows[one] for one in choice.by_fold)
    pipeline = gathered.pipeline
    if choice.chosen != choice.default:
        pipeline = found[choice.chosen][1]
    good = np.ones((gathered.features.t_stop.size, pipeline.signal.montage.n_channels), np.bool_)
    features = replace(gathered.features, rows=made, good=good)
    recipe = choice.chosen.recipe(gathered.recipe)
    return replace(gathered, features=features, recipe=recipe, pipeline=pipeline, by_fold=by_fold)


def _gather_others(
    gathered: LabelledFeatures,
    search: FrontEndSearch,
    others: Sequence[FrontEnd],
    on_progress: OnProgress,
) -> dict[FrontEnd, tuple[Floats, FeaturePipeline]]:
    """Rows of other front ends, of the same windows, and their pipelines."""
    montage, labels = gathered.montage, gathered.labels
    recipe = wide_recipe(gathered.recipe, search.front_ends)
    recipes = [
        one.recipe(gathered.recipe).model_copy(update={"window": recipe.window}) for one in others
    ]
    pipelines = [build_feature_pipeline(one, montage, whole_windows=True) for one in recipes]
    shared = SharedPass(montage, [one.signal for one in recipes])
    parts: list[list[Floats]] = [[] for _ in others]
    first = 0
    for number, recording in enumerate(gathered.recordings):
        session = virtual_session(recording, labels, recipe.window, gathered.names, LONG_CHUNK_S)
        inside = [shared.within(one, n) for n, one in enumerate(pipelines)]
        for one in inside:
            one.reset()
        jobs = [rows_job(one, search.every, recipe.coverage_floor) for one in inside]
        what = f"chosen front ends, recording {number + 1} of {len(gathered.recordings)}"
        chunks = chunks_of(session, recording.n_samples, on_progress, what)
        t_stop = gathered.features.t_stop[first : first + gathered.n_windows[number]]
        first += t_stop.size
        made: list[FeatureRows] = shared.run(chunks, session.markers, jobs)
        for part, of, pipeline in zip(parts, made, pipelines, strict=True):
            part.append(at_windows(of, t_stop, pipeline.n_features))
    return {
        one: (np.concatenate(part), pipeline)
        for one, part, pipeline in zip(others, parts, pipelines, strict=True)
    }


def _labelled_rows(
    labelled: Labelled, stops: Sequence[Times], tolerance_s: float
) -> tuple[Ints, Ints]:
    """Rows of windows that end then, by recording, which are labelled; and positions of these."""
    at, positions = [], []
    firsts = np.cumsum([0, *(each.size for each in stops)])
    for part in labelled.parts:  # a recording may have none
        number, t_s = int(labelled.recordings[part[0]]), labelled.t_s[part]
        t_stop = stops[number]
        nearest = np.abs(t_stop[:, None] - t_s).argmin(axis=1)
        near = np.flatnonzero(np.abs(t_s[nearest] - t_stop) <= tolerance_s)
        at.append(firsts[number] + near)
        positions.append(part[nearest[near]])
    found, unlike = np.unique(np.concatenate(positions), return_index=True)
    return np.concatenate(at)[unlike], found
