"""XDF files as recorders write them: the chunks of all streams mixed, boundaries in between."""

import struct

import numpy as np

from tests.recording.xdf.file_by_hand import block, stream_blocks, value_bytes

BOUNDARY = block(5, bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4"))


def header_of(number, stream):
    """The StreamHeader chunk alone."""
    whole = stream_blocks(number, stream)
    return whole[: 5 + struct.unpack("<I", whole[1:5])[0]]


def samples_chunk(number, stream, start, stop, stamped):
    """Samples start to stop; ``stamped`` says for each sample of the stream whether it has one."""
    n = stop - start
    written = struct.pack("<I", number)
    written += bytes([1, n]) if n < 256 else b"\x04" + struct.pack("<I", n)
    for row in range(start, stop):
        stamp = b"\x08" + struct.pack("<d", stream.stamps[row]) if stamped[row] else b"\x00"
        written += stamp + value_bytes(stream, row)
    return block(3, written)


def write_in_chunks(path, streams, *, length, stamped=None, seed=0, boundaries=0.2):
    """Write all streams in chunks of ``length`` samples at random turns; give the chunks' ends."""
    rng = np.random.default_rng(seed)
    written = b"XDF:" + block(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    numbered = list(enumerate(streams, 1))
    for number, stream in numbered:
        written += header_of(number, stream)
    waiting = {number: 0 for number, _ in numbered}
    ends = []
    offsets = [(number, pair) for number, stream in numbered for pair in stream.offsets]
    while waiting:
        number = int(rng.choice(list(waiting)))
        stream = streams[number - 1]
        start = waiting[number]
        stop = min(start + length, len(stream.stamps))
        flags = np.ones(len(stream.stamps), bool) if stamped is None else stamped(stream)
        if stop > start:
            written += samples_chunk(number, stream, start, stop, flags)
            ends.append((len(written), number, stop))
        waiting[number] = stop
        if stop == len(stream.stamps):
            del waiting[number]
        if offsets and rng.random() < 0.5:
            of, (time, value) = offsets.pop(0)
            written += block(4, struct.pack("<Idd", of, time, value))
        if rng.random() < boundaries:
            written += BOUNDARY
    for of, (time, value) in offsets:
        written += block(4, struct.pack("<Idd", of, time, value))
    path.write_bytes(written)
    return ends
