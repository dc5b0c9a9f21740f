"""Pictures of a session: what happened along its time, and how late decodes were."""

from typing import Any

import numpy as np

from rtbrain.learn.report.figures import COLOURS, GREY, new_axes, new_figure, png
from rtbrain.learn.session.report import FLAG, SessionReport, invalid_spans
from rtbrain.learn.session.timeline import RecordedDecodes, SessionTimeline, Span
from rtbrain.learn.session.words import clock
from rtbrain.types import Floats

_BLUE, _RED = COLOURS[0], "#b4201a"
_MOST_CONTACTS = 8
_NOT_LIVE = ("stalled", "lost", "refused", "waiting", "connecting", "warming")
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400)
_MOST_POINTS = 4000  # of a curve; more cannot be seen


def draw_session(report: SessionReport) -> dict[str, bytes]:
    """PNGs by name: ``timeline.png``, and ``latency.png`` where there are decodes."""
    pictures = {"timeline.png": png(_timeline(report.timeline), dpi=130)}
    decodes = report.timeline.decodes
    if decodes is not None:
        ages_ms = 1000 * decodes.age_s[decodes.valid & np.isfinite(decodes.age_s)]
        if ages_ms.size:
            pictures["latency.png"] = png(_latency(ages_ms))
    return pictures


def _timeline(timeline: SessionTimeline) -> Any:
    decodes = timeline.decodes
    drifts = decodes is not None and bool(np.isfinite(decodes.drift).any())
    lanes = _lanes(timeline)
    heights = [2.2] * (decodes is not None) + [1.0] * drifts + [0.26 * len(lanes) + 0.3]
    figure = new_figure(10.0, sum(heights) + 0.5)
    every = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    axes = list(every[:, 0])
    if decodes is not None:
        _draw_decodes(axes[0], timeline, decodes)
        if drifts:
            _draw_drift(axes[1], decodes)
    _draw_lanes(axes[-1], lanes)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.margins(x=0)
    axes[-1].set_xlim(0, timeline.duration_s)
    ticks = _whole_times(timeline.duration_s)
    axes[-1].set_xticks(ticks, [clock(tick) for tick in ticks])
    axes[-1].set_xlabel("time since the first sample, min:s")
    figure.align_ylabels(axes)
    return figure


def _whole_times(duration_s: float) -> list[float]:
    """Moments to write below the picture, 10 at most."""
    step_s = next((step for step in _STEPS_S if duration_s < 10 * step), duration_s / 10)
    return [float(tick) for tick in np.arange(0, duration_s, step_s)]


def _drawn_rows(decodes: RecordedDecodes) -> dict[int, str]:
    """Outputs that are drawn, of two classes the second, and their colours."""
    two = decodes.unit == "probability" and len(decodes.labels) == 2
    rows = [1] if two else range(len(decodes.labels))
    return {row: COLOURS[number % len(COLOURS)] for number, row in enumerate(rows)}


def _draw_decodes(axes: Any, timeline: SessionTimeline, decodes: RecordedDecodes) -> None:
    """Outputs, hatched where nothing was valid."""
    values = np.where(decodes.valid[:, None], decodes.values, np.nan)
    step = max(1, values.shape[0] // _MOST_POINTS)
    for row, colour in _drawn_rows(decodes).items():
        label = _plain(decodes.labels[row])
        axes.plot(decodes.t_stop[::step], values[::step, row], lw=0.7, color=colour, label=label)
    for span in invalid_spans(timeline, decodes):
        axes.axvspan(
            span.start_s, span.stop_s, facecolor="none", edgecolor=GREY, hatch="////", lw=0
        )
    for t, fields in timeline.detections:
        if isinstance(height := fields.get("value"), int | float):
            axes.plot([t], [height], marker="v", color=_BLUE, ms=6, clip_on=False)
    axes.set_ylabel("decode")
    if decodes.unit == "probability":
        axes.set_ylim(0, 1.02)
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1.03), "borderaxespad": 0}
    axes.legend(fontsize=8, frameon=False, ncols=6, **above)


