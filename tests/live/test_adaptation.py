"""A session whose decoder follows the labels of markers, and the versions that it leaves."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.config import DecodeSettings, parse_settings
from rtbrain.decoder import Bundle, Memory, read_bundle, versions
from rtbrain.errors import BundleError, SettingsError
from rtbrain.live import session
from rtbrain.live.detections import session_detector
from rtbrain.live.play import CollectingSink, VirtualSession
from rtbrain.live.session import LiveSession
from rtbrain.live.source import adapted
from rtbrain.outlet import MarkerOutlet
from rtbrain.recording.recording import Recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Floats
from tests.apps.program import rtbrain as program
from tests.conftest import wait_until
from tests.learn.refit.test_run import HZ, folder

__all__ = ["folder"]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return rtbrain.read("synthetic:3,duration_s=45,n_channels=8,gain_drift_db=12", sfreq_hz=HZ)


def played(
    bundle: Bundle, at: Path, recording: Recording, chunk_samples: int, adapt: str = "supervised"
) -> tuple[Floats, list[tuple[str, dict[str, Any]]]]:
    """Decodes of a session by these settings, and what it reports."""
    values = {"stream": {"name": "amplifier"}, "bundle": str(at), "adapt": adapt}
    settings = parse_settings(values, DecodeSettings, where="test")
    source = ReplaySource(recording, chunk_samples=chunk_samples, names=bundle.montage.names)
    virtual, kept = VirtualSession(source, recording.events), CollectingSink()
    events: list[tuple[str, dict[str, Any]]] = []
    with ExitStack() as stack:
        stages, markers = adapted(
            settings,
            bundle,
            build_decoder(bundle, bundle.montage),
            virtual.markers,
            lambda event, **fields: events.append((event, fields)),
            stack,
        )
        build_live(
            stages,
            virtual,
            (kept,),
            kept,
            latest_only=False,
            coverage_floor=0.3,
            clock=virtual.clock,
            markers=markers,
        ).run(lambda: False)
    return np.array([decode.values for decode in kept.decodes]), events


def test_a_session_that_adapts_leaves_a_version_and_the_bundle_as_it_was(
    folder: Path, recording: Recording
) -> None:
    bundle = read_bundle(folder)
    adapting, events = played(bundle, folder, recording, 64)
    plain, none = played(bundle, folder, recording, 64, "statistics")
    again, _ = played(bundle, folder, recording, 1000)
    np.testing.assert_array_equal(adapting, again)  # whole or in pieces
    assert not none
    changed = np.flatnonzero((adapting != plain).any(axis=1) & np.isfinite(plain[:, 0]))
    assert changed[0] * 0.25 > 20, "the normaliser forgets the last session first"
    assert [name for name, _ in events] == ["adapted"]
    assert events[0][1]["folder"] == "0001"
    assert "labelled windows" in events[0][1]["reason"]
    version = read_bundle(folder / "versions" / "0001")
    assert version.manifest.history[-1].parent == bundle.id == read_bundle(folder).id
    assert version.id.startswith(events[0][1]["version"])
    assert program("inspect", folder, "--history").stdout.count("online") == 2


def test_what_cannot_be_saved_is_said_and_decoding_goes_on(
    folder: Path, recording: Recording, tmp_path: Path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    values, events = played(read_bundle(folder), taken, recording, 1000)
    assert len(values) > 150
    ((name, fields),) = events
    assert name == "not_saved"
    assert "file" in fields["reason"]


def test_a_version_whose_name_was_taken_meanwhile_stops_nothing(
    folder: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*of: object) -> str:
        raise BundleError("0001 already exists")

    monkeypatch.setattr(versions, "write_bundle", taken)
    _, events = played(read_bundle(folder), folder, recording, 1000)
    assert events == [("not_saved", {"reason": "0001 already exists"})]


def test_thresholds_of_a_readout_that_adapts_are_not_calibrated(folder: Path) -> None:
    plain = read_bundle(folder)
    chosen = {"calibrated": True, "presets": {"balanced": {"settings": {"up": 0.5}}}}
    bundle = replace(plain, report=plain.report | {"detections": {"speech": chosen}})
    for adapt, calibrated in (("statistics", True), ("supervised", False)):
        values = {"stream": {"name": "amplifier"}, "adapt": adapt, "preset": "balanced"}
        settings = parse_settings(values, DecodeSettings, where="test")
        assert session_detector(settings, bundle).calibrated == {"speech": calibrated}


def test_labels_and_a_memory_are_needed(folder: Path) -> None:
    bundle = read_bundle(folder)
    settings = parse_settings(
        {"stream": {"name": "amplifier"}, "adapt": "supervised"}, DecodeSettings, where="test"
    )
    decoder = build_decoder(bundle, bundle.montage)
    with ExitStack() as stack:
        with pytest.raises(SettingsError, match="marker stream"):
            adapted(settings, bundle, decoder, None, lambda event, **fields: None, stack)
        for name in [name for name in bundle.tensors if name.startswith("memory.")]:
            del bundle.tensors[name]
        with pytest.raises(SettingsError, match="refit it --with"):
            adapted(settings, bundle, decoder, lambda timeout_s: [], print, stack)


@pytest.mark.lsl
def test_a_session_learns_from_its_markers_and_forgets_the_label_once_their_stream_is_gone(
    bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, found, events = read_bundle(bundle), [], []
    wired: dict[str, Any] = {}
    real_markers, real_live = session.open_markers, session.build_live

    def open_markers(*of: Any) -> Any:
        found.append(real_markers(*of))
        return found[0]

    def build(stages: Any, *of: Any, **given: Any) -> Any:
        wired.update(given, stage=stages[1], readout=stages[1].readout)
        return real_live(stages, *of, **given)

    monkeypatch.setattr(session, "open_markers", open_markers)
    monkeypatch.setattr(session, "build_live", build)
    features = np.random.default_rng(0).normal(size=(60, opened.tensors["readout.weight"].shape[1]))
    scaling = features.mean(axis=0), features.std(axis=0)
    memory = Memory.of(features.astype(np.float32), np.eye(2)[np.arange(60) % 2], scaling, 1.0, 1.0)
    opened = replace(opened, tensors=opened.tensors | memory.as_tensors())
    markers = f"{name}-labels"
    outlet = MarkerOutlet(markers, source_id=markers)
    values = {"stream": {"name": name, "markers": markers}, "adapt": "supervised"}
    values["outlet"] = {"name": name}
    settings = parse_settings(values, DecodeSettings, where="test")
    on_event = lambda event, **_: events.append(event)  # noqa: E731
    with LiveSession(settings, opened, allow_late=True, on_event=on_event):
        wait_until(lambda: wired)
        outlet.push("speech", lsl_clock())
        wait_until(lambda: wired["readout"]._heard)
        outlet.close()
        wait_until(lambda: "markers_lost" in events)
        wait_until(lambda: not wired["readout"]._heard)
    assert wired["markers"] == wired["stage"].pull_labels  # for windows and stimulation, besides
    # Of stimulation it is known, too, when markers may be missing.
    assert wired["missed"] is found[0][1]
