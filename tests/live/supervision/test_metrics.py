"""Metrics for Prometheus: what they count, their format, and that asking costs no decode."""

import math
import re
import socket
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from rtbrain.config import DecodeSettings, OutletSettings, StreamSettings
from rtbrain.errors import SettingsError
from rtbrain.live.supervision.metrics import Metrics, metrics_endpoint
from rtbrain.live.supervision.turn import Turn
from rtbrain.types import Decode, Quality
from tests.conftest import wait_until

_LINE = re.compile(
    r'rtbrain_[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})?'
    r" (NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
)


def decode_of(*, age_s=0.15, valid=True, transport_s=0.004, compute_s=0.001, drift=0.25):
    t_stop = 100.0
    quality = Quality(np.array([True, False]), valid=valid, reason="" if valid else "filling")
    return Decode(
        np.zeros(2, np.float32),
        t_stop + transport_s + compute_s - age_s,
        t_stop,
        quality,
        t_stop + transport_s,
        t_stop + transport_s + compute_s,
        drift,
    )


def session_metrics():
    totals = SimpleNamespace(n_decodes=3, n_lost=17, n_skipped=2)
    bundle = SimpleNamespace(id="0a1b", manifest=SimpleNamespace(mode="linear"))
    settings = settings_of(name='a"b\\c\nd')
    metrics = Metrics(settings, bundle, totals, Turn(4, "exit code 1"))
    for age_s in (0.15, 0.15, 0.18, 7.0):
        metrics.push(decode_of(age_s=age_s, valid=age_s < 1))
    metrics.push(decode_of(age_s=math.nan, valid=False))
    for event, fields in [
        ("connecting", {}),
        ("live", {}),
        ("channel_bad", {"channel": "A1", "reason": "flat"}),
        ("channel_bad", {"channel": "A2", "reason": "noisy"}),
        ("mains", {"reason": "50 Hz"}),
        ("channel_good", {"channel": "A1"}),
        ("recovered", {}),
        ("gap", {"lost": 3}),
    ]:
        metrics.take(event, fields)
    return metrics


def settings_of(port=None, name="ward"):
    outlet = OutletSettings(name=name)
    return DecodeSettings(stream=StreamSettings(name="amp"), outlet=outlet, metrics_port=port)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_counts_states_and_latencies_are_those_of_the_session():
    lines = session_metrics().text().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['rtbrain_decodes_total{valid="true"}'] == "3"
    assert values['rtbrain_decodes_total{valid="false"}'] == "2"
    assert values["rtbrain_lost_samples_total"] == "17"
    assert values["rtbrain_skipped_windows_total"] == "2"
    assert values["rtbrain_reconnections_total"] == "1"
    assert values["rtbrain_restarts_total"] == "4"
    assert values["rtbrain_bad_contacts"] == "1"
    assert values["rtbrain_coverage"] == "0.5"
    assert values["rtbrain_drift"] == "0.25"
    states = {key: value for key, value in values.items() if key.startswith("rtbrain_state{")}
    assert [key for key, value in states.items() if value == "1"] == ['rtbrain_state{state="live"}']

    def bucket(part, bound):
        return int(values[f'rtbrain_latency_seconds_bucket{{part="{part}",le="{bound}"}}'])

    total = [bucket("total", bound) for bound in ("0.1", "0.2", "0.3", "5.0", "+Inf")]
    assert total == [0, 3, 3, 3, 4]
    assert [bucket("transport", bound) for bound in ("0.002", "0.005")] == [0, 5]
    assert values['rtbrain_latency_seconds_count{part="total"}'] == "4"
    assert float(values['rtbrain_latency_seconds_sum{part="total"}']) == pytest.approx(7.48)


def test_a_listener_that_comes_later_is_told_the_state_of_things():
    metrics = session_metrics()
    metrics.also = {"triggers": lambda: {"armed": True}}
    assert metrics.summary(5.0) == {
        "state": "live",
        "bad": {"A2": "noisy"},
        "mains": "50 Hz",
        "drift": "",
        "reason": "filling",
        "triggers": {"armed": True},
        "restarts": 4,
        "crash": "exit code 1",
    }
    assert metrics.summary(6.9) == {}
    assert metrics.summary(7.0)


def test_every_line_has_the_form_of_the_text_format_and_every_family_its_type_once():
    text = session_metrics().text()
    assert text.endswith("\n")
    family, types = "", {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == family
            assert name not in types
            types[name] = kind
        else:
            assert _LINE.fullmatch(line), line
            suffixes = ("_bucket", "_sum", "_count") if types[family] == "histogram" else ("",)
            assert re.split(r"[{ ]", line)[0] in {family + suffix for suffix in suffixes}
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())


def test_prometheus_own_parser_reads_the_same():
    reason = "prometheus-client is an extra of the tests"
    parser = pytest.importorskip("prometheus_client.parser", reason=reason)
    families = {
        one.name: one for one in parser.text_string_to_metric_families(session_metrics().text())
    }
    assert families["rtbrain_info"].samples[0].labels["name"] == 'a"b\\c\nd'
    assert families["rtbrain_latency_seconds"].type == "histogram"
    assert families["rtbrain_decodes"].samples[0].value == 3
    assert families["rtbrain_restarts"].type == "counter"


def test_it_answers_on_this_machine_alone_and_whatever_is_sent_to_it():
    port, metrics = free_port(), session_metrics()
    address = f"http://127.0.0.1:{port}"
    with metrics_endpoint(settings_of(port), metrics, print, Turn()):
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"\x00" * 5000 + b"\r\n\r\n")
            with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert b"rtbrain_restarts_total 4\n" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/etc/passwd", timeout=20)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port))
        with (
            pytest.raises(SettingsError, match=rf"--metrics: port {port}: .*choose another port"),
            metrics_endpoint(settings_of(port), metrics, print, Turn()),
        ):
            pass
        events = []
        report = lambda event, **fields: events.append(event)  # noqa: E731
        with metrics_endpoint(settings_of(port), metrics, report, Turn(1)):
            assert events == ["metrics_failed"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_a_client_that_says_nothing_holds_up_neither_decodes_nor_the_end():
    port, metrics = free_port(), session_metrics()
    with metrics_endpoint(settings_of(port), metrics, print, Turn()):
        with socket.create_connection(("127.0.0.1", port)):
            began = time.monotonic()
            for _ in range(1000):
                metrics.push(decode_of())
            spent_s = time.monotonic() - began
        wait_until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=20))
    assert spent_s < 1  # the client's silence lasts that long
