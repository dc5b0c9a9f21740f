"""What `rtbrain compile` is given: options, recordings to check on, windows to calibrate on."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from rtbrain.bundling import model_of_bundle
from rtbrain.check.compile.paired import SpectrogramCollector
from rtbrain.config import LabelSettings, Recipe, WindowSettings
from rtbrain.config.flags import names_of
from rtbrain.decoder import Bundle, Readout
from rtbrain.encoder import ApprovedRuntime, EncoderModel, require_precision
from rtbrain.errors import CompiledModelError, RecordingError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus, open_corpus
from rtbrain.learn.corpus.sources import source_name
from rtbrain.learn.evaluate import label_settings
from rtbrain.learn.fit.inputs import open_recordings, resolve_tasks, virtual_session
from rtbrain.live.play import VirtualSession, play_recording
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.open import read_recording
from rtbrain.recording.playing import print_note
from rtbrain.recording.recording import Event, Recording
from rtbrain.synthetic.implant import N_CONTACTS
from rtbrain.synthetic.patient import SYNTHETIC
from rtbrain.terminal import show_progress
from rtbrain.types import Floats

RuntimeName = Literal["torchscript", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

# Each gives a block of channels to calibrate on: more hardly change the ranges.
_MAX_WINDOWS = 32
_STAND_IN_S = 12.0


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options of the command; `folder` is the bundle."""

    folder: Path
    runtime: RuntimeName
    precision: Precision
    validate_on: tuple[str, ...]  # recordings
    calibrate_on: str | None  # corpus or recording
    tolerance: float  # largest drop of AUC
    threads: int
    classes: str | None
    stream: str | None
    scale: float

    def approval(self, bundle: Bundle) -> ApprovedRuntime:
        """What is noted beside the bundle if the compiled encoder is good enough."""
        return ApprovedRuntime(self.runtime, self.precision, bundle.id)


def require_encoder(options: CompileOptions, bundle: Bundle) -> EncoderModel:
    """Encoder of the bundle; SettingsError if it has none that can be compiled."""
    name, model = options.folder.name, model_of_bundle(bundle)
    if model is None:
        raise SettingsError(f"{name} is of mode linear, which has no encoder: nothing to compile")
    if bundle.manifest.mode == "streaming":
        raise SettingsError(
            f"{name} is of mode streaming, which runs on torchscript fp32 and is compiled when it "
            "starts: nothing to compile"
        )
    return model


def check_options(options: CompileOptions) -> None:
    """Refuse options that cannot work."""
    if options.precision == "int8" and options.runtime == "torchscript":
        raise SettingsError(
            "--precision int8 needs openvino: pass --runtime openvino, or another precision"
        )
    above = options.folder.parent
    if not os.access(above, os.W_OK):
        raise SettingsError(
            f"{above} cannot be written to, and the compiled encoder goes beside the bundle: copy "
            "the bundle to a folder of your own"
        )
    needed = {"openvino": options.runtime == "openvino", "nncf": options.precision == "int8"}
    for package, is_needed in needed.items():
        if is_needed and find_spec(package) is None:
            raise CompiledModelError(
                f"--runtime {options.runtime} --precision {options.precision} needs {package}: "
                'pip install "rtbrain[fast]"'
            )
    require_precision(options.precision)
    if options.precision != "int8" and options.calibrate_on is not None and options.validate_on:
        raise SettingsError(
            f"--calibrate-on is for --precision int8, {options.precision} needs none: leave it out"
        )
    if options.precision == "int8" and not options.validate_on:
        raise SettingsError(
            "--precision int8 must be checked on the decoder: pass a labelled recording, "
            "--validate-on RECORDING"
        )


@dataclass(frozen=True, slots=True, eq=False)
class CheckRecording:
    """A recording of the command line, opened."""

    source: str
    recording: Recording
    labels: LabelSettings | None
    calibrates_until_s: float = 0.0

    @property
    def name(self) -> str:
        """Name without folders, which may name people."""
        return source_name(self.source)

    def checked_s(self, embargo_s: float) -> float:
        """How much of it is used to check, s."""
        begins_s = self.calibrates_until_s
        return max(0.0, self.recording.span_s - (begins_s + embargo_s if begins_s else 0.0))

    def session(self) -> VirtualSession:
        """Session from its first sample on, without its target."""
        return virtual_session(self.recording, self.labels)


