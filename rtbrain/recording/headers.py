"""Headers as they are in the field, put right for MNE-Python: BrainVision's texts, EDF's rates.

https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/
https://www.edfplus.info/specs/edf.html
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from rtbrain.channels import assign_kinds, complete_labels
from rtbrain.errors import RecordingError, list_words, plain_text
from rtbrain.files import decode_text
from rtbrain.stream_names import MAX_CHANNELS
from rtbrain.types import CONTACT_KINDS, Doubles
from rtbrain.units import microvolts_per

_SENSOR = re.compile(
    r"kind: (?P<kind>\w+)(?P<bad>; bad)?(?:; at (?P<at>\S+ \S+ \S+) (?P<space>.+))?"
)
_SENSOR_CHARS = 80
_EDF_HEADER = 256
ANNOTATIONS = (b"EDF Annotations", b"BDF Annotations")
_MAX_LINE = 1000
_GAIN = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)(\S*)")
_TAG = struct.Struct(">iiii")
_CHANNELS = re.compile(r"(?ims)^\[channel infos\]\s*$(.*?)(?=^\[|\Z)")
_CHANNEL = re.compile(r"(?m)^(Ch\d+\s*=)([^,\r\n]*)")
_CODEPAGE = re.compile(r"(?mi)^(Codepage\s*=)[^\r\n]*")


class Sensor(NamedTuple):
    """Unit of a channel of an EDF file, and what our own state in the field of the transducer."""

    kind: str = ""
    bad: bool = False
    position: tuple[str, ...] = ()
    space: str = ""
    unit: str = ""

    def __str__(self) -> str:
        at = f"; at {' '.join(self.position)} {self.space}" if self.position else ""
        return f"kind: {self.kind}{'; bad' * self.bad}{at}"

    @property
    def fits(self) -> bool:
        """Whether the field holds it."""
        text = str(self)
        return len(text) <= _SENSOR_CHARS and text.isascii() and text.isprintable()


def require_bounded(path: Path) -> None:
    """Refuse headers of EDF, FIF and BCI2000 files on which MNE-Python would work without end."""
    suffix = path.suffix.lower()
    if suffix not in {".edf", ".bdf", ".fif", ".dat"}:
        return
    if suffix == ".dat":
        _bci2000_length(path)
        return
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        if suffix in {".edf", ".bdf"}:
            count = _field(file.read(_EDF_HEADER)[252:256]).strip()
            if count.isdecimal() and _EDF_HEADER * (int(count) + 1) > n_bytes:
                raise RecordingError(
                    f"{path} has {n_bytes} bytes, less than the header of {int(count)} channels: "
                    "it is truncated or foreign"
                )
        if suffix != ".fif":
            return
        # Each tag says where the next one is.
        at, been_back_to = 0, set[int]()
        while len(tag := file.read(_TAG.size)) == _TAG.size:
            _, _, size, after = _TAG.unpack(tag)
            if size > n_bytes:
                raise RecordingError(
                    f"{path} is truncated or damaged: a tag at byte {at} is longer than the file"
                )
            if after == -1:
                return
            following = after if after > 0 else at + _TAG.size + size
            if following <= at:
                # Tags may lie in any order, but not in a circle.
                if following < 0 or following in been_back_to:
                    raise RecordingError(
                        f"{path} is damaged: its tag at byte {at} points to a tag before it"
                    )
                been_back_to.add(following)
            at = following
            file.seek(at)


def require_plausible_count(path: Path, text: str) -> None:
    """Refuse a header of BrainVision whose number of channels no amplifier has."""
    count = _value(text, "NumberOfChannels")
    if count.isdecimal() and (len(count) > 6 or int(count) > MAX_CHANNELS):
        raise RecordingError(f"{path} has {count:.20} channels: expected at most {MAX_CHANNELS}")


@contextmanager
def readable_header(path: Path, notes: list[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A header of BrainVision that MNE-Python reads, for as long as it opens it, and its labels.

    That is the file itself, or a copy where its text is not UTF-8, labels repeat or are missing, or
    the data file was renamed along with the header.
    """
    text, encoding = decode_text(path.read_bytes())
    require_plausible_count(path, text)
    section = _CHANNELS.search(text)
    found = _CHANNEL.findall(section[1]) if section else []
    labels = tuple(label.replace("\\1", ",").strip() for _, label in found)
    names, _ = complete_labels(labels, len(labels))
    changed = text
    for key in ("DataFile", "MarkerFile"):
        changed = _located(changed, key, path, notes)
    if section and names != labels:
        fresh = iter(names)
        renamed = _CHANNEL.sub(lambda one: one[1] + next(fresh).replace(",", "\\1"), section[1])
        changed = changed.replace(section[1], renamed)
    if encoding != "utf-8" and not encoding.startswith("utf"):
        notes.append(f"{path.name} is not UTF-8 text and was read as {encoding}")
    with TemporaryDirectory(prefix="rtbrain-") as folder:
        markers = _marker_text(changed, path)
        if changed == text and encoding == "utf-8" and markers is None:
            yield path, labels
            return
        changed = _CODEPAGE.sub(r"\1UTF-8", changed)
        if markers is not None:
            (Path(folder) / "markers.vmrk").write_text(markers, encoding="utf-8")
            changed = _put(changed, "MarkerFile", "markers.vmrk")
        header = Path(folder) / path.name
        # MNE-Python finds the files beside the header, or where an absolute path leads.
        for key in ("DataFile", *(("MarkerFile",) if markers is None else ())):
            if value := _value(changed, key):
                changed = _put(changed, key, str((path.parent / value).resolve()))
        header.write_text(changed, encoding="utf-8")
        yield header, labels


