"""Two hosts on one machine: the cable between them carries, is cut, slowed and joined again."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console

from rtbrain.check.faults import network
from rtbrain.check.faults.matrix import run_matrix

needs_hosts = pytest.mark.skipif(
    bool(network.network_refusal()), reason=network.network_refusal() or "two hosts can be made"
)
# In a process of its own, whose host is another from then on.
CABLE = """
    import socket, subprocess, sys, time
    from pathlib import Path
    from rtbrain.check.faults.network import two_hosts

    ECHO = '''
    import socket
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 5000))
    print("ready", flush=True)
    while True:
        server.sendto(*server.recvfrom(2000))
    '''

    def arrive(n_packets):
        '''How many packets of 1000 bytes come back within 1 s.'''
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(1.0)
        n_back = 0
        try:
            for _ in range(n_packets):
                client.sendto(bytes(1000), ("10.77.0.1", 5000))
            while n_back < n_packets:
                client.recv(2000)
                n_back += 1
        except OSError:
            pass
        return n_back

    def wait_for(n_packets):
        end = time.monotonic() + 20
        while arrive(1) < n_packets and time.monotonic() < end:
            pass

    with two_hosts(Path(sys.argv[1])) as hosts:
        print(hosts.on_sender[3])
        with subprocess.Popen(
            [*hosts.on_sender, sys.executable, "-c", ECHO], stdout=subprocess.PIPE
        ) as echo:
            echo.stdout.readline()
            wait_for(1)
            print(arrive(50))
            hosts.cut()
            print(arrive(5))
            hosts.join()
            wait_for(1)
            hosts.slow(40)
            print(arrive(50))
            hosts.fast()
            print(arrive(50))
            echo.kill()
"""


@needs_hosts
def test_the_cable_carries_is_cut_slowed_and_joined_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CABLE), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, *counts = done.stdout.split()
    whole, cut, slowed, again = map(int, counts)
    assert (whole, cut, again) == (50, 0, 50)
    assert 0 < slowed < 50
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert name not in left.stdout


MARKERS = """
    import subprocess, sys, time
    from pathlib import Path
    from rtbrain.check.faults.network import two_hosts
    from rtbrain.stream.lsl.raw_inlet import RawSamples
    from rtbrain.stream.lsl.raw_inlets import RawInlets
    from rtbrain.stream.lsl.supervised_markers import SupervisedMarkers

    SEND = '''
    import itertools, time, pylsl
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("task", "Markers", 1, 0, "string", "task"))
    print("ready", flush=True)
    for number in itertools.count():
        outlet.push_sample([str(number)])
        time.sleep(0.1)
    '''
    received, recorded, events = [], [], []

    def pull_until(condition):
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            received.extend(int(text) for _, text in markers.pull(0.05))
            for _, event in inlets.poll():
                if isinstance(event, RawSamples):
                    recorded.extend(map(int, event.values[:, 0]))

    with two_hosts(Path(sys.argv[1])) as hosts, subprocess.Popen(
        [*hosts.on_sender, sys.executable, "-c", SEND], stdout=subprocess.PIPE
    ) as sender:
        sender.stdout.readline()
        inlets = RawInlets(lambda row: row.name == "task")
        markers = SupervisedMarkers(
            "task", timeout_s=30, on_event=lambda event, **_: events.append(event)
        )
        settled = time.monotonic() + 4  # its clock has been measured
        pull_until(lambda: received and recorded and time.monotonic() > settled)
        for move, number in ((hosts.move_sender, 11), (hosts.move_receiver, 12)):
            move(number)
            last = received[-1], recorded[-1]
            pull_until(lambda: received[-1] > last[0] + 10 and recorded[-1] > last[1] + 10)
            print(received[-1] > last[0] + 10, recorded[-1] > last[1] + 10)
        print(received == sorted(set(received)), recorded == sorted(set(recorded)))
        print(*events)
        markers.close()
        inlets.end(1.0)
        sender.kill()
"""


@needs_hosts
def test_markers_are_received_and_recorded_again_after_an_address_changed_on_either_side(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MARKERS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *back_in_order, events = done.stdout.splitlines()
    assert back_in_order == ["True True"] * 3
    assert events == " ".join(["markers_lost markers_recovered"] * 2)


@needs_hosts
def test_a_start_removes_the_hosts_of_a_process_that_was_killed_and_no_others(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    abandoned, kept = f"rtb{killed.pid}-sender", f"rtb{os.getppid()}-switch"
    for name in (abandoned, kept):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with network.two_hosts(tmp_path):
            there = os.listdir("/run/netns")
        assert abandoned not in there
        assert {kept, f"rtb{os.getpid()}-sender", f"rtb{os.getpid()}-switch"} <= set(there)
        assert f"rtb{os.getpid()}-sender" not in os.listdir("/run/netns")
    finally:
        subprocess.run(["ip", "netns", "del", kept], check=True)


@pytest.mark.parametrize("asked", [False, True])
def test_rows_between_two_hosts_are_not_run_where_they_cannot_be_and_say_why(
    monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    rows = run_matrix(Console(quiet=True), False, asked, (26, 29))
    why = "needs root, for network namespaces" if asked else "needs --network"
    assert [(row.number, row.mark, row.observed, row.passed) for row in rows] == [
        (26, "N", why, None),
        (29, "N", why, None),
    ]