def _draw_drift(axes: Any, decodes: RecordedDecodes) -> None:
    step = max(1, decodes.drift.size // _MOST_POINTS)
    axes.plot(decodes.t_stop[::step], decodes.drift[::step], lw=0.8, color="black")
    axes.axhline(FLAG, color=_RED, lw=0.8, ls="--")
    axes.set_ylabel("drift")
    axes.set_ylim(bottom=0)


def _lanes(timeline: SessionTimeline) -> list[tuple[str, list[Span], str]]:
    """Rows of the timeline, from the top: name, stretches or moments, colour."""
    lanes = [("gaps of the signal", timeline.gaps, _RED)]
    trouble = [span for span in timeline.states if span.text in _NOT_LIVE]
    lanes.append(("stream not live", trouble, _RED))
    if timeline.decodes is not None:
        lanes.append(("no valid decode", invalid_spans(timeline, timeline.decodes), GREY))
    bad = list(timeline.bad.items())
    for contact, spans in bad[:_MOST_CONTACTS]:
        lanes.append((f"{contact} bad", spans, COLOURS[4]))
    if rest := bad[_MOST_CONTACTS:]:
        merged = [span for _, spans in rest for span in spans]
        lanes.append((f"{len(rest)} more contacts", merged, COLOURS[4]))
    for stream in dict.fromkeys(name for _, name, _ in timeline.markers):
        lanes += _marked(timeline, stream)
    if timeline.detections:
        lanes.append(("detected", [Span(t, t) for t, _ in timeline.detections], _BLUE))
    if sent := [Span(t, t) for t, fields in timeline.triggers if fields.get("sent")]:
        lanes.append(("triggers sent", sent, _BLUE))
    return lanes


def _marked(timeline: SessionTimeline, stream: str) -> list[tuple[str, list[Span], str]]:
    """Rows of a marker stream: a class from its marker to the next one, all others as moments."""
    found = [(t, text) for t, name, text in timeline.markers if name == stream]
    stops = [t for t, _ in found[1:]] + [timeline.duration_s]
    decodes, lanes = timeline.decodes, []
    classes = decodes.labels if decodes is not None and decodes.unit == "probability" else ()
    for row, label in enumerate(classes):
        spans = [Span(t, end) for (t, text), end in zip(found, stops, strict=True) if text == label]
        if spans and decodes is not None:
            lanes.append((f"{label}, {stream}", spans, _drawn_rows(decodes).get(row, GREY)))
    if moments := [Span(t, t, text) for t, text in found if text not in classes]:
        lanes.append((stream, moments, "black"))
    return lanes


def _draw_lanes(axes: Any, lanes: list[tuple[str, list[Span], str]]) -> None:
    for row, (_, spans, colour) in enumerate(lanes):
        axes.axhline(row, color="#e4e4e4", lw=0.6, zorder=0)
        moments = [span.start_s for span in spans if span.stop_s <= span.start_s]
        axes.plot(moments, [row] * len(moments), "|", color=colour, ms=8, mew=0.9)
        bars = [
            (one.start_s, one.stop_s - one.start_s) for one in spans if one.stop_s > one.start_s
        ]
        axes.broken_barh(bars, (row - 0.3, 0.6), color=colour, lw=1.0, edgecolor=colour)
    axes.set_yticks(range(len(lanes)), [_plain(_short(name)) for name, _, _ in lanes], fontsize=8)
    axes.set_ylim(len(lanes) - 0.4, -0.6)


def _latency(ages_ms: Floats) -> Any:
    figure, axes = new_axes(4.6, 3.0)
    high = float(np.quantile(ages_ms, 0.999)) * 1.05
    axes.hist(np.minimum(ages_ms, high), bins=60, color=_BLUE)
    for share, style, what in ((0.5, "-", "half"), (0.99, "--", "99%")):
        value = float(np.quantile(ages_ms, share))
        label = f"{what} within {value:.0f} ms"
        axes.axvline(value, color="black", lw=0.9, ls=style, label=label)
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    axes.set(xlabel="from the brain to the decode, ms", ylabel="decodes")
    return figure


def _plain(name: str) -> str:
    """A name that somebody else chose, which is no formula."""
    return name.replace("$", r"\$")


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 + 1 :]}"