def _open(source: str, options: CompileOptions, bundle: Bundle, stack: ExitStack) -> CheckRecording:
    """A recording, its notes printed, with the labels that the decoder was fitted on, if any.

    One that has no rate gets the decoder's.
    """
    rateless = source.startswith(SYNTHETIC) or source.lower().endswith(".npy")
    labels = label_settings(bundle, names_of(options.classes, "--classes"))
    opening = open_recordings(
        (source,),
        stream=options.stream,
        sfreq_hz=bundle.manifest.sfreq_hz if rateless else None,
        scale=options.scale,
        trigger=labels.trigger,
        stimulation=bundle.recipe.stimulation,
        on_note=print_note,
    )
    (recording,), labels = resolve_tasks(labels, (source,), stack.enter_context(opening))
    return CheckRecording(source, recording, labels if _is_labelled(recording, labels) else None)


def _is_labelled(recording: Recording, labels: LabelSettings) -> bool:
    if labels.channel is not None:
        return set(labels.channel) <= set(recording.montage.names)
    texts = {*(labels.classes or ()), *(labels.events or ())}
    return any(event.text in texts for event in recording.events)


def same_source(one: str, other: str) -> bool:
    """Whether two names mean one recording; a synthetic patient is one at any length."""
    if one.startswith(SYNTHETIC) or other.startswith(SYNTHETIC):
        return one.split(",")[0].strip() == other.split(",")[0].strip()
    return Path(one).resolve() == Path(other).resolve()


def was_fitted_on(bundle: Bundle, source: str) -> bool:
    """Whether a bundle says that it was fitted on a recording: only of synthetic patients.

    It keeps no names of files, which may name people.
    """
    if not source.startswith(SYNTHETIC):
        return False
    seed, *rest = source.removeprefix(SYNTHETIC).split(",")
    values = {key.strip(): value for key, _, value in (word.partition("=") for word in rest)}
    trained_on = f"synthetic patient {int(seed)} of family {int(values.get('family', 0))},"
    return bundle.manifest.trained_on.startswith(trained_on)


def is_corpus(source: str) -> bool:
    """Whether a name means a corpus, not a recording."""
    return not source.startswith(SYNTHETIC) and (Path(source) / "manifest.json").is_file()


def synthetic_stand_in(bundle: Bundle) -> CheckRecording:
    """A synthetic patient with the decoder's montage."""
    window = bundle.recipe.window
    montage = bundle.montage
    n_contacts = min(max(montage.n_channels, N_CONTACTS[0]), N_CONTACTS[1])
    duration_s = 2 * window.length_s + _STAND_IN_S
    source = f"{SYNTHETIC}0,n_channels={n_contacts},duration_s={duration_s:g}"
    patient = read_recording(source, sfreq_hz=montage.sfreq_hz)
    rows = [row % n_contacts for row in range(montage.n_channels)]

    def read(start: int, stop: int) -> Floats:
        return patient.read(start, stop)[rows]

    events = []
    if window.hop_s is None:
        text = (window.texts or ("",))[0]
        events = [Event(float(second), 0.0, text) for second in range(round(duration_s))]
    recording = replace(patient, montage=montage, reader=read, events=tuple(events))
    return CheckRecording(f"{SYNTHETIC}0", recording, None)


