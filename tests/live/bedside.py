"""A recorder on a disk in memory and taps that a test plays."""

from types import SimpleNamespace

import numpy as np

from rtbrain.live.recorder import Recorder
from rtbrain.live.recorder_alarms import FLOOR_BYTES, DiskGuard
from rtbrain.recording.xdf.writer import XdfWriter
from rtbrain.stream.lsl.raw_inlet import RawSamples
from rtbrain.stream.lsl.resolve import StreamSummary
from tests.recording.xdf.fakes import FakeDisk


class Played:
    """Taps that tell what a test puts into them."""

    def __init__(self):
        self.told = []

    def tap(self, name, n_channels=3):
        row = StreamSummary(name, "EEG", name, "here", n_channels, 512.0)
        return SimpleNamespace(row=row, end=lambda: None)

    def poll(self):
        told, self.told = self.told, []
        return told

    def end(self, within_s):
        return self.poll()


class Bedside:
    def __init__(self, tmp_path, room=1 << 30):
        self.now = 0.0
        self.disk = FakeDisk(room)
        self.taps = Played()
        self.events = []
        self.free = 10 * FLOOR_BYTES
        writer = XdfWriter(self.disk, clock=self.clock)
        guard = DiskGuard(tmp_path, self.tell, free_bytes=lambda _: self.free, clock=self.clock)
        self.recording = Recorder(writer, self.taps, guard, self.tell, clock=self.clock)

    def clock(self):
        return self.now

    def tell(self, event, **fields):
        self.events.append((self.now, event, fields))

    def step(self, *told, seconds=0.5):
        self.taps.told += told
        self.now += seconds
        self.recording.step()

    def named(self, event):
        return [(at, fields) for at, name, fields in self.events if name == event]


def second_of(number, n_channels=3):
    stamps = number + np.arange(512) / 512
    values = np.repeat(np.arange(512, dtype=np.float32)[:, None] + 1000 * number, n_channels, 1)
    return RawSamples(values, stamps)
