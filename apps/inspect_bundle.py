"""`rtbrain inspect`: verify a decoder bundle and print its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rtbrain.config import WindowSettings
from rtbrain.decoder import read_bundle
from rtbrain.decoder.versions import versions
from rtbrain.errors import list_words
from rtbrain.learn.detection import written
from rtbrain.learn.report.score_table import describe_lags, number, report_tables, verdict_lines
from rtbrain.learn.verdict import decisive, describe_null
from rtbrain.terminal import table


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    history: Annotated[
        bool, typer.Option("--history", help="List its versions, from the fit on.")
    ] = False,
) -> None:
    """Verify a decoder bundle and show what it holds."""
    if history:
        names = ("version", "id", "made from", "how", "")
        listed = [
            (where, own[:12], parent[:12], kind, about)
            for where, own, parent, kind, about in versions(bundle)
        ]
        Console().print(table(f"{bundle.name}: versions, all verified", names, listed, n_names=5))
        return
    found = read_bundle(bundle)
    manifest, recipe = found.manifest, found.recipe
    rows = {
        "id": found.id,
        "mode": f"{manifest.mode}, encoder {manifest.encoder_state}",
        "outputs": f"{', '.join(manifest.labels)} ({manifest.task})",
        "channels": f"{found.montage.n_channels}: {list_words(found.montage.names)}",
        "positions": found.montage.space or "none",
        "rate": f"{manifest.sfreq_hz:g} Hz",
        "window": _window(recipe.window),
        "describes": _moment(manifest.neural_delay_s),
        "signal chain": " > ".join(_step(step) for step in manifest.recipe.get("signal", ())),
        "detects": "; ".join(
            f"{label}: {', '.join(f'{key} {value}' for key, value in written(one).items())}"
            for label, one in manifest.detect.items()
        )
        or "nothing",
        "spectrogram": recipe.spectrogram.form,
        "trained on": manifest.trained_on,
        "trained by": manifest.trained_by,
        "licence": manifest.licence,
        **_reported(found.report),
    }
    console = Console()
    console.print(table(f"{bundle.name}: verified", ("", ""), rows.items(), n_names=2))
    for one in report_tables(found.report):
        console.print(table(*one, n_names=len(one.headings), lines=True))


def _reported(report: Mapping[str, Any]) -> dict[str, str]:
    """A report in lines: plain values, and the pooled scores of the decoder and each control."""
    lines = {
        f"report: {key}": str(value)
        for key, value in report.items()
        if not isinstance(value, dict | list)
    }
    for name, scores in report.get("scores", {}).items():
        pooled = (f"{key} {number(value)}" for key, value in scores["pooled"].items())
        lines[f"held out: {name}"] = ", ".join(pooled).replace("_", " ")
    if "simplest" in report:
        lines["simplest decoder"] = report["simplest"]["text"]
    if verdict := verdict_lines(report):
        lines["verdict"] = " ".join(verdict)
    null = report.get("null_distribution", {})
    if "how" in null:
        lines[null["how"]] = describe_null(null, decisive(report["task"]), report.get("clock"))
    if latency := describe_lags(report):
        lines["latency"] = latency
    return lines


def _moment(delay_s: float | None) -> str:
    return (
        "the middle of what it reads"
        if delay_s is None
        else f"{delay_s:.3g} s before the window's end"
    )


def _step(step: dict[str, object]) -> str:
    (key, value), *_ = step.items()
    if isinstance(value, dict):
        value = ", ".join(f"{name} {part}" for name, part in value.items())
    return f"{key} ({value})"


def _window(window: WindowSettings) -> str:
    if window.hop_s is not None:
        return f"{window.length_s:g} s, hop {window.hop_s:g} s"
    return f"{window.length_s:g} s, from {window.offset_s:g} s after each marker"
