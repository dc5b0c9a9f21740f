"""The public API: what is in it, what it loads, and that its examples run."""

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rtbrain
from rtbrain import encoder
from rtbrain.errors import MontageError, RecordingError, SettingsError
from tests.learn.session.run_by_hand import write_run

ROOT = Path(rtbrain.__file__).parent
HEAVY = ("torch", "mne", "PySide6", "pylsl", "scipy", "sklearn", "pandas")
STUB = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
MODULES = {
    alias.name: node.module
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
LIGHT = ("rtbrain.types", "rtbrain.errors")
LIVE = ("rtbrain.live.listen", "rtbrain.live.run")  # they need a stream: run in tests/live


def loaded_by(code: str) -> set[str]:
    """Which heavy libraries some code loads."""
    program = f"import sys\n{code}\nprint(*sorted(sys.modules.keys() & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_stub_of_the_encoders_names_what_loads_when_used() -> None:
    stub = ast.parse((ROOT / "encoder" / "__init__.pyi").read_text(encoding="utf-8"))
    *imports, listed = stub.body
    named = {
        alias.name: f"{node.module}"
        for node in imports
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert isinstance(listed, ast.Assign)
    assert sorted(ast.literal_eval(listed.value)) == sorted(named) == sorted(encoder.__all__)
    for name, module in named.items():
        assert getattr(encoder, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="nonsense"):
        encoder.nonsense  # noqa: B018


def test_stub_and_module_have_the_same_names() -> None:
    listed = next(
        ast.literal_eval(node.value) for node in STUB.body if isinstance(node, ast.Assign)
    )
    assert listed == rtbrain.__all__
    assert MODULES.keys() | {"__version__"} == set(listed)
    assert dir(rtbrain) == sorted(rtbrain.__all__)
    for name, module in MODULES.items():
        assert getattr(rtbrain, name) is getattr(importlib.import_module(str(module)), name)
    with pytest.raises(AttributeError, match="nonsense"):
        rtbrain.nonsense  # noqa: B018


def test_importing_rtbrain_loads_nothing_heavy() -> None:
    assert loaded_by("import rtbrain") == set()


def test_reading_a_synthetic_patient_or_an_array_does_not_load_mne() -> None:
    code = "import rtbrain, numpy as np\nrtbrain.read('synthetic:1', sfreq_hz=512)\n"
    code += "rtbrain.read((np.zeros((1, 9)), 512, ['A1']))"
    assert not loaded_by(code) & {"mne", "torch", "PySide6", "pylsl"}


def test_fitting_a_linear_decoder_does_not_load_torch() -> None:
    fit = "rtbrain.fit('synthetic:1,duration_s=60,n_channels=6', sfreq_hz=512, n_folds=2"
    code = f"import rtbrain, rtbrain.apps.fit\n{fit}, classes=['rest', 'speech'], n_permutations=0"
    code += ", front_end='recipe')"
    assert not loaded_by(code) & {"torch", "PySide6"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a decoder, for the examples."""
    made = tmp_path_factory.mktemp("examples")
    rtbrain.fit(
        "synthetic:3,duration_s=60,n_channels=12",
        sfreq_hz=2048,
        classes=["rest", "speech"],
        n_folds=3,
        n_permutations=10,
        front_end="recipe",
    ).save(made / "bundle")
    write_run(made / "run.xdf")
    return made


@pytest.mark.parametrize("name", [name for name in MODULES if MODULES[name] not in LIGHT + LIVE])
def test_the_examples_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(str(MODULES[name]))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(getattr(rtbrain, name), name, module):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 0


DATA = np.arange(20.0).reshape(2, 10)


def test_an_array_becomes_a_recording_of_these_microvolts() -> None:
    recording = rtbrain.read(DATA, sfreq_hz=100, names=["A1", "A2"], scale=0.5)
    np.testing.assert_array_equal(recording.read(2, 5), DATA[:, 2:5] / 2)
    assert recording.montage.names == ("A1", "A2")
    assert recording.montage.sfreq_hz == 100
    again = rtbrain.read(recording, scale=4, events=[(0.05, "b"), (0.01, "a")])
    np.testing.assert_array_equal(again.read(0, 10), DATA * 2)
    assert [event.text for event in again.events] == ["a", "b"]


def test_a_raw_of_mne_becomes_microvolts_with_its_kinds_positions_events_and_bad_channels() -> None:
    import mne

    info = mne.create_info(["LA1", "LA2", "grip"], 200.0, ["seeg", "ecog", "misc"])
    info["bads"] = ["LA2"]
    info["chs"][0]["loc"][:3] = 0.01, 0.02, 0.03
    volts = np.random.default_rng(0).normal(0, 1e-5, (3, 400))
    raw = mne.io.RawArray(volts, info, first_samp=100, verbose="ERROR")
    raw.set_annotations(mne.Annotations([1.0, 0.5], [0.2, 0], ["speech", "rest"]))
    recording = rtbrain.read(raw)
    expected = volts[:, 50:90] * [[1e6], [1e6], [1]]
    np.testing.assert_allclose(recording.read(50, 90), expected, rtol=1e-6)
    assert recording.montage.kinds == ("seeg", "ecog", "misc")
    assert recording.bad == ("LA2",)
    assert recording.montage.positions is not None
    np.testing.assert_allclose(recording.montage.positions[0], [10, 20, 30], rtol=1e-6)
    assert np.isnan(recording.montage.positions[1]).all()
    events = [(event.onset_s, event.duration_s, event.text) for event in recording.events]
    assert events == [(0.5, 0.0, "rest"), (1.0, 0.2, "speech")]


@pytest.mark.parametrize(
    ("source", "options", "error", "part"),
    [
        (3, {}, SettingsError, "got int"),
        (DATA, {}, SettingsError, "needs sfreq_hz and names"),
        ((DATA, 100, ["A1"]), {}, RecordingError, "one per channel"),
        ((DATA, 100, ["A1", "A1"]), {}, MontageError, "labels repeat"),
        ((DATA, 0, ["A1", "A2"]), {}, MontageError, "more than 0"),
        ((DATA, 100, ["A1", "A2"]), {"sfreq_hz": 100}, SettingsError, "the tuple holds"),
        ((DATA[0], 100, ["A1"]), {}, RecordingError, "channels, samples"),
        ((DATA > 3, 100, ["A1", "A2"]), {}, RecordingError, "real numbers"),
        (DATA, {"stream": "x"}, SettingsError, "no streams"),
        ("synthetic:1", {}, SettingsError, "sampling rate"),
        ("synthetic:1", {"names": ["A1"]}, SettingsError, "names is for arrays"),
        ("absent.vhdr", {}, RecordingError, "absent.vhdr"),
        ("synthetic:1", {"sfreq_hz": 512, "scale": 0}, SettingsError, "scale"),
    ],
)
def test_what_cannot_be_read_is_refused(
    source: object, options: dict, error: type[Exception], part: str
) -> None:
    with pytest.raises(error, match=part):
        rtbrain.read(source, **options)
