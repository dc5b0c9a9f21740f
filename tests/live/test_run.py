"""A live session from Python: run in a thread, listened to, seen on the network, stopped."""

import gc
import math
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

import rtbrain
from rtbrain.decoder import read_bundle
from rtbrain.errors import SettingsError, StreamError
from rtbrain.live.listen import LiveDecode
from rtbrain.live.run import live_line, session_settings, supervise_decoder
from rtbrain.live.session import LiveSession
from tests.conftest import wait_until
from tests.stream.receiving import marker_source
from tests.test_live_equals_offline import DELAY_S

WITHIN_S = 60.0


@pytest.mark.lsl
def test_a_session_decodes_in_a_thread_and_is_listened_to_and_seen(bundle, name):
    events = []
    with rtbrain.run(
        bundle, name, name=name, on_event=lambda event, **fields: events.append(event)
    ) as session:
        with rtbrain.listen(name, timeout_s=WITHIN_S) as feed:
            heard = next(decode for decode in feed if decode.valid)
        wait_until(lambda: session.last.valid)
        used = {row.name: row.used_by for row in rtbrain.streams(4.0)}
        assert session.state == "live"
        assert gc.get_freeze_count() > 0  # no collection of all objects holds decodes up
        assert live_line(session).plain.startswith("live  ")
    assert session.state == "stopped"
    assert gc.get_freeze_count() == 0
    assert heard.values.keys() == {"rest", "speech"}
    assert heard.reason == ""
    assert sum(heard.values.values()) == pytest.approx(1, abs=1e-5)
    parts_s = heard.algorithmic_s + heard.transport_s + heard.compute_s
    assert parts_s == pytest.approx(heard.latency_s, abs=1e-6)
    assert heard.algorithmic_s == pytest.approx(DELAY_S)  # as the header of the outlet says
    assert session.last.algorithmic_s == pytest.approx(DELAY_S)
    assert used[name] == (f"decoded by {name}",)
    assert {"connected", "live", "valid", "stopped"} <= set(events)
    session.stop()


@pytest.mark.lsl
def test_a_session_detects_by_the_settings_and_says_that_they_are_not_calibrated(bundle, name):
    events = {}
    # The random readout crosses one half all the time.
    options = ["detect.speech.up=0.5", "detect.speech.refractory_s=0"]
    with rtbrain.run(
        bundle,
        name,
        name=name,
        on_event=lambda event, **fields: events.setdefault(event, fields),
        overrides=options,
    ) as session:
        marker_source(name=f"{name}-events", timeout_s=WITHIN_S).close()
        with rtbrain.detections(name, timeout_s=WITHIN_S) as feed:
            wait_until(lambda: "detected" in events)
            found = next(feed)
        told = session._metrics.summary(math.inf)["detections"]
    assert (found.label, found.calibrated, found.coverage) == ("speech", False, 1.0)
    assert found.t_neural < found.t_stop < found.t_ready
    assert found.drift != found.drift
    assert told["sent"] > 0
    assert (
        told["thresholds"]["speech"].items()
        >= {"up": 0.5, "down": None, "calibrated": False}.items()
    )
    told = {"calibrated": {"speech": False}, "to": f"{name}-events", "sending": True}
    assert events["detecting"] == told
    assert events["detected"].items() >= {"label": "speech", "calibrated": False}.items()


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("detect.speach.up=0.5", "no output 'speach': the decoder has rest, speech"),
        ("detect.speech.up=1.5", "expected thresholds above 0 and at most 1"),
        ("preset=few_alarms", "the decoder proposes no thresholds: fit it with --detect"),
    ],
)
def test_detections_that_do_not_suit_the_decoder_are_refused_before_the_stream_is_looked_for(
    bundle, option, says
):
    session = rtbrain.run(bundle, "absent", name=uuid.uuid4().hex, overrides=[option])
    with pytest.raises(SettingsError, match=says):
        session.wait()


@pytest.mark.lsl
def test_a_listener_ends_with_its_decoder_and_knows_why_a_decode_is_invalid(bundle, name):
    session = rtbrain.run(bundle, name, name=name, overrides=["max_latency_s=0.001"])
    feed = rtbrain.listen(name, timeout_s=WITHIN_S)
    stale = next(decode for decode in feed if decode.reason.startswith("stale: "))
    session.stop()
    assert not any(decode.valid for decode in (stale, *feed))


@pytest.mark.lsl
def test_a_session_takes_its_limit_of_latency_from_the_settings(bundle, name):
    with rtbrain.run(bundle, name, name=name, overrides=["max_latency_s=1e-6"]) as session:
        wait_until(lambda: session.last and session.last.reason.startswith("stale"))
        assert session.totals.n_decodes == 0


@pytest.mark.lsl
def test_a_listener_that_is_closed_ends(bundle, name):
    with rtbrain.run(bundle, name, name=name), rtbrain.listen(name, timeout_s=WITHIN_S) as feed:
        next(feed)
        feed.close()
        assert len(list(feed)) < 10


