"""A disk in memory, headers and samples for the tests of XDF files."""

import errno
import io

import numpy as np
import pyxdf

DTYPES = {
    "float32": np.float32,
    "double64": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
}


def header(name="sig", n_channels=3, value_format="float32", sfreq_hz=512.0, desc=""):
    return (
        f'<?xml version="1.0"?>\n<info>\n\t<name>{name}</name>\n\t<type>EEG</type>\n'
        f"\t<channel_count>{n_channels}</channel_count>\n"
        f"\t<channel_format>{value_format}</channel_format>\n"
        f"\t<nominal_srate>{sfreq_hz}</nominal_srate>\n\t<desc>{desc}</desc>\n</info>\n"
    ).encode()


def values_of(value_format, n_samples, n_channels, seed=0):
    rng = np.random.default_rng(seed)
    if value_format == "string":
        words = ["", "go", "grün 🧠", "a" * 300, '{"event": "gap"}']
        picked = rng.integers(0, len(words), (n_samples, n_channels))
        return np.array(words, object)[picked]
    dtype = DTYPES[value_format]
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, (n_samples, n_channels), dtype, endpoint=True)
    return rng.normal(0, 50, (n_samples, n_channels)).astype(dtype)


class FakeDisk:
    """A disk in memory that remembers every write, and holds only so much."""

    def __init__(self, room=1 << 30):
        self.data = bytearray()
        self.room = room
        self.writes = []
        self.broken = None
        self.no_cut = False
        self.closed = False

    def put(self, offset, data):
        if self.broken is not None:
            raise OSError(self.broken, "broken")
        fits = max(0, self.room - offset)
        self._store(offset, data[:fits])
        if fits < len(data):
            raise OSError(errno.ENOSPC, "no space left")

    def _store(self, offset, data):
        self.writes.append((offset, bytes(data)))
        self.data[offset : offset + len(data)] = data

    def cut(self, length):
        if self.no_cut:
            raise OSError(errno.EIO, "cannot cut")
        del self.data[length:]

    def sync(self):
        pass

    def close(self):
        self.closed = True


def read(data, **kwargs):
    kwargs.setdefault("dejitter_timestamps", False)
    streams, _ = pyxdf.load_xdf(io.BufferedReader(io.BytesIO(bytes(data))), **kwargs)
    return streams
