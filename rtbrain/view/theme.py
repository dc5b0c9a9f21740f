"""What the live window looks like: two themes that colour-blind people can read, and their type."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QAction,
    QColor,
    QFont,
    QFontDatabase,
    QFontMetricsF,
    QHelpEvent,
    QPainter,
)
from PySide6.QtWidgets import QBoxLayout, QLabel, QLayout, QSizePolicy, QToolTip, QWidget

_MAX_TIP_CHARS = 4000
_FOOT_PX = 26
_GENERAL_FONT = QFontDatabase.SystemFont.GeneralFont


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``, and the scale of the type.

    Red and yellow mean alarms alone; one accent marks the target class and what is chosen, one
    violet what is not a patient's brain. No panel relies on colour alone.

    References
    ----------
    IEC 60601-1-8:2006+A2:2020, Table 2 (colours of alarms; no conformity is claimed); WCAG 2.2,
    1.4.3 and 1.4.11 (contrast); Machado et al., IEEE TVCG 15 (2009) (colour-blind simulation).
    """

    name: str
    bg0: str  # plots
    bg1: str  # window
    bg2: str  # status line, what is chosen
    line: str  # borders of panels
    ctl: str  # borders of controls
    grid: str
    hatch: str
    text: str
    text2: str
    faint: str
    trace: str
    trace2: str  # every other shaft
    trace_bad: str  # bad contacts, old signals
    accent: str
    on_accent: str
    origin: str
    on_origin: str
    ok: str
    warn: str
    bad: str
    alarm: str
    on_alarm: str
    medium: str
    on_medium: str
    ramp: tuple[str, ...]  # spectrogram, from little power to much
    scale: float = 1.0
    large: bool = False

    def px(self, size: float) -> int:
        """Size in pixels of type that has `size` at 100 %."""
        return round(size * self.scale)

    def font(self, px: float, weight: int = 400) -> QFont:
        """Font of a size at 100 %, px, and a weight, 100 to 900; its figures are all as wide."""
        font = QFont(ui_family())
        font.setPixelSize(self.px(px))
        if inter_path() is None:
            font.setWeight(QFont.Weight(weight))
        else:
            # Its file holds every weight, of which not every platform finds more than one.
            font.setVariableAxis(QFont.Tag("wght"), weight)
            font.setVariableAxis(QFont.Tag("opsz"), min(32, max(14, self.px(px))))
        font.setFeature(QFont.Tag("tnum"), 1)
        return font


DARK = Theme(
    name="dark",
    bg0="#0b0f13",
    bg1="#12181e",
    bg2="#1d262e",
    line="#35424d",
    ctl="#6e7d89",
    grid="#222b33",
    hatch="#4a5863",
    text="#eef2f5",
    text2="#b4bfc8",
    faint="#8e9ba6",
    trace="#d3dae0",
    trace2="#a3afb9",
    trace_bad="#66737e",
    accent="#62b4ff",
    on_accent="#0b0f13",
    origin="#b9a0ff",
    on_origin="#140b2e",
    ok="#38c596",
    warn="#ffd23f",
    bad="#ff6b62",
    alarm="#c9281f",
    on_alarm="#ffffff",
    medium="#ffd23f",
    on_medium="#1a1400",
    ramp=("#0b0f13", "#123a63", "#3e8fdb", "#bfe0ff", "#ffffff"),
)
LIGHT = Theme(
    name="light",
    bg0="#ffffff",
    bg1="#f3f5f7",
    bg2="#e4e9ed",
    line="#b9c4cd",
    ctl="#7a8792",
    grid="#e6eaee",
    hatch="#a3afb9",
    text="#12171b",
    text2="#414d57",
    faint="#5b6873",
    trace="#1b2228",
    trace2="#5a6771",
    trace_bad="#85919b",
    accent="#0a5cad",
    on_accent="#ffffff",
    origin="#5f35b5",
    on_origin="#ffffff",
    ok="#0a7353",
    warn="#7a5200",
    bad="#b4201a",
    alarm="#b4201a",
    on_alarm="#ffffff",
    medium="#ffd23f",
    on_medium="#1a1400",
    ramp=("#ffffff", "#cfe3f7", "#6fa9df", "#1f63a8", "#06264a"),
)