@pytest.mark.lsl
def test_a_callers_stop_ends_a_session(bundle, name):
    stop = threading.Event()
    session = rtbrain.run(bundle, name, name=name, stop=stop.is_set)
    wait_until(lambda: session.last is not None)
    assert not session.wait(0.0)
    stop.set()
    assert session.wait(WITHIN_S)


@pytest.mark.lsl
def test_a_session_that_is_to_adapt_needs_the_stream_of_its_labels(bundle, name):
    session = rtbrain.run(bundle, name, name=name, overrides=["adapt=supervised"])
    with pytest.raises(SettingsError, match=r"marker stream \(--markers\)"):
        session.wait(WITHIN_S)


@pytest.mark.lsl
def test_errors_are_those_of_rtbrain_and_are_raised_once(bundle, name):
    with pytest.raises(SettingsError, match=f"{name}.*rtbrain decode --stream"):
        rtbrain.run(bundle)
    with pytest.raises(SettingsError, match=r"stream\.timeout_s"):
        rtbrain.run(bundle, name, overrides=["stream.timeout_s=-1"])
    absent = rtbrain.run(bundle, "absent", name=f"{name}-x", overrides=["stream.timeout_s=1"])
    with pytest.raises(StreamError, match="no LSL stream with name 'absent'"):
        absent.wait()
    assert absent.state == "failed"
    assert absent.wait()
    with pytest.raises(StreamError, match=f"{name}-none-decode"):
        rtbrain.listen(f"{name}-none", timeout_s=0.5)
    with rtbrain.run(bundle, name, name=name) as session:
        wait_until(lambda: session.last is not None)
        n_searches = _searches()
        with pytest.raises(SettingsError, match=f"{name}-decode already"):
            rtbrain.run(read_bundle(bundle), name, name=name).wait()
        wait_until(lambda: _searches() == n_searches)


def _searches():
    return sum(thread.name == "rtbrain-connection" for thread in threading.enumerate())


@pytest.mark.lsl
def test_an_mne_realtime_client_is_decoded(bundle, name, tmp_path: Path):
    settings = tmp_path / "live.yaml"
    settings.write_text(f"stream: {{mne_client: {name}, timeout_s: 30}}\n")
    with rtbrain.run(bundle, name=name, config=str(settings)) as session:
        wait_until(lambda: session.wait(0.0) or (session.last is not None and session.last.valid))
    assert session.totals.n_decodes > 0


@pytest.mark.lsl
def test_an_mne_realtime_client_without_a_stream_is_refused(bundle, tmp_path: Path):
    settings = tmp_path / "live.yaml"
    settings.write_text("stream: {mne_client: nobody, timeout_s: 1}\n")
    with pytest.raises(StreamError, match="no LSL stream with source_id 'nobody'"):
        rtbrain.run(bundle, name=uuid.uuid4().hex, config=str(settings)).wait()


def test_those_who_listen_later_are_told_of_hum_that_is_not_removed(bundle):
    session, sent = LiveSession(session_settings(None, stream="x"), read_bundle(bundle)), []
    session._status = SimpleNamespace(emit=lambda event, **fields: sent.append((event, fields)))
    session.emit("mains", reason="hum at 50 Hz")
    assert not session._is_over()
    assert not session._is_over()
    summary = {"state": "starting", "bad": {}, "mains": "hum at 50 Hz", "drift": "", "reason": ""}
    assert [event for event, _ in sent] == ["mains", "summary"]  # and no other within 2 s
    assert sent[-1] == ("summary", summary)


@pytest.mark.parametrize("line", ["rts", "dtr"])
def test_a_wire_whose_line_each_start_raises_is_refused_together_with_restart(line):
    overrides = ("outputs.serial.port=COM3", f"outputs.serial.drives={line}")
    settings = session_settings(None, stream="x", bundle=Path("absent"), overrides=overrides)
    with pytest.raises(SettingsError, match=f"drives {line} with --restart: each start opens"):
        supervise_decoder(settings, None)


def test_a_line_says_state_decision_latency_and_losses(bundle):
    session = LiveSession(session_settings(None, stream="x"), read_bundle(bundle))
    assert live_line(session).plain == "starting  lost 0 samples, skipped 0 windows"
    session.totals.n_lost = 3
    session.last = decode_that_is(valid=False)
    assert live_line(session).plain.endswith(
        "no valid decode: filling  lost 3 samples, skipped 0 windows"
    )
    session.last = decode_that_is(valid=True)
    assert "speech 0.80  latency 0.250 s" in live_line(session).plain


def decode_that_is(valid):
    values = {"rest": 0.2, "speech": 0.8}
    return LiveDecode(values, valid, "" if valid else "filling", 1.0, 9.0, 0.25, 0.2, 0.03, 0.02)
