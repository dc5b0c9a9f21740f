"""Formats of recordings by the names of their files and folders: which reader opens each."""

import re
from dataclasses import dataclass
from pathlib import Path

from rtbrain.errors import RecordingError


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, the module and function that read it, and how they read it.

    `parser` is a function of MNE-Python or a class of neo; `needs` a package that the parser needs
    and that ``rtbrain[neo]`` installs; `option` what ``read`` must or may be given.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    function: str
    parser: str = ""
    needs: str = ""
    option: str = ""


def _mne(name: str, suffixes: str, parser: str, needs: str = "", option: str = "") -> Format:
    return Format(name, tuple(suffixes.split()), "mne", "read_mne", parser, needs, option)


def _neo(name: str, suffixes: str, parser: str) -> Format:
    return Format(name, tuple(suffixes.split()), "neo", "read_neo", parser, "neo", "stream")


FORMATS = (
    _mne("BrainVision", ".vhdr .ahdr", "read_raw_brainvision"),
    _mne("EDF", ".edf", "read_raw_edf", option="stream"),
    _mne("BDF", ".bdf", "read_raw_bdf", option="stream"),
    _mne("GDF", ".gdf", "read_raw_gdf"),
    _mne("FIF", ".fif .fif.gz", "read_raw_fif"),
    _mne("EEGLAB", ".set", "read_raw_eeglab", "pymatreader"),
    _mne("Persyst", ".lay", "read_raw_persyst"),
    _mne("Nihon Kohden", ".eeg", "read_raw_nihon"),
    _mne("MEF3", ".mefd", "read_raw_mef", "pymef"),
    _mne("Curry", ".cdt .dap .cdt.dpa", "read_raw_curry", "curryreader"),
    _mne("Neuroscan", ".cnt", "read_raw_cnt"),
    _mne("EGI", ".mff", "read_raw_egi", "mffpy"),
    _mne("EGI simple binary", ".raw", "read_raw_egi"),
    _mne("Neuroelectrics", ".nedf", "read_raw_nedf"),
    _mne("BCI2000", ".dat", "read_raw_bci2k"),
    _neo("Neuralynx", ".ncs", "NeuralynxRawIO"),
    _neo("Blackrock", ".ns1 .ns2 .ns3 .ns4 .ns5 .ns6", "BlackrockRawIO"),
    _neo("Micromed", ".trc", "MicromedRawIO"),
    _neo("Intan", ".rhd .rhs", "IntanRawIO"),
    _neo("Plexon", ".plx", "PlexonRawIO"),
    _neo("Plexon 2", ".pl2", "Plexon2RawIO"),
    _neo("Spike2", ".smr", "Spike2RawIO"),
    _neo("Spike2 (64 bit)", ".smrx", "CedRawIO"),
    _neo("Alpha Omega", ".mpx", "AlphaOmegaRawIO"),
    _neo("Axon", ".abf", "AxonRawIO"),
    _neo("TDT", ".tsq", "TdtRawIO"),
    _neo("SpikeGLX", ".meta", "SpikeGLXRawIO"),
    _neo("Open Ephys", ".oebin", "OpenEphysBinaryRawIO"),
    Format("XDF", (".xdf", ".xdfz"), "xdf.read", "read_xdf", option="stream"),
    Format("NWB", (".nwb",), "nwb", "open_nwb", option="stream"),
    Format("NumPy", (".npy",), "open", "read_npy", option="sfreq_hz"),
    Format("Brain Treebank", (".h5", ".hdf5"), "braintreebank", "read_trial"),
)
_ANT = _mne("ANT", ".cnt", "read_raw_ant", "antio")
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}
# Formats whose recording is a folder of such files, by the pattern of their names.
_FOLDERS = {"*.ncs": "Neuralynx", "*.tsq": "TDT", "*.meta": "SpikeGLX", "**/*.oebin": "Open Ephys"}
_FOLDERS |= {"*.mpx": "Alpha Omega"}
# Parts of a recording, and the files that open it.
_PARTS = {
    ".eeg": (".vhdr", ".ahdr"),
    ".vmrk": (".vhdr",),
    ".amrk": (".ahdr",),
    ".fdt": (".set",),
    ".dat": (".lay", ".dap", ".vhdr"),
    ".rs3": (".dap",),
    ".cef": (".dap",),
    **dict.fromkeys((".21e", ".pnt", ".log", ".11d", ".cmt", ".cn2"), (".eeg",)),
    ".nev": (".ns6", ".ns5", ".ns4", ".ns3", ".ns2", ".ns1"),
    **dict.fromkeys((".tev", ".tbk", ".tdx", ".tnt"), (".tsq",)),
    ".bin": (".meta",),
}
# Of git-annex and git-lfs, and links as text, as Windows has them.
_POINTER = re.compile(
    rb"/annex/objects/|(\.\./)*\.git/annex/objects/|version https://git-lfs\.github"
)


def suffix_of(path: Path) -> str:
    """Suffix in lower case, as the table has it: ``.fif.gz`` of ``a.b_raw.fif.gz``."""
    double = "".join(path.suffixes[-2:]).lower()
    return double if double in _BY_SUFFIX else path.suffix.lower()


def format_of(path: Path) -> Format | None:
    """Format of a file, or of a folder that is a recording; None for any other folder.

    RecordingError for a part of a recording, which names the file to open, and for what no reader
    here knows.
    """
    suffix = suffix_of(path)
    if path.is_dir():
        if suffix in _BY_SUFFIX:
            return _BY_SUFFIX[suffix]
        of_folder = {one.name: one for one in FORMATS}
        for pattern, name in _FOLDERS.items():
            if next(path.glob(pattern), None) is not None:
                return of_folder[name]
        return None
    if whole := _whole(path, suffix):
        raise RecordingError(f"{path.name} is one part of a recording: name {whole}")
    if suffix not in _BY_SUFFIX:
        raise RecordingError(
            f"{path}: a recording is one of {' '.join(_BY_SUFFIX)}, or a BIDS folder, got "
            f"{suffix or 'a file without suffix'}"
        )
    if suffix == ".cnt" and _beginning(path).startswith((b"RIFF", b"RF64")):
        return _ANT
    return _BY_SUFFIX[suffix]


def is_recording(path: Path) -> bool:
    """Whether a file or folder carries the suffix of a format and is no part of another file."""
    suffix = suffix_of(path)
    return suffix in _BY_SUFFIX and _whole(path, suffix) is None


def require_content(path: Path) -> None:
    """Refuse a file, or one of its parts, that is a link or pointer whose content is not here."""
    parts = [path, *(one for one in path.parent.glob("*") if one.stem == path.stem != "")]
    for part in parts:
        if part.is_symlink() and not part.exists():
            target = str(part.readlink())
            if "annex" not in target:
                raise RecordingError(f"{part} is a link to {target}, which is not there")
        elif not (part.is_file() and _POINTER.match(_beginning(part))):
            continue
        raise RecordingError(
            f"{part} is a link of git-annex or git-lfs whose content is not here: run "
            f"'datalad get {part}' (or git annex get, git lfs pull), then try again"
        )


def _whole(path: Path, suffix: str) -> Path | None:
    """The file that opens the recording of which this one is a part; None if it is none."""
    wanted = _PARTS.get(suffix)
    if not wanted:
        return None
    there = {one.suffix.lower(): one for one in path.parent.glob("*") if one.stem == path.stem}
    return next((there[other] for other in wanted if other in there), None)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError:
        return b""
