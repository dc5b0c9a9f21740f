"""The cue screen is black and still; each marker carries the moment of the frame that shows it."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pylsl
import pytest
from PySide6.QtGui import QColor, QImage, QPainter
from pytestqt.qtbot import QtBot

from rtbrain.console.cues import schedule
from rtbrain.console.cues.run import CueRun, has_all, read_plan, recorded_by, status_line
from rtbrain.console.cues.schedule import CueSchedule, Scene
from rtbrain.console.cues.screen import CueScreen, choose_display, load_picture, paint_scene
from rtbrain.errors import OutputError, SettingsError
from rtbrain.learn.cue_plan import Look, ScreenPlan
from rtbrain.live.control import send_command, serve_commands
from rtbrain.marks import BREAK, DROPPED, PAUSED, RESUMED, SCREEN_MARKER, screen_blocks
from rtbrain.outlet import MarkerOutlet, StatusOutlet
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import recorder_source_id
from tests.conftest import wait_until

# Shorter than a plan may be: validation is another test's.
PLAN = ScreenPlan(classes=("rest", "speech"), n_per_class=3, seed=7).model_copy(
    update={"duration_s": (0.1, 0.3), "pause_s": (0.05, 0.1), "settle_s": 0.0}
)

LASTING = PLAN.model_copy(update={"duration_s": (200.0, 300.0)})


def painted(scene: Scene | None, width: int = 480, height: int = 300) -> np.ndarray:
    image = QImage(width, height, QImage.Format.Format_RGB888)
    painter = QPainter(image)
    paint_scene(painter, width, height, scene)
    painter.end()
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(height, -1)
    return rows[:, : 3 * width].reshape(height, width, 3).astype(int)


def test_a_scene_is_black_with_grey_and_white_alone(qapp) -> None:
    look = Look(word="Speak", line="say the months of the year, aloud")
    for scene in (Scene("cue", look), Scene("break", None), None):
        pixels = painted(scene)
        assert (pixels[:, :5] == 0).all()
        assert (pixels[:, -5:] == 0).all()
        assert np.ptp(pixels, axis=2).max() <= 40, "no colour, but for the edges of letters"
    assert painted(Scene("cue", look)).max() > 200
    long = Look(word="W" * 24, line="m" * 80)
    pixels = painted(Scene("cue", long), 960, 600)
    assert (pixels[:, :5] == 0).all(), "a long word shrinks"


def test_a_picture_stands_above_the_word(qapp, tmp_path: Path) -> None:
    image = QImage(40, 20, QImage.Format.Format_RGB888)
    image.fill(QColor("#2060a0"))
    path = tmp_path / "mouth.png"
    image.save(str(path))
    pixels = painted(Scene("cue", Look(word="Speak", picture=path)))
    blue = (pixels == (0x20, 0x60, 0xA0)).all(axis=2)
    rows, columns = np.nonzero(blue)
    assert rows.max() < 0.58 * 300
    assert abs(columns.mean() - 239.5) < 2


def test_a_picture_that_moves_or_is_red_or_is_none_is_refused(qapp, tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    image = QImage(40, 20, QImage.Format.Format_RGB888)
    image.fill(QColor("#ff0000"))
    image.save(str(red))
    with pytest.raises(SettingsError, match="100% of it is saturated red, which can harm"):
        load_picture(red)
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(SettingsError, match="expected a PNG or JPEG"):
        load_picture(text)
    frame = bytes.fromhex("2c000000000100010000 02024401003b".replace(" ", ""))[:-1]
    head = bytes.fromhex("474946383961 0100 0100 80 00 00 000000 ffffff".replace(" ", ""))
    moving = tmp_path / "moving.gif"
    moving.write_bytes(
        head + 2 * (bytes.fromhex("21f90400 0a00 0000".replace(" ", "")) + frame) + b";"
    )
    with pytest.raises(SettingsError, match="it moves, which can harm"):
        load_picture(moving)
    plan = tmp_path / "plan.yaml"
    plan.write_text("classes: [rest, go]\nlooks: {go: {word: Go, picture: red.png}}\n")
    with pytest.raises(SettingsError, match="saturated red"):
        read_plan(plan, {})


def test_a_plan_is_read_with_its_pictures_beside_it_and_flags_win(qapp, tmp_path: Path) -> None:
    image = QImage(4, 4, QImage.Format.Format_RGB888)
    image.fill(QColor("#2060a0"))
    image.save(str(tmp_path / "a.png"))
    path = tmp_path / "plan.yaml"
    path.write_text(
        "classes: [rest, go]\nn_per_class: 30\nseed: 3\n"
        "looks: {go: {word: Go, line: now, picture: a.png}}\n"
    )
    plan = read_plan(path, {"n_per_class": 8})
    assert (plan.n_per_class, plan.seed, plan.look("go").picture) == (8, 3, tmp_path / "a.png")
    assert plan.look("rest").word == "Rest"
    assert "a.png" not in plan.marker()
    drawn = {read_plan(None, {"classes": ("rest", "go")}).seed for _ in range(3)}
    assert len(drawn) == 3
    with pytest.raises(SettingsError, match="expected the classes of the cues"):
        read_plan(None, {})
    with pytest.raises(SettingsError, match="cues: duration_s: cues of 8 to 8 s"):
        read_plan(None, {"classes": ("rest", "go"), "duration_s": (8, 8)})
    with pytest.raises(SettingsError, match="display 9: expected one of 1 to 1"):
        choose_display(9)


@pytest.fixture
def unique() -> str:
    return f"cues-{uuid4().hex[:12]}"


@pytest.fixture
def commanded(unique: str, qtbot: QtBot) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Send a command out of another thread, as a program does, while the window goes on."""

    def send(line: str) -> dict[str, Any]:
        sent = pool.submit(send_command, unique, line)
        qtbot.waitUntil(sent.done, timeout=20_000)
        return sent.result()

    with ThreadPoolExecutor(1) as pool:
        yield send


