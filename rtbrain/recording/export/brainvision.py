"""BrainVision files of 32-bit numbers, written block by block: samples, header, markers.

https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/
"""

from pathlib import Path

import numpy as np

from rtbrain.recording.export.content import Content

_HEADER = """Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data}
MarkerFile={markers}
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n_channels}
SamplingInterval={interval_us!r}

[Binary Infos]
BinaryFormat=IEEE_FLOAT_32

[Channel Infos]
; Each entry: Ch<number>=<name>,<reference>,<resolution in unit>,<unit>
"""
_MARKERS = """Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data}

[Marker Infos]
; Each entry: Mk<number>=<type>,<description>,<position>,<size>,<channel, 0: all>
"""


def write_brainvision(content: Content, header: Path) -> None:
    """Write a new recording; the file of samples and that of markers lie beside the header."""
    montage = content.montage
    data, markers = header.with_suffix(".eeg"), header.with_suffix(".vmrk")
    with data.open("xb") as file:
        for block in content.blocks():
            file.write(np.ascontiguousarray(block.T, "<f4").tobytes())
    channels = [
        f"Ch{number}={_escaped(name)},,1,{_escaped(unit or 'n/a')}"
        for number, (name, unit) in enumerate(zip(montage.names, content.units, strict=True), 1)
    ]
    about = _HEADER.format(
        data=data.name,
        markers=markers.name,
        n_channels=montage.n_channels,
        interval_us=1e6 / montage.sfreq_hz,
    )
    header.write_text(about + "\n".join(channels) + "\n", encoding="utf-8")
    rate_hz = montage.sfreq_hz
    lines = ["Mk1=New Segment,,1,1,0"]
    lines += [
        f"Mk{number}=Comment,{_escaped(mark.text)},{round(mark.onset_s * rate_hz) + 1},"
        f"{max(1, round(mark.duration_s * rate_hz))},0"
        for number, mark in enumerate(content.marks, 2)
    ]
    text = _MARKERS.format(data=data.name) + "\n".join(lines) + "\n"
    markers.write_text(text, encoding="utf-8")


def _escaped(text: str) -> str:
    return text.replace(",", "\\1")