def _value(text: str, key: str) -> str:
    found = re.search(rf"(?mi)^{key}\s*=\s*([^\r\n]*)", text)
    return found[1].strip() if found else ""


def _put(text: str, key: str, value: str) -> str:
    return re.sub(rf"(?mi)^{key}\s*=[^\r\n]*", lambda _: f"{key}={value}", text)


def _located(text: str, key: str, path: Path, notes: list[str]) -> str:
    """Text whose `key` names a file that is there, if one of the header's own name is."""
    value = _value(text, key).replace("$b", path.stem)
    if not value or (path.parent / value).exists():
        return text if value == _value(text, key) else _put(text, key, value)
    suffixes = (".vmrk", ".amrk") if key == "MarkerFile" else (".eeg", ".dat", ".avg")
    there = {one.name.casefold(): one.name for one in path.parent.glob("*")}
    # Its name in other letters, or behind a path of another computer; else that of the header.
    wanted = [PureWindowsPath(value).name, *(f"{path.stem}{suffix}" for suffix in suffixes)]
    other = next((there[one.casefold()] for one in wanted if one.casefold() in there), None)
    shown = plain_text(value)
    if other is not None:
        notes.append(f"{path.name} names {shown}, which is not there: {other} is read instead")
        return _put(text, key, other)
    if key == "MarkerFile":
        notes.append(f"{path.name} names {shown}, which is not there: no events are read")
        return re.sub(r"(?mi)^MarkerFile\s*=[^\r\n]*\r?\n?", "", text)
    raise RecordingError(f"{path} names {shown} as its data, which is not there: rename either")


def _marker_text(header: str, path: Path) -> str | None:
    """Text of the marker file as UTF-8; None where it is so already."""
    value = _value(header, "MarkerFile")
    if not value:
        return None
    text, encoding = decode_text((path.parent / value).read_bytes())
    stated = _value(text, "Codepage").upper()
    fits = encoding == "utf-8" and stated in {"", "UTF-8"}
    return None if fits else _CODEPAGE.sub(r"\1UTF-8", text)


class EdfHeader(NamedTuple):
    """Fields of an EDF or BDF header, those of each signal as they are."""

    record_s: float
    labels: list[bytes]
    sensors: list[bytes]
    units: list[bytes]
    per_record: list[int]  # samples
    sample_bytes: int

    @property
    def n_bytes(self) -> int:
        """Its own length."""
        return _EDF_HEADER * (len(self.labels) + 1)


def read_edf_header(path: Path) -> EdfHeader:
    """Header of an EDF or BDF file; a RecordingError where there is none."""
    with path.open("rb") as file:
        try:
            fixed = file.read(_EDF_HEADER)
            n, record_s = int(_field(fixed[252:256])), float(_field(fixed[244:252]))
            fields = file.read(_EDF_HEADER * n)
            per_record = [int(_field(fields[216 * n + 8 * i :][:8])) for i in range(n)]
        except ValueError as error:
            raise RecordingError(f"{path} has no EDF header: it is truncated or foreign") from error
    labels = [fields[16 * i : 16 * i + 16] for i in range(n)]
    sensors = [fields[16 * n + 80 * i :][:80] for i in range(n)]
    units = [fields[96 * n + 8 * i :][:8] for i in range(n)]
    return EdfHeader(record_s, labels, sensors, units, per_record, 3 if fixed[0] == 255 else 2)