@cache
def ui_family() -> str:
    """Family of the type: Inter of the package fontpkg-inter, else the system's."""
    path = inter_path()
    number = -1 if path is None else QFontDatabase.addApplicationFont(str(path))
    families = [] if number < 0 else QFontDatabase.applicationFontFamilies(number)
    return families[0] if families else QFontDatabase.systemFont(_GENERAL_FONT).family()


@cache
def inter_path() -> Path | None:
    """File of the font Inter, where its package is installed."""
    try:
        import fontpkg

        return Path(fontpkg.path("inter"))
    except (ImportError, LookupError, ValueError, OSError):
        return None


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def large(theme: Theme) -> Theme:
    """Theme with type half as large again, legible from across the room."""
    return replace(theme, scale=1.5 * theme.scale, large=True)


def fill(
    layout: QBoxLayout,
    *items: QWidget | QLayout,
    stretched: QWidget | QLayout | None = None,
    margins: tuple[int, int, int, int] = (0, 0, 0, 0),
    spacing: int = 0,
) -> None:
    """Add widgets and layouts to a layout; one of them takes all the room that is left."""
    layout.setContentsMargins(*margins)
    layout.setSpacing(spacing)
    for item in items:
        if isinstance(item, QWidget):
            layout.addWidget(item, int(item is stretched))
        else:
            layout.addLayout(item, int(item is stretched))


def frame_panel(panel: QWidget) -> None:
    """Let the window's style sheet draw a line around a panel; it needs margins of 1 px."""
    panel.setProperty("panel", True)
    panel.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)


def set_type(label: QLabel, theme: Theme, px: float, weight: int = 400, ink: str = "") -> None:
    """Type of a label inside a panel; `ink` is a colour, by default that of texts."""
    # The sheet of the window would undo the size, and knows of no weight on every platform.
    label.setFont(theme.font(px, weight))
    label.setStyleSheet(
        f"background: transparent; color: {ink or theme.text}; font-size: {theme.px(px)}px;"
    )


def plain_label(text: str = "", **options: Any) -> QLabel:
    """Label that shows its text as it is; Qt's own takes tags for markup, whoever wrote them."""
    return QLabel(text, textFormat=Qt.TextFormat.PlainText, **options)


def set_tip(target: QWidget | QAction, text: str) -> None:
    """Set a tool tip that shows its text as it is."""
    target.setToolTip(plain_tip(text))


def plain_tip(text: str) -> str:
    """Markup that shows a text as it is, cut: tool tips have no switch for plain text."""
    lines = escape(text[:_MAX_TIP_CHARS]).replace("\n", "<br>")
    return f"<span style='white-space:pre-wrap'>{lines}</span>" if lines else ""


def paint_text(
    painter: QPainter,
    box: QRectF,
    text: str,
    colour: str,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
) -> float:
    """Paint one line of text, elided to the width of a box; returns its width, px."""
    metrics = QFontMetricsF(painter.font())
    shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width())
    painter.setPen(QColor(colour))
    painter.drawText(box, align, shown)
    return metrics.horizontalAdvance(shown)