@pytest.fixture
def listened(
    qapp, unique, monkeypatch, request
) -> Iterator[tuple[CueRun, pylsl.StreamInlet, list]]:
    monkeypatch.setattr(schedule, "_FIRST_S", 0.2)
    monkeypatch.setattr(schedule, "_RESUME_S", 0.2)
    screen = CueScreen(None, True, lsl_clock)
    outlet = MarkerOutlet(unique, source_id=f"{unique}-screen")
    statuses: list = []
    run = CueRun(
        CueSchedule(getattr(request, "param", PLAN)),
        screen,
        outlet,
        statuses.append,
        lambda note: None,
    )
    (found,) = pylsl.resolve_byprop("name", unique, timeout=20)
    inlet = pylsl.StreamInlet(found)
    with serve_commands(unique, run.answer):
        yield run, inlet, statuses
    inlet.close_stream()
    run.close()
    outlet.close()
    screen.close()


@pytest.mark.lsl
def test_markers_carry_the_moments_of_their_frames_and_wait_for_a_listener(
    listened, qtbot: QtBot
) -> None:
    run, inlet, statuses = listened
    shown: list = []
    run._screen.shown.connect(lambda scene, t: shown.append((t, scene)))
    run.wait(lambda: run._outlet.wait_for_listeners(0.0))
    assert statuses[-1]["state"] == "ready"
    inlet.open_stream(20)
    qtbot.waitUntil(lambda: run.schedule.scene.state == "ended", timeout=40_000)
    markers = []
    qtbot.waitUntil(
        lambda: (
            markers.extend(zip(*inlet.pull_chunk()[::-1], strict=True))
            or any(one[0].startswith(SCREEN_MARKER) for _, one in markers)
        ),
        timeout=10_000,
    )
    expected = [(t, text) for t, scene in shown for text in scene.markers]
    got = [(t, text) for t, (text,) in markers]
    assert [text for _, text in got[:-1]] == [text for _, text in expected]
    np.testing.assert_allclose([t for t, _ in got[:-1]], [t for t, _ in expected], atol=1e-6)
    blocks = screen_blocks(got)
    assert blocks is not None
    assert [one.text for one in blocks] == run.schedule.order
    about = json.loads(got[-1][1].removeprefix(SCREEN_MARKER))
    assert about["cues"] == 6
    assert about["frames"] >= 12
    assert 0 <= about["late_ms"] <= about["late_max_ms"]
    assert about["frame_sd_ms"] >= 0
    assert "ended" in status_line(statuses[-1])


