"""`rtbrain leaderboard synthetic`: sessions, features, cells, and what they show."""

import math
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from rtbrain.errors import SettingsError
from rtbrain.files import parse_json, require_writable_file, strict_json, write_atomically
from rtbrain.learn.leaderboard.cells import (
    ACROSS_SESSIONS,
    ACROSS_SUBJECTS,
    WITHIN,
    Cell,
    Fold,
    Items,
    Trained,
    other_folds,
    reader,
    score_fold,
    task_items,
    train,
    within_folds,
)
from rtbrain.learn.leaderboard.film import QUARTERS, TASKS, VALUES
from rtbrain.learn.leaderboard.report import draw_results, print_results, results_report
from rtbrain.learn.leaderboard.results import Results
from rtbrain.learn.leaderboard.rows import (
    EncoderRow,
    load_rows,
    n_passes,
    session_features,
)
from rtbrain.learn.leaderboard.sessions import (
    N_SESSIONS,
    Participant,
    Session,
    draw_participants,
    play_session,
)
from rtbrain.terminal import OnProgress, no_progress, show_progress
from rtbrain.types import Floats

_SECONDS = (120.0, 7200.0)
_AHEAD = 2  # participants that are prepared while one is scored
_DONOR = 1  # the participant whose second session trains for all others


def run_synthetic(
    encoders: Sequence[str], seconds: float, json: Path | None, png: Path | None
) -> bool:
    """Rank front ends and encoders, print and write it; whether the known answers were met.

    The file `json` is written after each patient, and a run goes on from what it holds.
    """
    if not _SECONDS[0] <= seconds <= _SECONDS[1]:
        raise SettingsError(
            f"--minutes: expected {_SECONDS[0] / 60:g} to {_SECONDS[1] / 60:g}, got "
            f"{seconds / 60:g}"
        )
    for path, flag in ((json, "--json"), (png, "--png")):
        if path is not None:
            require_writable_file(path, flag)
    rows = load_rows(encoders)
    settings = {"seconds": seconds, "encoders": {row.name: row.weights for row in rows}}
    cells = _stored(json, settings)
    scored = {cell.subject for cell in cells}
    console = Console()
    # Two threads of ours fill two cores: more within each product would only wait for them.
    with threadpool_limits(1), show_progress(console) as on_progress:
        for found in score_participants(draw_participants(), rows, seconds, on_progress, scored):
            cells += found
            if json is not None:
                made = {"cells": [asdict(cell) for cell in cells]}
                write_atomically(json, strict_json(settings | made))
    results = Results(cells, seconds)
    print_results(console, results)
    if json is not None:
        write_atomically(json, strict_json(settings | results_report(results)))
    if png is not None:
        draw_results(png, results)
    return results.met


def _stored(path: Path | None, settings: dict[str, Any]) -> list[Cell]:
    """Cells that a file holds of an earlier run with these settings."""
    if path is None or not path.exists() or not path.stat().st_size:
        return []
    try:
        found = parse_json(path.read_bytes())
        if {key: found[key] for key in settings} == settings:
            rows: list[dict[str, Any]] = [
                {key: math.nan if value is None else value for key, value in one.items()}
                for one in found["cells"]
            ]
            return [Cell(**row) for row in rows]
    except (ValueError, KeyError, TypeError):
        pass
    raise SettingsError(
        f"--json {path}: holds no run of {settings['seconds'] / 60:g} minutes with these encoders "
        "to go on with: name another file"
    )


def score_participants(
    participants: Sequence[Participant],
    rows: Sequence[EncoderRow],
    seconds: float,
    on_progress: OnProgress = no_progress,
    scored: Collection[int] = (),
) -> Iterator[list[Cell]]:
    """Cells of each participant but those that were `scored`; the next are prepared meanwhile.

    Folds that lack a class, as short sessions have them, are left out.
    """
    donor: dict[str, Trained] = {}
    order = [one for one in participants if one.number not in {_DONOR, *scored}]
    if order or _DONOR not in scored:  # it comes first, and trains for the others
        order.insert(0, participants[_DONOR])
    for number, (sessions, features) in enumerate(_prepared(order, rows, seconds, on_progress)):
        own = sessions[0].participant.number
        by_focus = [_by_focus(*pair) for pair in zip(sessions, features, strict=True)]
        cells: list[Cell] = []
        for task in (*TASKS, *QUARTERS, *VALUES):
            items = [task_items(session, task) for session in sessions]
            if own not in scored:
                cells += _within_subject(task, items, features)
            if own == _DONOR:
                donor[task] = train(items[-1], by_focus[-1])
                continue
            for target, of_target in zip(items, by_focus, strict=True):
                folds = other_folds(donor[task].items, target)
                cells += _scored(folds, ACROSS_SUBJECTS, task, donor[task], of_target)
        on_progress(number + 1, len(order), "readouts of patients")
        if own not in scored:
            yield cells


def _prepared(
    participants: Sequence[Participant],
    rows: Sequence[EncoderRow],
    seconds: float,
    on_progress: OnProgress,
) -> Iterator[tuple[list[Session], list[dict[str, Floats]]]]:
    """Sessions of each participant and their features, made while others are scored."""
    done, stopped = count(1), threading.Event()
    total = len(participants) * N_SESSIONS * seconds * (1 + n_passes(rows))

    def on_second() -> None:
        if stopped.is_set():
            raise CancelledError
        on_progress(next(done), total, "signals and features")

    def prepare(one: Participant) -> tuple[list[Session], list[dict[str, Floats]]]:
        sessions, features = [], []
        for number in range(N_SESSIONS):
            session, data = play_session(one, number, seconds, on_second)
            sessions.append(session)
            features.append(session_features(session, data, rows, on_second))
        return sessions, features

    with ThreadPoolExecutor(_AHEAD, "prepare") as pool:
        ahead = deque(pool.submit(prepare, one) for one in participants[:_AHEAD])
        try:
            for following in [*participants[_AHEAD:], *[None] * len(ahead)]:
                ready = ahead.popleft().result()
                if following is not None:
                    ahead.append(pool.submit(prepare, following))
                yield ready
        finally:  # whoever interrupts does not wait for the rest
            stopped.set()


def _within_subject(
    task: str, items: Sequence[Items], features: Sequence[dict[str, Floats]]
) -> Iterator[Cell]:
    """Cells within each session, and across the two."""
    for here, there in ((0, 1), (1, 0)):
        for fold in filter(lambda one: one.whole, within_folds(items[here])):
            trained = train(fold.train, features[here])
            yield from _scored([fold], WITHIN, task, trained, features[here])
        trained = train(items[there], features[there])
        folds = other_folds(items[there], items[here])
        yield from _scored(folds, ACROSS_SESSIONS, task, trained, features[here])


def _scored(
    folds: Iterable[Fold], regime: str, task: str, trained: Trained, features: dict[str, Floats]
) -> Iterator[Cell]:
    read = {name: reader(values) for name, values in features.items()}
    for fold in filter(lambda one: one.whole, folds):
        yield from score_fold(fold, regime, task, trained, read)


def _by_focus(session: Session, features: dict[str, Floats]) -> dict[str, Floats]:
    """Means over the contacts at each focus, which every participant has."""
    foci = session.participant.foci
    return {
        name: np.stack([values[:, foci == focus].mean(axis=1) for focus in np.unique(foci)], axis=1)
        for name, values in features.items()
    }