def choose_rate(
    path: Path, stream: str | None, notes: list[str]
) -> tuple[list[int], tuple[str, ...], tuple[Sensor, ...]]:
    """Channels of an EDF or BDF file that have one rate: numbers, labels and sensors.

    MNE-Python would upsample the others piece by piece: samples would depend on where a piece
    begins. Of several rates that of `stream` is taken, such as ``100 Hz``, else that of most
    contacts, of equally many the higher one. Numbers do not count channels of annotations.
    """
    header = read_edf_header(path)
    record_s = header.record_s
    columns = (header.labels, header.sensors, header.units, header.per_record)
    signals = [
        (
            label.decode("latin-1").strip("\0 "),
            _sensor(sensor)._replace(unit=unit.decode("latin-1").strip("\0 ")),
            count,
        )
        for label, sensor, unit, count in zip(*columns, strict=True)
        if not label.startswith(ANNOTATIONS)
    ]
    rows_of: dict[int, list[int]] = {}
    for row, (*_, count) in enumerate(signals):
        rows_of.setdefault(count, []).append(row)
    rate_of = {count: count / (record_s or 1.0) for count in rows_of}
    chosen = _chosen(path, stream, {f"{rate:g}": count for count, rate in rate_of.items()})
    if chosen is None:
        kinds, _ = assign_kinds(
            [label for label, *_ in signals],
            [sensor.kind for _, sensor, _ in signals],
            units=[sensor.unit for _, sensor, _ in signals],
        )
        contacts = {
            count: sum(kinds[row] in CONTACT_KINDS for row in rows)
            for count, rows in rows_of.items()
        }
        chosen = max(rows_of, key=lambda count: (contacts[count], count), default=0)
    for count, rows in rows_of.items():
        if count != chosen:
            names = list_words([plain_text(signals[row][0]) for row in rows], 8)
            notes.append(
                f"channels at {rate_of[count]:g} Hz are left out, --stream {rate_of[count]:g} "
                f"takes them: {names}"
            )
    rows = rows_of.get(chosen, [])
    return rows, tuple(signals[row][0] for row in rows), tuple(signals[row][1] for row in rows)


def _field(text: bytes) -> str:
    """Number of a header, which some programs end by zeros."""
    return text.split(b"\0")[0].decode("latin-1")


def _sensor(field: bytes) -> Sensor:
    found = _SENSOR.fullmatch(field.decode("latin-1").strip("\0 "))
    if found is None:
        return Sensor()
    position = tuple((found["at"] or "").split())
    return Sensor(found["kind"], found["bad"] is not None, position, found["space"] or "")


def _chosen(path: Path, stream: str | None, counts: dict[str, int]) -> int | None:
    if stream is None:
        return None
    rate = re.sub(r"\s*hz$", "", stream.strip(), flags=re.IGNORECASE)
    if rate not in counts:
        raise RecordingError(
            f"{path} has no channels at {stream!r}: expected {' or '.join(counts)} Hz"
        )
    return counts[rate]


def _bci2000_length(path: Path) -> int:
    """Bytes of the header of a BCI2000 file, refused where it says none or more than there are."""
    with path.open("rb") as file:
        found = re.findall(rb"\bHeaderLen\s*=\s*(\S+)", file.readline(_MAX_LINE))
    n_bytes = path.stat().st_size
    if not (found and found[-1].isdigit() and 0 < int(found[-1]) <= n_bytes):
        said = found[-1].decode("latin-1") if found else "none"
        raise RecordingError(
            f"{path}: expected HeaderLen, of up to {n_bytes} bytes, in its first line, got "
            f"{plain_text(said)}: it is truncated or foreign"
        )
    return int(found[-1])


def read_bci2000(path: Path, n_channels: int) -> tuple[tuple[str, ...], Doubles, Doubles]:
    """Labels, offsets, and microvolts per step of a BCI2000 file, which MNE-Python does not read.

    Labels are empty where it has none. A RecordingError where it has no gain for each channel.

    References
    ----------
    https://www.bci2000.org/mediawiki/index.php/Technical_Reference:BCI2000_File_Format
    """
    with path.open("rb") as file:
        text = file.read(_bci2000_length(path)).decode("latin-1")

    def listed(name: str) -> list[str]:
        line = re.search(rf"^\S+ \S+ {name}= *(\d+) ([^\r\n]*)", text, re.MULTILINE)
        return line[2].split()[: int(line[1])] if line else []

    gains = [_GAIN.fullmatch(one) for one in listed("SourceChGain")]
    offsets = [_GAIN.fullmatch(one) for one in listed("SourceChOffset")]
    numbers = [float(one[1]) * (microvolts_per(one[2]) or 1.0) for one in gains if one]
    zeros = [float(one[1]) for one in offsets if one]
    if len(numbers) != n_channels or len(zeros) != n_channels:
        raise RecordingError(
            f"{path}: expected SourceChGain and SourceChOffset of {n_channels} channels, got "
            f"{len(numbers)} and {len(zeros)}: correct its header"
        )
    names = tuple(unquote(one) for one in listed("ChannelNames"))
    return names if len(names) == n_channels else (), np.array(zeros), np.array(numbers)
