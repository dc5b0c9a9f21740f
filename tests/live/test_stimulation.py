"""A session blanks the pulses that a marker stream, or a channel of the signal, announces."""

import threading
import uuid
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts
from rtbrain.config import Recipe, StimulationSettings, parse_settings
from rtbrain.decoder import LinearReadout, write_bundle
from rtbrain.errors import SettingsError, StreamError
from rtbrain.live import source
from rtbrain.live.run import session_settings
from rtbrain.outlet import MarkerOutlet, SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(4, SFREQ_HZ)


def stimulation_bundle(folder, **step):
    values = {
        "mode": "linear",
        "signal": [
            {"stimulation": {"before_s": 0.004, "after_s": 0.01, "wait_s": 0.2} | step},
            {"quality": {}},
        ],
        "window": {"length_s": 0.75, "hop_s": 0.125},
        "spectrogram": {"form": "bands"},
        "encoder": {"n_pooled": 2},
    }
    recipe = parse_settings(values, Recipe, where="test")
    features = build_feature_pipeline(recipe, MONTAGE)
    weight = np.zeros((2, features.n_features), np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    parts = bundle_parts(recipe, None, features, readout, ("no", "yes"), MONTAGE, "nothing")
    manifest, tensors = parts
    write_bundle(folder, manifest, MONTAGE, tensors, {})


@pytest.mark.lsl
@pytest.mark.parametrize("by", ["markers", "channel", "nothing"])
def test_pulses_are_blanked_live_where_they_are_announced(tmp_path, by):
    step = {"channel": "STIM"} if by == "channel" else {"texts": ["pulse"]}
    stimulation_bundle(tmp_path / "bundle", **step)
    name = f"stim-{uuid.uuid4().hex[:12]}"
    sent = Montage((*MONTAGE.names, "STIM"), (*MONTAGE.kinds, "stim"), SFREQ_HZ)
    outlet = SignalOutlet(name, sent, source_id=name, origin="replay")
    markers = MarkerOutlet(f"{name}-pulses", source_id=f"{name}-pulses")
    brain, done = brain_like(4, int(8 * SFREQ_HZ), SFREQ_HZ), threading.Event()

    heard_first = []

    def send():
        outlet.wait_for_listeners(60)
        heard_first.append(markers.wait_for_listeners(0.0))
        start, n_sent = lsl_clock(), 0
        while not done.wait(0.02):
            numbers = np.arange(n_sent, int((lsl_clock() - start) * SFREQ_HZ))
            is_pulse = (numbers % 256 == 0) & (numbers > 1000)
            data = np.vstack([brain[:, numbers % brain.shape[1]], np.zeros(numbers.size)])
            data[:4, is_pulse] += 5000
            data[4] = (numbers % 256 < 3) & (numbers > 1000)
            outlet.push(Chunk(data.astype(np.float32), start + numbers / SFREQ_HZ))
            for number in numbers[is_pulse] if by == "markers" else ():
                markers.push("pulse", start + number / SFREQ_HZ)
            n_sent += numbers.size
        outlet.close()
        markers.close()

    thread = threading.Thread(target=send)
    thread.start()
    options = [] if by == "channel" else [f"stream.stimulation={name}-pulses"]
    try:
        with rtbrain.run(tmp_path / "bundle", name, name=name, allow_late=True, overrides=options):
            feed, decodes = rtbrain.listen(name, timeout_s=60), []
            while len(decodes) < 20:
                decode = next(feed)
                decodes += [decode] if decode.valid or "artifact" in decode.reason else []
    finally:
        done.set()
        thread.join()
    assert all(decode.valid for decode in decodes[8:]) == (by != "nothing")
    assert heard_first == [by != "channel"]  # before samples flow
    if by == "nothing":
        assert "an artifact on several contacts" in {decode.reason for decode in decodes}


@pytest.mark.lsl
def test_a_session_without_what_announces_the_pulses_is_refused(tmp_path):
    name = f"stim-{uuid.uuid4().hex[:12]}"
    outlet = SignalOutlet(name, MONTAGE, source_id=name, origin="replay")
    for step, error, match, options in (
        ({"texts": ["pulse"]}, SettingsError, "set stream.stimulation to the name", []),
        ({"texts": ["pulse"]}, StreamError, "no such", [f"stream.stimulation={name}-x"]),
        ({"channel": "STIM"}, StreamError, "blanks the pulses that it announces", []),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        stimulation_bundle(folder, **step)
        overrides = [*options, "stream.timeout_s=3"]
        session = rtbrain.run(folder, name, name=name, allow_late=True, overrides=overrides)
        with pytest.raises(error) as refused:
            session.wait(60)
        if match != "no such":
            assert match in str(refused.value)
    outlet.close()


@pytest.mark.parametrize("adapt", ["statistics", "supervised"])
def test_markers_are_missed_at_first_and_while_their_sender_alone_is_away(adapt):
    events, streams = [], {}

    class Stream:
        def __init__(self, name, *, on_event, **others):
            streams[name] = on_event

        def pull(self, timeout_s):
            return [(1.0, "pulse")]

        def close(self):
            pass

    overrides = ["stream.stimulation=pulses", "stream.markers=labels", f"adapt={adapt}"]
    settings = session_settings(None, stream="amp", overrides=overrides)
    stimulation = StimulationSettings(texts=("pulse",))
    recipe = SimpleNamespace(window=SimpleNamespace(hop_s=0.1), stimulation=stimulation)
    bundle = SimpleNamespace(recipe=recipe)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(source, "SupervisedMarkers", Stream)
        given = settings, bundle, None, lambda event, **_: events.append(event), bool, stack
        markers, missed = source.open_markers(*given)
    assert markers(0.0)[0] == (1.0, "pulse")
    assert [missed(), missed()] == [True, False]
    if adapt == "supervised":
        streams["labels"]("markers_lost", reason="gone")
        assert not missed()
    streams["pulses"]("markers_lost", reason="gone")
    if adapt == "supervised":
        streams["labels"]("markers_recovered", stream="labels")
    assert [missed(), missed()] == [True, True]
    streams["pulses"]("markers_recovered", stream="pulses")
    assert [missed(), missed()] == [True, False]  # samples of the outage may come after it
    assert events[-1] == "markers_recovered"
