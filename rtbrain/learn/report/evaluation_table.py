"""The table of an evaluation: the decoder beside its controls, time alone and shifted labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from rtbrain.learn.fit.gather import CLOCK, OLD, RANDOM
from rtbrain.learn.report.score_table import TITLES, ScoreTable, null_row, number, verdict_lines
from rtbrain.learn.verdict import describe_null

_WITH_LOST = "valid decodes,\nsamples lost"
_ABSENT = "not in the bundle"


def evaluation_scores(
    figures: Mapping[str, Mapping[str, Any]],
    bundle_id: str,
    encoder_state: str | None = None,
) -> ScoreTable:
    """The decoder, its controls, time alone and shifted labels as a table.

    Of controls that have no scores it says why, by the state of the decoder's encoder: none,
    untrained or pretrained.
    """
    first = next(iter(figures.values()))
    keys = [key for key in TITLES if key in first]
    headings = [TITLES[key] for key in keys]
    if "events" in first:
        headings += ["events found", "false alarms\nan hour", "delay,\nmedian, s"]
    cells, values = {}, {}
    for name, one in figures.items():
        of_events = _event_cells(one["events"]) if "events" in first else ()
        counts = f"{one['valid']} of {one['decodes']}"
        if one["lost_samples"] is not None:
            counts += f"\n{one['lost_samples']} lost"
        cells[name] = (*_score_cells(one, keys), *of_events, counts)
        values[name] = dict(one)
    blank = [""] * (len(headings) - len(keys) + 1)
    if encoder_state is not None:
        of_random = {"none": "no encoder", "untrained": "is the decoder"}
        absent = {OLD: _ABSENT, RANDOM: of_random.get(encoder_state, _ABSENT)}
        for name in (one for one in absent if one not in figures):
            cells[name], values[name] = (*(absent[name] for _ in keys), *blank), {}
    caption = f"{TITLES[keys[0]]} {first['interval_95'][keys[0]]['text']}."
    if clock := first.get("clock"):
        cells[CLOCK], values[CLOCK] = (*_score_cells(clock, keys), *blank), clock
    if null := first.get("null_distribution"):
        texts, values[null["how"]] = null_row(null, keys)
        cells[null["how"]] = (*texts, *blank)
        caption += f" {describe_null(null, keys[0], clock)}"
    events = first.get("events", {})
    return ScoreTable(
        "\n".join((*verdict_lines(first), "held out, decoded as if live; one run")),
        (*headings, "valid decodes" if first["lost_samples"] is None else _WITH_LOST),
        cells,
        values,
        {"bundle": bundle_id, **figures},
        "\n".join((caption, *(event["text"] for event in events.values()))),
    )


def _score_cells(scores: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Scores with 95 % intervals, two lines each."""
    briefs = [scores["interval_95"][key]["brief"] for key in keys]
    return [brief.replace(", at", "\nat").replace(" [", "\n[") for brief in briefs]


def _event_cells(events: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Events found, false alarms and delays with 95 % intervals, two lines per class."""
    lines = [
        (
            f"{one['n_found']} of {one['n_events']}{f' {name}' if len(events) > 1 else ''}\n"
            + _bounds(one["hit_rate_interval_95"], 2),
            f"{number(one['false_alarms_per_hour'], 1)}\n"
            + _bounds(one["false_alarms_per_hour_interval_95"], 1),
            f"{number(one['delay_s'], 2)}\n{_bounds(one['delay_interval_95'], 2)}",
        )
        for name, one in events.items()
    ]
    return tuple("\n".join(column) for column in zip(*lines, strict=True))


def _bounds(interval: tuple[float, float], decimals: int) -> str:
    low, high = interval
    if low != low:
        return ""
    return f"[{low:.{decimals}f}, {high:.{0 if high >= 100 else decimals}f}]"