def recorded_windows(
    console: Console, bundle: Bundle, one: CheckRecording, decoder: tuple[FeaturePipeline, Readout]
) -> list[Floats]:
    """Spectrograms of a recording to calibrate on, made by the decoder's own stages."""
    window = bundle.recipe.window
    features, readout = decoder
    until_s = one.calibrates_until_s or one.recording.span_s
    kept = SpectrogramCollector(until_s=until_s, most=_MAX_WINDOWS, every=_every(until_s, window))
    with show_progress(console) as on_progress:
        play_recording(
            bundle,
            one.session(),
            min(one.recording.n_samples, round(until_s * one.recording.montage.sfreq_hz)),
            (replace(features, encoder=kept), readout),
            on_progress=on_progress,
            what="gathering",
            until_s=until_s,
        )
    if not kept.windows:
        raise RecordingError(
            f"{one.name}: no valid window in its first {until_s:g} s to calibrate on: name a "
            "longer recording with --calibrate-on"
        )
    return kept.windows


def _every(duration_s: float, window: WindowSettings) -> int:
    if window.hop_s is None:
        return 1
    return max(1, int((duration_s - window.length_s) / window.hop_s) // _MAX_WINDOWS)


def corpus_windows(
    folder: Path, recipe: Recipe, shape: tuple[int, int, int], checked: Sequence[CheckRecording]
) -> list[Floats]:
    """Spectrograms from all over a corpus to calibrate on, in the decoder's shape.

    Windows with more channels than the decoder are cut; those with fewer repeat channels.
    """
    corpus = open_corpus(folder)
    n_channels, *item = shape
    form = "patches" if recipe.spectrogram.form == "patches" else "spectrogram"
    if corpus.form != form or corpus.item_shape != tuple(item):
        raise SettingsError(
            f"--calibrate-on {folder}: holds {corpus.form} of shape {corpus.item_shape}, the "
            f"decoder's encoder reads {form} of shape {tuple(item)}: name a corpus of its recipe"
        )
    _refuse_shared(corpus, checked)
    numbers = [(session, row) for session in corpus.sessions for row in range(session.n_windows)]
    picks = np.linspace(0, len(numbers) - 1, min(len(numbers), _MAX_WINDOWS))
    windows = []
    for session, row in (numbers[pick] for pick in np.unique(np.rint(picks).astype(np.int64))):
        good = np.flatnonzero(session.good[row])
        if good.size:
            rows = np.resize(good, n_channels)
            windows.append(session.read(np.full(n_channels, row), rows))
    return windows


def _refuse_shared(corpus: Corpus, checked: Sequence[CheckRecording]) -> None:
    sources = [entry.source for entry in corpus.manifest.sessions]
    for one in checked:
        synthetic = one.source.startswith(SYNTHETIC)
        if any(
            same_source(source, one.source) if synthetic else source == one.name
            for source in sources
        ):
            raise SettingsError(
                f"--calibrate-on {corpus.folder}: it was built from {one.name}, which checks the "
                "result: check on a recording that is not in it"
            )


def open_sources(
    options: CompileOptions, bundle: Bundle, stack: ExitStack
) -> tuple[list[CheckRecording], CheckRecording | None]:
    """Recordings to check on, and the one to calibrate on, if it is not a corpus."""
    for number, name in enumerate(options.validate_on):
        if any(same_source(name, other) for other in options.validate_on[:number]):
            raise SettingsError(
                f"--validate-on {name} is listed twice: its windows would count twice"
            )
    checked = [_open(source, options, bundle, stack) for source in options.validate_on]
    source = options.calibrate_on
    if options.precision == "int8":
        _refuse_unlabelled(checked, bundle)
        source = source or options.validate_on[0]
    if source is None or is_corpus(source):
        return checked, None
    for number, one in enumerate(checked):
        if same_source(one.source, source):
            # The first half calibrates; the rest checks, after an embargo of one window.
            shared = replace(one, calibrates_until_s=one.recording.span_s / 2)
            checked[number] = shared
            return checked, shared
    return checked, _open(source, options, bundle, stack)


def _refuse_unlabelled(checked: list[CheckRecording], bundle: Bundle) -> None:
    for one in checked:
        if one.labels is None:
            raise SettingsError(
                f"--validate-on {one.name}: holds no labels of the decoder's "
                f"{', '.join(bundle.manifest.labels)}, and int8 must be checked: "
                "name a labelled recording, or its markers with --classes"
            )