@pytest.mark.lsl
@pytest.mark.parametrize("listened", [LASTING], indirect=True)
def test_another_program_pauses_the_cues_drops_a_block_and_ends_them(
    listened, qtbot: QtBot, commanded
) -> None:
    run, inlet, statuses = listened
    frames: list[float] = []
    run._screen.shown.connect(lambda scene, t: frames.append(t))
    inlet.open_stream(20)
    run.wait(lambda: run._outlet.wait_for_listeners(0.0))
    qtbot.waitUntil(lambda: run.schedule.scene.state == "cue", timeout=20_000)
    assert commanded("drop")["dropped"] == 1
    qtbot.waitUntil(lambda: run.schedule.scene.state == "break", timeout=20_000)
    qtbot.waitUntil(lambda: run.schedule.scene.state == "cue", timeout=20_000)
    commanded("pause")
    qtbot.waitUntil(lambda: run.schedule.scene.state == "paused", timeout=20_000)
    with pytest.raises(OutputError, match="no block to drop"):
        commanded("drop")
    with pytest.raises(OutputError, match="expected one of pause, resume, drop, stop, status"):
        commanded("fire")
    commanded("resume")
    qtbot.waitUntil(lambda: run.schedule.scene.state == "break", timeout=20_000)
    assert commanded("status")["paused"] == 1
    commanded("stop")
    qtbot.waitUntil(lambda: run.schedule.scene.state == "ended", timeout=20_000)
    texts: list[str] = []
    qtbot.waitUntil(
        lambda: (
            texts.extend(one[0] for one in inlet.pull_chunk()[0])
            or any(text.startswith(SCREEN_MARKER) for text in texts)
        ),
        timeout=10_000,
    )
    order = run.schedule.order
    assert [t for t in texts if not t.startswith("rtbrain")] == [
        order[0], DROPPED, order[1], PAUSED, RESUMED,
    ]  # fmt: skip
    assert BREAK not in texts
    assert np.diff(frames[2:]).min() >= 1.0, "no change is faster than 1 Hz, whoever asks for it"
    assert [status["state"] for status in statuses][-1] == "ended"


@pytest.mark.parametrize(
    ("event", "recording", "missing", "expected"),
    [
        ("summary", [["amp", "a"], ["cues", "s"]], [], True),
        ("summary", [["amp", "a"]], [], False),
        ("summary", [["cues", "s"]], ["amp"], False),
        ("summary", [["amp", "a"], ["cues", "of another"]], [], False),
        ("summary", None, None, False),
        ("stream_added", [["cues", "s"]], [], False),
    ],
)
def test_a_recorder_has_all_when_it_says_so(event, recording, missing, expected) -> None:
    said = StatusEvent(1.0, event, {"recording": recording, "missing": missing})
    assert has_all(said, "cues", "s") is expected


@pytest.mark.lsl
def test_cues_wait_for_the_word_of_their_recorder(unique) -> None:
    name = f"{unique}-record"
    with recorded_by(name, unique, "s") as recorded:
        status = StatusOutlet(name, source_id=recorder_source_id(name))
        assert not recorded()
        fields = {"recording": [["amp", "a"], [unique, "s"]], "missing": []}
        wait_until(lambda: status.emit("summary", **fields) or recorded())
        status.close()