class ToolTips(QObject):
    """Tool tips of the parts of a widget; `tip_at` maps a point to a text, empty for none.

    A filter, because overriding `event` makes PySide6 6.11 crash on a numpy exception that is
    raised while painting, instead of reporting it.
    """

    def __init__(self, widget: QWidget, tip_at: Callable[[QPointF], str]) -> None:
        super().__init__(widget)
        self._widget, self._tip_at = widget, tip_at
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Show the tool tip of what is under the mouse."""
        if not (isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip):
            return super().eventFilter(watched, event)
        tip = self._tip_at(QPointF(event.pos()))
        QToolTip.showText(event.globalPos(), plain_tip(tip), self._widget)
        return True


class Foot(QWidget):
    """The line at the foot of a panel, as high as its type; a subclass paints all of it."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """One line."""
        return QSize(100, self._theme.px(_FOOT_PX))


def choose_theme(light: bool, is_large: bool) -> Theme:
    """Theme by its two switches."""
    theme = LIGHT if light else DARK
    return large(theme) if is_large else theme


def style_sheet(theme: Theme) -> str:
    """Qt style sheet of a window; panels style only what is special to them."""
    return f"""
    * {{ font-family: "{ui_family()}"; font-size: {theme.px(13)}px; }}
    QWidget {{ background: {theme.bg1}; color: {theme.text}; }}
    *[panel="true"] {{ background: {theme.bg0}; border: 1px solid {theme.line}; }}
    QToolTip {{ background: {theme.bg2}; color: {theme.text}; border: 1px solid {theme.line}; }}
    QMenuBar {{ font-size: {theme.px(12.5)}px; padding-left: {theme.px(4)}px; }}
    QMenuBar::item {{ padding: {theme.px(5)}px 9px; background: transparent; }}
    QMenuBar::item:selected, QMenu::item:selected {{ background: {theme.bg2}; }}
    QMenu {{ border: 1px solid {theme.line}; }}
    QMenu::item {{ padding: 4px 24px 4px 12px; }}
    QMenu::item:disabled, QPushButton:disabled, QComboBox:disabled, QLineEdit:disabled
    {{ color: {theme.faint}; border-color: {theme.line}; }}
    QPushButton, QComboBox, QLineEdit, QSpinBox, QDoubleSpinBox, QPlainTextEdit
    {{ background: {theme.bg0}; border: 1px solid {theme.ctl}; border-radius: 3px;
       padding: 2px 8px; min-height: 18px; }}
    QPushButton:checked {{ background: {theme.text}; color: {theme.bg0}; }}
    QPushButton:pressed {{ background: {theme.bg2}; color: {theme.text}; }}
    QPushButton[primary="true"] {{ background: {theme.accent}; color: {theme.on_accent};
       border-color: {theme.accent}; font-weight: 600; }}
    QPushButton[primary="true"]:disabled {{ background: {theme.bg2}; color: {theme.faint};
       border-color: {theme.line}; }}
    QPushButton:focus, QComboBox:focus, QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus,
    QPlainTextEdit:focus {{ border: 2px solid {theme.accent}; padding: 1px 7px; }}
    QComboBox::drop-down {{ border: none; width: 16px; }}
    QComboBox::down-arrow {{ image: none; width: 0px; height: 0px; margin-right: 6px;
       border-left: 4px solid {theme.bg0}; border-right: 4px solid {theme.bg0};
       border-top: 5px solid {theme.text2}; }}
    QComboBox:disabled::down-arrow {{ border-top-color: {theme.ctl}; }}
    QScrollBar {{ background: {theme.bg0}; border: none; }}
    QScrollBar:vertical {{ width: 10px; }}
    QScrollBar:horizontal {{ height: 10px; }}
    QScrollBar::handle {{ background: {theme.ctl}; border-radius: 3px; margin: 2px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0px; height: 0px; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: none; }}
    QAbstractItemView {{ background: {theme.bg0}; border: 1px solid {theme.line};
       selection-background-color: {theme.bg2}; selection-color: {theme.text}; }}
    QHeaderView::section {{ background: {theme.bg1}; color: {theme.text2}; border: none; }}
    QStatusBar::item {{ border: none; }}
    QStatusBar QLabel {{ background: {theme.bg2}; padding: 0 6px; }}
    QMainWindow::separator {{ background: {theme.line}; width: 3px; height: 3px; }}
    QDockWidget::title {{ padding: 3px 6px; background: {theme.bg1}; }}
    QTabBar::tab {{ background: {theme.bg1}; padding: 3px 8px; border: 1px solid {theme.line}; }}
    QTabBar::tab:selected {{ background: {theme.bg0}; border-bottom-color: transparent; }}
    """
