"""A sender for tests, in a process of its own: the sample's number, up to 1024 and down again, in
every channel, plus a fraction that tells the channel from the others.

Sample n of every run is stamped ``start + n / rate``, so that the samples lost between two runs
are known exactly.
"""

import argparse
import time

import numpy as np
import pylsl

from rtbrain.outlet.lsl import SignalOutlet
from rtbrain.types import Chunk, Montage


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("source_id")
    parser.add_argument("start", type=float)
    parser.add_argument("rate", type=float)
    parser.add_argument("labels")
    asked = parser.parse_args()
    labels = tuple(asked.labels.split(","))
    montage = Montage(labels, ("seeg",) * len(labels), asked.rate)
    outlet = SignalOutlet(asked.name, montage, source_id=asked.source_id, origin="synthetic")
    print("ready", flush=True)
    offsets = np.array([fraction_of(label) for label in labels])[:, None]
    sent = int((pylsl.local_clock() - asked.start) * asked.rate)
    while True:
        due = int((pylsl.local_clock() - asked.start) * asked.rate)
        if due > sent:
            numbers = np.arange(sent, due)
            data = (wave_of(numbers) + offsets).astype(np.float32)
            outlet.push(Chunk(data, asked.start + numbers / asked.rate, sent))
            sent = due
        time.sleep(0.005)


def wave_of(numbers: np.ndarray) -> np.ndarray:
    """What a sample of a number is, in µV: no jump, which would be an artifact."""
    return np.abs((numbers + 1024) % 2048 - 1024)


def fraction_of(label: str) -> float:
    """What tells a channel from the others, whatever its row: exact in float32."""
    return int(label[1:]) / 64


if __name__ == "__main__":
    main()
