"""Small damage to bytes: what a bad disk, a bad sender or a bad neighbour does."""

from collections.abc import Mapping

import numpy as np

Files = Mapping[str, bytes]

_MOST = 6
_MAX_COPIED = 4096
# Numbers at which sizes and offsets go wrong, in every width that the formats use.
_NUMBERS = (0, 1, -1, 127, 255, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, -(2**63))
_TEXTS = (
    b"9" * 5000,
    b"-1",
    b"1e400",
    b"NaN",
    b"null",
    b"[" * 2000,
    b"{" * 2000,
    b"<a>" * 1000,
    b"&lol;",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\x1b[2J",
    b"<img src=/dev/zero>",
    b"[red]",
    b"../../x",
    "ü\u202e".encode(),
)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, inserted, repeated or cut off; the same for the same generator."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, _MOST + 1))):
        _DAMAGES[int(rng.integers(len(_DAMAGES)))](damaged, rng)
    return bytes(damaged)


def _flip_bit(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _set_byte(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] = int(rng.integers(256))


def _set_number(data: bytearray, rng: np.random.Generator) -> None:
    width = (1, 2, 4, 8)[int(rng.integers(4))]
    number = _NUMBERS[int(rng.integers(len(_NUMBERS)))] % 256**width
    order = ("little", "big")[int(rng.integers(2))]
    start = _place(data, rng)
    data[start : start + width] = number.to_bytes(width, order)


def _insert_text(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = _TEXTS[int(rng.integers(len(_TEXTS)))]


def _replace_number(data: bytearray, rng: np.random.Generator) -> None:
    """Put a hostile text in the place of the digits that follow a random place."""
    start = _place(data, rng)
    while start < len(data) and not 48 <= data[start] <= 57:
        start += 1
    stop = start
    while stop < len(data) and 48 <= data[stop] <= 57:
        stop += 1
    number = str(_NUMBERS[int(rng.integers(len(_NUMBERS)))]).encode()
    data[start:stop] = number if rng.integers(2) else _TEXTS[int(rng.integers(len(_TEXTS)))]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    data[stop:stop] = data[start:stop]


def _delete(data: bytearray, rng: np.random.Generator) -> None:
    start, stop = _span(data, rng)
    del data[start:stop]


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _place(data: bytearray, rng: np.random.Generator) -> int:
    # Headers stand in front, and decide most: half of all damage is there.
    end = len(data) if rng.integers(2) else min(len(data), 512)
    return int(rng.integers(max(1, end)))


def _span(data: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + int(rng.integers(1, _MAX_COPIED)))


_DAMAGES = (
    _flip_bit,
    _set_byte,
    _set_number,
    _insert_text,
    _replace_number,
    _repeat,
    _delete,
    _cut,
)
