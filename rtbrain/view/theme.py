"""What the live window looks like: two themes that colour-blind people can read, and their type."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QAction, QColor, QFont, QFontMetricsF, QHelpEvent, QPainter
from PySide6.QtWidgets import QBoxLayout, QLabel, QLayout, QToolTip, QWidget

_MAX_TIP_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``, and the type size.

    `good`, `warn` and `bad` differ in lightness too, and no panel relies on colour alone.

    References
    ----------
    Okabe and Ito, "Color universal design", 2008, https://jfly.uni-koeln.de/color/; Wong, Nature
    Methods 8 (2011), doi:10.1038/nmeth.1618.
    """

    name: str
    background: str
    foreground: str
    faint: str
    grid: str
    good: str
    warn: str
    bad: str
    classes: tuple[str, ...]
    font_pt: float = 10.0
    large: bool = False


# Okabe and Ito's colours. Their yellow is illegible on white and is left out there; on black, thin
# lines need a lighter blue and vermilion. Every contrast is at least 3.4 to 1.
DARK = Theme(
    name="dark",
    background="#101418",
    foreground="#e8e8e8",
    faint="#9aa3ab",
    grid="#3a434b",
    good="#1fb589",
    warn="#e69f00",
    bad="#f0703c",
    classes=("#e69f00", "#56b4e9", "#1fb589", "#f0e442", "#8f9bff", "#f0703c", "#d98cb8"),
)
LIGHT = Theme(
    name="light",
    background="#ffffff",
    foreground="#16191c",
    faint="#5f6a73",
    grid="#c3cad0",
    good="#007a5a",
    warn="#9a6a00",
    bad="#c04a00",
    classes=("#b97f00", "#2b86bd", "#007a5a", "#a8527f", "#00457c", "#c04a00", "#16191c"),
)


def large(theme: Theme) -> Theme:
    """Theme with type half as large again, legible from across the room."""
    return replace(theme, font_pt=1.5 * theme.font_pt, large=True)


def scaled_font(widget: QWidget, theme: Theme, scale: float = 1.0, bold: bool = False) -> QFont:
    """Font of a widget at a multiple of the theme's type size."""
    font = QFont(widget.font())
    font.setPointSizeF(theme.font_pt * scale)
    font.setBold(bold)
    return font


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


def choose_theme(light: bool, is_large: bool) -> Theme:
    """Theme by its two switches."""
    theme = LIGHT if light else DARK
    return large(theme) if is_large else theme


def style_sheet(theme: Theme) -> str:
    """Qt style sheet of the window; panels style only what is special to them."""
    raised = "#1c2329" if theme.name == "dark" else "#eef1f3"
    return f"""
    * {{ font-size: {theme.font_pt:g}pt; }}
    QWidget {{ background: {theme.background}; color: {theme.foreground}; }}
    QToolTip {{ background: {raised}; color: {theme.foreground}; border: 1px solid {theme.grid}; }}
    QMenuBar, QMenu, QStatusBar, QDockWidget::title, QPushButton, QComboBox, QLineEdit,
    QHeaderView::section {{ background: {raised}; color: {theme.foreground}; }}
    QMenuBar::item:selected, QMenu::item:selected, QPushButton:checked,
    QAbstractItemView::item:selected {{ background: {theme.classes[1]}; color: #000000; }}
    QMenu::item:disabled, QPushButton:disabled, QComboBox:disabled {{ color: {theme.faint}; }}
    QPushButton, QComboBox, QLineEdit {{ border: 1px solid {theme.grid}; padding: 2px 6px; }}
    QPushButton:focus, QComboBox:focus, QLineEdit:focus {{ border-color: {theme.foreground}; }}
    QStatusBar::item {{ border: none; }}
    QStatusBar QLabel {{ background: {raised}; padding: 0 6px; }}
    QMainWindow::separator {{ background: {theme.grid}; width: 3px; height: 3px; }}
    QDockWidget::title {{ padding: 3px 6px; }}
    QTabBar::tab {{ background: {raised}; padding: 3px 8px; border: 1px solid {theme.grid}; }}
    QTabBar::tab:selected {{ background: {theme.background}; border-bottom-color: transparent; }}
    """
