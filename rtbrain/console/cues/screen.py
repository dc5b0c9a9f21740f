"""The window of the cue screen, and when a frame of it was shown; black, one word, one line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QColor,
    QGuiApplication,
    QImage,
    QImageReader,
    QOffscreenSurface,
    QOpenGLContext,
    QPainter,
    QPaintEvent,
    QRasterWindow,
    QScreen,
    QSurfaceFormat,
)
from PySide6.QtOpenGL import QOpenGLWindow

from rtbrain.console.cues.schedule import Scene
from rtbrain.errors import SettingsError
from rtbrain.view.theme import DARK

_GROUND, _INK, _QUIET = "#000000", "#f2f2f2", "#b8b8b8"
_FRAMES = 3  # drawn of each scene: the intervals between them are those of the display
_WINDOW_PX = QSize(960, 600)
_MAX_PIXELS = 50e6
# Saturated red (WCAG 2.2, 2.3.1) that fills this share of a picture.
_RED, _MAX_RED = 0.8, 0.25


def paint_scene(painter: QPainter, width: float, height: float, scene: Scene | None) -> None:
    """Paint what a participant sees; None is black."""
    painter.fillRect(QRectF(0, 0, width, height), QColor(_GROUND))
    if scene is None:
        return
    painter.setRenderHints(
        QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
    )
    look = scene.look
    if look is None:
        reach = 0.03 * height
        middle = QPointF(width / 2, height / 2)
        painter.fillRect(_bar(middle, reach, 0.15 * reach), QColor(_QUIET))
        painter.fillRect(_bar(middle, 0.15 * reach, reach), QColor(_QUIET))
        return
    top = 0.34 * height
    if look.picture is not None:
        image = load_picture(look.picture)
        box = QRectF(0.1 * width, 0.06 * height, 0.8 * width, 0.5 * height)
        size = image.size().scaled(box.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
        shown = QRectF(0, 0, size.width(), size.height())
        shown.moveCenter(box.center())
        painter.drawImage(shown, image)
        top = 0.6 * height
    word = QRectF(0, top, width, 0.24 * height)
    _write(painter, word, look.word, 0.2 * height if look.picture is None else 0.14 * height, 600)
    line = QRectF(0, word.bottom(), width, 0.1 * height)
    _write(painter, line, look.line, 0.062 * height, 400, _QUIET)


def _bar(middle: QPointF, across: float, down: float) -> QRectF:
    return QRectF(middle.x() - across, middle.y() - down, 2 * across, 2 * down)


def _write(
    painter: QPainter, box: QRectF, text: str, px: float, weight: int, ink: str = _INK
) -> None:
    """One line of text, smaller where it is too long."""
    while True:
        painter.setFont(DARK.font(max(6.0, px), weight))
        if px <= 8 or painter.fontMetrics().horizontalAdvance(text) <= 0.92 * box.width():
            break
        px *= 0.92
    painter.setPen(QColor(ink))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


@cache
def load_picture(path: Path) -> QImage:
    """A still picture; a SettingsError where it is none, or could harm."""
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    if not path.is_file() or not reader.canRead():
        raise SettingsError(f"picture {path}: expected a PNG or JPEG that can be read")
    if reader.supportsAnimation() and reader.imageCount() != 1:
        raise SettingsError(f"picture {path}: it moves, which can harm: use a still one")
    if reader.size().width() * reader.size().height() > _MAX_PIXELS:
        raise SettingsError(f"picture {path}: expected at most {_MAX_PIXELS / 1e6:.0f} megapixels")
    image = reader.read().convertToFormat(QImage.Format.Format_RGB888)
    if image.isNull():
        raise SettingsError(f"picture {path}: cannot be read: {reader.errorString()}")
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    colours = rows[:, : 3 * image.width()].reshape(image.height(), -1, 3)[::4, ::4].astype(int)
    red = colours[..., 0] >= np.maximum(_RED * colours.sum(axis=2), 64)
    if red.mean() > _MAX_RED:
        raise SettingsError(
            f"picture {path}: {red.mean():.0%} of it is saturated red, which can harm: expected "
            f"{_MAX_RED:.0%} at most"
        )
    return image


@dataclass(slots=True)
class FrameTimes:
    """Intervals between frames of one scene, and how late scenes were, s."""

    intervals_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float | int]:
        """Figures in ms, and their counts."""
        found: dict[str, float | int] = {"frames": len(self.intervals_s)}
        if self.intervals_s:
            ms = 1000 * np.array(self.intervals_s)
            found |= {
                "frame_ms": round(float(np.median(ms)), 3),
                "frame_sd_ms": round(float(ms.std()), 3),
                "frame_max_ms": round(float(ms.max()), 3),
            }
        if self.late_s:
            ms = 1000 * np.array(self.late_s)
            found |= {
                "late_ms": round(float(np.median(ms)), 3),
                "late_max_ms": round(float(ms.max()), 3),
            }
        return found


class _GlWindow(QOpenGLWindow):
    """Painted with OpenGL: a frame is shown once its buffers are swapped, in step with the display.

    To swap waits for the display, and to finish until it has been done.
    """

    def __init__(self, owner: "CueScreen") -> None:
        super().__init__()
        self._owner = owner
        self.frameSwapped.connect(self._swapped)

    def paintGL(self) -> None:  # noqa: N802
        with QPainter(self) as painter:
            self._owner.paint(painter, self.width(), self.height())

    def _swapped(self) -> None:
        self._owner.framed()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        self._owner.closed.emit()
        super().closeEvent(event)


class _RasterWindow(QRasterWindow):
    """Painted without OpenGL: a frame counts as shown once it was handed to the system."""

    def __init__(self, owner: "CueScreen") -> None:
        super().__init__()
        self._owner = owner

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        with QPainter(self) as painter:
            self._owner.paint(painter, self.width(), self.height())
        QTimer.singleShot(0, self._owner.framed)  # after it was flushed

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        self._owner.closed.emit()
        super().closeEvent(event)


class CueScreen(QObject):
    """The window that a participant sees.

    Parameters
    ----------
    display : int or None
        Number of the display, 1 for the first, full screen; None: the second, where there is one,
        else a window.
    windowed : bool
        A window instead of the full screen.
    clock : callable
        Time of frames, s.
    """

    shown = Signal(object, float)
    """A frame shows this `Scene`; when it was shown."""
    closed = Signal()
    """Somebody closed the window."""

    def __init__(self, display: int | None, windowed: bool, clock: Callable[[], float]) -> None:
        super().__init__()
        choose_display(display)  # before there is a window
        self.clock, self.frames = clock, FrameTimes()
        self.uses_opengl = has_opengl()
        self._scene: Scene | None = None
        self._t_asked = self._t_frame = 0.0
        self._n_left = 0
        self._window: Any = _GlWindow(self) if self.uses_opengl else _RasterWindow(self)
        if self.uses_opengl:
            wanted = QSurfaceFormat()
            wanted.setSwapInterval(1)
            self._window.setFormat(wanted)
        self._window.setTitle("rtbrain cues")
        self._window.setCursor(Qt.CursorShape.BlankCursor)
        self.move(display, windowed)

    def move(self, display: int | None, windowed: bool = False) -> None:
        """Show the window on a display; a SettingsError where there is none of this number."""
        screen, full = choose_display(display)
        # Not asked of the window: PySide 6.11 then takes the screen away with it.
        self._refresh_hz = float(screen.refreshRate())
        self._window.hide()
        self._window.setScreen(screen)
        box = screen.geometry()
        if full and not windowed:
            self._window.setGeometry(box)
            self._window.showFullScreen()
        else:
            self._window.resize(_WINDOW_PX)
            self._window.setPosition(box.center() - QPointF(480, 300).toPoint())
            self._window.show()

    @property
    def refresh_hz(self) -> float:
        """Rate of the display, as the system says."""
        return self._refresh_hz

    def show_scene(self, scene: Scene, t_due: float) -> None:
        """Show a scene at the next frame; it was due at a time, s."""
        self._scene, self._t_asked, self._n_left = scene, t_due, _FRAMES
        self._window.update()

    def close(self) -> None:
        """Close the window."""
        self._window.hide()
        self._window.destroy()

    def paint(self, painter: QPainter, width: float, height: float) -> None:
        """Paint the scene, whenever the window needs it."""
        paint_scene(painter, width, height, self._scene)

    def framed(self) -> None:
        """A frame was shown just now."""
        t, n_left, self._n_left = self.clock(), self._n_left, self._n_left - 1
        if n_left <= 0 or self._scene is None:
            return
        if n_left == _FRAMES:
            if self._scene.state == "cue":
                self.frames.late_s.append(t - self._t_asked)
            self.shown.emit(self._scene, t)
        else:
            self.frames.intervals_s.append(t - self._t_frame)
        self._t_frame = t
        if self._n_left > 0:
            self._window.update()


def choose_display(number: int | None) -> tuple[QScreen, bool]:
    """A display by its number, and whether to fill it; None is the second, or a window."""
    screens = QGuiApplication.screens()
    if number is None:
        return (screens[1], True) if len(screens) > 1 else (screens[0], False)
    if not 1 <= number <= len(screens):
        raise SettingsError(f"display {number}: expected one of 1 to {len(screens)}")
    return screens[number - 1], True


@cache
def has_opengl() -> bool:
    """Whether windows can be painted with OpenGL here."""
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    return bool(context.create() and context.makeCurrent(surface))
